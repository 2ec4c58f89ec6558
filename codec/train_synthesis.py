"""Stage 3: train the synthesis further, with the analysis (and so all latents and the entropy model) frozen.

    python -m codec.train_synthesis --transform runs/transform/transform.pt --out runs/synthesis --minutes 20

Sees latents as the encoder makes them (dead zone, dropped layers). Prints PSNR on val at four steps; writes
`transform.pt` in stage 1's form, so `export.edge_model --transform` takes it; the same command resumes.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from codec.data import CropSampler, Cube, load_cubes
from codec.train_entropy import load_transform, quantise
from codec.train_transform import LAGRANGE, draw_keep, layer_mask, learning_rates
from codec.transform import UNIT, EdgeTransform, step

Q_RANGE = (4, 58)
VAL_STEPS = (16, 26, 36, 46)


def loss_of(model: EdgeTransform, frames: Tensor, q: Tensor, dead_zone: Tensor, keep: Tensor) -> Tensor:
    """Squared error in squared steps; the logarithm joins in so that easy and hard frames count in dB too."""
    with torch.no_grad():
        y = quantise(model.analysis(frames), q, dead_zone) * layer_mask(keep)
    error = (model.synthesis(y, q) - frames).square().mean((1, 2, 3)) / UNIT**2
    return (error / step(q).square() / LAGRANGE).mean() + 0.2 * torch.log(error + 1e-4).mean()


@torch.no_grad()
def evaluate(model: EdgeTransform, cubes: list[Cube]) -> str:
    """Mean PSNR of val frames with all layers at VAL_STEPS."""
    parts = []
    for q in VAL_STEPS:
        psnr = []
        for cube in cubes:
            h, w = cube.data.shape[2:]
            for t in range(0, cube.data.shape[0], 5):
                frame = nn.functional.pad(
                    torch.from_numpy(cube.data[t : t + 1]), (0, -w % 16, 0, -h % 16), mode="reflect"
                )
                index = torch.tensor([q])
                out = model.synthesis(quantise(model.analysis(frame), index, 0.1), index)
                psnr.append(10 * math.log10(1e8 / (out - frame)[:, :, :h, :w].square().mean().item()))
        parts.append(f"q{q}: {np.mean(psnr):.3f} dB")
    return "  ".join(parts)


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    cubes, val = load_cubes(args.data, "train"), load_cubes(args.data, "val")
    model = load_transform(args.transform).requires_grad_(True)
    model.analysis_kernel.requires_grad_(False)
    networks = [p for n, p in model.named_parameters() if "kernel" not in n]
    optimiser = torch.optim.Adam(
        [{"params": networks, "lr": args.rate}, {"params": [model.synthesis_kernel], "lr": args.rate / 10}]
    )
    base = [g["lr"] for g in optimiser.param_groups]
    ema = {k: v.clone() for k, v in model.state_dict().items()}
    state: dict[str, Any] = {"step": 0, "seconds": 0.0}
    file = args.out / "transform.pt"
    args.out.mkdir(parents=True, exist_ok=True)
    if file.exists():
        saved = torch.load(file, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        ema, state = saved["ema"], saved["state"]
    sampler = CropSampler(cubes, args.seed + state["step"])
    print(f"step {state['step']}  {evaluate(model, val)}", flush=True)
    last_report = state["seconds"]
    while (progress := state["seconds"] / (60 * args.minutes)) < 1:
        tick = time.monotonic()
        for group, rate in zip(optimiser.param_groups, base):
            group["lr"] = rate * learning_rates(max(progress, 1e-3))
        frames = torch.from_numpy(sampler.frames(args.batch, args.size))
        q = torch.from_numpy(sampler.rng.integers(*Q_RANGE, args.batch))
        dead_zone = torch.from_numpy(sampler.rng.uniform(0.02, 0.2, (args.batch, 1, 1, 1)).astype(np.float32))
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            loss = loss_of(model, frames, q, dead_zone, draw_keep(sampler.rng, args.batch))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], 1.0)
        optimiser.step()
        with torch.no_grad():
            for key, value in model.state_dict().items():
                ema[key].lerp_(value, 0.005 if state["step"] > 200 else 0.05)
        state["step"] += 1
        state["seconds"] += time.monotonic() - tick
        if state["seconds"] - last_report > args.report or state["seconds"] >= 60 * args.minutes:
            last_report = state["seconds"]
            live = {k: v.clone() for k, v in model.state_dict().items()}
            model.load_state_dict(ema)
            print(
                f"step {state['step']}  {state['seconds'] / 60:.1f} min  loss {loss.item():.4f}  "
                f"{evaluate(model, val)}",
                flush=True,
            )
            model.load_state_dict(live)
            torch.save(
                {
                    "model": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "ema": ema,
                    "state": state,
                },
                file,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--transform", type=Path, default=Path("runs/transform/transform.pt"))
    parser.add_argument("--out", type=Path, default=Path("runs/synthesis"))
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--report", type=float, default=240)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--seed", type=int, default=7)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
