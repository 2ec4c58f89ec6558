"""Bytes over tiles: where payloads of the transform coder are cut, so that all segments together fill a budget.

Equal slope first: a level that all tiles share. What that leaves over goes to the tile where it saves most, to the byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.plain import Curve
from swathpack.edge.stream import Segment, payload_room, segment_overhead_bytes
from swathpack.edge.stream.quality import TRANSFORM, shift_of, step_of
from swathpack.edge.stream.segment import wire_bytes
from swathpack.edge.stream.wire import varint
from swathpack.tools.files.levels import finest, slope_at


@dataclass(frozen=True, eq=False)
class PlainTile:
    """What rate control knows of a tile by the transform coder. grid: latent positions that it would have; least,
    length: bytes of payload without which nothing decodes, and that there are. gain: DN of a count.
    """

    frame: int
    tile: int
    curve: Curve
    grid: tuple[int, int]
    least: int
    length: int
    gain: float = 1.0
    quality: int = TRANSFORM

    def __post_init__(self) -> None:
        object.__setattr__(self, "_empty", self.segment(b""))
        object.__setattr__(self, "_overhead", segment_overhead_bytes(self._empty, 0))

    _empty: Segment = None  # type: ignore[assignment]
    _overhead: int = 0

    def segment(self, payload: bytes) -> Segment:
        """The record with that payload."""
        q, flags = step_of(self.quality), shift_of(self.quality)
        return Segment(self.frame, self.tile, q, 0, LAYERS, *self.grid, flags=flags, payload=payload)

    def size(self, payload_bytes: int) -> int:
        """Exact bytes of the record with so much payload."""
        return self._overhead + len(varint(payload_bytes)) - 1 + wire_bytes(self._empty, payload_bytes)

    def bounded(self, payload_bytes: int) -> int:
        """That much, but no less than decodes and no more than there is."""
        return min(max(payload_bytes, self.least), self.length)

    def payload_at(self, level: float) -> int:
        """Where the payload ends at a level."""
        return self.bounded(self.curve.bytes_at(slope_at(level, self.gain)))

    def payload_within(self, segment_bytes: int) -> int:
        """The longest payload whose record takes no more."""
        return min(payload_room(self._empty, segment_bytes), self.length)

    def slope_behind(self, payload_bytes: int) -> float:
        """Squared error that a byte more saves."""
        at = int(np.searchsorted(self.curve.sizes, payload_bytes))
        return float(self.curve.slopes[min(at, len(self.curve.slopes) - 1)])


def sizes_at(tiles: Iterable[PlainTile], level: float) -> int:
    """Bytes of all segments at a level."""
    return sum(t.size(t.payload_at(level)) for t in tiles)


def level_of(tiles: Sequence[PlainTile], room: float, learned: float = 0.0, q: int = 0, halved: float = 9.0) -> float:
    """The finest level at which tiles fit `room` bytes, beside others of `learned` bytes at step q, which take half as many
    every `halved` levels on.
    """
    return finest(lambda level: sizes_at(tiles, level) + learned * 2 ** ((q - level) / halved), room)


def fill(tiles: Sequence[PlainTile], room: int) -> list[int]:
    """Payload bytes of every tile, so that all segments together fill `room` bytes: equal slope first, what is left to where
    it saves most. Where room is short of even the least of every tile, the last tiles go without: -1.
    """
    level = level_of(tiles, room)
    payloads = [t.payload_at(level) for t in tiles]
    left = room - sum(t.size(p) for t, p in zip(tiles, payloads))
    for i in sorted(range(len(tiles)), key=lambda i: -tiles[i].slope_behind(payloads[i])):
        if left <= 0:
            break
        tile, before = tiles[i], tiles[i].size(payloads[i])
        payloads[i] = max(payloads[i], tile.payload_within(before + left))
        left -= tile.size(payloads[i]) - before
    for i in reversed(range(len(tiles))):
        if left >= 0:
            break
        left, payloads[i] = left + tiles[i].size(payloads[i]), -1
    return payloads
