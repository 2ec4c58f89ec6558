"""Decompress a `.swp` stream.

    swathpack decompress cube.swp -o cube.npz
    swathpack decompress scene.swp -o folder/            GeoTIFFs with the georeference of the input
    swathpack decompress scene.swp -o scene.tif --cog             a cloud-optimised one; --cog zstd
    swathpack decompress cube.swp -o cube.nc                      NetCDF, or cube.zarr
    swathpack decompress cube.swp -o coarse.npz --layers 2
    swathpack decompress scene.swp -o part.tif --window 2000 3000 512 512 --bands B04,B08
    swathpack decompress scene.swp -o small.tif --preview 16
    swathpack decompress scene.swp -o scene.tif --synthesis best  restored by a network, for more time

A stream that was cut or damaged gives what arrived: the rest is nodata, the report names what is missing, and the exit
code is 3. So is it where --layers leaves rows of exact tiles out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from swathpack import __version__
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.frame import Frame
from swathpack.edge.spoken import reason
from swathpack.edge.stream import StreamError
from swathpack.edge.stream.header import MAGIC
from swathpack.edge.stream.quality import is_learned
from swathpack.tools.commands.compress import add_model_arguments, open_tile_model
from swathpack.tools.errors import DONE, PARTLY, MissingPackageError, RefusedError, UsageError, UserError
from swathpack.tools.files.api import drawing
from swathpack.tools.files.decode_report import FrameReport, Report, ranges_of, spoken_errors, spoken_strips
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.frame_store import Dates, FrameStore
from swathpack.tools.files.journal import place_beside
from swathpack.tools.files.limits import MAX_PIXELS, check_files, check_pixels
from swathpack.tools.files.models import add_synthesis, open_restorer
from swathpack.tools.files.outputs import add_force, check_outputs, write_text
from swathpack.tools.files.part_request import PREVIEWS, Part
from swathpack.tools.files.rasters import Series, check_form, is_folder, output_of, write_series
from swathpack.tools.files.rasters.cog import COMPRESSIONS
from swathpack.tools.files.rasters.cube import UnlikeError
from swathpack.tools.files.reading import Reading, read_bytes, stream_metadata
from swathpack.tools.files.synthesis import SYNTHESES, told
from swathpack.tools.files.tile_store import TileStore
from swathpack.tools.files.what_is import A_STREAM, instead
from swathpack.tools.files.workers import LEARNED_WORK, LocalPool, all_cores, open_pool
from swathpack.tools.options import positive
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
        help="build images from the first K layers only (0: prediction); of exact tiles these are strips of rows",
    )
    add_part_arguments(parser)
    add_synthesis(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep a journal beside the output, and go on where an earlier run of the same input and options stopped",
    )
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write what was decoded, per frame and tile")
    parser.add_argument(
        "--coder",
        choices=("native", "reference", "constriction"),
        help="range decoder (default: native if built)",
    )
    parser.add_argument(
        "--max-pixels",
        type=positive,
        default=MAX_PIXELS,
        metavar="N",
        help=f"refuse a stream that claims more pixels than this in all its frames (default {MAX_PIXELS:,})",
    )
    add_force(parser)
    add_model_arguments(parser, all_cores=True)


def add_part_arguments(parser: argparse.ArgumentParser) -> None:
    """What part of a stream; of the file only what that takes is read."""
    area = parser.add_mutually_exclusive_group()
    area.add_argument(
        "--window", type=int, nargs=4, metavar=("ROW", "COL", "HEIGHT", "WIDTH"), help="only these pixels"
    )
    area.add_argument(
        "--bbox",
        type=float,
        nargs=4,
        metavar=("LEFT", "BOTTOM", "RIGHT", "TOP"),
        help="only the pixels of this box, in the coordinates of the files",
    )
    parser.add_argument("--bands", metavar="B02,B03", help="only these bands")
    parser.add_argument("--dates", metavar="0,3,5-7", help="only these dates, by number")
    parser.add_argument("--preview", type=int, choices=PREVIEWS, metavar="N", help="at 1/N of the size (4, 8 or 16)")


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


def run(args: argparse.Namespace) -> int:
    if not 0 <= args.layers <= LAYERS:
        raise UsageError(f"--layers: expected 0 to {LAYERS}, found {args.layers}")
    if args.preview and args.synthesis != SYNTHESES[0]:
        raise UsageError(f"--synthesis {args.synthesis}: a preview shows too little of a frame to be restored")
    check_outputs((args.output, args.report), [args.input], args.force)
    check_form(args.output, args.cog)
    output = output_of(args.output, [args.input], args.force)
    model = open_tile_model(args)
    try:
        reading = Reading.of(args, open_restorer(args.synthesis, args.threads or all_cores()))
        store = TileStore(*journal(args, model), force=args.force)
        decoder = StreamDecoder(model, reading.stream(), args.coder, store=store)
        claimed = reading.claimed(decoder.header)
        check_pixels(claimed, args.max_pixels)
        if is_folder(args.output) and args.output.suffix.lower() != ".zarr":
            check_files(claimed.frames)
    except (UsageError, RefusedError):
        raise
    except (StreamError, UserError) as error:
        raise UserError(_named(args.input, error)) from error
    there = reading.dates_there(decoder)
    if not decoder.by_tile and not there:
        raise UserError(f"{args.input}: no tile is in the stream")
    _check_dates(args.output, len(there))
    work = sum(LEARNED_WORK if is_learned(s[0].quality_byte) else 1 for s in decoder.by_tile.values())
    with open_pool(args.threads or all_cores(), model, work, args.engine) as pool, output as place:
        decoder.pool = None if isinstance(pool, LocalPool) and not store.kept else pool
        with Progress(len(decoder.by_tile), "decompressing") as bar:
            frames, found = decode(decoder, reading, args.layers, place.parent, bar.step)
        metadata = told(reading.metadata(stream_metadata(decoder.stream), decoder.header.frames), reading.restorer)
        written, notes = _write(frames, metadata, place, args.cog)
        frames.close()
    store.close(done=True)
    if args.report:
        write_text(args.report, json.dumps(report(found) | {"synthesis": args.synthesis}, indent=1) + "\n")
    problems = found.problems + notes
    _say(args.output, len(written), found, problems)
    _warn_of_strips(found, args.layers)
    if reading.file is not None:
        print(f"read {min(reading.file.bytes_read, reading.file.size)} of {reading.file.size} bytes")
    return PARTLY if problems else DONE


def _check_dates(output: Path, dates_there: int) -> None:
    """Refuse several dates in one .tif before they are decoded. Raises UserError."""
    if output.suffix.lower() in (".tif", ".tiff") and dates_there > 1:
        dates = f"one .tif holds one date, these are {dates_there}"
        raise UserError(f"{output}: {dates}: give a folder, an .npz, .nc or .zarr, or one date with --dates")


def _named(path: Path, error: Exception) -> str:
    """The error's text, the file's name before it where it does not have it, or what else the file is."""
    if path.is_dir() or (path.is_file() and not read_bytes(path).startswith(MAGIC)):
        return instead(path, A_STREAM)
    return str(error) if str(path) in str(error) else f"{path}: {error}"


def journal(args: argparse.Namespace, model: EdgeModel) -> tuple[Path | None, str]:
    """Where the journal of --resume lies and what it is of: everything that decides the images; nothing without --resume."""
    if not args.resume:
        return None, ""
    ignored = ("output", "force", "resume", "threads", "run", "report", "cog")
    options = {k: str(v) for k, v in sorted(vars(args).items()) if k not in ignored}
    try:
        seen = args.input.stat()
    except OSError as error:
        raise UserError(f"cannot read {args.input}: {reason(error, args.input)}") from error
    of_model = [model.digest.hex(), model.tables_digest.hex(), drawing()]  # tiles are in it as they are drawn
    told = json.dumps([__version__, *of_model, options, seen.st_size, seen.st_mtime_ns])
    return place_beside(args.output, [args.input]), hashlib.sha256(told.encode()).hexdigest()


def _is_learned(decoder: StreamDecoder, index: int, tile: int) -> bool:
    return is_learned(decoder.by_tile[index, tile][0].quality_byte)


def decode(
    decoder: StreamDecoder, reading: Reading, layers: int, scratch: Path, tick: Callable[[], None] = lambda: None
) -> tuple[FrameStore, Report]:
    """All frames of a stream, or a part; large ones lie in a file in the folder `scratch`."""
    part, header = reading.part, decoder.header
    size = (header.height, header.width) if part is None else part.size
    wanted = range(header.frames) if part is None or not part.dates else part.dates
    store, reports = FrameStore(*size, scratch), []
    decoder.restorer, decoder.most = reading.restorer, LAYERS if part is None else part.layers
    for index in range(header.frames):
        if index not in wanted:
            for tile in decoder.tiles_of.get(index, []):
                if _is_learned(
                    decoder, index, tile
                ):  # others are coded against it; the transform coder's are found by need
                    decoder.latent(index, decoder.windows[tile])
                tick()
            continue
        found, outline = decoder.report(index), decoder.outline(index)
        store.begin(outline if part is None else part.outline(outline))
        only = reading.tiles(decoder)
        beside = {w.index for w in filter(reading.beside(header.tile_size), decoder.windows)}
        for window, pixels in decoder.tiles(found, layers, only, beside):
            store.put(*((window, pixels) if part is None else part.of(window, pixels)))
            tick()
        if part is not None and part.preview > 1:
            _whole_where_needed(decoder, reading, found, part, store, layers)
        if not found.missing:
            store.settle()
        reports.append(found)
    return store, Report(decoder.stream, reports)


def _whole_where_needed(
    decoder: StreamDecoder, reading: Reading, found: FrameReport, part: Part, store: FrameStore, layers: int
) -> None:
    """Tiles of a preview of which the beginning was too little are read whole; that others are cut is no damage. Their seams
    stay, with each other too: a window of the preview may hold one of two.
    """
    assert reading.file is not None
    begun = {tile for frame, tile in reading.file.begun if frame == found.frame}
    short = {(found.frame, t.tile) for t in found.tiles if t.layers == 0 and t.tile in begun}
    found.tiles = [
        replace(t, problem="") if t.tile in begun else t for t in found.tiles if (found.frame, t.tile) not in short
    ]
    if not short:
        return
    again = StreamDecoder(decoder.model, reading.stream(short), decoder.coder)
    again.most = part.layers
    for index in range(found.frame):
        for tile in again.tiles_of.get(index, []):
            if _is_learned(again, index, tile):
                again.latent(index, again.windows[tile])
    more = again.report(found.frame)
    for _, tile in sorted(short):
        for window, pixels in again.tiles(more, layers, {tile}):
            store.put(*part.of(window, pixels))
    found.tiles += more.tiles


def _write(frames: FrameStore, metadata: dict[str, Any], place: Path, cog: str) -> tuple[list[Path], list[str]]:
    """Write the series; returns the files, and what could not be used of what the stream says of its files."""
    if place.suffix.lower() == ".npz":
        return _written(frames, metadata, place)
    there = [i for i in range(len(frames)) if frames.is_known(i)]
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


def _warn_of_strips(found: Report, layers: int) -> None:
    """Of exact tiles fewer layers are a part of the image, which looks like all of it where nobody looks at the mask."""
    if lacking := spoken_strips(found.frames):
        why = (
            "; layers of exact tiles are strips of rows: leave out --layers for all of them" if layers < LAYERS else ""
        )
        print(f"swathpack decompress: {lacking}{why}", file=sys.stderr)


def _say(output: Path, files: int, found: Report, problems: list[str]) -> None:
    where = str(output) if files == 1 else f"{files} files in {output}"
    print(f"{where}: {found.whole} of {len(found.frames)} frames whole")
    if promised := spoken_errors(t.max_error for r in found.frames for t in r.tiles):
        print(f"  guaranteed: {promised}")
    for line in problems[:SHOWN]:
        print(f"  missing or damaged: {line}")
    if len(problems) > SHOWN:
        print(f"  and {len(problems) - SHOWN} more (--report FILE.json lists all)")
