"""The 9/7 wavelet in numpy, float32, as in wavelet.c: the same operations in the same order, so the same bits.

Subbands of a plane lie one after another, coarsest first: LL, then per level HL (horizontally high-pass), LH, HH. That
puts everything up to a level in front: the subbands of a band on a grid half as fine are those of the full grid without
the last level. Lifting steps after Daubechies and Sweldens 1998, "Factoring wavelet transforms into lifting steps".
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import native

Plane = NDArray[np.float32]

STEPS = tuple(np.float32(s) for s in (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971))
MAX_LEVELS = 6
SMALLEST_SIDE = 8  # a side below this is not split again

# L2 norm of what one low-pass or high-pass coefficient of each level adds to a row, without the usual scaling steps.
LOW_NORM = (1.000000, 1.139764, 1.341660, 1.558376, 1.796940, 2.067410, 2.377182)
HIGH_NORM = (0.000000, 0.887277, 0.983471, 1.172161, 1.370331, 1.583173, 1.822399)


def levels_of(height: int, width: int, most: int = MAX_LEVELS - 1) -> int:
    """How often a plane is split."""
    levels = 0
    while levels < most and min(height, width) >= SMALLEST_SIDE:
        height, width, levels = (height + 1) // 2, (width + 1) // 2, levels + 1
    return levels


def subband_shapes(height: int, width: int, levels: int) -> list[tuple[int, int, int, int]]:
    """(kind, level, height, width) of every subband in order; kind 0 LL, 1 HL, 2 LH, 3 HH, level 1 the finest."""
    sides = [(height, width)]
    for _ in range(levels):
        sides.append(((sides[-1][0] + 1) // 2, (sides[-1][1] + 1) // 2))
    shapes = [(0, levels, *sides[levels])]
    for level in range(levels, 0, -1):
        (h, w), (low_h, low_w) = sides[level - 1], sides[level]
        shapes += [(1, level, low_h, w // 2), (2, level, h // 2, low_w), (3, level, h // 2, w // 2)]
    return shapes


@lru_cache(maxsize=32)
def gains(levels: int) -> NDArray[np.float64]:
    """(1 + 3 levels,) what a coefficient of each subband weighs: the L2 norm of its picture."""
    found = [LOW_NORM[levels] ** 2]
    for level in range(levels, 0, -1):
        low, high = LOW_NORM[level], HIGH_NORM[level]
        found += [low * high, high * low, high * high]
    return np.array(found)


def forward(planes: Plane, levels: int) -> Plane:
    """(C, H, W) -> (C, H * W) subbands, scaled so that squared errors are those of the pixels."""
    return _through("forward", planes, planes.shape[1], planes.shape[2], levels, gains(levels).astype(np.float32))


def inverse(subbands: Plane, height: int, width: int, levels: int) -> Plane:
    """The planes (C, H, W) again."""
    return _through("inverse", subbands, height, width, levels, (1 / gains(levels)).astype(np.float32))


def _through(direction: str, data: Plane, height: int, width: int, levels: int, scales: Plane) -> Plane:
    shape = (len(data), height * width) if direction == "forward" else (len(data), height, width)
    if native.available():
        return native.wavelet(direction, np.ascontiguousarray(data, np.float32), shape, height, width, levels, scales)
    step = _forward if direction == "forward" else _inverse
    planes = [step(np.asarray(plane, np.float32), height, width, levels, scales) for plane in data]
    return np.stack(planes) if planes else np.empty(shape, np.float32)


def _around(low: Plane, high_count: int) -> Plane:
    """What stands on both sides of every odd sample: (n, ...) even ones -> (high_count, ...)."""
    after = low[1 : high_count + 1]
    if len(after) < high_count:
        after = np.concatenate([after, low[-1:]])
    return np.asarray(low[:high_count] + after)


def _beside(high: Plane, low_count: int) -> Plane:
    """What stands on both sides of every even sample."""
    before = np.concatenate([high[:1], high])[:low_count]
    after = high if len(high) == low_count else np.concatenate([high, high[-1:]])
    return np.asarray(before + after)


def _split(x: Plane) -> tuple[Plane, Plane]:
    """Along the first axis: low-pass and high-pass half."""
    low, high = x[0::2].copy(), x[1::2].copy()
    for i in (0, 2):
        high += STEPS[i] * _around(low, len(high))
        low += STEPS[i + 1] * _beside(high, len(low))
    return low, high


def _merge(low: Plane, high: Plane) -> Plane:
    low, high = low.copy(), high.copy()
    for i in (2, 0):
        low += -STEPS[i + 1] * _beside(high, len(low))
        high += -STEPS[i] * _around(low, len(high))
    x = np.empty((len(low) + len(high), *low.shape[1:]), np.float32)
    x[0::2], x[1::2] = low, high
    return x


def _forward(plane: Plane, height: int, width: int, levels: int, scales: Plane) -> Plane:
    parts: list[Plane] = []
    for level in range(1, levels + 1):
        low, high = _split(plane)
        (ll, hl), (lh, hh) = (_split(half.T) for half in (low, high))
        at = 1 + 3 * (levels - level)
        parts[:0] = [(part.T * scale).ravel() for part, scale in zip((hl, lh, hh), scales[at : at + 3])]
        plane = ll.T
    return np.concatenate([(plane * scales[0]).ravel(), *parts])


def _inverse(subbands: Plane, height: int, width: int, levels: int, scales: Plane) -> Plane:
    parts, at = [], 0
    for (_, _, h, w), scale in zip(subband_shapes(height, width, levels), scales):
        parts.append(subbands[at : at + h * w].reshape(h, w) * scale)
        at += h * w
    plane = parts[0]
    for hl, lh, hh in zip(parts[1::3], parts[2::3], parts[3::3]):
        plane = _merge(_merge(plane.T, hl.T).T, _merge(lh.T, hh.T).T)
    return np.asarray(plane, np.float32)
