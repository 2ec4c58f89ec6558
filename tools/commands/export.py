"""Make or check a model folder: graphs, bound proof, golden vectors, manifest.

    swathpack export --preset edge --out build/edge                    from models/edge, everything derived made anew
    swathpack export --out build/edge --transform T.pt --entropy E.pt  from training checkpoints
    swathpack export --verify models/edge                              prove and check what is there
    swathpack export --out build/broken --finer embed=3                see a layer with too fine a scale refused

The proof covers every layer: the largest sum that int8 inputs can make stays below 2^22, so that float32, TF32 and
int32 accumulators all hold it exactly. A layer that does not fit ends the export with its name. Needs the `train`
extra (`make setup-test`).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swathpack.tools.errors import UsageError, UserError
from swathpack.tools.files.outputs import add_force, check_outputs, write_text
from swathpack.tools.options import expect

if TYPE_CHECKING:
    from swathpack.export.build import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=("edge",), default="edge", help="network (default %(default)s)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="folder to write")
    what.add_argument("--verify", type=Path, metavar="DIR", help="check a folder, write nothing")
    parser.add_argument("--model", type=Path, help="folder to start from (default: models/edge)")
    parser.add_argument("--transform", type=Path, help="checkpoint of the transform, with --entropy")
    parser.add_argument("--entropy", type=Path, help="checkpoint of the entropy model, with --transform")
    parser.add_argument(
        "--finer",
        action="append",
        default=[],
        metavar="LAYER=STEPS",
        help="spoil a layer: its scale this many powers of two too fine, to see the proof refuse it",
    )
    parser.add_argument("--json", type=Path, help="also write the report here")
    add_force(parser)


def run(args: argparse.Namespace) -> int:
    from swathpack.export.build import build, verify
    from swathpack.export.manifest import ExportError

    if args.verify is not None:
        expect(args, "without --verify, which checks a folder as it is", "model", "transform", "entropy", "finer")
    inputs = list(filter(None, [args.model, args.transform, args.entropy, args.verify]))
    check_outputs((args.out, args.json), inputs, args.force)
    try:
        if args.verify is not None:
            report = verify(args.verify, _tell)
        else:
            report = build(_source(args), args.out, _tell)
    except ExportError as error:
        raise UserError(f"refused: {error}") from error
    except OSError as error:
        raise UserError(f"{args.out or args.verify}: {error.strerror or error}") from error
    print(text(report))
    if args.json is not None:
        write_text(args.json, json.dumps(as_json(report), indent=1) + "\n")
    print(f"{'passed' if args.verify else 'written'}: {args.verify or args.out}")
    return 0


def _source(args: argparse.Namespace) -> Any:
    from swathpack.edge.codec.model import DEFAULT_DIRECTORY
    from swathpack.export.build import Source

    checkpoints = (args.transform, args.entropy)
    if any(checkpoints) and not all(checkpoints):
        raise UsageError("expected both --transform and --entropy, or neither")
    if all(checkpoints) and args.model is not None:
        raise UsageError("expected checkpoints or --model, found both")
    for path in filter(None, checkpoints):
        if not path.is_file():
            raise UserError(f"no such file: {path}")
    model = None if all(checkpoints) else args.model or DEFAULT_DIRECTORY
    return Source(model, *checkpoints, dict(_finer(item) for item in args.finer))


def _finer(item: str) -> tuple[str, int]:
    layer, _, steps = item.partition("=")
    if not layer or not steps.isdigit() or not 1 <= int(steps) <= 16:
        raise UsageError(f"--finer: expected LAYER=STEPS with 1 to 16 steps, found {item!r}")
    return layer, int(steps)


def text(report: Report) -> str:
    """The report as printed: one line per layer, tightest first."""
    lines = [f"{'layer':36s} {'worst sum':>10s} {'bits':>6s} {'of 22, to spare':>16s}"]
    for b in sorted(report.bounds, key=lambda b: b.margin_bits):
        lines.append(f"{b.layer:36s} {b.worst:10d} {np.log2(max(b.worst, 1)):6.2f} {b.margin_bits:16.2f}")
    counts = ", ".join(f"{count} {name}" for name, count in report.checked.items())
    lines.append(f"graph: {counts}; scales are powers of two, no rounding can meet a tie")
    lines += [f"engine {name}: {why or 'passes the golden vectors'}" for name, why in report.engines.items()]
    return "\n".join(lines)


def as_json(report: Report) -> dict[str, Any]:
    """The report for machines."""
    return {
        "bounds": {b.layer: {"worst": b.worst, "margin_bits": b.margin_bits} for b in report.bounds},
        "graph": report.checked,
        "engines": report.engines,
    }


def _tell(step: str) -> None:
    print(f"{step} ...", flush=True)
