"""Levels: the one scale of quality over all modes, and the slope that each stands for.

At level x a further bit must save at least 0.1155 step^2 of squared error, with step = 64 * 2^(x/8) DN, the quantiser step
of the learned codec at q = x (0.1155 = 2 ln 2 / 12 is what a bit saves a uniform quantiser at high rate; Gray and Neuhoff,
"Quantization", IEEE Trans. IT 44(6), 1998, section IV). Levels below 0 are finer than the learned codec goes. Equal level in
all tiles is equal slope, the least error for the bytes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from swathpack.edge.codec.latents import step_dn
from swathpack.edge.stream.quality import STEPS

FINEST_LEVEL, COARSEST_LEVEL = -56.0, float(STEPS - 1)  # steps of 0.5 and 15,040 DN
USUAL_LEVEL = 28.0
HALF_AS_MANY = 9  # levels on, a tile takes half as many bytes, about
BIT_SAVES = 2 * np.log(2) / 12
LEVELS = np.arange(FINEST_LEVEL, COARSEST_LEVEL + 64, 1 / 8)  # for tables; beyond the coarsest where room is short


def slope_at(level: float, gain: float = 1.0) -> float:
    """Squared error (counts^2) that a byte must save at a level; gain: DN of a count."""
    return float(8 * BIT_SAVES * (step_dn(0) / gain) ** 2 * 2.0 ** (level / 4))


def bytes_about(level: float, samples: int) -> int:
    """Bytes of a tile of so many samples at a level, about: 0.15 bits a sample at the usual one."""
    return max(64, int(0.15 / 8 * 2 ** ((USUAL_LEVEL - level) / HALF_AS_MANY) * samples))


def finest_fitting_level(size: Callable[[float], int], room: int) -> float:
    """The finest level, to 1/64, at which the bytes fit; the coarsest of LEVELS where none does."""
    low, high = 64 * int(FINEST_LEVEL), 64 * (int(COARSEST_LEVEL) + 64)
    if size(low / 64) <= room:
        return low / 64
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if size(middle / 64) <= room else (middle, high)
    return high / 64
