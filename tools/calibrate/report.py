"""The report of a calibration: tables on screen, JSON, and a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.calibration.ranges import BIN_DN
from swathpack.calibration.rounding import PEAK
from swathpack.edge.bands import BANDS
from swathpack.tools.bench.metrics import mse_to_psnr
from swathpack.tools.calibrate.campaign import GOAL_PERCENT, Candidate, Findings, summary_of
from swathpack.tools.errors import UserError

INK, GRID = "#22303c", "#e6e9ed"
COLOURS = ("#d1495b", "#e69f00", "#009e73", "#0072b2", "#8d99ae", "#9b5de5", "#6d597a")
CREDIT = "Contains modified Copernicus Sentinel data where the folder does"


def _percent(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:+.2f} %"


def _row(c: Candidate, chosen: str) -> list[str]:
    lost = c.loss
    each = [_percent(v) for v in lost.per_quality] if lost else []
    return [
        ("* " if c.name == chosen else "  ") + c.name,
        f"{c.gmac:.2f}",
        f"{1000 * c.cpu_seconds:.1f}",
        f"{c.error.rms_dn:.1f}",
        f"{c.error.median_tile_dn:.1f}",
        f"{c.error.snr_db:.1f}",
        _percent(lost.bd_rate if lost else None),
        _percent(lost.worst_tile if lost else None),
        *each,
    ]


def text(found: Findings) -> str:
    """What a person reads first."""
    sets = found.sets
    lines = [
        f"{len(sets.calibration)} tiles calibrate, {len(sets.judging)} tiles of other places judge ({sets.rule})"
        + (f"; {sets.completed} with filled bands" if sets.completed else ""),
        "",
        "range of one int8 plane   2^e DN a level   reaches DN   coefficient error, rms DN",
    ]
    for c in found.choices:
        mark = "*" if c.exponent == found.exponent else " "
        error = found.range_errors[c.exponent]
        lines.append(f"{mark} {c.rule:22s}  {2**c.exponent:15d}  {255 * 2**c.exponent:11d}  {error:10.1f}")
    head = ["  int8 analysis", "GMAC", "CPU ms", "error DN", "median", "SNR dB", "BD-rate", "worst tile"]
    head += [f"at q {q}" for q in found.qualities]
    rows = [
        head,
        *([*r, *[""] * (len(head) - len(r))] for r in (_row(c, found.chosen) for c in found.candidates)),
    ]
    widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
    lines.append("")
    lines += ["  ".join(v.ljust(w) if i == 0 else v.rjust(w) for i, (v, w) in enumerate(zip(r, widths))) for r in rows]
    lines.append(f"  float: {1000 * found.float_cpu_seconds:.1f} CPU ms a tile of 256 x 256, one thread")
    lines += ["", verdict(found), *_gain_lines(found)]
    return "\n".join(lines)


def verdict(found: Findings) -> str:
    """One sentence: what was chosen and whether fine-tuning is called for."""
    c = next(c for c in found.candidates if c.name == found.chosen)
    if c.loss is None:
        return f"kept: {c.name}"
    if c.loss.bd_rate <= GOAL_PERCENT:
        return (
            f"kept: {c.name}, {_percent(c.loss.bd_rate)} BD-rate, within the goal of {GOAL_PERCENT:g} %: "
            "no quantisation-aware fine-tuning is needed"
        )
    return (
        f"kept: {c.name}, {_percent(c.loss.bd_rate)} BD-rate, ABOVE the goal of {GOAL_PERCENT:g} %: take --form "
        "two-planes, more tiles, or fine-tune"
    )


def _gain_lines(found: Findings) -> list[str]:
    g = found.gains
    if g is None:
        return []
    r, t = g.ratio, g.true_error / g.energy
    return [
        f"channel gains at q {g.quality}, {len(g.channels)} channels: pixels change by {np.median(r):.2f} times what the "
        f"kernel's energy says (from {r.min():.2f} to {r.max():.2f}); true squared error by {np.median(t):.2f} times",
    ]


def as_json(found: Findings, goal: float) -> dict[str, Any]:
    """Everything, in plain types."""
    model, gains = found.model, found.gains
    exact = found.float_points
    return {
        "schema": "swathpack-calibration-1",
        "chosen": found.chosen,
        "verdict": verdict(found),
        "goal_bd_rate_percent": goal,
        "qualities": list(found.qualities),
        "calibration_tiles": [t.name for t in found.sets.calibration],
        "judging_tiles": [t.name for t in found.sets.judging],
        "split_rule": found.sets.rule,
        "tiles_with_filled_bands": found.sets.completed,
        "range_choices": [
            {
                "rule": c.rule,
                "exponent": c.exponent,
                "threshold_dn": None if math.isnan(c.threshold) else c.threshold,
            }
            for c in found.choices
        ],
        "range_error_rms_dn": {str(e): v for e, v in found.range_errors.items()},
        "float": {
            "cpu_s_per_tile": found.float_cpu_seconds,
            "bppb": [] if exact is None else exact[:, 0].tolist(),
            "mse_dn2": [] if exact is None else exact[:, 1].tolist(),
        },
        "candidates": {c.name: summary_of(c) for c in found.candidates},
        "planes": [] if model is None else [[p.cell, p.exponent] for p in model.planes],
        "weight_exponents": {} if model is None else {str(k): v.tolist() for k, v in model.exponents.items()},
        "worst_sums": {} if model is None else {str(k): v for k, v in model.worst_sums().items()},
        "gains": None
        if gains is None
        else {
            "quality": gains.quality,
            "channels": gains.channels.tolist(),
            "kernel_energy": gains.energy.tolist(),
            "measured_change": gains.change.tolist(),
            "measured_error": gains.true_error.tolist(),
        },
    }


def _axis(axis: Any, title: str, x: str, y: str) -> None:
    axis.set_title(title, loc="left", fontsize=10, color=INK)
    axis.set_xlabel(x, fontsize=8, color=INK)
    axis.set_ylabel(y, fontsize=8, color=INK)
    axis.grid(True, color=GRID, linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=7, colors=INK)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def picture(found: Findings, path: Path) -> None:
    """Six panels as PNG; raises UserError without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise UserError("the picture needs matplotlib: pip install 'swathpack[bench]'") from error
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(16, 9), layout="constrained")
    for draw, axis in zip((_ranges, _bands, _scales, _channel_snr, _rate_loss, _curves), axes.ravel()):
        draw(axis, found)
    figure.suptitle(f"Int8 analysis: {verdict(found)}", x=0.01, ha="left", fontsize=12, color=INK)
    figure.supxlabel(CREDIT, x=0.99, ha="right", fontsize=7, color="#8d99ae")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _ranges(axis: Any, found: Findings) -> None:
    at = found.shares > 0
    values = (np.arange(len(found.shares)) * BIN_DN)[at]
    axis.plot(values, found.shares[at], color=INK, linewidth=0.8)
    for i, c in enumerate(found.choices):
        axis.axvline(255 * 2**c.exponent, color=COLOURS[i % len(COLOURS)], linewidth=1 + 2 * (i < 1), label=c.rule)
    axis.set_yscale("log")
    axis.legend(fontsize=6, frameon=False)
    _axis(axis, "Pixel values and where each choice ends the range", "DN", "share of pixels")


