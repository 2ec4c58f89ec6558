"""A table of joint training runs: what each wins over its start, beside what it costs the board.

    python -m swathpack.tools.bench.joint runs/joint/* [--plot docs/training.png]

Reads `curve.json` of runs of `swathpack.codec.train_joint`. Bits are at equal PSNR, over all bands and over the visible ones: the
BD-rate between q 16 and q 40 of every val place against step 0 of the same run, its mean, median and worst. Then the bits and dB
at each step. --plot draws bits over CPU minutes, and at the end against GMAC.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.joint_val import STEPS, CurveError, Point
from swathpack.codec.joint_val import Curve as Run
from swathpack.edge.codec.model import DEFAULT_DIRECTORY
from swathpack.tools.bench import count_macs
from swathpack.tools.bench.metrics import Curve, bd_rate
from swathpack.tools.errors import UserError
from swathpack.tools.files.outputs import Output
from swathpack.tools.guard import guarded

HEAD = "run                  GMAC  board  CPU min  steps   bits, all bands: mean, median (worst)   bits, visible"
Array = NDArray[np.float64]


def gains(start: Point, now: Point, quality: str) -> Array:
    """BD-rate of every place in per cent, nan where the curves hardly meet; quality: `psnr` or `visible`."""
    pairs = [(start[name], now[name]) for name in start]
    curves = [[Curve.of(one["bppb"], one[quality]) for one in pair] for pair in pairs]
    return np.array([bd_rate(before, after) for before, after in curves])


def read(folders: Sequence[Path]) -> list[Run]:
    """Runs that were judged at their start and later. Raises UserError."""
    runs = []
    for folder in folders:
        try:
            run = Run.read(folder / "curve.json")
        except CurveError as error:
            raise UserError(str(error)) from error
        if len(run.points) < 2 or run.points[0]["step"] != 0:
            raise UserError(f"{run.path}: expected a point at step 0 and later ones, found {len(run.points)}")
        runs.append(run)
    return runs


def told(values: Array) -> str:
    """Mean, median and worst of the places."""
    return f"{np.nanmean(values):+6.2f} % {np.nanmedian(values):+6.2f} % ({np.nanmax(values):+6.2f} %)"


def row(run: Run, board: float) -> str:
    """One line of the table; board: GMAC of the shipped networks on board."""
    start, last = run.points[0]["places"], run.points[-1]
    more = float(run.settings.get("gmac", 0.0))
    return (
        f"{run.path.parent.name:19s} {more:5.2f}  {board + more:5.2f}  {last['minutes']:7.1f}  {last['step']:5d}  "
        f"{told(gains(start, last['places'], 'psnr'))}  {told(gains(start, last['places'], 'visible'))}"
    )


def by_step(run: Run) -> str:
    """Bits and dB at each of STEPS, over the start's."""
    start, last = run.points[0]["places"], run.points[-1]["places"]
    bits = np.array([np.log(np.divide(last[name]["bppb"], start[name]["bppb"])) for name in start]).mean(0)
    decibels = np.array([np.subtract(last[name]["psnr"], start[name]["psnr"]) for name in start]).mean(0)
    parts = [f"q{q} {(np.exp(b) - 1) * 100:+.2f} % {d:+.3f} dB" for q, b, d in zip(STEPS, bits, decibels)]
    return f"{run.path.parent.name:19s} " + "   ".join(parts)


def course(run: Run) -> tuple[list[float], list[float]]:
    """CPU minutes and mean BD-rate of every point."""
    start = run.points[0]["places"]
    return [p["minutes"] for p in run.points], [
        float(np.nanmean(gains(start, p["places"], "psnr"))) for p in run.points
    ]


def text(runs: Sequence[Run], board: float) -> str:
    """Table, bits and dB by step, and the training curves."""
    lines = [HEAD, *(row(run, board) for run in runs), "", "bits and dB at equal steps, all bands"]
    lines += [by_step(run) for run in runs]
    lines += ["", "bits, all bands, in per cent after so many CPU minutes"]
    for run in runs:
        pairs = zip(*course(run))
        lines.append(f"{run.path.parent.name:19s} " + "  ".join(f"{m:.1f}: {bits:+.2f}" for m, bits in pairs))
    return "\n".join(lines)


def plot(runs: Sequence[Run], board: float, output: Output) -> None:
    """Bits over CPU minutes, and the last of every run against GMAC on board. Raises UserError."""
    from swathpack.tools.bench.plots import GRID, _pyplot

    plt = _pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for run in runs:
        minutes, bits = course(run)
        line = left.plot(minutes, bits, marker="o", markersize=3, linewidth=1.2, label=run.path.parent.name)
        right.plot([board + float(run.settings.get("gmac", 0.0))], bits[-1:], "o", color=line[0].get_color())
    for axis, name in ((left, "CPU minutes of training"), (right, "GMAC on board, a tile of 256 x 256 x 12")):
        axis.set_xlabel(name)
        axis.grid(True, color=GRID, linewidth=0.8)
        axis.axhline(0, color="#22303c", linewidth=0.8)
    left.set_ylabel("bits at equal PSNR, %")
    left.legend(fontsize=7, frameon=False)
    figure.tight_layout()
    with output as part:
        figure.savefig(part, dpi=90, format="png")
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    parser.add_argument("--model", type=Path, default=DEFAULT_DIRECTORY)
    parser.add_argument("--plot", type=Path, help="PNG to draw")
    parser.add_argument("--force", action="store_true", help="replace the PNG that is there")
    args = parser.parse_args(argv)
    return guarded("joint", lambda: run(args))


def run(args: argparse.Namespace) -> int:
    """Reads, prints, draws. Raises UserError, RefusedError."""
    output = Output(args.plot, [*args.runs, args.model], args.force) if args.plot else None
    runs = read(args.runs)
    board = float(count_macs.measure(args.model)["board_gmac"])
    print(text(runs, board))
    if output:
        plot(runs, board, output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
