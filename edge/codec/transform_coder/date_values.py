"""What the bit planes are given of an earlier date."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Beside:
    """An earlier date's own coefficients beside those of a tile that is coded. values: (n_values,) int32, doubled, in the step of
    plane 0, at most 2^24; predicted: (n_values,) uint8, 1 where something was taken of the date before.
    """

    values: NDArray[np.int32]
    predicted: NDArray[np.uint8]
