"""How large the tiles of a file are.

Every tile is coded by itself: it learns its statistics anew, says its own bases, and ends at its edges. So larger tiles take fewer
bytes (docs/codec.md, "The size of tiles"), and smaller ones are read, lost and coded with less else.
"""

from __future__ import annotations

from swathpack.edge.codec.pixels import TILE
from swathpack.edge.stream.header import MAX_TILE, TILE_STEP
from swathpack.tools.errors import UsageError

LEAST_LARGE, MOST_LARGE = 384, 640


def side_for(height: int, width: int, small: bool) -> int:
    """Pixels a side of the tiles of a frame where nothing else is asked for. small: they may have to be the learned codec's, or exact.

    Of the sides between LEAST_LARGE and MOST_LARGE the one that makes the fewest tiles, the least of these: no row of slivers is left.
    """
    if small or max(height, width) <= TILE:
        return TILE

    def tiles(side: int) -> int:
        return -(-height // side) * -(-width // side)

    return min(range(LEAST_LARGE, MOST_LARGE + 1, TILE_STEP), key=lambda side: (tiles(side), side))


def check_side(side: int | None, small: bool) -> None:
    """Refuse a side that the format does not have, or that tiles of its kind cannot have. Raises UsageError."""
    if side is None:
        return
    if side % TILE_STEP or not TILE_STEP <= side <= MAX_TILE:
        raise UsageError(f"--tile: expected {TILE_STEP} to {MAX_TILE} in steps of {TILE_STEP}, found {side}")
    if small and side > TILE:
        raise UsageError(
            f"--tile: exact tiles, those of regions and those of the learned codec have at most {TILE} pixels a side, found {side}"
        )
