"""How far the int8 range of a plane reaches: percentile, squared-error and entropy choices, as powers of two.

All of them see the same histogram of pixel values. A plane of 2^e DN a level holds 0 .. 255 * 2^e DN (the frame's
offset puts its 256 levels there), so a threshold T gives e = ceil(log2(T / 255)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVELS = 256
BINS = 4096
BIN_DN = 16
EXPONENTS = range(2, 9)
PERCENTILES = (99.0, 99.9, 99.99, 100.0)


@dataclass(frozen=True)
class RangeChoice:
    """`rule` wants 2^exponent DN a level; `threshold` DN is what it derived that from (nan: chosen by cost)."""

    rule: str
    exponent: int
    threshold: float


def histogram(tiles: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """(BINS,) share of pixels per bin of 16 DN; every tile counts alike."""
    total = np.zeros(BINS)
    for tile in tiles:
        index = np.clip(tile.ravel() / BIN_DN, 0, BINS - 1).astype(np.int64)
        total += np.bincount(index, minlength=BINS) / index.size
    shares: NDArray[np.float64] = total / max(len(tiles), 1)
    return shares


def exponent_for(threshold: float) -> int:
    """The finest power of two whose 256 levels reach `threshold` DN."""
    return int(np.clip(np.ceil(np.log2(max(threshold, 1.0) / (LEVELS - 1))), 0, 8))


def by_percentile(shares: NDArray[np.float64], percent: float) -> RangeChoice:
    """The value that `percent` of the pixels do not exceed."""
    reached = np.cumsum(shares) >= percent / 100 - 1e-12
    threshold = float((int(np.argmax(reached)) + 1) * BIN_DN)
    return RangeChoice(f"percentile {percent:g}", exponent_for(threshold), threshold)


def squared_error(shares: NDArray[np.float64], exponent: int) -> float:
    """DN^2 of a pixel: 2^2e / 12 within the range, the distance to its end beyond."""
    values = (np.arange(BINS) + 0.5) * BIN_DN
    beyond = np.maximum(values - (LEVELS - 1) * 2.0**exponent, 0)
    return float((shares * np.where(beyond > 0, beyond**2, 4.0**exponent / 12)).sum())


def by_squared_error(shares: NDArray[np.float64]) -> RangeChoice:
    """The exponent of least squared error of the pixels."""
    return RangeChoice("mse", min(EXPONENTS, key=lambda e: squared_error(shares, e)), float("nan"))


def divergence(shares: NDArray[np.float64], exponent: int) -> float:
    """Kullback-Leibler divergence, nats, from the pixels' histogram to what 256 levels of 2^exponent DN keep of it.

    As in Migacz 2017, "8-bit inference with TensorRT": mass beyond the range moves to its last bin, and every level
    spreads its mass evenly over those of its bins that are not empty.
    """
    width = max(2**exponent // BIN_DN, 1)
    reach = min(LEVELS * width, BINS) if 2**exponent >= BIN_DN else max(LEVELS * 2**exponent // BIN_DN, 1)
    clipped = shares[:reach].copy()
    clipped[-1] += shares[reach:].sum()
    kept = shares[:reach].reshape(-1, width) if reach % width == 0 else shares[:reach, None]
    full = kept > 0
    mean = kept.sum(axis=1, keepdims=True) / np.maximum(full.sum(axis=1, keepdims=True), 1)
    q = np.where(full, mean, 0).reshape(-1)
    q = (q + 1e-12) / (q + 1e-12).sum()
    at = clipped > 0
    return float((clipped[at] * np.log(clipped[at] / q[at])).sum())


def by_entropy(shares: NDArray[np.float64]) -> RangeChoice:
    """The exponent of least divergence."""
    return RangeChoice("entropy (KL)", min(EXPONENTS, key=lambda e: divergence(shares, e)), float("nan"))


def all_choices(shares: NDArray[np.float64]) -> list[RangeChoice]:
    """What each rule chooses: percentiles, squared error, entropy."""
    return [*(by_percentile(shares, p) for p in PERCENTILES), by_squared_error(shares), by_entropy(shares)]
