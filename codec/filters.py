"""Tiles of the transform coder are filtered where images are drawn, on the ground only.

What quantisation takes from a picture is not blind noise: along edges it leaves ripples, in grain it leaves flat places. What
is to be added to a pixel is a linear function of how far the pixels around lie from it, pair by pair of opposite ones, each of the
two cut at a sixth, at half and at twice the step that the band was coded at: so a neighbour that belongs to the other side of an edge
tells little. Which function: by how lively the place is in that step, along which of four directions it goes on and how
clearly (as in the adaptive loop filter of Versatile Video Coding; Tsai et al., IEEE Journal of Selected Topics in Signal Processing 7(6),
2013), and by how lively and how grainy the band of the tile is on the whole. The functions are least squares over training
crops (`codec/fit_filters.py`), and where they do not help on places that they were not fitted to, nothing is added.

A band that is drawn in cells of 2 x 2 pixels is filtered on its cells, one in larger cells is left. A pixel within REACH of one
without data stays. Tiles are filtered by themselves, before their seams are smoothed (`codec/seams.py`), so a window is what the whole
is there. All is decided and summed in integers: every machine draws the same counts. Nothing is predicted from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.seams import power_of_two
from swathpack.edge.codec.transform_coder import native
from swathpack.edge.codec.transform_coder.rasters import Grid, own_grid

REACH = 3
PAIRS = tuple(  # of opposite pixels: the half of a diamond
    (y, x) for y in range(4) for x in range(-3, 4) if abs(x) + y <= REACH and (y, x) > (0, 0)
)
UNIT = 64  # of a step
CUTS = (10, 32, 112)  # in units: what a neighbour tells at most
TAPS = len(CUTS) * len(PAIRS)
LIVELY = (2, 5, 10, 16, 26, 38, 58, 83, 128, 192, 320)  # second differences around a place, mean, in units
FARTHEST = 16 * UNIT  # of a second difference that counts; products of two sums of them stay in 32 bits
WINDOW = 25  # pixels around a place whose second differences count
CLEAR = (3, 5)  # halves: across it as many times what it is along
DIRECTIONS = 1 + 4 * len(CLEAR)
CLASSES = (len(LIVELY) + 1) * DIRECTIONS
TILE_LIVELY = (6, 13, 26, 45, 77)  # the same of all the tile
TILE_GRAINY = (7, 10, 13, 16, 19)  # twentieths: second differences over steps across two pixels
TILES = (len(TILE_LIVELY) + 1) * (len(TILE_GRAINY) + 1)
SHAPE = (TILES, CLASSES, TAPS)
WEIGHT_BITS = 12
# Eighths: finer than half a count rounding is all the error; beyond the coarsest there is no picture.
LEAST_STEP, MOST_STEP = -8, 112
OCTAVE = 8  # eighths
LEAST_SIDE = 8
MOST_FACTOR = 2  # pixels a cell each way; of larger ones a tile has too few
MOST_COUNT = 65535.0
FILE = Path(__file__).resolve().parent / "filters.npz"

Pixels = NDArray[np.float32]
Whole = NDArray[np.int32]
Table = NDArray[np.int16]
Flags = NDArray[np.bool_]
Kind = TypeVar("Kind", bound=np.generic)


@lru_cache(1)
def tables() -> Table:
    """SHAPE, in 1 / 2^WEIGHT_BITS."""
    with np.load(FILE) as archive:
        return np.ascontiguousarray(archive["weights"], np.int16)


def filtered(samples: Pixels, valid: Flags, steps: Sequence[int], weights: Table | None = None) -> Pixels:
    """Samples (C, H, W) of a tile, valid (H, W), as `decode_tile` has them -> the same filtered. steps: of the bands, log2 of
    counts in eighths; none: nothing is known of how finely they were coded, and nothing changes.
    """
    table, out = tables() if weights is None else weights, samples.copy()
    if min(valid.shape) < LEAST_SIDE:
        return out
    for band, step in enumerate(steps):
        if LEAST_STEP <= step <= MOST_STEP:
            found = Cells.of(samples[band], valid, step)
            if found is not None:
                out[band] += found.drawn(corrections(found, table))
    return out


class Cells:
    """A band on its own grid. padded (h + 2 REACH, w + 2 REACH) units, mirrored at the borders; whole (h, w): all pixels within REACH
    have data.
    """

    def __init__(self, grid: Grid, padded: Whole, whole: Flags, valid: Flags, step: int) -> None:
        self.grid, self.padded, self.whole, self.valid, self.step = grid, padded, whole, valid, step

    @classmethod
    def of(cls, band: Pixels, valid: Flags, step: int) -> Cells | None:
        """Of (H, W) counts; None where nothing can be filtered."""
        grid = own_grid(band, valid)
        if grid.factor > MOST_FACTOR:
            return None
        cells, known = taken(grid, band), taken(grid, valid)
        if min(cells.shape) < LEAST_SIDE:
            return None
        whole = known if known.all() else all_around(known)
        if not whole.any():
            return None
        # Coefficients are of twice a cell's height, so errors in it are half of theirs.
        step -= OCTAVE * (grid.factor - 1)
        per_count = np.float32(UNIT * power_of_two(-2 * step))
        units = np.rint(np.clip(cells, 0, np.float32(MOST_COUNT)) * per_count).astype(np.int32)
        return cls(grid, np.pad(units, REACH, mode="reflect"), whole, valid, step)

    def drawn(self, added: Whole) -> Pixels:
        """Corrections (h, w) in 1 / 2^WEIGHT_BITS units -> (H, W) counts, none where there are no data."""
        unit = np.float32(power_of_two(2 * self.step) / (UNIT << WEIGHT_BITS))
        counts = np.where(self.whole, added, 0).astype(np.float32) * unit
        if self.grid.factor == 1:
            return counts
        return np.where(self.valid, self.grid.repeat(counts, *self.valid.shape), np.float32(0))

    def around(self, y: int, x: int, more: int = 0) -> Whole:
        """(h + 2 more, w + 2 more): the pixels so far away from every one."""
        height, width = self.whole.shape
        top, left = REACH - more + y, REACH - more + x
        return self.padded[top : top + height + 2 * more, left : left + width + 2 * more]


def taken(grid: Grid, pixels: NDArray[Kind]) -> NDArray[Kind]:
    """One pixel (H, W) of every cell, (h, w)."""
    if grid.factor == 1:
        return pixels
    height, width = grid.size(*pixels.shape)
    rows, columns = np.arange(height) * grid.factor - grid.top, np.arange(width) * grid.factor - grid.left
    return pixels[np.maximum(rows, 0)[:, None], np.maximum(columns, 0)]


def all_around(known: Flags) -> Flags:
    """(h, w) whether all are known within REACH rows and columns."""
    padded, (height, width) = np.pad(known, REACH, mode="reflect"), known.shape
    rows = np.logical_and.reduce([padded[y : y + height] for y in range(2 * REACH + 1)])
    return np.asarray(np.logical_and.reduce([rows[:, x : x + width] for x in range(2 * REACH + 1)]), np.bool_)


def corrections(cells: Cells, table: Table) -> Whole:
    """(h, w) in 1 / 2^WEIGHT_BITS units; table: SHAPE."""
    if native.available():
        tile, kinds = native.filter_classes(cells.padded, cells.whole)
        return native.filter_add(cells.padded, kinds, table[tile])
    tile, classes = classes_of(cells)
    weights, total = table[tile], np.zeros(cells.whole.shape, np.int32)
    if weights.any():
        for tap, row in zip(taps_of(cells), np.ascontiguousarray(weights.T)):
            total += np.take(row, classes) * tap
    return total


def taps_of(cells: Cells) -> Iterator[Whole]:
    """TAPS times (h, w) units: of every pair how far both lie from the place, by each cut."""
    height, width = cells.whole.shape
    for y, x in PAIRS:
        # How far every pixel lies from the one that is (y, x) before it; what lies before a place comes from there, too.
        high, wide, left = height + y, width + abs(x), REACH - max(x, 0)
        first = cells.padded[REACH - y : REACH - y + high, left : left + wide]
        second = cells.padded[REACH : REACH + high, left + x : left + x + wide]
        at, before, far = max(x, 0), max(-x, 0), second - first
        for cut in reversed(CUTS):
            np.clip(far, -cut, cut, out=far)
            yield far[y:, at : at + width] - far[:height, before : before + width]


def classes_of(cells: Cells) -> tuple[int, NDArray[np.intp]]:
    """Of the tile, and of every place (h, w)."""
    sums = [second_differences(cells, y, x) for y, x in ((0, 1), (1, 0), (1, 1), (1, -1))]
    across, down, falling, rising = sums
    both = across + down
    lively = np.zeros(both.shape, np.uint8)
    for least in LIVELY:
        lively += both >= 2 * WINDOW * least
    classes = lively * np.uint8(DIRECTIONS) + directions_of(across, down, falling, rising)
    return tile_class(cells, both), classes.astype(np.intp)


def second_differences(cells: Cells, y: int, x: int) -> Whole:
    """(h, w) sum over the WINDOW around every place, of second differences along one direction."""
    middle = cells.around(0, 0, 2)
    found = np.abs(2 * middle - cells.around(y, x, 2) - cells.around(-y, -x, 2))
    np.minimum(found, FARTHEST, out=found)
    rows = found[:-4] + found[1:-3] + found[2:-2] + found[3:-1] + found[4:]
    return np.asarray(rows[:, :-4] + rows[:, 1:-3] + rows[:, 2:-2] + rows[:, 3:-1] + rows[:, 4:], np.int32)


def directions_of(across: Whole, down: Whole, falling: Whole, rising: Whole) -> NDArray[np.uint8]:
    """0 where no direction is clear; else by which one differs most from the one at a right angle to it, and how much."""
    straight = np.maximum(across, down), np.minimum(across, down)
    slanted = np.maximum(falling, rising), np.minimum(falling, rising)
    upright = straight[0] * slanted[1] > slanted[0] * straight[1]
    most, least = 2 * np.where(upright, straight[0], slanted[0]), np.where(upright, straight[1], slanted[1])
    clear = np.zeros(upright.shape, np.uint8)
    for times in CLEAR:
        clear += most > times * least
    which = np.where(upright, (across <= down).view(np.uint8), (falling <= rising).view(np.uint8) + np.uint8(2))
    return np.asarray(np.where(clear, np.uint8(len(CLEAR)) * which + clear, np.uint8(0)), np.uint8)


def tile_class(cells: Cells, lively: Whole) -> int:
    """Of what (h, w) of a tile has data all around."""
    count = WINDOW * int(cells.whole.sum())
    total = int(lively[cells.whole].sum(dtype=np.int64))
    steps = [np.abs(cells.around(y, x) - cells.around(-y, -x)) for y, x in ((0, 1), (1, 0))]
    far = sum(int(np.minimum(s, FARTHEST)[cells.whole].sum(dtype=np.int64)) for s in steps)
    how_lively = sum(total >= 2 * least * count for least in TILE_LIVELY)
    how_grainy = sum(20 * total >= least * WINDOW * far for least in TILE_GRAINY)
    return how_lively * (len(TILE_GRAINY) + 1) + how_grainy
