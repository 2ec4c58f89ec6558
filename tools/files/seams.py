"""Seams between the tiles of a frame, smoothed as the tiles come: see `swathpack.codec.seams`.

A tile waits until its neighbours to the right and below are here, so a row of tiles is held. What it becomes depends on the eight
tiles around it, and pixels farther than REACH from a seam on none: a window is drawn as the whole frame is where the tiles within
REACH of it are decoded too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from swathpack.codec import seams
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.radiometry import Radiometry
from swathpack.tools.files.tile_parts import DecodedTile

Found = tuple[TileWindow, DecodedTile]
Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True)
class Grid:
    """Tiles of a frame, numbered row by row: `across` a row, and what their counts are."""

    across: int
    bands: Sequence[str]
    radiometry: Radiometry

    def without_seams(self, found: Iterable[Found]) -> Iterator[Found]:
        """Tiles in the order of their numbers, any of them missing -> the same, later."""
        held: dict[int, Found] = {}
        for window, tile in found:
            held[window.index] = window, tile
            if window.index % self.across:
                self._meet(held, window.index - 1, window.index, 0)
            yield from self._done(held, window.index - self.across)
        yield from self._done(held, max(held, default=0) + 1)

    def _done(self, held: dict[int, Found], stop: int) -> Iterator[Found]:
        """Those before `stop`: the tiles below them have met those to their right."""
        for index in [i for i in held if i < stop]:
            self._meet(held, index, index + self.across, 1)
            yield held.pop(index)

    def _meet(self, held: dict[int, Found], first: int, second: int, direction: int) -> None:
        """Smooth the seam of two tiles, the second to the right of the first (0) or below it (1), where both are here."""
        if first not in held or second not in held:
            return
        (window, one), (other_window, other) = held[first], held[second]
        if not (one.steps and other.steps and _beside(window, other_window, direction)):
            return
        one, other = _changeable(one), _changeable(other)
        held[first], held[second] = (window, one), (other_window, other)
        assert one.counts is not None and other.counts is not None
        left, right = _turned(one.counts, direction), _turned(other.counts, direction)
        if not seams.meet(left.shape[2], right.shape[2]):
            return
        rows = _whole(_turned(one.known, direction), _turned(other.known, direction))
        if rows.any():
            ends = left[:, :, -seams.REACH :], right[:, :, : seams.REACH]
            steps, groups = (one.steps, other.steps), seams.groups_of(self.bands)
            became = seams.smoothed(left[:, rows], right[:, rows], steps, groups, seams.kernels()[direction])
            for end, pixels in zip(ends, became):
                end[:, rows] = self.radiometry.nearest(pixels)


def _beside(first: TileWindow, second: TileWindow, direction: int) -> bool:
    if direction == 0:
        return first.left + first.width == second.left and (first.top, first.height) == (second.top, second.height)
    return first.top + first.height == second.top and (first.left, first.width) == (second.left, second.width)


def _changeable(tile: DecodedTile) -> DecodedTile:
    """Whose counts may be written to: a journal's and a worker's may not, and others may look at them."""
    assert tile.counts is not None
    return tile if tile.smoothed else replace(tile, counts=tile.counts.copy(), smoothed=True)


def _turned(array: NDArray[Kind], direction: int) -> NDArray[Kind]:
    """A view in which the seam lies between columns."""
    return array.swapaxes(-1, -2) if direction else array


def _whole(left: NDArray[np.bool_], right: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(h,) where all pixels that are looked at have data: what fills others is no picture."""
    return np.asarray(left[:, -seams.SIDE :].all(axis=1) & right[:, : seams.SIDE].all(axis=1), np.bool_)
