"""A TEC-TT or FlexTEC checkpoint to the exact integer form: the edge entropy network learns the teacher's latents.

    swathpack import TerraCodec_v1_TT_S2L2A_lambda-20.pt -o tt20.swt
    python -m swathpack.export.distil tt20.swt --out runs/distilled --minutes 60 --device cuda
    swathpack compress cube.npz -o cube.swp --quality 16 --model runs/distilled

The teacher's transforms are kept; its latents stand in 512 slots, C/16 of each layer's 32, in repacked order
(FlexTEC) or by falling variance (TT). At q = 16 our step is the teacher's own rounding; other steps scale its one
rate up and down. The student, the 1.3 M parameter network of the edge preset, is trained in integer rounding: half
of a batch at q = 16 with both dates known against the teacher's distribution of every symbol (cross entropy, Hinton
et al. 2015, arXiv 1503.02531), half at other steps and contexts against the symbols themselves. Then the synthesis
is trained on without the transformer's features, which an exact decoder does not have. The result is a whole model
directory. Prints bits per latent value on val: teacher, student, and an order-0 code of the channels.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from swathpack.codec.adapt import Effort, train_for
from swathpack.codec.atomic import staged
from swathpack.codec.data import CropSampler, Cube, load_cubes
from swathpack.codec.entropy import Context, EntropyModel, logistic_bits
from swathpack.codec.terracodec.checkpoint import CheckpointError, Imported, load_model
from swathpack.codec.terracodec.gaussian import flex_sigma, trained_sigma
from swathpack.codec.terracodec.tt import Temporal
from swathpack.codec.train_entropy import TABLES, draw_known, make_context, quantise
from swathpack.edge.codec.engines import GOLDEN, GRAPH
from swathpack.edge.codec.latents import CHANNELS, GROUP, LAYERS
from swathpack.edge.codec.model import model_digest
from swathpack.edge.codec.tables import Mixture, build
from swathpack.edge.digests import FILE_DIGEST_BYTES, bytes_digest
from swathpack.export.entropy_graph import entropy_graph
from swathpack.export.golden import write_golden
from swathpack.export.integer import integer_parameters, prove_bounds
from swathpack.export.terracodec_graphs import analysis_graph, synthesis_graph

Q_TEACHER = 16  # our step index at which latents are rounded as the teacher rounds them
UNIT = 2.0 ** (Q_TEACHER / 8)
Q_RANGE = (8, 40)
REACH = 12  # integers to each side of the teacher's mean that its distribution is taken over
DEAD_ZONES = (0.0, 0.14)
RATE = 1.5e-3


@dataclass
class Teacher:
    """An imported temporal model; `slots` (C,) says where its channels stand among our 512."""

    imported: Imported
    slots: Tensor

    @property
    def model(self) -> Temporal:
        """The network that was imported."""
        return self.imported.of(Temporal)

    @torch.no_grad()
    def latents(self, frames: Tensor) -> Tensor:
        """(B, 12, H, W) DN -> (B, C, H/16, W/16), not rounded."""
        mean, std = (t.to(frames.device)[:, None, None] for t in (self.imported.mean, self.imported.std))
        return self.model.analysis((frames - mean) / std)

    @torch.no_grad()
    def foresee(self, y: Tensor, earlier: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B, C, h, w) of every symbol of y given rounded latents, oldest first."""
        mean, raw, _ = self.model.predict(y, earlier)
        return mean, flex_sigma(raw) if self.imported.family == "flextec" else trained_sigma(raw)

    def spread(self, y: Tensor) -> Tensor:
        """(B, C, h, w) -> coefficients (B, 512, h, w) in our units."""
        out = y.new_zeros(y.shape[0], CHANNELS, *y.shape[2:])
        out[:, self.slots] = y * UNIT
        return out


