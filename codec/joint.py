"""Analysis, entropy model and synthesis as one network, with the rate that the entropy network really asks for.

    joint = read_joint(Path("models/edge"), "small")
    batch = alone(straight(joint.coefficients(frames), q, 0.08), q)
    bits, expected = staged(joint.entropy, batch, shift)

Symbols are rounded, gradients pass straight through the rounding; the rate is that of the stream, a base layer by one pass
of the entropy network and what refines it by another (`swathpack.codec.base_layer`). The base's own symbols are constants:
given a network that is right about the base, base and refinement together have the gradient of the refinement alone.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from swathpack.codec.analysis_branch import branch_of
from swathpack.codec.base_layer import BASE_GROUPS, base_of
from swathpack.codec.entropy import EntropyModel, logistic_bits
from swathpack.codec.shipped import read_entropy, read_transform
from swathpack.codec.train_entropy import Batch, make_context, plain_bits, quantise, refined
from swathpack.codec.transform import UNIT, EdgeTransform, Expectation, step
from swathpack.edge.codec.latents import CHANNELS, GROUP, LAYERS

LAGRANGE = 0.09  # squared error per bit, in squared steps, of the shipped codec between q 16 and q 40
VISIBLE = slice(1, 4)  # B02, B03, B04
VISIBLE_WEIGHT = 4.0  # of squared errors: an error counts twice
WEIGHTS = ("equal", "visible")


class Joint(nn.Module):
    """The three networks; `branch` None: the analysis is linear."""

    def __init__(self, transform: EdgeTransform, entropy: EntropyModel, branch: nn.Module | None = None) -> None:
        super().__init__()
        self.transform, self.entropy, self.branch = transform, entropy, branch
        self.bf16 = False  # the branch in bfloat16

    def coefficients(self, frames: Tensor) -> Tensor:
        """Frames (B, 12, H, W) DN, H and W multiples of 16 -> (B, 512, H/16, W/16) in UNITs."""
        z = self.transform.analysis(frames)
        if self.branch is None:
            return z
        with torch.autocast(frames.device.type, torch.bfloat16, enabled=self.bf16):
            added: Tensor = self.branch((frames - self.transform.band_mean[:, None, None]) / UNIT)
        return z + added

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by the part that they belong to, in one order."""
        own = dict(self.transform.named_parameters())
        analysis = [own.pop("analysis_kernel"), *(self.branch.parameters() if self.branch else ())]
        return {"analysis": analysis, "entropy": list(self.entropy.parameters()), "synthesis": list(own.values())}


def read_joint(directory: Path, branch: str) -> Joint:
    """A shipped model directory, with a branch of that name beside its analysis. Raises ShippedModelError."""
    return Joint(read_transform(directory), read_entropy(directory), branch_of(branch)).requires_grad_(False)


def straight(z: Tensor, q: Tensor, dead_zone: Tensor | float) -> Tensor:
    """Coefficients (B, 512, h, w) UNITs at steps q (B,) -> integers, through which gradients pass as if they were z in steps."""
    u = z / step(q)[:, None, None, None]
    # Exact: of two numbers within a factor of two, and of any and 0, float32 keeps the difference.
    return u + (quantise(z, q, dead_zone) - u).detach()


def base_bits(model: EntropyModel, y: Tensor, q: Tensor, shift: Tensor, batch: Batch) -> Tensor:
    """(B,) bits of the base layer of y, against the batch's contexts."""
    base = base_of(y.detach(), shift)
    base[:, BASE_GROUPS * GROUP :] = 0  # what is not sent as a base
    bits = plain_bits(model, base, q + 8 * shift, batch)
    return bits[:, : BASE_GROUPS * GROUP].sum((1, 2, 3))


def staged(model: EntropyModel, batch: Batch, shift: Tensor, base: bool = True) -> tuple[Tensor, Expectation]:
    """(B,) bits of the batch as base (left out without `base`, when no gradient would come of it) and refinement, and what was
    foreseen of every symbol.
    """
    first = batch.contexts(batch.q)[0]
    bits, mean, index = refined(model, batch.y, batch.q, shift, first, batch.known[:, 0])
    total = bits.sum((1, 2, 3))
    if base:
        total = total + base_bits(model, batch.y, batch.q, shift, batch)
    return total, Expectation(mean.detach(), index.detach())


def plain(model: EntropyModel, batch: Batch) -> tuple[Tensor, Expectation]:
    """(B,) bits of the batch without a base layer, and what was foreseen."""
    mean, index = model(batch.y, make_context(*batch.contexts(batch.q), batch.known), batch.q)
    mean, index = mean.float(), index.float()
    return logistic_bits(batch.y, mean, index).sum((1, 2, 3)), Expectation(mean.detach(), index.detach())


def alone(y: Tensor, q: Tensor) -> Batch:
    """Latents (B, 512, h, w) at steps q (B,) without any context."""
    nothing = torch.zeros_like(y).detach()
    return Batch(y, q, (nothing, nothing), q, y.new_zeros(len(y), 2, LAYERS))


def band_weights(choice: str) -> Tensor:
    """(12, 1, 1) of squared errors, 1 on the mean. Raises ValueError."""
    if choice not in WEIGHTS:
        raise ValueError(f"expected weights {' or '.join(WEIGHTS)}, found {choice}")
    weights = torch.ones(12, 1, 1)
    if choice == "visible":
        weights[VISIBLE] = VISIBLE_WEIGHT
    return weights / weights.mean()


def distortion(found: Tensor, frames: Tensor, q: Tensor, weights: Tensor) -> Tensor:
    """(B,) squared error a pixel and band in what a bit a pixel and band must save."""
    error = ((found.float() - frames).square() * weights).mean((1, 2, 3)) / UNIT**2
    return error / step(q).square() / LAGRANGE


def deviations(z: Tensor) -> Tensor:
    """(512,) root mean square of coefficients (B, 512, h, w) in their unit: where a static prior starts."""
    return z.square().mean((0, 2, 3)).sqrt().reshape(CHANNELS)
