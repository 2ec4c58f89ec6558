"""bitplane.c in slow Python: the definition of the bit planes that is easy to read, and the coder where no C is built."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder.date_values import Beside
from swathpack.edge.codec.transform_coder.layout import CELL, NONE
from swathpack.edge.codec.transform_coder.reference_beside import N_SETS, SET_DATE, BesideDate
from swathpack.edge.codec.transform_coder.reference_contexts import (
    ALL_CLASSES,
    CELL_SEGMENT_OF,
    FRACTION,
    GROUPS,
    LEARNING_SHIFT,
    LH,
    LIMIT,
    MAX_INPUTS,
    MISSING,
    MIXED_AGES,
    NEXT_STATE,
    REFINE,
    SEGMENT_OF,
    SEGMENTS,
    SET_CELL,
    SET_NEW,
    SET_REFINE,
    SET_SIGN,
    SET_TURN_NEW,
    SET_TURN_REFINE,
    SET_TURN_SIGNIFICANCE,
    Subband,
    coarse_class,
    coarser_class,
    indices_drawn,
    log_class,
    sign,
)
from swathpack.edge.stream.binary import (
    Mark,
    RangeDecoder,
    RangeEncoder,
    mixed_bit,
    settled_size,
    update,
)


@dataclass
class BitPlanes(BesideDate):
    """coder_t of bitplane.h; `values` is None in a decoder."""

    coder: RangeEncoder | RangeDecoder
    weights: list[list[int]]
    targets: list[int]
    values: list[int] | None = None
    holes: list[int] | None = None
    limit: int = 0
    segment: int = SEGMENTS
    done: int = 0
    stop: bool = False
    finished: bool = False
    trellis: bool = False
    turn: int = 0  # state of the trellis, in plane 0
    seconds: set[int] = field(default_factory=set)  # places that have the second quantiser
    lists: list[list[tuple[int, bool, int, int, int]]] = field(default_factory=lambda: [[] for _ in range(SEGMENTS)])
    marks: list[tuple[Mark | None, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.started = [False] * len(self.bands)

    # ----------------------------------------------------------------------------------------------- decisions

    def decide(self, bit: int, states: list[list[int]], weights: int, at: int) -> int:
        """One mixed decision about a place; beside an earlier date it has weights of its own."""
        if self.date is not None:
            weights += SET_DATE * (1 + self.predicted[at])
        return mixed_bit(self.coder, bit, states, self.weights[weights], LIMIT, LEARNING_SHIFT)

    @property
    def turning(self) -> bool:
        """Whether this is the plane that a trellis runs through."""
        return self.trellis and self.plane == 0

    def pass_by(self, at: int, bit: int) -> None:
        """The trellis goes on behind a value whose lowest bit is known."""
        if self.turning and self.coder.settled:
            if self.turn & 1:
                self.seconds.add(at)
            self.turn = NEXT_STATE[self.turn][bit]

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
        states += self.sign_beside(b, at, mirror)
        bit = 0 if self.values is None else int((self.values[at] < 0) != (mirror < 0))
        bit = self.decide(bit, states, SET_SIGN + b.level, at)
        if self.coder.settled:
            k[at] = (-3 if bit != (mirror < 0) else 3) << p

    def code_significance(self, b: Subband, y: int, x: int, segment: int) -> None:
        """Whether a value is found in this plane."""
        at, a, p = b.place(y, x), self.look_around(b, y, x), self.plane + 1
        beside = coarse_class(8 * a.along >> p) * 7 + coarse_class(8 * a.across >> p)
        weights = b.level * SEGMENTS + segment
        states = [
            self.state("all", b.group * ALL_CLASSES + log_class(a.all >> p)),
            self.state("space", beside * 5 + coarser_class(8 * a.diagonal >> p)),
            self.state("cross", self.cross_context(a)),
        ]
        if self.turning:
            second = self.turn & 1
            states.append(self.state("turn_all", (second * GROUPS + b.group) * ALL_CLASSES + log_class(a.all >> p)))
            weights += SET_TURN_SIGNIFICANCE + second * 3 * SEGMENTS
        states += self.significance_beside(b, at, a)
        bit = self.decide(self.magnitude_bit(at), states, weights, at)
        if bit and self.coder.settled:
            self.code_sign(b, at, a.predicted)
        self.pass_by(at, bit)

    def code_refinement(self, b: Subband, y: int, x: int) -> None:
        """The next bit of a value that was found before; those after the second are hardly better than a coin."""
        at = b.place(y, x)
        known, top = self.known[at], abs(self.known[at]).bit_length() - 2
        age = top - self.plane - 1
        if age < MIXED_AGES:
            a = self.look_around(b, y, x)
            offset = self.offset_class(a.predicted, known)
            weights = SET_REFINE + age
            states = [
                self.state("refine", age * 12 + log_class(a.all >> (top + 1), 11)),
                self.state("refine_offset", (b.group * MIXED_AGES + age) * 16 + offset),
            ]
            if self.turning:
                second = (self.turn & 1) * MIXED_AGES + age
                states.append(self.state("turn_refine", second * 12 + log_class(a.all >> (top + 1), 11)))
                weights = SET_TURN_REFINE + second
            states += self.refinement_beside(b, at, age)
            bit = self.decide(self.magnitude_bit(at), states, weights, at)
        else:
            bit = self.coder.bit(self.magnitude_bit(at), 32768)
        if self.coder.settled:
            self.known[at] += (1 if bit == (known > 0) else -1) << self.plane
        self.pass_by(at, bit)

    def open_places(self, b: Subband, cy: int, cx: int) -> list[tuple[int, int]]:
        """Places of a cell but those of which both sides know that nothing is there."""
        return [(y, x) for y, x in b.inside(cy, cx) if self.holes is None or not self.holes[b.place(y, x)]]

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
        place = b.place(cy * CELL, cx * CELL)
        states += self.cell_beside(b, cy, cx, near, around)
        bit = self.decide(self.cell_holds(b, cy, cx), states, SET_CELL + b.level, place)
        if bit and self.coder.settled:
            self.cell[at] = self.plane + 1
            self.code_new_cell(b, cy, cx)
        elif not bit:
            for y, x in self.open_places(b, cy, cx):
                self.pass_by(b.place(y, x), 0)

    def code_new_cell(self, b: Subband, cy: int, cx: int) -> None:
        """The values of a cell in which something is known to be found."""
        places, n = self.open_places(b, cy, cx), 0
        for left, (y, x) in zip(range(len(places), 0, -1), places):
            at, a, bit = b.place(y, x), self.look_around(b, y, x), 1
            if left > 1 or n > 0:
                expected = b.group * ALL_CLASSES + log_class(a.all >> (self.plane + 1))
                weights = SET_NEW + min(n, 2)
                states = [
                    self.state("new_all", expected),
                    self.state("new", (min(n, 2) * 4 + (left - 1) // 4) * 3 + b.level),
                    self.state("new_cross", self.cross_context(a)),
                ]
                if self.turning:
                    second = self.turn & 1
                    states.append(self.state("turn_new", second * GROUPS * ALL_CLASSES + expected))
                    weights = SET_TURN_NEW + second * 3 + min(n, 2)
                states += self.new_beside(b, at, a, min(n, 2))
                bit = self.decide(self.magnitude_bit(at), states, weights, at)
            if bit and self.coder.settled:
                self.code_sign(b, at, a.predicted)
            self.pass_by(at, bit)
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
        """What is to be coded, by segment: (subband, whether it is a cell, row, column, segment); a trellis's plane 0 in one go."""
        self.lists = [[] for _ in range(SEGMENTS)]
        for i, b in enumerate(self.bands):
            for cy, cx in b.cells() if self.started[i] else ():
                places = self.open_places(b, cy, cx)
                if places and not self.cell[b.cell(cy, cx)]:
                    around = log_class(self.cell_surroundings(b, cy, cx) >> (self.plane + 1))
                    segment = CELL_SEGMENT_OF[around]
                    self.lists[0 if self.turning else segment].append((i, True, cy, cx, segment))
                    continue
                for y, x in places:
                    segment = self.segment_of(b, y, x)
                    self.lists[0 if self.turning else segment].append((i, False, y, x, segment))

    def segment_of(self, b: Subband, y: int, x: int) -> int:
        """Of a value in a cell that is not empty."""
        if self.known[b.place(y, x)]:
            return REFINE
        return SEGMENT_OF[log_class(self.look_around(b, y, x).all >> (self.plane + 1))]

    def code_segment(self) -> None:
        """All of a segment, or until the end."""
        last = -1
        for i, is_cell, y, x, segment in self.lists[self.segment]:
            self.turn, last = self.turn if i == last else 0, i
            if is_cell:
                self.code_cell(self.bands[i], y, x)
            elif segment == REFINE:
                self.code_refinement(self.bands[i], y, x)
            else:
                self.code_significance(self.bands[i], y, x, segment)
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
        """Places that this plane has to code and has not."""
        if self.segment == SEGMENTS:
            return set()
        rest = [*self.lists[self.segment][self.done :], *chain.from_iterable(self.lists[self.segment + 1 :])]
        found: set[int] = set()
        for i, is_cell, y, x, _ in rest:
            places = self.bands[i].cell_places(y, x) if is_cell else [self.bands[i].place(y, x)]
            found.update(at for at in places if not is_cell or not self.known[at])
        return found

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
    trellis: bool,
    beside: Beside | None,
) -> BitPlanes:
    bands = [Subband(*row) for row in subbands.tolist()]
    weights = model[1].reshape(N_SETS, MAX_INPUTS).tolist()
    known, cells, states = [0] * sizes[0], [0] * sizes[1], model[0].tolist()
    found = BitPlanes(bands, known, cells, states, 0, coder, weights, targets.tolist(), trellis=trellis)
    if beside is not None:
        found.date, found.predicted = beside.values.tolist(), beside.predicted.tolist()
    return found


