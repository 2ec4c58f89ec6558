"""How a decoded image looks beside its original: what people see of it, next to errors over all bands.

Pictures are three bands, stretched as people stretch them: everything beyond the 2 % and 98 % quantiles of the original
picture halved in contrast, then its 0.2 % to 99.8 % quantiles spread over 0 to 255. The decoded picture takes the stretch of the
original, so that a shift of brightness or colour counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

TRUE_COLOUR = ("B04", "B03", "B02")
FALSE_COLOUR = ("B08", "B04", "B03")
BLOCK = 16  # pixels: the learned codec's stride, and a multiple of the peers' block sizes
Picture = NDArray[np.float64]


def picture_of(image: NDArray[np.generic], bands: Sequence[str], trio: Sequence[str] = TRUE_COLOUR) -> Picture:
    """(C, H, W) counts -> (H, W, 3), counts too."""
    return image[[list(bands).index(band) for band in trio]].transpose(1, 2, 0).astype(np.float64)


def stretch_of(picture: Picture) -> Callable[[Picture], Picture]:
    """The stretch that a picture's own range asks for, to 0..255."""
    low, high = np.quantile(picture, [0.02, 0.98])

    def soft(x: Picture) -> Picture:
        return np.where(x < low, low + (x - low) / 2, np.where(x > high, high + (x - high) / 2, x))

    first, last = np.quantile(soft(picture), [0.002, 0.998])
    return lambda x: np.clip((soft(x) - first) / max(last - first, 1.0) * 255, 0, 255)


def rendered_psnr(original: Picture, decoded: Picture) -> float:
    """dB, peak 255, between two pictures of counts under the original's stretch; 100 for equal ones."""
    show = stretch_of(original)
    error = float(((show(original) - show(decoded)) ** 2).mean())
    return 10 * float(np.log10(255**2 / error)) if error > 255**2 * 1e-10 else 100.0


def looks_of(
    original: NDArray[np.generic], decoded: NDArray[np.generic], bands: Sequence[str]
) -> tuple[float, float, float]:
    """dB of the true-colour and of the false-colour picture, and the true-colour picture's blocks, of (C, H, W) counts."""
    true, false = (
        [picture_of(image, bands, trio) for image in (original, decoded)] for trio in (TRUE_COLOUR, FALSE_COLOUR)
    )
    return rendered_psnr(*true), rendered_psnr(*false), blockiness(*true)


def blockiness(original: Picture, decoded: Picture) -> float:
    """Mean step over the edges of 16-pixel blocks over the mean step elsewhere, divided by the same of the original: 1 where
    no blocks show, nan for pictures of one block.
    """
    show = stretch_of(original)
    return _edge_steps(show(decoded)) / _edge_steps(show(original))


def _edge_steps(picture: Picture) -> float:
    ratios = []
    for axis in (0, 1):
        steps = np.abs(np.diff(picture, axis=axis)).mean(axis=(1 - axis, 2))
        edge = np.arange(1, len(steps) + 1) % BLOCK == 0
        if edge.any() and not edge.all():
            ratios.append(float(steps[edge].mean()) / max(float(steps[~edge].mean()), 1e-6))
    return float(np.mean(ratios)) if ratios else float("nan")
