"""Stage 2: train the entropy model on latents of a frozen analysis transform.

    python -m swathpack.codec.train_entropy --transform runs/transform/transform.pt --out runs/entropy --minutes 60

Every step codes one batch of latents three ways: as they are or as their base layer, and with the base layer known
(`swathpack.edge.codec.base_layer`). The last part of the time (--quantised-share) trains with the integer network's rounding. Prints
bits per pixel and band on val, plain, with a base layer, and with context, and writes `entropy.pt`; the same command
resumes. --start takes the weights of another run first.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from swathpack.codec.base_layer import BASE_GROUPS, base_of, bin_of, bits_in_bins, with_base
from swathpack.codec.data import CropSampler, Cube, load_cubes
from swathpack.codec.entropy import Context, EntropyModel, logistic_bits
from swathpack.codec.trainer import Trainer, averaged
from swathpack.codec.transform import EdgeTransform, load_weights, step
from swathpack.edge.codec.latents import CHANNELS, CONTEXT_LIMIT, GROUP, LATENT_LIMIT, LAYERS
from swathpack.edge.stream.quality import STEPS, STEPS_PER_OCTAVE, usual_shift

Q_RANGE = (4, 56)
TABLES = ("base_index", "step_embed")


def load_transform(path: Path) -> EdgeTransform:
    """The averaged weights of stage 1 or 3, frozen."""
    model = EdgeTransform()
    load_weights(model, torch.load(path, weights_only=True)["ema"])
    return model.eval().requires_grad_(False)


def quantise(z: Tensor, q: Tensor, dead_zone: Tensor | float) -> Tensor:
    """Coefficients (B, ...) in UNITs -> integers; |z| / step + 0.5 - dead_zone is floored."""
    u = z / step(q).reshape(-1, *[1] * (z.dim() - 1))
    return (torch.sign(u) * torch.floor(u.abs() + 0.5 - dead_zone)).clamp(-LATENT_LIMIT, LATENT_LIMIT)


def rescale(y: Tensor, q_from: Tensor, q_to: Tensor) -> Tensor:
    """Context latents in another step; must follow `swathpack.edge.codec.latents.rescale`."""
    factor = torch.round(torch.exp2((q_from - q_to).float() / 8) * 4096).reshape(-1, 1, 1, 1)
    return torch.floor((y * factor + 2048) / 4096).clamp(-CONTEXT_LIMIT, CONTEXT_LIMIT)


def draw_known(rng: np.random.Generator, count: int) -> Tensor:
    """(count, 2, 16): which layers of both contexts the ground holds."""
    k = np.full((count, 2), LAYERS)
    partial = rng.random((count, 2)) < 0.3
    k[partial] = rng.integers(1, LAYERS + 1, partial.sum())
    k[rng.random(count) < 0.45, 1] = 0
    k[rng.random(count) < 0.35] = 0
    return torch.from_numpy((np.arange(LAYERS) < k[..., None]).astype(np.float32))


def make_context(first: Tensor, second: Tensor, known: Tensor) -> Context:
    """Contexts (B, 512, h, w) with what is not known of them set to zero; known (B, 2, 16) 0/1."""
    mask = known.repeat_interleave(GROUP, dim=2)[..., None, None]
    return Context(first * mask[:, 0], second * mask[:, 1], known)


@dataclass(frozen=True)
class Batch:
    """Latents (B, 512, h, w) at steps q (B,), two earlier latents at their own steps, and which layers of these the
    ground holds (B, 2, 16).
    """

    y: Tensor
    q: Tensor
    earlier: tuple[Tensor, Tensor]
    q_context: Tensor
    known: Tensor

    def contexts(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """The earlier latents in steps of q."""
        first, second = (rescale(x, self.q_context, q) for x in self.earlier)
        return first, second


def batch_of(sampler: CropSampler, transform: EdgeTransform, count: int, size: int) -> Batch:
    """A training batch of `count` crops of size x size pixels."""
    rng = sampler.rng
    frames = torch.from_numpy(sampler.sequence(count, size)).flatten(0, 1)
    with torch.no_grad():
        z = transform.analysis(frames).reshape(count, 3, CHANNELS, size // 16, size // 16)
    q = torch.from_numpy(rng.integers(*Q_RANGE, count))
    q_context = torch.where(
        torch.from_numpy(rng.random(count) < 0.7), q, q + torch.from_numpy(rng.integers(-10, 11, count))
    )
    q_context = q_context.clamp(0, 63)
    dead_zone = torch.from_numpy(rng.uniform(0.0, 0.14, (count, 1, 1, 1)).astype(np.float32))
    y = quantise(z[:, 0], q, dead_zone)
    first, second = (quantise(z[:, n], q_context, dead_zone) for n in (1, 2))
    return Batch(y, q, (first, second), q_context, draw_known(rng, count))


def draw_shifts(rng: np.random.Generator, q: Tensor) -> Tensor:
    """Base shifts (B,) 1..3 for steps q of Q_RANGE, as far as the base has a step."""
    drawn = torch.from_numpy(rng.choice([1, 2, 3], len(q), p=[0.1, 0.75, 0.15]))
    return torch.minimum(drawn, (STEPS - 1 - q).div(STEPS_PER_OCTAVE, rounding_mode="floor"))


def plain_bits(model: EntropyModel, y: Tensor, q: Tensor, batch: Batch) -> Tensor:
    """Bits of every symbol of y at step q against the batch's contexts."""
    mean, index = model(y, make_context(*batch.contexts(q), batch.known), q)
    return logistic_bits(y, mean.float(), index.float())


