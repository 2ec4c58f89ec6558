"""One measurement of all codecs and of the edge codec with parts left out.

`measure_evidence` runs the codecs (cached), `conclude` turns their points into plain numbers: BD-rates against each
peer, k = 1 at its own rate, the parts left out, bands and indices at equal bytes. `swathpack.tools.bench.pages` writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.tools.bench import metrics, summary
from swathpack.tools.bench.cubes import BenchCube
from swathpack.tools.bench.measure import Cache, Measured, Point, measure, measure_point
from swathpack.tools.bench.peers import PEERS, VARIANTS, Peer, PeerError, make
from swathpack.tools.bench.peers.swathpack import SwathPack
from swathpack.tools.bench.peers.terracodec import TerraCodec
from swathpack.tools.progress import Progress

OURS = "swathpack"
TARGETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
WINDOWS = ((0.01, 0.2), (0.005, 0.5))
INDEX_RATES = (0.02, 0.05, 0.1, 0.2)
BAND_RATE = 0.1
LONG_SERIES = 8  # dates; of longer ones our own curve has every second step
CLASSICAL = tuple(name for name in PEERS if name != OURS)


@dataclass
class Evidence:
    """`measured` by codec; `absent` says why a codec was left out; `others` are labels of models from files."""

    measured: dict[str, list[Measured]]
    absent: dict[str, str]
    versions: dict[str, str]
    others: dict[str, str] = field(default_factory=dict)


def measure_evidence(loaded: Sequence[BenchCube], cache: Cache, files: Sequence[Path] = ()) -> Evidence:
    """Every codec and variant on every cube, and the bands at BAND_RATE. Codecs that cannot run here are named.

    files: TerraCodec models (.swt) to measure beside them. Raises PeerError for a file that is none.
    """
    others = {peer.name: peer for peer in map(TerraCodec, files)}
    found: dict[str, list[Measured]] = {}
    absent: dict[str, str] = {}
    versions: dict[str, str] = {}
    for name in (*PEERS, *VARIANTS):
        try:
            versions[name] = make(name).version
        except PeerError as error:
            absent[name] = str(error)
    versions |= {name: peer.version for name, peer in others.items()}
    work = [(name, cube) for name in versions for cube in loaded]
    with Progress(len(work), "evidence") as bar:
        for name, cube in work:
            item = measure(name, cube, max(TARGETS), cache, others.get(name) or _sparser(name, cube))
            if name in PEERS:
                item = with_bands(item, cube, cache)
            found.setdefault(name, []).append(item)
            bar.step(note=f"{name} {cube.name}")
    labels = {name: peer.label for name, peer in others.items()}
    return Evidence(found, absent, versions, labels)


def _sparser(name: str, cube: BenchCube) -> Peer | None:
    """Our codec with every second step for a long series, None (as listed) for the rest."""
    if name != OURS or cube.data.shape[0] <= LONG_SERIES:
        return None
    peer = SwathPack()
    peer.knobs = peer.knobs[::2]
    return peer


def bracket(item: Measured, rate: float) -> tuple[Point, Point] | None:
    """The neighbouring points around a rate (mean over frames); None where it is not reached."""
    points = sorted(item.points, key=lambda p: float(np.mean(p.bppb)))
    for low, high in zip(points, points[1:]):
        if np.mean(low.bppb) <= rate <= np.mean(high.bppb):
            return low, high
    return None


def with_bands(item: Measured, cube: BenchCube, cache: Cache) -> Measured:
    """The same, with the PSNR of bands in the points around BAND_RATE, measured again where a cache lacks it."""
    around = bracket(item, BAND_RATE)
    if around is None or all(p.bands for p in around):
        return item
    peer = make(item.codec)
    points = []
    for point in item.points:
        if point in around and not point.bands:
            point = measure_point(peer, cube, point.knob)
            cache.put(peer, cube, point)
        points.append(point)
    return Measured(item.codec, item.cube, item.shape, points)


def between(low: Point, high: Point, rate: float, values: Sequence[float]) -> float:
    """Linear in log rate between the values of two points."""
    a, b = np.log(np.mean(low.bppb)), np.log(np.mean(high.bppb))
    share = float((np.log(rate) - a) / (b - a)) if b > a else 0.0
    return (1 - share) * values[0] + share * values[1]


def bands_at(item: Measured, rate: float) -> list[float] | None:
    """PSNR of the twelve bands, mean over frames, at a rate; None where it is not reached."""
    around = bracket(item, rate)
    if around is None or not all(p.bands for p in around):
        return None
    ends = [[metrics.mean_psnr(f[b] for f in p.bands) for b in range(12)] for p in around]
    return [between(*around, rate, pair) for pair in zip(*ends)]


def band_table(measured: dict[str, list[Measured]], rate: float = BAND_RATE) -> dict[str, Any]:
    """Per codec the mean over those cubes on which every codec reaches the rate."""
    rows = {name: [bands_at(i, rate) for i in items] for name, items in measured.items() if name in PEERS}
    shared = [i for i in range(len(next(iter(rows.values()), []))) if all(r[i] is not None for r in rows.values())]
    means = {n: np.mean(np.array([r[i] for i in shared], float), axis=0).tolist() for n, r in rows.items() if shared}
    return {"bppb": rate, "cubes": len(shared), "psnr": means}


def index_table(measured: dict[str, list[Measured]]) -> list[dict[str, Any]]:
    """At each of INDEX_RATES the mean NDVI and NDWI error and water agreement over frames that every codec reaches."""
    names = [n for n in measured if n in PEERS]
    rows = []
    for rate in INDEX_RATES:
        values = {n: [summary.frame_values(i, f, rate) for i in measured[n] for f in range(i.shape[0])] for n in names}
        shared = [k for k in range(len(values[names[0]])) if all(np.isfinite(values[n][k]["psnr"]) for n in names)]
        row: dict[str, Any] = {"bppb": rate, "frames": len(shared)}
        for n in names:
            row[n] = {
                q: _mean(values[n][k][q] for k in shared) for q in ("psnr", "ndvi", "ndwi", "water", "sam", "ssim")
            }
        rows.append(row)
    return rows


def _mean(values: Any) -> float:
    finite = [v for v in values if np.isfinite(v)]
    return float(np.mean(finite)) if finite else float("nan")


def against_peers(measured: dict[str, list[Measured]], name: str = OURS) -> dict[str, Any]:
    """BD-rate of one codec against each peer over WINDOWS: mean of cubes, worst cube and its name, cubes won."""
    out: dict[str, Any] = {}
    for peer in (n for n in CLASSICAL if n in measured and n != name):
        out[peer] = {}
        for window in WINDOWS:
            found = summary.against(measured[peer], measured[name], window)
            told = {cube: v for cube, v in found["per_cube"].items() if np.isfinite(v)}
            worst = max(told, key=lambda c: told[c]) if told else ""
            out[peer][f"{window[0]:g}-{window[1]:g}"] = {
                "bd_rate": found["bd_rate_mean_of_cubes"],
                "bd_psnr": found["bd_psnr_mean_of_cubes"],
                "worst": found["bd_rate_worst_cube"],
                "worst_cube": worst,
                "cubes": len(told),
                "won": sum(v < 0 for v in told.values()),
                "per_cube": told,
            }
    return out


def ablation(measured: dict[str, list[Measured]], without: str, dates: int = 1) -> dict[str, Any]:
    """BD-rate of the codec against itself with a part left out, over cubes of at least `dates` dates."""
    keep = [k for k, item in enumerate(measured[OURS]) if item.shape[0] >= dates]
    anchor, test = ([measured[n][k] for k in keep] for n in (without, OURS))
    found = summary.against(anchor, test, WINDOWS[1])
    return {"bd_rate": found["bd_rate_mean_of_cubes"], "per_cube": found["per_cube"], "cubes": found["cubes"]}


def first_layer(measured: dict[str, list[Measured]]) -> list[dict[str, Any]]:
    """k = 1 against the peers at its own rate, step by step: per peer, cubes won, lost, and not comparable because
    the peer has no encode that small; and how many cubes beat every peer that can be compared.
    """
    items = measured["swathpack-k1"]
    rows = []
    for knob in sorted({p.knob for i in items for p in i.points}):
        row: dict[str, Any] = {
            "q": knob,
            "bppb": [],
            "peers": {n: {"won": 0, "lost": 0, "too_large": 0} for n in CLASSICAL if n in measured},
        }
        verdicts = []
        for k, item in enumerate(items):
            point = next((p for p in item.points if p.knob == knob), None)
            if point is not None:
                verdicts.append(_one_cube(point, k, measured, row))
        row |= {"cubes": len(verdicts), "ahead_of_all": sum(verdicts), "bppb": float(np.median(row["bppb"]))}
        rows.append(row)
    return rows


def setting_curve(items: list[Measured]) -> metrics.Curve:
    """Mean rate and mean PSNR over all cubes, setting by setting: what a whole archive at one setting costs."""
    knobs = set.intersection(*({p.knob for p in i.points} for i in items))
    at = [[p for i in items for p in i.points if p.knob == k] for k in sorted(knobs)]
    rates = [float(np.mean([np.mean(p.bppb) for p in points])) for points in at]
    return metrics.Curve.of(rates, [float(np.mean([metrics.mean_psnr(p.psnr) for p in points])) for points in at])


def first_layer_mean(measured: dict[str, list[Measured]]) -> list[dict[str, Any]]:
    """k = 1 at each step as a mean over all cubes, and every codec's `setting_curve` at the same mean rate."""
    curves = {n: setting_curve(measured[n]) for n in PEERS if n in measured}
    rows = []
    for point in layers_table(measured, "swathpack-k1"):
        row = {"q": point["k"], "bppb": point["bppb"], "psnr": point["psnr"]}
        rows.append(row | {n: c.quality_at(point["bppb"]) for n, c in curves.items()})
    return rows


