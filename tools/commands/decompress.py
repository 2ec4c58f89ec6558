"""Decompress a `.swp` stream.

    swathpack decompress cube.swp -o cube.npz
    swathpack decompress scene.swp -o folder/            GeoTIFFs with the georeference of the input
    swathpack decompress cube.swp -o preview.npz --layers 2

A stream that was cut or damaged gives what arrived: the rest is nodata, and the report names what is missing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.stream import StreamError
from swathpack.tools.commands.compress import add_model_arguments, open_model
from swathpack.tools.errors import DONE, PARTLY, UserError
from swathpack.tools.files.decoder import Decoded, StreamDecoder
from swathpack.tools.files.encoder import METADATA_TAG
from swathpack.tools.files.outputs import Output, add_force, check_output, write_text
from swathpack.tools.files.rasters import Series, is_folder, unpack_metadata, write_series
from swathpack.tools.progress import Progress

SHOWN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="IN.swp")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.npz|OUT_DIR")
    parser.add_argument(
        "--layers",
        type=int,
        default=LAYERS,
        metavar="K",
        help="build images from the first K layers only (0: prediction)",
    )
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write what was decoded, per frame and tile")
    parser.add_argument(
        "--coder",
        choices=("native", "reference", "constriction"),
        help="range decoder (default: native if built)",
    )
    add_force(parser)
    add_model_arguments(parser)


def read_bytes(path: Path) -> bytes:
    """The file's bytes; UserError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def run(args: argparse.Namespace) -> int:
    if not 0 <= args.layers <= LAYERS:
        raise UserError(f"--layers: expected 0 to {LAYERS}, found {args.layers}")
    output = Output(args.output, [args.input], args.force, folder=is_folder(args.output))
    if args.report:
        check_output(args.report, [args.input], args.force)
    try:
        decoder = StreamDecoder(open_model(args), read_bytes(args.input), args.coder)
        with Progress(decoder.header.frames, "decompressing") as bar:
            decoded = decoder.frames(args.layers, bar.step)
    except StreamError as error:
        raise UserError(f"{args.input}: {error}") from error
    with output as place:
        written = write_series(Series(decoded.frames, _metadata(decoded)), place)
    if args.report:
        write_text(args.report, json.dumps(report(decoded), indent=1) + "\n")
    _say(args.output, len(written), decoded)
    return PARTLY if decoded.problems else DONE


def _metadata(decoded: Decoded) -> dict[str, Any]:
    packed = [e.data for e in decoded.stream.extensions if e.tag == METADATA_TAG]
    try:
        return unpack_metadata(packed[0]) if packed else {}
    except UserError:
        return {}


def report(decoded: Decoded) -> dict[str, Any]:
    """What was decoded, as plain JSON types."""
    return {
        "frames": [{"frame": r.frame, "time": r.time, "tiles": [vars(t) for t in r.tiles]} for r in decoded.reports],
        "problems": decoded.problems,
    }


def _say(output: Path, files: int, decoded: Decoded) -> None:
    where = str(output) if files == 1 else f"{files} files in {output}"
    whole = sum(not r.missing for r in decoded.reports)
    print(f"{where}: {whole} of {len(decoded.reports)} frames whole")
    problems = decoded.problems
    for line in problems[:SHOWN]:
        print(f"  missing or damaged: {line}")
    if len(problems) > SHOWN:
        print(f"  and {len(problems) - SHOWN} more (--report FILE.json lists all)")
