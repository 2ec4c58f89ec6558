"""Refined predictions: refine.h and refine.c in plain Python, with the one table there is (refine_table.c)."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from swathpack.edge.codec.predictive.reference.tile import Plane

WIDE = 4
UNSEEN = 2
HIDDEN, ROW_INPUTS, NEAR_INPUTS = 32, 32, 8
LARGEST_GAIN = 32
# (rows up, columns right): weight of an error in a scale; of pixels and errors that are seen, in the order of the inputs
ERRORS = {(1, 0): 14, (1, -1): 9, (1, 1): 10, (1, -2): 4, (1, 2): 6, (2, 0): 8, (2, -1): 3, (2, 1): 5}
PIXELS = ((1, -1), (1, 1), (1, -2), (1, 2), (2, 0), (2, -1), (2, 1))
PAIRS = (
    ((1, -1), (1, 0)),
    ((1, 1), (1, 0)),
    ((2, 0), (1, 0)),
    ((1, 1), (2, 1)),
    ((1, -1), (2, -1)),
    ((1, 2), (1, 1)),
    ((1, -2), (1, -1)),
)


class Network:
    """The table as it stands in the C source: weights of the inputs by hidden unit, of the units by output."""

    def __init__(self) -> None:
        source = Path(__file__).parent.parent
        numbers = _numbers((source / "refine_table.c").read_text().split("REFINE_NETWORK =")[1])
        pairs, size = [], 2 * HIDDEN
        for start in range(0, (ROW_INPUTS + NEAR_INPUTS) * HIDDEN, size):
            block = numbers[start : start + size]
            pairs += [block[0::2], block[1::2]]
        rest = numbers[(ROW_INPUTS + NEAR_INPUTS) * HIDDEN :]
        self.row, self.near = pairs[:ROW_INPUTS], pairs[ROW_INPUTS:]
        self.out = rest[:HIDDEN], rest[HIDDEN : 2 * HIDDEN]
        self.bias, self.out_bias = rest[2 * HIDDEN : 3 * HIDDEN], rest[3 * HIDDEN :]
        gains = (source / "refine.c").read_text().split("GAIN[2 * LARGEST_GAIN + 1] =")[1]
        self.gain = _numbers(gains.split(";")[0])


def _numbers(text: str) -> list[int]:
    return list(map(int, re.findall(r"-?\d+", text)))


@lru_cache(maxsize=1)
def network() -> Network:
    """Read once."""
    return Network()


class Refiner:
    """What refined predictions of a band need of its rows; errors are codes less their plain predictions, in 1/16."""

    def __init__(self, plane: Plane, width: int, scale: int, has_refs: bool) -> None:
        self.plane, self.width, self.has_refs = plane, width, has_refs
        self.missed: list[list[int]] = []
        self.spread = [8 << scale] * (width + 2 * WIDE)

    def start_row(self) -> None:
        """Columns' slow means take in the row above."""
        if self.missed:
            above = [min(abs(e), 65535) for e in self.missed[-1]]
            for i in range(len(self.spread)):
                self.spread[i] += above[max(0, min(i - WIDE, self.width - 1))] - (self.spread[i] >> 3)
        self.missed.append([])

    def refine(
        self, y: int, x: int, predicted: int, above: int, before: tuple[int, int], total: int
    ) -> tuple[int, int]:
        """The prediction as it is moved, still to be limited, and the sum of errors that is expected with it."""
        if y < UNSEEN:
            return predicted, total
        net, scale = network(), self._scale(x)
        inputs = self._row_inputs(y, x, scale)
        near = self._near_inputs(y, x, scale, predicted - 16 * above, [16 * (v - above) for v in before])
        sums = list(net.bias)
        for value, weights in zip(inputs + near, net.row + net.near):
            sums = [s + value * w for s, w in zip(sums, weights)]
        units = [min(max(s, 0) >> 8, 32767) for s in sums]
        move, log = (b + sum(u * w for u, w in zip(units, ws)) for b, ws in zip(net.out_bias, net.out))
        gain = net.gain[max(-LARGEST_GAIN, min(log >> 12, LARGEST_GAIN)) + LARGEST_GAIN]
        return predicted + ((move >> 6) * scale >> 10), total * gain >> 12

    def error(self, up: int, x: int) -> int:
        """Of a pixel so many rows up."""
        row = self.missed[-1 - up]
        if x >= 0:
            return row[min(x, self.width - 1)]
        return row[0] if up else self.missed[-2][0]

    def _scale(self, x: int) -> int:
        near = sum(w * min(abs(self.error(up, x + dx)), 65535) for (up, dx), w in ERRORS.items())
        return (near + (sum(self.spread[x : x + 2 * WIDE + 1]) * 20 >> 6)) // 81 + 8

    def _row_inputs(self, y: int, x: int, scale: int) -> list[int]:
        def at(place: tuple[int, int]) -> int:
            return 16 * self.plane.at(y - place[0], x + place[1])

        pixels = [_limited(at(p) - at((1, 0)), 6, scale) for p in PIXELS]
        errors = [_limited(self.error(up, x + dx), 4, scale) for up, dx in ERRORS]
        steps = [_limited(abs(at(a) - at(b)), 6, scale) for a, b in PAIRS]
        top = scale.bit_length() - 1
        log = 2 * (16 * top + ((scale << 4 >> top) & 15))
        return [*pixels, *errors, *map(abs, errors), *steps, log, 64 * self.has_refs]

    def _near_inputs(self, y: int, x: int, scale: int, predicted: int, before: list[int]) -> list[int]:
        corner = 16 * (self.plane.at(y - 1, x - 1) - self.plane.at(y - 1, x))
        errors = [_limited(self.error(0, x - i), 4, scale) for i in (1, 2)]
        return [
            _limited(predicted, 6, scale),
            *(_limited(v, 6, scale) for v in before),
            *errors,
            *map(abs, errors),
            _limited(abs(before[0] - corner), 6, scale),
        ]


def _limited(d: int, times: int, scale: int) -> int:
    """An input: d in scales, 64 for 1, at most so many times the scale."""
    return max(-times * scale, min(d, times * scale)) * ((1 << 20) // scale) >> 14
