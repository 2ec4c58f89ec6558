"""Bytes shared out among frames and tiles of a file: equal slope, down to the byte (`swathpack.edge.codec.rate`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.rate import (
    FINEST_LEVEL,
    LEVELS,
    USUAL_LEVEL,
    Curve,
    cut_at_level,
    filled,
    finest_fitting_level,
)
from swathpack.tools.files.frame_coder import FrameCoder
from swathpack.tools.files.kept_tiles import LearnedTile, PlainTile
from swathpack.tools.files.trials import Tile, Trial

BYTES_AROUND = 6  # of a segment around its payload, about: for frames that are not coded yet

Frames = Sequence[tuple[FrameCoder, Trial]]


@dataclass(frozen=True, eq=False)
class _Plain:
    """A `Cuttable`: a plain tile of a trial."""

    coder: FrameCoder
    tile: Tile

    @property
    def curve(self) -> Curve:
        return self.coder.whole(self.tile).curve

    @property
    def gain(self) -> float:
        return self.coder.gain

    @property
    def least(self) -> int:
        return self.coder.whole(self.tile).least

    def cut(self, payload_bytes: int | None) -> Tile:
        """The tile with so much of its payload; None: without any segment."""
        cut = self.coder.cut(self.tile, payload_bytes or 0)
        return Tile(cut.index, cut.coded, 0, 0) if payload_bytes is None else cut

    def size_at(self, payload_bytes: int) -> int:
        return self.cut(payload_bytes).size

    def payload_in(self, size: int) -> int:
        return self.coder.payload_in(self.cut(0), size)


def fill(frames: Frames, room: int) -> list[Trial]:
    """The same trials, their plain tiles cut anew so that all segments together fill `room` bytes: equal slope first, what
    is left to where it saves most. Where room is short of even the least of every tile, the last tiles go without.
    """
    fixed = sum(t.size for _, trial in frames for t in trial.tiles if isinstance(t.coded, LearnedTile))
    plain = [_Plain(coder, t) for coder, trial in frames for t in trial.tiles if isinstance(t.coded, PlainTile)]
    found = (tile.cut(size) for tile, size in zip(plain, filled(plain, room - fixed)))
    return [
        Trial(tuple(t if isinstance(t.coded, LearnedTile) else next(found) for t in trial.tiles)) for _, trial in frames
    ]


def level_fitting(coders: Sequence[FrameCoder], room: int) -> float:
    """The finest level at which the transform coder alone would fit all tiles into `room` bytes; where all that was coded of them
    fits, the coarsest at which that is kept, for payloads may have been ended where the room does.
    """
    if any(coder.choice.mode == "learned" for coder in coders):
        return USUAL_LEVEL
    for coder in coders:
        coder.look()
    return _looked_further(coders, lambda: _fitting(coders, room))


def _looked_further(coders: Sequence[FrameCoder], level_of: Callable[[], float]) -> float:
    """A level, found anew as long as payloads were too short at it: it gets coarser the more there is of them."""
    level, again = level_of(), False
    while any([coder.look_further(level, again) for coder in coders]):
        level, again = level_of(), True
    return level


def _fitting(coders: Sequence[FrameCoder], room: int) -> float:
    curves = [(coder.plain(window).curve, coder.gain) for coder in coders for window in coder.live]

    def size(level: float) -> int:
        return sum(curve.bytes_at_level(level, gain) for curve, gain in curves)

    finest = finest_fitting_level(size, room)
    if finest > FINEST_LEVEL:
        return finest
    whole = size(finest)
    return max(level for level in map(float, LEVELS[::8]) if size(level) == whole)


def sizes_of(coder: FrameCoder, trial: Trial) -> NDArray[np.float64]:
    """Bytes, about, that a frame takes at each of LEVELS, its learned tiles as they are."""
    total = np.zeros(len(LEVELS))
    for tile in trial.tiles:
        if isinstance(tile.coded, PlainTile):
            whole = coder.whole(tile)
            at = [whole.curve.bytes_at_level(level, coder.gain) for level in LEVELS]
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
    level = float(LEVELS[-1])
    if later:  # where these take next to nothing, the first one has far more than its share
        behind = np.sum(later, axis=0)
        level = _looked_further([coder], lambda: _level_of(sizes_of(coder, trial), behind, room))
    found = Trial(tuple(_cut_at(coder, tile, level) for tile in trial.tiles))
    return fill([(coder, trial)], own)[0] if not later or found.size > own else found


def _level_of(own: NDArray[np.float64], later: NDArray[np.float64], room: int) -> float:
    """The finest of LEVELS at which a frame and those after it fit; one finer where it alone does: at few bytes a curve begins with
    a leap, and where the leaps of several frames do not fit the first ones have theirs.
    """
    fits = np.flatnonzero(own + later <= room)
    if not len(fits):
        return float(LEVELS[-1])
    at = int(fits[0])
    finer = max(at - 1, 0)
    return float(LEVELS[finer if own[finer] + later[at] <= room else at])


def _cut_at(coder: FrameCoder, tile: Tile, level: float) -> Tile:
    return tile if isinstance(tile.coded, LearnedTile) else coder.cut(tile, cut_at_level(_Plain(coder, tile), level))
