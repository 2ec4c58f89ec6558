"""Measure the codec's rate and quality per number of layers for the planner.

    python -m swathpack.tools.bench.rate_quality ../shared/data --out models/edge/rate_quality.json --force

Codes every val frame of twelve bands intra at one quantiser step and decodes it to k = 0..16 layers. Writes the
table that `swathpack.tools.plan.rates` reads; the boards' effort stays the design goal until one is measured, and says so.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.codec.squares import synthesised
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.layers import tile_decoder
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import TILE
from swathpack.edge.codec.tile_coder import analyse_tile, encode_tile
from swathpack.edge.stream.quality import quality_of, usual_shift
from swathpack.export.digests import renew
from swathpack.tools.bench.cubes import load
from swathpack.tools.bench.metrics import psnr
from swathpack.tools.files.outputs import Output, add_force
from swathpack.tools.guard import guarded
from swathpack.tools.plan.rates import provisional
from swathpack.tools.progress import progress

SCHEMA = "swathpack-rate-quality-1"
SEGMENT_BYTES = 21  # of a segment around its payload, see docs/stream.md


def points_of(model: EdgeModel, frame: np.ndarray[Any, Any], q: int) -> tuple[list[float], list[float]]:
    """bppb and PSNR of k = 0..16 layers of one frame (12, H, W), at most 256 x 256."""
    valid = np.asarray(frame.any(axis=0), np.bool_)
    coefficients = analyse_tile(model, frame, valid)
    quality_byte = quality_of(q, usual_shift(q))
    coded = encode_tile(model, coefficients, quality_byte)
    decoder = tile_decoder(model.engine, model.tables, (), quality_byte, coded.latent.shape[1:])
    decoder.decode(coded.layers.payload(LAYERS), LAYERS)
    rates, quality = [], []
    for k in range(LAYERS + 1):
        pixels = synthesised(model, decoder.reconstruction(k))[:, : frame.shape[1], : frame.shape[2]]
        quality.append(psnr(frame, np.clip(np.rint(pixels), 1, 65535).astype(np.uint16), valid))
        size = 0 if k == 0 else int(coded.payload_sizes[k]) + SEGMENT_BYTES
        rates.append(8 * size / frame.size)
    return rates, quality


def encode_seconds(model: EdgeModel) -> float:
    """CPU seconds of one full tile's onboard path, best of three."""
    rng = np.random.default_rng(0)
    tile = np.repeat(np.repeat(rng.integers(500, 4000, (len(BANDS), TILE // 8, TILE // 8)), 8, 1), 8, 2).astype(
        np.uint16
    )
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        coefficients = analyse_tile(model, tile, np.ones((TILE, TILE), np.bool_))
        encode_tile(model, coefficients, quality_of(24, usual_shift(24))).layers.payload(LAYERS)
        best = min(best, time.process_time() - start)
    return float(best)


def board_goals() -> dict[str, Any]:
    """Design goals of the Jetson boards, which nobody has measured yet; each entry says so."""
    boards: dict[str, Any] = provisional()["boards"]
    note = "design goal, not measured on a board"
    return {b: {m: e | {"source": note} for m, e in modes.items()} for b, modes in boards.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quality", type=int, default=16, help="quantiser step index (default 16)")
    parser.add_argument("--out", type=Path, default=Path("models/edge/rate_quality.json"))
    add_force(parser)
    sys.exit(guarded("rate_quality", lambda: run(parser.parse_args())))


def run(args: argparse.Namespace) -> int:
    """Measures, writes, prints."""
    output = Output(args.out, [args.folder], args.force)
    model = EdgeModel()
    frames = [f[:, :TILE, :TILE] for cube in load(args.folder, "val", None) for f in cube.data]
    measured = [points_of(model, f, args.quality) for f in progress(frames, "measuring")]
    rate, quality = (np.array([m[i] for m in measured]) for i in range(2))
    p10, p90 = np.percentile(quality, (10, 90), axis=0)
    points = [
        {
            "layers": k,
            "bppb": float(rate[:, k].mean()),
            "psnr_db_mean": float(quality[:, k].mean()),
            "psnr_db_p10": float(p10[k]),
            "psnr_db_p90": float(p90[k]),
        }
        for k in range(LAYERS + 1)
    ]
    seconds = encode_seconds(model)
    table = {
        "schema": SCHEMA,
        "measured": True,
        "model_digest": model.digest.hex(),
        "points": points,
        "source": f"swathpack edge, quantiser step index {args.quality}, {len(frames)} val frames of ../shared/data, intra",
        "cpu": {"machine": platform.machine(), "threads": 1, "encode_s_per_tile": seconds},
        "boards": board_goals(),
    }
    with output as place:
        place.write_text(json.dumps(table, indent=1) + "\n")
    renew(args.out)
    for p in points[::4]:
        print(
            f"k {p['layers']:2d}: {p['bppb']:.4f} bppb, {p['psnr_db_mean']:.2f} dB "
            f"(P10 {p['psnr_db_p10']:.2f}, P90 {p['psnr_db_p90']:.2f})"
        )
    print(f"encode {seconds:.3f} CPU seconds a tile")
    return 0


if __name__ == "__main__":
    main()
