"""A large scene for tests of speed and memory: crops of real cubes, no two alike, as one (Big)TIFF of twelve bands.

    python -m swathpack.tools.bench.mosaic ../shared/data build/mosaic.tif --side 4096
    build/mosaic.tif: 4096 x 4096 x 12, 324 blocks of 240 x 240 pixels, 324 crops in 3 orientations

Blocks lie on a regular grid. Every block is another crop: another place or date first, then the same crops turned and
mirrored (eight orientations), then crops that lie half a block off. So nothing is said twice in one orientation, but there
are seams that no real scene has: rates are a little worse than those of one. Contains modified Copernicus Sentinel data.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.tools.errors import UserError
from swathpack.tools.files.outputs import Output, add_force
from swathpack.tools.files.rasters import read_series
from swathpack.tools.guard import guarded

BLOCKS = (240, 180, 120, 60)  # sides that are tried, the largest first
ORIENTATIONS = 8
Pixels = NDArray[np.uint16]


@dataclass(frozen=True)
class Crop:
    """Where a crop lies: number of the cube and date, corner, orientation (bit 2: mirrored, bits 0-1: quarter turns)."""

    source: int
    top: int
    left: int
    orientation: int = 0

    def of(self, sources: list[Pixels], side: int) -> Pixels:
        """(12, side, side) uint16."""
        cut = sources[self.source][:, self.top : self.top + side, self.left : self.left + side]
        turned = np.rot90(cut, self.orientation & 3, (1, 2))
        return turned[:, :, ::-1] if self.orientation & 4 else turned


def load_sources(folder: Path) -> list[Pixels]:
    """(12, H, W) DN without offset of every date of the folder's twelve-band cubes that is mostly valid. Raises UserError."""
    found = []
    for path in sorted(folder.glob("**/*.npz")):
        series = read_series(path)
        if not set(BANDS) <= set(series.frames[0].bands) or min(series.frames[0].data.shape[1:]) < BLOCKS[-1]:
            continue
        for frame in series.frames:
            plain = frame.without_offset().select(BANDS)
            if plain.valid.mean() > 0.98:
                found.append(np.maximum(plain.data, 1))
    if not found:
        raise UserError(f"{folder}: expected .npz cubes with the twelve bands, found none")
    return found


def crops(sources: list[Pixels], side: int, seed: int = 0) -> Iterator[Crop]:
    """All crops of that side that differ, places before orientations, in an order that the seed shuffles."""
    chance = np.random.default_rng(seed)
    for shift in (0, side // 2):
        places = [
            Crop(i, top, left)
            for i, pixels in enumerate(sources)
            for top in range(shift, pixels.shape[1] - side + 1, side)
            for left in range(shift, pixels.shape[2] - side + 1, side)
        ]
        for orientation in range(ORIENTATIONS):
            for i in chance.permutation(len(places)):
                yield Crop(places[i].source, places[i].top, places[i].left, orientation)


def layout(sources: list[Pixels], height: int, width: int, seed: int = 0) -> tuple[int, list[Crop]]:
    """The side of the blocks and the crop of each, row by row. Raises UserError where there are too few crops."""
    for side in BLOCKS:
        wanted = -(-height // side) * -(-width // side)
        found = [crop for crop, _ in zip(crops(sources, side, seed), range(wanted))]
        if len(found) == wanted:
            return side, found
    raise UserError(f"{height} x {width} pixels need {wanted} crops that differ, found {len(found)}")


def rows(sources: list[Pixels], height: int, width: int, seed: int = 0) -> Iterator[Pixels]:
    """The scene from the top, (12, n, width) each."""
    side, chosen = layout(sources, height, width, seed)
    across = -(-width // side)
    for top in range(0, height, side):
        row = chosen[top // side * across : (top // side + 1) * across]
        yield np.concatenate([crop.of(sources, side) for crop in row], 2)[:, : height - top, :width]


def write(path: Path, sources: list[Pixels], height: int, width: int, bands: tuple[str, ...] = BANDS) -> None:
    """A tiled, deflated BigTIFF in planes, written strip by strip."""
    import rasterio

    index = [BANDS.index(b) for b in bands]
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": len(bands),
        "dtype": "uint16",
        "tiled": True,
    }
    profile |= {"compress": "deflate", "predictor": 2, "bigtiff": "yes", "interleave": "band", "crs": "EPSG:32633"}
    transform = rasterio.transform.from_origin(300000, 5000040, 10, 10)
    with rasterio.open(path, "w", transform=transform, **profile) as file:
        for i, band in enumerate(bands):
            file.set_band_description(i + 1, band)
        top = 0
        for strip in rows(sources, height, width):
            file.write(strip[index], window=rasterio.windows.Window(0, top, width, strip.shape[1]))
            top += strip.shape[1]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of .npz cubes")
    parser.add_argument("output", type=Path)
    parser.add_argument("--side", type=int, default=10980, help="rows and columns (default %(default)s)")
    parser.add_argument("--bands", default=",".join(BANDS), help="default: all twelve")
    add_force(parser)
    args = parser.parse_args(argv)
    output = Output(args.output, [args.data], args.force)  # before the minutes that reading takes
    sources, bands = load_sources(args.data), tuple(args.bands.split(","))
    side, chosen = layout(sources, args.side, args.side)
    with output as place:
        write(place, sources, args.side, args.side, bands)
    places = len({(c.source, c.top, c.left) for c in chosen})
    shape = f"{args.side} x {args.side} x {len(bands)}"
    print(f"{args.output}: {shape}, {len(chosen)} blocks of {side} x {side} pixels from {places} crops")
    return 0


if __name__ == "__main__":
    sys.exit(guarded("mosaic", main))
