"""Engines of the entropy network on this machine, and what TensorRT made of a graph.

    swathpack engines list                     which engines pass the golden vectors here, how fast, with which digest
    swathpack engines inspect layers.json      int8 kernels, float islands, reformat chains of a TensorRT engine

`list` runs every engine on the golden vectors; an engine that does not pass may not code, and the reason is given.
The digest is over the network's outputs for one real case: it is the same on every machine where an engine passes.
`inspect` reads the JSON of TensorRT's engine inspector, which the flight runtime writes beside every engine it builds
(or trtexec --profilingVerbosity=detailed --exportLayerInfo=layers.json). Exit code 1 when the verdict is bad.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.spoken import reason
from swathpack.tools.errors import UsageError, UserError
from swathpack.tools.files.outputs import add_force, check_output, write_text

NAMES = (
    "tensorrt",
    "onnxruntime:all",
    "onnxruntime:extended",
    "onnxruntime:basic",
    "onnxruntime:off",
    "float32",
    "int64",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    listing = parts.add_parser("list", help="engines that pass the golden vectors here")
    listing.add_argument("--model", type=Path, help="model folder (default: models/edge)")
    listing.add_argument("--threads", type=int, default=1, help="of ONNX Runtime (default %(default)s)")
    listing.add_argument("--engines", default=",".join(NAMES), help="default %(default)s")
    listing.add_argument("--json", type=Path, help="also write the table here")
    add_force(listing)
    inspect = parts.add_parser("inspect", help="layer information of a TensorRT engine")
    inspect.add_argument("file", type=Path, help="JSON of the engine inspector")
    inspect.add_argument("--all", action="store_true", help="print every layer")


def run(args: argparse.Namespace) -> int:
    return _list(args) if args.what == "list" else _inspect(args)


# --- list


def _list(args: argparse.Namespace) -> int:
    from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel, ModelError

    if args.json is not None:
        check_output(args.json, force=args.force)
    if args.threads < 1:
        raise UsageError(f"--threads: expected 1 or more, found {args.threads}")
    try:
        model = EdgeModel(args.model or DEFAULT_DIRECTORY, args.threads, "float32")
    except ModelError as error:
        raise UserError(str(error)) from error
    names = [name.strip() for name in args.engines.split(",") if name.strip()]
    print(f"model {model.digest.hex()} in {model.directory}; {_machine()}")
    print(f"{'engine':22s} {'golden':9s} {'start':>8s} {'a tile':>9s}  digest of outputs")
    rows = []
    for name in names:
        rows.append(row := try_engine(name, model))
        if row["refused"]:
            print(f"{name:22s} refused   {row['refused']}: {row['detail']}")
        else:
            times = f"{row['start_ms']:6.0f} ms {row['tile_ms']:6.0f} ms"
            print(f"{name:22s} passes    {times}  {row['digest']}")
    print("times: CPU; start is loading and the golden vectors, a tile is one pass over 16 x 16 positions")
    if args.json is not None:
        write_text(args.json, json.dumps({"machine": _machine(), "engines": rows}, indent=1) + "\n")
    return 0 if any(not row["refused"] for row in rows) else 1


def try_engine(name: str, model: Any) -> dict[str, Any]:
    """Open an engine, time it on the largest golden case, digest what it gives there."""
    from swathpack.edge.codec.digest import array_digest
    from swathpack.edge.codec.engines import GOLDEN, EngineRefused, open_engine
    from swathpack.edge.codec.engines.golden import read_cases

    started = time.process_time()
    try:
        engine = open_engine(name, model)
    except EngineRefused as refused:
        return {"engine": name, "refused": refused.reason, "detail": refused.detail}
    start = time.process_time() - started
    with np.load(model.directory / GOLDEN, allow_pickle=False) as archive:
        cases = read_cases({key: archive[key] for key in archive.files})
    case = max(cases, key=lambda c: c.inputs.size[0] * c.inputs.size[1])
    times = []
    for _ in range(1 if name == "int64" else 3):
        began = time.process_time()
        first, rest = engine.heads_of_all(*case.inputs)
        times.append(time.process_time() - began)
    digest = array_digest(np.concatenate([first, *rest]).astype(np.int32), 8).hex()
    return {
        "engine": name,
        "refused": "",
        "start_ms": start * 1e3,
        "tile_ms": min(times) * 1e3,
        "digest": digest,
    }


def _machine() -> str:
    """Processor, its instructions that matter for int8, and the runtime's version."""
    import platform

    flags = ""
    try:
        info = Path("/proc/cpuinfo").read_text()
        words = set(next((x for x in info.splitlines() if x.startswith(("flags", "Features"))), "").split())
        flags = "".join(f" {f}" for f in ("avx2", "avx512_vnni", "avx_vnni", "asimddp", "i8mm") if f in words)
    except OSError:
        pass  # not Linux
    try:
        import onnxruntime

        runtime = f"ONNX Runtime {onnxruntime.__version__}"
    except ImportError:
        runtime = "no ONNX Runtime"
    return f"{platform.machine()}{flags}; numpy {np.__version__}, {runtime}"


# --- inspect


def _inspect(args: argparse.Namespace) -> int:
    from swathpack.edge.codec.engines.inspector import LayersError, judge, read_layers

    try:
        layers = read_layers(args.file.read_text(encoding="utf-8"))
    except (OSError, LayersError, UnicodeDecodeError) as error:
        raise UserError(f"{args.file}: {reason(error, args.file)}") from error
    verdict = judge(layers)
    shown = layers if args.all else [one for one in layers if one.kind in ("kernel", "opaque")]
    print(f"{'layer':58s} {'type':18s} {'kind':9s} {'number':8s} tactic")
    for one in shown:
        print(f"{one.name[:58]:58s} {one.type[:18]:18s} {one.kind:9s} {one.number:8s} {one.tactic[:60]}")
    for line in verdict_lines(verdict):
        print(line)
    return 0 if verdict.good else 1


def verdict_lines(verdict: Any) -> list[str]:
    """The verdict in words, bad news with names."""
    lines = [
        f"{verdict.layers} layers: {len(verdict.int8)} int8 kernels, {len(verdict.floats)} float kernels, "
        f"{len(verdict.reformats)} reformats"
    ]
    lines += [f"float island: {name}" for name in verdict.islands]
    lines += [f"reformat chain of {len(chain)}: {' -> '.join(chain)}" for chain in verdict.chains]
    lines += [f"not visible: {name}" for name in verdict.opaque]
    if verdict.good:
        return [*lines, "verdict: good"]
    if not verdict.int8:
        return [*lines, "verdict: bad, no int8 kernel: is the graph the quantised one?"]
    if verdict.opaque and not (verdict.islands or verdict.chains):
        return [*lines, "verdict: unknown, parts of the engine are not shown"]
    return [*lines, "verdict: bad, time is lost in float islands or reformats; see docs/engines.md"]
