"""Room filled to the byte by tiles that may be cut anywhere: a file's way to fill a budget.

The same rule as the board's (`swathpack.edge.codec.rate.planner`), equal slope first and what is left to where it saves most. Here the
slope is searched and not walked to, for a curve between its vertices has no steps to sort, and every prefix is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from swathpack.edge.codec.rate.curves import Curve
from swathpack.edge.codec.rate.levels import finest_fitting_level


class Cuttable(Protocol):
    """A tile that may be cut at any byte. curve: of its payload's prefixes. gain: DN of a count. least: bytes of payload without
    which nothing decodes.
    """

    @property
    def curve(self) -> Curve: ...
    @property
    def gain(self) -> float: ...
    @property
    def least(self) -> int: ...

    def size_at(self, payload_bytes: int) -> int:
        """Bytes of its segment with so many of payload."""

    def payload_in(self, size: int) -> int:
        """The longest payload whose segment takes at most `size` bytes."""


def cut_at_level(tile: Cuttable, level: float) -> int:
    """Bytes of payload that a level asks for, or the least."""
    return max(tile.curve.bytes_at_level(level, tile.gain), tile.least)


def filled(tiles: Sequence[Cuttable], room: int) -> list[int | None]:
    """Bytes of payload of each tile so that all segments together fill `room` bytes. Where that is short of even the least of
    every tile, the last ones go without: None.
    """

    def size(level: float) -> int:
        return sum(tile.size_at(cut_at_level(tile, level)) for tile in tiles)

    level = finest_fitting_level(size, room)
    cuts = [cut_at_level(tile, level) for tile in tiles]
    sizes = [tile.size_at(cut) for tile, cut in zip(tiles, cuts)]
    left = room - sum(sizes)
    for i in sorted(range(len(tiles)), key=lambda i: -tiles[i].curve.slope_behind(cuts[i])):
        if left <= 0:
            break
        cuts[i] = max(tiles[i].payload_in(sizes[i] + left), tiles[i].least)
        before, sizes[i] = sizes[i], tiles[i].size_at(cuts[i])
        left -= sizes[i] - before
    kept = len(tiles)
    while left < 0 and kept:
        kept -= 1
        left += sizes[kept]
    return [cut if i < kept else None for i, cut in enumerate(cuts)]
