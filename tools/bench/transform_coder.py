"""The transform coder beside JPEG2000, JPEG XL, x265, SVT-AV1 and VVC, over all rates and band sets.

    python -m swathpack.tools.bench.transform_coder ../shared/data                # val cubes, every band set
    python -m swathpack.tools.bench.transform_coder ../shared/data --sets B08,4 --bppb 0.1,1 --cubes
    python -m swathpack.tools.bench.transform_coder ../shared/data --sensors      # the files in sensors/
    python -m swathpack.tools.bench.transform_coder ../shared/data --peers all --out runs/rates   # tables and charts
    python -m swathpack.tools.bench.transform_coder ../shared/data --flown        # what boards send, of as many bytes

One date of every cube that has the bands. RMSE in DN over valid pixels at equal bytes, all side information counted: ours
from real prefixes of real payloads, in tiles as large as files have them with one slope for all, filtered as they are drawn; peers
(`range_peers.py`) at a dozen and more settings, interpolated between in the logarithms. Ratios have the geometric mean over the cubes
where both reach the rate. Invalid pixels are filled alike for all.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.filters import filtered
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.flight import aim_of, aims_at
from swathpack.edge.codec.pixels import TileWindow, tile_windows
from swathpack.edge.codec.settings import CodecSettings
from swathpack.edge.codec.transform_coder import CodedTile, DecodedTile, decode_tile, encode_tile, refine_payload
from swathpack.edge.frame import Frame
from swathpack.edge.spoken import reason
from swathpack.tools.bench.kept_points import add_keep, points_of
from swathpack.tools.bench.peers.base import PeerError
from swathpack.tools.bench.range_peers import CURVES, PLAIN, Scene, at_rates, named, rmse
from swathpack.tools.bench.range_report import BandSet, chart, markdown
from swathpack.tools.errors import UserError
from swathpack.tools.files.outputs import Output, add_force, check_outputs, write_text
from swathpack.tools.files.sources import source_of
from swathpack.tools.files.tile_trial import share_out, usual_side

SETS: dict[str, tuple[str, ...]] = {
    "B08": ("B08",),
    "3": ("B02", "B03", "B04"),
    "4": ("B02", "B03", "B04", "B08"),
    "6": ("B02", "B03", "B04", "B8A", "B11", "B12"),
    "10": ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
    "12": BANDS,
    "13": (*BANDS[:10], "B10", *BANDS[10:]),
}
FLOWN_SIDE = 256  # of what flies, unless a mission says otherwise
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0)


# ------------------------------------------------------------------------------------------------------- ours


Coded = dict[
    tuple[int, tuple[int, ...]], tuple[list[TileWindow], list[CodedTile]]
]  # by side, and what tiles are aimed at


def ours(scene: Scene, rates: tuple[float, ...], flown: bool = False) -> list[float]:
    """RMSE at each rate; nan where the bytes do not even hold the headers. flown: as boards code."""
    coded: Coded = {}
    return [_at(scene, rate, coded, flown) for rate in rates]


def _at(scene: Scene, rate: float, coded: Coded, flown: bool) -> float:
    side = FLOWN_SIDE if flown else side_at(scene, rate)
    windows = list(tile_windows(scene.data.shape[1], scene.data.shape[2], side))
    aims = tuple(aimed(window.of(scene.data).size, rate, flown) for window in windows)
    if (side, aims) not in coded:
        coded[side, aims] = windows, [_coded(scene, *each, flown) for each in zip(windows, aims)]
    windows, tiles = coded[side, aims]
    budget = int(rate * scene.data.size / 8)
    given = share_out(tiles, budget) if len(tiles) > 1 else [min(budget, len(tiles[0].payload))]
    decoded, started = np.zeros(scene.data.shape, np.float32), True
    for window, tile, size in zip(windows, tiles, given):
        valid = np.asarray(window.of(scene.valid), np.bool_)
        part, payload = window.of(scene.data), tile.payload[:size]
        drawn = decode_tile(payload, part.shape, scene.names) if flown else best_of(payload, part, valid, scene.names)
        window.of(decoded)[:] = filtered(drawn.samples, valid, drawn.steps)
        started &= drawn.started
    return rmse(scene, np.clip(np.rint(decoded), 0, 65535)) if started else float("nan")


def aimed(samples: int, rate: float, flown: bool) -> int:
    """Bytes that a tile of so many samples is coded for: its part of a file, or what a board aims at when a contact has room for that."""
    room = max(1, int(rate * samples / 8))
    return aim_of(aims_at(CodecSettings().q, samples), room) if flown else room


def side_at(scene: Scene, rate: float) -> int:
    """Pixels a side of the tiles that a file of the scene has at a rate."""
    names = scene.names or tuple(f"band {i + 1}" for i in range(len(scene.data)))
    frame = replace(Frame.from_array(scene.data, names), valid=np.asarray(scene.valid, np.bool_))
    return usual_side([source_of(frame)], "equal", rate)


def _coded(scene: Scene, window: TileWindow, aim: int, flown: bool) -> CodedTile:
    part, valid = window.of(scene.data), np.asarray(window.of(scene.valid), np.bool_)
    most = int(1.5 * part.size)  # boards code all that may be sent, files no more than their share may come to
    return encode_tile(part, valid, scene.names, 1.0, max_bytes=most if flown else min(most, 16 * aim), aim_bytes=aim)


def best_of(
    payload: bytes, tile: NDArray[np.uint16], valid: NDArray[np.bool_], names: tuple[str, ...] | None
) -> DecodedTile:
    """What a file's decoder draws: of the payload, or of it coded once more for its length, whichever has less error."""
    shape = (tile.shape[0], tile.shape[1], tile.shape[2])
    found = [decode_tile(payload, shape, names)]
    refined = refine_payload(payload, tile, valid, names)
    if refined is not None:
        found.append(decode_tile(refined, shape, names))
    return min(found, key=lambda each: float(((each.samples - tile)[:, valid] ** 2).sum(dtype=np.float64)))


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


