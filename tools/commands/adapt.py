"""Fine-tune the codec on one mission's own images: a model directory of its own, and what it wins on later dates.

    swathpack adapt FOLDER -o models/mission --minutes 10

FOLDER holds series of one place each: `.npz` cubes, GeoTIFFs (one series), or sub-folders of GeoTIFFs; one `.npz`
will do as well. The last quarter of each series' dates is held out: never trained on, and coded with the old and
the new model afterwards to tell what was won (--holdout 0 trains on all dates and tells nothing). The synthesis
is trained, with --parts both also the entropy network, in the integer rounding that keeps decoding exact; the
analysis stays. The result has a digest of its own: streams made with it name it, and only `--model` with the same directory
decodes them. Needs the extras `train` (torch, onnx).
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.bands import BandError, complete_bands
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel
from swathpack.edge.frame import Frame, FrameError
from swathpack.tools.bench import metrics
from swathpack.tools.bench.metrics import Curve
from swathpack.tools.errors import RefusedError, UsageError, UserError
from swathpack.tools.files.api import frame_bytes
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.models import open_model
from swathpack.tools.files.outputs import Output
from swathpack.tools.files.rasters import read_series
from swathpack.tools.files.rasters.options import ReadOptions, add_reading_arguments, reading_options
from swathpack.tools.files.rasters.tiff import SUFFIXES
from swathpack.tools.progress import Progress

LEAST_SIDE = 64
JUDGED_STEPS = (16, 24, 32, 40)
ENTROPY = "entropy"  # folder of the model whose entropy network is trained and whose synthesis is not yet
LEAD_IN = 4  # earlier dates coded before the held-out ones, as context
CODING_SHARE = 0.3  # of the synthesis' time, spent on coding the examples it learns from
COPIED = ("band_statistics.npz",)  # of the base model; rate_quality.json belongs to the base model's digest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="series of images, see above")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MODELDIR", help="a new or empty folder")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training (default %(default)s)")
    parser.add_argument(
        "--holdout", type=float, default=0.25, help="share of the last dates kept apart (default %(default)s)"
    )
    parser.add_argument(
        "--parts",
        choices=("synthesis", "entropy", "both"),
        default="synthesis",
        help="what is trained; synthesis (default) leaves the bytes of all segments as they are",
    )
    add_reading_arguments(parser)
    parser.add_argument("--model", type=Path, default=DEFAULT_DIRECTORY, help="where to start (default: shipped)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the training (default 1)")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")


@dataclass(frozen=True)
class Place:
    """One series, its dates in order; the last `held` of them are not trained on."""

    name: str
    frames: list[Frame]
    held: int

    @property
    def training(self) -> list[Frame]:
        """The dates that may be seen."""
        return self.frames[: len(self.frames) - self.held]


def sources(folder: Path) -> list[Path]:
    """What to read as one series each. Raises UserError when there is nothing."""
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise UserError(f"no such folder: {folder}")
    rasters = {p.parent for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES}
    found = sorted([*folder.rglob("*.npz"), *rasters])
    if not found:
        raise UserError(f"{folder}: expected .npz cubes or GeoTIFFs, found none")
    return found


def load_places(folder: Path, options: ReadOptions | None, holdout: float) -> list[Place]:
    """Every series as twelve bands without offset. Raises UserError when none is large enough."""
    places = []
    for source in sources(folder):
        try:
            frames = [complete_bands(f.without_offset()) for f in read_series(source, options=options).frames]
        except (BandError, FrameError) as error:
            raise UserError(f"{source}: {error}") from error
        if min(frames[0].data.shape[1:]) < LEAST_SIDE:
            continue
        held = math.ceil(holdout * len(frames)) if len(frames) > 1 and holdout > 0 else 0
        places.append(Place(source.stem, frames, min(held, len(frames) - 1)))
    if not places:
        raise UserError(f"{folder}: no series with sides of {LEAST_SIDE} pixels or more")
    return places


def training_cubes(places: Sequence[Place]) -> list[Any]:
    """The dates that may be seen, in the form of the training code."""
    from swathpack.codec.data import Cube

    cubes = []
    for place in places:
        data = np.stack([f.data for f in place.training]).astype(np.float32)
        valid = np.stack([f.valid for f in place.training])
        cubes.append(Cube(place.name, data, valid, 1.0, data.shape[1]))
    return cubes


@dataclass(frozen=True)
class Judged:
    """Held-out dates coded with one model: at each of JUDGED_STEPS their mean bppb and mean PSNR."""

    rate: list[float]
    psnr: list[float]

    @property
    def curve(self) -> Curve:
        """PSNR (dB) over bppb."""
        return Curve.of(self.rate, self.psnr)


def judge(model: EdgeModel, places: Sequence[Place], bar: Progress) -> Judged:
    """Codes the last dates of every place with the context of earlier ones, decodes, and measures the held-out
    ones.
    """
    rates, qualities = [], []
    for q in JUDGED_STEPS:
        found = [pair for place in places if place.held for pair in held_out(model, place, q)]
        bar.step(note=f"step {q}")
        rates.append(float(np.mean([r for r, _ in found])))
        qualities.append(metrics.mean_psnr(p for _, p in found))
    return Judged(rates, qualities)


def held_out(model: EdgeModel, place: Place, q: int) -> list[tuple[float, float]]:
    """(bppb, PSNR) of each held-out date at step q."""
    frames = place.frames[-(place.held + LEAD_IN) :]
    stream = SeriesEncoder(model, frames, mode="learned").at_quality(q)
    decoded = StreamDecoder(model, stream).frames().frames
    sizes = frame_bytes(stream)
    return [
        (
            metrics.bppb(sizes[t], frames[t].data.shape),
            metrics.psnr(frames[t].data, decoded[t].data, frames[t].valid),
        )
        for t in range(len(frames) - place.held, len(frames))
        if frames[t].valid.any()
    ]


def report(before: Judged, after: Judged) -> tuple[str, dict[str, Any]]:
    """The comparison as text and as numbers."""
    rate = metrics.bd_rate(before.curve, after.curve)
    quality = metrics.bd_psnr(before.curve, after.curve)
    lines = [f"{'step':>4s}  {'shipped':>18s}  {'adapted':>18s}", "-" * 44]
    for q, *row in zip(JUDGED_STEPS, before.rate, before.psnr, after.rate, after.psnr):
        lines.append(f"{q:4d}  {row[0]:8.4f} {row[1]:6.2f} dB  {row[2]:8.4f} {row[3]:6.2f} dB")
    lines.append(f"held-out dates: {rate:+.1f} % bytes at equal quality, {quality:+.2f} dB at equal bytes")
    if not rate < 0:
        lines.append("nothing was won: keep the shipped model (more dates, or more minutes, may help)")
    numbers = {"bd_rate_percent": rate, "bd_psnr_db": quality, "steps": list(JUDGED_STEPS)}
    numbers |= {"before": [before.rate, before.psnr], "after": [after.rate, after.psnr]}
    return "\n".join(lines), {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in numbers.items()}


def _check(args: argparse.Namespace) -> None:
    if not 0 < args.minutes < 1e5:
        raise UsageError(f"--minutes: expected more than 0, found {args.minutes:g}")
    if not 0 <= args.holdout < 1:
        raise UsageError(f"--holdout: expected 0 to below 1, found {args.holdout:g}")
    if args.threads < 1:
        raise UsageError(f"--threads: expected 1 or more, found {args.threads}")
    if args.output.exists() and (not args.output.is_dir() or any(args.output.iterdir())):
        raise RefusedError(f"{args.output}: expected a new or empty folder")
    import onnx  # noqa: F401
    import torch  # noqa: F401


def train(
    args: argparse.Namespace, places: Sequence[Place], scratch: Path, notes: dict[str, Any]
) -> tuple[Any, Any, dict[str, int]]:
    """Transform and entropy network after training, and the steps each was given."""
    import torch

    from swathpack.codec.adapt import Effort, PlaceSampler, adapt_entropy, adapt_synthesis, gather
    from swathpack.codec.shipped import ShippedModelError, read_entropy, read_transform

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    try:
        transform, entropy = read_transform(args.model), read_entropy(args.model)
    except ShippedModelError as error:
        raise UserError(str(error)) from error
    sampler, steps = PlaceSampler(training_cubes(places), args.seed), {}
    seconds = 60 * args.minutes / (2 if args.parts == "both" else 1)
    base = args.model
    if args.parts != "synthesis":
        with Progress(0, "training entropy network") as bar:
            steps["entropy"] = adapt_entropy(entropy, transform, sampler, Effort(seconds), bar.step)
    if args.parts == "both":
        base = scratch / ENTROPY
        write(args, base, transform, entropy, notes)
    if args.parts != "entropy":
        with Progress(0, "coding examples") as bar:
            examples = gather(open_model(base), sampler, Effort(seconds * CODING_SHARE), bar.step)
        effort = Effort(seconds * (1 - CODING_SHARE))
        with Progress(0, "training synthesis") as bar:
            steps["synthesis"] = adapt_synthesis(transform, examples, sampler.rng, effort, bar.step)
    return transform.eval().requires_grad_(False), entropy.eval().requires_grad_(False), steps


def _golden(args: argparse.Namespace, scratch: Path) -> Path | None:
    """Golden vectors of the network as it is when all is trained, which take longer than the rest of a model: the shipped ones where it
    was not trained, those with which examples were coded where it was; None where there are none yet.
    """
    made = {"synthesis": args.model, "both": scratch / ENTROPY}.get(args.parts)
    return made / "golden.npz" if made is not None and (made / "golden.npz").is_file() else None


def write(
    args: argparse.Namespace,
    out: Path,
    transform: Any,
    entropy: Any,
    notes: dict[str, Any],
    golden: Path | None = None,
) -> None:
    """A whole model directory; files of parts that were not trained are those of the base model, byte for byte. golden: of this
    entropy network.
    """
    from swathpack.edge.codec.model import model_digest
    from swathpack.edge.codec.tables import ProbabilityTables
    from swathpack.export.edge_model import write_model
    from swathpack.export.integer import BoundError
    from swathpack.export.manifest import complete_manifest

    try:
        write_model(transform, entropy, out, notes, ProbabilityTables.load(args.model / "entropy.npz").prior, golden)
    except BoundError as error:
        raise UserError(f"the adapted network would not decode exactly: {error}; try fewer --minutes") from error
    untouched = {
        "synthesis": ("entropy.npz", "entropy.onnx", "entropy_base.onnx", "golden.npz"),
        "entropy": ("synthesis.onnx", "gains.npz"),
    }
    for name in ("analysis.onnx", "analysis_int8.onnx", *untouched.get(args.parts, ()), *COPIED):
        if (args.model / name).is_file():
            shutil.copyfile(args.model / name, out / name)
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["model_digest"] = model_digest(out).hex()
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    complete_manifest(out)


def run(args: argparse.Namespace) -> int:
    """Trains, writes the directory, prints what was won."""
    _check(args)
    places = load_places(args.folder, reading_options(args), args.holdout)
    held = sum(p.held for p in places)
    if args.holdout and not held:
        raise UserError(f"{args.folder}: no series has two dates to hold one out; --holdout 0 trains without a verdict")
    base = open_model(args.model)
    seen = sum(len(p.training) for p in places)
    print(f"{len(places)} series, {seen} dates to train on, {held} later dates held out")
    output = Output(args.output, [args.folder, args.model], folder=True)
    with output as made, tempfile.TemporaryDirectory(dir=made.parent) as folder:
        scratch = Path(folder)
        start, busy = time.monotonic(), time.process_time()
        notes: dict[str, Any] = {
            "adapted_from": base.digest.hex(),
            "attribution": base.manifest.get("attribution", ""),
        }
        transform, entropy, steps = train(args, places, scratch, notes)
        minutes, cpu = (
            round((now() - then) / 60, 2) for now, then in ((time.monotonic, start), (time.process_time, busy))
        )
        notes["training"] = {
            "minutes": minutes,
            "cpu_minutes": cpu,
            "steps": steps,
            "dates": seen,
            "series": len(places),
        }
        write(args, made, transform, entropy, notes, _golden(args, scratch))
        adapted = open_model(made)
        if held:
            text, numbers = _verdict(base, adapted, places)
            (made / "adapted.json").write_text(json.dumps(numbers | notes["training"], indent=1) + "\n")
            print(text)
    counts = ", ".join(f"{n} steps of {part}" for part, n in steps.items())
    print(f"{args.output}: model {adapted.digest.hex()}, {minutes:g} minutes, {cpu:g} of CPU ({counts})")
    return 0


def _verdict(base: EdgeModel, adapted: EdgeModel, places: Sequence[Place]) -> tuple[str, dict[str, Any]]:
    with Progress(2 * len(JUDGED_STEPS), "judging") as bar:
        return report(judge(base, places, bar), judge(adapted, places, bar))
