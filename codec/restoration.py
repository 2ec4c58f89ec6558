"""A network that restores drawn frames, over the edges of tiles: half-resolution, residual, and nothing at its start.

Input: twelve planes, each less its mean and over its spread in the pixels around, of every pixel and band how finely it was coded
beside that spread (log2), and whether by the learned codec. Nothing is taken of the frame as a whole, so a part of it is restored as
the whole is: what becomes of a pixel depends on those within REACH. Output: what is to be added, in sixteenths of the step or halves
of the spread, whichever is less. The last layer is zero when training starts. See `swathpack.codec.train_restoration`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from swathpack.edge.bands import BANDS

VISIBLE = [BANDS.index(name) for name in ("B02", "B03", "B04")]
CELL = 4  # pixels; sides of what is restored are multiples of it
AROUND = 17  # cells across, of which a pixel's mean and spread are taken
REACH = 96  # pixels
UNIT = 1 / 16, 1 / 2  # of a step, of the spread
LEAST_SPREAD = 1 / 32  # of a step: so that flat planes are not their noise
PLANES = 5 * len(BANDS) + 1  # at half the resolution


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        added: Tensor = self.second(torch.relu(self.first(torch.relu(x))))
        return x + added


def around(cells: Tensor) -> Tensor:
    """(B, C, h, w) of cells -> (B, C, CELL h, CELL w), their mean over AROUND x AROUND of them, those that are there."""
    mean = functional.avg_pool2d(cells, AROUND, 1, AROUND // 2, count_include_pad=False)
    return functional.interpolate(mean, scale_factor=CELL, mode="bilinear", align_corners=False)


class Restoration(nn.Module):
    """`wide` channels at half, `deep` at a quarter of the resolution."""

    def __init__(self, wide: int = 48, deep: int = 64, blocks: int = 2) -> None:
        super().__init__()
        self.split, self.join = nn.PixelUnshuffle(2), nn.PixelShuffle(2)
        self.enter = nn.Conv2d(PLANES, wide, 3, padding=1)
        self.before, self.after = Residual(wide), Residual(wide)
        self.down, self.up = nn.Conv2d(4 * wide, deep, 1), nn.Conv2d(deep, 4 * wide, 1)
        self.deep = nn.Sequential(*(Residual(deep) for _ in range(blocks)))
        self.leave = nn.Conv2d(wide, 4 * len(BANDS), 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias if self.leave.bias is not None else self.leave.weight)

    def forward(self, drawn: Tensor, steps: Tensor, learned: Tensor) -> Tensor:
        """drawn (B, 12, H, W) counts, steps of every pixel and band in counts, learned (B, 1, H, W) 0 or 1; sides multiples of
        CELL; a band that is not there: 0, its steps 1 -> drawn, restored.
        """
        deviation = drawn - around(functional.avg_pool2d(drawn, CELL))
        spread = around(functional.avg_pool2d(deviation.square(), CELL)).sqrt()
        spread = torch.maximum(spread, LEAST_SPREAD * steps)
        told = functional.avg_pool2d(torch.cat([torch.log2(steps / spread), learned], 1), 2)
        x = self.added(torch.cat([self.split(deviation / spread), told], 1))
        return drawn + x * torch.minimum(UNIT[0] * steps, UNIT[1] * spread)

    def added(self, planes: Tensor) -> Tensor:
        """(B, PLANES, H / 2, W / 2) -> (B, 12, H, W), in units."""
        x = self.before(self.enter(planes))
        x = x + self.join(self.up(self.deep(self.down(self.split(x)))))
        found: Tensor = self.join(self.leave(self.after(x)))
        return found.float()
