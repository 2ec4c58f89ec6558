"""Train one of the TerraCodec family from nothing, at any size: peers for the bench, teachers for `swathpack.export.distil`.

    python -m swathpack.codec.train_terracodec fp --widths 48,96 --rate 40 --minutes 15 --out runs/terracodec/fp_40.swt
    python -m swathpack.codec.train_terracodec flextec --widths 32,32,48,64 --d-model 64 --minutes 30 --out runs/terracodec/flex.swt

Loss: bits per pixel and band + rate * squared error in standard deviations of the bands (TerraCodec's lambda, up to
its constant). Rounding is uniform noise for the bits and a straight-through estimate for the image (Balle et al.
2018, arXiv 1802.01436; Minnen and Singh 2020, arXiv 2007.08739). Temporal models see three dates and code all of
them, each with the ones before as context; FlexTEC keeps k tokens with P(k) proportional to k, the others are mask
tokens to synthesis. Prints the loss, bits and PSNR on val; writes a file that everything here loads. The
small sizes this allows say nothing about the published weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from swathpack.codec.adapt import Effort, train_for
from swathpack.codec.data import CropSampler, load_cubes
from swathpack.codec.terracodec.checkpoint import FAMILIES, L2A_MEAN, L2A_STD, Model, from_model, save_model
from swathpack.codec.terracodec.elic import Elic, ElicSizes, pick_colour
from swathpack.codec.terracodec.fp import FactorizedPrior
from swathpack.codec.terracodec.gaussian import trained_sigma
from swathpack.codec.terracodec.tt import TOKENS, Temporal, TemporalSizes

DATES = 3
RATE_OF_LEARNING = 1e-3
START_SPREAD = 3.0  # of latents of white noise before training, in steps


def rounded(x: Tensor) -> Tensor:
    """Rounded forwards, the identity backwards."""
    return x + (torch.round(x) - x).detach()


def gaussian_bits(residual: Tensor, sigma: Tensor) -> Tensor:
    """Bits of a residual under a centred Gaussian over cells of one step, noise in place of rounding."""
    z = -(residual + torch.rand_like(residual) - 0.5).abs()
    mass = torch.special.ndtr((z + 0.5) / sigma) - torch.special.ndtr((z - 0.5) / sigma)
    return -torch.log2(mass.clamp(min=1e-9))


class _Soft:
    """A StepCoder that adds up bits and lets gradients through the rounding."""

    def __init__(self, y: Tensor, groups: tuple[int, ...]) -> None:
        self.parts, self.bits = torch.split(y, list(groups), 1), y.new_zeros(())

    def __call__(self, step: int, mean: Tensor, sigma: Tensor) -> Tensor:
        k, colour = divmod(step, 2)
        residual = pick_colour(self.parts[k], colour) - mean
        self.bits = self.bits + gaussian_bits(residual, sigma.clamp(min=0.11)).sum()
        return rounded(residual)


def _fp(model: FactorizedPrior, x: Tensor) -> tuple[Tensor, Tensor]:
    y = model.analysis(x[:, 0])
    bits = model.entropy_bottleneck.bits(y + torch.rand_like(y) - 0.5).sum()
    medians = model.entropy_bottleneck.medians()[None, :, None, None]
    return model.synthesis(rounded(y - medians) + medians)[:, None], bits


def _elic(model: Elic, x: Tensor) -> tuple[Tensor, Tensor]:
    y, hyper = model.analysis(x[:, 0]), model.latent_codec.hyper
    z = hyper.h_a(y)
    medians = hyper.entropy_bottleneck.medians()[None, :, None, None]
    bits = hyper.entropy_bottleneck.bits(z + torch.rand_like(z) - 0.5).sum()
    coder = _Soft(y, model.sizes.groups)
    y_hat = model.run_groups(model.side_parameters(rounded(z - medians)), coder)
    return model.synthesis(y_hat)[:, None], bits + coder.bits


def _temporal(model: Temporal, x: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """Three dates, the oldest first coded; context stays teacher-forced whatever `keep` is."""
    bits = x.new_zeros(())
    earlier: list[Tensor] = []
    images: list[Tensor] = []
    for t in reversed(range(x.shape[1])):
        y = model.analysis(x[:, t])
        mean, raw, features = model.predict(y, earlier)
        cost = gaussian_bits(y - mean, trained_sigma(raw))
        centre = torch.round(mean)
        y_hat = rounded(y - centre) + centre
        earlier = [*earlier, y_hat.detach()]
        if model.sizes.flex and keep < TOKENS:
            y_hat, features, cost = _masked(model, y_hat, features, cost, keep)
        bits = bits + cost.sum()
        images.insert(0, model.synthesis(y_hat, features))
    return torch.stack(images, 1), bits


def _masked(model: Temporal, y: Tensor, features: Tensor, cost: Tensor, keep: int) -> tuple[Tensor, Tensor, Tensor]:
    entropy, grid = model.entropy_model, (y.shape[2] // 4, y.shape[3] // 4)
    tokens, seen, bits = (entropy.to_tokens(t) for t in (y, features, cost))
    sent = (torch.arange(TOKENS) < keep)[None, :, None]
    tokens = torch.where(sent, tokens, entropy.mask_token)
    seen = torch.where(sent, seen, entropy.z_cur_mask_token)
    y, features, cost = (entropy.from_tokens(t, grid) for t in (tokens, seen, bits * sent))
    return y, features, cost


def build(family: str, widths: tuple[int, ...], d_model: int) -> Model:
    """A new model. widths: FP N,M; ELIC N,M with M over 128; temporal models the four channel counts."""
    model = _new(family, widths, d_model)
    # Latents that all round to zero would leave the synthesis blind.
    side = model.transform.analysis_transform if isinstance(model, Temporal) else model.g_a
    last = [m for m in side.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)][-1]
    with torch.no_grad():
        x = torch.randn(2, 12, 64, 64)
        for _ in range(3):  # the attention behind it is not linear
            last.weight *= START_SPREAD / model.analysis(x).std()
    return model


def _new(family: str, widths: tuple[int, ...], d_model: int) -> Model:
    wanted = {"fp": 2, "elic": 2}.get(family, 4)
    if len(widths) != wanted:
        raise ValueError(f"{family}: expected {wanted} widths, found {len(widths)}")
    if family == "fp":
        return FactorizedPrior(12, *widths)
    if family == "elic":
        n, m = widths
        groups = (m // 12, m // 12, m // 6, m // 3, m - 2 * (m // 12) - m // 6 - m // 3)
        return Elic(ElicSizes(12, n, m, groups, 3 * n // 2, 2 * m, (64, 48), (96, 64)))
    flex = family == "flextec"
    return Temporal(TemporalSizes(12, widths, d_model, 4 * d_model, (2, 1, 2), flex, flex))  # type: ignore[arg-type]


def coded(model: nn.Module, x: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """Images like x (B, dates, 12, H, W), standardised, and all bits."""
    if isinstance(model, Temporal):
        return _temporal(model, x, keep)
    return _fp(model, x) if isinstance(model, FactorizedPrior) else _elic(model, x)  # type: ignore[arg-type]


def standardised(sampler: CropSampler, count: int, size: int, dates: int) -> Tensor:
    """(count, dates, 12, size, size) in standard deviations of the published statistics."""
    frames = sampler.sequence(count, size)[:, :dates] if dates > 1 else sampler.frames(count, size)[:, None]
    mean, std = (torch.tensor(v)[:, None, None] for v in (L2A_MEAN, L2A_STD))
    return (torch.from_numpy(np.ascontiguousarray(frames)) - mean) / std


def loss_of(model: nn.Module, x: Tensor, rate: float, keep: int) -> Tensor:
    """Bits per sample + rate * mean squared error."""
    image, bits = coded(model, x, keep)
    return bits / x.numel() + rate * (image - x).square().mean()


@torch.no_grad()
def evaluate(model: nn.Module, sampler: CropSampler, size: int, dates: int) -> str:
    """Bits and PSNR of one batch of val crops."""
    x = standardised(sampler, 8, size, dates)
    image, bits = coded(model, x, TOKENS)
    error = ((image - x) * torch.tensor(L2A_STD)[:, None, None]).square().mean((2, 3, 4))
    return f"{float(bits) / x.numel():.4f} bppb {(10 * torch.log10(1e8 / error)).mean():.2f} dB"


def train(args: argparse.Namespace, tell: Callable[[str], None]) -> int:
    """Trains, writes args.out, returns the steps made."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    model = build(args.family, args.widths, args.d_model)
    dates = DATES if isinstance(model, Temporal) else 1
    sampler = CropSampler(load_cubes(args.data, "train"), args.seed)
    weights = np.arange(1, TOKENS + 1) / sum(range(1, TOKENS + 1))

    def loss() -> Tensor:
        keep = int(sampler.rng.choice(np.arange(1, TOKENS + 1), p=weights)) if args.family == "flextec" else TOKENS
        return loss_of(model, standardised(sampler, args.batch, args.size, dates), args.rate, keep)

    effort = Effort(60 * args.minutes, args.steps, args.batch, args.size)
    # Quantiles only place tables; they are not trained, so symbols are counted from zero.
    parameters = [p for n, p in model.named_parameters() if "quantiles" not in n]
    for name, p in model.named_parameters():
        if "quantiles" in name:
            p.data[:, 0, 1] = 0
    steps = train_for(model, [(parameters, RATE_OF_LEARNING)], loss, effort)
    tell(f"{steps} steps: val {evaluate(model, CropSampler(load_cubes(args.data, 'val'), 5), args.size, dates)}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_model(from_model(args.family, model), args.out)
    return steps


def _widths(text: str) -> tuple[int, ...]:
    return tuple(int(t) for t in text.split(","))


def parser() -> argparse.ArgumentParser:
    """Of the command line; sizes are those that a small run takes."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("family", choices=FAMILIES)
    p.add_argument("--widths", type=_widths, default=(48, 96), help="see build(); default for fp and elic")
    p.add_argument("--d-model", type=int, default=64)
    p.add_argument("--rate", type=float, default=40.0, help="weight of the squared error")
    p.add_argument("--data", type=Path, default=Path("../shared/data"))
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--minutes", type=float, default=15)
    p.add_argument("--steps", type=int, default=1_000_000)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--size", type=int, default=64, help="of crops, a multiple of 64")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=1)
    return p


def main() -> None:
    args = parser().parse_args()
    try:
        train(args, lambda text: print(text, flush=True))
    except ValueError as error:
        raise SystemExit(f"{args.family}: {error}") from error


if __name__ == "__main__":
    main()
