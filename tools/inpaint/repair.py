"""Repairs the cloudy pixels of one date of a series, window by window.

    other dates -> images without holes, the most telling first          sources.py
    two of them as contexts -> zero-shot prediction of the edge codec    fill.py
    images and prediction -> ridge regression on clear pixels, residual spread into the hole    regression.py

Nothing under the mask of the repaired date is ever read, and clear pixels come out as they went in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, completion_matrix
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import TileWindow, fill_invalid
from swathpack.tools.inpaint.cube import Cube
from swathpack.tools.inpaint.fill import TileFiller
from swathpack.tools.inpaint.regression import nearness, regressed, spread
from swathpack.tools.inpaint.sources import MIN_PIXELS, Source, ranked, relate, without_holes

METHODS = ("calibrated", "zero-shot", "regression")
WINDOW, STEP = 256, 192  # pixels: windows overlap by 64 and are blended there
CANDIDATES = 12  # dates, the nearest in time, from which sources are chosen
IMAGES = 3  # images of other dates that the regression sees
LITTLE = 0.1  # clear share of a date, below which its result is called uncertain
ENOUGH = 512  # clear pixels of a window, below which the whole frame is asked

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass
class Repair:
    """The repaired date: image (C, H, W) float32 (as given outside the hole), pixels that nothing could fill (H, W),
    and what there is to say about it.
    """

    image: Floats
    unfilled: Mask
    notes: list[str] = field(default_factory=list)


def candidates(cube: Cube, date: int, hole: Mask, later: bool) -> list[int]:
    """Dates to take from, nearest in time first: earlier ones, with `later` also later ones; dates that show
    nothing of the hole are passed over.
    """
    dates = range(len(cube.frames)) if later else range(date)
    order = sorted((d for d in dates if d != date), key=lambda d: (abs(cube.days[d] - cube.days[date]), abs(d - date)))
    return [d for d in order if (cube.clear[d] & hole).any()][:CANDIDATES]


def windows(height: int, width: int) -> Iterator[TileWindow]:
    """Overlapping windows that cover a frame; none is narrower than the frame or WINDOW."""
    index = 0
    for top in _starts(height):
        for left in _starts(width):
            yield TileWindow(index, top, left, min(WINDOW, height - top), min(WINDOW, width - left))
            index += 1


def _starts(side: int) -> list[int]:
    if side <= WINDOW:
        return [0]
    count = -(-(side - WINDOW) // STEP)
    return [round(i * (side - WINDOW) / count) for i in range(count + 1)]


def taper(window: TileWindow, height: int, width: int) -> Floats:
    """(h, w) weights that fall towards the window's borders inside the frame, so that windows blend."""
    rows = _ramp(window.top, window.height, height)
    columns = _ramp(window.left, window.width, width)
    return np.outer(rows, columns).astype(np.float32)


def _ramp(start: int, count: int, side: int) -> NDArray[np.float64]:
    at = np.arange(count, dtype=np.float64)
    low = at + 1 if start > 0 else np.full(count, np.inf)
    high = count - at if start + count < side else np.full(count, np.inf)
    out: NDArray[np.float64] = np.minimum(np.minimum(low, high), WINDOW - STEP) / (WINDOW - STEP)
    return out


