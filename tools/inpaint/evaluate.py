"""Measure the repair of clouds against four classical ones, by cloud cover.

    python -m swathpack.tools.inpaint.evaluate ../shared/data --out runs/inpaint

Takes the series of a split (val), hides clear dates under synthetic clouds and cloudy dates under their own clouds,
mirrored, repairs them with every method, and scores the hidden pixels: PSNR (peak 10,000 DN), SSIM and spectral angle.
Writes trials.csv (a line per trial and method), summary.json, summary.md (the tables), example.png and cover.png (if
matplotlib is there).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel
from swathpack.edge.frame import Frame
from swathpack.edge.spoken import reason
from swathpack.tools.bench import metrics
from swathpack.tools.errors import UserError
from swathpack.tools.files.models import open_model
from swathpack.tools.files.outputs import Output, add_force, check_output
from swathpack.tools.guard import guarded
from swathpack.tools.inpaint import baselines
from swathpack.tools.inpaint.cube import Cube
from swathpack.tools.inpaint.page import bands_to_show
from swathpack.tools.inpaint.repair import Repairer
from swathpack.tools.inpaint.summary import summarise, write_plot, write_tables
from swathpack.tools.inpaint.trials import Trial, load_cubes, real, synthetic
from swathpack.tools.pages.pictures import Stretch, png
from swathpack.tools.progress import Progress

# Name -> whether it looks at dates after the repaired one.
METHODS = {
    "last clear date": False,
    "median, earlier": False,
    "regression on last date": False,
    "codec zero-shot": False,
    "dates regressed": False,
    "inpaint": False,
    "median, all": True,
    "linear in time": True,
    "codec zero-shot, later": True,
    "dates regressed, later": True,
    "inpaint, later": True,
}

PICTURED = ("last clear date", "regression on last date", "codec zero-shot", "inpaint", "inpaint, later")
SHOWN = (0.25, 0.5)  # cover of the trial in the picture
MAX_DN = 65535

Floats = NDArray[np.float32]


class Remembering(Repairer):
    """A repairer that lets methods share the codec's prediction of a trial, which takes most of the time."""

    def __init__(self, cube: Cube, model: EdgeModel, later: bool) -> None:
        super().__init__(cube, model, later=later)
        self._made: dict[tuple[int, int], Floats] = {}

    def with_method(self, method: str) -> Remembering:
        """Itself, set to a method, with what it remembers."""
        self.method = method
        return self

    def _predict(self, part, date, images, window, everywhere):  # type: ignore[no-untyped-def]
        key = (window.index, len(images))
        if key not in self._made:
            self._made[key] = super()._predict(part, date, images, window, True)
        return self._made[key]


def estimates(trial: Trial, model: EdgeModel) -> dict[str, Floats]:
    """(C, H, W) of every method."""
    cube, date = trial.hidden(), trial.date
    frames, clear = cube.frames, cube.clear
    others = [t for t in range(len(frames)) if t != date]
    out = {
        "last clear date": baselines.last_clear(frames, clear, date),
        "median, earlier": baselines.median(frames, clear, range(date)),
        "regression on last date": baselines.regressed(frames, clear, date),
        "median, all": baselines.median(frames, clear, others),
        "linear in time": baselines.interpolated(frames, clear, date, cube.days),
    }
    for later, suffix in ((False, ""), (True, ", later")):
        repairer = Remembering(cube, model, later)
        for name, method in (
            ("codec zero-shot", "zero-shot"),
            ("dates regressed", "regression"),
            ("inpaint", "calibrated"),
        ):
            out[name + suffix] = repairer.with_method(method).repair(date, trial.hole).image
    return {name: _whole(image, out["last clear date"]) for name, image in out.items()}


def _whole(image: Floats, fallback: Floats) -> Floats:
    """Pixels that a method cannot fill take the last clear date, then the frame's mean."""
    filled = np.where(np.isnan(image), fallback, image)
    return np.where(np.isnan(filled), np.nanmean(filled), filled)


@dataclass(frozen=True)
class Score:
    """What a method made of a trial."""

    name: str
    kind: str
    date: int
    cover: float
    method: str
    psnr: float
    ssim: float
    angle: float

    def row(self) -> list[str]:
        """The fields as text, in order."""
        figures = (f"{self.psnr:.3f}", f"{self.ssim:.5f}", f"{self.angle:.3f}")
        return [self.name, self.kind, str(self.date), f"{self.cover:.4f}", self.method, *figures]


def score(trial: Trial, method: str, image: Floats) -> Score:
    """The composite as a user gets it (rounded, clear pixels kept), judged on the scored pixels."""
    made = np.where(trial.scored, np.clip(np.rint(image), 1, MAX_DN), trial.truth)
    return Score(
        trial.name,
        trial.kind,
        trial.date,
        trial.cover,
        method,
        metrics.psnr(trial.truth, made, trial.scored),
        metrics.ssim(trial.truth, made, trial.scored),
        metrics.spectral_angle(trial.truth, made, trial.scored),
    )


