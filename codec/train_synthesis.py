"""Stage 3: train the synthesis further, with the analysis (and so all latents and the entropy model) frozen.

    python -m swathpack.codec.reconstructions --model runs/edge --out runs/reconstructions
    python -m swathpack.codec.train_synthesis --transform runs/transform/transform.pt --out runs/synthesis --minutes 40

Learns from what decoders really hold (`swathpack.codec.reconstructions`): optimised latents, what the entropy model foresaw,
missing layers. Prints PSNR on val at four steps and for few layers; writes `transform.pt` in stage 1's form, so
`swathpack.export.edge_model --transform` takes it; the same command resumes.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swathpack.codec.reconstructions import EIGHTHS, VAL_SHARD
from swathpack.codec.train_entropy import load_transform
from swathpack.codec.train_transform import LAGRANGE
from swathpack.codec.trainer import Trainer
from swathpack.codec.transform import UNIT, EdgeTransform, Expectation, step

POOL = 12  # shards in memory at a time
FRESH = 40  # training steps until one of them is replaced
FLOOR = 1e-3  # of the squared error in UNITs, so that frames without content do not rule the logarithm
BLIND = 0.05  # share of batches that are told nothing but the values
Shard = dict[str, NDArray[Any]]


def read_shard(path: Path) -> Shard:
    """Arrays of a file of `swathpack.codec.reconstructions`, by name."""
    with np.load(path) as archive:
        return {key: archive[key] for key in archive.files}


class Pool:
    """Draws batches from a few shards in memory, which are replaced one after another."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.files = sorted(p for p in folder.glob("[0-9]*.npz") if not p.name.endswith(".part.npz"))
        if not self.files:
            raise FileNotFoundError(f"no shards in {folder}: python -m swathpack.codec.reconstructions")
        self.folder, self.rng = folder, np.random.default_rng(seed)
        self.order = list(self.rng.permutation(len(self.files)))
        self.shards = [self._next() for _ in range(min(POOL, len(self.files)))]
        self.draws = 0

    def _next(self) -> Shard:
        if not self.order:
            self.files = sorted(self.folder.glob("[0-9][0-9][0-9][0-9].npz"))
            self.order = list(self.rng.permutation(len(self.files)))
        return read_shard(self.files[self.order.pop()])

    def batch(self, count: int) -> tuple[Tensor, Tensor, Tensor, Expectation]:
        """Frames (count, 12, 128, 128) DN, values (count, 512, 8, 8) in steps, q (count,), and what was foreseen."""
        self.draws += 1
        if self.draws % FRESH == 0:
            self.shards[self.draws // FRESH % len(self.shards)] = self._next()
        picks = [(self.shards[int(self.rng.integers(len(self.shards)))]) for _ in range(count)]
        rows = [int(self.rng.integers(len(s["q"]))) for s in picks]
        return tensors({key: np.stack([s[key][r] for s, r in zip(picks, rows)]) for key in picks[0]})


def tensors(rows: Shard) -> tuple[Tensor, Tensor, Tensor, Expectation]:
    """Rows of a shard as `Pool.batch` gives them."""

    def eighths(key: str) -> Tensor:
        return torch.from_numpy(rows[key].astype(np.float32) / EIGHTHS)

    expected = Expectation(eighths("mean8"), torch.from_numpy(rows["scale"].astype(np.int64)))
    frames = torch.from_numpy(rows["frame"].astype(np.float32))
    return frames, eighths("values8"), torch.from_numpy(rows["q"].astype(np.float32)), expected


def loss_of(frames: Tensor, found: Tensor, q: Tensor) -> Tensor:
    """Mostly the logarithm of the squared error, which is PSNR; some of it in squared steps."""
    error = (found.float() - frames).square().mean((1, 2, 3)) / UNIT**2
    return torch.log(error + FLOOR).mean() + 0.2 * (error / step(q).square() / LAGRANGE).mean()


@torch.no_grad()
def evaluate(model: EdgeTransform, val: Shard) -> str:
    """Mean PSNR of the val examples by step and layers."""
    found: dict[tuple[int, int], list[float]] = defaultdict(list)
    for i in range(len(val["q"])):
        frames, y, q, expected = tensors({k: v[i : i + 1] for k, v in val.items()})
        error = (model.synthesis(y, q, expected) - frames).square().mean().item()
        found[int(val["q"][i]), int(val["layers"][i])].append(10 * np.log10(1e8 / max(error, 0.1)))
    return "  ".join(f"q{q} k{k}: {np.mean(v):.3f}" for (q, k), v in sorted(found.items())) + " dB"


def train(args: argparse.Namespace) -> None:
    """The whole stage, by the command's arguments: resumes from `args.out`, writes transform.pt there."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    val = read_shard(args.examples / VAL_SHARD)
    model = load_transform(args.transform).requires_grad_(True)
    model.analysis_kernel.requires_grad_(False)
    networks = [p for n, p in model.named_parameters() if "kernel" not in n]
    groups = [
        {"params": networks, "lr": args.rate},
        {"params": [model.synthesis_kernel], "lr": args.rate / 10},
    ]
    optimiser = torch.optim.Adam(groups)
    run = Trainer(model, optimiser, args.out / "transform.pt", args.minutes, args.report, early=0.05)
    pool = Pool(args.examples, args.seed + run.step)
    run.tell("", lambda: evaluate(model, val))

    def loss(_: float) -> tuple[Tensor, float]:
        frames, y, q, expected = pool.batch(args.batch)
        told = expected if pool.rng.random() > BLIND else None
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            found = model.synthesis(y, q, told)
        error = loss_of(frames, found, q)
        return error, error.item()

    run.run(loss, lambda: evaluate(model, val))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=Path, default=Path("runs/reconstructions"))
    parser.add_argument("--transform", type=Path, default=Path("runs/transform/transform.pt"))
    parser.add_argument("--out", type=Path, default=Path("runs/synthesis"))
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--report", type=float, default=240)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--seed", type=int, default=7)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
