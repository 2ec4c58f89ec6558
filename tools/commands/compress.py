"""Compress a series of frames into one `.swp` stream.

    swathpack compress cube.npz -o cube.swp --bytes-per-frame 20000
    swathpack compress scene_a.tif scene_b.tif -o scene.swp --bytes 100000
    swathpack compress folder/ -o scene.swp --quality 24 --layers 8
    swathpack compress scene.tif -o scene.swp --lossless              or --max-error 5: no value off by more
    swathpack compress scene.tif -o scene.swp --bytes 5000000 --region 2000,3000,512,512:max-error=0
    swathpack compress S2A_MSIL2A_20230101T101411_N0509_R022_T32TQM_20230101T140000.SAFE -o scene.swp --bytes 20000000

Budgets include every header and are never exceeded. One to sixteen bands of any name; every tile takes the better of the
learned codec and the transform coder. Prints bytes, bits per pixel and band, and how tiles were coded.
What was assumed about the input is said, one line each (docs/inputs.md).
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

import numpy as np

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel
from swathpack.edge.codec.modes import MODES
from swathpack.edge.codec.plain import PlainError
from swathpack.edge.codec.rate import COARSEST_LEVEL, FINEST_LEVEL
from swathpack.edge.codec.transform_coder import CHOICES as WEIGHTS
from swathpack.edge.codec.transform_coder import TransformCoderError
from swathpack.edge.frame import FrameError
from swathpack.edge.stream import StreamError
from swathpack.edge.stream.quality import MAX_SHIFT
from swathpack.tools.errors import DONE, PARTLY, UserError
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.journal import JournalPool, fingerprint_of, place_beside
from swathpack.tools.files.models import checked_threads, open_model
from swathpack.tools.files.outputs import add_force
from swathpack.tools.files.rasters import Series, read_series, stream_output
from swathpack.tools.files.rasters.options import add_reading_arguments, reading_options
from swathpack.tools.files.rasters.windowed import LEAST_SAMPLES, read_windowed
from swathpack.tools.files.regions import PIXELS, parsed
from swathpack.tools.files.request import DEFAULT_QUALITY, Request, notes_of
from swathpack.tools.files.shelf import Shelf
from swathpack.tools.files.tile_store import TileStore
from swathpack.tools.files.workers import all_cores, open_pool
from swathpack.tools.progress import Progress
from swathpack.tools.words import plural

UNDECIDING = ("output", "force", "resume", "threads", "run", "report")  # options that do not decide the bytes


def _add_goal(parser: argparse.ArgumentParser) -> None:
    """How large or how good the file is to be, and what counts as good."""
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--bytes-per-frame", type=int, metavar="N", help="fill at most N bytes a frame, headers included")
    size.add_argument(
        "--bytes",
        type=int,
        metavar="N",
        help="fill at most N bytes in all, headers included; fewer, without any loss, where these hold every value",
    )
    size.add_argument("--layers", type=int, metavar="K", help=f"send the first K of {LAYERS} layers at --quality")
    size.add_argument(
        "--lossless", action="store_true", help="every value comes back as it is (floats: rounded to steps)"
    )
    size.add_argument(
        "--max-error", type=int, metavar="N", help="no value comes back off by more than N counts (floats: steps)"
    )
    parser.add_argument(
        "--region",
        action="append",
        default=[],
        metavar=PIXELS,
        help="tiles (of 256 pixels) that hold any of these pixels come back within N counts (0 if not given: exact), the others share "
        "what is left; may be given several times; bbox=LEFT,BOTTOM,RIGHT,TOP[:max-error=N] in the files' own coordinates",
    )
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
        help="how tiles are coded: auto (default) takes the better, a tile; those of more than 256 pixels a side are the transform "
        "coder's",
    )
    parser.add_argument(
        "--tile",
        type=int,
        metavar="N",
        help="pixels a side of tiles, 64 to 1024 in steps of 64; by default 384 to 640 for frames of more than 256 where these "
        "take fewer bytes so (with --fast untried), else 256; exact files, with --region or --mode learned 256 at most",
    )
    parser.add_argument(
        "--weights",
        choices=WEIGHTS,
        default=WEIGHTS[0],
        help="of the bands: equal: least squared error over all of them; visible: errors in blue, green and red count twice; "
        "auto (default): 2 to 4 times up to 0.25 bits a sample, the more the darker they are, then less and less, equal from 1 on",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        nargs="+",
        type=Path,
        metavar="IN",
        help="an .npz cube; GeoTIFFs or JPEG2000 files, one a date or one a band; SAFE folders or zips; folders of these",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.swp")
    _add_goal(parser)
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
        help="neither optimised quantisation nor a trellis: half to two thirds of the time, 1 to 10 %% more error in the same bytes; "
        "exact tiles without refined predictions: a third of the time, 1 to 3 %% more bytes",
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
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep a journal beside the output, and go on where an earlier run of the same inputs and options stopped",
    )
    parser.add_argument(
        "--keep-going",
        action="store_true",
        help="what cannot be read counts as without data, tiles that cannot be coded are left out; each is named (exit code 3)",
    )
    add_force(parser)
    add_model_arguments(parser, all_cores=True)


def add_model_arguments(parser: argparse.ArgumentParser, all_cores: bool = False) -> None:
    """Arguments that every command with the codec takes."""
    parser.add_argument(
        "--model",
        type=Path,
        default=DEFAULT_DIRECTORY,
        help="model directory, such as adapt makes (default: the shipped one); a stream is decoded with the one that made it",
    )
    if all_cores:
        parser.add_argument(
            "--threads", type=int, help="processes that work on tiles (default: one a core); same result"
        )
    else:
        parser.add_argument("--threads", type=int, default=1, help="CPU threads of the networks (default 1)")
    parser.add_argument(
        "--engine",
        default="auto",
        help="entropy engine: auto (default), float32, int64 (slow reference), onnxruntime[:off|basic|extended|all]",
    )


def check_threads(args: argparse.Namespace) -> None:
    """Refuse a number of threads that means nothing. Raises UserError."""
    if args.threads is not None:
        checked_threads(args.threads)


def open_tile_model(args: argparse.Namespace) -> EdgeModel:
    """The model for work on tiles: one thread, since workers share the cores out. Raises UserError."""
    check_threads(args)
    return open_model(args.model, 1, args.engine)


def request_of(args: argparse.Namespace) -> Request:
    """What the options ask for. Raises UserError for numbers that mean nothing, before any work."""
    given = {item.name: getattr(args, item.name) for item in fields(Request) if item.name != "regions"}
    return Request(**given, regions=tuple(map(parsed, args.region)))


def run(args: argparse.Namespace) -> int:
    request = request_of(args)
    output = stream_output(args.output, args.input, args.force)
    model = open_tile_model(args)
    try:
        store = journal(args, model) if args.resume else None
        series = read_rows(args)
        work, threads = request.work(series), args.threads or all_cores()
        with open_pool(threads, model, work, args.engine) as workers, output as place:
            pool, shelf = workers if store is None else JournalPool(workers, store), Shelf(place.parent)
            encoder = request.encoder(model, series, pool, shelf, args.keep_going)
            with (
                TileProgress(encoder, request.jobs(series, encoder.header.tile_size)) as bar,
                place.open("w+b") as file,
            ):
                request.run(encoder, bar.step, file)
            shelf.close()
        if store is not None:
            store.close(done=True)
    except (FrameError, StreamError, PlainError, TransformCoderError) as error:
        others = f" and {len(args.input) - 1} more" if len(args.input) > 1 else ""
        raise UserError(f"{args.input[0]}{others}: {error}") from error
    _report(args, encoder, notes_of(series, encoder))
    for line in encoder.failures:
        print(f"left out: {line}")
    return PARTLY if encoder.failures else DONE


def read_rows(args: argparse.Namespace) -> Series:
    """The series: large dates stay on the disk and are read by rows of tiles, as all are that may be damaged. Raises
    UserError.
    """
    options, going = reading_options(args), args.keep_going
    least = 0 if going else LEAST_SAMPLES
    with Progress(0, "reading", unit="rows of tiles") as bar:

        def tick(done: int, total: int) -> None:
            bar.total = total
            bar.step()

        series = read_windowed(args.input, options, least, going, tick)
    return series or read_series(args.input, options=options)


def journal(args: argparse.Namespace, model: EdgeModel) -> TileStore:
    """The journal of --resume, beside the output. Raises UserError."""
    decides = {name: value for name, value in vars(args).items() if name not in UNDECIDING}
    place = place_beside(args.output, args.input)
    return TileStore(place, fingerprint_of(model, decides, args.input), force=args.force)


class TileProgress(Progress):
    """How many tiles are done, each of them by `jobs` steps, and how much of the input that is."""

    def __init__(self, encoder: SeriesEncoder, jobs: int) -> None:
        header = encoder.header
        samples = header.frames * len(header.bands) * header.height * header.width
        super().__init__(header.frames * len(encoder.windows), "compressing", unit="tiles")
        self._bytes, self._jobs, self._steps = samples * np.dtype(header.radiometry.dtype).itemsize, jobs, 0

    def step(self, count: int = 1, note: str = "") -> None:
        """Another `count` jobs are done."""
        self._steps += count
        done = min(self._steps // self._jobs, self.total)
        read = self._bytes * done // max(self.total, 1)
        super().step(done - self.done, note or f"{read / 1e6:.0f} of {self._bytes / 1e6:.0f} MB")


def _report(args: argparse.Namespace, encoder: SeriesEncoder, notes: list[str]) -> None:
    header, size = encoder.header, args.output.stat().st_size
    samples = header.frames * len(header.bands) * header.height * header.width
    given = samples * np.dtype(header.radiometry.dtype).itemsize
    print(
        f"{args.output}: {size} bytes, {plural(header.frames, 'frame')}, {8 * size / samples:.4f} bits per "
        "pixel and band, "
        f"{given / size:{'.0f' if given >= 10 * size else '.2g'}} : 1"
    )
    if encoder.modes:
        print("tiles: " + ", ".join(f"{n} {mode}" for mode, n in sorted(encoder.modes.items())))
    missing = header.frames * len(encoder.windows) - sum(encoder.modes.values())
    if missing:
        print(f"{plural(missing, 'tile')} without a byte: no valid pixel, or no room in the budget")
    for note in notes:
        print(note if note.startswith("left out:") else f"note: {note}")
