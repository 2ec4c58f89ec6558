"""Bytes shared out among frames and tiles: equal slope, down to the byte."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from swathpack.tools.files.frame_coder import (
    COARSEST_LEVEL,
    FINEST_LEVEL,
    USUAL_LEVEL,
    FrameCoder,
    Tile,
    Trial,
    slope_at,
)
from swathpack.tools.files.kept_tiles import LearnedTile, PlainTile

BYTES_AROUND = 6  # of a segment around its payload, about: for frames that are not coded yet
LEVELS = np.arange(FINEST_LEVEL, COARSEST_LEVEL + 64, 1 / 8)

Frames = Sequence[tuple[FrameCoder, Trial]]


def fill(frames: Frames, room: int) -> list[Trial]:
    """The same trials, their plain tiles cut anew so that all segments together fill `room` bytes: equal slope first, what
    is left to where it saves most. Where room is short of even the least of every tile, the last tiles go without.
    """
    fixed = sum(t.size for _, trial in frames for t in trial.tiles if isinstance(t.coded, LearnedTile))
    plain = [(coder, t) for coder, trial in frames for t in trial.tiles if isinstance(t.coded, PlainTile)]

    def at(level: float) -> list[Tile]:
        return [c.cut(t, c.whole(t).curve.bytes_at(slope_at(level, c.gain))) for c, t in plain]

    tiles = at(_finest(lambda level: fixed + sum(t.size for t in at(level)), room))
    left = room - fixed - sum(t.size for t in tiles)
    for i in sorted(range(len(tiles)), key=lambda i: -_next_slope(plain[i][0], tiles[i])):
        if left <= 0:
            break
        more = plain[i][0].grown(tiles[i], left)
        left, tiles[i] = left - (more.size - tiles[i].size), more
    for i in reversed(range(len(tiles))):
        if left >= 0:
            break
        left, tiles[i] = left + tiles[i].size, Tile(tiles[i].index, tiles[i].coded, 0, 0)
    found = iter(tiles)
    return [
        Trial(tuple(t if isinstance(t.coded, LearnedTile) else next(found) for t in trial.tiles)) for _, trial in frames
    ]


def _next_slope(coder: FrameCoder, tile: Tile) -> float:
    curve = coder.whole(tile).curve
    at = int(np.searchsorted(curve.sizes, tile.coded.payload_sizes[tile.layers]))
    return float(curve.slopes[min(at, len(curve.slopes) - 1)])


def level_fitting(coders: Sequence[FrameCoder], room: int) -> float:
    """The finest level at which the transform coder alone would fit all tiles into `room` bytes."""
    if any(coder.choice.mode == "learned" for coder in coders):
        return USUAL_LEVEL
    curves = []
    for coder in coders:
        coder.look()
        curves += [(coder.plain(window).curve, coder.gain) for window in coder.live]
    return _finest(lambda level: sum(curve.bytes_at(slope_at(level, gain)) for curve, gain in curves), room)


def _finest(size: Callable[[float], int], room: int) -> float:
    """The finest level, to 1/64, at which the bytes fit; the coarsest where none does."""
    low, high = 64 * int(FINEST_LEVEL), 64 * (int(COARSEST_LEVEL) + 64)
    if size(low / 64) <= room:
        return low / 64
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if size(middle / 64) <= room else (middle, high)
    return high / 64


def sizes_of(coder: FrameCoder, trial: Trial) -> NDArray[np.float64]:
    """Bytes, about, that a frame takes at each of LEVELS, its learned tiles as they are."""
    total = np.zeros(len(LEVELS))
    for tile in trial.tiles:
        if isinstance(tile.coded, PlainTile):
            whole = coder.whole(tile)
            at = [whole.curve.bytes_at(slope_at(level, coder.gain)) for level in LEVELS]
            total += np.maximum(at, whole.least) + BYTES_AROUND
        else:
            total += tile.size
    return total


def least_of(coder: FrameCoder, trial: Trial) -> int:
    """Bytes without which a frame of such a trial does not do, whatever it is coded against in the end."""
    fixed = sum(t.size for t in trial.tiles if isinstance(t.coded, LearnedTile))
    return fixed + coder.least({t.index for t in trial.tiles if isinstance(t.coded, PlainTile)})


def first_of(
    coder: FrameCoder, trial: Trial, later: Sequence[NDArray[np.float64]], room: int, least: Sequence[int]
) -> Trial:
    """A frame cut where it and what is expected of each later one, by LEVELS, have equal slope and fill `room` bytes; it leaves
    those the `least` that each of them needs. The last frame fills the room.
    """
    own = room - sum(least)
    if sum(_cut_at(coder, tile, float(LEVELS[-1])).size for tile in trial.tiles) > own:
        coder.stand_alone()
    fits = np.flatnonzero(sizes_of(coder, trial) + sum(later) <= room)
    level = float(LEVELS[fits[0]]) if len(fits) else float(LEVELS[-1])
    found = Trial(tuple(_cut_at(coder, tile, level) for tile in trial.tiles))
    return fill([(coder, trial)], own)[0] if not later or found.size > own else found


def _cut_at(coder: FrameCoder, tile: Tile, level: float) -> Tile:
    if isinstance(tile.coded, LearnedTile):
        return tile
    return coder.cut(tile, coder.whole(tile).curve.bytes_at(slope_at(level, coder.gain)))
