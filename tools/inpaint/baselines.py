"""The four classical repairs that the model is measured against.

All take frames (T, C, H, W) DN, clear (T, H, W) bool, the date to repair, and give (C, H, W) float32 for every pixel;
NaN where a method has nothing to go by. Cloudy pixels of the repaired date are never read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def last_clear(frames: Floats, clear: Mask, date: int) -> Floats:
    """The newest earlier clear value of each pixel; where there is none, the next later one."""
    order = [*range(date - 1, -1, -1), *range(date + 1, len(frames))]
    return first_of(frames, clear, order)


def first_of(frames: Floats, clear: Mask, order: Sequence[int]) -> Floats:
    """Each pixel from the first date of `order` on which it is clear; NaN without any."""
    out = np.full(frames.shape[1:], np.nan, np.float32)
    open_ = np.ones(clear.shape[1:], np.bool_)
    for t in order:
        take = open_ & clear[t]
        out[:, take] = frames[t][:, take]
        open_ &= ~take
    return out


def median(frames: Floats, clear: Mask, dates: Sequence[int]) -> Floats:
    """Median over the clear values of `dates`, band by band."""
    stack = np.where(clear[list(dates), None], frames[list(dates)], np.nan).astype(np.float32)
    out = np.full(frames.shape[1:], np.nan, np.float32)
    known = clear[list(dates)].any(0)
    out[:, known] = np.nanmedian(stack[:, :, known], axis=0)
    return out


def interpolated(frames: Floats, clear: Mask, date: int, days: NDArray[np.float64]) -> Floats:
    """Linear in time between the nearest clear value before and the nearest after; at the ends, the nearest."""
    before, b_day = _nearest(frames, clear, range(date - 1, -1, -1), days)
    after, a_day = _nearest(frames, clear, range(date + 1, len(frames)), days)
    with np.errstate(invalid="ignore"):
        share = (days[date] - b_day) / np.where(a_day == b_day, 1, a_day - b_day)
        both = before + share.astype(np.float32) * (after - before)
    return np.where(np.isnan(before), after, np.where(np.isnan(after), before, both))


def _nearest(
    frames: Floats, clear: Mask, order: Sequence[int], days: NDArray[np.float64]
) -> tuple[Floats, NDArray[np.float64]]:
    day = first_of(np.broadcast_to(days[:, None, None, None], (len(days), 1, *clear.shape[1:])), clear, order)
    return first_of(frames, clear, order), day[0].astype(np.float64)


def regressed(frames: Floats, clear: Mask, date: int) -> Floats:
    """`last_clear` with a gain and an offset per band, least squares over the clear pixels of the repaired date."""
    source = last_clear(frames, clear, date)
    known = clear[date] & ~np.isnan(source[0])
    out = source.copy()
    for band, (x, y) in enumerate(zip(source, frames[date])):
        gain, offset = line(x[known], y[known])
        out[band] = gain * x + offset
    return out


def line(x: NDArray[np.floating], y: NDArray[np.floating]) -> tuple[float, float]:
    """Least-squares gain and offset of y over x; (1, 0) without pixels, gain 1 where x does not vary."""
    if x.size == 0:
        return 1.0, 0.0
    a, b = x.astype(np.float64), y.astype(np.float64)
    spread = a.var()
    gain = float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 1e-6 else 1.0
    return gain, float(b.mean() - gain * a.mean())