def refined(
    model: EntropyModel, y: Tensor, q: Tensor, shift: Tensor, first: Tensor, known: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Bits of every symbol of y at step q when its base of that shift is known, and the mean and table index that say so;
    the base stands in the second context's place, `first` (B, 512, h, w) in steps of q and `known` (B, 16) are the first
    context.
    """
    base = base_of(y, shift)
    flags = -(torch.arange(LAYERS) < BASE_GROUPS).float().expand_as(known)
    context = base_context(first, known, base, shift, flags)
    mean, index = model(y, context, q)
    mean, index = mean.float(), index.float()
    bits = with_base(logistic_bits(y, mean, index), bits_in_bins(y, mean, index, *bin_of(base, shift)))
    return bits, mean, index


def refined_bits(model: EntropyModel, y: Tensor, q: Tensor, shift: Tensor, first: Tensor, known: Tensor) -> Tensor:
    """The bits of `refined` alone."""
    return refined(model, y, q, shift, first, known)[0]


def base_context(first: Tensor, known: Tensor, base: Tensor, shift: Tensor, flags: Tensor) -> Context:
    """A first context and, as the second, the base in fine steps."""
    unit = torch.exp2(shift.float()).reshape(-1, 1, 1, 1)
    mask = torch.stack([known, flags.abs()], 1).repeat_interleave(GROUP, dim=2)[..., None, None]
    second = (base * unit).clamp(-CONTEXT_LIMIT, CONTEXT_LIMIT)
    return Context(first * mask[:, 0], second * mask[:, 1], torch.stack([known, flags], 1))


def losses(model: EntropyModel, batch: Batch, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """(B,) bits of the batch plain (fine or base), and refined from its base."""
    shift = draw_shifts(rng, batch.q)
    fine = torch.from_numpy(rng.random(len(batch.q)) < 0.3)
    y = torch.where(fine[:, None, None, None], batch.y, base_of(batch.y, shift))
    plain = plain_bits(model, y, torch.where(fine, batch.q, batch.q + 8 * shift), batch)
    first = batch.contexts(batch.q)[0]
    refined = refined_bits(model, batch.y, batch.q, shift, first, batch.known[:, 0])
    return plain.sum((1, 2, 3)), refined.sum((1, 2, 3))


@torch.no_grad()
def evaluate(model: EntropyModel, transform: EdgeTransform, cubes: list[Cube], quantised: bool) -> str:
    """Mean bppb of val frames coded intra at three steps, plain and with a base layer, and of later dates with and
    without context.
    """
    model.set_quantised(quantised)
    parts, ratio = [], []
    for q in (16, 28, 40):
        index, rates, based = torch.tensor([q]), [], []
        for cube in cubes:
            h, w = cube.data.shape[2:]
            earlier: list[Tensor] = []
            for t in range(min(cube.data.shape[0], 5)):
                frame = nn.functional.pad(
                    torch.from_numpy(cube.data[t : t + 1]), (0, -w % 16, 0, -h % 16), mode="reflect"
                )
                y = quantise(transform.analysis(frame[..., :256, :256]), index, 0.08)
                zero = torch.zeros_like(y)
                pixels = 12 * min(h, 256) * min(w, 256)
                intra = total_bits(model, y, make_context(zero, zero, torch.zeros(1, 2, LAYERS)), index)
                rates.append(intra / pixels)
                based.append(staged_bits(model, y, index) / pixels)
                if earlier and q == 28:
                    known = torch.ones(1, 2, LAYERS)
                    known[0, 1] = float(len(earlier) > 1)
                    second = earlier[-2] if len(earlier) > 1 else zero
                    ratio.append((total_bits(model, y, make_context(earlier[-1], second, known), index), intra))
                earlier.append(y)
        parts.append(f"q{q}: {np.mean(rates):.4f} ({np.mean(based):.4f} with base)")
    inter, alone = np.array(ratio).sum(0)
    model.set_quantised(False)
    return "  ".join(parts) + f"  inter/intra {inter / alone:.3f}"


def total_bits(model: EntropyModel, y: Tensor, context: Context, q: Tensor) -> float:
    """Of the latents y (B, 512, h, w) at step indexes q (B,)."""
    return float(logistic_bits(y, *model(y, context, q)).sum())


def staged_bits(model: EntropyModel, y: Tensor, q: Tensor) -> float:
    """Bits of a latent of a step that has a base, without context, base layer and refinement together."""
    shift = torch.tensor([usual_shift(int(q))])
    nothing = make_context(torch.zeros_like(y), torch.zeros_like(y), torch.zeros(1, 2, LAYERS))
    base = base_of(y, shift)
    base[:, BASE_GROUPS * GROUP :] = 0
    told = logistic_bits(base, *model(base, nothing, q + 8 * shift))[:, : BASE_GROUPS * GROUP].sum()
    zeros = torch.zeros(1, LAYERS)
    return float(told + refined_bits(model, y, q, shift, nothing.first, zeros).sum())


def train(args: argparse.Namespace) -> None:
    """The whole stage, by the command's arguments: resumes from `args.out`, writes entropy.pt there."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    transform = load_transform(args.transform)
    cubes, val = load_cubes(args.data, "train", args.min_bands), load_cubes(args.data, "val")
    model = EntropyModel(transform.deviation)
    tables = [p for n, p in model.named_parameters() if n in TABLES]
    others = [p for n, p in model.named_parameters() if n not in TABLES]
    optimiser = torch.optim.AdamW(
        [{"params": others, "lr": args.rate}, {"params": tables, "lr": 10 * args.rate}],
        weight_decay=0.01,
        betas=(0.9, 0.98),
    )
    run = Trainer(model, optimiser, args.out / "entropy.pt", args.minutes, args.report)
    if args.start and not run.resumed:
        model.load_state_dict(torch.load(args.start, weights_only=True)["ema"])
        run.ema = averaged(model)
    sampler = CropSampler(cubes, args.seed + run.step)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"step {run.step}  {parameters} parameters, {len(cubes)} cubes", flush=True)
    quantised = False

    def loss(progress: float) -> tuple[Tensor, float]:
        nonlocal quantised
        quantised = progress > 1 - args.quantised_share
        model.set_quantised(quantised)
        batch = batch_of(sampler, transform, args.batch, args.size)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16 and not quantised):
            plain, refined = losses(model, batch, sampler.rng)
        absolute = ((plain + refined) / (12 * args.size**2)).mean()
        # Relative rate: a step at a coarse q counts as much as one at a fine q.
        relative = (plain / (plain.detach() + 200) + refined / (refined.detach() + 200)).mean()
        return relative + 2 * absolute, absolute.item()

    run.run(loss, lambda: evaluate(model, transform, val[::2], quantised) + ("  quantised" if quantised else ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--transform", type=Path, default=Path("runs/transform/transform.pt"))
    parser.add_argument("--out", type=Path, default=Path("runs/entropy"))
    parser.add_argument("--start", type=Path, help="entropy.pt of another run to start from")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--quantised-share", type=float, default=0.2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--report", type=float, default=180, help="seconds between evaluations")
    parser.add_argument("--min-bands", type=int, default=12)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
