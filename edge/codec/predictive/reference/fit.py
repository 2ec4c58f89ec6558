"""The encoder's weights by least squares in fixed point: fit.c in plain Python."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.predictive.reference.plan import counts, quotient
from swathpack.edge.codec.predictive.reference.tile import (
    LEAST_WEIGHT_BITS,
    MAX_CLASSES,
    OWN_SET,
    OWN_TAPS,
    REF_SET,
    TAP_SETS,
    WEIGHT_BITS,
    WEIGHT_LIMIT,
    Band,
    Tap,
    Tile,
    activity,
    activity8,
    ref_value,
)

FIT_SAMPLES, LEAST_SAMPLES, ACTIVITIES = 8192, 64, 128
RATIO_BITS, RATIO_LIMIT, RIDGE, LEAST_PIVOT = 24, 1 << 32, 13, 32768
SAFE_SUM, SAFE_WEIGHT, WEIGHT_COST = 60000, 32000, 11
SIMPLE_SETS = 2
MOST_SHARE, MOST_VARIANCE = 1 << 34, 1 << 36

Matrix = list[list[int]]


def log2_256(v: int) -> int:
    """log2 in 1/256, 0 for 0."""
    if v == 0:
        return 0
    top = v.bit_length() - 1
    m, out = (v >> top - 31 if top > 31 else v << 31 - top), top
    for _ in range(8):
        m = m * m >> 31
        out = 2 * out + (m >> 32)
        m >>= m >> 32
    return out


def shifted(v: int, left: int) -> int:
    """v * 2^left, rounded down."""
    return v << left if left >= 0 else v >> -left


def limited(v: int, most: int) -> int:
    """v brought into [-most, most]."""
    return max(-most, min(most, v))


def _activity_from8(index: int) -> int:
    return index if index < 16 else 8 + (index & 7) << index // 8 - 1


def list_taps(n_refs: int) -> tuple[list[Tap], list[int]]:
    """All taps by the first set that has them, and how many those of each set are."""
    taps: list[Tap] = []
    ends = []
    for s in range(TAP_SETS):
        for group in range(n_refs + 1):
            masks = REF_SET if group else OWN_SET
            fresh = masks[s] & ~(masks[s - 1] if s else 0)
            taps += [(group, bit) for bit in range(24) if fresh >> bit & 1]
        ends.append(len(taps))
    return taps, ends


class Survey:
    """Which pixels are looked at, the quarters of activity, and how pixels are scaled by theirs."""

    def __init__(self, tile: Tile, b: int) -> None:
        plane = tile.planes[b]
        n = (plane.height - 2) * plane.width
        looks = min(n, FIT_SAMPLES, n // 3 + 1024)
        places = [(2 + k * n // looks // plane.width, k * n // looks % plane.width) for k in range(looks)]
        self.places = [(y, x) for y, x in places if counts(tile, b, y, x)]
        if not self.places:
            return
        self.pixels = len(self.places) * n // looks
        found = [activity(plane, y, x) for y, x in self.places]
        mean = sum(found) // len(found)
        soften = mean // 8 + 1
        self.shift = max(0, (mean + 1).bit_length() - 1 - 8)
        self.scale = [isqrt((soften << 16) // (_activity_from8(a) + soften)) for a in range(ACTIVITIES)]
        indexes = np.array([activity8(a) for a in found])
        below = [int((indexes < a).sum()) for a in range(ACTIVITIES)]
        self.quarter = [
            next((a for a in range(ACTIVITIES) if below[a] * 4 >= q * len(found)), ACTIVITIES - 1) for q in (1, 2, 3)
        ]


def _sample(tile: Tile, b: int, taps: list[Tap], y: int, x: int) -> list[int]:
    """Taps and target of a pixel."""
    plane, values = tile.planes[b], []
    above = plane.at(y - 1, x)
    for group, bit in taps:
        if group:
            values.append(ref_value(tile.ref(b, group - 1), y, x, plane.height, bit))
        else:
            dy, dx = OWN_TAPS[bit]
            values.append(plane.at(y + dy, x + dx) - above)
    return [*values, plane.at(y, x) - above]


class Products:
    """Sums of products of taps and target by class; quiet pixels count more."""

    def __init__(self, tile: Tile, b: int, survey: Survey, taps: list[Tap]) -> None:
        band, plane = tile.bands[b], tile.planes[b]
        rows: list[list[NDArray[np.int64]]] = [[] for _ in range(MAX_CLASSES)]
        self.weight = 0
        for y, x in survey.places:
            a = activity8(activity(plane, y, x))
            c = 2 * (y & 1) + (x & 1) if band.phased else sum(a >= q for q in survey.quarter)
            scaled = np.array(_sample(tile, b, taps, y, x)) * survey.scale[a] >> 8 + survey.shift
            rows[c].append(np.clip(scaled, -2047, 2047))
            self.weight += survey.scale[a] ** 2
        size = len(taps) + 1
        stacks = [np.array(r, np.int64).reshape(-1, size) for r in rows]
        self.by_class: list[Matrix] = [(s.T @ s).tolist() for s in stacks]

    def noise(self, band: Band, max_error: int, shift: int) -> int:
        """What quantisation adds to the squares of a band's taps."""
        step = band.step(max_error) >> band.shift
        return (16 * step * step // 12 * (self.weight >> 8) >> 12) >> 2 * shift if step > 1 else 0


def _even_log(v: int) -> int:
    return (v.bit_length() + 1) // 2 * 2


@dataclass
class Solution:
    """LDL' of one set of classes: rows of ratios and pivoted sums, the last row is the target's."""

    log: list[int]
    ratio: Matrix
    pivoted: Matrix
    start: int

    def left_over(self, n: int) -> int:
        """Squared error that the first n taps leave, in the target's scale."""
        ratio, pivoted = self.ratio[-1], self.pivoted[-1]
        return max(0, self.start - sum(ratio[k] * pivoted[k] >> RATIO_BITS for k in range(n)))

    def weights(self, n: int) -> list[int]:
        """Weights of the first n taps in 1/2^13."""
        w = [0] * n
        for i in range(n - 1, -1, -1):
            w[i] = self.ratio[-1][i] - sum(self.ratio[k][i] * w[k] >> RATIO_BITS for k in range(i + 1, n))
            w[i] = limited(w[i], RATIO_LIMIT)
        drop = WEIGHT_BITS - RATIO_BITS
        return [limited(shifted(v, drop + (self.log[-1] - log) // 2), 1 << 30) for v, log in zip(w, self.log)]


def solve(a: Matrix, target_log: int) -> Solution:
    """a: symmetric sums of products, taps and then the target."""
    n = len(a) - 1
    s = Solution([*(_even_log(a[i][i]) for i in range(n)), target_log], [], [], 0)
    for i in range(n + 1):
        s.ratio.append([])
        s.pivoted.append([])
        for j in range(min(i, n - 1) + 1):
            m = shifted(a[i][j], 30 - (s.log[i] + s.log[j]) // 2)
            if i == j:
                m += (m >> RIDGE) + LEAST_PIVOT
            m -= sum(s.ratio[i][k] * s.pivoted[j][k] >> RATIO_BITS for k in range(j))
            s.pivoted[i].append(max(m, LEAST_PIVOT) if i == j else m)
            if i != j:
                s.ratio[i].append(limited(quotient(m << RATIO_BITS, s.pivoted[j][j]), RATIO_LIMIT))
    s.start = shifted(a[n][n], 30 - target_log)
    return s


class Fit:
    """All solutions for a band: of one class, of two, of four."""

    def __init__(self, tile: Tile, b: int, survey: Survey, max_error: list[int]) -> None:
        band = tile.bands[b]
        self.taps, self.ends = list_taps(len(band.refs))
        self.products = Products(tile, b, survey, self.taps)
        sources = [b, *band.refs]
        self.noise = [self.products.noise(tile.bands[s], max_error[s], survey.shift) for s in sources]
        target = self.noise[0] + sum(p[-1][-1] for p in self.products.by_class)
        self.target_log = _even_log(target)
        self.solutions = [
            [
                solve(self._merged(c * (MAX_CLASSES >> log), MAX_CLASSES >> log), self.target_log)
                for c in range(1 << log)
            ]
            for log in range(3)
        ]

    def _shared_noise(self, i: int, j: int) -> int:
        """What the pixel above, or the mean of a reference, brings into a product."""
        n = len(self.taps)
        groups = [self.taps[k][0] if k < n else 0 for k in (i, j)]
        if groups[0] != groups[1]:
            return 0
        noise = self.noise[groups[0]]
        return (noise if i == j and i < n else 0) + (noise * 5 // 16 if groups[0] else noise)

    def _merged(self, first: int, count: int) -> Matrix:
        size = range(len(self.taps) + 1)
        parts = self.products.by_class[first : first + count]
        return [
            [self._shared_noise(i, j) * count // MAX_CLASSES + sum(p[i][j] for p in parts) for j in size] for i in size
        ]

    def choose_size(self, pixels: int, floor: int, simple: bool) -> tuple[int, int]:
        """Log2 of the classes, and the tap set, with the least bits; simple: one class and the first sets alone."""
        best, choice = 1 << 63, (0, 0)
        for log in range(1 if simple else 3):
            for s, end in enumerate(self.ends[:SIMPLE_SETS] if simple else self.ends):
                error = sum(solution.left_over(end) for solution in self.solutions[log])
                bits = pixels * log2_256(error + floor) // 2 + (end << log) * WEIGHT_COST * 256
                if bits < best:
                    best, choice = bits, (log, s)
        return choice

    def units(self, band: Band, error: int, pixels: int) -> list[int]:
        """Exponents of the weights' units, group by group."""
        out = []
        for group in range(len(band.refs) + 1):
            of_group = [k for k, tap in enumerate(self.taps[: self.ends[band.tap_set]]) if tap[0] == group]
            total = sum(p[k][k] for p in self.products.by_class for k in of_group)
            mean = total // len(of_group) + 1 if of_group else 1
            squared = (min(error * 12 // mean + 1, MOST_SHARE) << 2 * band.weight_bits) // pixels
            out.append(next(e for e in range(WEIGHT_BITS + 1) if e == WEIGHT_BITS or not squared >> 2 * e + 2))
        return out

    def error_scale(self, error: int, shift: int) -> int:
        """ilog2 of the mean error in 1/16 of a code, at most 15."""
        variance = min(error * 1024 // ((self.products.weight >> 14) + 1), MOST_VARIANCE) << 2 * shift
        return next(e for e in range(16) if e == 15 or not variance >> 2 * e + 2)


def _weight_bits(weights: list[list[int]]) -> int:
    bits = WEIGHT_BITS
    most = max(sum(map(abs, w)) for w in weights)
    greatest = max((abs(v) for w in weights for v in w), default=0)
    while bits > LEAST_WEIGHT_BITS:
        drop = WEIGHT_BITS - bits
        if most >> drop <= SAFE_SUM and greatest >> drop <= SAFE_WEIGHT:
            break
        bits -= 1
    return bits


def _rounded(v: int, exponent: int) -> int:
    unit = 1 << exponent
    return quotient(v + (unit >> 1) if v >= 0 else v - (unit >> 1), unit) * unit


def _kept(band: Band, taps: list[Tap], weights: list[int]) -> dict[Tap, int]:
    kept = {}
    for tap, w in zip(taps, weights):
        v = limited(shifted(w, band.weight_bits - WEIGHT_BITS), SAFE_WEIGHT)
        v = _rounded(v, band.exponent[tap[0]])
        kept[tap] = v if abs(v) <= 32767 else 0
    return kept if sum(map(abs, kept.values())) <= WEIGHT_LIMIT else dict.fromkeys(kept, 0)


def choose_predictor(tile: Tile, b: int, max_error: list[int]) -> None:
    """Classes, taps and weights of a band; its references are built."""
    band = tile.bands[b]
    survey = Survey(tile, b) if tile.planes[b].height >= 3 else None
    if survey is None or len(survey.places) < LEAST_SAMPLES:
        band.refs, band.phased = [], 0
        band.weight = [dict.fromkeys(band.taps(), 0)]
        return
    fit = Fit(tile, b, survey, max_error)
    floor = len(survey.places) + shifted(fit.noise[0], 30 - fit.target_log)
    log, band.tap_set = fit.choose_size(survey.pixels, floor, tile.simple)
    band.classes, end = 1 << log, fit.ends[band.tap_set]
    band.phased = band.phased if log else 0
    quarters = {1: [], 2: survey.quarter[1:2], 4: survey.quarter}
    band.threshold = [] if band.phased else quarters[band.classes]
    solutions = fit.solutions[log]
    error = shifted(sum(s.left_over(end) for s in solutions), fit.target_log - 30)
    weights = [s.weights(end) for s in solutions]
    band.weight_bits = _weight_bits(weights)
    band.exponent = fit.units(band, error, survey.pixels >> log)
    band.weight = [_kept(band, fit.taps, w) for w in weights]
    band.scale = fit.error_scale(error, survey.shift + band.shift)
