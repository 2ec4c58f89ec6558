"""Small made kernels and tiles for the calibration's tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from swathpack.calibration.analysis import Statistics, measure
from swathpack.calibration.planes import Plane
from swathpack.hil_tests.simulation.made_frames import values


def kernel(channels: int = 512, seed: int = 0) -> Any:
    """(channels, 12, 24, 24): smooth random waves of unit energy, and their biases (channels,)."""
    rng = np.random.default_rng(seed)
    waves = [
        np.cos(np.outer(rng.uniform(0, 1.5, channels), np.arange(24)) + rng.uniform(0, 6, (channels, 1))) for _ in "yx"
    ]
    bands = rng.normal(size=(channels, 12))
    made = np.einsum("nb,ny,nx->nbyx", bands, *waves)
    made /= np.sqrt((made**2).sum((1, 2, 3), keepdims=True))
    return made, rng.normal(size=channels)


def tiles(count: int = 2, side: int = 64) -> list[Any]:
    """(12, side, side) float32 DN."""
    return [values(side, side, 1, seed)[0].astype(np.float32) for seed in range(count)]


def statistics(planes: tuple[Plane, ...]) -> Statistics:
    """Of the made tiles."""
    return measure(tiles(), planes)
