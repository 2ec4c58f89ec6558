"""Decompress a `.swp` stream.

    swathpack decompress cube.swp -o cube.npz
    swathpack decompress scene.swp -o folder/            GeoTIFFs with the georeference of the input
    swathpack decompress scene.swp -o scene.tif --cog             a cloud-optimised one; --cog zstd
    swathpack decompress cube.swp -o cube.nc                      NetCDF, or cube.zarr
    swathpack decompress cube.swp -o preview.npz --layers 2

A stream that was cut or damaged gives what arrived: the rest is nodata, the report names what is missing, and the exit
code is 3.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.frame import Frame
from swathpack.edge.stream import Stream, StreamError
from swathpack.tools.commands.compress import add_model_arguments, open_model
from swathpack.tools.errors import DONE, PARTLY, MissingPackageError, UserError
from swathpack.tools.files.carried import metadata_of
from swathpack.tools.files.decode_report import Report, ranges_of
from swathpack.tools.files.decoder import MAX_PIXELS, StreamDecoder, check_pixels
from swathpack.tools.files.frame_store import Dates, FrameStore
from swathpack.tools.files.outputs import add_force, check_outputs, write_text
from swathpack.tools.files.rasters import Series, check_form, output_of, write_series
from swathpack.tools.files.rasters.cog import COMPRESSIONS
from swathpack.tools.files.rasters.cube import UnlikeError
from swathpack.tools.progress import Progress

SHOWN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="IN.swp")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.npz|.tif|.nc|.zarr|DIR")
    add_form(parser)
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
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        metavar="N",
        help=f"refuse a stream that claims more pixels than this in all its frames (default {MAX_PIXELS:,})",
    )
    add_force(parser)
    add_model_arguments(parser)


def add_form(parser: argparse.ArgumentParser) -> None:
    """The option of commands that write images."""
    parser.add_argument(
        "--cog",
        nargs="?",
        choices=COMPRESSIONS,
        const=COMPRESSIONS[0],
        default="",
        help="GeoTIFFs are cloud-optimised, with overviews (default compression: deflate)",
    )


def read_bytes(path: Path) -> bytes:
    """The file's bytes; UserError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def run(args: argparse.Namespace) -> int:
    if not 0 <= args.layers <= LAYERS:
        raise UserError(f"--layers: expected 0 to {LAYERS}, found {args.layers}")
    check_outputs((args.output, args.report), [args.input], args.force)
    check_form(args.output, args.cog)
    output = output_of(args.output, [args.input], args.force)
    try:
        decoder = StreamDecoder(open_model(args), read_bytes(args.input), args.coder)
        check_pixels(decoder.header, args.max_pixels)
    except (StreamError, UserError) as error:
        raise UserError(f"{args.input}: {error}") from error
    if not decoder.by_tile:
        raise UserError(f"{args.input}: no tile is in the stream")
    with output as place:
        frames, found = decode(decoder, args.layers, place.parent)
        written, notes = _write(frames, decoder.stream, place, args.cog)
        frames.close()
    if args.report:
        write_text(args.report, json.dumps(report(found), indent=1) + "\n")
    problems = found.problems + notes
    _say(args.output, len(written), found, problems)
    return PARTLY if problems else DONE


def decode(decoder: StreamDecoder, layers: int, scratch: Path) -> tuple[FrameStore, Report]:
    """All frames of a stream; large ones lie in a file in the folder `scratch`."""
    store, reports = FrameStore(decoder.header.height, decoder.header.width, scratch), []
    with Progress(decoder.header.frames, "decompressing") as bar:
        for index in range(decoder.header.frames):
            found = decoder.report(index)
            store.begin(decoder.outline(index))
            for window, tile in decoder.tiles(found, layers):
                store.put(window, tile)
            reports.append(found)
            bar.step()
    return store, Report(decoder.stream, reports)


def _write(frames: FrameStore, stream: Stream, place: Path, cog: str) -> tuple[list[Path], list[str]]:
    """Write the series; returns the files, and what could not be used of what the stream says of its files."""
    metadata = _metadata(stream)
    if place.suffix.lower() == ".npz":
        return _written(frames, metadata, place)
    there = [i for i in range(len(frames)) if frames.has_data(i)]
    if not there:
        raise UserError("no tile could be decoded: there is no date to write")
    files = metadata.get("files")
    if isinstance(files, list) and len(files) == len(frames):
        metadata = metadata | {"files": [files[i] for i in there]}
    return _written(Dates(frames, there), metadata, place, cog)


def _written(
    frames: Sequence[Frame], metadata: dict[str, Any], place: Path, cog: str = ""
) -> tuple[list[Path], list[str]]:
    try:
        return write_series(Series(frames, metadata), place, cog), []
    except (OSError, MemoryError, MissingPackageError, UnlikeError):
        raise
    except Exception as error:  # the metadata are the stream's word, of any shape: the pixels go without them
        if not metadata:
            raise
        if place.is_dir():
            shutil.rmtree(place)
            place.mkdir()
        written = write_series(Series(frames), place, cog)
        return written, [f"what the stream says of its files cannot be used: {error}"]


def _metadata(stream: Stream) -> dict[str, Any]:
    try:
        return metadata_of(stream)
    except UserError:
        return {}


def report(found: Report) -> dict[str, Any]:
    """What was decoded, as plain JSON types."""
    return {
        "frames": [
            {"frame": r.frame, "time": r.time, "tiles": [vars(t) for t in r.tiles], "absent": r.absent}
            for r in found.frames
            if not r.empty
        ],
        "frames_without_data": ranges_of(np.array([r.empty for r in found.frames], np.bool_)),
        "problems": found.problems,
    }


def _say(output: Path, files: int, found: Report, problems: list[str]) -> None:
    where = str(output) if files == 1 else f"{files} files in {output}"
    print(f"{where}: {found.whole} of {len(found.frames)} frames whole")
    for line in problems[:SHOWN]:
        print(f"  missing or damaged: {line}")
    if len(problems) > SHOWN:
        print(f"  and {len(problems) - SHOWN} more (--report FILE.json lists all)")
