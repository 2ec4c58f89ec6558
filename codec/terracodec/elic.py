"""TEC-ELIC: uneven channel groups with checkerboard context and a hyperprior.

Source: ELIC (He et al. 2022, arXiv 2203.10886), in the variant whose layout the checkpoints have: the channel
context of group k sees the first group and the one just decoded, and the aggregation network gives means
first, then scales.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from swathpack.codec.terracodec.bottleneck import EntropyBottleneck, TableBuffers
from swathpack.codec.terracodec.gaussian import N_SCALES, SIGMA_MAX, SIGMA_MIN_ELIC
from swathpack.codec.terracodec.layers import (
    BottleneckBlock,
    Constant,
    analysis_layers,
    conv,
    deconv,
    synthesis_layers,
)


@dataclass(frozen=True)
class ElicSizes:
    """Everything that the shapes of a checkpoint decide."""

    bands: int = 12
    n: int = 128
    m: int = 192
    groups: tuple[int, ...] = (16, 16, 32, 64, 64)
    hyper_mid: int = 192
    side: int = 384
    channel_hidden: tuple[int, int] = (224, 128)
    aggregate_hidden: tuple[int, int] = field(default=(384, 512))

    def channel_inputs(self, k: int) -> int:
        """Channels that the channel context of group k >= 1 sees."""
        return self.groups[0] + (self.groups[k - 1] if k > 1 else 0)


class GaussianConditional(TableBuffers):
    """Named buffers only; the coding tables are swathpack.codec.terracodec.gaussian's."""

    def __init__(self) -> None:
        super().__init__((0, 0))
        grid = torch.linspace(0, 1, N_SCALES) * torch.log(torch.tensor(SIGMA_MAX / SIGMA_MIN_ELIC))
        self.register_buffer("scale_table", SIGMA_MIN_ELIC * torch.exp(grid))
        self.register_buffer("scale_bound", torch.tensor([SIGMA_MIN_ELIC]))
        self.lower_bound_scale = Constant("bound", SIGMA_MIN_ELIC)


class CheckerboardConv(nn.Conv2d):
    """5x5 convolution that sees only positions of the other colour; the mask is a published buffer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 5, padding=2)
        self.register_buffer("mask", checkerboard(5, 5, odd=True).expand(outputs, inputs, 5, 5).clone())

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h, w)."""
        mask = checkerboard(5, 5, odd=True).to(x)
        return fn.conv2d(x, self.weight * mask, self.bias, padding=2)


def checkerboard(h: int, w: int, odd: bool) -> Tensor:
    """(h, w) float mask of the positions with (row + column) odd, or even (the anchors)."""
    parity = (torch.arange(h)[:, None] + torch.arange(w)[None, :]) % 2
    return (parity == int(odd)).float()


class Group(nn.Module):
    """Spatial context and parameter aggregation of one channel group."""

    def __init__(self, sizes: ElicSizes, k: int) -> None:
        super().__init__()
        channels = sizes.groups[k]
        a, b = sizes.aggregate_hidden
        inputs = sizes.side + 2 * channels * (2 if k else 1)
        self.entropy_parameters = nn.Sequential(
            conv(inputs, a, 1), nn.ReLU(), conv(a, b, 1), nn.ReLU(), conv(b, 2 * channels, 1)
        )
        self.context_prediction = CheckerboardConv(channels, 2 * channels)
        self.y = nn.Module()
        self.y.gaussian_conditional = GaussianConditional()


class Hyper(nn.Module):
    """Hyperprior: h_a, factorised prior, h_s."""

    def __init__(self, sizes: ElicSizes) -> None:
        super().__init__()
        n, mid = sizes.n, sizes.hyper_mid
        self.entropy_bottleneck = EntropyBottleneck(n)
        self.h_a = nn.Sequential(conv(sizes.m, n, 3), nn.ReLU(), conv(n, n, stride=2), nn.ReLU(), conv(n, n, stride=2))
        self.h_s = nn.Sequential(deconv(n, n), nn.ReLU(), deconv(n, mid), nn.ReLU(), conv(mid, sizes.side, 3))


class GroupCodec(nn.Module):
    """`latent_codec.y` of the layout."""

    def __init__(self, sizes: ElicSizes) -> None:
        super().__init__()
        a, b = sizes.channel_hidden
        self.channel_context = nn.ModuleDict(
            {
                f"y{k}": nn.Sequential(
                    conv(sizes.channel_inputs(k), a),
                    nn.ReLU(),
                    conv(a, b),
                    nn.ReLU(),
                    conv(b, 2 * sizes.groups[k]),
                )
                for k in range(1, len(sizes.groups))
            }
        )
        self.latent_codec = nn.ModuleDict({f"y{k}": Group(sizes, k) for k in range(len(sizes.groups))})

    def group(self, k: int) -> Group:
        """The k-th group of channels."""
        found = self.latent_codec[f"y{k}"]
        assert isinstance(found, Group)
        return found


class LatentCodec(nn.Module):
    """`latent_codec` of the layout."""

    def __init__(self, sizes: ElicSizes) -> None:
        super().__init__()
        self.y, self.hyper = GroupCodec(sizes), Hyper(sizes)


class StepCoder(Protocol):
    """Called once per step with means and scales of one group and colour; returns round(y - mean)."""

    def __call__(self, step: int, mean: Tensor, sigma: Tensor) -> Tensor:
        """mean, sigma: (B, c, h, w/2) packed positions of the step's colour -> symbols, same shape, float."""


