"""From predicted means and scales to table indexes, with guards against float noise.

A value with mean m and standard deviation sigma is coded with table (fraction, scale): the mean in 1/8 steps
and the nearest of 64 log-spaced scales. Both roundings have boundaries, and a float network gives values that
differ in the last digits from machine to machine, even from batch to batch. So the encoder lists the few
values that lie within `MARGIN` of a boundary and says on which side they were: the decoder takes that side.
Where its own value strays farther, the check of the token fails and the frame is refused (see stream.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as fn

from swathpack.edge.codec.tables import Mixture, ProbabilityTables, build

STEPS_PER_UNIT = 8
N_SCALES = 64
SIGMA_MAX = 256.0
SIGMA_MIN_CODED = 0.05  # temporal models: a centred symbol below it costs nothing
SIGMA_MIN_ELIC = 0.11
MARGIN = 2e-5  # relative noise that the guards absorb, of max(1, |mean|) and of sigma
FLEX_SIGMA_MAX = 10.0

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def trained_sigma(raw: Tensor) -> Tensor:
    """The scale head's activation: 1 + x above zero, 1 / (1 - x) below, plus the 0.01 of the training grid.

    TEC-TT and FlexTEC are both trained with it. Any shape, float.
    """
    return torch.where(raw > 0, raw + 1.0, 1.0 / (1.0 - raw.clamp(max=0.0))) + 0.01


def flex_sigma(raw: Tensor) -> Tensor:
    """FlexTEC's coding scale, one softplus, between 0.001 and 10. (Its published coder then applies
    `trained_sigma` to the result once more, so that no scale falls below 1; that is left out here.)"""
    return (fn.softplus(raw) + 1e-6).clamp(1e-3, FLEX_SIGMA_MAX)


SIGMA_RULES = (trained_sigma, flex_sigma)


@lru_cache(maxsize=4)
def gaussian_tables(sigma_min: float, n_fractions: int) -> ProbabilityTables:
    """Integer tables of a rounded Gaussian: `n_fractions` mean steps by 64 scales up to 256."""
    sigmas = np.geomspace(sigma_min, SIGMA_MAX, N_SCALES)
    return build(Mixture(0.0, 1.0, 0.0), sigmas, n_fractions)


@dataclass
class Cells:
    """Real-valued cell coordinates of n values; floor of each is the cell's number. All (n,) float64.

    mean: in 1/8 steps (coded) or whole steps (filled), plus 1/2. scale: in log steps, plus 1/2.
    """

    mean: Floats
    scale: Floats

    @property
    def stacked(self) -> Floats:
        """(2n,): the means, then the scales; guards count positions in this order."""
        return np.concatenate([self.mean, self.scale])


def coded_cells(mean: Tensor, sigma: Tensor, sigma_min: float) -> Cells:
    """Cells of values that are coded: (...) float tensors, flattened in C order."""
    step = np.log(SIGMA_MAX / sigma_min) / (N_SCALES - 1)
    scale = np.log(np.maximum(_flat(sigma), 1e-9) / sigma_min) / step + 0.5
    # Beyond the first and last scale there is no boundary, hence nothing to guard.
    return Cells(_flat(mean) * STEPS_PER_UNIT + 0.5, np.clip(scale, 0.5, N_SCALES - 0.5))


def filled_cells(mean: Tensor) -> Cells:
    """Cells of values that take their rounded mean and are not coded."""
    flat = _flat(mean)
    return Cells(flat + 0.5, np.full(flat.size, 0.5))


def _flat(values: Tensor) -> Floats:
    return values.detach().reshape(-1).to(torch.float64).numpy()


def near_boundary(cells: Cells, sigma_min: float, steps: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Positions in `cells.stacked` that float noise could carry over a boundary, and their side.

    steps: mean cells per unit (8 coded, 1 filled). Side True: at or above the boundary. Sorted positions.
    """
    log_step = np.log(SIGMA_MAX / sigma_min) / (N_SCALES - 1)
    means = np.maximum(np.abs(cells.mean), steps) * MARGIN
    reach = np.concatenate([means, np.full(cells.scale.size, MARGIN / log_step)])
    value = cells.stacked
    boundary = np.rint(value)
    near = np.flatnonzero(np.abs(value - boundary) < reach)
    return near, value[near] >= boundary[near]


def settle(cells: Cells, near: Ints, side: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Cell numbers of means and scales (int64), the guarded ones on the side that the encoder saw."""
    value = cells.stacked
    number = np.floor(value).astype(np.int64)
    number[near] = np.rint(value[near]).astype(np.int64) - 1 + side
    n = cells.mean.size
    return number[:n], np.clip(number[n:], 0, N_SCALES - 1)


def table_of(mean_cell: Ints, scale_cell: Ints) -> tuple[Ints, Ints]:
    """(base, table index): the symbol of value y is y - base, coded with that table."""
    return mean_cell >> 3, (mean_cell & 7) * N_SCALES + scale_cell
