"""bitplane.c in slow Python, first half: subbands, what is known of their values, and the contexts that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder.layout import CELL, NONE

LL, HL, LH, HH = range(4)
STRONG, LIKELY, GOOD, FAIR, WEAK, REFINE, NEAR, FAR, SEGMENTS = range(9)
FRACTION = 3
LIMIT, LEARNING_SHIFT, MIXED_AGES, MISSING = 255, 16, 2, 1.04
ALL_CLASSES, GROUPS, MAX_INPUTS = 24, 9, 6

# Sizes of the kinds of contexts, in the order of bitplane.h.
SIZES = {
    **{"all": GROUPS * 24, "space": 245, "cross": 245, "new_all": GROUPS * 24, "new": 36, "new_cross": 245},
    **{"cell_near": 90, "cell_four": 144, "cell_component": GROUPS * 48, "cell_sum": 72, "refine": 24},
    **{
        "refine_offset": GROUPS * 32,
        "sign": 9 * GROUPS,
        "sign_cross": 9 * 48,
        "sign_predicted": GROUPS * 8,
        "start": 8,
    },
    **{"turn_all": 2 * GROUPS * 24, "turn_new": 2 * GROUPS * 24, "turn_refine": 2 * MIXED_AGES * 12},
}
STARTS = dict(zip(SIZES, np.cumsum([0, *SIZES.values()]).tolist()))
SET_CELL = 3 * SEGMENTS
SET_NEW, SET_REFINE, SET_SIGN = SET_CELL + 3, SET_CELL + 6, SET_CELL + 8
SET_TURN_SIGNIFICANCE = SET_SIGN + 3
SET_TURN_NEW = SET_TURN_SIGNIFICANCE + 2 * 3 * SEGMENTS
SET_TURN_REFINE = SET_TURN_NEW + 2 * 3
N_PLAIN, N_PLAIN_SETS = sum(SIZES.values()), SET_TURN_REFINE + 2 * MIXED_AGES  # without an earlier date

# The trellis, as in bitplane.h: states behind a value by its parity; odd ones have the second quantiser.
NEXT_STATE = ((0, 2), (5, 7), (1, 3), (6, 4), (2, 0), (4, 6), (3, 1), (7, 5))

WEIGHTS = (
    (8, 9, 4, 0, 2, 1, 1, 0, 0),
    (8, 9, 4, 4, 5, 2, 3, 5, 0),
    (8, 9, 4, 4, 5, 2, 3, 5, 0),
    (8, 7, 4, 3, 4, 2, 4, 6, 6),
)
SIGNED_WEIGHTS = (
    *(((21, 16, -2), (21, 16, -2)), ((-20, 10, 3), (-12, 5, 0))),
    *(((9, -19, 3), (5, -12, -1)), ((-19, -20, -8), (-6, -4, 0))),
)
COARSE = (0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 6)
SEGMENT_OF = (*[NEAR] * 3, *[WEAK] * 4, *[FAIR] * 3, *[GOOD] * 2, *[LIKELY] * 3, *[STRONG] * 9)
CELL_SEGMENT_OF = (*[FAR] * 3, *[NEAR] * 5, *[WEAK] * 2, *[FAIR] * 14)


def log_class(x: int, most: int = ALL_CLASSES - 1) -> int:
    """Two classes an octave: 0, 1, 2, 3, 4-5, 6-7, 8-11, ... are 0, 1, 3, 4, 5, 6, 7, ..., at most `most`."""
    n = x.bit_length() - 1
    return 0 if x == 0 else min(1 + 2 * n + (x >> (n - 1) & 1 if n else 0), most)


def coarse_class(x: int) -> int:
    """Seven classes of a magnitude in 1/64."""
    return COARSE[log_class(x)]


def coarser_class(x: int) -> int:
    """Five of them."""
    return (coarse_class(x) * 4 + 5) // 6


def sign(v: int) -> int:
    """-1, 0 or 1."""
    return (v > 0) - (v < 0)


@dataclass(frozen=True)
class Subband:
    """subband_t of bitplane.h."""

    offset: int
    stride: int
    height: int
    width: int
    cell_offset: int
    cell_stride: int
    parent: int
    first: int
    second: int
    sibling: int
    other: int
    kind: int
    level: int
    component: int

    @property
    def group(self) -> int:
        """Kind, LH as HL, with the level."""
        return self.kind_class * 3 + self.level

    @property
    def kind_class(self) -> int:
        """0 LL, 1 HL and LH, 2 HH."""
        return (0, 1, 1, 2)[self.kind]

    def place(self, y: int, x: int) -> int:
        """Where a value stands."""
        return self.offset + y * self.stride + x

    def cell(self, cy: int, cx: int) -> int:
        """Where a cell's numbers stand."""
        return self.cell_offset + cy * self.cell_stride + cx

    def cells(self) -> Iterator[tuple[int, int]]:
        """Rows and columns of all cells."""
        return ((cy, cx) for cy in range(-(-self.height // CELL)) for cx in range(-(-self.width // CELL)))

    def cell_places(self, cy: int, cx: int) -> list[int]:
        """Of all 16 values of a cell, whether or not they are in the picture."""
        first = self.place(cy * CELL, cx * CELL)
        return [first + y * self.stride + x for y in range(CELL) for x in range(CELL)]

    def inside(self, cy: int, cx: int) -> Iterator[tuple[int, int]]:
        """Rows and columns of the values of a cell."""
        rows = range(cy * CELL, min((cy + 1) * CELL, self.height))
        return ((y, x) for y in rows for x in range(cx * CELL, min((cx + 1) * CELL, self.width)))


@dataclass
class Around:
    """around_t of bitplane.c."""

    all: int
    space: int
    cross: int
    along: int
    across: int
    diagonal: int
    parent: int
    predicted: int


@dataclass
class Known:
    """What both sides know: of the subbands, of their values, of cells; and the adaptive states."""

    bands: list[Subband]
    known: list[int]
    cell: list[int]
    states: list[list[int]]
    plane: int

    def state(self, kind: str, index: int) -> list[int]:
        """An adaptive state."""
        return self.states[STARTS[kind] + index]

    def beside(self, b: Subband, relative: int, at: int) -> int:
        """The place in a subband of the same shape."""
        return at - b.offset + self.bands[relative].offset

    def look_around(self, b: Subband, y: int, x: int) -> Around:
        """What is known around a place."""
        k, at, s = self.known, b.place(y, x), b.stride
        w, g = WEIGHTS[b.kind], SIGNED_WEIGHTS[b.kind][b.level > 0]
        h, v = (k[at - 1], k[at + 1]), (k[at - s], k[at + s])
        d = (k[at - s - 1], k[at - s + 1], k[at + s - 1], k[at + s + 1])
        along, across = (sum(map(abs, pair)) for pair in ((h, v) if b.kind == LH else (v, h)))
        diagonal, cross, parent = sum(map(abs, d)), 0, 0
        if b.first != NONE:
            f = self.beside(b, b.first, at)
            cross = w[4] * abs(k[f]) + w[5] * sum(abs(k[i]) for i in (f - 1, f + 1, f - s, f + s))
            if b.second != NONE:
                cross += w[6] * abs(k[self.beside(b, b.second, at)])
        space = w[0] * along + w[1] * across + w[2] * diagonal
        total = space + cross
        if b.parent != NONE:
            parent = abs(k[self.bands[b.parent].place(y >> 1, x >> 1)])
            total += w[3] * parent
        for relative, weight in ((b.sibling, w[7]), (b.other, w[8])):
            if relative != NONE:
                total += weight * abs(k[self.bands[relative].place(y, x)])
        predicted = g[0] * sum(h) + g[1] * sum(v) + g[2] * sum(d)
        return Around(total, space, cross, along, across, diagonal, parent, predicted)

    def cross_context(self, a: Around) -> int:
        """Components, space and parent."""
        p = self.plane + 1
        return (coarse_class(a.cross >> p) * 7 + coarse_class(a.space >> p)) * 5 + coarser_class(8 * a.parent >> p)

    def offset_class(self, predicted: int, known: int) -> int:
        """How far a prediction is above the middle of what is known, in halves of the threshold, 16 classes."""
        away = (-predicted if known < 0 else predicted) - 64 * abs(known)
        return min(max((away + (512 << self.plane)) // (64 << self.plane), 0), 15)

    def cell_age(self, relative: int, cy: int, cx: int) -> int:
        """Of another subband's cell: 0 empty, 1 something was found in this plane or the last, 2 before."""
        if relative == NONE:
            return 0
        v = self.cell[self.bands[relative].cell(cy, cx)]
        return 0 if v == 0 else 1 if v <= self.plane + 2 else 2

    def cell_sum(self, relative: int, cy: int, cx: int) -> int:
        """Magnitudes in another subband's cell."""
        if relative == NONE:
            return 0
        return sum(abs(self.known[self.bands[relative].place(y, x)]) for y, x in self.bands[relative].inside(cy, cx))

    def cell_surroundings(self, b: Subband, cy: int, cx: int) -> int:
        """Magnitudes around an empty cell and in its relatives, weighted."""
        k, at, s = self.known, b.place(cy * CELL, cx * CELL), b.stride
        total = sum(
            abs(k[at + i - s]) + abs(k[at + i + CELL * s]) + abs(k[at + i * s - 1]) + abs(k[at + i * s + CELL])
            for i in range(CELL)
        )
        if b.parent != NONE:
            o = self.bands[b.parent]
            total += sum(abs(k[o.place(2 * cy + i, 2 * cx + j)]) for i in (0, 1) for j in (0, 1))
        return 2 * (total + self.cell_sum(b.first, cy, cx)) + self.cell_sum(b.sibling, cy, cx)


def indices_drawn(known: NDArray[np.int32], bits: NDArray[np.uint8], seconds: set[int]) -> NDArray[np.int32]:
    """draw_indices of bitplane.c: what indices stand for, doubled, in steps of the trellis."""
    sizes, turns = np.abs(known), np.zeros(len(known), np.int32)
    turns[list(seconds)] = 2
    drawn = np.where(bits > 0, 2 * sizes - 3, 2 * (sizes - 1) - turns)
    return np.asarray(np.where(sizes > 0, np.sign(known) * drawn, 0), np.int32)
