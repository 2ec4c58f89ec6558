"""Synthetic cloud masks of natural shape for evaluation, where the truth under the cloud is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Amplitude over wavenumber of a field whose level sets have fractal dimension 1.35, as outlines of clouds have from
# 1 to 1000 km (Lovejoy 1982, "Area-perimeter relation for rain and cloud areas", Science 216): with D = 2 - H the
# power falls as k^-(2H + 2), H = 0.65.
SLOPE = 1.65


def cloud_mask(
    height: int, width: int, cover: float, rng: np.random.Generator, largest: int = 256
) -> NDArray[np.bool_]:
    """(H, W) bool with a share `cover` (0..1) of True, to the pixel; structures up to `largest` pixels."""
    side = 2 * max(height, width)  # the field wraps around: its opposite edges must not both be used
    noise = np.fft.rfft2(rng.standard_normal((side, side)))
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    field = np.fft.irfft2(noise / np.maximum(radius, 1 / largest) ** SLOPE, (side, side))[:height, :width]
    count = round(cover * height * width)
    mask = np.zeros(height * width, np.bool_)
    mask[np.argsort(field, axis=None)[::-1][:count]] = True
    return mask.reshape(height, width)
