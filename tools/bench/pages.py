"""The evidence as files: `tables.md` (rates, parts left out, layers, bands), `evidence.json` and two pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from swathpack.edge.bands import BANDS
from swathpack.tools.bench import plots
from swathpack.tools.bench.evidence import TARGETS, Evidence
from swathpack.tools.bench.peers import PEERS
from swathpack.tools.bench.report import LABELS, clean


def _label(name: str) -> str:
    return LABELS.get(name, name)


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None or not math.isfinite(value) else form.format(value)


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown, cells as they are."""
    lines = [list(head), *([["---"] * len(list(head))]), *(list(r) for r in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _common(found: dict[str, Any]) -> str:
    common = found["summary"]["common"]
    names = [n for n in found["summary"]["codecs"]]
    rows = []
    for i, rate in enumerate(TARGETS):
        cells = [_cell(common[n][i], "{:.2f}") for n in names]
        rows.append([f"{rate:g}", f"{common['frames'][i]:.0f}", *cells])
    return markdown(["bppb", "frames", *map(_label, names)], rows)


def _reached(found: dict[str, Any]) -> str:
    codecs = found["summary"]["codecs"]
    rows = [
        [
            f"{rate:g}",
            *(f"{_cell(c['targets'][i]['psnr'], '{:.2f}')} ({c['targets'][i]['reached']})" for c in codecs.values()),
        ]
        for i, rate in enumerate(TARGETS)
    ]
    return markdown(["bppb", *map(_label, codecs)], rows)


def _against(against: dict[str, Any]) -> str:
    rows = []
    for peer, windows in against.items():
        for window, bd in windows.items():
            rows.append(
                [
                    _label(peer),
                    window,
                    _cell(bd["bd_rate"], "{:+.1f} %"),
                    _cell(bd["bd_psnr"], "{:+.2f} dB"),
                    f"{_cell(bd['worst'], '{:+.1f} %')} {bd['worst_cube']}",
                    f"{bd['won']} of {bd['cubes']}",
                ]
            )
    return markdown(["against", "bppb", "BD-rate", "BD-PSNR", "worst cube", "cubes ahead"], rows)


def _first_layer(rows: list[dict[str, Any]]) -> str:
    peers = list(rows[0]["peers"]) if rows else []
    cells = []
    for row in rows:
        counts = [
            f"{c['won']} : {c['lost']}" + (f" ({c['too_large']})" if c["too_large"] else "")
            for c in row["peers"].values()
        ]
        ahead = f"{row['ahead_of_all']} of {row['cubes']}"
        cells.append([f"{row['q']:g}", f"{row['bppb']:.4f}", *counts, ahead])
    return markdown(["q", "median bppb", *map(_label, peers), "ahead of all"], cells)


def _first_layer_mean(rows: list[dict[str, Any]]) -> str:
    names = [n for n in PEERS if rows and n in rows[0]]
    cells = [
        [f"{r['q']:g}", f"{r['bppb']:.4f}", f"{r['psnr']:.2f}", *(_cell(r[n], "{:.2f}") for n in names)] for r in rows
    ]
    return markdown(["q", "mean bppb", "k = 1, PSNR dB", *map(_label, names)], cells)


def _layers(tables: dict[str, list[dict[str, float]]]) -> str:
    rows = []
    for name, table in tables.items():
        for row in table:
            what = "sixteenths of rows" if "rows" in name else "layers"
            cells = [_cell(row[k], f) for k, f in (("bppb", "{:.4f}"), ("psnr", "{:.2f}"), ("gap", "{:+.2f}"))]
            rows.append([name.removeprefix("swathpack-"), f"{row['k']:g} {what}", *cells, f"{row['cubes']}"])
    return markdown(["at", "sent", "bppb", "PSNR, dB", "against all layers at a coarser step, dB", "cubes"], rows)


def _bands(table: dict[str, Any]) -> str:
    rows = [[_label(n), *(f"{v:.1f}" for v in psnr)] for n, psnr in table["psnr"].items()]
    return markdown([f"{table['bppb']:g} bppb, {table['cubes']} cubes", *BANDS], rows)


def _indices(rows: list[dict[str, Any]]) -> str:
    cells = []
    for row in rows:
        for name in (n for n in PEERS if n in row):
            values = [
                _cell(row[name][k], f)
                for k, f in (
                    ("psnr", "{:.2f}"),
                    ("ndvi", "{:.4f}"),
                    ("ndwi", "{:.4f}"),
                    ("water", "{:.4f}"),
                    ("sam", "{:.2f}"),
                    ("ssim", "{:.4f}"),
                )
            ]
            cells.append([f"{row['bppb']:g} ({row['frames']})", _label(name), *values])
    head = [
        "bppb (frames)",
        "",
        "PSNR, dB",
        "NDVI error",
        "NDWI error",
        "water mask agrees",
        "spectral angle, degrees",
        "SSIM",
    ]
    return markdown(head, cells)


def _cpu(found: dict[str, Any]) -> str:
    rows = [
        [_label(n), f"{c['encode_cpu_s_per_tile']:.3f}", f"{c['decode_cpu_s_per_tile']:.3f}"]
        for n, c in found["summary"]["codecs"].items()
    ]
    return markdown(["CPU s per 256 x 256 x 12 tile at about 0.1 bppb", "encode", "decode"], rows)


def _parts(found: dict[str, Any]) -> str:
    rows = [
        ["earlier dates as context (cubes of two dates and more)", found["temporal"]],
        ["rate-distortion optimised quantisation", found["optimised"]],
        ["base layer", found["base"]],
    ]
    cells = [
        [
            what,
            _cell(bd["bd_rate"], "{:+.1f} %"),
            str(bd["cubes"]),
            ", ".join(f"{c} {_cell(v, '{:+.1f} %')}" for c, v in bd["per_cube"].items()) if bd["cubes"] <= 3 else "",
        ]
        for what, bd in rows
    ]
    return markdown(["with, against without", "BD-rate 0.005-0.5", "cubes", "of each"], cells)


def _others(rows: list[dict[str, Any]]) -> str:
    cells = [
        [
            f"{r['model']} ({r['label']})",
            f"{r['k']:g}",
            _cell(r["bppb"], "{:.4f}"),
            _cell(r["psnr"], "{:.2f}"),
            _cell(r["gap"], "{:+.2f}"),
            str(r["cubes"]),
        ]
        for r in rows
    ]
    return (
        markdown(["model", "tokens", "bppb", "PSNR, dB", "against SwathPack at its rate, dB", "cubes"], cells)
        if rows
        else "none given"
    )


def tables(found: dict[str, Any]) -> str:
    """All tables as one markdown text."""
    parts = [
        ("PSNR over the frames that every codec reaches", _common(found)),
        ("PSNR over the frames that the codec reaches, and their number", _reached(found)),
        ("SwathPack against each peer", _against(found["against"])),
        ("x265 + KLT against the others", _against(found["x265_against"])),
        ("What parts of the codec win", _parts(found)),
        (
            "First layer only: cubes won : lost (peer has no encode that small)",
            _first_layer(found["first_layer"]),
        ),
        ("First layer only, mean of cubes at one setting", _first_layer_mean(found["first_layer_mean"])),
        ("Fewer layers at a fixed step", _layers(found["layers"])),
        ("Models from files", _others(found["others"])),
        ("Bands", _bands(found["bands"])),
        ("Indices", _indices(found["indices"])),
        ("CPU", _cpu(found)),
    ]
    absent = "".join(f"\nnot measured: {n}: {why}\n" for n, why in found["absent"].items())
    return "\n\n".join(f"## {title}\n\n{table}" for title, table in parts) + "\n" + absent


def write(out: Path, evidence: Evidence, found: dict[str, Any]) -> list[Path]:
    """Writes everything into `out`; returns the files. Raises UserError without matplotlib."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "tables.md").write_text(tables(found))
    (out / "evidence.json").write_text(json.dumps(clean(found), indent=1) + "\n")
    classical = {n: i for n, i in evidence.measured.items() if n in PEERS}
    own = {n: i for n, i in evidence.measured.items() if n.startswith("swathpack") or n == "x265-klt"}
    window = (min(TARGETS), max(TARGETS))
    plots.rate_distortion(classical, out / "results.png", window)
    plots.variants(own, out / "variants.png", window)
    return [out / n for n in ("tables.md", "evidence.json", "results.png", "variants.png")]
