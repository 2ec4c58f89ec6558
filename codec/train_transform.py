"""Stage 1: train the edge transform.

    python -m swathpack.codec.train_transform --data ../shared/data --out runs/transform --minutes 30

Prints the loss, bits per pixel and band and PSNR on the val split at a few steps; writes `transform.pt`
(weights, exponential moving average, optimiser) so that the same command resumes.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from swathpack.codec.basis import dct_klt_basis
from swathpack.codec.data import CropSampler, Cube, load_cubes
from swathpack.codec.trainer import Trainer
from swathpack.codec.transform import UNIT, EdgeTransform, step
from swathpack.edge.codec.latents import CHANNELS, GROUP, LAYERS
from swathpack.edge.stream.quality import STEPS

LAGRANGE = 0.16  # squared error per bit, in squared steps: the slope of a dead-zone quantiser at middle rates
Q_RANGE = (6, 52)
ANCHORS = 9


class StaticPrior(nn.Module):
    """Rate proxy of stage 1: one logistic per channel and step, bits by CDF differences."""

    def __init__(self, deviation: Tensor) -> None:
        super().__init__()
        q = torch.linspace(0, STEPS, ANCHORS)
        start = torch.log(deviation[None] / step(q)[:, None] * 0.4 + 0.05)
        self.log_scale = nn.Parameter(start)

    def scale(self, q: Tensor) -> Tensor:
        """(B, CHANNELS) logistic scale at q (B,)."""
        position = q.float() / STEPS * (ANCHORS - 1)
        low = position.long().clamp(max=ANCHORS - 2)
        t = (position - low)[:, None]
        return torch.exp(self.log_scale[low] * (1 - t) + self.log_scale[low + 1] * t)

    def bits(self, y: Tensor, q: Tensor) -> Tensor:
        """Bits per symbol, shaped as y (B, CHANNELS, h, w)."""
        scale = self.scale(q)[:, :, None, None]
        z = -y.abs()
        mass = torch.sigmoid((z + 0.5) / scale) - torch.sigmoid((z - 0.5) / scale)
        return -torch.log2(mass.clamp(min=1e-9))


def layer_mask(keep: Tensor) -> Tensor:
    """(B, CHANNELS, 1, 1): 1 for channels of layers below keep (B,)."""
    layer = torch.arange(CHANNELS) // GROUP
    return (layer[None] < keep[:, None]).float()[:, :, None, None]


def draw_keep(rng: np.random.Generator, count: int) -> Tensor:
    """Half of the samples keep all layers; the others k with P(k) proportional to k (FlexTEC's schedule)."""
    weights = np.arange(1, LAYERS + 1) / sum(range(1, LAYERS + 1))
    keep = rng.choice(np.arange(1, LAYERS + 1), size=count, p=weights)
    return torch.from_numpy(np.where(rng.random(count) < 0.5, LAYERS, keep))


def loss_of(
    model: EdgeTransform, prior: StaticPrior, frames: Tensor, q: Tensor, keep: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Lagrangian loss per pixel and band, bits per pixel and band, mean squared error (DN^2) per sample."""
    z = model.analysis(frames) / step(q)[:, None, None, None]
    mask = layer_mask(keep)
    bits = (prior.bits(z + torch.rand_like(z) - 0.5, q) * mask).sum((1, 2, 3))
    y = (z + (torch.round(z) - z).detach()) * mask
    error = (model.synthesis(y, q) - frames).square().mean((1, 2, 3))
    rate = bits / frames[0].numel()
    distortion = error / UNIT**2 / step(q).square() / LAGRANGE
    return (distortion + rate).mean(), rate, error


@torch.no_grad()
def evaluate(model: EdgeTransform, prior: StaticPrior, cubes: list[Cube]) -> str:
    """Mean rate (proxy) and PSNR over val frames at q = 16, 28, 40."""
    parts = []
    for q in (16, 28, 40):
        rates, psnrs = [], []
        for cube in cubes:
            for t in range(0, cube.data.shape[0], 4):
                frame = torch.from_numpy(cube.data[t : t + 1])
                h, w = frame.shape[2:]
                frame = torch.nn.functional.pad(frame, (0, -w % 16, 0, -h % 16), mode="reflect")
                index = torch.tensor([q])
                z = model.analysis(frame) / step(index)
                y = torch.sign(z) * torch.floor(z.abs() + 0.42)
                rates.append(prior.bits(y, index).sum().item() / (12 * h * w))
                error = (model.synthesis(y, index) - frame)[:, :, :h, :w].square().mean().item()
                psnrs.append(10 * math.log10(1e8 / error))
        parts.append(f"q{q}: {np.mean(rates):.4f} bppb {np.mean(psnrs):.2f} dB")
    return "  ".join(parts)


def train(args: argparse.Namespace) -> None:
    """The whole stage, by the command's arguments: resumes from `args.out`, writes transform.pt there."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    cubes, val = load_cubes(args.data, "train"), load_cubes(args.data, "val")
    model = EdgeTransform()
    basis, mean, deviation = dct_klt_basis(cubes, CHANNELS)
    model.start_from(torch.from_numpy(basis), torch.from_numpy(mean), torch.from_numpy(deviation))
    prior = StaticPrior(model.deviation)
    kernels = [model.analysis_kernel, model.synthesis_kernel]
    others = [p for n, p in model.named_parameters() if "kernel" not in n]
    optimiser = torch.optim.Adam(
        [
            {"params": kernels, "lr": args.kernel_rate},
            {"params": others, "lr": 1e-3},
            {"params": prior.parameters(), "lr": 2e-2},
        ]
    )
    run = Trainer(model, optimiser, args.out / "transform.pt", args.minutes, 120, warm=100, prior=prior)
    sampler = CropSampler(cubes, args.seed + run.step)
    print(f"step {run.step}  {evaluate(model, prior, val)}", flush=True)

    def loss(_: float) -> tuple[Tensor, float]:
        frames = torch.from_numpy(sampler.frames(args.batch, args.size))
        q = torch.from_numpy(sampler.rng.integers(*Q_RANGE, args.batch))
        found, *_rest = loss_of(model, prior, frames, q, draw_keep(sampler.rng, args.batch))
        return found, found.item()

    run.run(loss, lambda: evaluate(model, prior, val))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/transform"))
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kernel-rate", type=float, default=5e-5)
    parser.add_argument("--seed", type=int, default=1)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
