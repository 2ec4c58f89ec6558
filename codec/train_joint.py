"""Train analysis, entropy model and synthesis together, from the shipped weights, with a nonlinear branch or without one.

    python -m swathpack.codec.train_joint --branch small --minutes 15 --out runs/joint/small

Minutes are of CPU time on a processor, of the clock on a GPU. Prints, on the middle of every second val place, bits a pixel and band by the
integer entropy network and PSNR over all bands and the visible ones at three steps; writes `joint.pt` (weights, averaged weights,
optimiser) and `curve.json`, and without a branch `transform.pt` and `entropy.pt`, for `swathpack.export.edge_model`; the same command
resumes. What is not among --parts stays as it was. --rate static takes the proxy of stage 1 in the place of the entropy network.
`python -m swathpack.tools.bench.joint runs/joint/*` makes a table of runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from swathpack.codec.analysis_branch import NONE, SIZES, gmac
from swathpack.codec.atomic import replaced
from swathpack.codec.data import CropSampler, Cube, load_cubes
from swathpack.codec.joint import (
    WEIGHTS,
    Joint,
    band_weights,
    deviations,
    distortion,
    plain,
    read_joint,
    staged,
    straight,
)
from swathpack.codec.joint_val import Curve, CurveError, judge, val_crops, words
from swathpack.codec.shipped import ShippedModelError
from swathpack.codec.train_entropy import TABLES, Batch, draw_known, draw_shifts, quantise
from swathpack.codec.train_transform import StaticPrior
from swathpack.codec.trainer import Trainer
from swathpack.codec.transform import step
from swathpack.edge.codec.latents import LAYERS

PARTS = ("analysis", "entropy", "synthesis")
Q_RANGE = (8, 50)
CONTEXT_SHARE = 0.25  # of batches whose contexts are other dates; the others have none
PLAIN_SHARE = 0.2  # of batches coded without a base layer, as some tiles are
BRANCH_RATE, TABLE_RATE, KERNEL_RATE, PRIOR_RATE = 3.0, 10.0, 0.05, 100.0  # over the learning rate of the other weights
PRIOR_CROPS = 32
# Bits and squared error a pixel and band. With nearly none, crops of calm water rule, and it takes thousands of crops before their
# gradients of the analysis make a direction; with the cost itself hundreds (docs/training.md).
FLOOR = 0.3


class Lesson:
    """Draws batches and says what they cost; `args` are those of the command."""

    def __init__(self, joint: Joint, sampler: CropSampler, args: argparse.Namespace, device: torch.device) -> None:
        self.joint, self.sampler, self.args, self.device = joint, sampler, args, device
        self.weights = band_weights(args.weights).to(device)
        self.prior: StaticPrior | None = None
        if args.rate == "static":
            z = joint.coefficients(self._tensor(sampler.frames(PRIOR_CROPS, args.size)))
            self.prior = StaticPrior(deviations(z).detach()).to(device)

    def _tensor(self, array: Any) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def draw(self) -> tuple[Tensor, Tensor, Batch, Tensor]:
        """Frames (B, 12, size, size) DN, their coefficients, the batch, and shifts (B,) of its base."""
        rng, count, size = self.sampler.rng, self.args.batch, self.args.size
        drawn = torch.from_numpy(rng.integers(*Q_RANGE, count))
        q, shift = drawn.to(self.device), draw_shifts(rng, drawn).to(self.device)
        dead_zone = self._tensor(rng.uniform(0.0, 0.14, (count, 1, 1, 1)).astype(np.float32))
        seen = rng.random() < CONTEXT_SHARE
        dates = self._tensor(self.sampler.sequence(count, size) if seen else self.sampler.frames(count, size)[:, None])
        z = self.joint.coefficients(dates[:, 0])
        y = straight(z, q, dead_zone)
        known, nothing = y.new_zeros(count, 2, LAYERS), torch.zeros_like(y).detach()
        earlier, q_context = (nothing, nothing), q
        if seen:
            known = draw_known(rng, count).to(self.device)
            near = self._tensor((rng.random(count) < 0.3) * rng.integers(-10, 11, count))
            q_context = (q + near).clamp(0, 63)
            with torch.no_grad():
                first, second = (quantise(self.joint.coefficients(dates[:, n]), q_context, dead_zone) for n in (1, 2))
            earlier = (first, second)
        return dates[:, 0], z, Batch(y, q, earlier, q_context, known), shift

    def cost(self) -> Tensor:
        """The mean logarithm of bits and squared error together, each a pixel and band, above a floor: beyond it what falls by 1 %
        counts alike at every step, below it what falls by a bit.
        """
        frames, z, batch, shift = self.draw()
        trains = "entropy" in self.args.parts
        if self.sampler.rng.random() < PLAIN_SHARE:
            bits, expected = plain(self.joint.entropy, batch)
        else:
            bits, expected = staged(self.joint.entropy, batch, shift, base=trains)
        if self.prior:
            u = z / step(batch.q)[:, None, None, None]
            bits = self.prior.bits(u + torch.rand_like(u) - 0.5, batch.q).sum((1, 2, 3))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.args.bf16):
            found = self.joint.transform.synthesis(batch.y, batch.q, expected)
        both = bits / frames[0].numel() + distortion(found, frames, batch.q, self.weights)
        return torch.log(both + self.args.floor).mean()


def groups_of(joint: Joint, parts: Sequence[str], rate: float) -> list[dict[str, Any]]:
    """Parameter groups of the optimiser with their learning rates; what they hold is trained from here on."""
    rates: dict[float, list[Tensor]] = {}
    names = {id(p): name for name, p in joint.named_parameters()}
    for part in parts:
        for parameter in joint.parts()[part]:
            name = names[id(parameter)]
            own = BRANCH_RATE if name.startswith("branch") else KERNEL_RATE if name.endswith("is_kernel") else 1.0
            own = TABLE_RATE if part == "entropy" and name.endswith(TABLES) else own
            rates.setdefault(own, []).append(parameter.requires_grad_(True))
    return [{"params": found, "lr": rate * own} for own, found in sorted(rates.items())]


def share_of(cubes: list[Cube], share: float, seed: int) -> list[Cube]:
    """So much of the training places, at least one; a smaller share is part of a larger one."""
    order = np.random.default_rng(seed).permutation(len(cubes))
    return [cubes[i] for i in order[: max(1, round(share * len(cubes)))]]


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """What makes two runs comparable, by name."""
    kept = ("branch", "rate", "weights", "places", "batch", "size", "learning_rate", "floor", "quantised_share", "seed")
    found = {key: getattr(args, key) for key in kept}
    return {**found, "parts": ",".join(args.parts), "start": str(args.start)}


def train(args: argparse.Namespace) -> None:
    """The whole run, by the command's arguments. Raises CurveError, ShippedModelError, FileNotFoundError."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    curve = Curve.of(args.out / "curve.json", settings_of(args))
    joint = read_joint(args.start, args.branch).to(device)
    joint.bf16 = args.bf16
    cubes = share_of(load_cubes(args.data, "train"), args.places, args.seed)
    crops = val_crops(load_cubes(args.data, "val"))
    curve.settings["gmac"] = round(gmac(joint.branch), 4)
    groups = groups_of(joint, args.parts, args.learning_rate)
    with device:  # what the networks make on their way, masks and the like, is made where they are
        lesson = Lesson(joint, CropSampler(cubes, args.seed), args, device)
        beside = {"prior": lesson.prior} if lesson.prior else {}
        for module in beside.values():
            groups.append({"params": list(module.parameters()), "lr": PRIOR_RATE * args.learning_rate})
        optimiser = torch.optim.AdamW(groups, weight_decay=0.0, betas=(0.9, 0.98))
        clock = time.process_time if device.type == "cpu" else time.monotonic
        run = Trainer(
            joint, optimiser, args.out / "joint.pt", args.minutes, args.report, 1000, 0.03, args.steps, clock, **beside
        )
        lesson.sampler.rng = np.random.default_rng([args.seed, run.step])
        curve.keep_to(run.step)
        print(
            f"{len(cubes)} places, branch of {curve.settings['gmac']:.2f} GMAC, parts {' '.join(args.parts)}",
            flush=True,
        )

        def evaluate() -> str:
            point = judge(joint, crops)
            curve.add(run.step, run.seconds / 60, point)
            return words(point)

        def loss(progress: float) -> tuple[Tensor, float]:
            joint.entropy.set_quantised(progress > 1 - args.quantised_share)
            cost = lesson.cost()
            return cost, float(cost.detach())

        if not run.resumed:
            run.tell("", evaluate)
        run.run(loss, evaluate)
        if joint.branch is None:  # a linear analysis without its branch would be another one
            write_stages(run, args.out)


