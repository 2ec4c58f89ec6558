"""Fixed spectral Karhunen-Loeve transform, trained on the train split (models/edge/band_statistics.npz).

The transform is orthonormal, so an error in a plane is the same error in the bands: a codec that gives every
plane the same quantiser step (or spends bits where they lower the squared error most) is allocating well.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, load_statistics

_HEADER = struct.Struct("<BBHHHh")  # step (thirds of an octave), planes, T, H, W, lowest of plane 0 in 8 DN


@dataclass(frozen=True)
class Klt:
    """`matrix` (C, C): rows are eigenvectors by falling variance, signed so that their sum is positive."""

    matrix: NDArray[np.float64]
    mean: NDArray[np.float64]

    @classmethod
    def trained(cls, bands: tuple[str, ...] = BANDS, weights: NDArray[np.float64] | None = None) -> Klt:
        """The transform for the given bands; weights (C,): they were multiplied by."""
        statistics = load_statistics("pooled")
        index = [BANDS.index(b) for b in bands]
        scale = np.ones(len(bands)) if weights is None else weights
        return cls.of(
            statistics.covariance[np.ix_(index, index)] * np.outer(scale, scale), statistics.mean[index] * scale
        )

    @classmethod
    def of(cls, covariance: NDArray[np.float64], mean: NDArray[np.float64]) -> Klt:
        """The transform for bands of that covariance (C, C) and mean (C,)."""
        matrix = np.linalg.eigh(covariance)[1][:, ::-1].T
        return cls(matrix * np.where(matrix.sum(axis=1, keepdims=True) < 0, -1, 1), mean)

    @classmethod
    def of_pixels(cls, rows: NDArray[np.float64]) -> Klt:
        """The transform of these very pixels (C, N), their means rounded to integers."""
        return cls.of(np.cov(rows).reshape(len(rows), len(rows)), np.rint(rows.mean(axis=1)))

    def forward(self, series: NDArray[np.uint16]) -> NDArray[np.float64]:
        """(..., C, H, W) DN -> planes, float64, mean removed."""
        out: NDArray[np.float64] = np.einsum(
            "ij,...jhw->...ihw", self.matrix, series - self.mean[:, None, None], optimize=True
        )
        return out

    def inverse(self, planes: NDArray[np.float64]) -> NDArray[np.uint16]:
        """Planes -> DN, rounded and kept within uint16."""
        bands = np.einsum("ij,...ihw->...jhw", self.matrix, planes, optimize=True) + self.mean[:, None, None]
        out: NDArray[np.uint16] = np.clip(np.rint(bands), 0, 65535).astype(np.uint16)
        return out


@dataclass(frozen=True)
class PlaneRange:
    """How planes of a series fit into `bits`-bit samples: one step for all planes, so distortion stays equal.

    The first plane (brightness) is far from symmetric and starts at its own lowest value; the others are
    centred.
    """

    exponent: int
    lowest: int
    bits: int

    @classmethod
    def fitting(cls, planes: NDArray[np.float64], bits: int, least: int = 0) -> PlaneRange:
        """The finest step from 2^(least/3) DN on, in thirds of an octave, at which planes (T, C, H, W) fit."""
        lowest = int(np.floor(planes[:, 0].min() / 8))
        others = 2 * np.abs(planes[:, 1:]).max() if planes.shape[1] > 1 else 0.0
        span = max(float(planes[:, 0].max()) - 8 * lowest, float(others), 1.0)
        return cls(max(least, int(np.ceil(3 * np.log2(span / (2**bits - 2))))), lowest, bits)

    @property
    def step(self) -> float:
        """DN per code value."""
        return float(2.0 ** (self.exponent / 3))

    def _offsets(self, count: int) -> NDArray[np.float64]:
        offsets = np.full((count, 1, 1), 2.0 ** (self.bits - 1))
        offsets[0] = -8 * self.lowest / self.step
        return offsets

    def quantise(self, planes: NDArray[np.float64]) -> NDArray[np.uint16]:
        """(..., C, H, W) planes -> code values."""
        codes = np.rint(planes / self.step + self._offsets(planes.shape[-3]))
        return np.clip(codes, 0, 2**self.bits - 1).astype(np.uint16)

    def dequantise(self, codes: NDArray[np.uint16]) -> NDArray[np.float64]:
        """Code values -> planes."""
        return (codes.astype(np.float64) - self._offsets(codes.shape[-3])) * self.step

    def pack(self, shape: tuple[int, ...]) -> bytes:
        """10 bytes: this range and the shape (T, C, H, W)."""
        frames, count, height, width = shape
        return _HEADER.pack(self.exponent, count, frames, height, width, self.lowest)

    @classmethod
    def unpack(cls, data: bytes, bits: int) -> tuple[PlaneRange, tuple[int, int, int, int]]:
        """The range and the shape."""
        exponent, count, frames, height, width, lowest = _HEADER.unpack(data[: _HEADER.size])
        return cls(exponent, lowest, bits), (frames, count, height, width)


HEADER_BYTES = _HEADER.size
