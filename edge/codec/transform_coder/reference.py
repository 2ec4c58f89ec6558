"""bitplane.c in slow Python: the definition of the bit planes that is easy to read, and the coder where no C is built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder.layout import CELL, NONE
from swathpack.edge.codec.transform_coder.reference_binary import (
    Mark,
    RangeDecoder,
    RangeEncoder,
    mixed_bit,
    settled_size,
    update,
)

LL, HL, LH, HH = range(4)
STRONG, LIKELY, GOOD, FAIR, WEAK, REFINE, NEAR, FAR, SEGMENTS = range(9)
FRACTION = 3
LIMIT, LEARNING_SHIFT, MISSING = 255, 16, 1.08
ALL_CLASSES, GROUPS, MAX_INPUTS = 24, 9, 6

# Sizes of the kinds of contexts, in the order of bitplane.h.
SIZES = {
    **{"all": GROUPS * 24, "space": 245, "cross": 245, "new_all": GROUPS * 24, "new": 36, "new_cross": 245},
    **{"cell_near": 90, "cell_four": 144, "cell_component": GROUPS * 48, "cell_sum": 72, "refine": 36},
    **{
        "refine_offset": GROUPS * 48,
        "sign": 9 * GROUPS,
        "sign_cross": 9 * 48,
        "sign_predicted": GROUPS * 8,
        "start": 8,
    },
}
STARTS = dict(zip(SIZES, np.cumsum([0, *SIZES.values()]).tolist()))
SET_CELL = 3 * SEGMENTS
SET_NEW, SET_REFINE, SET_SIGN = SET_CELL + 3, SET_CELL + 6, SET_CELL + 9
N_STATES, N_SETS = sum(SIZES.values()), SET_SIGN + 3

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
        """Of a value."""
        return self.offset + y * self.stride + x

    def cell(self, cy: int, cx: int) -> int:
        """Of a cell."""
        return self.cell_offset + cy * self.cell_stride + cx

    def cells(self) -> Iterator[tuple[int, int]]:
        """Rows and columns of all cells."""
        return ((cy, cx) for cy in range(-(-self.height // CELL)) for cx in range(-(-self.width // CELL)))

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
class BitPlanes:
    """coder_t of bitplane.h; `values` is None in a decoder."""

    coder: RangeEncoder | RangeDecoder
    bands: list[Subband]
    known: list[int]
    cell: list[int]
    states: list[list[int]]
    weights: list[list[int]]
    targets: list[int]
    values: list[int] | None = None
    limit: int = 0
    plane: int = 0
    segment: int = SEGMENTS
    done: int = 0
    stop: bool = False
    finished: bool = False
    lists: list[list[tuple[int, bool, int, int]]] = field(default_factory=lambda: [[] for _ in range(SEGMENTS)])
    marks: list[tuple[Mark | None, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.started = [False] * len(self.bands)

    # ------------------------------------------------------------------------------------------------ contexts

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

    # ----------------------------------------------------------------------------------------------- decisions

    def decide(self, bit: int, states: list[list[int]], weights: int) -> int:
        """One mixed decision."""
        return mixed_bit(self.coder, bit, states, self.weights[weights], LIMIT, LEARNING_SHIFT)

    def magnitude_bit(self, at: int) -> int:
        """The value's bit in this plane; nothing in a decoder."""
        return 0 if self.values is None else abs(self.values[at]) >> (self.plane + FRACTION) & 1

    def code_sign(self, b: Subband, at: int, predicted: int) -> None:
        """Of a value that has been found; contexts are mirrored where a negative one is predicted."""
        k, s, p = self.known, b.stride, self.plane
        mirror = -1 if predicted < 0 else 1
        pair = [0 if r == NONE else mirror * sign(k[self.beside(b, r, at)]) for r in (b.first, b.second)]
        h = mirror * sign(sign(k[at - 1]) + sign(k[at + 1]))
        v = mirror * sign(sign(k[at - s]) + sign(k[at + s]))
        beside = (v + 1) * 3 + h + 1 if b.kind == LH else (h + 1) * 3 + v + 1
        states = [
            self.state("sign", beside * GROUPS + b.group),
            self.state("sign_cross", (((pair[0] + 1) * 3 + pair[1] + 1) * 16 + b.component) * 3 + b.level),
            self.state("sign_predicted", b.group * 8 + log_class(abs(predicted) >> (p + 1), 15) // 2),
        ]
        bit = 0 if self.values is None else int((self.values[at] < 0) != (mirror < 0))
        bit = self.decide(bit, states, SET_SIGN + b.level)
        if self.coder.settled:
            k[at] = (-3 if bit != (mirror < 0) else 3) << p

    def code_significance(self, b: Subband, y: int, x: int, segment: int) -> None:
        """Whether a value is found in this plane."""
        at, a, p = b.place(y, x), self.look_around(b, y, x), self.plane + 1
        beside = coarse_class(8 * a.along >> p) * 7 + coarse_class(8 * a.across >> p)
        states = [
            self.state("all", b.group * ALL_CLASSES + log_class(a.all >> p)),
            self.state("space", beside * 5 + coarser_class(8 * a.diagonal >> p)),
            self.state("cross", self.cross_context(a)),
        ]
        if self.decide(self.magnitude_bit(at), states, b.level * SEGMENTS + segment) and self.coder.settled:
            self.code_sign(b, at, a.predicted)

    def code_refinement(self, b: Subband, y: int, x: int) -> None:
        """The next bit of a value that was found before."""
        at, a = b.place(y, x), self.look_around(b, y, x)
        known, top = self.known[at], abs(self.known[at]).bit_length() - 2
        age = min(top - self.plane, 3) - 1
        away = (-a.predicted if known < 0 else a.predicted) - 64 * abs(known)
        offset = min(max((away + (512 << self.plane)) // (64 << self.plane), 0), 15)
        states = [
            self.state("refine", age * 12 + log_class(a.all >> (top + 1), 11)),
            self.state("refine_offset", (b.group * 3 + age) * 16 + offset),
        ]
        bit = self.decide(self.magnitude_bit(at), states, SET_REFINE + age)
        if self.coder.settled:
            self.known[at] += (1 if bit == (known > 0) else -1) << self.plane

    def cell_holds(self, b: Subband, cy: int, cx: int) -> int:
        """Whether a cell has something in this plane or above; nothing in a decoder."""
        if self.values is None:
            return 0
        return int(any(abs(self.values[b.place(y, x)]) >> (self.plane + FRACTION) for y, x in b.inside(cy, cx)))

    def code_cell(self, b: Subband, cy: int, cx: int) -> None:
        """Whether something is found in an empty cell, and then its values."""
        at, s = b.cell(cy, cx), b.cell_stride
        four = [int(self.cell[i] != 0) for i in (at - 1, at + 1, at - s, at + s)]
        n = sum(four) + sum(self.cell[at + i] != 0 for i in (-s - 1, -s + 1, s - 1, s + 1))
        near = n if n < 3 else 3 if n < 6 else 4
        parent, first = self.cell_age(b.parent, cy >> 1, cx >> 1), self.cell_age(b.first, cy, cx)
        sibling = int(self.cell_age(b.sibling, cy, cx) != 0)
        around = log_class(self.cell_surroundings(b, cy, cx) >> (self.plane + 1))
        states = [
            self.state("cell_near", ((near * 3 + parent) * 3 + first) * 2 + sibling),
            self.state("cell_four", (sum(f << i for i, f in enumerate(four)) * 3 + parent) * 3 + b.kind_class),
            self.state("cell_component", (b.group * 16 + b.component) * 3 + min(near, 2)),
            self.state("cell_sum", b.level * ALL_CLASSES + around),
        ]
        if self.decide(self.cell_holds(b, cy, cx), states, SET_CELL + b.level) and self.coder.settled:
            self.cell[at] = self.plane + 1
            self.code_new_cell(b, cy, cx)

    def code_new_cell(self, b: Subband, cy: int, cx: int) -> None:
        """The values of a cell in which something is known to be found."""
        places, n = list(b.inside(cy, cx)), 0
        for left, (y, x) in zip(range(len(places), 0, -1), places):
            at, a, bit = b.place(y, x), self.look_around(b, y, x), 1
            if left > 1 or n > 0:
                states = [
                    self.state("new_all", b.group * ALL_CLASSES + log_class(a.all >> (self.plane + 1))),
                    self.state("new", (min(n, 2) * 4 + (left - 1) // 4) * 3 + b.level),
                    self.state("new_cross", self.cross_context(a)),
                ]
                bit = self.decide(self.magnitude_bit(at), states, SET_NEW + min(n, 2))
            if bit and self.coder.settled:
                self.code_sign(b, at, a.predicted)
            if not self.coder.settled:
                return
            n += bit

    # -------------------------------------------------------------------------------------------------- planes

    def start_subbands(self) -> None:
        """Which subbands this plane is the first to find something in."""
        for i, b in enumerate(self.bands):
            if self.started[i]:
                continue
            relatives = [r != NONE and self.started[r] for r in (b.parent, b.first, b.sibling)]
            state = self.state("start", sum(s << n for n, s in enumerate(relatives)))
            bit = int(any(self.cell_holds(b, *place) for place in b.cells()))
            bit = self.coder.bit(bit, min(max(state[0], 512), 65024))
            if not self.coder.settled:
                return
            update(state, bit, 30)
            self.started[i] = bool(bit)

    def sort_plane(self) -> None:
        """What the plane has to code, by segment: (subband, whether it is a cell, row, column)."""
        self.lists = [[] for _ in range(SEGMENTS)]
        for i, b in enumerate(self.bands):
            for cy, cx in b.cells() if self.started[i] else ():
                if not self.cell[b.cell(cy, cx)]:
                    around = log_class(self.cell_surroundings(b, cy, cx) >> (self.plane + 1))
                    self.lists[CELL_SEGMENT_OF[around]].append((i, True, cy, cx))
                    continue
                for y, x in b.inside(cy, cx):
                    self.lists[self.segment_of(b, y, x)].append((i, False, y, x))

    def segment_of(self, b: Subband, y: int, x: int) -> int:
        """Of a value in a cell that is not empty."""
        if self.known[b.place(y, x)]:
            return REFINE
        return SEGMENT_OF[log_class(self.look_around(b, y, x).all >> (self.plane + 1))]

    def code_segment(self) -> None:
        """All of a segment, or until the end."""
        for i, is_cell, y, x in self.lists[self.segment]:
            if is_cell:
                self.code_cell(self.bands[i], y, x)
            elif self.segment == REFINE:
                self.code_refinement(self.bands[i], y, x)
            else:
                self.code_significance(self.bands[i], y, x, self.segment)
            if not self.coder.settled:
                return
            self.done += 1
            self.count()
            if self.stop:
                return

    def code_planes(self, planes: int) -> None:
        """From the highest plane down."""
        for self.plane in range(planes - 1, -1, -1):
            self.segment = SEGMENTS
            self.start_subbands()
            if self.stop or not self.coder.settled:
                self.plane += 1
                return
            self.sort_plane()
            for self.segment in range(SEGMENTS):
                self.done = 0
                self.code_segment()
                if self.stop or not self.coder.settled:
                    return
        self.plane, self.segment, self.finished = 0, SEGMENTS, True

    def count(self) -> None:
        """After every decision: is a layer full, or the room?"""
        while len(self.marks) < len(self.targets) and self.coder.position >= self.targets[len(self.marks)]:
            mark = self.coder.mark() if isinstance(self.coder, RangeEncoder) else None
            self.marks.append((mark, self.remaining_error()))
        self.stop = self.values is not None and self.coder.position > self.limit

    # --------------------------------------------------------------------------------------------------- known

    def pending(self) -> set[int]:
        """Places whose refinement in this plane has not been coded."""
        rest = self.lists[REFINE][
            0 if self.segment < REFINE else self.done if self.segment == REFINE else SEGMENTS**9 :
        ]
        return {self.bands[i].place(y, x) for i, _, y, x in rest}

    def remaining_error(self) -> float:
        """Squared error of what is known, in squared units of plane 0; 0 in a decoder."""
        if self.values is None:
            return 0.0
        pending, total = self.pending(), 0.0
        for b in self.bands:
            for at in (b.place(y, x) for y in range(b.height) for x in range(b.width)):
                m, v = abs(self.known[at]), abs(self.values[at])
                plane = self.plane + (at in pending)
                inside = 27 if m >> (plane + 1) < 2 else 29 if m >> (plane + 1) < 4 else 30
                middle = 0.5 * m - (1 << plane) * (32 - inside) / 64 if m else 0.0
                error = (v + 0.5 if v else 0.0) / (1 << FRACTION) - middle
                total += error * error * (1 if m else MISSING)
        return total


def _bit_planes(
    coder: RangeEncoder | RangeDecoder,
    subbands: NDArray[np.uint32],
    sizes: tuple[int, int],
    model: tuple[NDArray[np.uint16], NDArray[np.int32]],
    targets: NDArray[np.uint64],
) -> BitPlanes:
    bands = [Subband(*row) for row in subbands.tolist()]
    weights = model[1].reshape(N_SETS, MAX_INPUTS).tolist()
    return BitPlanes(coder, bands, [0] * sizes[0], [0] * sizes[1], model[0].tolist(), weights, targets.tolist())


def encode(
    subbands: NDArray[np.uint32],
    n_values: int,
    n_cells: int,
    planes: int,
    model: tuple[NDArray[np.uint16], NDArray[np.int32]],
    values: NDArray[np.int32],
    limit: int,
    targets: NDArray[np.uint64],
) -> tuple[bytes, NDArray[np.uint64], NDArray[np.float64]]:
    """As native.encode."""
    coder = RangeEncoder()
    planes_of = _bit_planes(coder, subbands, (n_values, n_cells), model, targets)
    planes_of.values, planes_of.limit = values.tolist(), limit
    planes_of.code_planes(planes)
    last, payload = planes_of.remaining_error(), coder.finish()
    sizes = [settled_size(payload, mark) for mark, _ in planes_of.marks if mark is not None]
    errors = [error for _, error in planes_of.marks]
    missing = len(targets) + 1 - len(errors)
    return (
        payload,
        np.array(sizes + [len(payload)] * missing, np.uint64),
        np.array(errors + [last] * missing, np.float64),
    )


def decode(
    subbands: NDArray[np.uint32],
    n_values: int,
    n_cells: int,
    planes: int,
    model: tuple[NDArray[np.uint16], NDArray[np.int32]],
    payload: bytes,
    targets: NDArray[np.uint64],
) -> tuple[NDArray[np.int32], NDArray[np.uint8], int]:
    """As native.decode."""
    planes_of = _bit_planes(RangeDecoder(payload), subbands, (n_values, n_cells), model, targets)
    planes_of.code_planes(planes)
    bits = np.full(n_values, planes_of.plane, np.uint8)
    bits[list(planes_of.pending())] += 1
    layers = len(targets) + 1 if planes_of.finished else len(planes_of.marks)
    return np.array(planes_of.known, np.int32), bits, layers
