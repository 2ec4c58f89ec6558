"""What fits of kernels beside an edge ask for, of seams between tiles and of the learned codec's squares alike: the error alone leaves a
part of every step, for some are the scene's, and what is left is seen where all around is smooth. So steps count too: by how plainly
they are seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BESIDE = np.arange(1, 16, 2) / 16
RAMP = np.concatenate(
    [_BESIDE, -_BESIDE[::-1]]
)  # (16,) of half a step, over as many pixels: it leaves a sixteenth of it
Values = NDArray[np.float64]


def asked(
    rows: NDArray[np.generic], missed: NDArray[np.generic], weight: float, even: float, least: float
) -> tuple[Values, Values]:
    """Weights (N,) of windows (N, 32) over an edge, and by these what is to be added to the 16 pixels (N, 16) beside it, which lack
    `missed`: that by `weight`, the inverse of the mean squared error, and a RAMP that takes the step over the edge away. The ramp
    counts `even` over the squares of the step and of the mean step elsewhere in the window, and `least` mean squared errors
    more: in smooth places more than an error does, in lively ones less.
    """
    signed = np.diff(rows.astype(np.float64), axis=1)
    middle, steps = signed.shape[1] // 2, np.abs(signed)
    edge = signed[:, middle]
    within = (steps.sum(axis=1) - steps[:, middle]) / (signed.shape[1] - 1)
    plain = even / (np.square(edge) + np.square(within) + least / weight)
    return weight + plain, weight * missed.astype(np.float64) + (plain * edge / 2)[:, None] * RAMP
