"""The transform coder beside JPEG2000, with and without a frame's own KLT, over all rates and band sets.

    python -m swathpack.tools.bench.transform_coder ../shared/data                # val cubes, every band set
    python -m swathpack.tools.bench.transform_coder ../shared/data --sets B08,4 --bppb 0.1,1 --cubes
    python -m swathpack.tools.bench.transform_coder ../shared/data --sensors      # the files in sensors/

One date of every cube that has the bands. RMSE in DN over valid pixels at equal bytes, all side information counted: ours
from real prefixes of real payloads, tile by tile (256 pixels) with one slope for all tiles; JPEG2000 (OpenJPEG, 9/7, whole
frame, all bands in one codestream, truncated where the slope is equal) at a dozen and a half qualities, interpolated
between in the logarithms. The KLT takes 16 bits an entry and a mean. A mean row has the ratios' geometric mean over the
cubes where both reach the rate. Invalid pixels are filled alike for all.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.pixels import fill_invalid, tile_windows
from swathpack.edge.codec.plain import Curve
from swathpack.edge.codec.transform_coder import CodedTile, decode_tile, encode_tile
from swathpack.tools.bench.peers.base import PeerError
from swathpack.tools.bench.peers.klt import Klt, PlaneRange

SETS: dict[str, tuple[str, ...]] = {
    "B08": ("B08",),
    "3": ("B02", "B03", "B04"),
    "4": ("B02", "B03", "B04", "B08"),
    "6": ("B02", "B03", "B04", "B8A", "B11", "B12"),
    "10": ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
    "12": BANDS,
    "13": (*BANDS[:10], "B10", *BANDS[10:]),
}
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0)
LEVELS = np.arange(30.0, 96.0, 2.0)  # OpenJPEG's quality, dB against 65,535
TILE = 256
Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """One date: (C, H, W) integers, (H, W) validity, names for the statistics that go without saying, or None."""

    name: str
    data: NDArray[np.uint16]
    valid: NDArray[np.bool_]
    names: tuple[str, ...] | None

    @property
    def filled(self) -> NDArray[np.float32]:
        """Samples with invalid pixels filled smoothly."""
        return fill_invalid(self.data.astype(np.float32), self.valid)


def rmse(scene: Scene, decoded: NDArray[np.floating]) -> float:
    """Over valid pixels of all bands."""
    return float(np.sqrt(((decoded - scene.data)[:, scene.valid].astype(np.float64) ** 2).mean()))


# ------------------------------------------------------------------------------------------------------- ours


def ours(scene: Scene, rates: tuple[float, ...]) -> list[float]:
    """RMSE at each rate; nan where the bytes do not even hold the headers."""
    windows = list(tile_windows(scene.data.shape[1], scene.data.shape[2], TILE))
    budgets = [int(rate * scene.data.size / 8) for rate in rates]
    tiles = []
    for window in windows:
        part, valid = window.of(scene.data), window.of(scene.valid)
        coded = encode_tile(part, np.asarray(valid, np.bool_), scene.names, 1.0, max_bytes=int(1.5 * part.size))
        tiles.append(coded)
    found = []
    for budget in budgets:
        given = share_out(tiles, budget) if len(tiles) > 1 else [min(budget, len(tiles[0].payload))]
        decoded, started = np.zeros(scene.data.shape, np.float32), True
        for window, coded, size in zip(windows, tiles, given):
            shape = (len(scene.data), window.height, window.width)
            tile = decode_tile(coded.payload[:size], shape, scene.names)
            window.of(decoded)[:] = tile.samples
            started &= tile.started
        found.append(rmse(scene, np.clip(np.rint(decoded), 0, 65535)) if started else float("nan"))
    return found


def share_out(tiles: list[CodedTile], budget: int) -> list[int]:
    """Bytes a tile where the slope of squared error by bytes is the same for all."""
    curves = [Curve.of(tile.curve_bytes, tile.curve_error) for tile in tiles]
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        fits = sum(curve.bytes_at(2.0**middle) for curve in curves) <= budget
        low, high = (low, middle) if fits else (middle, high)
    return [curve.bytes_at(2.0**high) for curve in curves]


# ---------------------------------------------------------------------------------------------------- JPEG2000


def jpeg2000(scene: Scene, klt: bool) -> list[tuple[float, float]]:
    """(bits a pixel and band, RMSE) at falling steps of OpenJPEG's quality."""
    try:
        import imagecodecs
    except ImportError as error:
        raise PeerError("JPEG2000 needs imagecodecs: pip install 'swathpack[bench]'") from error
    filled = scene.filled.astype(np.float64)
    count = len(filled)
    mean = np.rint(filled.mean((1, 2)))
    basis = (
        np.linalg.eigh(np.cov(filled.reshape(count, -1)).reshape(count, count))[1][:, ::-1].T if klt else np.eye(count)
    )
    transform = Klt(basis, mean)
    planes = np.einsum("ij,jhw->ihw", basis, filled - mean[:, None, None])
    scale = PlaneRange.fitting(planes[None], 16) if klt else PlaneRange(0, -4096, 16)
    image = np.ascontiguousarray(scale.quantise(planes))
    side = 16 * count + (16 * count**2 if klt else 0)
    points = []
    for level in LEVELS + 20 * np.log10(scale.step):
        options: dict[str, Any] = {
            "codecformat": "j2k",
            "mct": False,
            "reversible": False,
            "resolutions": 6,
            "numthreads": 1,
        }
        stream = imagecodecs.jpeg2k_encode(image if count > 1 else image[0], level=level, planar=count > 1, **options)
        back = imagecodecs.jpeg2k_decode(stream, planar=True, numthreads=1).reshape(image.shape)
        decoded = np.einsum("ij,ihw->jhw", basis, scale.dequantise(back)) + transform.mean[:, None, None]
        points.append(((8 * len(stream) + side) / image.size, rmse(scene, np.clip(np.rint(decoded), 0, 65535))))
        if points[-1][0] > 1.2 * max(RATES):
            break
    return points