def write_stages(run: Trainer, out: Path) -> None:
    """transform.pt and entropy.pt of the averaged weights, in the form of stages 3 and 2, for `swathpack.export.edge_model`."""
    for name in ("transform", "entropy"):
        own = {key.removeprefix(f"{name}."): value for key, value in run.ema.items() if key.startswith(f"{name}.")}
        with replaced(out / f"{name}.pt") as part:
            torch.save({"ema": own, "state": {"step": run.step, "seconds": run.seconds}}, part)


def parts_of(text: str) -> tuple[str, ...]:
    """Parts between commas, in the order of PARTS."""
    found = {name.strip() for name in text.split(",")}
    if not found <= set(PARTS):
        raise argparse.ArgumentTypeError(f"expected some of {','.join(PARTS)}, found {text!r}")
    return tuple(part for part in PARTS if part in found)


def positive(text: str) -> float:
    """A number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return value


def share(text: str) -> float:
    """A number above zero, at most one."""
    value = positive(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"expected a share of at most 1, found {text!r}")
    return value


def share_or_none(text: str) -> float:
    """A number from zero to one."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to 1, found {text!r}")
    return value


def sides(text: str) -> int:
    """Pixels a side of a crop: a multiple of 64, so that the coding phases of positions are whole."""
    if not text.isdecimal() or int(text) == 0 or int(text) % 64:
        raise argparse.ArgumentTypeError(f"expected a multiple of 64, found {text!r}")
    return int(text)


