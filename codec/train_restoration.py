"""Train a network that restores drawn frames (`swathpack.codec.restoration`), and tell what it gains.

    python -m swathpack.tools.bench.drawn ../shared/data --out runs/drawn
    python -m swathpack.tools.bench.drawn ../shared/data --out runs/drawn-val --split val --count 60
    python -m swathpack.codec.train_restoration --drawn runs/drawn --val runs/drawn-val --out runs/restoration --steps 3000
    python -m swathpack.codec.train_restoration --share 0.25 --out runs/restoration-quarter ...

Learns from frames as they are drawn, seams smoothed. --share: of the places, for learning curves at equal steps. Prints by how
much the squared error, by weights, falls on val: mean in dB by rate, and the least. The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swathpack.codec.fit_seams import RATES, Drawn
from swathpack.codec.restoration import VISIBLE, Restoration
from swathpack.codec.seams import kernels
from swathpack.codec.trainer import Trainer

SIDE = 96
WEIGHT = 2.0  # of the visible bands in amplitude, as files have it at the least


def read(folder: Path, share: float = 1.0) -> list[Drawn]:
    """Examples as they are drawn, those of a share of the places. Raises FileNotFoundError where there are none."""
    found, (across, along) = [], kernels()
    for path in sorted(folder.glob("[0-9]*[0-9].npz")):
        one = Drawn.read(path)
        if crc32(one.place.encode()) % 1000 < 1000 * share:
            found.append(one.smoothed(across).turned().smoothed(along).turned())
    if not found:
        raise FileNotFoundError(f"no examples in {folder}: python -m swathpack.tools.bench.drawn")
    return found


def tensors(one: Drawn, area: tuple[slice, slice]) -> tuple[Tensor, Tensor, Tensor]:
    """Of a part of an example: original and drawn (12, H, W) DN, steps of every pixel and band."""
    steps = np.exp2(one.steps.transpose(2, 0, 1).astype(np.float32) / 8).repeat(one.tile, 1).repeat(one.tile, 2)
    planes: list[NDArray[np.float32]] = [
        np.asarray(a[:, area[0], area[1]], np.float32) for a in (one.original, one.drawn, steps)
    ]
    first, second, third = (torch.from_numpy(np.ascontiguousarray(p)) for p in planes)
    return first, second, third


def batch_of(drawn: Sequence[Drawn], rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Crops of random examples, turned and mirrored."""
    rows = []
    for _ in range(count):
        one = drawn[int(rng.integers(len(drawn)))]
        top, left = (int(rng.integers((side - SIDE) // 2 + 1)) * 2 for side in one.drawn.shape[1:])
        found = torch.stack(tensors(one, (slice(top, top + SIDE), slice(left, left + SIDE))))
        found = torch.rot90(found, int(rng.integers(4)), (2, 3))
        rows.append(found.flip(3) if rng.random() < 0.5 else found)
    original, image, steps = torch.stack(rows, 1)
    return original, image, steps


def errors_of(original: Tensor, image: Tensor) -> Tensor:
    """(B,) squared error, weighted."""
    weights = torch.ones(original.shape[1])
    weights[VISIBLE] = WEIGHT**2
    error: Tensor = ((original - image).square().mean((2, 3)) * weights).mean(1)
    return error


@torch.no_grad()
def evaluate(model: Restoration, val: Sequence[Drawn]) -> str:
    """dB by rate: mean gain, and the least of an example."""
    gains = []
    for one in val:
        height, width = (side // 4 * 4 for side in one.drawn.shape[1:])
        original, image, steps = (t[None] for t in tensors(one, (slice(height), slice(width))))
        ratio = errors_of(original, image) / errors_of(original, model(image, steps)).clamp(min=1e-3)
        gains.append((one.bppb, 10 * float(torch.log10(ratio))))
    told = []
    for low, high in zip(RATES, RATES[1:]):
        own = [gain for rate, gain in gains if low <= rate < high]
        told += [f"{low:g}: {np.mean(own):+.3f} ({min(own):+.2f})"] if own else []
    return f"all {np.mean([gain for _, gain in gains]):+.4f}  " + "  ".join(told) + " dB"


def train(args: argparse.Namespace) -> None:
    """The whole run, by the command's arguments."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    drawn, val = read(args.drawn, args.share), read(args.val)
    model = Restoration()
    size = sum(p.numel() for p in model.parameters())
    print(f"{len(drawn)} examples of {len({d.place for d in drawn})} places, {size} parameters", flush=True)
    run = Trainer(
        model,
        torch.optim.Adam(model.parameters(), lr=args.rate),
        args.out / "restoration.pt",
        0,
        args.report,
        steps=args.steps,
    )
    rng = np.random.default_rng([args.seed, run.step])

    def loss(_: float) -> tuple[Tensor, float]:
        original, image, steps = batch_of(drawn, rng, args.batch)
        before = errors_of(original, image)
        ratio = errors_of(original, model(image, steps)) / before.clamp(min=1.0)
        found = ratio.clamp(max=4.0).mean()
        return found, found.item()

    run.run(loss, lambda: evaluate(model, val))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawn", type=Path, default=Path("runs/drawn"), help="folder of training examples")
    parser.add_argument("--val", type=Path, default=Path("runs/drawn-val"), help="folder of val examples")
    parser.add_argument("--out", type=Path, default=Path("runs/restoration"))
    parser.add_argument("--share", type=float, default=1.0, help="of the training places (default %(default)s)")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--report", type=float, default=120, help="seconds")
    parser.add_argument("--seed", type=int, default=5)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
