"""Check the codec's promises on real cubes and print them as tables.

    python -m swathpack.tools.spine_check ../shared/data --out runs/spine [--only a,b,c,d,e] [--quick]

(a) the same latents from every engine, in fresh processes   (b) byte budgets: never exceeded, well filled
(c) streams cut at every 97th byte and with flipped bits       (d) what context saves at equal latents
(e) multiply-accumulates, parameters, bytes, CPU seconds next to JPEG 2000

Writes spine.json and spine.txt to --out. Exit code 1 when a promise does not hold.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.bands import BANDS, DROPPED
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel
from swathpack.edge.frame import Frame
from swathpack.edge.stream import read_stream
from swathpack.tools import spine_digests
from swathpack.tools.bench import count_macs
from swathpack.tools.errors import UserError
from swathpack.tools.files.api import frame_bytes
from swathpack.tools.files.decoder import Decoded, StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.rasters import read_series
from swathpack.tools.progress import Progress

TILES, TILE = 10, 256
BUDGETS = np.unique(np.geomspace(200, 200_000, 25).astype(int))
LEAST_FILL = 0.95
CUT_EVERY, FLIPS = 97, 200
CONTEXT_STEPS = (8, 16, 24, 32, 40)
DAMAGE_BUDGET = 4000
Cubes = dict[str, list[Frame]]
Check = Callable[[EdgeModel, Cubes, Path, bool], dict[str, Any]]


def load_cubes(folder: Path, split: str = "val") -> Cubes:
    """Cubes of the split with all twelve bands, B10 dropped. Raises UserError when there are none."""
    catalogue = folder / "catalog.json"
    if not catalogue.is_file():
        raise UserError(f"{folder}: expected a catalog.json")
    cubes = {}
    for entry in json.loads(catalogue.read_text()):
        if entry["split"] != split:
            continue
        frames = read_series(folder / entry["file"]).frames
        if set(BANDS) <= set(frames[0].bands):
            cubes[Path(entry["file"]).stem] = [f.select([b for b in f.bands if b != DROPPED]) for f in frames]
    if not cubes:
        raise UserError(f"{folder}: no cubes with twelve bands in {split!r}")
    return cubes


def check_digests(model: EdgeModel, cubes: Cubes, out: Path, quick: bool) -> dict[str, Any]:
    chosen = dict(sorted(cubes.items(), key=lambda c: c[1][0].data.size * len(c[1]))[:3]) if quick else cubes
    found = spine_digests.compare(model, chosen, out / "streams")
    rows = found["variants"].values()
    must = [found["variants"][v] for v in ("float32, 1 thread", "float32, 2 threads", "onnxruntime off", "int64")]
    found["holds"] = all(r.get("different") == 0 for r in must) and all(r.get("different", 0) == 0 for r in rows)
    return {**found, "text": spine_digests.text(found)}


def ten_tiles(cubes: Cubes) -> list[tuple[str, Frame]]:
    """The largest tiles of the cubes, at most 256 x 256, one a cube."""

    def cut(frame: Frame) -> Frame:
        return Frame(
            frame.data[:, :TILE, :TILE],
            frame.bands,
            frame.time,
            frame.valid[:TILE, :TILE],
            frame.level,
            frame.boa_offset,
        )

    tiles = [(name, cut(frames[0])) for name, frames in cubes.items()]
    return sorted(tiles, key=lambda t: -t[1].data.size)[:TILES]


def check_budgets(model: EdgeModel, cubes: Cubes, out: Path, quick: bool) -> dict[str, Any]:
    tiles, budgets, rows = ten_tiles(cubes), BUDGETS[::6] if quick else BUDGETS, []
    with Progress(len(tiles) * len(budgets), "budgets") as bar:
        for name, frame in tiles:
            for budget in budgets:
                data = SeriesEncoder(model, [frame]).per_frame(int(budget))
                segment = next(iter(read_stream(data).segments), None)
                layers, q = (segment.layer_count, segment.quality) if segment else (0, 63)
                rows.append({"tile": name, "budget": int(budget), "bytes": len(data), "layers": layers, "q": q})
                bar.step()
    fewer = [r for r in rows if r["layers"] < LAYERS]
    open_ended = [r for r in rows if r["layers"] < LAYERS or r["q"] > 0]
    fill = {
        n: min((r["bytes"] / r["budget"] for r in part), default=1.0)
        for n, part in (("k<16", fewer), ("not finest", open_ended))
    }
    low = [r for r in open_ended if r["bytes"] < LEAST_FILL * r["budget"]]
    overrun = max(r["bytes"] - r["budget"] for r in rows)
    lines = [
        f"(b) {len(rows)} budgets of 200 to 200,000 bytes on {len(tiles)} tiles",
        f"    largest overrun {overrun} bytes; k < 16 in {len(fewer)}, none sent in {sum(r['layers'] == 0 for r in rows)}",
        f"    least fill {100 * fill['k<16']:.1f} % where k < 16, {100 * fill['not finest']:.1f} % where anything was left to "
        f"send; below 95 %: {len(low)}",
    ]
    lines += [f"        {r['tile']}: {r['bytes']} of {r['budget']}, k = {r['layers']}, q = {r['q']}" for r in low[:12]]
    return {
        "rows": rows,
        "overrun": overrun,
        "least_fill": fill,
        "below": low,
        "text": "\n".join(lines),
        "holds": overrun <= 0 and fill["k<16"] >= LEAST_FILL,
    }


def _series_for_damage(cubes: Cubes) -> list[Frame]:
    """Three dates of the longest series, with a hole of nodata in the second."""
    frames = max(cubes.values(), key=lambda f: (len(f), f[0].data.size))[:3]
    if len(frames) > 1:
        data = frames[1].data.copy()
        data[:, 10:40, 10:60] = 0
        frames[1] = Frame(data, frames[1].bands, frames[1].time, level=frames[1].level, boa_offset=frames[1].boa_offset)
    return frames


def judge(decode: Callable[[], Decoded], whole: Decoded, windows: Any) -> str:
    """refused, whole, named, wrong (an image differs and nothing says so) or crash."""
    try:
        found = decode()
    except UserError:
        return "refused"
    except Exception as error:
        return f"crash: {type(error).__name__}: {error}"
    verdict = "named" if found.problems else "whole"
    for index, (a, b) in enumerate(zip(found.frames, whole.frames)):
        for window in windows:
            same = np.array_equal(window.of(a.data), window.of(b.data)) and np.array_equal(
                window.of(a.valid), window.of(b.valid)
            )
            if not same and not found.reports[index].tells_of(window.index):
                verdict = "wrong"
    return verdict


def check_damage(model: EdgeModel, cubes: Cubes, out: Path, quick: bool) -> dict[str, Any]:
    data = SeriesEncoder(model, _series_for_damage(cubes)).per_frame(DAMAGE_BUDGET)
    reference = StreamDecoder(model, data)
    whole, windows = reference.frames(), reference.windows
    places = np.random.default_rng(1).integers(8 * len(data), size=FLIPS)
    cases = [("cut", data[:at]) for at in range(0, len(data), CUT_EVERY)]
    for place in places:
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << int(place % 8)
        cases.append(("flip", bytes(flipped)))
    cases = cases[::16] if quick else cases
    counts: dict[str, dict[str, int]] = {"cut": {}, "flip": {}}
    with Progress(len(cases), "damage") as bar:
        for kind, broken in cases:
            verdict = judge(lambda b=broken: StreamDecoder(model, b).frames(), whole, windows)  # type: ignore[misc]
            counts[kind][verdict] = counts[kind].get(verdict, 0) + 1
            bar.step()
    bad = [v for part in counts.values() for v in part if v.startswith(("wrong", "crash"))]
    lines = [f"(c) a stream of {len(data)} bytes, {len(whole.frames)} dates"]
    lines += [
        f"    {k:5s} {sum(v.values()):4d}: " + ", ".join(f"{n} {what}" for what, n in sorted(v.items()))
        for k, v in counts.items()
    ]
    return {
        "bytes": len(data),
        "counts": counts,
        "text": "\n".join(lines + [f"    crashes or silently wrong: {len(bad)}"]),
        "holds": not bad and not counts["cut"].get("whole") and not counts["flip"].get("whole"),
    }


def check_context(model: EdgeModel, cubes: Cubes, out: Path, quick: bool) -> dict[str, Any]:
    series, rows = {n: f for n, f in cubes.items() if len(f) > 1}, []
    steps = CONTEXT_STEPS[::2] if quick else CONTEXT_STEPS
    lines = [
        "(d) bytes of second and later dates, equal latents (no rate-distortion choice)",
        "    series                         q    without       with   saved  latents",
    ]
    with Progress(len(series) * len(steps), "context") as bar:
        for name, frames in series.items():
            for q in steps:
                streams = [SeriesEncoder(model, frames, intra_every=n, slope=0).at_quality(q) for n in (1, 0)]
                same = _latents(model, streams[0]) == _latents(model, streams[1])
                without, with_ = (sum(frame_bytes(s)[1:]) for s in streams)
                rows.append({"series": name, "q": q, "without": without, "with": with_, "equal_latents": same})
                lines.append(
                    f"    {name:28s} {q:3d} {without:10d} {with_:10d} {100 * (1 - with_ / without):6.1f} %"
                    f"  {'equal' if same else 'DIFFERENT'}"
                )
                bar.step()
    total = {k: sum(r[k] for r in rows) for k in ("without", "with")}
    saved = 1 - total["with"] / max(total["without"], 1)
    lines.append(f"    all together: {100 * saved:.1f} % fewer bytes")
    return {
        "rows": rows,
        "saved": saved,
        "text": "\n".join(lines),
        "holds": saved >= 0.10 and all(r["equal_latents"] for r in rows),
    }


def _latents(model: EdgeModel, data: bytes) -> list[str]:
    decoder = StreamDecoder(model, data)
    return [decoder.latent(i, w)[0].latent_digest for i in range(decoder.header.frames) for w in decoder.windows]


def _cpu(work: Callable[[], Any], rounds: int) -> float:
    """Least process CPU seconds of some rounds, after one to warm up."""
    work()
    found = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def check_cost(model: EdgeModel, cubes: Cubes, out: Path, quick: bool) -> dict[str, Any]:
    from swathpack.tools.bench.peers import make

    macs = count_macs.measure(model.directory)
    name, frame = ten_tiles(cubes)[0]
    pad = [(0, TILE - n) for n in frame.data.shape[1:]]
    data = np.pad(frame.without_offset().select(BANDS).data, [(0, 0), *pad], "symmetric")
    tile, rounds = Frame(data, BANDS), 1 if quick else 5
    peer, rows = make("j2k"), []
    streams = [
        (label, SeriesEncoder(model, [tile], slope=s)) for label, s in (("swathpack", 0.09), ("swathpack, no RDO", 0.0))
    ]
    for label, encoder in streams:
        coded = encoder.at_quality(24)
        rows.append(
            (
                label,
                len(coded),
                _cpu(lambda e=encoder: e.at_quality(24), rounds),  # type: ignore[misc]
                _cpu(lambda c=coded: StreamDecoder(model, c).frames(), rounds),
            )
        )  # type: ignore[misc]
    knob = min(peer.knobs, key=lambda k: abs(peer.encode(data[None], k).total_bytes - rows[0][1]))
    packed = peer.encode(data[None], knob)
    rows.append(
        (
            "JPEG 2000",
            packed.total_bytes,
            _cpu(lambda: peer.encode(data[None], knob), rounds),
            _cpu(lambda: peer.decode(packed), rounds),
        )
    )
    lines = [
        "(e) " + count_macs.text(macs).replace("\n", "\n    "),
        f"    CPU seconds of one tile ({name}, mirrored to 256 x 256 x 12), engine {type(model.engine).__name__}, 1 thread",
        "    codec                  bytes   encode   decode",
    ]
    lines += [f"    {label:20s} {size:7d} {enc:8.3f} {dec:8.3f}" for label, size, enc, dec in rows]
    cost = [dict(zip(("codec", "bytes", "encode_s", "decode_s"), row)) for row in rows]
    return {
        "macs": macs,
        "cpu": cost,
        "text": "\n".join(lines),
        "holds": macs["board_gmac"] <= macs["board_limit_gmac"],
    }


CHECKS: dict[str, Check] = {
    "a": check_digests,
    "b": check_budgets,
    "c": check_damage,
    "d": check_context,
    "e": check_cost,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with catalog.json")
    parser.add_argument("--out", type=Path, default=Path("runs/spine"))
    parser.add_argument("--only", default="a,b,c,d,e", help="checks to run (default all)")
    parser.add_argument("--quick", action="store_true", help="a few cases of each")
    parser.add_argument("--model", type=Path, default=DEFAULT_DIRECTORY)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        cubes, model = load_cubes(args.data), EdgeModel(args.model)
        chosen = [c.strip() for c in args.only.split(",")]
        if not set(chosen) <= set(CHECKS):
            raise UserError(f"--only: expected some of {', '.join(CHECKS)}, found {args.only}")
    except UserError as error:
        parser.exit(1, f"spine_check: {error}\n")
    found: dict[str, Any] = {"model_digest": model.digest.hex(), "cubes": sorted(cubes)}
    for name in chosen:
        found[name] = CHECKS[name](model, cubes, args.out, args.quick)
        print(
            found[name]["text"] + f"\n    {'holds' if found[name]['holds'] else 'DOES NOT HOLD'}\n",
            flush=True,
        )
        # After every check, so that a long run can be stopped.
        (args.out / "spine.json").write_text(json.dumps(found, indent=1) + "\n")
        (args.out / "spine.txt").write_text("\n\n".join(found[c]["text"] for c in chosen if c in found) + "\n")
    return 0 if all(found[name]["holds"] for name in chosen) else 1


if __name__ == "__main__":
    raise SystemExit(main())
