"""Analysis and synthesis of the edge codec: a lapped linear transform and a small network around it.

    frame (B, 12, H, W) DN --analysis--> coefficients (B, 512, H/16, W/16) --/ step, round--> latent
    latent --latent network (adds what neighbours and the entropy model tell about each coefficient)-->
    lapped inverse --> post-filter

The linear path starts as a DCT x spectral-KLT basis (`swathpack.codec.basis`) in the middle of a 24x24 kernel, so
training starts at the quality of a good classical transform coder; the networks' last layers start at zero.
Both networks work in units of the quantiser step, because quantisation error scales with it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from swathpack.edge.codec.latents import CHANNELS, STRIDE

KERNEL = 24
OVERLAP = (KERNEL - STRIDE) // 2
UNIT = 64.0  # DN; coefficients and steps are in this unit, so step(q) = 2^(q/8)
SCALES = 64
EIGHTHS = 8
FAR = 4  # steps; further from the predicted mean, values tell no more about where in its step a coefficient lies

# Parts that start as zero and that only stage 3 trains.
LATER_PARTS = ("latent_network.side", "latent_network.centroid", "post_filter.extra")


def step(q: Tensor) -> Tensor:
    """Quantiser step in UNITs of step index q (any shape)."""
    return torch.exp2(q.to(torch.float32) / 8)


def pad_overlap(x: Tensor) -> Tensor:
    """Mirror the frame (edge sample repeated) by the overlap on all sides, so that border blocks are
    whole.
    """
    top, bottom = x[..., :OVERLAP, :].flip(-2), x[..., -OVERLAP:, :].flip(-2)
    x = torch.cat([top, x, bottom], dim=-2)
    left, right = x[..., :OVERLAP].flip(-1), x[..., -OVERLAP:].flip(-1)
    return torch.cat([left, x, right], dim=-1)


class Residual(nn.Module):
    """x + conv3x3(relu(conv3x3(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, width, h, w), shaped alike."""
        out: Tensor = x + self.second(F.relu(self.first(x)))
        return out


class Expectation(NamedTuple):
    """What the entropy model said before a value was decoded, (B, 512, h, w) each: `mean` in steps, `scale` as
    index 0..63.
    """

    mean: Tensor
    scale: Tensor


class Centroid(nn.Module):
    """How far, in steps, a coefficient lies on average from the value that its quantiser chose.

    A table over the distance from the predicted mean (1/8 steps) and the predicted scale; odd in the distance.
    """

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(FAR * EIGHTHS + 1, SCALES))

    def forward(self, y: Tensor, expected: Expectation) -> Tensor:
        """y (B, 512, h, w) in steps -> what to add to it."""
        away = y - expected.mean
        place = (away.abs() * EIGHTHS).round().long().clamp(max=FAR * EIGHTHS)
        found = F.embedding(place * SCALES + expected.scale.long(), self.table.reshape(-1, 1))[..., 0]
        return found * torch.sign(away)


class LatentNetwork(nn.Module):
    """Estimates, in steps, how far each coefficient lies from its quantised value."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.enter = nn.Conv2d(2 * CHANNELS, width, 1)
        self.step = nn.Linear(2, width)
        self.body = nn.Sequential(Residual(width), Residual(width))
        self.side = nn.Conv2d(2 * CHANNELS, width, 1, bias=False)
        self.centroid = Centroid()
        self.leave = nn.Conv2d(width, CHANNELS, 1)
        nn.init.zeros_(self.side.weight)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, y: Tensor, q: Tensor, expected: Expectation | None = None) -> Tensor:
        """y (B, 512, h, w) in steps at step indexes q (B,) -> what to add to it; expected: None where unknown."""
        squashed = torch.sign(y) * torch.log1p(y.abs())
        s = (q.to(y.dtype)[:, None] - 32) / 16
        condition = self.step(torch.cat([s, s * s], 1))[:, :, None, None]
        h = self.enter(torch.cat([squashed, squashed.abs()], 1)) + condition
        if expected is None:
            out: Tensor = self.leave(F.relu(self.body(F.relu(h))))
            return out
        away = (expected.mean - y).clamp(-FAR, FAR)
        h = h + self.side(torch.cat([away, (expected.scale.to(y.dtype) - 16) / 16], 1))
        out = self.leave(F.relu(self.body(F.relu(h)))) + self.centroid(y, expected)
        return out


class PostFilter(nn.Module):
    """Removes what quantisation leaves in the pixels; works at half resolution on 48 planes."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.enter = nn.Conv2d(48, width, 3, padding=1)
        self.step = nn.Linear(2, width)
        self.body = Residual(width)
        self.extra = Residual(width)
        self.leave = nn.Conv2d(width, 48, 3, padding=1)
        nn.init.zeros_(self.extra.second.weight)
        nn.init.zeros_(self.extra.second.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        """x (B, 12, H, W) in UNITs, H and W even, at step indexes q (B,), shaped alike."""
        s = (q.to(x.dtype)[:, None] - 32) / 16
        condition = self.step(torch.cat([s, s * s], 1))[:, :, None, None]
        h = self.enter(F.pixel_unshuffle(x, 2) / 16) + condition
        h = self.leave(F.relu(self.extra(self.body(F.relu(h)))))
        return x + F.pixel_shuffle(h, 2) * (step(q) / 8)[:, None, None, None].to(x.dtype)


class EdgeTransform(nn.Module):
    """g_a and g_s of the edge preset."""

    band_mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.analysis_kernel = nn.Parameter(torch.zeros(CHANNELS, 12, KERNEL, KERNEL))
        self.synthesis_kernel = nn.Parameter(torch.zeros(CHANNELS, 12, KERNEL, KERNEL))
        self.latent_network = LatentNetwork()
        self.post_filter = PostFilter()
        self.register_buffer("band_mean", torch.zeros(12))
        self.register_buffer("deviation", torch.ones(CHANNELS))  # UNITs, of the start basis

    def start_from(self, basis: Tensor, mean: Tensor, deviation: Tensor) -> None:
        """Put the 16x16 basis (512, 12, 16, 16) in the middle of both kernels."""
        with torch.no_grad():
            inner = slice(OVERLAP, OVERLAP + STRIDE)
            for kernel in (self.analysis_kernel, self.synthesis_kernel):
                kernel.zero_()
                kernel[:, :, inner, inner] = basis
            self.band_mean.copy_(mean)
            self.deviation.copy_(deviation / UNIT)

    def analysis(self, frame: Tensor) -> Tensor:
        """Frame (B, 12, H, W) DN, H and W multiples of 16 -> coefficients (B, 512, H/16, W/16) in UNITs."""
        x = (frame - self.band_mean[:, None, None]) / UNIT
        return F.conv2d(pad_overlap(x), self.analysis_kernel, stride=STRIDE)

    def linear_synthesis(self, coefficients: Tensor) -> Tensor:
        """The lapped inverse: (B, 512, h, w) UNITs -> (B, 12, 16h, 16w) UNITs, zero mean."""
        # Coefficients reach thousands of steps: half precision would add noise of whole steps.
        with torch.autocast(coefficients.device.type, enabled=False):
            x = F.conv_transpose2d(coefficients.float(), self.synthesis_kernel, stride=STRIDE)
        return fold_overlap(x)

    def synthesis(self, latent: Tensor, q: Tensor, expected: Expectation | None = None) -> Tensor:
        """Latent (B, 512, h, w) in steps (fractions allowed) and q (B,) -> frame (B, 12, 16h, 16w) DN.

        expected: what the entropy model said of the latent; stage 1 has no such model yet.
        """
        estimate = latent + self.latent_network(latent, q, expected)
        x = self.linear_synthesis(estimate * step(q)[:, None, None, None])
        filtered: Tensor = self.post_filter(x, q)
        return filtered * UNIT + self.band_mean[:, None, None]


def load_weights(model: EdgeTransform, state: dict[str, Tensor]) -> None:
    """Load a state; parts that stage 1 does not train may be missing and keep their start, which changes nothing."""
    found = model.load_state_dict(state, strict=False)
    lost = [name for name in found.missing_keys if not name.startswith(LATER_PARTS)]
    if lost or found.unexpected_keys:
        raise KeyError(f"expected the weights of an EdgeTransform; missing {lost}, unknown {found.unexpected_keys}")


def fold_overlap(x: Tensor) -> Tensor:
    """Adjoint of `pad_overlap`: what reaches beyond the border is mirrored back in and added."""
    core = x[..., OVERLAP:-OVERLAP, :].clone()
    core[..., :OVERLAP, :] += x[..., :OVERLAP, :].flip(-2)
    core[..., -OVERLAP:, :] += x[..., -OVERLAP:, :].flip(-2)
    out = core[..., OVERLAP:-OVERLAP].clone()
    out[..., :OVERLAP] += core[..., :OVERLAP].flip(-1)
    out[..., -OVERLAP:] += core[..., -OVERLAP:].flip(-1)
    return out
