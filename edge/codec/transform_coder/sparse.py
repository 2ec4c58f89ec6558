"""Bases on which a tile's coefficients are sparse: what blocks of them take, and turning a basis until they take less.

The coder's contexts know from the neighbours how large a coefficient may be, so what a component takes is not the logarithm of its
variance over the tile but the mean of the logarithms of its variances from place to place. The eigenvectors of the tile's second
moments are the best basis by the first measure alone. By the second one a basis is turned pair by pair to where the second moments
of all blocks are closest to diagonal ones together, weighed by what variance costs in each (Flury and Gautschi, "An algorithm for
simultaneous orthogonal transformation of several positive definite symmetric matrices to nearly diagonal form", SIAM J. Sci. Stat.
Comput. 7, 1986, with weights of blocks that follow the basis). Of the encoder alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import native
from swathpack.edge.codec.transform_coder.layout import CELL, Pyramid

Doubles = NDArray[np.float64]

MOST_BLOCKS = 131  # of a subband, a prime: evenly spread over it, and not always in the same columns
LARGEST_RATIO = 1e18  # of a variance over the noise: sixteen of them multiplied are still a double
LEAST_LENGTH = 1e-100  # of a slope that still has a direction


@dataclass(frozen=True, eq=False)
class Blocks:
    """Mean second moments over the bands of blocks of up to 4 x 4 coefficients, of some of a raster's, coarsest first.

    moments: (N, B (B + 1) / 2), of bands (r, c), c <= r, row by row, so that those of the first bands come first. counts: (N,)
    coefficients that a block stands for. firsts: (N,) first columns of their subbands.
    """

    moments: Doubles
    counts: Doubles
    firsts: NDArray[np.int64]

    @classmethod
    def of(cls, bands: NDArray[np.float32], pyramid: Pyramid) -> Blocks:
        """From coefficients (B, N) of a raster, C contiguous."""
        parts, counts, firsts = [], [], []
        for columns, each, first in _places(pyramid):
            parts.append(_moments(bands, columns))
            counts.append(np.full(len(columns), each))
            firsts.append(np.full(len(columns), first))
        return cls(np.concatenate(parts), np.concatenate(counts), np.concatenate(firsts))

    def within(self, start: int, stop: int) -> Blocks:
        """Those of the subbands within columns [start, stop)."""
        here = slice(*np.searchsorted(self.firsts, (start, stop)))
        return Blocks(self.moments[here], self.counts[here], self.firsts[here])

    def bits(self, basis: Doubles, noises: Doubles) -> Doubles:
        """Expected on a basis (S, S) of the first S bands, at each squared error a coefficient (A,): half the logarithm of base two of
        1 + variance / noise for every coefficient of every component.
        """
        if native.available():
            return native.sparse_bits(self.moments, self.counts, basis, noises)
        found, variances = np.zeros(len(noises)), self._variances(basis)
        for a, noise in enumerate(noises):
            product = np.ones(len(self.counts))
            for column in variances.T:
                product = product * (1 + np.minimum(column / noise, LARGEST_RATIO))
            found[a] = _sum(0.5 * self.counts * np.log2(product))
        return found

    def turned(self, basis: Doubles, noises: Doubles, worth: Doubles, rounds: int) -> Doubles:
        """A basis (S, S) on which the sum over the noises of `worth` times `bits` is less, its columns in any order."""
        basis = np.array(basis, np.float64, order="C")
        if native.available():
            native.sparse_turn(self.moments, self.counts, noises, worth, rounds, basis)
            return basis
        for _ in range(rounds):
            slopes = self._slopes(basis, noises, worth)
            for i in range(len(basis) - 1):
                for j in range(i + 1, len(basis)):
                    _turn_pair(basis, i, j, (slopes[i] - slopes[j]).tolist())
        return basis

    def _variances(self, basis: Doubles) -> Doubles:
        """(N, S) of the components in every block."""
        found = np.zeros((len(self.counts), len(basis)))
        for moment, (r, c) in zip(self.moments.T, _pairs(len(basis))):
            product = basis[r] * basis[c]
            found += moment[:, None] * (product if r == c else product + product)
        return np.maximum(found, 0.0)

    def _slopes(self, basis: Doubles, noises: Doubles, worth: Doubles) -> Doubles:
        """(S, packed) of component i: the sum of the blocks' moments, each by what a little more variance of it costs there."""
        variances, packed = self._variances(basis), len(basis) * (len(basis) + 1) // 2
        weights = np.zeros_like(variances)
        for noise, each in zip(noises, worth):
            weights += each / (noise + variances)
        weights *= self.counts[:, None]
        return np.stack([_sum(weight[:, None] * self.moments[:, :packed]) for weight in weights.T])