def _bands(axis: Any, found: Findings) -> None:
    tiles = [t.pixels.reshape(len(BANDS), -1) for t in found.sets.calibration]
    joined = np.concatenate([t[:, :: max(t.shape[1] // 4096, 1)] for t in tiles], axis=1)
    low, middle, high, most = np.percentile(joined, (1, 50, 99, 100), axis=1)
    place = np.arange(len(BANDS))
    axis.bar(place, high - low, bottom=low, color="#c8d3dc", label="1 to 99 %")
    axis.plot(place, middle, "_", color=INK, label="median")
    axis.plot(place, most, ".", color=COLOURS[0], label="largest")
    axis.set_xticks(place, BANDS)
    axis.legend(fontsize=6, frameon=False)
    _axis(axis, "Range of every band", "", "DN")


def _scales(axis: Any, found: Findings) -> None:
    if found.model is not None:
        for i, (cell, exponent) in enumerate(found.model.exponents.items()):
            axis.plot(exponent, ".", markersize=3, color=COLOURS[i], label=f"cells of {cell} pixels")
        axis.legend(fontsize=6, frameon=False)
    _axis(axis, f"Weight scale of every channel (weight = int8, at most {PEAK}, / 2^e)", "channel", "e")


def _channel_snr(axis: Any, found: Findings) -> None:
    judged = [c for c in found.candidates if c.loss is not None]
    for i, c in enumerate(judged):
        axis.plot(c.error.channel_snr_db, color=COLOURS[i % len(COLOURS)], linewidth=0.7, label=c.name)
    axis.legend(fontsize=6, frameon=False)
    _axis(axis, "Signal to noise of the coefficients, judging tiles", "channel", "dB")


def _rate_loss(axis: Any, found: Findings) -> None:
    for i, c in enumerate(c for c in found.candidates if c.loss is not None):
        if c.loss is not None:
            axis.plot(found.qualities, c.loss.per_quality, "o-", color=COLOURS[i % len(COLOURS)], label=c.name)
    axis.axhline(GOAL_PERCENT, color=INK, linestyle=":")
    axis.set_yscale("symlog", linthresh=GOAL_PERCENT)
    axis.legend(fontsize=6, frameon=False)
    _axis(
        axis,
        "Rate lost at equal quality (linear up to the goal)",
        "quantiser step index q, coarser to the right",
        "%",
    )


def _curves(axis: Any, found: Findings) -> None:
    def line(points: Any, label: str, **style: Any) -> None:
        quality = [np.mean([mse_to_psnr(m) for m in column]) for column in points[:, 1].T]
        axis.plot(points[:, 0].mean(0), quality, label=label, **style)

    if found.float_points is not None:
        line(found.float_points, "float", color=INK, linewidth=3, alpha=0.4)
    for i, c in enumerate(c for c in found.candidates if c.points is not None):
        line(c.points, c.name, color=COLOURS[i % len(COLOURS)], linewidth=1)
    axis.set_xscale("log")
    axis.legend(fontsize=6, frameon=False)
    _axis(axis, "Rate and distortion, mean of the judging tiles", "bits per pixel and band", "PSNR, dB")
