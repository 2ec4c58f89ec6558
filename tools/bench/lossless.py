"""The predictive coder beside lossless and near-lossless peers, over all band sets: bytes, and CPU time beside CharLS.

    python -m swathpack.tools.bench.lossless ../shared/data                     # val cubes, every band set
    python -m swathpack.tools.bench.lossless ../shared/data --sets B08,4 --cubes
    python -m swathpack.tools.bench.lossless ../shared/data --sensors           # the files in sensors/
    python -m swathpack.tools.bench.lossless ../shared/data --fast              # without refined predictions, as boards code

One date of every cube that has the bands, in tiles of at most 256 x 256; every peer codes the same tiles. Ours is decoded
again and held to its greatest error; where pixels are invalid, a deflated mask is counted to its bytes, while the peers
code whatever stands there. A ratio is ours over the smallest peer of that cube. JPEG XL, JPEG-LS, JPEG2000 and CCSDS 121
are real codestreams; CCSDS 123 is our own size estimate (peers/ccsds123.py).
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.pixels import TILE, tile_windows
from swathpack.edge.codec.predictive import CodedTile, Workspace, backend, decode, encode
from swathpack.edge.spoken import reason
from swathpack.tools.bench.peers.base import PeerError
from swathpack.tools.bench.peers.lossless import LOSSLESS, NEAR_LOSSLESS
from swathpack.tools.bench.peers.still import _imagecodecs
from swathpack.tools.bench.range_peers import Scene
from swathpack.tools.bench.transform_coder import SETS, sensor_scenes, val_scenes

ERRORS = (1, 2, 5, 10, 50)
REFINED_BYTES = 4  # that say so, in a file
REPEATS = 3  # of every timed run; the quickest counts


@dataclass(frozen=True)
class Cut:
    """One tile: samples (C, H, W) uint8 or uint16, validity (H, W)."""

    samples: NDArray[Any]
    valid: NDArray[np.bool_]

    @property
    def mask_bytes(self) -> int:
        """What a mask of the tile takes in a stream: nothing where all is valid."""
        rows = self.valid ^ np.vstack([np.ones_like(self.valid[:1]), self.valid[:-1]])
        return 0 if self.valid.all() else len(zlib.compress(np.packbits(rows).tobytes(), 9))


@dataclass
class Times:
    """CPU seconds and samples."""

    ours: list[float] = field(default_factory=lambda: [0.0, 0.0])
    charls: list[float] = field(default_factory=lambda: [0.0, 0.0])
    samples: int = 0


def cuts(scene: Scene) -> list[Cut]:
    """The scene's tiles, in 8 bits where that is enough."""
    kind = np.uint8 if scene.data.max() < 256 else np.uint16
    windows = tile_windows(scene.data.shape[1], scene.data.shape[2], TILE)
    return [Cut(np.ascontiguousarray(w.of(scene.data), kind), np.ascontiguousarray(w.of(scene.valid))) for w in windows]


def ours(tile: Cut, max_error: int, refined: bool) -> int:
    """Bytes of a tile, after decoding it again. ValueError where the greatest error is exceeded."""
    coded = encode(tile.samples, tile.valid, max_error, refined=refined)
    back = decode(coded.payload, tile.samples.shape, tile.valid, max_error, refined=coded.refined)
    worst = np.abs(back.samples - tile.samples.astype(np.int32))[:, tile.valid].max(initial=0)
    if worst > max_error:
        raise ValueError(f"expected errors up to {max_error}, found {worst}")
    return len(coded.payload) + tile.mask_bytes + REFINED_BYTES * coded.refined