@lru_cache(maxsize=16)
def _places(pyramid: Pyramid) -> tuple[tuple[NDArray[np.uint32], float, int], ...]:
    """Of every subband: columns (n, cells) of its blocks, coefficients that each stands for, its first column."""
    found = []
    for _, _, height, width, at in pyramid.columns():
        if not height * width:
            continue
        tall, wide = min(CELL, height), min(CELL, width)
        down, across = height // tall, width // wide
        index = np.arange(at, at + height * width, dtype=np.uint32).reshape(height, width)[
            : tall * down, : wide * across
        ]
        blocks = index.reshape(down, tall, across, wide).swapaxes(1, 2).reshape(-1, tall * wide)
        some = np.arange(min(len(blocks), MOST_BLOCKS)) * len(blocks) // min(len(blocks), MOST_BLOCKS)
        columns = np.ascontiguousarray(blocks[some])
        columns.flags.writeable = False
        found.append((columns, height * width / len(columns), at))
    return tuple(found)


def _pairs(size: int) -> list[tuple[int, int]]:
    return [(r, c) for r in range(size) for c in range(r + 1)]


def _moments(bands: NDArray[np.float32], columns: NDArray[np.uint32]) -> Doubles:
    """(n, packed) of the columns (n, cells)."""
    if native.available():
        return native.sparse_moments(bands, columns)
    values = bands[:, columns].astype(np.float64)
    rows = [_sum((values[r] * values[c]).T) for r, c in _pairs(len(bands))]
    return np.ascontiguousarray(np.stack(rows, axis=1) / columns.shape[1])


def _sum(rows: Doubles) -> Doubles:
    """Over the first axis, one row after another."""
    return np.asarray(np.cumsum(rows, axis=0)[-1]) if len(rows) else np.zeros(rows.shape[1:])


def _turn_pair(basis: Doubles, i: int, j: int, apart: Sequence[float]) -> None:
    """Turns columns i and j within their plane to where their slopes together are least; apart: those of i less those of j."""
    x, y = basis[:, i].tolist(), basis[:, j].tolist()
    along = (_form(apart, x, x) - _form(apart, y, y)) / 2
    across = _form(apart, x, y)
    length = (along * along + across * across) ** 0.5
    if not length > LEAST_LENGTH:
        return
    cosine = -along / length  # of twice the angle
    c, s = ((1 + cosine) / 2) ** 0.5, ((1 - cosine) / 2) ** 0.5
    if across > 0:
        s = -s
    basis[:, i] = [c * a + s * b for a, b in zip(x, y)]
    basis[:, j] = [c * b - s * a for a, b in zip(x, y)]


def _form(matrix: Sequence[float], x: Sequence[float], y: Sequence[float]) -> float:
    """x^T M y of a packed symmetric matrix."""
    total, at = 0.0, 0
    for r in range(len(x)):
        for c in range(r + 1):
            product = x[r] * y[c] if r == c else x[r] * y[c] + x[c] * y[r]
            total += matrix[at] * product
            at += 1
    return total
