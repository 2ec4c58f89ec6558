"""Rows of a band: predictions, contexts, residuals, for both directions. rows.c and residual.h in plain Python."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from swathpack.edge.codec.predictive.reference.coder import Bit, Coder, numbers, refuse_unless
from swathpack.edge.codec.predictive.reference.refine import Refiner
from swathpack.edge.codec.predictive.reference.tile import (
    ABOVE,
    CENTRE_TAP,
    HOLE,
    LEFT,
    NEW,
    OWN_TAPS,
    Band,
    Ranks,
    Tile,
    activity,
    activity8,
    ref_value,
)

LEVELS, UNARY, SIGN_FIRST, TRUST = 64, 20, 20, 14
WIDE = 4
FRACTION_CONTEXT = (0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4)
# (rows up, columns right): weight of an error in a context's sum
NEAR = {
    (0, -1): 16,
    (0, -2): 9,
    (1, 0): 14,
    (1, -1): 9,
    (1, 1): 10,
    (1, -2): 4,
    (1, 2): 6,
    (2, 0): 8,
    (2, -1): 3,
    (2, 1): 5,
}
SAME_PLACE = {(0, -2): 34, (2, 0): 34, (2, -2): 22, (2, 2): 23}


@lru_cache(maxsize=1)
def prior() -> list[list[int]]:
    """Probabilities that a level's bits start from, out of the one table there is (prior.h)."""
    text = Path(__file__).parent.with_name("prior.h").read_text()
    return [list(map(int, re.findall(r"\d+", row))) for row in re.findall(r"\{([0-9,\s]+)\}", text)]


class Level:
    """The bits of one level of expected error."""

    def __init__(self, level: int) -> None:
        row = prior()[level if level < SIGN_FIRST else SIGN_FIRST + level % 4]
        bits = [Bit(p, TRUST) for p in row]
        self.zero, self.sign, self.more = bits[:3], bits[3:8], bits[8 : 8 + UNARY]
        self.low = [bits[8 + UNARY + 2 * i :][:2] for i in range(3)]


