"""Frames drawn from their tiles as these come: seams smoothed, and restored where that is asked for.

`fast` smooths seams (`swathpack.tools.files.seams`); `best` then lets a network over several tiles add what was lost
(`swathpack.codec.restored`): each tile is restored with the MARGIN pixels around it, of the eight tiles about it, so
nothing is seen at its edges, and a window is drawn as the whole frame is where the tiles within `reach` of its tiles are
decoded too. Three rows of tiles are held. A tile stays as it is where the network has not been shown to win (`Restoring.wins`),
and so do pixels within AWAY of those without data.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from swathpack.codec import seams
from swathpack.codec.restored import Restorer, evened, restorable
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.stream.quality import TRANSFORM
from swathpack.tools.files.seams import Found, Grid
from swathpack.tools.files.tile_parts import DecodedTile

SYNTHESES = ("fast", "best")
MARGIN = 64  # pixels
AWAY = 16  # pixels
# log2 of steps over what tiles spread, mean of bands: finer ones, from 0.15 to 0.4 bits a sample on, gain nothing.
FINEST = 0.0
Pixels = NDArray[np.float32]
Kind = TypeVar("Kind", bound=np.generic)
Area = tuple[int, int, int, int]  # first row, first column, behind the last row and column


def reach(restorer: Restorer | None) -> int:
    """Within so many pixels of a tile others change it."""
    return seams.REACH if restorer is None else MARGIN + seams.REACH


def drawn(
    found: Iterable[Found], grid: Grid, restorer: Restorer | None, only: Container[int] | None = None
) -> Iterator[Found]:
    """Tiles in the order of their numbers, any of them missing -> the same, later, as they are shown; of the network only those
    whose numbers are in `only`.
    """
    smoothed = grid.without_seams(found)
    if restorer is None or not restorable(grid.bands):
        return smoothed
    return Restoring(grid, restorer, only).restored(smoothed)


def told(metadata: dict[str, Any], restorer: Restorer | None) -> dict[str, Any]:
    """The metadata of what is written, with a word on who restored it: `best` and the network's digest."""
    return metadata if restorer is None else metadata | {"synthesis": f"best {restorer.digest}"}


@dataclass(frozen=True)
class Restoring:
    """Tiles of a frame, restored one by one."""

    grid: Grid
    restorer: Restorer
    only: Container[int] | None = None

    def restored(self, found: Iterable[Found]) -> Iterator[Found]:
        """The same tiles, a row and a tile later."""
        held: dict[int, Found] = {}
        waiting: list[int] = []
        for window, tile in found:
            held[window.index] = window, tile
            waiting.append(window.index)
            while waiting[0] + self.grid.across + 1 <= window.index:
                yield self._restored(held, waiting.pop(0))
            for index in [i for i in held if i < waiting[0] - self.grid.across - 1]:
                del held[index]
        for index in waiting:
            yield self._restored(held, index)

    def wins(self, tile: DecodedTile) -> bool:
        """Whether the network was shown to win on tiles such as this one: whole ones, of the learned codec with all layers."""
        whole = tile.report.q == TRANSFORM or tile.report.layers == LAYERS
        return _seen(tile) and whole and not tile.report.problem and _coarseness(tile) > FINEST

    def _restored(self, held: dict[int, Found], index: int) -> Found:
        window, tile = held[index]
        if not self.wins(tile) or not (self.only is None or index in self.only):
            return window, tile
        assert tile.counts is not None
        context = Context.around(window, tile, self._beside(held, window))
        added = context.own(self.restorer.added(context.counts, context.steps, context.learned, self.grid.bands))
        if tile.report.q == TRANSFORM:
            added = evened(added, tile.counts, tile.known)
        became = self.grid.radiometry.nearest(tile.counts + added)
        kept = np.where(context.own(_near(context.unknown, AWAY)), tile.counts, became)
        return window, replace(tile, counts=kept)

    def _beside(self, held: dict[int, Found], window: TileWindow) -> list[Found]:
        """The tiles about one that touch its frame of MARGIN pixels; exact ones, drawn from no steps, are as if not there."""
        column, across = window.index % self.grid.across, self.grid.across
        columns = [c for c in (-1, 0, 1) if 0 <= column + c < across]
        indexes = [window.index + row * across + c for row in (-1, 0, 1) for c in columns if row or c]
        return [held[i] for i in indexes if i in held and _seen(held[i][1])]


