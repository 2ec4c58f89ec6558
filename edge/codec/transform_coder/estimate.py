"""What is expected of coefficients when decoding ends, integers as in estimate.c: middles of intervals, corrected by neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import native
from swathpack.edge.codec.transform_coder.layout import Layout

TAPS = 5  # the value, its sign, the two beside it, the two above and below, the four diagonal ones
ACTIVITY_FROM = (0, 3, 6, 10, 16, 28)  # above, and at or above units: magnitudes around
WEIGHT_BITS, MOST = 12, 20
SHAPE = (4, 3, len(ACTIVITY_FROM) + 1, 2, TAPS)  # of the tables: kind, level, activity, whether found, tap

Integers = NDArray[np.int64]


def estimate(
    layout: Layout, middles: Integers, bits: NDArray[np.uint8], tables: NDArray[np.int16], step: float
) -> NDArray[np.float32]:
    """Values by their own bits alone, in 1/64 of a step, and log2 of what they are known to, (n_values,) each -> the values that
    are expected, in units of `step` DN.
    """
    unit = np.float32(step / 64)
    if native.available():
        return native.estimate(layout.subbands, middles, bits, tables, unit)
    out = np.zeros(layout.n_values, np.float32)
    for view, row in zip(layout.views(out), layout.subbands):
        taps, units, activity, found = around(middles, bits, row)
        weights = tables[row[11], row[12], activity, found].astype(np.int64)
        change = ((taps * weights).sum(axis=-1) + (1 << WEIGHT_BITS - 1)) >> WEIGHT_BITS
        own = inside(middles, row)[1:-1, 1:-1]
        view[:] = (own + np.clip(change, -units, units)).astype(np.float32) * unit
    return out


def middles_of(values: NDArray[np.int32], bits: NDArray[np.uint8]) -> Integers:
    """Where in its interval a value is expected that nothing is known of but its bits, in 1/64 of a step: at 27/64 when it has
    just been found, at 29/64 and 30/64 when one or more of its bits are known (means over training scenes).
    """
    shift = bits.astype(np.int64)
    sizes = np.abs(values.astype(np.int64))
    intervals = sizes >> (shift + 1)
    below = np.where(intervals < 2, 5, np.where(intervals < 4, 3, 2))
    return np.asarray(np.sign(values) * (32 * sizes - below * (1 << shift)), np.int64)


def inside(values: NDArray[np.generic], row: NDArray[np.uint32]) -> NDArray[np.generic]:
    """A subband (h + 2, w + 2) with its border, a view."""
    start, stride, height, width = map(int, row[:4])
    start -= stride + 1
    return values[start : start + (height + 2) * stride].reshape(height + 2, stride)[:, : width + 2]


def around(
    middles: Integers, bits: NDArray[np.uint8], row: NDArray[np.uint32]
) -> tuple[Integers, Integers, NDArray[np.intp], NDArray[np.intp]]:
    """Of every value of a subband: taps (h, w, TAPS), the length of its interval in 1/64 (h, w), class of activity, whether it was
    found.
    """
    k = np.asarray(inside(middles, row), np.int64)
    own, units = k[1:-1, 1:-1], 64 << np.asarray(inside(bits, row), np.int64)[1:-1, 1:-1]
    beside, above = k[1:-1, :-2] + k[1:-1, 2:], k[:-2, 1:-1] + k[2:, 1:-1]
    diagonal = k[:-2, :-2] + k[:-2, 2:] + k[2:, :-2] + k[2:, 2:]
    m = np.abs(k)
    sizes = 2 * (m[1:-1, :-2] + m[1:-1, 2:] + m[:-2, 1:-1] + m[2:, 1:-1])
    sizes = sizes + m[:-2, :-2] + m[:-2, 2:] + m[2:, :-2] + m[2:, 2:]
    activity = (sizes > 0).astype(np.intp)
    for least in ACTIVITY_FROM[1:]:
        activity += sizes >= least * units
    most = MOST * units
    taps = [
        np.clip(own, -most, most),
        np.sign(own) * units,
        *(np.clip(t, -most, most) for t in (beside, above, diagonal)),
    ]
    return np.stack(taps, axis=-1), units, activity, (own != 0).astype(np.intp)
