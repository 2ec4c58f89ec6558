"""A network that restores drawn frames, over the edges of tiles: half-resolution, residual, and nothing at its start.

Input: twelve planes, each less its mean and over its spread, and of every pixel how finely it was coded, beside that spread
(log2): of all bands, and of the visible ones beyond. Output: what is to be added, in sixteenths of the step. The last layer is zero
when training starts. See `swathpack.codec.train_restoration`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from swathpack.edge.bands import BANDS

VISIBLE = [BANDS.index(name) for name in ("B02", "B03", "B04")]
PLANES = len(BANDS) + 2
UNIT = 1 / 16  # of a step
LEAST_SPREAD = 1 / 8  # of a step: so that flat planes are not their noise


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="replicate")
        self.second = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="replicate")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        added: Tensor = self.second(torch.relu(self.first(torch.relu(x))))
        return x + added


class Restoration(nn.Module):
    """`wide` channels at half, `deep` at a quarter of the resolution."""

    def __init__(self, wide: int = 48, deep: int = 64, blocks: int = 2) -> None:
        super().__init__()
        self.split, self.join = nn.PixelUnshuffle(2), nn.PixelShuffle(2)
        self.enter = nn.Conv2d(4 * PLANES, wide, 3, padding=1, padding_mode="replicate")
        self.before, self.after = Residual(wide), Residual(wide)
        self.down, self.up = nn.Conv2d(4 * wide, deep, 1), nn.Conv2d(deep, 4 * wide, 1)
        self.deep = nn.Sequential(*(Residual(deep) for _ in range(blocks)))
        self.leave = nn.Conv2d(wide, 4 * len(BANDS), 3, padding=1, padding_mode="replicate")
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias if self.leave.bias is not None else self.leave.weight)

    def forward(self, drawn: Tensor, steps: Tensor) -> Tensor:
        """drawn (B, 12, H, W) DN, steps of every pixel and band in DN; sides multiples of 4 -> drawn, restored."""
        mean, spread = drawn.mean((2, 3), keepdim=True), drawn.std((2, 3), keepdim=True)
        spread = torch.maximum(spread, LEAST_SPREAD * steps.mean((2, 3), keepdim=True))
        fine = torch.log2(steps / spread)
        told = fine.mean(1, keepdim=True), (fine[:, VISIBLE] - fine.mean(1, keepdim=True)).mean(1, keepdim=True)
        x = self.before(self.enter(self.split(torch.cat([(drawn - mean) / spread, *told], 1))))
        x = x + self.join(self.up(self.deep(self.down(self.split(x)))))
        added: Tensor = self.join(self.leave(self.after(x)))
        return drawn + added * (UNIT * steps)
