"""Channel gains of the synthesis: the squared error in pixels that a unit error of a coefficient makes.

Rate control uses the energy of each channel's synthesis kernel (models/edge/gains.npz). The real synthesis is that
kernel between two networks, so the check here adds unit errors to real latents and looks at the decoded pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.latents import step_dn
from swathpack.edge.codec.model import EdgeModel

SHARE = 1 / 16  # of the positions get an error, so that errors do not meet


@dataclass(frozen=True, eq=False)
class GainCheck:
    """Per checked channel: gain by kernel energy, by change of the decoded pixels, and by change of the error against
    the original, all in DN^2 per (64 DN)^2; the last is noisy, as the error crosses the one already there.
    """

    quality: int
    channels: NDArray[np.int64]
    energy: NDArray[np.float64]
    change: NDArray[np.float64]
    true_error: NDArray[np.float64]

    @property
    def ratio(self) -> NDArray[np.float64]:
        """Measured change over kernel energy."""
        return self.change / self.energy


def check_gains(
    model: EdgeModel,
    tiles: Sequence[NDArray[np.float32]],
    coefficients: Sequence[NDArray[np.float32]],
    channels: Sequence[int],
    quality: int,
    seed: int = 0,
    tick: Callable[[], None] = lambda: None,
) -> GainCheck:
    """tiles (12, H, W) DN and their coefficients; errors of one step of `quality`, random sign, on real latents."""
    rng, unit = np.random.default_rng(seed), step_dn(quality) / 64
    change, true_error = np.zeros(len(channels)), np.zeros(len(channels))
    count = 0
    for tile, given in zip(tiles, coefficients):
        latent = np.rint(given / np.float32(unit))
        base = _pixels(model, latent, quality, tile.shape)
        errors = rng.choice([-1.0, 1.0], given.shape[1:]) * (rng.random(given.shape[1:]) < SHARE)
        errors.flat[0] = 1.0
        energy = float((errors**2).sum()) * unit**2
        for i, channel in enumerate(channels):
            moved = latent.copy()
            moved[channel] += errors.astype(np.float32)
            pixels = _pixels(model, moved, quality, tile.shape)
            change[i] += ((pixels - base) ** 2).sum() / energy
            true_error[i] += (((pixels - tile) ** 2).sum() - ((base - tile) ** 2).sum()) / energy
            tick()
        count += 1
    energy_gain = model.gains[np.asarray(channels)]
    return GainCheck(quality, np.asarray(channels), energy_gain, change / count, true_error / count)


def _pixels(model: EdgeModel, latent: NDArray[np.float32], quality: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return model.synthesise(latent, quality)[:, : shape[1], : shape[2]].astype(np.float64)
