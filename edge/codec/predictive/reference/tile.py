"""What a tile is made of: grids, planes, a plan per band. predictive.h and grid.c in plain Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

TAP_SETS = 6
WEIGHT_BITS, LEAST_WEIGHT_BITS, WEIGHT_LIMIT = 13, 8, 65535
MAP_LIMIT, MAP_BLOCK, FINE_LIMIT, SHARED_LIMIT = 16384, 64, 3, 3
MAX_REFS, MAX_CLASSES = 3, 4
NEW, LEFT, ABOVE, HOLE = range(4)

# Taps as (rows down, columns right), in the order of the weights in the payload; a set is a bit mask over them.
OWN_TAPS = [(-1, dx) for dx in range(-3, 5)] + [(-2, dx) for dx in range(-3, 5)] + [(0, -1), (0, -2), (0, -3)]
REF_TAPS = [(dy, dx) for dy in (-1, 0, 1) for dx in range(-1, 7)]
OWN_SET = (0x10000, 0x10014, 0x30814, 0x33E36, 0x33E36, 0x77F77)
REF_SET = (0x00200, 0x00200, 0x20702, 0x20702, 0x70707, 0xF0F0F)
CENTRE_TAP = 9  # of REF_TAPS: the pixel itself

Tap = tuple[int, int]  # group (0: own, else reference), bit of its set


@dataclass(frozen=True)
class Grid:
    """Pixels per cell each way, and how far into its first cell the tile starts."""

    fy: int = 1
    fx: int = 1
    oy: int = 0
    ox: int = 0

    def rows(self, height: int, done: int) -> int:
        """Cells whose last pixel lies in the first `done` of `height` pixels."""
        return (height - 1 + self.oy) // self.fy + 1 if done >= height else (done + self.oy) // self.fy

    def columns(self, width: int) -> int:
        """Cells across `width` pixels."""
        return (width - 1 + self.ox) // self.fx + 1

    def pixels(self, y: int, x: int, height: int, width: int) -> Iterator[tuple[int, int]]:
        """Pixels of a cell, row by row."""
        for row in range(max(y * self.fy - self.oy, 0), min((y + 1) * self.fy - self.oy, height)):
            for column in range(max(x * self.fx - self.ox, 0), min((x + 1) * self.fx - self.ox, width)):
                yield row, column


class Plane:
    """A band as prediction sees it, and what stands around it: `start` left of row 0, else the first pixel of the row
    above; the last pixel of a row right of it; row 0 above row 0.
    """

    def __init__(self, height: int, width: int, start: int | None = None) -> None:
        self.height, self.width, self.start = height, width, start
        self.rows = np.zeros((height, width), np.int64)

    def at(self, y: int, x: int) -> int:
        """Value of a cell; y is at most the last row, and x or y outside otherwise give what stands around the band."""
        y = max(y, 0)
        if x >= 0:
            return int(self.rows[y, min(x, self.width - 1)])
        if y > 0:
            return int(self.rows[y - 1, 0])
        return int(self.rows[0, 0]) if self.start is None else self.start


@dataclass
class Band:
    """The plan of a band; band_t of predictive.h says what each part means."""

    low: int = 0
    gcd: int = 1
    last: int = 0
    shift: int = 0
    start: int = 0
    grid: Grid = Grid()
    listed: int = 0
    fine: int = 0
    shared: int = 0
    used: list[int] = field(default_factory=list)
    copies: int = 0
    cells_from: int = -1
    refs: list[int] = field(default_factory=list)
    tap_set: int = 0
    classes: int = 1
    phased: int = 0
    scale: int = 0
    threshold: list[int] = field(default_factory=list)
    weight_bits: int = WEIGHT_BITS
    exponent: list[int] = field(default_factory=lambda: [0])
    weight: list[dict[Tap, int]] = field(default_factory=lambda: [{}])

    def step(self, max_error: int) -> int:
        """Codes from one decoded value to the next: errors up to half of that."""
        return 2 * (max_error // self.gcd) + 1

    def taps(self) -> list[Tap]:
        """Those of the band's set, group by group."""
        sets = [OWN_SET[self.tap_set]] + [REF_SET[self.tap_set]] * len(self.refs)
        return [(group, bit) for group, mask in enumerate(sets) for bit in range(24) if mask >> bit & 1]


