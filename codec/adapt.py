"""Per-mission fine-tuning: the shipped entropy network and synthesis trained further on one mission's own dates.

    entropy, transform = read_entropy(directory), read_transform(directory)
    sampler = PlaceSampler(cubes)
    adapt_entropy(entropy, transform, sampler, Effort(seconds=300))
    examples = gather(model, sampler, Effort(seconds=100))      # model: one exported with that entropy network
    adapt_synthesis(transform, examples, sampler.rng, Effort(seconds=200))

The analysis stays as it is, so that the board needs nothing but the new entropy network; the ground needs both.
The entropy network is trained in its rounding form from the first step: it never leaves the integer grid that
`swathpack.export.integer` writes. Few dates are few data: rates are low, weights are averaged, crops are flipped and their
radiometry jittered a little, so that the dates themselves are not learned by heart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from swathpack.codec.data import CropSampler, Cube
from swathpack.codec.entropy import EntropyModel
from swathpack.codec.reconstructions import eighths, example
from swathpack.codec.train_entropy import TABLES, batch_of, losses
from swathpack.codec.train_synthesis import loss_of, tensors
from swathpack.codec.trainer import learning_rates
from swathpack.codec.transform import EdgeTransform
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.prediction import Reconstruction

SYNTHESIS_RATE = 1.5e-4
KERNEL_RATE = 5e-6
ENTROPY_RATE = 8e-5
TABLE_RATE = 0.004  # in table indexes, which are rounded to whole ones
JITTER = 0.1  # of the jitter of general training: the sensor and the place are known here
AVERAGING = 0.02  # of the moving average of weights
WARM_STEPS = 50  # until then the average follows faster

Tick = Callable[[], None]


@dataclass(frozen=True)
class Effort:
    """How long one part is trained: `seconds` of wall time, at most `steps` of `batch` crops of `size` pixels."""

    seconds: float
    steps: int = 1_000_000
    batch: int = 4
    size: int = 96


class PlaceSampler(CropSampler):
    """Crops of one mission's dates; synthetic second dates only where a place has fewer than three real ones."""

    def __init__(self, cubes: list[Cube], seed: int = 0) -> None:
        super().__init__(cubes, seed)

    def _jitter(self, x: NDArray[np.float32], strength: float = 1.0) -> NDArray[np.float32]:
        return super()._jitter(x, strength * JITTER)


def train_for(
    module: nn.Module,
    groups: list[tuple[list[nn.Parameter], float]],
    loss: Callable[[], Tensor],
    effort: Effort,
    tick: Tick = lambda: None,
) -> int:
    """Adam over the groups (parameters, rate) until the effort is spent; leaves the averaged weights in place."""
    optimiser = torch.optim.Adam([{"params": p, "lr": rate} for p, rate in groups], betas=(0.9, 0.98))
    trained = [p for parameters, _ in groups for p in parameters]
    average = [p.detach().clone() for p in trained]
    start, done, progress = time.monotonic(), 0, 0.0
    while progress < 1:
        for group, (_, rate) in zip(optimiser.param_groups, groups):
            group["lr"] = rate * learning_rates(max(progress, 1e-3))
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss())
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        with torch.no_grad():
            for kept, p in zip(average, trained):
                kept.lerp_(p, AVERAGING if done > WARM_STEPS else 0.1)
        done += 1
        progress = max((time.monotonic() - start) / max(effort.seconds, 1e-6), done / effort.steps)
        tick()
    with torch.no_grad():
        for kept, p in zip(average, trained):
            p.copy_(kept)
    module.requires_grad_(False).eval()
    return done


@dataclass
class Examples:
    """What decoders hold of crops of the mission, and the crops: rows of the arrays of `swathpack.codec.reconstructions`."""

    rows: list[dict[str, NDArray[Any]]]

    def batch(self, rng: np.random.Generator, count: int) -> dict[str, NDArray[Any]]:
        """`count` rows drawn at random, stacked."""
        picks = [self.rows[int(i)] for i in rng.integers(len(self.rows), size=count)]
        return {key: np.stack([p[key] for p in picks]) for key in picks[0]}


def _row(frame: NDArray[np.float32], q: int, found: Reconstruction) -> dict[str, NDArray[Any]]:
    values, mean = eighths(found.values), eighths(found.mean)
    return {"frame": frame, "q": np.array(q, np.float32), "values8": values, "mean8": mean, "scale": found.scale}


def gather(model: EdgeModel, sampler: CropSampler, effort: Effort, tick: Tick = lambda: None) -> Examples:
    """Codes crops with the real encoder until the effort is spent: every step, contexts, some without their last
    layers.
    """
    start = time.monotonic()
    rows: list[dict[str, NDArray[Any]]] = []
    while len(rows) < effort.steps and (not rows or time.monotonic() - start < effort.seconds):
        crops = np.rint(np.clip(sampler.sequence(1, effort.size)[0], 0, 65535)).astype(np.float32)
        q, _, found = example(model, crops, sampler.rng)
        rows.append(_row(crops[0], q, found))
        tick()
    return Examples(rows)


def adapt_synthesis(
    model: EdgeTransform,
    examples: Examples,
    rng: np.random.Generator,
    effort: Effort,
    tick: Tick = lambda: None,
) -> int:
    """Trains everything of `model` behind the latent, in place; returns the steps made."""
    model.requires_grad_(True).analysis_kernel.requires_grad_(False)
    networks = [p for n, p in model.named_parameters() if "kernel" not in n]

    def loss() -> Tensor:
        frames, y, q, expected = tensors(examples.batch(rng, effort.batch))
        return loss_of(frames, model.synthesis(y, q, expected), q)

    groups = [(networks, SYNTHESIS_RATE), ([model.synthesis_kernel], KERNEL_RATE)]
    return train_for(model, groups, loss, effort, tick)


def adapt_entropy(
    model: EntropyModel,
    transform: EdgeTransform,
    sampler: CropSampler,
    effort: Effort,
    tick: Tick = lambda: None,
) -> int:
    """Trains the entropy network on the latents of `transform`, in place and in integer rounding; returns the
    steps made.
    """
    model.requires_grad_(True).set_quantised(True)
    tables = [p for n, p in model.named_parameters() if n in TABLES]
    others = [p for n, p in model.named_parameters() if n not in TABLES]

    def loss() -> Tensor:
        batch = batch_of(sampler, transform, effort.batch, effort.size)
        # As in general training: relative rate, so that coarse steps count, and a share of the absolute one.
        parts = losses(model, batch, sampler.rng)
        relative = sum((bits / (bits.detach() + 200)).mean() for bits in parts)
        return relative + 2 * (torch.stack(parts).sum(0) / (12 * effort.size**2)).mean()

    return train_for(model, [(others, ENTROPY_RATE), (tables, TABLE_RATE)], loss, effort, tick)
