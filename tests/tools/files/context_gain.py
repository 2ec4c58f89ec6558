"""What earlier dates save on real series: whole files with them over the same files with every date alone.

    python -m tests.tools.files.context_gain --modes learned auto --dates 13
    python -m tests.tools.files.context_gain --forced

Prints a line a series, mode and setting: bytes with dates over bytes without at a level, and root mean square errors over
each other at equal bytes. The transform coder cuts its tiles by slope, so that at one level both bytes and error may differ:
`equal` adds to the bytes what the difference of error is worth at the level's slope. --forced: the learned codec alone, each date
from the second on with the last two dates as context whatever they are, over each alone; real payloads.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from swathpack.edge.bands import complete_dn
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.layers import known_context
from swathpack.edge.codec.modes import LEAST_LEARNED_BANDS
from swathpack.edge.codec.prediction import CodingContext
from swathpack.edge.codec.rate import slope_at
from swathpack.edge.codec.tile_coder import analyse_tile, encode_tile
from swathpack.edge.frame import Frame
from swathpack.edge.stream.quality import quality_of, usual_shift
from swathpack.hil_tests.promises.rate import data_folder
from swathpack.tools.errors import UserError
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.rasters import read_series
from tests.codec_models import shipped

QUALITIES = (20, 32, 44)
FORCED = (16, 28, 40)
BUDGETS_BPPB = (0.01, 0.05, 0.2)


@dataclass(frozen=True)
class Gain:
    """With dates over without: bytes, and bytes at equal squared error (at a level); RMSE (at a budget, where bytes are equal)."""

    series: str
    mode: str
    setting: str
    dates: int
    bytes: float
    equal: float
    rmse: float

    def __str__(self) -> str:
        ratios = f"bytes {self.bytes:.4f}  equal {self.equal:.4f}  rmse {self.rmse:.4f}"
        return f"{self.series:34} {self.dates:3} {self.mode:9} {self.setting:12} {ratios}"


def series_of_dates(least: int = 2) -> list[Path]:
    """Series of the val split that have so many dates."""
    paths = sorted((data_folder() / "val").glob("*.npz"))
    return [p for p in paths if len(np.load(p, allow_pickle=False)["dates"]) >= least]


def frames_of(path: Path, dates: int) -> list[Frame]:
    """The first dates of a series, without B10: the learned codec has twelve bands."""
    frames = read_series(path).frames[:dates]
    return [f.select(tuple(b for b in f.bands if b != "B10")) for f in frames]


def squared_error(frames: Sequence[Frame], data: bytes) -> float:
    """Of all valid counts of the files that a stream decodes to."""
    total = 0.0
    for frame, found in zip(frames, StreamDecoder(shipped(), data).frames().frames):
        difference = frame.data.astype(np.float64) - found.data
        total += float((difference[:, frame.valid] ** 2).sum())
    return total


def at_level(name: str, frames: Sequence[Frame], mode: str, q: int) -> Gain:
    """At a level of quality."""
    files = [SeriesEncoder(shipped(), frames, intra_every=every, mode=mode).at_quality(q) for every in (0, 1)]
    errors = [squared_error(frames, data) for data in files]
    worth = (errors[0] - errors[1]) / slope_at(q, frames[0].radiometry.gain)
    sizes = [len(data) for data in files]
    equal = (sizes[0] + worth) / sizes[1]
    return Gain(name, mode, f"q {q}", len(frames), sizes[0] / sizes[1], equal, (errors[0] / errors[1]) ** 0.5)


def at_budget(name: str, frames: Sequence[Frame], mode: str, bppb: float) -> Gain | None:
    """With so many bits a pixel and band; None where they do not hold the mean of every tile."""
    budget = int(bppb / 8 * frames[0].data.size * len(frames)) + 64
    encoders = [SeriesEncoder(shipped(), frames, intra_every=every, mode=mode) for every in (0, 1)]
    try:
        files = [encoder.in_total(budget) for encoder in encoders]
    except UserError:
        return None
    errors = [squared_error(frames, data) for data in files]
    ratio = (errors[0] / errors[1]) ** 0.5
    return Gain(name, mode, f"{bppb:g} bppb", len(frames), len(files[0]) / len(files[1]), np.nan, ratio)


def forced(frames: Sequence[Frame], q: int) -> tuple[int, int]:
    """Bytes of the payloads of all dates but the first with the last two dates as context, and without any; whole frames as tiles."""
    model, quality = shipped(), quality_of(q, usual_shift(q))
    last, total = list[CodingContext](), np.zeros(2, np.int64)
    for frame in frames:
        coefficients = analyse_tile(model, complete_dn(frame), frame.valid)
        alone = encode_tile(model, coefficients, quality)
        coded = encode_tile(model, coefficients, quality, last) if last else alone
        if last:
            total += [int(each.payload_sizes[LAYERS]) for each in (coded, alone)]
        last = [known_context(coded.latent, coded.quality, LAYERS), *last][:2]
    return int(total[0]), int(total[1])


def print_forced(dates: int) -> None:
    """A line a series, and the mean of those but boadella."""
    found = []
    for path in series_of_dates():
        frames = frames_of(path, dates)
        if len(frames[0].bands) >= LEAST_LEARNED_BANDS:
            sizes = [forced(frames, q) for q in FORCED]
            ratios = [with_dates / alone for with_dates, alone in sizes]
            print(f"{path.stem:34} {len(frames):3} forced   ", "  ".join(f"{r:.4f}" for r in ratios), flush=True)
            found += [] if "boadella" in path.stem else [(len(frames[0].bands), ratios)]
    for least in (12, LEAST_LEARNED_BANDS):
        some = [ratios for bands, ratios in found if bands >= least]
        print(f"mean of {len(some)}, {least} bands and more ", "  ".join(f"{r:.4f}" for r in np.mean(some, axis=0)))


def main() -> None:
    """Print the gains of all series."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", nargs="+", default=["learned", "auto"])
    parser.add_argument("--dates", type=int, default=13)
    parser.add_argument("--budgets", action="store_true")
    parser.add_argument("--only", nargs="*", default=[""])
    parser.add_argument("--forced", action="store_true", help=f"last two dates as context, at q {FORCED}")
    args = parser.parse_args()
    if args.forced:
        return print_forced(args.dates)
    for mode in args.modes:
        for path in series_of_dates():
            frames = frames_of(path, args.dates)
            learned = mode == "learned" and len(frames[0].bands) < LEAST_LEARNED_BANDS
            if learned or not any(part in path.stem for part in args.only):
                continue
            if args.budgets:
                for bppb in BUDGETS_BPPB:
                    print(at_budget(path.stem, frames, mode, bppb) or f"{path.stem} {bppb}: too few bytes", flush=True)
            else:
                for q in QUALITIES:
                    print(at_level(path.stem, frames, mode, q), flush=True)


if __name__ == "__main__":
    main()