class Ranks:
    """Ranks of the codes that pixels have; between two of them a code's rank, in 1/16, lies between theirs."""

    def __init__(self, used: list[int]) -> None:
        self.code_of = [code for code, has in enumerate(used) if has]
        self.rank16 = [0] * (len(used) + 1)
        for n, code in enumerate(self.code_of):
            before = self.code_of[n - 1] if n else code
            self.rank16[code] = 16 * n
            for i in range(before + 1, code):
                self.rank16[i] = 16 * (n - 1) + 16 * (i - before) // (code - before)
        for i in range(self.code_of[-1] + 1 if self.code_of else 0, len(used) + 1):
            self.rank16[i] = 16 * max(len(self.code_of) - 1, 0)


class Tile:
    """Bands, their planes and the references brought onto each band's grid."""

    def __init__(self, shape: tuple[int, int, int], valid: NDArray[np.uint8]) -> None:
        self.n_bands, self.height, self.width = shape
        self.valid = valid
        self.bands = [Band() for _ in range(self.n_bands)]
        self.order = list(range(self.n_bands))
        self.planes: list[Plane] = []
        self.derived: dict[tuple[int, int], Plane] = {}
        self.cells: dict[int, NDArray[np.int8]] = {}
        self.simple = False  # encoder: no more than the first two tap sets and one class
        self.refined = False

    def make_planes(self) -> None:
        """Empty planes, once the grids are known."""
        for band in self.bands:
            shape = band.grid.rows(self.height, self.height), band.grid.columns(self.width)
            self.planes.append(Plane(*shape, start=band.start))

    def cell_is_valid(self, b: int, y: int, x: int) -> bool:
        """Whether any pixel of a cell of band b is valid."""
        pixels = self.bands[b].grid.pixels(y, x, self.height, self.width)
        return any(self.valid[row, column] for row, column in pixels)

    def ref(self, b: int, k: int) -> Plane:
        """The k-th reference of a band, on the band's grid."""
        other = self.bands[b].refs[k]
        if self.bands[b].grid == self.bands[other].grid:
            return self.planes[other]
        if (b, k) not in self.derived:
            self.derived[b, k] = Plane(self.planes[b].height, self.planes[b].width)
        return self.derived[b, k]

    def build_refs(self, b: int, first: int, last: int) -> None:
        """Rows of the references that lie on another grid: means over each cell's pixels."""
        for k, other in enumerate(self.bands[b].refs):
            if self.bands[b].grid == self.bands[other].grid:
                continue
            plane, grid = self.planes[other], self.bands[other].grid
            for y in range(first, last):
                for x in range(self.planes[b].width):
                    pixels = list(self.bands[b].grid.pixels(y, x, self.height, self.width))
                    total = sum(plane.at((r + grid.oy) // grid.fy, (c + grid.ox) // grid.fx) for r, c in pixels)
                    self.ref(b, k).rows[y, x] = (total + len(pixels) // 2) // len(pixels)


def activity(plane: Plane, y: int, x: int) -> int:
    """|differences| between the pixels above one."""
    at = plane.at
    n, nw, ne = at(y - 1, x), at(y - 1, x - 1), at(y - 1, x + 1)
    nn, nnw, nne = at(y - 2, x), at(y - 2, x - 1), at(y - 2, x + 1)
    return abs(n - nw) + abs(n - ne) + abs(n - nn) + abs(nw - nnw) + abs(ne - nne)


def activity8(v: int) -> int:
    """Eight steps an octave."""
    if v < 16:
        return v
    top = v.bit_length() - 1
    return 8 * (top - 2) + (v >> top - 3 & 7)


def ref_value(ref: Plane, y: int, x: int, end: int, bit: int) -> int:
    """A reference's tap as difference from the mean of what would be known; rows outside 0..end - 1 are row y."""
    up, down = y - 1 if y > 0 else y, y + 1 if y + 1 < end else y
    dy, dx = REF_TAPS[bit]
    mean = 3 * (ref.at(y, x - 1) + ref.at(up, x)) + ref.at(up, x - 1) + ref.at(up, x + 1) + 4 >> 3
    return ref.at((up, y, down)[dy + 1], x + dx) - mean
