"""Searches for what fills a byte budget best without exceeding it: over quantiser steps and dead zones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from swathpack.edge.codec.tile_coder import DEAD_ZONE
from swathpack.edge.stream.quality import STEPS

DEAD_ZONES = (0.0, 0.24)  # searched for a closer fill; the slope of the optimised quantisation goes along in proportion
FILLED = 0.985  # of the budget: good enough to stop searching


T = TypeVar("T")


def finest_fitting(size_of: Callable[[int], int], budget: int, guess: int) -> int:
    """The smallest step index whose size fits; sizes fall with the index, by about 2^(-1/10) each."""
    low, high = -1, STEPS - 1  # low does not fit (or is off the scale), high fits
    q = min(max(guess, 0), STEPS - 2)
    while high - low > 1:
        size = size_of(q)
        if size <= budget:
            high = q
        else:
            low = q
        move = round(10 * math.log2(max(size, 1) / max(budget, 1)))
        q = min(max(q + (move or (1 if size > budget else -1)), low + 1), high - 1)
    return high


def closer(
    best: T, code: Callable[[int, float], T], size_of: Callable[[T], int], q: int, budget: int, rounds: int
) -> T:
    """The largest of `best` (step q at the usual dead zone) and what fits at other dead zones, by bisection:
    a wider one at the next finer step, then a narrower one at the same step.
    """
    for at, (low, high) in ((q - 1, (DEAD_ZONE, DEAD_ZONES[1])), (q, (DEAD_ZONES[0], DEAD_ZONE))):
        if at < 0:
            continue
        for _ in range(rounds):
            if size_of(best) >= FILLED * budget:
                return best
            middle = (low + high) / 2
            found = code(at, middle)
            if size_of(found) <= budget:
                best, high = max(best, found, key=size_of), middle
            else:
                low = middle
    return best


def step_near(level: float) -> int:
    """The learned codec's step at a level: levels of the transform coder go on at both ends."""
    return min(max(round(level), 0), STEPS - 1)
