"""Tables on screen, JSON and CSV of a bench."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from swathpack.tools.bench.measure import Measured

LABELS = {
    "swathpack": "SwathPack",
    "j2k": "JPEG2000",
    "j2k-klt": "JPEG2000 + KLT",
    "jxl-klt": "JPEG XL + KLT",
    "x265-klt": "x265 + KLT",
    "av1-klt": "SVT-AV1 + KLT",
    "j2k-klt-visible": "JPEG2000 + KLT, visible x 2",
    "x265-klt-visible": "x265 + KLT, visible x 2",
    "av1-klt-visible": "SVT-AV1 + KLT, visible x 2",
    "swathpack-equal": "equal weights of bands",
    "swathpack-learned": "the learned codec alone",
    "swathpack-intra": "every frame alone",
    "swathpack-plain": "no optimised quantisation",
    "swathpack-nobase": "no base layer",
    "swathpack-k1": "first layer only",
    "swathpack-q24": "q 24, 1 to 16 layers",
    "swathpack-q40": "q 40, 1 to 16 layers",
    "swathpack-rows24": "q 24, raster order",
}
_TABLES = (
    ("psnr", "PSNR, dB (peak 10,000)", "{:.2f}"),
    ("ssim", "SSIM", "{:.4f}"),
    ("sam", "Spectral angle, degrees", "{:.2f}"),
    ("true_colour", "True-colour picture, dB", "{:.2f}"),
    ("false_colour", "False-colour picture, dB", "{:.2f}"),
    ("blocks", "Steps at 16-pixel edges, of the original's", "{:.2f}"),
)


def _number(value: float, form: str) -> str:
    return "-" if value is None or math.isnan(value) else form.format(value)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Columns as wide as they need, the first to the left, the others to the right."""
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    lines = [
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths)))
        for r in [head, *rows]
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _quality_table(summary: dict[str, Any], name: str, title: str, form: str) -> str:
    head = [title] + [f"{t:g}" for t in summary["targets"]]
    rows = []
    for codec, entry in summary["codecs"].items():
        cells = []
        for t in entry["targets"]:
            short = "" if t["reached"] == t["frames"] else f" ({t['reached']})"
            cells.append(_number(t[name], form) + (short if t["reached"] else " (0)"))
        rows.append([LABELS.get(codec, codec), *cells])
    if name == "psnr" and len(summary["codecs"]) > 1:
        counts = ["" if n == summary["frames"] else f" ({n:.0f})" for n in summary["common"]["frames"]]
        for codec in summary["codecs"]:
            values = summary["common"][codec]
            rows.append(
                [
                    f"  same frames, {LABELS.get(codec, codec)}",
                    *[_number(v, form) + c for v, c in zip(values, counts)],
                ]
            )
    return table(head, rows)


def _bd_table(summary: dict[str, Any]) -> str:
    low, high = summary["window"]
    head = [
        f"against {LABELS.get(summary['anchor'], summary['anchor'])}, {low:g}-{high:g} bppb",
        "BD-rate, mean of cubes",
        "worst cube",
        "of mean curve",
        "BD-PSNR",
        "cubes",
    ]
    rows = []
    for codec, entry in summary["codecs"].items():
        bd = entry["against_anchor"]
        rows.append(
            [
                LABELS.get(codec, codec),
                _number(bd["bd_rate_mean_of_cubes"], "{:+.1f} %"),
                _number(bd["bd_rate_worst_cube"], "{:+.1f} %"),
                _number(bd["bd_rate_of_mean_curve"], "{:+.1f} %")
                + f" (from {_number(bd['mean_curve_from_bppb'], '{:.3f}')})",
                _number(bd["bd_psnr_mean_of_cubes"], "{:+.2f} dB"),
                str(bd["cubes"]),
            ]
        )
    return table(head, rows)


def _cpu_table(summary: dict[str, Any]) -> str:
    rows = [
        [LABELS.get(c, c), f"{e['encode_cpu_s_per_tile']:.3f}", f"{e['decode_cpu_s_per_tile']:.3f}"]
        for c, e in summary["codecs"].items()
    ]
    return table(["CPU seconds per 256x256x12 tile at 0.1 bppb", "encode", "decode"], rows)


def text(summary: dict[str, Any]) -> str:
    """The whole report for a terminal."""
    parts = [
        f"{summary['cubes']} cubes, {summary['frames']} frames of 12 bands. Columns are bits per pixel and\n"
        "band; (n): only n frames reach the rate, and the mean is over those."
    ]
    parts += [_quality_table(summary, *spec) for spec in _TABLES]
    if summary["anchor"] in summary["codecs"]:
        parts.append(_bd_table(summary))
    parts.append(_cpu_table(summary))
    return "\n\n".join(parts)


def clean(value: Any) -> Any:
    """JSON has no nan and no infinity: null."""
    if isinstance(value, dict):
        return {k: clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, summary: dict[str, Any], measured: dict[str, list[Measured]]) -> None:
    """Summary and every measured point."""
    points = {codec: [asdict(item) for item in items] for codec, items in measured.items()}
    path.write_text(json.dumps(clean(summary | {"measured": points}), indent=1))


def write_csv(path: Path, measured: dict[str, list[Measured]]) -> None:
    """One row per codec, cube, frame and knob."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "codec",
                "cube",
                "frame",
                "knob",
                "bppb",
                "psnr_db",
                "ssim",
                "sam_deg",
                "ndvi_mae",
                "ndwi_mae",
                "water_agreement",
            ]
        )
        for codec, items in measured.items():
            for item in items:
                for p in item.points:
                    for f in range(item.shape[0]):
                        row = (p.bppb[f], p.psnr[f], p.ssim[f], p.sam[f], p.ndvi[f], p.ndwi[f], p.water[f])
                        writer.writerow([codec, item.cube, f, p.knob, *(f"{v:.6g}" for v in row)])
