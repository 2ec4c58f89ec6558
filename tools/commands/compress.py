"""Compress a series of frames into one `.swp` stream.

    swathpack compress cube.npz -o cube.swp --bytes-per-frame 20000
    swathpack compress scene_a.tif scene_b.tif -o scene.swp --bytes 100000
    swathpack compress folder/ -o scene.swp --quality 24 --layers 8
    swathpack compress scene.tif -o scene.swp --lossless              or --max-error 5: no value off by more
    swathpack compress S2A_MSIL2A_20230101T101411_N0509_R022_T32TQM_20230101T140000.SAFE -o scene.swp --bytes 20000000

Budgets include every header and are never exceeded. One to sixteen bands of any name; every tile takes the better of the
learned codec and the transform coder. Prints bytes, bits per pixel and band, and how tiles were coded.
What was assumed about the input is said, one line each (docs/inputs.md).
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from swathpack import __version__
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel, ModelError
from swathpack.edge.codec.pixels import tile_windows
from swathpack.edge.codec.plain import PlainError
from swathpack.edge.frame import FrameError
from swathpack.edge.stream import StreamError
from swathpack.edge.stream.quality import MAX_SHIFT
from swathpack.tools.errors import DONE, PARTLY, UserError
from swathpack.tools.files.encoder import TILE, SeriesEncoder
from swathpack.tools.files.levels import COARSEST_LEVEL, FINEST_LEVEL, MODES
from swathpack.tools.files.outputs import Output, add_force
from swathpack.tools.files.rasters import read_series
from swathpack.tools.files.rasters.options import add_reading_arguments, reading_options
from swathpack.tools.files.rasters.windowed import read_windowed
from swathpack.tools.files.request import DEFAULT_QUALITY, Request
from swathpack.tools.files.sources import source_of
from swathpack.tools.files.tile_jobs import Choice
from swathpack.tools.files.tile_store import TileStore
from swathpack.tools.files.workers import LEARNED_WORK, all_cores, open_pool
from swathpack.tools.progress import Progress

MAX_THREADS = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        nargs="+",
        type=Path,
        metavar="IN",
        help="an .npz cube; GeoTIFFs or JPEG2000 files, one a date or one a band; SAFE folders or zips; folders of these",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.swp")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--bytes-per-frame", type=int, metavar="N", help="fill at most N bytes a frame, headers included")
    size.add_argument("--bytes", type=int, metavar="N", help="fill at most N bytes in all, headers included")
    size.add_argument("--layers", type=int, metavar="K", help=f"send the first K of {LAYERS} layers at --quality")
    size.add_argument("--lossless", action="store_true", help="every value comes back as it is")
    size.add_argument("--max-error", type=int, metavar="N", help="no value comes back off by more than N counts")
    parser.add_argument(
        "--quality",
        type=float,
        metavar="Q",
        help=f"level {FINEST_LEVEL:g} (finest) .. {COARSEST_LEVEL:g} (coarsest), step 64 * 2^(Q/8) DN; "
        f"{DEFAULT_QUALITY} if no budget is given",
    )
    parser.add_argument(
        "--mode",
        choices=MODES,
        default=MODES[0],
        help="how tiles are coded: auto (default) takes the better, a tile",
    )
    add_reading_arguments(parser, grids=True)
    parser.add_argument(
        "--intra-every",
        type=int,
        default=0,
        metavar="N",
        help="code every Nth frame without context (0: only the first)",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="no optimised quantisation: half the time, about 3 %% more bytes",
    )
    parser.add_argument(
        "--base",
        type=int,
        choices=range(4),
        default=MAX_SHIFT,
        metavar="N",
        help="the first layer is a base of at most so many octaves coarser steps (default 3), 0 for none: a cut stream "
        "is then worth less, and one entropy pass is saved",
    )
    add_long_arguments(parser, "coded")
    add_force(parser)
    add_model_arguments(parser, all_cores=True)


def add_long_arguments(parser: argparse.ArgumentParser, done: str) -> None:
    """Arguments of work that takes long."""
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep a journal beside the output, and go on where an earlier run with the same inputs and options stopped",
    )
    parser.add_argument(
        "--keep-going",
        action="store_true",
        help=f"name tiles that cannot be read or {done} and go on without them (exit code 3)",
    )


def add_model_arguments(parser: argparse.ArgumentParser, all_cores: bool = False) -> None:
    """Arguments that every command with the codec takes."""
    parser.add_argument("--model", type=Path, default=DEFAULT_DIRECTORY, help=argparse.SUPPRESS)
    if all_cores:
        parser.add_argument("--threads", type=int, help="processes that code tiles (default: one a core); same bytes")
    else:
        parser.add_argument("--threads", type=int, default=1, help="CPU threads of the networks (default 1)")
    parser.add_argument(
        "--engine",
        default="auto",
        help="entropy engine: auto (default), float32, int64 (slow reference), onnxruntime[:off|basic|extended|all]",
    )


def check_threads(args: argparse.Namespace) -> None:
    """Refuse a number of threads that means nothing. Raises UserError."""
    if args.threads is not None and not 1 <= args.threads <= MAX_THREADS:
        raise UserError(f"--threads: expected 1 to {MAX_THREADS}, found {args.threads}")


def open_tile_model(args: argparse.Namespace) -> EdgeModel:
    """The model for work on tiles: one thread, since workers share the cores out. Raises UserError."""
    check_threads(args)
    try:
        return EdgeModel(args.model, 1, args.engine)
    except ModelError as error:
        raise UserError(str(error)) from error


def open_model(args: argparse.Namespace) -> EdgeModel:
    """The model of --model, as a UserError when it cannot be loaded."""
    check_threads(args)
    try:
        return EdgeModel(args.model, args.threads or 1, args.engine)
    except ModelError as error:
        raise UserError(str(error)) from error


def request_of(args: argparse.Namespace) -> Request:
    """What the options ask for. Raises UserError for numbers that mean nothing, before any work."""
    return Request(**{item.name: getattr(args, item.name) for item in fields(Request)})


def run(args: argparse.Namespace) -> int:
    request = request_of(args)
    output = Output(args.output, args.input, args.force)
    model = open_tile_model(args)
    try:
        options = reading_options(args)
        series = read_windowed(args.input, options) or read_series(args.input, options=options)
        first = source_of(series.frames[0])
        tiles = len(series.frames) * len(list(tile_windows(first.height, first.width, TILE)))
        store = TileStore(*journal(args, model), folder=output.target.parent)
        learned = Choice(request.mode).tries_learned(first.outline.bands) and not request.exact
        work = tiles * (LEARNED_WORK if learned else 1)
        with open_pool(args.threads or all_cores(), model, work, args.engine) as pool, output as place:
            encoder = request.encoder(model, series, pool, store, args.keep_going)
            with Progress(encoder.ticks(request.budget), "compressing") as bar, place.open("w+b") as file:
                request.run(encoder, bar.step, file)
        store.close(done=True)
    except (FrameError, StreamError, PlainError) as error:
        raise UserError(str(error)) from error
    _report(args, series.frames, encoder, [*series.notes, *_left_out(series.dropped)])
    for line in encoder.failures:
        print(f"left out: {line}")
    return PARTLY if encoder.failures else DONE


def journal(args: argparse.Namespace, model: EdgeModel) -> tuple[Path | None, str]:
    """Where the journal of --resume lies and what it is of: everything that decides the bytes; nothing without --resume."""
    if not args.resume:
        return None, ""
    ignored = ("output", "force", "resume", "threads", "keep_going", "run", "report")
    options = {k: str(v) for k, v in sorted(vars(args).items()) if k not in ignored}
    given = args.input if isinstance(args.input, list) else [args.input]
    files = [f for path in given for f in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    seen = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    told = json.dumps([__version__, model.digest.hex(), model.tables_digest.hex(), options, seen])
    return args.output.with_name(f"{args.output.name}.journal"), hashlib.sha256(told.encode()).hexdigest()


def _left_out(names: Sequence[str]) -> list[str]:
    return [f"left out: {', '.join(names)} (classes and masks are no reflectance)"] if names else []


def _report(args: argparse.Namespace, frames: Sequence[Any], encoder: SeriesEncoder, notes: list[str]) -> None:
    header, size = encoder.header, args.output.stat().st_size
    samples = len(frames) * len(header.bands) * header.height * header.width
    given = samples * np.dtype(header.radiometry.dtype).itemsize
    print(
        f"{args.output}: {size} bytes, {len(frames)} frames, {8 * size / samples:.4f} bits per pixel and band, "
        f"{given / size:.0f} : 1"
    )
    print("tiles: " + ", ".join(f"{n} {mode}" for mode, n in sorted(encoder.modes.items())))
    missing = len(frames) * len(encoder.windows) - encoder.modes.total()
    if missing:
        print(f"{missing} tiles without a byte: no valid pixel, or no room in the budget")
    for note in notes:
        print(f"note: {note}")
