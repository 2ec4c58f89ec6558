"""TEC-FP: the factorised-prior image codec (Balle et al. 2018, arXiv 1802.01436, without hyperprior)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from swathpack.codec.terracodec.bottleneck import EntropyBottleneck
from swathpack.codec.terracodec.layers import GDN, conv, deconv


class FactorizedPrior(nn.Module):
    """bands -> N -> N -> N -> M by 5x5 convolutions of stride 2 with GDN between; the mirror back."""

    ALIGN = 16  # height and width of a frame are multiples of it

    def __init__(self, bands: int = 12, n: int = 128, m: int = 192) -> None:
        super().__init__()
        self.bands, self.latent_channels = bands, m
        self.entropy_bottleneck = EntropyBottleneck(m)
        self.g_a = nn.Sequential(
            conv(bands, n, stride=2),
            GDN(n),
            conv(n, n, stride=2),
            GDN(n),
            conv(n, n, stride=2),
            GDN(n),
            conv(n, m, stride=2),
        )
        self.g_s = nn.Sequential(
            deconv(m, n),
            GDN(n, True),
            deconv(n, n),
            GDN(n, True),
            deconv(n, n),
            GDN(n, True),
            deconv(n, bands),
        )

    def analysis(self, x: Tensor) -> Tensor:
        """(B, bands, H, W) standardised -> latent (B, M, H/16, W/16)."""
        y: Tensor = self.g_a(x)
        return y

    def synthesis(self, y_hat: Tensor) -> Tensor:
        """Latent -> (B, bands, H, W) standardised, not clamped."""
        x: Tensor = self.g_s(y_hat)
        return x

    def symbols(self, y: Tensor) -> Tensor:
        """Integer steps from the medians, as float: (B, M, h, w)."""
        return torch.round(y - self._medians())

    def dequantise(self, symbols: Tensor) -> Tensor:
        """The latent that symbols stand for."""
        return symbols + self._medians()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Round trip without coding: (reconstruction, bits per latent value)."""
        y_hat = self.dequantise(self.symbols(self.analysis(x)))
        return self.synthesis(y_hat), self.entropy_bottleneck.bits(y_hat)

    def _medians(self) -> Tensor:
        return self.entropy_bottleneck.medians()[None, :, None, None]