@dataclass
class Model:
    """What a band has learnt, and its rows so far; errors in 1/16 of a code."""

    band: Band
    width: int
    step: int
    levels: dict[int, Level] = field(default_factory=dict)
    beyond: list[Bit] = field(default_factory=numbers)
    copies: dict[tuple[int, ...], Bit] = field(default_factory=dict)
    often: dict[tuple[int, int], Bit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ranks = Ranks(self.band.used) if self.band.listed else None
        greatest = len(self.ranks.code_of) - 1 if self.ranks else self.band.last
        self.greatest, self.last = greatest, greatest >> self.band.fine
        expected = 1 << self.band.scale
        self.errors = [[expected] * self.width for _ in range(2)]  # of all rows, two before the first
        self.wide = [8 * expected] * (self.width + 2 * WIDE)
        self.heights = [0] * self.width
        self.given = [0] * self.width
        self.coded = [0] * self.width
        self.refiner: Refiner | None = None

    def level(self, t: int) -> tuple[int, Level]:
        """Four levels an octave of the expected error; t is 2^11 for 1."""
        top = (t + 64).bit_length() - 1
        n = min((top - 6 << 2) + (t + 64 >> top - 2 & 3), LEVELS - 1)
        if n not in self.levels:
            self.levels[n] = Level(n)
        return n, self.levels[n]

    def start_row(self) -> None:
        """Columns' slow means take in the row above."""
        above = self.errors[-1]
        for i in range(len(self.wide)):
            self.wide[i] += above[max(0, min(i - WIDE, self.width - 1))] - (self.wide[i] >> 3)
        self.errors.append([])

    def error(self, up: int, x: int) -> int:
        """Left of a row stands the first error of the row above, of rows that are done their own first."""
        row = self.errors[-1 - up]
        if x >= 0:
            return row[min(x, self.width - 1)]
        return row[0] if up else self.errors[-2][0]

    def context(self, x: int) -> int:
        """The sum of errors around pixel x of the row that is coded."""
        if self.band.phased:
            return sum(w * self.error(up, x + dx) for (up, dx), w in SAME_PLACE.items())
        around = sum(self.wide[x : x + 2 * WIDE + 1]) * 20 >> 6
        return around + sum(w * self.error(up, x + dx) for (up, dx), w in NEAR.items())


def _magnitude(coder: Coder, model: Model, level: Level, k: int, e: int) -> int:
    units, n = e >> k, 0
    while n < UNARY and coder.bit(level.more[n], int(n < units)):
        n += 1
    if n == UNARY:
        n += coder.number(model.beyond, units - UNARY)
        refuse_unless(n <= 1 << 17)
    if k == 0:
        return n
    low = level.low[min(n, 2)]
    value = n << 1 | coder.bit(low[0], e >> k - 1 & 1)
    if k == 1:
        return value
    value = value << 1 | coder.bit(low[1], e >> k - 2 & 1)
    return value << k - 2 | coder.raw(k - 2, e & (1 << k - 2) - 1)


def _divided(d: int, step: int) -> int:
    half = step >> 1
    return -((half - d) // step) if d < 0 else (d + half) // step


def _residual(coder: Coder, model: Model, predicted: int, total: int, code: int) -> int:
    """One sample by its prediction (1/16) and its context's sum of errors."""
    step = model.step
    nearest = predicted + 8 >> 4
    side = FRACTION_CONTEXT[predicted - 16 * nearest + 8] if step == 1 else 2
    number, level = model.level(total if step == 1 else total * (65536 // step) >> 16)
    q = _divided(code - nearest, step)
    if number < SIGN_FIRST:
        if coder.bit(level.zero[abs(side - 2)], int(q != 0)):
            negative = coder.bit(level.sign[side], int(q < 0))
            e = _magnitude(coder, model, level, 0, abs(q) - 1)
            q = -e - 1 if negative else e + 1
        else:
            q = 0
    else:
        negative = coder.bit(level.sign[side], int(q < 0))
        e = _magnitude(coder, model, level, (number >> 2) - 4, -q - 1 if q < 0 else q)
        q = -e - 1 if negative else e
    value = nearest + q * step
    if not coder.encoding and not 0 <= value <= model.last:
        refuse_unless(step > 1 and -model.last - step <= value <= 2 * model.last + step)
    return max(0, min(value, model.last))


def _value(coder: Coder, model: Model, predicted: int, total: int, given: int) -> tuple[int, int]:
    """A code by its prediction, and its error: by rank where codes are listed, low bits by how often they occur."""
    band, ranks = model.band, model.ranks
    rank = given
    if ranks:
        here, after = ranks.rank16[predicted >> 4 : (predicted >> 4) + 2]
        predicted = here + ((after - here) * (predicted & 15) >> 4)
        rank = ranks.rank16[given] >> 4
    fine = band.fine
    upper = max(predicted - (((1 << fine) - 1) << 3), 0) >> fine if fine else predicted
    rank_out = _residual(coder, model, min(upper, model.last << 4), total >> fine, rank >> fine)
    if fine:
        tree, node = rank_out >> band.shared, 1
        for i in reversed(range(fine)):
            node = 2 * node + coder.bit(model.often.setdefault((tree, node), Bit()), rank >> i & 1)
        rank_out = (rank_out << fine) + node - (1 << fine)
        refuse_unless(rank_out <= model.greatest)
    return ranks.code_of[rank_out] if ranks else rank_out, abs(16 * rank_out - predicted)


class Row:
    """One row of a band on its way; codes: of its cells, None where nothing is valid (any number when decoding)."""

    def __init__(self, tile: Tile, b: int, model: Model, y: int, end: int) -> None:
        self.tile, self.band, self.model, self.y, self.end = tile, tile.bands[b], model, y, end
        self.plane, self.refs = tile.planes[b], [tile.ref(b, k) for k in range(len(tile.bands[b].refs))]
        self.cells = tile.cells.get(b)
        self.other = tile.cells.get(self.band.cells_from) if self.band.copies else None
        self.run = 0
        model.start_row()
        self.refiner = model.refiner
        if self.refiner:
            self.refiner.start_row()

    def code(self, coder: Coder, codes: list[int | None]) -> None:
        """Codes or decodes the row in place; what was decoded before an exception is in `codes` and `done`."""
        errors = self.model.errors[-1]
        self.done = 0
        for x, given in enumerate(codes):
            before = self._before(x, 1)
            above = self.plane.at(self.y - 1, x) if self.y else before
            value, cell = before + above + 1 >> 1, HOLE
            e = self.model.context(x) >> 7
            self.missed = 0
            if given is not None:
                codes[x], e, cell = self._pixel(coder, codes, x, given, above)
                value = (codes[x] or 0) >> self.band.shift
            self._keep(x, cell)
            self.plane.rows[self.y, x] = value
            errors.append(min(e, 65535))
            if self.refiner:
                self.refiner.missed[-1].append(self.missed)
            self.done = x + 1

    def _before(self, x: int, i: int) -> int:
        return int(self.plane.rows[self.y, x - i]) if x >= i else self.plane.at(self.y, -1)

    def _pixel(self, coder: Coder, codes: list[int | None], x: int, given: int, above: int) -> tuple[int, int, int]:
        """Code, error and cell of a valid pixel."""
        model, cell = self.model, NEW
        if self.cells is not None:
            cell = self._copy(coder, x, given)
        if cell == LEFT:
            code, e = codes[x - 1] or 0, model.error(0, x - 1)
            self.missed = self.refiner.error(0, x - 1) if self.refiner else 0
        elif cell == ABOVE:
            code, e = model.coded[x], model.error(1, x)
            self.missed = self.refiner.error(1, x) if self.refiner else 0
        else:
            plain = self._predicted(x, above)
            code, e = _value(coder, model, *self._refined(x, plain, above), given)
            self.missed = 16 * code - plain
        model.given[x], model.coded[x] = given, code
        return code, e, cell

    def _refined(self, x: int, plain: int, above: int) -> tuple[int, int]:
        """The prediction and the sum of errors that a pixel is coded by."""
        total = self.model.context(x)
        if not self.refiner:
            return plain, total
        before = self._before(x, 1), self._before(x, 2)
        predicted, total = self.refiner.refine(self.y, x, plain, above, before, total)
        return max(0, min(predicted, self.band.last << 4)), total

    def _class(self, x: int) -> int:
        band = self.band
        if band.phased and band.classes > 1:
            return self.y & 1 if band.classes == 2 else 2 * (self.y & 1) + (x & 1)
        a = activity8(activity(self.plane, self.y, x)) if band.threshold else 0
        return sum(a >= t for t in band.threshold)

    def _predicted(self, x: int, above: int) -> int:
        """The prediction in 1/16 of a code. The first row has none above: it takes the pixel before, and what the first
        reference adds to it.
        """
        band, drop = self.band, self.band.weight_bits - 4
        c = self._class(x) if self.y else 0
        total = 0
        if self.y == 0 and self.refs and x:
            change = self.refs[0].at(0, x) - self.refs[0].at(0, x - 1)
            total = band.weight[0].get((1, CENTRE_TAP), 0) * change
        for (group, bit), w in band.weight[c].items():
            dy, dx = OWN_TAPS[bit] if not group else (0, 0)
            if not group and dy == 0:
                total += w * (self._before(x, -dx) - above)
            elif self.y and group:
                total += w * ref_value(self.refs[group - 1], self.y, x, self.end, bit)
            elif self.y:
                total += w * (self.plane.at(self.y + dy, x + dx) - above)
        predicted = (16 * above + (total + (1 << drop - 1) >> drop)) << band.shift
        return max(0, min(predicted, band.last << 4))

    def _copy(self, coder: Coder, x: int, given: int) -> int:
        """Does a pixel repeat the one before or above?"""
        assert self.cells is not None
        model, cells, y = self.model, self.cells, self.y
        other = int(self.other[y, x]) if self.other is not None else 3
        above = int(cells[y - 1, x]) if y else HOLE
        if x and cells[y, x - 1] != HOLE:
            over, beside = int(above == LEFT), int(y > 0 and x + 1 < len(cells[y]) and cells[y - 1, x + 1] == LEFT)
            bit = model.copies.setdefault((0, self.run, over, beside, other), Bit())
            if coder.bit(bit, int(given == model.given[x - 1])):
                return LEFT
        if above != HOLE:
            bit = model.copies.setdefault((1, model.heights[x], int(x > 0 and model.heights[x - 1] > 0), other), Bit())
            if coder.bit(bit, int(given == model.given[x])):
                return ABOVE
        return NEW

    def _keep(self, x: int, cell: int) -> None:
        if self.cells is None:
            return
        heights = self.model.heights
        self.cells[self.y, x] = cell
        self.run = min(self.run + 1, 7) if cell == LEFT else 0
        heights[x] = heights[x - 1] if cell == LEFT else min(heights[x] + 1, 7) if cell == ABOVE else 0