class Elic(nn.Module):
    """The image codec. `run_groups` is the one pass that both encoder and decoder make."""

    ALIGN = 64  # the hyper latent is at 1/64

    def __init__(self, sizes: ElicSizes | None = None) -> None:
        super().__init__()
        sizes = sizes or ElicSizes()
        self.sizes, self.bands, self.latent_channels = sizes, sizes.bands, sizes.m
        widths = (sizes.n, sizes.n, sizes.n, sizes.m)
        self.g_a = nn.Sequential(*analysis_layers(sizes.bands, widths, BottleneckBlock))
        self.g_s = nn.Sequential(*synthesis_layers(sizes.bands, widths, BottleneckBlock))
        self.latent_codec = LatentCodec(sizes)

    @property
    def steps(self) -> int:
        """Coding steps of a frame: two colours for each group."""
        return 2 * len(self.sizes.groups)

    def analysis(self, x: Tensor) -> Tensor:
        """(B, bands, H, W) standardised -> latent (B, M, H/16, W/16)."""
        y: Tensor = self.g_a(x)
        return y

    def synthesis(self, y_hat: Tensor) -> Tensor:
        """Latent -> (B, bands, H, W) standardised, not clamped."""
        x: Tensor = self.g_s(y_hat)
        return x

    def hyper_symbols(self, y: Tensor) -> Tensor:
        """(B, M, h, w) -> integer steps of the hyper latent (B, N, h/4, w/4), as float."""
        hyper = self.latent_codec.hyper
        return torch.round(hyper.h_a(y) - hyper.entropy_bottleneck.medians()[None, :, None, None])

    def side_parameters(self, symbols: Tensor) -> Tensor:
        """Hyper symbols -> side information (B, side, h, w)."""
        hyper = self.latent_codec.hyper
        side: Tensor = hyper.h_s(symbols + hyper.entropy_bottleneck.medians()[None, :, None, None])
        return side

    def run_groups(self, side: Tensor, coder: StepCoder) -> Tensor:
        """Walk groups and colours in order, asking `coder` for the symbols; returns y_hat (B, M, h, w)."""
        done: list[Tensor] = []
        for k in range(len(self.sizes.groups)):
            parameters = side if k == 0 else torch.cat([self._channel_context(k, done), side], 1)
            done.append(self._run_group(k, parameters, coder))
        return torch.cat(done, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Round trip without coding: (reconstruction, means, scales), the last two (B, M, h, w)."""
        y = self.analysis(x)
        side = self.side_parameters(self.hyper_symbols(y))
        recorder = Recorder(y, self.sizes.groups)
        y_hat = self.run_groups(side, recorder)
        return self.synthesis(y_hat), recorder.means, recorder.sigmas

    def _channel_context(self, k: int, done: list[Tensor]) -> Tensor:
        seen = done[:1] if k == 1 else [done[0], done[-1]]
        context: Tensor = self.latent_codec.y.channel_context[f"y{k}"](torch.cat(seen, 1))
        return context

    def _run_group(self, k: int, parameters: Tensor, coder: StepCoder) -> Tensor:
        group = self.latent_codec.y.group(k)
        b, _, h, w = parameters.shape
        y_hat = parameters.new_zeros(b, self.sizes.groups[k], h, w)
        for colour in (0, 1):
            context = parameters.new_zeros(b, 2 * self.sizes.groups[k], h, w)
            if colour:  # anchors have no spatial context, not even the bias
                context = group.context_prediction(y_hat.clone())  # it is written to below; training needs it as is
            mean, sigma = group.entropy_parameters(torch.cat([context, parameters], 1)).chunk(2, 1)
            mean, sigma = pick_colour(mean, colour), pick_colour(sigma, colour)
            place_colour(y_hat, coder(2 * k + colour, mean, sigma) + mean, colour)
        return y_hat


def pick_colour(x: Tensor, colour: int) -> Tensor:
    """The positions of one colour, packed by rows: (..., h, w) -> (..., h, w/2)."""
    even, odd = x[..., 0::2, colour::2], x[..., 1::2, 1 - colour :: 2]
    return torch.stack([even, odd], -2).flatten(-3, -2)


def place_colour(target: Tensor, packed: Tensor, colour: int) -> None:
    """The inverse of `pick_colour`, written into `target`."""
    target[..., 0::2, colour::2] = packed[..., 0::2, :]
    target[..., 1::2, 1 - colour :: 2] = packed[..., 1::2, :]


class Recorder:
    """A StepCoder that quantises y and keeps the means and scales it was shown."""

    def __init__(self, y: Tensor, groups: tuple[int, ...]) -> None:
        self.parts = torch.split(y, list(groups), 1)
        self.means, self.sigmas = torch.zeros_like(y), torch.zeros_like(y)
        self._mean_parts = torch.split(self.means, list(groups), 1)
        self._sigma_parts = torch.split(self.sigmas, list(groups), 1)

    def __call__(self, step: int, mean: Tensor, sigma: Tensor) -> Tensor:
        """Symbols of the step; see StepCoder."""
        k, colour = divmod(step, 2)
        place_colour(self._mean_parts[k], mean, colour)
        place_colour(self._sigma_parts[k], sigma, colour)
        return torch.round(pick_colour(self.parts[k], colour) - mean)
