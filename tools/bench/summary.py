"""From measured points to what is reported: quality at target rates, BD-rates, CPU seconds.

Rules, the same for every codec:
- A frame's curve runs through its real encodes that no other encode of it beats; between them quality is a
  monotone cubic (SSIM and angle: linear) in log rate. Nothing is extrapolated: a frame reaches a target if
  the target lies between its smallest and its largest encode.
- At a target, the mean is over the frames that reach it, with their number.
- A cube's curve is the mean rate and mean PSNR over its frames at each knob. BD-rate against the anchor
  is taken on the part of both curves inside the rate window, over the qualities both have there.
- The mean curve is the mean PSNR over cubes at 25 rates evenly spaced in log over the window, where
  every cube of both codecs has that rate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.pixels import TILE
from swathpack.tools.bench import metrics
from swathpack.tools.bench.measure import Measured, Point
from swathpack.tools.bench.metrics import Curve

TILE_SAMPLES = TILE * TILE * len(BANDS)
GRID_RATES = 25
QUALITIES = ("ssim", "sam", "ndvi", "ndwi", "water", "true_colour", "false_colour", "blocks")
CPU_RATE = 0.1  # bppb at which CPU seconds are told


def cube_curve(item: Measured) -> Curve:
    """Mean rate and mean PSNR over the frames at each knob."""
    return Curve.of([np.mean(p.bppb) for p in item.points], [metrics.mean_psnr(p.psnr) for p in item.points])


def frame_values(item: Measured, frame: int, rate: float) -> dict[str, float]:
    """PSNR and the other qualities of one frame at a rate; nan where it is not reached."""
    rates = np.array([p.bppb[frame] for p in item.points])
    psnr = Curve.of(rates, [p.psnr[frame] for p in item.points]).quality_at(rate)
    values = {"psnr": psnr}
    order = np.argsort(rates)
    for name in QUALITIES:
        column = np.array([getattr(p, name)[frame] for p in item.points])[order]
        reached = not np.isnan(psnr)
        values[name] = float(np.interp(np.log(rate), np.log(rates[order]), column)) if reached else float("nan")
    return values


def at_targets(items: list[Measured], targets: list[float]) -> list[dict[str, Any]]:
    """Per target: mean of each quality over the frames that reach it, their number, and all frames."""
    rows = []
    for rate in targets:
        values = [frame_values(item, f, rate) for item in items for f in range(item.shape[0])]
        reached = [v for v in values if not np.isnan(v["psnr"])]
        row: dict[str, Any] = {"bppb": rate, "frames": len(values), "reached": len(reached)}
        for name in ("psnr", *QUALITIES):
            row[name] = float(np.mean([v[name] for v in reached])) if reached else float("nan")
        rows.append(row)
    return rows


def common_means(measured: dict[str, list[Measured]], targets: list[float]) -> dict[str, list[float]]:
    """Mean PSNR at each target over the frames that every codec reaches: fair to compare down a column."""
    table = {
        codec: np.array([[frame_values(i, f, r)["psnr"] for r in targets] for i in items for f in range(i.shape[0])])
        for codec, items in measured.items()
    }
    shared = np.all([np.isfinite(t) for t in table.values()], axis=0)
    means = {
        codec: [float(t[s, i].mean()) if s.any() else float("nan") for i, s in enumerate(shared.T)]
        for codec, t in table.items()
    }
    return means | {"frames": [float(s.sum()) for s in shared.T]}


def mean_curve(items: list[Measured], window: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Rates (25,) and mean PSNR over cubes (25,); nan where a cube does not have the rate."""
    rates = np.geomspace(*window, GRID_RATES)
    curves = [cube_curve(item) for item in items]
    return rates, np.array([np.mean([c.quality_at(float(r)) for c in curves]) for r in rates])


def against(anchor: list[Measured], test: list[Measured], window: tuple[float, float]) -> dict[str, Any]:
    """BD-rate per cube and its mean, BD-PSNR mean, and BD-rate of the mean curves."""
    per_cube, gains = {}, []
    other = {item.cube: item for item in anchor}
    for item in test:
        a, b = (cube_curve(x).within(*window) for x in (other[item.cube], item))
        per_cube[item.cube] = metrics.bd_rate(a, b)
        gains.append(metrics.bd_psnr(a, b))
    (rates, a_mean), (_, b_mean) = mean_curve(anchor, window), mean_curve(test, window)
    both = np.isfinite(a_mean) & np.isfinite(b_mean)
    overall = metrics.bd_rate(Curve.of(rates[both], a_mean[both]), Curve.of(rates[both], b_mean[both]))
    told = [v for v in per_cube.values() if not np.isnan(v)]
    return {
        "bd_rate_mean_of_cubes": float(np.mean(told)) if told else float("nan"),
        "bd_rate_worst_cube": float(np.max(told)) if told else float("nan"),
        "bd_psnr_mean_of_cubes": float(np.nanmean(gains)) if np.isfinite(gains).any() else float("nan"),
        "bd_rate_of_mean_curve": overall,
        "mean_curve_from_bppb": float(rates[both].min()) if both.any() else float("nan"),
        "cubes": len(told),
        "per_cube": per_cube,
    }


def cpu_seconds(items: list[Measured], which: Callable[[Point], float]) -> float:
    """CPU seconds per 256 x 256 x 12 tile at the knob nearest to 0.1 bppb, over all cubes."""
    seconds, samples = 0.0, 0.0
    for item in items:
        nearest = min(item.points, key=lambda p: abs(np.log(np.mean(p.bppb) / CPU_RATE)))
        seconds += which(nearest)
        samples += float(np.prod(item.shape))
    return seconds * TILE_SAMPLES / samples


def summarise(
    measured: dict[str, list[Measured]], targets: list[float], anchor: str, window: tuple[float, float]
) -> dict[str, Any]:
    """Everything the report shows, as plain JSON types."""
    codecs = {}
    for codec, items in measured.items():
        entry: dict[str, Any] = {
            "targets": at_targets(items, targets),
            "encode_cpu_s_per_tile": cpu_seconds(items, lambda p: p.encode_s),
            "decode_cpu_s_per_tile": cpu_seconds(items, lambda p: p.decode_s),
        }
        if anchor in measured:
            entry["against_anchor"] = against(measured[anchor], items, window)
        codecs[codec] = entry
    return {
        "targets": targets,
        "anchor": anchor,
        "window": list(window),
        "codecs": codecs,
        "common": common_means(measured, targets),
    }
