"""Numbers that come out the same on every machine: sines, powers of two by quarters, eigenvectors.

A decoder's way from integers to samples uses only additions, multiplications, divisions and square roots, which IEEE 754
rounds in one way, each by itself and in an order that is written down. What a machine's libm or LAPACK gives, which
differs in the last bits, stays out of it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

HALF_BITS = 2 * 53  # a rotation smaller than this moves nothing any more
MOST_SWEEPS = 40
QUARTERS = (1.0, 1.189207115002721, 1.4142135623730951, 1.6817928305074290)

# 1 / n! of the odd and the even powers, highest first: beyond a quarter turn's last bit.
_SINE = tuple((-1.0) ** (n // 2) / math.factorial(n) for n in range(23, 0, -2))
_COSINE = tuple((-1.0) ** (n // 2) / math.factorial(n) for n in range(24, -1, -2))


Reals = TypeVar("Reals", float, NDArray[np.float64])


def power_of_two(quarters: int) -> float:
    """2^(quarters / 4)."""
    return math.ldexp(QUARTERS[quarters % 4], quarters // 4)


@lru_cache(maxsize=1 << 13)
def turn_of(angle: int, bits: int) -> tuple[float, float]:
    """Cosine and sine of angle * pi / 2^bits, within a quarter turn of zero, by their series."""
    x = angle * (math.pi / (1 << bits))
    return _series(_COSINE, x * x), x * _series(_SINE, x * x)


@lru_cache(maxsize=8)
def turns(bits: int) -> NDArray[np.float64]:
    """(2^bits + 1, 2), not to be written to: `turn_of` every angle from -2^(bits - 1) to 2^(bits - 1)."""
    x = np.arange(-(1 << bits - 1), (1 << bits - 1) + 1) * (math.pi / (1 << bits))
    found = np.stack([_series(_COSINE, x * x), x * _series(_SINE, x * x)], axis=1)
    found.flags.writeable = False
    return found


def _series(factors: tuple[float, ...], x: Reals) -> Reals:
    value = 0.0 * x
    for factor in factors:
        value = value * x + factor
    return value


def eigenvectors(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a symmetric matrix (C, C), as columns, largest eigenvalue first, each with its largest entry positive.

    Jacobi's rotations row by row until they move nothing (Golub and Van Loan, "Matrix Computations", section 8.5).
    """
    rows = matrix.tolist()
    size = len(rows)
    vectors = [[float(i == j) for j in range(size)] for i in range(size)]  # a row an eigenvector
    for _ in range(MOST_SWEEPS):
        moved = False
        for p in range(size - 1):
            for q in range(p + 1, size):
                moved |= _rotate(rows, vectors, p, q)
        if not moved:
            break
    order = sorted(range(size), key=lambda i: -rows[i][i])
    return np.array([_upright(vectors[i]) for i in order]).T


def _rotate(rows: list[list[float]], vectors: list[list[float]], p: int, q: int) -> bool:
    """Makes entry (p, q) zero; whether that took a rotation."""
    entry, gap = rows[p][q], rows[q][q] - rows[p][p]
    if entry * entry <= math.ldexp(abs(rows[p][p] * rows[q][q]), -HALF_BITS):
        return False
    ratio = gap / (2.0 * entry)
    tangent = (1.0 if ratio >= 0 else -1.0) / (abs(ratio) + math.sqrt(ratio * ratio + 1.0))
    c = 1.0 / math.sqrt(tangent * tangent + 1.0)
    s = tangent * c
    for row in rows:
        row[p], row[q] = c * row[p] - s * row[q], s * row[p] + c * row[q]
    for pair in (rows, vectors):
        a, b = pair[p], pair[q]
        pair[p] = [c * x - s * y for x, y in zip(a, b)]
        pair[q] = [s * x + c * y for x, y in zip(a, b)]
    return True


def _upright(vector: list[float]) -> list[float]:
    peak = max(vector, key=abs)
    return [-v for v in vector] if peak < 0 else vector
