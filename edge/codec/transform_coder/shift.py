"""An earlier date moved by parts of a pixel: satellites do not come back to the same place to better than a third of one.

Integers throughout, so that both sides have the same to the last bit. Eight taps, the sinc under a Kaiser window (beta 3.5) at
sixteenths of a cell, in 128ths; it departs from a shift by less than 2 % up to 0.7 of the highest frequency.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Shift = tuple[int, int]  # down and to the right, eighths of a pixel: where in the date what belongs here lies

STILL: Shift = (0, 0)
EIGHTHS = 8
REACH = 31  # eighths, the most that a head says
FINENESS = 16  # of samples in between
PHASES = 16
ONE_BITS = 7  # taps add up to 2^7
BEFORE, TAPS = 3, 8
MARGIN = REACH // EIGHTHS + 1 + TAPS // 2

_FIRST = (
    (0, 0, 0, 128, 0, 0, 0, 0),
    (-1, 3, -7, 127, 8, -3, 1, 0),
    (-2, 5, -12, 125, 17, -6, 2, -1),
    (-2, 6, -17, 121, 26, -9, 4, -1),
    (-3, 8, -20, 115, 37, -12, 5, -2),
    (-3, 9, -22, 108, 47, -15, 6, -2),
    (-3, 9, -23, 100, 58, -18, 7, -2),
    (-3, 9, -23, 90, 70, -20, 8, -3),
    (-3, 9, -22, 80, 80, -22, 9, -3),
)
FILTERS = np.array([*_FIRST, *(taps[::-1] for taps in _FIRST[7:0:-1])], np.int32)  # (PHASES, TAPS)


def in_cells(eighths: int, factor: int) -> tuple[int, int]:
    """Whole cells of `factor` pixels and sixteenths of one, the nearest to a shift in eighths of a pixel."""
    return divmod((4 * eighths + factor) // (2 * factor), PHASES)


def moved(sums: NDArray[np.int64], factor: int, shift: Shift) -> NDArray[np.float32]:
    """Means (B, h, w) of cells a shift away, from sums of their factor^2 counts (uint16 each); cells at the edge as if they went
    on.
    """
    area = factor * factor
    cells = ((FINENESS * sums + area // 2) // area).astype(np.int32)
    found = _along(_along(cells, 1, *in_cells(shift[0], factor)), 2, *in_cells(shift[1], factor))
    return (found.astype(np.float64) / FINENESS).astype(np.float32)


def _along(cells: NDArray[np.int32], axis: int, whole: int, phase: int) -> NDArray[np.int32]:
    """Moved along an axis; 16 bits of counts, 4 of FINENESS and 8 of taps stay below 31."""
    size, beside = cells.shape[axis], [(0, 0)] * cells.ndim
    beside[axis] = (MARGIN, MARGIN)
    wide = np.pad(cells, beside, mode="edge")

    def at(tap: int) -> NDArray[np.int32]:
        start = MARGIN + whole + tap - BEFORE
        return wide[(slice(None),) * axis + (slice(start, start + size),)]

    if not phase:
        return at(BEFORE)
    total = np.full(cells.shape, 1 << (ONE_BITS - 1), np.int32)
    for tap, factor in enumerate(FILTERS[phase]):
        total += factor * at(tap)
    return total >> ONE_BITS
