"""Whether more bytes ever make a worse image: every payload of the transform coder cut in steps of 1 %, each cut decoded.

    python -m swathpack.tools.bench.cuts ../shared/data                       # val cubes; B08, four and twelve bands
    python -m swathpack.tools.bench.cuts ../shared/data --sets 4 --every 3    # every third cube

First dates, in tiles of at most 256 x 256, coded down to a step of 1 DN. A rise is by how much the RMSE over valid pixels at a cut
is above the least of shorter cuts, as a share of it; cuts that end inside the header draw the usual means and do not count.
Rounding counts to whole DN moves the error by less than `LEAST_DN`: rises of less are none. Prints a line a scene that has rises,
and the greatest of every set; exit code 1 where one is beyond `MOST`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from swathpack.codec.filters import filtered
from swathpack.edge.codec.pixels import TILE, tile_windows
from swathpack.edge.codec.transform_coder import decode_tile, encode_tile
from swathpack.tools.bench.range_peers import Scene
from swathpack.tools.bench.transform_coder import SETS, val_scenes
from swathpack.tools.errors import UserError

LEAST_DN = 0.01
MOST = 0.01  # of the RMSE before


@dataclass(frozen=True, order=True)
class Rise:
    """share: of the least error before. at: percent of the payload. before, after: RMSE in DN."""

    share: float = 0.0
    at: float = 0.0
    before: float = 0.0
    after: float = 0.0


def errors_of(scene: Scene, step: float) -> list[tuple[float, float]]:
    """(percent, RMSE) of every cut of a scene's one tile, rising."""
    coded = encode_tile(scene.data, scene.valid, scene.names, 1.0)
    found = []
    for percent in np.arange(step, 100 + step / 2, step):
        size = round(len(coded.payload) * percent / 100)
        tile = decode_tile(coded.payload[:size], scene.data.shape, scene.names)
        if tile.started:
            samples = filtered(tile.samples, scene.valid, tile.steps)
            drawn = np.clip(np.rint(samples), 0, 65535).astype(np.float64)
            found.append((float(percent), float(np.sqrt(((drawn - scene.data)[:, scene.valid] ** 2).mean()))))
    return found


def greatest(errors: list[tuple[float, float]]) -> Rise:
    """The greatest rise over what was reached before; none at all is zero."""
    worst, least = Rise(), np.inf
    for at, error in errors:
        if error > least + LEAST_DN:
            worst = max(worst, Rise(error / least - 1, at, float(least), error))
        least = min(least, error)
    return worst


def tiles_of(scene: Scene) -> list[Scene]:
    """The tiles that hold anything."""
    windows = tile_windows(scene.data.shape[1], scene.data.shape[2], TILE)
    parts = [Scene(f"{scene.name} tile {w.index}", w.of(scene.data), w.of(scene.valid), scene.names) for w in windows]
    return [part for part in parts if part.valid.any()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with catalog.json")
    parser.add_argument("--sets", default="B08,4,12", help=f"of {', '.join(SETS)} (default: %(default)s)")
    parser.add_argument("--step", type=float, default=1.0, help="percent of the payload (default: %(default)s)")
    parser.add_argument("--every", type=int, default=1, help="take every so many cubes (default: %(default)s)")
    parser.add_argument("--split", default="val", help="split of the catalogue (default %(default)s)")
    args = parser.parse_args()
    try:
        if unknown := [n for n in args.sets.split(",") if n not in SETS]:
            raise UserError(f"unknown {unknown[0]!r}: sets are {', '.join(SETS)}")
        if not 0.1 <= args.step <= 50 or args.every < 1:
            raise UserError("expected a step of 0.1 to 50 percent, and every cube or every so many")
        worst = max(print_set(name, args) for name in args.sets.split(","))
    except (ValueError, OSError, UserError) as error:
        raise SystemExit(f"error: {error}") from error
    return int(worst.share > MOST)


def print_set(name: str, args: argparse.Namespace) -> Rise:
    """All scenes of a band set; the greatest rise."""
    worst, cuts, scenes = Rise(), 0, 0
    for scene in list(val_scenes(args.folder, SETS[name], args.split))[:: args.every]:
        scenes += 1
        print(f"\r{name}: {scenes} scenes ", end="", file=sys.stderr, flush=True)
        for tile in tiles_of(scene):
            errors = errors_of(tile, args.step)
            rise, cuts = greatest(errors), cuts + len(errors)
            worst = max(worst, rise)
            if rise.share > 0:
                print(f"  {tile.name}: {_told(rise)}", flush=True)
    if not scenes:
        raise UserError(f"no cube of {args.folder} has the bands of set {name}")
    told = _told(worst) if worst.share else "none"
    print(f"set {name}: {scenes} scenes, {cuts:,} cuts, greatest rise {told}", flush=True)
    return worst


def _told(rise: Rise) -> str:
    return f"{rise.share:.3%} at {rise.at:g} % of the bytes, {rise.before:.3f} to {rise.after:.3f} DN"


if __name__ == "__main__":
    raise SystemExit(main())
