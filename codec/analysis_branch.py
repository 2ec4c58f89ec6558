"""The nonlinear branch of the analysis: convolutions whose result is added to the lapped coefficients.

    branch = AnalysisBranch(SIZES["small"])
    coefficients = transform.analysis(frame) + branch(x)      # x: the frame less its band means, in UNITs
    print(gmac(branch))                                       # of one tile of 256 x 256 x 12

The frame comes in at a quarter of its resolution (cells of 4 x 4 pixels), and leaves at a sixteenth, where the coefficients
lie. The last layer starts at zero: before training the analysis is, bit for bit, the linear one.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from swathpack.codec.transform import KERNEL, Residual
from swathpack.edge.codec.latents import CHANNELS, STRIDE

CELL = 4  # pixels a side that the first convolution takes together
BANDS = 12
RANGE = 32.0  # UNITs of the frame that the branch sees as one
GAIN = 0.5  # UNITs of a coefficient that the branch says as one: small, for Adam's first steps are as long as its later ones


class Size(NamedTuple):
    """Planes at a quarter of the resolution, and residual blocks at a quarter, an eighth (twice the planes) and a sixteenth
    (four times).
    """

    width: int
    blocks: tuple[int, int, int]


SIZES = {
    "small": Size(64, (1, 1, 1)),
    "medium": Size(96, (2, 2, 1)),
    "large": Size(128, (2, 3, 2)),
}
NONE = "none"


class AnalysisBranch(nn.Module):
    """What the convolutions add to the coefficients."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        width, blocks = size
        self.enter = nn.Conv2d(BANDS * CELL**2, width, 1)
        self.quarter = nn.Sequential(*[Residual(width) for _ in range(blocks[0])])
        self.halve = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.eighth = nn.Sequential(*[Residual(2 * width) for _ in range(blocks[1])])
        self.halve_again = nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1)
        self.sixteenth = nn.Sequential(*[Residual(4 * width) for _ in range(blocks[2])])
        self.leave = nn.Conv2d(4 * width, CHANNELS, 1)
        self._start()

    def _start(self) -> None:
        """Planes that keep the spread of the frame through all layers (torch's own start leaves a tenth of that, and the branch
        learns a constant first), and a last layer of zero.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        for block in (b for b in self.modules() if isinstance(b, Residual)):
            block.second.weight.data *= 0.25
        nn.init.zeros_(self.leave.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 12, H, W) UNITs less the band means, H and W multiples of 16 -> (B, 512, H/16, W/16) UNITs."""
        h = F.relu(self.enter(F.pixel_unshuffle(x / RANGE, CELL)))
        h = F.relu(self.halve(F.relu(self.quarter(h))))
        h = F.relu(self.halve_again(F.relu(self.eighth(h))))
        # No ReLU here: while what the branch says is still noise, gradients would push all planes below zero for good.
        out: Tensor = self.leave(self.sixteenth(h)).float() * GAIN
        return out


def branch_of(name: str) -> AnalysisBranch | None:
    """The branch of a name of SIZES, or None for `none`. Raises KeyError."""
    return None if name == NONE else AnalysisBranch(SIZES[name])


def gmac(branch: nn.Module | None, side: int = 256) -> float:
    """Multiply-accumulates, in units of 10^9, of all convolutions on a tile of side x side pixels, a multiple of 16."""
    if branch is None:
        return 0.0
    shadow, total = copy.deepcopy(branch).to("meta"), 0

    def add(layer: nn.Module, _: object, out: Tensor) -> None:
        nonlocal total
        total += out.numel() * layer.weight[0].numel()  # type: ignore[index]

    for layer in shadow.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(add)
    shadow(torch.zeros(1, BANDS, side, side, device="meta"))
    return total / 1e9


def linear_gmac(side: int = 256) -> float:
    """Of the lapped analysis, which the branch comes on top of."""
    return CHANNELS * BANDS * KERNEL**2 * (side // STRIDE) ** 2 / 1e9
