"""Rate-distortion picture of a bench: the mean over cubes, and every cube beside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.tools.bench.measure import Measured
from swathpack.tools.bench.metrics import mean_psnr
from swathpack.tools.bench.report import LABELS
from swathpack.tools.bench.summary import cube_curve
from swathpack.tools.errors import UserError

# Ours is the one saturated dark line; the others keep apart for colour-blind eyes as well (Okabe and Ito
# 2008).
COLOURS = {
    "swathpack": "#d1495b",
    "j2k": "#8d99ae",
    "j2k-klt": "#0072b2",
    "jxl-klt": "#009e73",
    "x265-klt": "#e69f00",
    "av1-klt": "#9b5de5",
    "swathpack-intra": "#0072b2",
    "swathpack-plain": "#009e73",
    "swathpack-nobase": "#8c564b",
    "swathpack-k1": "#22303c",
    "swathpack-q24": "#9b5de5",
    "swathpack-q40": "#cc79a7",
    "swathpack-rows24": "#8d99ae",
}
INK, PAPER, GRID = "#22303c", "#ffffff", "#e6e9ed"
RATE_TICKS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
SHOWN_DB = 20.0  # below the best; what lies lower is headers, not pictures
CREDIT = "Contains modified Copernicus Sentinel data"


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise UserError("the picture needs matplotlib: pip install 'swathpack[bench]'") from error
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _dress(axis: Any, window: tuple[float, float], small: bool) -> None:
    axis.set_xscale("log")
    axis.set_xlim(window)
    ticks = [t for t in RATE_TICKS if window[0] <= t <= window[1]]
    ticks = [t for t in ticks if not small or t in (0.01, 0.1, 0.5)]
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.minorticks_off()
    axis.grid(True, color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color("#b8c0c8")
    axis.tick_params(colors=INK, labelsize=7 if small else 10, length=0)


def _line(axis: Any, codec: str, rate: np.ndarray, quality: np.ndarray, small: bool) -> None:
    ours = codec == "swathpack"
    axis.plot(
        rate,
        quality,
        color=COLOURS.get(codec, INK),
        label=LABELS.get(codec, codec),
        linewidth=(1.6 if small else 2.8) if ours else (1.0 if small else 1.8),
        zorder=3 if ours else 2,
    )


def _mean_panel(axis: Any, measured: dict[str, list[Measured]], window: tuple[float, float]) -> None:
    """Mean over cubes wherever every cube of the codec has the rate."""
    rates = np.geomspace(*window, 120)
    for codec, items in measured.items():
        curves = [cube_curve(i) for i in items]
        mean = np.array([np.mean([c.quality_at(float(r)) for c in curves]) for r in rates])
        _line(axis, codec, rates, mean, small=False)
    drawn = np.concatenate([line.get_ydata() for line in axis.lines])
    top = drawn[np.isfinite(drawn)].max(initial=0)
    axis.set_ylim(top - SHOWN_DB, top + 1)
    _dress(axis, window, small=False)
    axis.set_xlabel("bits per pixel and band", color=INK, fontsize=11)
    axis.set_ylabel("PSNR, dB (peak 10,000)", color=INK, fontsize=11)
    axis.set_title(f"Mean of {len(items)} cubes, where all of them reach the rate", loc="left", color=INK, fontsize=12)
    axis.legend(frameon=False, fontsize=10, labelcolor=INK, loc="upper left")


def _short(cube: str, frames: int) -> str:
    name = cube.split("__")[-1]
    source = cube.split("__")[0]
    label = f"{source} {name}"
    label = label if len(label) <= 30 else f"{source[:12]} …{name[-14:]}"
    return label + (f", {frames} dates" if frames > 1 else "")


def rate_distortion(measured: dict[str, list[Measured]], path: Path, window: tuple[float, float]) -> None:
    """Writes the PNG. Raises UserError without matplotlib."""
    plt = _pyplot()
    first = next(iter(measured.values()))
    columns = 4
    rows = math.ceil(len(first) / columns)
    figure = plt.figure(figsize=(17, max(7.0, 1.75 * rows + 1.2)), facecolor=PAPER, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.45])
    main = left.subplots()
    _mean_panel(main, measured, window)
    cells = right.subplots(rows, columns, sharex=True, squeeze=False)
    for index, axis in enumerate(cells.ravel()):
        if index >= len(first):
            axis.set_axis_off()
            continue
        for codec, items in measured.items():
            curve = cube_curve(items[index])
            _line(axis, codec, curve.rate, curve.quality, small=True)
        _dress(axis, window, small=True)
        inside = [
            q for items in measured.values() for c in [cube_curve(items[index]).within(*window)] for q in c.quality
        ]
        if inside:
            axis.set_ylim(max(min(inside), max(inside) - SHOWN_DB) - 1, max(inside) + 1)
        axis.set_title(_short(first[index].cube, first[index].shape[0]), fontsize=7.5, color=INK, loc="left", pad=3)
    figure.suptitle(
        "Rate and distortion on Sentinel-2 time series, 12 bands",
        x=0.01,
        ha="left",
        color=INK,
        fontsize=15,
        fontweight="bold",
    )
    figure.supxlabel(CREDIT, x=0.99, ha="right", fontsize=8, color="#8d99ae")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def variants(measured: dict[str, list[Measured]], path: Path, window: tuple[float, float]) -> None:
    """Writes the PNG of the codec with parts left out: points are the mean over all cubes at one setting."""
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(10, 7), facecolor=PAPER, layout="constrained")
    for codec, items in measured.items():
        knobs = sorted(set.intersection(*({p.knob for p in i.points} for i in items)))
        points = [[p for i in items for p in i.points if p.knob == k] for k in knobs]
        rate = np.array([np.mean([np.mean(p.bppb) for p in at]) for at in points])
        quality = np.array([np.mean([mean_psnr(p.psnr) for p in at]) for at in points])
        order = np.argsort(rate)
        _line(axis, codec, rate[order], quality[order], small=False)
        axis.plot(rate, quality, "o", color=COLOURS.get(codec, INK), markersize=4)
    _dress(axis, window, small=False)
    axis.set_xlabel("bits per pixel and band, mean of cubes at one setting", color=INK, fontsize=11)
    axis.set_ylabel("PSNR, dB (peak 10,000), mean of cubes", color=INK, fontsize=11)
    axis.set_title("SwathPack whole, in part, and with parts left out", loc="left", color=INK, fontsize=13)
    axis.legend(frameon=False, fontsize=10, labelcolor=INK, loc="lower right")
    figure.supxlabel(CREDIT, x=0.99, ha="right", fontsize=8, color="#8d99ae")
    figure.savefig(path, dpi=130)
    plt.close(figure)