def encode(
    subbands: NDArray[np.uint32],
    n_values: int,
    n_cells: int,
    planes: int,
    model: tuple[NDArray[np.uint16], NDArray[np.int32]],
    values: NDArray[np.int32],
    limit: int,
    targets: NDArray[np.uint64],
    holes: NDArray[np.uint8] | None = None,
    trellis: bool = False,
    beside: Beside | None = None,
) -> tuple[bytes, NDArray[np.uint64], NDArray[np.float64]]:
    """As native.encode."""
    coder = RangeEncoder()
    planes_of = _bit_planes(coder, subbands, (n_values, n_cells), model, targets, trellis, beside)
    planes_of.values, planes_of.limit = values.tolist(), limit
    planes_of.holes = None if holes is None else holes.tolist()
    planes_of.code_planes(planes)
    last, payload = planes_of.remaining_error(), coder.finish()
    sizes = [settled_size(payload, mark) for mark, _ in planes_of.marks if mark is not None]
    errors = [error for _, error in planes_of.marks]
    missing = len(targets) + 1 - len(errors)
    sizes, errors = sizes + [len(payload)] * missing, errors + [last] * missing
    return payload, np.array(sizes, np.uint64), np.array(errors, np.float64)


def decode(
    subbands: NDArray[np.uint32],
    n_values: int,
    n_cells: int,
    planes: int,
    model: tuple[NDArray[np.uint16], NDArray[np.int32]],
    payload: bytes,
    targets: NDArray[np.uint64],
    holes: NDArray[np.uint8] | None = None,
    trellis: bool = False,
    beside: Beside | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.uint8], int]:
    """As native.decode."""
    planes_of = _bit_planes(RangeDecoder(payload), subbands, (n_values, n_cells), model, targets, trellis, beside)
    planes_of.holes = None if holes is None else holes.tolist()
    planes_of.code_planes(planes)
    bits = np.full(n_values, planes_of.plane, np.uint8)
    bits[list(planes_of.pending())] += 1
    layers = len(targets) + 1 if planes_of.finished else len(planes_of.marks)
    known = np.array(planes_of.known, np.int32)
    if trellis:
        known = indices_drawn(known, bits, planes_of.seconds)
        bits += 1
    return known, bits, layers
