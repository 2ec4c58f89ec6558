"""Convolutional parts shared by the family, named as in the published checkpoints.

Sources: GDN after Balle et al. 2016 (arXiv 1511.06281) in its non-negative reparametrisation (Balle 2018,
arXiv 1802.00847); bottleneck blocks and simplified attention after ELIC (He et al. 2022, arXiv 2203.10886,
section 3.3) and Cheng et al. 2020 (arXiv 2001.01568).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

REPARAM_OFFSET = 2.0**-18
PEDESTAL = REPARAM_OFFSET**2
BETA_MIN = 1e-6
LEAK = 0.01


def conv(inputs: int, outputs: int, kernel: int = 5, stride: int = 1) -> nn.Conv2d:
    """Convolution with padding kernel // 2: (B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2)


def deconv(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """Transposed 5x5 convolution that doubles height and width."""
    return nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1)


class Constant(nn.Module):
    """Holds a constant of the method under the name that the published layout gives it.

    The value in a file is kept but not used: the formulas take the constant itself.
    """

    def __init__(self, name: str, value: float) -> None:
        super().__init__()
        self.register_buffer(name, torch.tensor([value]))


class Reparametrizer(Constant):
    """Buffers of a non-negative parameter: stored value v stands for max(v, bound)^2 - 2^-36."""

    def __init__(self, minimum: float) -> None:
        super().__init__("pedestal", PEDESTAL)
        self.minimum_stored = (minimum + PEDESTAL) ** 0.5
        self.lower_bound = Constant("bound", self.minimum_stored)

    def value(self, stored: Tensor) -> Tensor:
        """The parameter itself, same shape, >= minimum."""
        return stored.clamp(min=self.minimum_stored) ** 2 - PEDESTAL


class GDN(nn.Module):
    """x / sqrt(beta + gamma x^2) over channels, or times the root in the synthesis (inverse)."""

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.sqrt(torch.ones(channels) + PEDESTAL))
        self.gamma = nn.Parameter(torch.sqrt(0.1 * torch.eye(channels) + PEDESTAL))
        self.beta_reparam = Reparametrizer(BETA_MIN)
        self.gamma_reparam = Reparametrizer(0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same shape."""
        gamma = self.gamma_reparam.value(self.gamma)[:, :, None, None]
        energy = fn.conv2d(x * x, gamma, self.beta_reparam.value(self.beta))
        return x * (energy.sqrt() if self.inverse else energy.rsqrt())


class BottleneckBlock(nn.Module):
    """ELIC's residual bottleneck: 1x1 to half, 3x3, 1x1 back, plus the input; no activation after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = conv(channels, half, 1)
        self.conv2 = conv(half, half, 3)
        self.conv3 = conv(half, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same shape."""
        out: Tensor = x + self.conv3(fn.relu(self.conv2(fn.relu(self.conv1(x)))))
        return out


class ResidualUnit(nn.Module):
    """1x1 to half, ReLU, 3x3, ReLU, 1x1 back, plus the input, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv = nn.Sequential(
            conv(channels, half, 1), nn.ReLU(), conv(half, half, 3), nn.ReLU(), conv(half, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same shape."""
        return fn.relu(x + self.conv(x))


class AttentionBlock(nn.Module):
    """Convolutional gate: x + a(x) sigmoid(b(x))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_a = nn.Sequential(*(ResidualUnit(channels) for _ in range(3)))
        self.conv_b = nn.Sequential(*(ResidualUnit(channels) for _ in range(3)), conv(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same shape."""
        out: Tensor = x + self.conv_a(x) * torch.sigmoid(self.conv_b(x))
        return out


class ResidualBlock(nn.Module):
    """3x3, LeakyReLU, 3x3, LeakyReLU, plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, 3)
        self.conv2 = conv(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same shape."""
        return x + fn.leaky_relu(self.conv2(fn.leaky_relu(self.conv1(x), LEAK)), LEAK)


def analysis_layers(bands: int, widths: tuple[int, int, int, int], unit: type[nn.Module]) -> list[nn.Module]:
    """ELIC's analysis transform: bands -> widths[3] channels at 1/16 of height and width."""
    a, b, c, d = widths
    return [
        conv(bands, a, stride=2),
        unit(a),
        unit(a),
        unit(a),
        conv(a, b, stride=2),
        unit(b),
        unit(b),
        unit(b),
        AttentionBlock(b),
        conv(b, c, stride=2),
        unit(c),
        unit(c),
        unit(c),
        conv(c, d, stride=2),
        AttentionBlock(d),
    ]


def synthesis_layers(bands: int, widths: tuple[int, int, int, int], unit: type[nn.Module]) -> list[nn.Module]:
    """The mirror image of `analysis_layers`."""
    a, b, c, d = widths
    return [
        AttentionBlock(d),
        deconv(d, c),
        unit(c),
        unit(c),
        unit(c),
        deconv(c, b),
        AttentionBlock(b),
        unit(b),
        unit(b),
        unit(b),
        deconv(b, a),
        unit(a),
        unit(a),
        unit(a),
        deconv(a, bands),
    ]