def measure(
    trials: Sequence[Trial], model: EdgeModel, folder: Path, tick: Callable[[], None] = lambda: None
) -> list[Score]:
    """Scores of all methods on all trials, each written to trials.csv as soon as it is known; a picture of one."""
    scores: list[Score] = []
    shown = next((t for t in trials if t.kind == "synthetic" and SHOWN[0] <= t.cover < SHOWN[1]), None)
    with (folder / "trials.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Score.__dataclass_fields__)
        for trial in trials:
            images = estimates(trial, model)
            new = [score(trial, method, image) for method, image in images.items()]
            writer.writerows(s.row() for s in new)
            file.flush()
            scores += new
            if trial is shown:
                (folder / "example.png").write_bytes(example(trial, images))
            tick()
    return scores


def example(trial: Trial, images: dict[str, Floats]) -> bytes:
    """A PNG: truth, what is hidden, then the trial as the methods of PICTURED leave it, in one stretch."""
    frames = [_frame(trial, trial.truth)]
    stretch = Stretch.of(frames[0], bands_to_show(frames[0]))
    pictures = [
        stretch.picture(frames[0]),
        stretch.picture(_frame(trial, np.where(trial.mask, MAX_DN, trial.truth))),
    ]
    pictures += [stretch.picture(_frame(trial, np.where(trial.mask, images[m], trial.truth))) for m in PICTURED]
    padded = [np.pad(p, ((0, 0), (0, 4), (0, 0)), constant_values=255) for p in pictures]
    return png(np.ascontiguousarray(np.concatenate(padded, axis=1)))


def _frame(trial: Trial, image: Floats) -> Frame:
    return Frame(np.clip(np.rint(image), 1, MAX_DN).astype(np.uint16), trial.whole.bands)


def read_scores(path: Path) -> list[Score]:
    """What `measure` wrote. Raises UserError."""
    kinds = {"date": int, "cover": float, "psnr": float, "ssim": float, "angle": float}
    try:
        with path.open(newline="") as file:
            return [Score(**{k: kinds.get(k, str)(v) for k, v in row.items()}) for row in csv.DictReader(file)]
    except (OSError, TypeError, ValueError) as error:
        raise UserError(f"{path}: expected the table of an earlier run ({reason(error, path)})") from error


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("data", type=Path, help="folder with catalog.json")
    made.add_argument("--out", type=Path, required=True)
    made.add_argument("--split", default="val")
    made.add_argument("--dates", type=int, default=6, help="dates per series and kind of trial (default %(default)s)")
    made.add_argument("--side", type=int, default=128, help="larger frames are cut into pieces (default %(default)s)")
    made.add_argument("--min-dates", type=int, default=3)
    made.add_argument(
        "--min-bands", type=int, default=10, help="series with fewer bands are left out (default %(default)s)"
    )
    made.add_argument("--again", action="store_true", help="only make the tables anew from OUT/trials.csv")
    made.add_argument("--model", type=Path, default=DEFAULT_DIRECTORY)
    add_force(made)
    return made


def run(args: argparse.Namespace) -> int:
    """Trials, scores, tables."""
    # --again makes the tables of a campaign's folder anew; anything else there needs --force.
    check_output(args.out, [args.data, args.model], args.force or args.again)
    output = Output(args.out, [args.data], force=True, folder=True)
    scores = read_scores(args.out / "trials.csv") if args.again else _measured(args)
    found = summarise(scores, METHODS, args.split)
    with output as place:
        (place / "summary.json").write_text(json.dumps(found, indent=1))
        (place / "summary.md").write_text(write_tables(found))
        plotted = write_plot(found, place / "cover.png")
    print(write_tables(found))
    if not plotted:
        print("no plot: matplotlib is not installed")
    print(f"wrote {args.out}")
    return 0


def _measured(args: argparse.Namespace) -> list[Score]:
    model = open_model(args.model)
    trials: list[Trial] = []
    for name, cube, clouds in load_cubes(args.data, args.split, args.min_dates, args.min_bands, args.side):
        trials += [*synthetic(name, cube, args.dates), *real(name, cube, clouds, args.dates)]
    if not trials:
        what = f"no series of {args.min_dates} dates and {args.min_bands} bands"
        raise UserError(f"{args.data}: {what} in split {args.split}")
    args.out.mkdir(parents=True, exist_ok=True)
    # Mixed, so that a run that is cut off has measured some of everything.
    trials = [trials[i] for i in np.random.default_rng(0).permutation(len(trials))]
    with Progress(len(trials), "inpaint") as bar:
        return measure(trials, model, args.out, bar.step)


def main(argv: list[str] | None = None) -> int:
    """Entry point; one clear message on bad input."""
    return guarded("inpaint.evaluate", lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
