"""CPU time of the transform coder beside OpenJPEG, at equal bytes on the same samples in one run.

    OPENBLAS_NUM_THREADS=1 python -m swathpack.tools.bench.transform_speed ../shared/data --sets B08,4,12 --bppb 0.2,1,2
    OPENBLAS_NUM_THREADS=1 python -m swathpack.tools.bench.transform_speed ../shared/data --files   # whole files

First dates of val scenes with sides of at least 200 pixels, their first 256 x 256. Ours codes up to the rate, as a tile of a known
budget; OpenJPEG (9/7, all bands in one codestream, one thread) what it makes of as many bytes. With --files ours are whole files of one
date, by default and with `--fast`, coded and decoded by `swathpack.compress` and `swathpack.open`. The quickest of five runs each,
summed over the scenes. Prints a line a set and rate, with --files two.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

import swathpack
from swathpack.edge.codec.pixels import TILE
from swathpack.edge.codec.transform_coder import decode_tile, encode_tile
from swathpack.edge.spoken import reason
from swathpack.tools.bench.peers.base import PeerError
from swathpack.tools.bench.peers.still import _imagecodecs
from swathpack.tools.bench.range_peers import Scene
from swathpack.tools.bench.transform_coder import SETS, val_scenes

LEAST_SIDE = 200
REPEATS = 5
HALVINGS = 10  # of the range of OpenJPEG's quality


@dataclass(frozen=True)
class Times:
    """CPU seconds of encoder and decoder."""

    encode: float
    decode: float

    def __add__(self, other: Times) -> Times:
        return Times(self.encode + other.encode, self.decode + other.decode)


def quickest(run: Callable[[], Any]) -> float:
    """CPU seconds of the quickest of some runs."""
    found = []
    for _ in range(REPEATS):
        start = process_time()
        run()
        found.append(process_time() - start)
    return min(found)


def ours(scene: Scene, budget: int) -> Times:
    """A tile coded up to `budget` bytes, and decoded."""
    coded = encode_tile(scene.data, scene.valid, scene.names, 1.0, max_bytes=budget)
    return Times(
        quickest(lambda: encode_tile(scene.data, scene.valid, scene.names, 1.0, max_bytes=budget)),
        quickest(lambda: decode_tile(coded.payload, scene.data.shape, scene.names)),
    )


def of_file(scene: Scene, budget: int, fast: bool) -> Times:
    """A file of one date of at most `budget` bytes, made and read."""

    def made() -> bytes:
        return bytes(swathpack.compress(scene.data[None], bands=scene.names, bytes=budget, fast=fast, threads=1))

    data = made()
    return Times(quickest(made), quickest(lambda: swathpack.open(data, threads=1).read_all()))


def openjpeg(scene: Scene, budget: int) -> Times:
    """The same by OpenJPEG, in at most as many bytes. Raises PeerError without imagecodecs."""
    codec, many = _imagecodecs(), len(scene.data) > 1
    image = scene.data if many else scene.data[0]

    def encode(level: float) -> bytes:
        given = {"codecformat": "j2k", "planar": many, "mct": False, "reversible": False, "numthreads": 1}
        return bytes(codec.jpeg2k_encode(image, level=level, **given))

    low, high = 30.0, 96.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if len(encode(middle)) <= budget else (low, middle)
    stream = encode(low)
    return Times(
        quickest(lambda: encode(low)), quickest(lambda: codec.jpeg2k_decode(stream, planar=many, numthreads=1))
    )


FILES: dict[str, Callable[[Scene, int], Times]] = {
    " file": partial(of_file, fast=False),
    " file, --fast": partial(of_file, fast=True),
}


def scenes_of(folder: Path, bands: tuple[str, ...], split: str) -> list[Scene]:
    """Those that are large enough, cut to a tile."""
    found = []
    for scene in val_scenes(folder, bands, split):
        if min(scene.data.shape[1:]) >= LEAST_SIDE:
            data = np.ascontiguousarray(scene.data[:, :TILE, :TILE])
            found.append(Scene(scene.name, data, np.ascontiguousarray(scene.valid[:TILE, :TILE]), scene.names))
    return found


def line(name: str, rate: float, scenes: list[Scene], timed: Callable[[Scene, int], Times]) -> str:
    """What is printed of a set at a rate."""
    mine, theirs = Times(0, 0), Times(0, 0)
    for scene in scenes:
        budget = int(rate * scene.data.size / 8)
        mine, theirs = mine + timed(scene, budget), theirs + openjpeg(scene, budget)
    pairs = ((mine.encode, theirs.encode, "encode"), (mine.decode, theirs.decode, "decode"))
    return f"{name}, {rate:g} bppb, {len(scenes)} scenes: " + "; ".join(
        f"{what} {1e3 * a:.1f} ms, OpenJPEG {1e3 * b:.1f}, ratio {a / b:.2f}" for a, b, what in pairs
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with catalog.json")
    parser.add_argument("--sets", default="B08,4,12", help=f"of {', '.join(SETS)} (default %(default)s)")
    parser.add_argument("--bppb", default="0.2,1,2", help="rates (default %(default)s)")
    parser.add_argument("--files", action="store_true", help="whole files, by default and with --fast")
    parser.add_argument("--split", default="val", help="split of the catalogue (default %(default)s)")
    args = parser.parse_args()
    try:
        rates = [float(rate) for rate in args.bppb.split(",")]
        ways = FILES if args.files else {"": ours}
        for name in args.sets.split(","):
            scenes = scenes_of(args.folder, SETS[name], args.split)
            if not scenes:
                raise PeerError(f"no scene of {args.folder} has the bands of set {name} and {LEAST_SIDE} pixels a side")
            for rate, (title, timed) in product(rates, ways.items()):
                print(line(f"{name}{title}", rate, scenes, timed), flush=True)
    except (KeyError, ValueError, OSError, PeerError) as error:
        raise SystemExit(f"error: {reason(error)}") from error
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
