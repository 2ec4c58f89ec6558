"""Compress a series of frames into one `.swp` stream.

    swathpack compress cube.npz -o cube.swp --bytes-per-frame 20000
    swathpack compress scene_a.tif scene_b.tif -o scene.swp --bytes 100000
    swathpack compress folder/ -o scene.swp --quality 24 --layers 8

Budgets include every header and are never exceeded. Prints bytes, bits per pixel and band, and what was left
out.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from swathpack.edge.bands import DROPPED
from swathpack.edge.codec.base_layer import MAX_SHIFT
from swathpack.edge.codec.latents import LAYERS, STEPS
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel, ModelError
from swathpack.edge.codec.tile_coder import RDO_SLOPE
from swathpack.edge.frame import FrameError
from swathpack.edge.stream import StreamError
from swathpack.tools.errors import UserError
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.outputs import Output, add_force
from swathpack.tools.files.rasters import pack_metadata, read_series
from swathpack.tools.progress import Progress

DEFAULT_QUALITY = 24
MAX_THREADS = 256
SEARCH_ROUNDS = 12  # about how often a search over the whole file codes every frame


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        nargs="+",
        type=Path,
        metavar="IN",
        help="an .npz cube, GeoTIFFs (one a date) or a folder of them",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.swp")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--bytes-per-frame", type=int, metavar="N", help="fill at most N bytes a frame, headers included")
    size.add_argument("--bytes", type=int, metavar="N", help="fill at most N bytes in all, headers included")
    size.add_argument("--layers", type=int, metavar="K", help=f"send the first K of {LAYERS} layers at --quality")
    parser.add_argument(
        "--quality",
        type=int,
        metavar="Q",
        help=f"quantiser step index 0 (finest) .. {STEPS - 1} (coarsest), step 64 * 2^(Q/8) DN; "
        f"{DEFAULT_QUALITY} if no budget is given",
    )
    parser.add_argument("--bands", help="comma-separated names, for GeoTIFFs without band descriptions or to pick some")
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
    add_force(parser)
    add_model_arguments(parser)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that every command with the codec takes."""
    parser.add_argument("--model", type=Path, default=DEFAULT_DIRECTORY, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the networks (default 1)")
    parser.add_argument(
        "--engine",
        default="auto",
        help="entropy engine: auto (default), float32, int64 (slow reference), onnxruntime[:off|basic|extended|all]",
    )


def open_model(args: argparse.Namespace) -> EdgeModel:
    """The model of --model, as a UserError when it cannot be loaded."""
    if not 1 <= args.threads <= MAX_THREADS:
        raise UserError(f"--threads: expected 1 to {MAX_THREADS}, found {args.threads}")
    try:
        return EdgeModel(args.model, args.threads, args.engine)
    except ModelError as error:
        raise UserError(str(error)) from error


def check(args: argparse.Namespace) -> None:
    """Refuse numbers that mean nothing, before any work."""
    for name, low, high in (
        ("bytes_per_frame", 1, 1 << 31),
        ("bytes", 1, 1 << 31),
        ("layers", 1, LAYERS),
        ("quality", 0, STEPS - 1),
        ("intra_every", 0, 1 << 16),
    ):
        value = getattr(args, name)
        if value is not None and not low <= value <= high:
            raise UserError(f"--{name.replace('_', '-')}: expected {low} to {high}, found {value}")
    if args.quality is not None and (args.bytes or args.bytes_per_frame):
        raise UserError("--quality goes without a byte budget: the budget decides the quality")


def run(args: argparse.Namespace) -> int:
    check(args)
    output = Output(args.output, args.input, args.force)
    bands = [b.strip() for b in args.bands.split(",")] if args.bands else None
    try:
        series = read_series(args.input, bands)
        dropped = [b for b in series.frames[0].bands if b == DROPPED]
        frames = [f.select([b for b in f.bands if b != DROPPED]) for f in series.frames] if dropped else series.frames
        encoder = SeriesEncoder(
            open_model(args),
            frames,
            pack_metadata(series.metadata),
            args.intra_every,
            0.0 if args.fast else RDO_SLOPE,
            args.base,
        )
        data = _encode(args, encoder, len(frames))
    except (FrameError, StreamError) as error:
        raise UserError(str(error)) from error
    with output as place:
        place.write_bytes(data)
    _report(args, frames, data, dropped)
    return 0


def _encode(args: argparse.Namespace, encoder: SeriesEncoder, count: int) -> bytes:
    searching = args.bytes is not None
    with Progress(SEARCH_ROUNDS * count if searching else count, "compressing") as bar:
        if args.bytes is not None:
            return encoder.in_total(args.bytes, bar.step)
        if args.bytes_per_frame is not None:
            return encoder.per_frame(args.bytes_per_frame, bar.step)
        quality = DEFAULT_QUALITY if args.quality is None else args.quality
        return encoder.at_quality(quality, args.layers or LAYERS, tick=bar.step)


def _report(args: argparse.Namespace, frames: list[Any], data: bytes, dropped: list[str]) -> None:
    samples = sum(f.data.size for f in frames)
    print(
        f"{args.output}: {len(data)} bytes, {len(frames)} frames, {8 * len(data) / samples:.4f} bits per "
        "pixel and band, "
        f"{2 * samples / len(data):.0f} : 1"
    )
    if dropped:
        print(f"left out: {', '.join(dropped)} (the codec codes the twelve bands B01..B12 and B8A)")