def compare(
    title: str,
    scenes: list[Scene],
    peers: tuple[str, ...],
    rates: tuple[float, ...],
    keep: Path | None = None,
    flown: bool = False,
) -> BandSet:
    """Every codec on every scene of a band set; progress on stderr. Peers' points are kept in the folder `keep`."""
    rows, start = [], time.process_time()
    for number, scene in enumerate(scenes, 1):
        points = [points_of(peer, CURVES[peer], scene, keep) for peer in peers]
        rows.append([ours(scene, rates, flown), *(at_rates(each, rates) for each in points)])
        seconds = time.process_time() - start
        print(f"\r{title[:50]}: {number} of {len(scenes)}, {seconds:.0f} CPU s ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return BandSet(title, tuple(scene.name for scene in scenes), peers, rates, np.array(rows))


def band_sets(args: argparse.Namespace) -> Iterator[tuple[str, str, list[Scene]]]:
    """Short name, title and scenes of what is asked for."""
    if args.sensors:
        for scene in sensor_scenes(args.folder):
            yield scene.name, scene.name, [scene]
        return
    for name in args.sets.split(","):
        bands = SETS[name]
        title = name if len(bands) == 1 else f"{len(bands)} bands ({', '.join(bands)})"
        yield name, title, list(val_scenes(args.folder, bands, args.split))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with catalog.json")
    parser.add_argument("--sets", default=",".join(SETS), help=f"of {', '.join(SETS)} (default: all)")
    parser.add_argument("--bppb", default=",".join(map(str, RATES)), help="rates (default %(default)s)")
    parser.add_argument("--split", default="val", help="split of the catalogue (default %(default)s)")
    parser.add_argument("--sensors", action="store_true", help="the other sensors' files instead")
    parser.add_argument("--flown", action="store_true", help="as boards code: tiles of 256 pixels, no trellis")
    parser.add_argument(
        "--peers", default=",".join(PLAIN), help=f"of {', '.join(CURVES)}, or all (default %(default)s)"
    )
    parser.add_argument("--cubes", action="store_true", help="a row for every cube: ours / the peers")
    add_keep(parser)
    parser.add_argument("--out", type=Path, help="folder for a table (.md) and a chart (.png) a set")
    add_force(parser)
    args = parser.parse_args()
    try:
        rates = tuple(float(r) for r in args.bppb.split(","))
        peers = named(args.peers, tuple(CURVES))
        if unknown := [n for n in args.sets.split(",") if n not in SETS]:
            raise UserError(f"unknown {unknown[0]!r}: sets are {', '.join(SETS)}")
        if args.out is not None:
            args.out.mkdir(parents=True, exist_ok=True)
        for name, title, scenes in band_sets(args):
            if not scenes:
                raise UserError(f"no cube of {args.folder} has the bands of set {name}")
            table, picture = (args.out / f"{name}{kind}" if args.out else None for kind in (".md", ".png"))
            check_outputs((table, picture), [args.folder], args.force)  # before the minutes that measuring takes
            found = compare(title, scenes, peers, rates, args.keep, args.flown)
            print(markdown(found, args.cubes), flush=True)
            if table is not None and picture is not None:
                write_text(table, markdown(found, each=True), [args.folder], args.force)
                with Output(picture, [args.folder], args.force) as place:
                    chart(found, place)
    except (ValueError, OSError, PeerError, UserError) as error:
        raise SystemExit(f"error: {reason(error)}") from error
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
