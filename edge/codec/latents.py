"""Integer operations on latents that board and ground share: steps, planes, coding phases, neighbour means.

A latent is (512, h, w) int16: 16 layers of 32 channels at a stride of 16 pixels. Everything here is integer
arithmetic, so both sides get the same numbers on every machine.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.stream.quality import STEPS

CHANNELS = 512
LAYERS = 16
GROUP = CHANNELS // LAYERS
STRIDE = 16
STEP_UNIT_DN = 64.0
LATENT_LIMIT = 32760  # of coded values: int16, and a multiple of 8 so that a base in fine steps does not leave it
CONTEXT_LIMIT = 2047  # of contexts and bases in the current step: all that the high part of int8 tells (16 * 127 + 15)
PHASES = 5
INT8_MIN, INT8_MAX = -128, 127
RESCALE_BITS = 12

Latent = NDArray[np.int16]
IntArray = NDArray[np.int64]

# Ratio of two steps 2^(d/8) in 1/4096, for d = -63..63 at index d + 63.
_RATIOS = np.round(np.exp2(np.arange(-(STEPS - 1), STEPS) / 8) * (1 << RESCALE_BITS)).astype(np.int64)
_OFFSETS = (
    (),
    ((-2, -2), (-2, 2), (2, -2), (2, 2)),
    ((-2, 0), (2, 0), (0, -2), (0, 2)),
    ((-1, -1), (-1, 1), (1, -1), (1, 1)),
    ((-1, 0), (1, 0), (0, -1), (0, 1)),
)


def step_dn(q: int) -> float:
    """Quantiser step of index q (0..63) in DN of an orthonormal coefficient."""
    return float(STEP_UNIT_DN * 2.0 ** (q / 8))


class LatentError(ValueError):
    """Coefficients that no latent holds, at this step or at any; carries expected and found."""


def finest_step(coefficients: NDArray[np.float32]) -> int:
    """The least step index at which every coefficient (in units of 64 DN) fits a latent, with a level to spare, so that
    it may be rounded either way. 0 for all tiles whose mean is below some 40,000 DN. Raises LatentError.
    """
    peak = float(np.abs(coefficients).max(initial=0))
    for q in range(STEPS):
        if peak * 2.0 ** (-q / 8) < LATENT_LIMIT - 1:
            return q
    raise LatentError(f"expected coefficients below {LATENT_LIMIT - 1} steps of q {STEPS - 1}, found {peak}")


def quantise(coefficients: NDArray[np.float32], q: int, dead_zone: float) -> Latent:
    """Coefficients (512, h, w) in units of 64 DN -> latent; |c| / step + 0.5 - dead_zone is floored. Raises LatentError
    when one does not fit: see `finest_step`.
    """
    scaled = coefficients * np.float32(2.0 ** (-q / 8))
    magnitude = np.floor(np.abs(scaled) + np.float32(0.5 - dead_zone))
    if not magnitude.max(initial=0) <= LATENT_LIMIT:
        raise LatentError(f"q {q}: expected at most {LATENT_LIMIT} steps, found {magnitude.max()}")
    latent: Latent = np.copysign(magnitude, scaled).astype(np.int16)
    return latent


def rescale(latent: Latent, q_from: int, q_to: int) -> Latent:
    """A context of step q_from in units of step q_to, by an integer ratio; rounds half up, saturates at CONTEXT_LIMIT."""
    product = latent.astype(np.int64) * _RATIOS[q_from - q_to + STEPS - 1]
    rounded = (product + (1 << (RESCALE_BITS - 1))) >> RESCALE_BITS
    rescaled: Latent = np.clip(rounded, -CONTEXT_LIMIT, CONTEXT_LIMIT).astype(np.int16)
    return rescaled


def layer_planes(values: NDArray[np.int16], layer: int) -> NDArray[np.int8]:
    """Layer values (32, P) -> int8 planes (64, P): clipped, then high part (layer 0) or magnitude
    (others).
    """
    wide = values.astype(np.int32)
    second = (wide + 8) >> 4 if layer == 0 else np.abs(wide)
    planes: NDArray[np.int8] = np.clip(np.concatenate([wide, second]), INT8_MIN, INT8_MAX).astype(np.int8)
    return planes


def latent_planes(latent: Latent) -> NDArray[np.int8]:
    """All layers at once: (512, h, w) -> (16, 64, P)."""
    wide = latent.reshape(LAYERS, GROUP, -1).astype(np.int32)
    second = np.abs(wide)
    second[0] = (wide[0] + 8) >> 4
    both = np.concatenate([wide, second], axis=1)
    planes: NDArray[np.int8] = np.clip(both, INT8_MIN, INT8_MAX).astype(np.int8)
    return planes


@lru_cache(maxsize=64)
def phase_map(height: int, width: int) -> NDArray[np.int8]:
    """(h, w) coding phase 0..4 of layer 0: the 4-grid, then its quincunx refinements."""
    i, j = np.arange(height)[:, None] % 4, np.arange(width)[None] % 4
    phase = np.full((height, width), 4, np.int8)
    phase[(i % 2 == 1) & (j % 2 == 1)] = 3
    phase[(i % 2 == 0) & (j % 2 == 0)] = 2
    phase[(i == 2) & (j == 2)] = 1
    phase[(i == 0) & (j == 0)] = 0
    phase.setflags(write=False)
    return phase


def neighbour_mean8(layer0: NDArray[np.int16]) -> IntArray:
    """Floor of 8 times the mean of the neighbours coded in earlier phases; (32, h, w) -> (32, h, w); 0 in
    phase 0.

    A value at phase f depends on values of phases below f only, so a decoder may call it on a partly decoded
    layer and read the positions of the phase that comes next.
    """
    channels, height, width = layer0.shape
    phase = phase_map(height, width)
    padded = np.zeros((channels, height + 4, width + 4), np.int64)
    padded[:, 2:-2, 2:-2] = layer0
    inside = np.zeros((height + 4, width + 4), np.int64)
    inside[2:-2, 2:-2] = 1
    out = np.zeros((channels, height, width), np.int64)
    for f in range(1, PHASES):
        total, count = np.zeros_like(out), np.zeros((height, width), np.int64)
        for dy, dx in _OFFSETS[f]:
            total += padded[:, 2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width]
            count += inside[2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width]
        out = np.where(phase == f, (total * 8) // np.maximum(count, 1), out)
    return out


def spatial_planes(own8: IntArray, first8: IntArray) -> NDArray[np.int8]:
    """Neighbour means (32, h, w) of the latent and of its first context -> int8 planes (96, P) for layer 0's
    head.
    """
    value = own8 >> 3
    planes = np.concatenate([value, (value + 8) >> 4, (own8 - first8) >> 3])
    clipped: NDArray[np.int8] = np.clip(planes, INT8_MIN, INT8_MAX).astype(np.int8).reshape(3 * GROUP, -1)
    return clipped
