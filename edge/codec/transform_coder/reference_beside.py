"""bitplane.c in slow Python, what an earlier date adds: its magnitudes around a place, and the contexts that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from swathpack.edge.codec.transform_coder.reference_contexts import (
    ALL_CLASSES,
    GROUPS,
    MIXED_AGES,
    N_PLAIN,
    N_PLAIN_SETS,
    Around,
    Known,
    Subband,
    coarser_class,
    log_class,
)

# Sizes of the kinds of contexts, in the order of bitplane.h; there are two of each: where nothing was predicted, where something was.
SIZES = {
    **{"all": GROUPS * 144, "point": 3 * 144 * 5, "new": GROUPS * 144, "new_point": 3 * 144 * 3},
    **{"cell": GROUPS * ALL_CLASSES * 5, "cell_sum": 3 * ALL_CLASSES * 12, "refine": GROUPS * MIXED_AGES * 12},
    **{"offset": GROUPS * MIXED_AGES * 16, "sign": GROUPS * 32},
}
STARTS = dict(zip(SIZES, (N_PLAIN + np.cumsum([0, *SIZES.values()])).tolist()))
N_DATE, SET_DATE = sum(SIZES.values()), N_PLAIN_SETS
N_STATES, N_SETS = N_PLAIN + 2 * N_DATE, 3 * SET_DATE

States = list[list[int]]


@dataclass
class BesideDate(Known):
    """date: the earlier date's values, doubled, None where none is known; predicted: 1 where something was taken of it."""

    date: list[int] | None = field(default=None, kw_only=True)
    predicted: list[int] = field(default_factory=list, kw_only=True)

    def significance_beside(self, b: Subband, at: int, a: Around) -> States:
        """Whether a value is found."""
        if self.date is None:
            return []
        there, p = self._classes(b, at), self.plane + 1
        return [
            self._state("all", at, (b.group * 12 + there % 12) * 12 + log_class(a.all >> p) // 2),
            self._state("point", at, (b.level * 144 + there) * 5 + coarser_class(a.all >> p)),
        ]

    def new_beside(self, b: Subband, at: int, a: Around, found: int) -> States:
        """The same in a new cell."""
        if self.date is None:
            return []
        there = self._classes(b, at)
        return [
            self._state("new", at, (b.group * 12 + there % 12) * 12 + log_class(a.all >> (self.plane + 1)) // 2),
            self._state("new_point", at, (b.level * 144 + there) * 3 + found),
        ]

    def cell_beside(self, b: Subband, cy: int, cx: int, near: int, around: int) -> States:
        """Whether something is found in a cell."""
        if self.date is None:
            return []
        place, there = b.place(cy * 4, cx * 4), log_class(self.date_cell(b, cy, cx) >> (self.plane + 1))
        return [
            self._state("cell", place, (b.group * ALL_CLASSES + there) * 5 + near),
            self._state("cell_sum", place, (b.level * ALL_CLASSES + there) * 12 + around // 2),
        ]

    def refinement_beside(self, b: Subband, at: int, age: int) -> States:
        """The next bit of a value that was found before."""
        if self.date is None:
            return []
        place, top = b.group * MIXED_AGES + age, self.plane + age + 1
        return [
            self._state("refine", at, place * 12 + log_class(self.date_near(b, at) >> (top + 1)) // 2),
            self._state("offset", at, place * 16 + self.offset_class(64 * self.date[at], self.known[at])),
        ]

    def sign_beside(self, b: Subband, at: int, mirror: int) -> States:
        """On which side of zero a value lies, mirrored or not."""
        if self.date is None:
            return []
        there = mirror * self.date[at]
        size = log_class(16 * abs(there) >> (self.plane + 1), 31) // 2
        return [self._state("sign", at, b.group * 32 + (there < 0) * 16 + size)]

    def date_near(self, b: Subband, at: int) -> int:
        """The date's magnitudes around a place, in 1/64."""
        d, s = self._size, b.stride
        beside = d(at - 1) + d(at + 1) + d(at - s) + d(at + s)
        return 16 * d(at) + 8 * beside + 4 * (d(at - s - 1) + d(at - s + 1) + d(at + s - 1) + d(at + s + 1))

    def date_cell(self, b: Subband, cy: int, cx: int) -> int:
        """Half the sum of the date's magnitudes in a cell and twice the largest."""
        sizes = [self._size(at) for at in b.cell_places(cy, cx)]
        return sum(sizes) // 2 + 2 * max(sizes)

    def _classes(self, b: Subband, at: int) -> int:
        """Of the date's own magnitude and of those around, twelve each."""
        own, near = 16 * self._size(at) >> (self.plane + 1), self.date_near(b, at) >> (self.plane + 1)
        return log_class(own) // 2 * 12 + log_class(near) // 2

    def _size(self, at: int) -> int:
        return 0 if self.date is None else abs(self.date[at])

    def _state(self, kind: str, at: int, index: int) -> list[int]:
        return self.states[STARTS[kind] + self.predicted[at] * N_DATE + index]