def quickest(run: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of the quickest of a few runs, and what it gave."""
    best, result = float("inf"), None
    for _ in range(REPEATS):
        start = time.process_time()
        result = run()
        best = min(best, time.process_time() - start)
    return best, result


def time_tile(tile: Cut, times: Times, refined: bool) -> None:
    """Ours and CharLS, encoding and decoding the same samples, losslessly."""
    codec, space, shape = _imagecodecs(), Workspace(tile.samples.shape), tile.samples.shape
    bands = [np.ascontiguousarray(band) for band in tile.samples]
    seconds, coded = quickest(lambda: encode(tile.samples, tile.valid, workspace=space, refined=refined))
    assert isinstance(coded, CodedTile)
    times.ours[0] += seconds
    read = partial(decode, coded.payload, shape, tile.valid, 0, space, coded.refined)
    times.ours[1] += quickest(read)[0]
    seconds, streams = quickest(lambda: [codec.jpegls_encode(band) for band in bands])
    times.charls[0] += seconds
    times.charls[1] += quickest(lambda: [codec.jpegls_decode(stream) for stream in streams])[0]
    times.samples += tile.samples.size


def row(name: str, cells: list[str]) -> str:
    """One line of a table."""
    return f"{name[:39]:40s}" + "".join(f"{cell:>18s}" for cell in cells)


def print_sizes(
    scenes: list[Scene],
    max_error: int,
    peers: dict[str, Callable[[NDArray[Any]], float]],
    each: bool,
    refined: bool = True,
) -> None:
    """Bits a sample of ours and every peer, and ours over the best of them."""
    names, table = list(peers), []
    print(row(f"greatest error {max_error}" if max_error else "lossless", ["ours", *names, "ours / best"]))
    for scene in scenes:
        tiles = cuts(scene)
        sizes = [float(sum(ours(tile, max_error, refined) for tile in tiles))]
        sizes += [sum(peer(tile.samples) for tile in tiles) for peer in peers.values()]
        table.append([8 * size / scene.data.size for size in sizes])
        if each:
            print(row(scene.name, [f"{v:.3f}" for v in table[-1]] + [f"{table[-1][0] / min(table[-1][1:]):.3f}"]))
    bits = np.array(table)
    ratios = bits[:, 0] / bits[:, 1:].min(1)
    of_peers = [f"{v:.3f}" for v in (bits[:, :1] / bits).mean(0)]
    print(row(f"mean bits a sample of {len(bits)}", [f"{v:.3f}" for v in bits.mean(0)]))
    print(row("ours / peer, mean", [*of_peers, f"{ratios.mean():.3f}"]))
    print(row("ours / peer, worst", [*(f"{v:.3f}" for v in (bits[:, :1] / bits).max(0)), f"{ratios.max():.3f}"]))


def _bounded(peer: Callable[[NDArray[Any], int], float], max_error: int, tile: NDArray[Any]) -> float:
    return peer(tile, max_error)


def near_lossless(max_error: int) -> dict[str, Callable[[NDArray[Any]], float]]:
    """The peers that guarantee a greatest error."""
    return {name: partial(_bounded, peer, max_error) for name, peer in NEAR_LOSSLESS.items()}


def print_times(scenes: list[Scene], refined: bool) -> None:
    """CPU time a sample beside CharLS, all in this run."""
    times = Times()
    for scene in scenes:
        for tile in cuts(scene):
            time_tile(tile, times, refined)
    for what, a, b in zip(("encode", "decode"), times.ours, times.charls):
        nanoseconds = (1e9 * t / times.samples for t in (a, b))
        print("CPU {}: ours {:.1f} ns a sample, CharLS {:.1f}, ratio {:.2f}".format(what, *nanoseconds, a / b))


def print_set(
    title: str, scenes: list[Scene], errors: tuple[int, ...], peers: list[str], each: bool, refined: bool
) -> None:
    """All tables of one band set."""
    print(f"\n{title}")
    print_sizes(scenes, 0, {name: LOSSLESS[name] for name in peers}, each, refined)
    for max_error in errors:
        print_sizes(scenes, max_error, near_lossless(max_error), each, refined)
    print_times(scenes, refined)


def chosen(args: argparse.Namespace) -> Iterator[tuple[str, list[Scene]]]:
    """Titles of the tables asked for, each with its scenes."""
    if args.sensors:
        yield from ((scene.name, [scene]) for scene in sensor_scenes(args.folder))
        return
    for name in args.sets.split(","):
        scenes = list(val_scenes(args.folder, SETS[name], args.split))
        yield f"set {name} ({', '.join(SETS[name])})", scenes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with catalog.json")
    parser.add_argument("--sets", default=",".join(SETS), help=f"of {', '.join(SETS)} (default: all)")
    parser.add_argument("--errors", default=",".join(map(str, ERRORS)), help="greatest errors (default %(default)s)")
    parser.add_argument("--peers", default=",".join(LOSSLESS), help="lossless peers (default: all)")
    parser.add_argument("--split", default="val", help="split of the catalogue (default %(default)s)")
    parser.add_argument("--sensors", action="store_true", help="the other sensors' files instead")
    parser.add_argument("--fast", action="store_true", help="without refined predictions")
    parser.add_argument("--cubes", action="store_true", help="a row for every cube")
    args = parser.parse_args()
    try:
        if backend() != "native":
            raise PeerError("the C library is not built: python -m swathpack.edge.codec.rangecoder.build")
        errors = tuple(int(e) for e in args.errors.split(",") if e)
        for title, scenes in chosen(args):
            print_set(title, scenes, errors, args.peers.split(","), args.cubes, not args.fast)
    except (KeyError, ValueError, OSError, PeerError) as error:
        raise SystemExit(f"error: {reason(error)}") from error
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
