"""The encoder's search for how far an earlier date lies from a tile, to an eighth of a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder.shift import BEFORE, FILTERS, ONE_BITS, STILL, TAPS, Shift, in_cells

RANGE = 20  # eighths of a pixel, each way
LAGS = 8  # whole cells, each way, for which products are taken
SIDE = 24  # cells, at least, of what is compared
BLUR = 5  # cells across, whose mean is taken off: coarse structure tells nothing of parts of a pixel
LEAST_LEFT = 0.02  # of a tile's fine structure, that no date tells
LEAST_BITS = 16.0  # saved by estimate, below which a date stays where it is
FINER = 0.25  # of the error that is aimed at: what a date tells for nothing may be finer
Planes = NDArray[np.float32]
Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Aligner:
    """A tile's planes (B, h, w) of cells of `factor` pixels, as earlier dates are compared with them."""

    factor: int
    inside: NDArray[np.bool_]
    spectra: NDArray[np.complex128]
    energy: Reals

    @classmethod
    def of(cls, planes: Planes, valid: NDArray[np.bool_], factor: int) -> Aligner | None:
        """valid: (h, w) cells. None where too little is there to see."""
        inside = _eroded(valid)
        if min(valid.shape) < SIDE or inside.sum() < SIDE**2 / 4:
            return None
        fine = _lively(planes) * inside
        return cls(factor, inside, np.fft.rfft2(fine), _energy(fine))

    def told(self, planes: Planes) -> Reals:
        """(B, 2 RANGE + 1, 2 RANGE + 1) of the planes' energy that a date's planes tell, at every shift."""
        fine = _lively(planes)
        spectra = np.fft.rfft2(fine)
        across = _lags(np.conj(self.spectra) * spectra, fine.shape[1:])
        alike = _lags(np.abs(spectra) ** 2, fine.shape[1:]) * (self.inside.sum() / self.inside.size)
        filters, squares = _filters(self.factor)
        product = filters @ across @ filters.T
        norm = np.maximum(squares @ alike @ squares.T, 1e-9)
        # The date's own energy is that of the whole of it, so that it may seem to tell more than there is: of several shifts
        # that do, the one that tells most stays ahead.
        told: Reals = product**2 / norm
        told *= np.minimum(1.0, self.energy[:, None, None] / np.maximum(told.max(axis=(1, 2), keepdims=True), 1e-9))
        return told

    def shift_of(self, told: Reals, noise: float) -> tuple[Shift, float]:
        """The shift of a date that leaves fewest bits, and how many fewer than none (an estimate); STILL and 0 where that is not
        worth telling. told: by it; noise: squared error a cell that is aimed at.
        """
        count, energy = float(self.inside.sum()), self.energy[:, None, None]
        least = LEAST_LEFT * energy + count * (FINER * noise) + 1e-3
        left = energy - told
        bits = (count / 2 * np.log2((energy + least) / (left + least))).sum(axis=0)
        row, column = np.unravel_index(int(bits.argmax()), bits.shape)
        saved = float(bits[row, column] - bits[RANGE, RANGE])
        found = int(row) - RANGE, int(column) - RANGE
        return (found, saved) if saved > LEAST_BITS else (STILL, 0.0)


def liveliest(planes: Planes, most: int) -> list[int]:
    """Which of the planes (B, h, w) have most fine structure."""
    return [int(n) for n in np.argsort(-_energy(_lively(planes)))[:most]]


def _lively(planes: Planes) -> Planes:
    """Less the mean over BLUR x BLUR."""
    half = BLUR // 2
    sums = np.pad(planes.astype(np.float64), ((0, 0), (half, half), (half, half)), mode="edge")
    for axis in (1, 2):
        sums = np.cumsum(np.insert(sums, 0, 0, axis=axis), axis=axis)
        upper, lower = (
            np.take(sums, range(BLUR, sums.shape[axis]), axis),
            np.take(sums, range(sums.shape[axis] - BLUR), axis),
        )
        sums = upper - lower
    return (planes - sums / BLUR**2).astype(np.float32)


def _eroded(valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without what lies within LAGS of the edge, or within a blur of an invalid cell."""
    inside = np.zeros_like(valid)
    inside[LAGS:-LAGS, LAGS:-LAGS] = True
    if not valid.all():
        for down in (-BLUR, 0, BLUR):
            for right in (-BLUR, 0, BLUR):
                inside &= np.roll(valid, (down, right), (0, 1))
    return inside


def _energy(planes: Planes) -> Reals:
    return np.asarray(np.square(planes).sum(axis=(1, 2)), np.float64)


def _lags(spectra: NDArray[np.generic], shape: Sequence[int]) -> Reals:
    """(B, 2 LAGS + 1, 2 LAGS + 1) products at whole lags."""
    found = np.fft.irfft2(spectra, (int(shape[0]), int(shape[1])))
    near = np.arange(-LAGS, LAGS + 1)
    return found[:, near[:, None], near].astype(np.float64)


@lru_cache(maxsize=8)
def _filters(factor: int) -> tuple[Reals, Reals]:
    """(2 RANGE + 1, 2 LAGS + 1) weights of whole lags in the products with a date that is moved, and in its own energy."""
    products = np.zeros((2 * RANGE + 1, 2 * LAGS + 1))
    energies = np.zeros_like(products)
    for row, eighths in enumerate(range(-RANGE, RANGE + 1)):
        whole, phase = in_cells(eighths, factor)
        taps = FILTERS[phase] / (1 << ONE_BITS)
        start = LAGS + whole - BEFORE
        products[row, start : start + TAPS] = taps
        energies[row, LAGS - TAPS + 1 : LAGS + TAPS] = np.correlate(taps, taps, "full")
    return products, energies
