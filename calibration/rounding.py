"""Integer weights: a power-of-two scale per output channel, and rounding that images do not feel.

Rounding every weight to the nearest integer leaves an error that is white over the patch, but pixels are not: almost all
of their energy is common to neighbours and bands. So the weights are rounded one after the other, and each one's error
is taken off the weights that follow in the way that leaves the least expected error of the coefficient, given the
covariance of the inputs (Frantar et al. 2023, "GPTQ: accurate post-training quantization for generative pre-trained
transformers", section 3; the same as Babai's nearest plane).

The covariance is taken as separable, bands x rows x columns. Its inverse's Cholesky factor is then a Kronecker product
of three small ones, and nothing of 6912 x 6912 is ever factored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
PEAK = 127
DAMPING = 0.01  # of the mean variance, added to each factor: keeps what calibration did not see in bounds
BLOCK = 96


@dataclass(frozen=True, eq=False)
class Separable:
    """Covariance bands (12, 12) x rows (s, s) x columns (s, s) of a plane's patches."""

    bands: FloatArray
    rows: FloatArray
    columns: FloatArray

    def factors(self) -> list[NDArray[np.float64]]:
        """Upper Cholesky factors of the three inverses."""
        return [_inverse_factor(m.astype(np.float64)) for m in (self.bands, self.rows, self.columns)]


def _inverse_factor(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    n = len(matrix)
    scale = np.trace(matrix) / n
    normal = matrix / scale if scale > 0 else np.zeros_like(matrix)
    inverse = np.linalg.inv(normal + DAMPING * np.eye(n))
    return np.linalg.cholesky((inverse + inverse.T) / 2).T.astype(np.float64)


def channel_exponents(kernel: NDArray[np.floating]) -> NDArray[np.int64]:
    """(n, ...) -> (n,): weights are integers / 2^e; of no saturation and one step finer, the lesser squared error."""
    flat = kernel.reshape(len(kernel), -1).astype(np.float64)
    peak = np.maximum(np.abs(flat).max(axis=1), 2.0**-40)
    widest = np.floor(np.log2((PEAK + 0.49) / peak)).astype(np.int64)
    errors = [((nearest(flat, e) / np.exp2(e)[:, None] - flat) ** 2).sum(axis=1) for e in (widest, widest + 1)]
    best: NDArray[np.int64] = np.where(errors[1] < errors[0], widest + 1, widest)
    return best


def nearest(flat: NDArray[np.floating], exponent: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, m) -> integers in -127..127."""
    scaled = np.rint(flat.astype(np.float64) * np.exp2(exponent)[:, None])
    return np.clip(scaled, -PEAK, PEAK)


def shaped(kernel: NDArray[np.floating], exponent: NDArray[np.int64], covariance: Separable) -> NDArray[np.int8]:
    """Kernel (n, 12, s, s) -> int8 of the same shape, rounded with the errors passed on."""
    bands, rows, columns = covariance.factors()
    left = np.ascontiguousarray((kernel.reshape(len(kernel), -1) * np.exp2(exponent)[:, None]).T, np.float32)
    inner = np.kron(rows, columns)
    size, result = len(left), np.zeros(left.shape, np.int8)
    place = np.divmod(np.arange(size), len(inner))
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        band, pixel = place[0][start:stop], place[1][start:stop]
        factor = (bands[band][:, :, None] * inner[pixel][:, None, :]).reshape(stop - start, -1).astype(np.float32)
        error = _block(left, factor, start, stop, result)
        left[stop:] -= factor[:, stop:].T @ error
    return np.ascontiguousarray(result.T).reshape(kernel.shape)


def _block(left: FloatArray, factor: FloatArray, start: int, stop: int, result: NDArray[np.int8]) -> FloatArray:
    """Round rows start..stop of `left` one by one; the errors, each over its pivot."""
    errors = np.empty((stop - start, left.shape[1]), np.float32)
    for i in range(stop - start):
        row = left[start + i]
        level = np.clip(np.rint(row), -PEAK, PEAK)
        result[start + i] = level
        errors[i] = (row - level) / factor[i, start + i]
        left[start + i + 1 : stop] -= factor[i, start + i + 1 : stop, None] * errors[i]
    return errors
