"""Which dates can tell what lies under a cloud, and images of them without holes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.tools.inpaint.baselines import line

MIN_PIXELS = 64  # pixels clear on both dates, below which no relation is fitted
MIN_SHARE = 0.02  # of the hole that a date must show
MAX_FIT = 1 << 16  # pixels a fit needs at most: more change nothing but its time

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Source:
    """A date: how far it is from the repaired one after a line per band (DN^2), and its share of the hole."""

    date: int
    error: float
    share: float


@dataclass(frozen=True, eq=False)
class Relation:
    """Gain and offset per band that turn one date into another, (C,) each."""

    gain: NDArray[np.float64]
    offset: NDArray[np.float64]

    def apply(self, pixels: NDArray[np.floating]) -> Floats:
        """Pixels (C, ...) of the one date as they would be on the other."""
        shape = (-1,) + (1,) * (pixels.ndim - 1)
        out: Floats = (self.gain.reshape(shape) * pixels + self.offset.reshape(shape)).astype(np.float32)
        return out


def relate(source: Floats, target: Floats, both: Mask) -> tuple[Relation, float]:
    """The lines from source to target over `both` (H, W), and what they leave (mean squared DN)."""
    x, y = thinned(source[:, both]), thinned(target[:, both])
    fits = [line(a, b) for a, b in zip(x, y)]
    found = Relation(np.array([f[0] for f in fits]), np.array([f[1] for f in fits]))
    return found, float(((found.apply(x) - y) ** 2).mean())


def thinned(pixels: Floats) -> Floats:
    """Every n-th of (C, N) pixels, at most MAX_FIT."""
    return pixels[:, :: max(1, pixels.shape[1] // MAX_FIT)]


def ranked(frames: Floats, clear: Mask, date: int, hole: Mask, candidates: Sequence[int]) -> list[Source]:
    """Candidates that show some of the hole (H, W), the most telling first: alike on pixels clear on both dates,
    and open over the hole. Dates with too few common pixels come last, in the order given.
    """
    found, unrelated = [], []
    for other in candidates:
        share = float((hole & clear[other]).sum() / max(int(hole.sum()), 1))
        if share < MIN_SHARE:
            continue
        both = clear[date] & clear[other]
        if both.sum() < MIN_PIXELS:
            unrelated.append(Source(other, float("inf"), share))
        else:
            found.append(Source(other, relate(frames[other], frames[date], both)[1], share))
    found.sort(key=lambda s: s.error / s.share)
    return found + unrelated


def without_holes(frames: Floats, clear: Mask, sources: Sequence[Source], first: int) -> tuple[Floats, Mask]:
    """The image of source number `first`, its own cloudy pixels taken from the others, brought to its level.

    Returns (C, H, W) and the (H, W) pixels that are known; the others are zero.
    """
    date = sources[first].date
    known = clear[date].copy()
    image = np.where(known, frames[date], 0).astype(np.float32)
    for source in sources:
        take = clear[source.date] & ~known
        if source.date == date or not take.any():
            continue
        both = clear[date] & clear[source.date]
        pixels = frames[source.date][:, take]
        enough = both.sum() >= MIN_PIXELS
        image[:, take] = relate(frames[source.date], frames[date], both)[0].apply(pixels) if enough else pixels
        known |= take
    return image, known