def counts(text: str) -> int:
    """A whole number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, found {text!r}")
    return int(text)


def parser_of() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--start", type=Path, default=Path("models/edge"), help="folder of a shipped model")
    parser.add_argument("--out", type=Path, default=Path("runs/joint/run"))
    parser.add_argument("--branch", choices=(NONE, *SIZES), default="small", help="nonlinear branch of the analysis")
    parser.add_argument("--parts", type=parts_of, default=PARTS, help="what is trained (default: all of it)")
    parser.add_argument("--rate", choices=("network", "static"), default="network", help="where bits are from")
    parser.add_argument("--weights", choices=WEIGHTS, default="equal", help="of the bands, in the loss")
    parser.add_argument("--places", type=share, default=1.0, help="share of the training places (default: 1)")
    parser.add_argument("--minutes", type=positive, default=15.0, help="how long, where there are no --steps")
    parser.add_argument("--steps", type=counts, default=0)
    parser.add_argument("--batch", type=counts, default=3)
    parser.add_argument("--size", type=sides, default=128)
    parser.add_argument("--learning-rate", type=positive, default=2e-4)
    parser.add_argument(
        "--quantised-share", type=share_or_none, default=0.25, help="last share of the time in integer rounding"
    )
    parser.add_argument("--floor", type=positive, default=FLOOR, help="of the cost whose logarithm is minimised")
    parser.add_argument("--threads", type=counts, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--report", type=positive, default=75.0, help="seconds between evaluations")
    parser.add_argument("--bf16", action="store_true", help="branch and synthesis in bfloat16")
    parser.add_argument("--seed", type=counts, default=1)
    return parser


def contradiction(args: argparse.Namespace) -> str:
    """What does not go together, or nothing."""
    if min(args.batch, args.threads) < 1:
        return "--batch and --threads: expected at least 1"
    if args.branch != NONE and "analysis" not in args.parts:
        return f"--branch {args.branch}: a branch that is not trained adds nothing; name analysis in --parts"
    if args.rate == "static" and "entropy" in args.parts:
        return "--rate static: does not train the entropy network; leave entropy out of --parts"
    if args.device != "cpu" and not torch.cuda.is_available():
        return f"--device {args.device}: torch finds no GPU here"
    return ""


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of()
    args = parser.parse_args(argv)
    wrong = contradiction(args)
    if wrong:
        parser.error(wrong)
    try:
        train(args)
    except (CurveError, ShippedModelError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