def _one_cube(point: Point, k: int, measured: dict[str, list[Measured]], row: dict[str, Any]) -> bool:
    rate, psnr, ahead = float(np.mean(point.bppb)), metrics.mean_psnr(point.psnr), True
    row["bppb"].append(rate)
    for name, counts in row["peers"].items():
        curve = summary.cube_curve(measured[name][k])
        quality = curve.quality_at(rate)
        if np.isnan(quality):
            # Below a peer's smallest encode there is nothing to compare; above its largest, its best counts.
            small = bool(not len(curve.rate) or rate < curve.rate[0])
            quality = -np.inf if small else float(curve.quality[-1])
            counts["too_large"] += small
            if small:
                continue
        counts["won" if psnr > quality else "lost"] += 1
        ahead &= psnr > quality
    return ahead


def layers_table(measured: dict[str, list[Measured]], name: str) -> list[dict[str, float]]:
    """Per number of layers: mean bppb and PSNR over cubes, and the PSNR of all layers at the same rate (coarser
    step), over the cubes where both are there.
    """
    rows = []
    for k in sorted({p.knob for i in measured[name] for p in i.points}):
        pairs = []
        for item, full in zip(measured[name], measured[OURS]):
            for point in (p for p in item.points if p.knob == k):
                rate = float(np.mean(point.bppb))
                pairs.append((rate, metrics.mean_psnr(point.psnr), summary.cube_curve(full).quality_at(rate)))
        both = [p for p in pairs if np.isfinite(p[2])]
        means = np.mean(pairs, axis=0)
        same = np.mean(both, axis=0) if both else np.full(3, np.nan)
        rows.append(
            {
                "k": k,
                "bppb": float(means[0]),
                "psnr": float(means[1]),
                "cubes": len(both),
                "gap": float(same[1] - same[2]),
            }
        )
    return rows


