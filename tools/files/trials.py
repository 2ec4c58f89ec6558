"""One way to code a frame, as rate control tries several: tiles, how much of each is kept, and what that takes."""

from __future__ import annotations

from dataclasses import dataclass

from swathpack.edge.stream import ContextRef
from swathpack.tools.files.kept_tiles import LearnedTile, PlainTile

Coded = LearnedTile | PlainTile


@dataclass(frozen=True, eq=False)
class Tile:
    """One tile of a trial: how it is coded, the layers kept of it and the exact bytes of its segment, 0 without one."""

    index: int
    coded: Coded
    layers: int
    size: int
    refs: tuple[ContextRef, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One way to code a frame; tiles without any valid pixel are not among `tiles`."""

    tiles: tuple[Tile, ...]

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(tile.size for tile in self.tiles)

    @property
    def plain(self) -> bool:
        """Whether any tile can be cut at any byte."""
        return any(isinstance(tile.coded, PlainTile) for tile in self.tiles)
