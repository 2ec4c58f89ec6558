"""The factorised prior (Balle et al. 2018, arXiv 1802.01436, appendix 6.1) and the named Gaussian buffers.

Each channel has a learned cumulative distribution: a small monotone network, kept monotone by softplus on
its matrices. A latent value is coded as its distance from the channel's median, rounded.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from swathpack.codec.terracodec.layers import Constant
from swathpack.edge.codec.tables import ProbabilityTables, round_to_total

FILTERS = (3, 3, 3, 3)
INIT_SCALE = 10.0
TAIL_MASS = 1e-9
MAX_REACH = 1000  # table slots on each side of the median; what lies beyond is escaped
SLOT_MASS = 2.0**-22  # beyond this tail mass a slot of its own would be worth less than one unit of 2^24


class TableBuffers(nn.Module):
    """The tables that the published coders fill in (`update`): any length, even empty; never read here."""

    def __init__(self, channels_last: tuple[int, ...] = (0,)) -> None:
        super().__init__()
        self.register_buffer("_offset", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("_quantized_cdf", torch.zeros(channels_last, dtype=torch.int32))
        self.register_buffer("_cdf_length", torch.zeros(0, dtype=torch.int32))
        self.likelihood_lower_bound = Constant("bound", 1e-9)


class EntropyBottleneck(TableBuffers):
    """Factorised prior over `channels`; `matrices`, `biases` and `factors` as published."""

    def __init__(self, channels: int) -> None:
        super().__init__((channels, 0))
        target = math.log(2 / TAIL_MASS - 1)
        self.register_buffer("target", torch.tensor([-target, 0.0, target]))
        self.quantiles = nn.Parameter(torch.tensor([-INIT_SCALE, 0.0, INIT_SCALE]).repeat(channels, 1, 1))
        widths = (1, *FILTERS, 1)
        scale = INIT_SCALE ** (1 / (len(FILTERS) + 1))
        start = [math.log(math.expm1(1 / scale / n)) for n in widths[1:]]
        shapes = list(zip(widths[1:], widths[:-1]))
        self.matrices = nn.ParameterList(torch.full((channels, *s), v) for s, v in zip(shapes, start))
        self.biases = nn.ParameterList(torch.rand(channels, n, 1) - 0.5 for n in widths[1:])
        self.factors = nn.ParameterList(torch.zeros(channels, n, 1) for n in FILTERS)

    def medians(self) -> Tensor:
        """(channels,): the value that symbol 0 stands for."""
        return self.quantiles[:, 0, 1].detach()

    def logits(self, x: Tensor) -> Tensor:
        """Logit of the cumulative distribution at x: (channels, 1, n) -> same shape."""
        for index, (matrix, bias) in enumerate(zip(self.matrices, self.biases)):
            x = torch.matmul(nn.functional.softplus(matrix.to(x.dtype)), x) + bias.to(x.dtype)
            if index < len(self.factors):
                x = x + torch.tanh(self.factors[index].to(x.dtype)) * torch.tanh(x)
        return x

    def bits(self, x: Tensor) -> Tensor:
        """Cost in bits of x (B, C, H, W), whole steps from the medians or noisy; for estimates."""
        flat = x.transpose(0, 1).reshape(x.shape[1], 1, -1)
        lower, upper = self.logits(flat - 0.5), self.logits(flat + 0.5)
        sign = -torch.sign(lower + upper).detach()  # take the difference in the tail that keeps digits
        mass = (torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)).abs()
        bits = -torch.log2(mass.clamp(min=1e-9))
        return bits.reshape(x.shape[1], x.shape[0], *x.shape[2:]).transpose(0, 1)

    @torch.no_grad()
    def tables(self) -> ProbabilityTables:
        """One integer table per channel, for the symbol round(y - median). Computed in float64."""
        steps = torch.arange(-MAX_REACH - 1, MAX_REACH + 1, dtype=torch.float64) + 0.5
        edges = self.medians().double()[:, None, None] + steps
        logits = self.logits(edges)[:, 0].numpy()
        layouts = [_channel_widths(row) for row in logits]
        half = np.array([(w.size - 2) // 2 for w in layouts])
        return ProbabilityTables(
            widths=np.concatenate(layouts).astype(np.uint32),
            half=half.astype(np.uint16),
            shift=np.zeros(half.size, np.uint8),
            escape_order=np.minimum(np.log2(half + 1), 12).astype(np.uint8),
            n_fractions=half.size,
            sigmas=np.ones(1),
        )


def _channel_widths(logits: NDArray[np.float64]) -> NDArray[np.int64]:
    """Widths of -S..S and the escape from the logits at the 2 * MAX_REACH + 2 slot edges."""
    lower = np.exp(-np.logaddexp(0, -logits))
    upper = np.exp(-np.logaddexp(0, logits))
    inside = np.flatnonzero((lower[1:] > SLOT_MASS) & (upper[:-1] > SLOT_MASS)) - MAX_REACH
    half = int(min(MAX_REACH, max(2, np.abs(inside).max(initial=2))))
    first, last = MAX_REACH - half, MAX_REACH + half + 1
    mass = np.where(logits[1:] + logits[:-1] < 0, np.diff(lower), -np.diff(upper))[first:last]
    return round_to_total(np.append(np.maximum(mass, 0.0), lower[first] + upper[last]))