def other_models(evidence: Evidence) -> list[dict[str, Any]]:
    """Models from files, setting by setting: mean bppb and PSNR over cubes, and ours at the same rate, cube by cube."""
    rows = []
    for name, label in evidence.others.items():
        rows += [{"model": name, "label": label, **row} for row in layers_table(evidence.measured, name)]
    return rows


def conclude(evidence: Evidence) -> dict[str, Any]:
    """Everything that the page shows, as plain JSON types."""
    measured = evidence.measured
    classical = {n: i for n, i in measured.items() if n in PEERS}
    return {
        "absent": evidence.absent,
        "versions": evidence.versions,
        "summary": summary.summarise(classical, list(TARGETS), "j2k", WINDOWS[0]),
        "against": against_peers(measured),
        "x265_against": against_peers(measured, "x265-klt") if "x265-klt" in measured else {},
        "temporal": ablation(measured, "swathpack-intra", dates=2),
        "optimised": ablation(measured, "swathpack-plain"),
        "base": ablation(measured, "swathpack-nobase"),
        "first_layer": first_layer(measured),
        "first_layer_mean": first_layer_mean(measured),
        "layers": {n: layers_table(measured, n) for n in ("swathpack-q24", "swathpack-q40", "swathpack-rows24")},
        "others": other_models(evidence),
        "bands": band_table(measured),
        "indices": index_table(measured),
    }