class Repairer:
    """Repairs dates of one series with one method. `model` may be None for the method "regression"."""

    def __init__(self, cube: Cube, model: EdgeModel | None, method: str = "calibrated", later: bool = False) -> None:
        self.cube, self.model, self.method, self.later = cube, model, method, later

    def repair(self, date: int, hole: Mask, tick: Callable[[], None] = lambda: None) -> Repair:
        """The date with the pixels of `hole` (H, W) replaced; clear pixels are those of the cube outside it."""
        height, width = hole.shape
        total = np.zeros(self.cube.frames.shape[1:], np.float32)
        weight = np.zeros(hole.shape, np.float32)
        notes: list[str] = []
        for window in windows(height, width):
            if window.of(hole).any():
                found, known = self._window(date, hole, window, notes)
                share = taper(window, height, width) * known
                rows, columns = (
                    slice(window.top, window.top + window.height),
                    slice(window.left, window.left + window.width),
                )
                total[:, rows, columns] += found * share
                weight[rows, columns] += share
            tick()
        share_clear = float((self.cube.clear[date] & ~hole).mean())
        if share_clear < LITTLE:
            notes.append(f"only {share_clear:.1%} of the date is clear: the result is uncertain")
        filled = hole & (weight > 0)
        image = self.cube.frames[date].copy()
        image[:, filled] = total[:, filled] / weight[filled]
        unfilled = hole & ~filled
        image[:, unfilled] = 0
        return Repair(image, unfilled, list(dict.fromkeys(notes)))

    def _window(self, date: int, hole: Mask, window: TileWindow, notes: list[str]) -> tuple[Floats, Mask]:
        """Estimate of a window's pixels, and where there is one."""
        frames, clear = window.of(self.cube.frames), window.of(self.cube.clear).copy()
        gap = window.of(hole)
        clear[date] &= ~gap
        part = Cube(frames, clear, self.cube.bands, self.cube.days, self.cube.level)
        sources = self._sources(part, date, gap, notes)
        if not sources:
            return self._alone(part, date, window, notes)
        images, known = _images(part, sources)
        if not known[gap].all():
            notes.append("pixels that no other date shows take their surroundings")
        if not known.all():
            images = [fill_invalid(i, known) for i in images]
            clear[date] &= known  # nothing can be fitted where the other dates are nodata
        return self._estimate(part, date, images, window, sources), np.ones(gap.shape, np.bool_)

    def _sources(self, part: Cube, date: int, gap: Mask, notes: list[str]) -> list[Source]:
        found = ranked(part.frames, part.clear, date, gap, candidates(part, date, gap, self.later))
        shown = np.zeros(gap.shape, np.bool_)
        for source in found:
            shown |= part.clear[source.date]
        if self.later or shown[gap].all():
            return found
        # Only now: a later date is better than nothing where no earlier one is clear.
        more = [d for d in candidates(part, date, gap & ~shown, True) if d > date]
        if more:
            notes.append("pixels without a clear earlier date are taken from later ones")
        return found + ranked(part.frames, part.clear, date, gap & ~shown, more)

    def _alone(self, part: Cube, date: int, window: TileWindow, notes: list[str]) -> tuple[Floats, Mask]:
        """No date shows anything of the hole: the surroundings, as the model continues them."""
        clear = part.clear[date]
        if not clear.any():
            notes.append("no date shows the ground here: left as nodata")
            return part.frames[date], clear
        notes.append("no other date shows the ground here: filled from the surroundings alone")
        smooth = fill_invalid(part.frames[date], clear)
        if self.method == "regression":
            return smooth, np.ones(clear.shape, np.bool_)
        predicted = _replaced(smooth, part.bands, self._predict(part, date, [], window, False))
        return _settled(predicted, part.frames[date], clear), np.ones(clear.shape, np.bool_)

    def _estimate(
        self, part: Cube, date: int, images: list[Floats], window: TileWindow, sources: list[Source]
    ) -> Floats:
        target, clear = part.frames[date], part.clear[date]
        if self.method == "zero-shot":
            return _replaced(images[0], part.bands, self._predict(part, date, images, window, False))
        if clear.sum() < ENOUGH:
            return self._from_afar(part, date, images, sources)
        guess = self._predict(part, date, images, window, True) if self.method == "calibrated" else None
        estimate, _ = regressed(images, target, clear, nearness(~clear), guess)
        return _within(_settled(estimate, target, clear), images[0], target[:, clear])

    def _from_afar(self, part: Cube, date: int, images: list[Floats], sources: list[Source]) -> Floats:
        """A window under cloud nearly whole: the relation between the dates comes from the whole frame."""
        cube = self.cube
        first = sources[0].date
        both = cube.clear[date] & cube.clear[first]
        if both.sum() < MIN_PIXELS:
            return images[0]
        step = max(1, int(both.sum()) // 65536)
        x, y = cube.frames[first][:, both][:, ::step], cube.frames[date][:, both][:, ::step]
        joined = np.concatenate([x[:, None], images[0].reshape(len(x), 1, -1)], axis=2)
        goal = np.concatenate([y[:, None], np.zeros_like(images[0]).reshape(len(x), 1, -1)], axis=2)
        known = np.arange(joined.shape[2])[None] < x.shape[1]
        fitted = regressed([joined], goal, known)[0][:, 0, x.shape[1] :].reshape(images[0].shape)
        return _within(_settled(fitted, part.frames[date], part.clear[date]), images[0], y)

    def _predict(self, part: Cube, date: int, images: Sequence[Floats], window: TileWindow, everywhere: bool) -> Floats:
        """The codec's zero-shot prediction, in those of the cube's bands that it codes."""
        assert self.model is not None  # every method but "regression" is given one
        contexts = [completed(i, part.bands, part.level) for i in _levelled(part, date, images[:2])]
        target = completed(part.frames[date], part.bands, part.level)
        filler = TileFiller(self.model, target, part.clear[date], contexts)
        predicted = filler.predict_everywhere() if everywhere else filler.predict()
        return predicted[[BANDS.index(b) for b in part.bands if b in BANDS]]


def _levelled(part: Cube, date: int, images: Sequence[Floats]) -> list[Floats]:
    """The images at the date's level: gain and offset per band from its clear pixels, where there are enough."""
    clear = part.clear[date]
    if clear.sum() < MIN_PIXELS:
        return list(images)
    return [relate(i, part.frames[date], clear)[0].apply(i) for i in images]


def _settled(estimate: Floats, target: Floats, clear: Mask) -> Floats:
    """The estimate with what it leaves on clear pixels spread over the others, so that borders fit."""
    return estimate + spread(np.where(clear, target - estimate, 0).astype(np.float32), clear)


def _within(estimate: Floats, image: Floats, seen: Floats) -> Floats:
    """Bands kept to the values that occur in `image` (C, H, W) or among the date's clear pixels `seen` (C, N)."""
    low = np.minimum(image.min((1, 2)), seen.min(1))[:, None, None]
    high = np.maximum(image.max((1, 2)), seen.max(1))[:, None, None]
    return np.clip(estimate, low, high)


def _images(part: Cube, sources: list[Source]) -> tuple[list[Floats], Mask]:
    """Up to IMAGES images without holes, each starting from another date, and the pixels known in them."""
    made = [without_holes(part.frames, part.clear, sources, n) for n in range(min(IMAGES, len(sources)))]
    return [m[0] for m in made], made[0][1]


def _replaced(image: Floats, bands: Sequence[str], predicted: Floats) -> Floats:
    """`image` with the bands that the codec codes taken from its prediction."""
    out = image.copy()
    out[[i for i, b in enumerate(bands) if b in BANDS]] = predicted
    return out


def completed(image: Floats, bands: tuple[str, ...], level: str) -> Floats:
    """(C, H, W) DN in the given bands -> the codec's twelve, those that are missing by regression."""
    names = tuple(b for b in BANDS if b in bands)
    given = image[[bands.index(b) for b in names]]
    if len(names) == len(BANDS):
        return np.ascontiguousarray(given)
    gain, offset = completion_matrix(names, level)
    full: Floats = np.einsum("ij,jhw->ihw", gain, given) + offset[:, None, None]
    return np.maximum(full, 0).astype(np.float32)