def load_teacher(path: Path, cubes: list[Cube], size: int, seed: int = 0) -> Teacher:
    """The teacher with its channels in order. Raises CheckpointError for another family or too many channels."""
    imported = load_model(path)
    if imported.family not in ("tt", "flextec"):
        raise CheckpointError(f"{path}: expected a TEC-TT or FlexTEC model, found {imported.family}")
    channels = imported.model.latent_channels
    if channels % LAYERS or channels > CHANNELS:
        raise CheckpointError(f"{path}: expected latent channels in multiples of 16 up to 512, found {channels}")
    if imported.model.bands != 12:
        raise CheckpointError(f"{path}: expected a model of 12 bands, found {imported.model.bands}")
    imported.model.requires_grad_(False).eval()
    teacher = Teacher(imported, torch.arange(channels))
    rank = np.arange(channels)
    if imported.family == "tt":
        frames = torch.from_numpy(CropSampler(cubes, seed).frames(8, size))
        variance = teacher.latents(frames).var((0, 2, 3)).numpy()
        rank[np.argsort(-variance, kind="stable")] = np.arange(channels)
    each = channels // LAYERS
    teacher.slots = torch.from_numpy(rank // each * GROUP + rank % each)
    return teacher


def teacher_bits(mean: Tensor, sigma: Tensor, values: Tensor) -> Tensor:
    """Bits of integers under the teacher's rounded Gaussian, shaped as `values`."""
    z = -(values - mean).abs()
    mass = torch.special.ndtr((z + 0.5) / sigma) - torch.special.ndtr((z - 0.5) / sigma)
    return -torch.log2(mass.clamp(min=2.0**-22))


def soft_bits(mean: Tensor, sigma: Tensor, student_mean: Tensor, student_index: Tensor) -> Tensor:
    """Expected bits of the student's code under the teacher's distribution, (B, C, h, w)."""
    offsets = torch.arange(-REACH, REACH + 1, dtype=mean.dtype, device=mean.device).reshape(-1, 1, 1, 1, 1)
    values = torch.round(mean) + offsets
    share = torch.exp2(-teacher_bits(mean, sigma, values))
    share = share / share.sum(0)
    return (share * logistic_bits(values, student_mean, student_index)).sum(0)


@dataclass
class Batch:
    """Latents (B, 512, h, w) with contexts and steps; the first `soft` rows have the teacher's mean and sigma."""

    y: Tensor
    context: Context
    q: Tensor
    soft: int
    mean: Tensor
    sigma: Tensor


def draw(teacher: Teacher, sampler: CropSampler, count: int, size: int) -> Batch:
    """A batch: its first half at the teacher's step with both dates known, the rest at any."""
    rng, soft, device = sampler.rng, (count + 1) // 2, teacher.slots.device
    frames = torch.from_numpy(sampler.sequence(count, size)).to(device)
    z = torch.unflatten(teacher.latents(frames.flatten(0, 1)), 0, (count, 3))
    q = torch.from_numpy(rng.integers(*Q_RANGE, count)).to(device)
    q[:soft] = Q_TEACHER
    known = draw_known(rng, count).to(device)
    known[:soft] = 1.0
    zone = torch.from_numpy(rng.uniform(*DEAD_ZONES, (count, 1, 1, 1)).astype(np.float32)).to(device)
    zone[:soft] = 0.0
    now, near, far = (quantise(teacher.spread(z[:, n]), q, zone) for n in range(3))
    earlier = [torch.round(z[:soft, n]) for n in (2, 1)]
    mean, sigma = teacher.foresee(z[:soft, 0], earlier)
    return Batch(now, make_context(near, far, known), q, soft, mean, sigma)


def loss_of(student: EntropyModel, teacher: Teacher, batch: Batch) -> Tensor:
    """Relative bits per frame, as in the training of the edge preset: expected ones where the teacher speaks."""
    mean, index = student(batch.y, batch.context, batch.q)
    bits = logistic_bits(batch.y, mean, index)
    at, n = teacher.slots, batch.soft
    soft = bits[:n].clone()
    soft[:, at] = soft_bits(batch.mean, batch.sigma, mean[:n, at], index[:n, at])
    total = torch.cat([soft, bits[n:]]).sum((1, 2, 3))
    return (total / (total.detach() + 200)).mean() + 0.1 * (total / at.numel() / bits[0, 0].numel()).mean()


@torch.no_grad()
def evaluate(
    student: EntropyModel, teacher: Teacher, sampler: CropSampler, size: int, batches: int = 4
) -> dict[str, float]:
    """Bits per latent value at the teacher's step, both dates known: teacher, student, channels by themselves."""
    found = [draw(teacher, sampler, 8, size) for _ in range(batches)]
    values = torch.cat([b.y[: b.soft, teacher.slots] for b in found])
    own, theirs = [], []
    for b in found:
        mean, index = student(b.y, b.context, b.q)
        own.append(logistic_bits(b.y, mean, index)[: b.soft].sum().item())
        theirs.append(teacher_bits(b.mean, b.sigma, b.y[: b.soft, teacher.slots]).sum().item())
    order0 = sum(_entropy(values[:, c]) * values[:, c].numel() for c in range(values.shape[1]))
    return {
        "teacher": sum(theirs) / values.numel(),
        "student": sum(own) / values.numel(),
        "order0": order0 / values.numel(),
    }


def _entropy(values: Tensor) -> float:
    counts = torch.unique(values, return_counts=True)[1].double()
    p = counts / counts.sum()
    return float(-(p * torch.log2(p)).sum())


def start(teacher: Teacher, sampler: CropSampler, size: int) -> EntropyModel:
    """A student whose tables start at the spread of the teacher's channels."""
    coefficients = teacher.spread(teacher.latents(torch.from_numpy(sampler.frames(8, size)).to(teacher.slots.device)))
    student = EntropyModel(coefficients.std((0, 2, 3)).clamp(min=1e-3))
    student.set_quantised(True)
    return student


def train_student(student: EntropyModel, teacher: Teacher, sampler: CropSampler, effort: Effort) -> int:
    """Distils in place; returns the steps made."""
    student.requires_grad_(True)
    tables = [p for n, p in student.named_parameters() if n in TABLES]
    others = [p for n, p in student.named_parameters() if n not in TABLES]
    groups = [(others, RATE), (tables, 10 * RATE)]
    return train_for(
        student,
        groups,
        lambda: loss_of(student, teacher, draw(teacher, sampler, effort.batch, effort.size)),
        effort,
    )


def train_synthesis(teacher: Teacher, sampler: CropSampler, effort: Effort) -> int:
    """Trains the teacher's synthesis without the transformer's features, in place; returns the steps made."""
    layers = teacher.model.transform.synthesis_transform.transforms.requires_grad_(True)
    std = teacher.imported.std.to(teacher.slots.device)[:, None, None]
    mean = teacher.imported.mean.to(teacher.slots.device)[:, None, None]

    def loss() -> Tensor:
        frames = torch.from_numpy(sampler.frames(effort.batch, effort.size)).to(teacher.slots.device)
        error = layers(torch.round(teacher.latents(frames))) - (frames - mean) / std
        mean_square: Tensor = error.square().mean()
        return mean_square

    return train_for(layers, [(list(layers.parameters()), 1e-4)], loss, effort)


@torch.no_grad()
def gains(teacher: Teacher, size: int = 8) -> NDArray[np.float64]:
    """(512,) squared error in DN^2 over a frame that a unit error of each coefficient makes, around a zero latent."""
    layers = teacher.model.transform.synthesis_transform.transforms
    channels, std = len(teacher.slots), teacher.imported.std.to(teacher.slots.device)[:, None, None]
    zero = torch.zeros(1, channels, size, size, device=teacher.slots.device)
    base, out = layers(zero), np.zeros(CHANNELS)
    for c in range(channels):
        zero[0, c, size // 2, size // 2] = 1 / UNIT
        out[int(teacher.slots[c])] = float(((layers(zero) - base) * std).square().sum())
        zero.zero_()
    return out


def export(student: EntropyModel, teacher: Teacher, out: Path, notes: dict[str, Any]) -> None:
    """A model directory that `swathpack.edge.codec.model` loads. Raises BoundError when float32 could not hold a sum."""
    parameters = integer_parameters(student.cpu())
    bounds = prove_bounds(parameters)
    tables = build(mixture=Mixture(logistic=1.0, gaussian=0.0, laplace=0.0))
    arrays: dict[str, Any] = {**parameters, **tables.to_arrays()}
    with staged(out) as place:
        np.savez_compressed(place / "entropy.npz", **arrays)
        onnx.save(entropy_graph(parameters), str(place / GRAPH))
        write_golden(parameters, place / GOLDEN)
        mean, std = (t.cpu().numpy().astype(np.float32) for t in (teacher.imported.mean, teacher.imported.std))
        slots, sides = teacher.slots.cpu().numpy(), teacher.model.transform
        for name, make, side in (
            ("analysis", analysis_graph, sides.analysis_transform),
            ("synthesis", synthesis_graph, sides.synthesis_transform),
        ):
            onnx.save(make(side.transforms, mean, std, slots, UNIT), str(place / f"{name}.onnx"))
        np.savez_compressed(place / "gains.npz", gains=gains(teacher))
        manifest = {
            "preset": f"distilled-{teacher.imported.family}",
            "model_digest": model_digest(place).hex(),
            "tables_digest": tables.digest().hex(),
            "engine_files": {
                n: bytes_digest((place / n).read_bytes(), FILE_DIGEST_BYTES).hex() for n in (GRAPH, GOLDEN)
            },
            "files": {
                p.name: bytes_digest(p.read_bytes(), FILE_DIGEST_BYTES).hex()
                for p in sorted(place.iterdir())
                if p.suffix != ".json"
            },
            "teacher": teacher.imported.digest.hex(),
            "bounds": {b.layer: {"worst": b.worst, "margin_bits": round(b.margin_bits, 3)} for b in bounds},
            **notes,
        }
        (place / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def distil(args: argparse.Namespace) -> dict[str, Any]:
    """Everything from checkpoint to model directory; returns the figures that were printed."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    cubes, val = load_cubes(args.data, "train"), load_cubes(args.data, "val")
    teacher = load_teacher(args.teacher, cubes, args.size)
    # Networks of the edge preset make small constants as they run: they must stand where the weights are.
    torch.set_default_device(args.device)
    teacher.model.to(args.device)
    teacher.slots = teacher.slots.to(args.device)
    sampler = CropSampler(cubes, args.seed)
    student = start(teacher, sampler, args.size)
    figures: dict[str, Any] = {"before": evaluate(student, teacher, CropSampler(val, 5), args.size)}
    effort = Effort(60 * args.minutes, args.steps, args.batch, args.size)
    figures["steps"] = train_student(student, teacher, sampler, effort)
    figures["after"] = evaluate(student, teacher, CropSampler(val, 5), args.size)
    if args.synthesis_minutes > 0:
        effort = Effort(60 * args.synthesis_minutes, args.steps, args.batch, args.size)
        figures["synthesis_steps"] = train_synthesis(teacher, sampler, effort)
    torch.set_default_device("cpu")
    teacher.model.cpu()
    teacher.slots = teacher.slots.cpu()
    export(student, teacher, args.out, {"distilled": figures})
    return figures


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path, help=".swt file of `swathpack import`")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/distilled"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--synthesis-minutes", type=float, default=20)
    parser.add_argument("--steps", type=int, default=1_000_000, help="at most, of each part")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=128, help="of crops, a multiple of 64")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    figures = distil(args)
    for name in ("before", "after"):
        words = ", ".join(f"{k} {v:.4f}" for k, v in figures[name].items() if math.isfinite(v))
        print(f"{name} {figures['steps']} steps: bits per value: {words}")
    print(f"{args.out}: model {json.loads((args.out / 'manifest.json').read_text())['model_digest']}")


if __name__ == "__main__":
    main()
