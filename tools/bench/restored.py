"""What `--synthesis best` changes of real files, by band set and rate.

    python -m swathpack.tools.bench.restored ../shared/data --sets B08,3,4,12 [--every 2]     # val cubes
    python -m swathpack.tools.bench.restored ../shared/data --sensors                          # the files in sensors/

One date of every cube that has the bands, the middle 256 x 256 at most, coded by `auto` to its bytes and decoded by both syntheses. Prints
by how many dB the RMSE of all bands is less (mean, least and its scene), and the CPU seconds that a tile of 256 x 256 takes by either.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import swathpack
from swathpack.tools.bench.range_peers import Scene, rmse
from swathpack.tools.bench.transform_coder import SETS, sensor_scenes, val_scenes
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import read_series

RATES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
LARGEST = 256
LEAST_ERROR = 1e-3  # counts: of frames that come back as they were


@dataclass(frozen=True)
class Change:
    """gain: dB; seconds: of CPU by fast and best; size: pixels."""

    name: str
    gain: float
    seconds: tuple[float, float]
    size: int


def middle(scene: Scene) -> Scene:
    """At most LARGEST each way."""
    rows, columns = (
        slice((side - min(side, LARGEST)) // 2, (side + min(side, LARGEST)) // 2) for side in scene.data.shape[1:]
    )
    return Scene(scene.name, scene.data[:, rows, columns], scene.valid[rows, columns], scene.names)


def changed(scene: Scene, rate: float) -> Change | None:
    """Of a file of so many bits a sample; None where these are too few."""
    kind = np.uint8 if scene.data.max() < 256 else np.uint16
    image, budget = scene.data.astype(kind)[None], int(rate * scene.data.size / 8)
    try:
        data = bytes(swathpack.compress(image, bands=scene.names, bytes=budget))
    except UserError:
        return None
    errors, seconds = [], []
    for how in ("fast", "best"):
        stream, start = swathpack.open(data, synthesis=how), time.process_time()
        decoded: NDArray[np.generic] = np.asarray(stream.read_all())[0]
        seconds.append(time.process_time() - start)
        errors.append(max(rmse(scene, decoded), LEAST_ERROR))
    size = scene.data.shape[1] * scene.data.shape[2]
    return Change(scene.name, 20 * float(np.log10(errors[0] / errors[1])), (seconds[0], seconds[1]), size)


def told(title: str, found: dict[float, list[Change]]) -> Iterator[str]:
    """A line a rate."""
    for rate, changes in found.items():
        least = min(changes, key=lambda change: change.gain)
        mean, size = np.mean([c.gain for c in changes]), sum(c.size for c in changes)
        seconds = [sum(c.seconds[n] for c in changes) * LARGEST**2 / size for n in (0, 1)]
        yield (
            f"{title} {rate:g} bits: {len(changes)} scenes, {mean:+.3f} dB, least {least.gain:+.3f} ({least.name}), "
            f"{seconds[0]:.2f} and {seconds[1]:.2f} s a tile"
        )


def band_sets(args: argparse.Namespace) -> Iterator[tuple[str, list[Scene]]]:
    """Titles and scenes of what is asked for."""
    if args.sensors:
        paths = sorted((args.folder / "sensors").glob("*.tif"))
        for path, scene in zip(paths, sensor_scenes(args.folder)):
            yield scene.name, [replace(scene, names=read_series(path).frames[0].bands)]
        return
    for name in args.sets.split(","):
        yield name, list(val_scenes(args.folder, SETS[name], "val"))[:: args.every]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with catalog.json")
    parser.add_argument("--sets", default="B08,3,4,12", help=f"of {', '.join(SETS)} (default %(default)s)")
    parser.add_argument("--sensors", action="store_true", help="the other sensors' files instead")
    parser.add_argument("--every", type=int, default=1, help="only every so manieth cube")
    parser.add_argument("--bppb", type=float, nargs="+", default=list(RATES), help="bits a sample")
    args = parser.parse_args(argv)
    for title, scenes in band_sets(args):
        found: dict[float, list[Change]] = defaultdict(list)
        for number, scene in enumerate(map(middle, scenes), 1):
            for rate in args.bppb:
                change = changed(scene, rate)
                if change is not None:
                    found[rate].append(change)
            print(f"\r{title}: {number} of {len(scenes)} ", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        for line in told(title, found):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