def _coarseness(tile: DecodedTile) -> float:
    assert tile.counts is not None
    spread = np.maximum(tile.counts[:, tile.known].std(axis=1), 1) if tile.known.any() else np.ones(len(tile.steps))
    return float(np.mean(np.array(tile.steps) / 8 - np.log2(spread)))


def _seen(tile: DecodedTile) -> bool:
    return bool(tile.steps) and tile.counts is not None


@dataclass(frozen=True, eq=False)
class Context:
    """A tile with the pixels around it. counts, steps (C, H, W), learned (H, W), unknown (H, W) bool; inside: where the tile lies.
    Where no tile is, its own edges go on.
    """

    counts: Pixels
    steps: Pixels
    learned: Pixels
    unknown: NDArray[np.bool_]
    inside: tuple[slice, slice]

    @classmethod
    def around(cls, window: TileWindow, tile: DecodedTile, beside: Sequence[Found]) -> Context:
        """MARGIN pixels on those sides on which there are tiles."""
        area = _area(window, [w for w, _ in beside])
        top, left = window.top - area[0], window.left - area[1]
        more = (top, area[2] - window.top - window.height), (left, area[3] - window.left - window.width)
        planes = [np.pad(plane, [(0, 0), *more], mode="edge") for plane in _planes(tile)]
        for other, found in beside:
            _put(planes, area, other, found)
        counts, steps, (learned, unknown) = planes
        inside = slice(top, top + window.height), slice(left, left + window.width)
        return cls(counts, steps, learned, unknown != 0, inside)

    def own(self, plane: NDArray[Kind]) -> NDArray[Kind]:
        """The part of a plane (..., H, W) that is the tile's."""
        return plane[..., self.inside[0], self.inside[1]]


def _area(window: TileWindow, others: Sequence[TileWindow]) -> Area:
    """The tile, and on those sides on which others meet its edge MARGIN pixels, or as many as these have."""
    top, left, bottom, right = window.top, window.left, window.top + window.height, window.left + window.width
    level = [w for w in others if w.top < bottom and top < w.top + w.height]
    upright = [w for w in others if w.left < right and left < w.left + w.width]
    return (
        max(top - MARGIN, min((w.top for w in upright if w.top < top), default=top)),
        max(left - MARGIN, min((w.left for w in level if w.left < left), default=left)),
        min(bottom + MARGIN, max((w.top + w.height for w in upright if w.top >= bottom), default=bottom)),
        min(right + MARGIN, max((w.left + w.width for w in level if w.left >= right), default=right)),
    )


def _planes(tile: DecodedTile) -> list[Pixels]:
    """Counts, steps of every pixel and band, and (2, h, w): learned, unknown."""
    assert tile.counts is not None
    steps = np.exp2(np.array(tile.steps, np.float32) / 8)
    learned = np.full(tile.known.shape, tile.report.q != TRANSFORM, np.float32)
    each = np.broadcast_to(steps[:, None, None], tile.counts.shape)
    return [tile.counts.astype(np.float32), each, np.stack([learned, ~tile.known]).astype(np.float32)]


def _put(planes: list[Pixels], area: Area, window: TileWindow, tile: DecodedTile) -> None:
    """The part of a tile that lies in an area."""
    top, left = max(window.top, area[0]), max(window.left, area[1])
    bottom, right = min(window.top + window.height, area[2]), min(window.left + window.width, area[3])
    if top < bottom and left < right:
        inner = np.s_[..., top - window.top : bottom - window.top, left - window.left : right - window.left]
        for plane, own in zip(planes, _planes(tile)):
            plane[:, top - area[0] : bottom - area[0], left - area[1] : right - area[1]] = own[inner]


def _near(flags: NDArray[np.bool_], away: int) -> NDArray[np.bool_]:
    """(H, W) whether any flag is set within so many pixels, each way."""
    if not flags.any():
        return flags
    for axis in (0, 1):
        sums = np.cumsum(
            np.pad(flags.astype(np.int32), [(away + 1, away) if a == axis else (0, 0) for a in (0, 1)]), axis
        )
        width = 2 * away + 1
        flags = np.take(sums, range(width, sums.shape[axis]), axis) > np.take(
            sums, range(sums.shape[axis] - width), axis
        )
    return flags
