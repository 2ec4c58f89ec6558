"""Latents that a decoder keeps because later frames name them as context: packed, and only as long as one does."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from swathpack.edge.codec.latents import Latent
from swathpack.edge.codec.pixels import TILE, TileWindow
from swathpack.edge.stream import Segment

HELD_BYTES = 1 << 28
Place = tuple[int, int]  # frame and tile


@dataclass(frozen=True, eq=False)
class Held:
    """A latent that later frames may name as context, packed: most are small."""

    packed: bytes
    shape: tuple[int, ...]
    quality: int
    layers: int

    @classmethod
    def of(cls, latent: Latent, quality: int, layers: int) -> Held:
        """Pack a latent (512, h, w)."""
        return cls(zlib.compress(np.ascontiguousarray(latent).data, 1), latent.shape, quality, layers)

    @property
    def latent(self) -> Latent:
        """The latent as it was."""
        return np.frombuffer(zlib.decompress(self.packed), np.int16).reshape(self.shape)


def misfit(segment: Segment, window: TileWindow) -> str:
    """Why a segment of the learned codec is none of a window's, in words; "" where it may be. Larger tiles than any encoder makes
    are not even tried: their networks would take seconds and a gigabyte for a segment of a few bytes.
    """
    if max(window.height, window.width) > TILE:
        return f"expected a tile of the learned codec to have at most {TILE} pixels a side, found {window.height} x {window.width}"
    found = (segment.grid_h, segment.grid_w)
    return "" if found == window.size else f"expected a latent of {window.size}, found {found}"


def contexts_named(segments: Iterable[Segment]) -> tuple[set[Place], dict[int, list[Place]]]:
    """The tile-frames that segments name as context, and the same by the last frame that does."""
    last: dict[Place, int] = {}
    for s in segments:
        for context in s.contexts:
            place = (context.frame, s.tile)
            last[place] = max(last.get(place, 0), s.frame)
    by_frame: dict[int, list[Place]] = {}
    for place, frame in last.items():
        by_frame.setdefault(frame, []).append(place)
    return set(last), by_frame


class HeldLatents(dict[Place, Held]):
    """The latents that are held, by place. Frames come in rising order; beyond HELD_BYTES nothing more is kept, and what
    would need it is named as missing.
    """

    def __init__(self, segments: Iterable[Segment]) -> None:
        super().__init__()
        self._named, self._last_use = contexts_named(segments)
        self._bytes, self._at = 0, -1

    def advance(self, frame: int) -> None:
        """Let go of what no frame from this one on names."""
        for before in range(self._at, frame):
            for place in self._last_use.pop(before, ()):
                gone = self.pop(place, None)
                self._bytes -= len(gone.packed) if gone else 0
        self._at = max(self._at, frame)

    def names(self, place: Place) -> bool:
        """Whether a later frame names a latent."""
        return place in self._named

    def keep(self, place: Place, latent: Latent, quality: int, layers: int) -> None:
        """Keep a latent if a later frame names it."""
        if place in self._named and self._bytes <= HELD_BYTES:
            self.put(place, Held.of(latent, quality, layers))

    def put(self, place: Place, held: Held) -> None:
        """Keep a latent that a later frame names."""
        if self._bytes <= HELD_BYTES:
            self[place] = held
            self._bytes += len(held.packed)


class RecentLatents(HeldLatents):
    """For frames that come in any order: no latent is ever of no more use, the oldest make room for others."""

    def advance(self, frame: int) -> None:
        """Nothing goes."""

    def keep(self, place: Place, latent: Latent, quality: int, layers: int) -> None:
        """Keep a latent that any frame names; what has to go for it is decoded again when it is needed."""
        while self and self._bytes > HELD_BYTES:
            self._bytes -= len(self.pop(next(iter(self))).packed)
        again = self.pop(place, None)
        self._bytes -= len(again.packed) if again else 0
        super().keep(place, latent, quality, layers)


class SentLatents(HeldLatents):
    """Those that one tile was sent with, and its own if it is among `named`."""

    def __init__(self, held: dict[Place, Held], named: set[Place]) -> None:
        super().__init__(())
        self.update(held)
        self._named = named

    def advance(self, frame: int) -> None:
        """Nothing goes."""
