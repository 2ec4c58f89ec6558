"""The base layer in training: the coarse latent a fine one is nested in, and the bits of a symbol known to lie in its
bin. Torch's twin of `swathpack.edge.codec.base_layer`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from swathpack.codec.entropy import LOG_RATIO
from swathpack.edge.codec.latents import CHANNELS, GROUP
from swathpack.edge.codec.tables import SIGMA_MIN

BASE_GROUPS = 6  # as swathpack.edge.codec.base_layer
_LEAST = 2.0**-22


def base_of(y: Tensor, shift: Tensor) -> Tensor:
    """The base latent of y (B, 512, h, w) integers at 2^shift times its step, shift (B,); see swathpack.edge.codec.base_layer."""
    unit = torch.exp2(shift.float()).reshape(-1, 1, 1, 1)
    return torch.sign(y) * torch.floor((y.abs() + unit / 2 - 1) / unit)


def bin_of(base: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Least and greatest fine value of every base value."""
    unit = torch.exp2(shift.float()).reshape(-1, 1, 1, 1)
    half = unit / 2
    near = torch.where(base == 0, -half, base.abs() * unit - half + 1)
    far = torch.where(base == 0, half, base.abs() * unit + half)
    negative = base < 0
    return torch.where(negative, -far, near), torch.where(negative, -near, far)


def bits_in_bins(y: Tensor, mean: Tensor, index: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Bits of integers y under the logistic of `swathpack.codec.entropy.logistic_bits`, given that low <= y <= high."""
    inverse = torch.exp(index * -LOG_RATIO) * (math.pi / math.sqrt(3) / SIGMA_MIN)
    flip = torch.where((low + high) / 2 > mean, -1.0, 1.0)  # in the left tail no digits are lost

    def mass(left: Tensor, right: Tensor) -> Tensor:
        a, b = torch.where(flip > 0, left, right), torch.where(flip > 0, right, left)
        return torch.sigmoid(flip * (b - mean) * inverse) - torch.sigmoid(flip * (a - mean) * inverse)

    # The coder gives every value of the bin at least one part in 2^24.
    inside = mass(low - 0.5, high + 0.5) + (high - low + 1) * _LEAST
    return torch.log2(inside) - torch.log2(mass(y - 0.5, y + 0.5) + _LEAST)


def with_base(bits_plain: Tensor, bits_bins: Tensor) -> Tensor:
    """Bits in bins where there is a base, plain bits elsewhere; (B, 512, h, w) each."""
    has = (torch.arange(CHANNELS) < BASE_GROUPS * GROUP).reshape(1, -1, 1, 1)
    return torch.where(has, bits_bins, bits_plain)