def at_rates(points: list[tuple[float, float]], rates: tuple[float, ...]) -> list[float]:
    """RMSE at each rate, linear between points in the logarithms; nan outside."""
    curve = np.log(np.maximum(np.array(sorted(set(points))), 1e-3))
    x, y = curve.T
    return [float(e) for e in np.exp(np.interp(np.log(rates), x, y, left=np.nan, right=np.nan))]


# ------------------------------------------------------------------------------------------------------ scenes


def val_scenes(folder: Path, bands: tuple[str, ...], split: str) -> Iterator[Scene]:
    """The first date of every cube of the split that has the bands."""
    entries = json.loads((folder / "catalog.json").read_text())
    for entry in entries:
        if entry["split"] != split or not set(bands) <= set(entry["bands"]):
            continue
        with np.load(folder / entry["file"]) as archive:
            index = [[str(b) for b in archive["bands"]].index(b) for b in bands]
            data = archive["data"][0][index]
        yield Scene(Path(entry["file"]).stem, data, data.any(axis=0), bands)


def sensor_scenes(folder: Path) -> Iterator[Scene]:
    """Other sensors' samples: GeoTIFFs in sensors/."""
    import tifffile

    for path in sorted((folder / "sensors").glob("*.tif")):
        data = tifffile.imread(path)
        data = data[None] if data.ndim == 2 else data
        data = np.moveaxis(data, -1, 0) if data.shape[-1] < 17 else data
        yield Scene(path.stem, data.astype(np.uint16), np.asarray(data.any(axis=0), np.bool_), None)


# ------------------------------------------------------------------------------------------------------ report


def compare(scene: Scene, rates: tuple[float, ...]) -> Reals:
    """(3, R): ours, JPEG2000, JPEG2000 + KLT."""
    plain = at_rates(jpeg2000(scene, klt=False), rates)
    with_klt = at_rates(jpeg2000(scene, klt=True), rates) if len(scene.data) > 1 else plain
    return np.array([ours(scene, rates), plain, with_klt])


def print_set(title: str, scenes: list[Scene], rates: tuple[float, ...], each: bool) -> None:
    """One band set's table."""
    start, rows = time.process_time(), []
    print(f"\n{title}: RMSE in DN, ours / JPEG2000 / JPEG2000 + own KLT")
    print(f"{'bits a pixel and band':40s}" + "".join(f"{rate:>20g}" for rate in rates))
    for scene in scenes:
        found = compare(scene, rates)
        rows.append(found)
        if each:
            cells = (" / ".join(f"{v:.1f}" for v in column) for column in found.T)
            print(f"{scene.name[:39]:40s}" + "".join(f"{cell:>20s}" for cell in cells))
    table = np.array(rows)
    means = np.exp(np.nanmean(np.log(np.where(np.isnan(table).any(1, keepdims=True), np.nan, table)), axis=0))
    print(f"{'mean of ' + str(len(rows)):40s}" + "".join(f"{' / '.join(f'{v:.1f}' for v in c):>20s}" for c in means.T))
    best = table[:, 0] / np.fmin(table[:, 1], table[:, 2])
    for name, row in (
        ("ours / better of both, mean", np.exp(np.nanmean(np.log(best), 0))),
        ("worst", np.nanmax(best, 0)),
    ):
        print(f"{name:40s}" + "".join(f"{v:>20.3f}" for v in row))
    print(f"{time.process_time() - start:.0f} CPU s")


def main() -> int:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with catalog.json")
    parser.add_argument("--sets", default=",".join(SETS), help=f"of {', '.join(SETS)} (default: all)")
    parser.add_argument("--bppb", default=",".join(map(str, RATES)), help="rates (default %(default)s)")
    parser.add_argument("--split", default="val", help="split of the catalogue (default %(default)s)")
    parser.add_argument("--sensors", action="store_true", help="the other sensors' files instead")
    parser.add_argument("--cubes", action="store_true", help="a row for every cube")
    args = parser.parse_args()
    try:
        rates = tuple(float(r) for r in args.bppb.split(","))
        wanted = {name: SETS[name] for name in args.sets.split(",")}
        if args.sensors:
            for scene in sensor_scenes(args.folder):
                print_set(scene.name, [scene], rates, each=False)
            return 0
        for name, bands in wanted.items():
            scenes = list(val_scenes(args.folder, bands, args.split))
            print_set(f"set {name} ({', '.join(bands)})", scenes, rates, args.cubes)
    except (KeyError, ValueError, OSError, PeerError) as error:
        raise SystemExit(f"error: {error}") from error
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
