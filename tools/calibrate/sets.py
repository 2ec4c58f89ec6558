"""Representative tiles from a folder: one set to calibrate with, another, of other places, to judge by.

A folder with catalog.json uses its splits "train" and "val"; one with sub-folders train/ and val/ uses those; in any
other folder every fourth place, by name, judges. A place is an .npz cube, a GeoTIFF, or a sub-folder of GeoTIFFs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, BandError, complete_bands
from swathpack.edge.codec.latents import STRIDE
from swathpack.edge.codec.pixels import TILE, fill_invalid
from swathpack.edge.frame import Frame, FrameError
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import read_series
from swathpack.tools.files.rasters.options import ReadOptions

LEAST_VALID = 0.5
JUDGE_EVERY = 4
SUFFIXES = (".npz", ".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class Tile:
    """`data` (12, H, W) uint16 DN, `valid` (H, W), `pixels` float32 with nodata filled as the encoder does."""

    name: str
    data: NDArray[np.uint16]
    valid: NDArray[np.bool_]
    pixels: NDArray[np.float32]


@dataclass(frozen=True)
class Sets:
    """Tiles of different places; `completed`: how many have bands that the regression filled."""

    calibration: list[Tile]
    judging: list[Tile]
    rule: str
    completed: int


def find_places(folder: Path) -> tuple[list[Path], list[Path], str]:
    """Files or sub-folders to calibrate with and to judge by, and the rule in words. Raises UserError."""
    if not folder.is_dir():
        raise UserError(
            f"{folder}: expected a folder, found a file" if folder.exists() else f"no such folder: {folder}"
        )
    catalogue = folder / "catalog.json"
    if catalogue.is_file():
        return (*_of_catalogue(folder, catalogue), "splits train and val of catalog.json")
    if (folder / "train").is_dir() and (folder / "val").is_dir():
        return _listed(folder / "train"), _listed(folder / "val"), "folders train and val"
    places = _listed(folder)
    if len(places) < 2:
        raise UserError(
            f"{folder}: expected at least 2 places (.npz cubes, GeoTIFFs, or folders of GeoTIFFs), so that one can "
            f"judge what another calibrated; found {len(places)}"
        )
    judge = places[JUDGE_EVERY - 1 :: JUDGE_EVERY] or places[-1:]
    rule = f"every {JUDGE_EVERY}th place judges" if len(places) >= JUDGE_EVERY else "the last place judges"
    return [p for p in places if p not in judge], judge, rule


def _of_catalogue(folder: Path, catalogue: Path) -> tuple[list[Path], list[Path]]:
    try:
        entries = [(folder / e["file"], e["split"]) for e in json.loads(catalogue.read_text())]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{catalogue}: expected a list of entries with file and split: {error}") from error
    calibration, judging = ([p for p, s in entries if s == split] for split in ("train", "val"))
    if not calibration or not judging:
        raise UserError(
            f"{catalogue}: expected files of the splits train and val, found {len(calibration)} and {len(judging)}"
        )
    return calibration, judging


def _listed(folder: Path) -> list[Path]:
    files = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in SUFFIXES]
    inner = [
        p for p in sorted(folder.iterdir()) if p.is_dir() and any(q.suffix.lower() in SUFFIXES[1:] for q in p.iterdir())
    ]
    return sorted(files + inner)


def _tile(name: str, frame: Frame, rng: np.random.Generator) -> Tile | None:
    """A random window of at most 256 pixels; None where too little is valid."""
    sides = [min(s, TILE) // STRIDE * STRIDE for s in (frame.height, frame.width)]
    if min(sides) == 0:
        return None
    top, left = (int(rng.integers(0, s - t + 1)) for s, t in zip((frame.height, frame.width), sides))
    window = np.s_[..., top : top + sides[0], left : left + sides[1]]
    data, valid = np.ascontiguousarray(frame.data[window]), frame.valid[window]
    if valid.mean() < LEAST_VALID:
        return None
    return Tile(name, data, valid, fill_invalid(data.astype(np.float32), valid))


def _of_place(path: Path, rng: np.random.Generator, options: ReadOptions | None) -> tuple[Tile | None, bool]:
    """A tile of one date of the place, and whether bands were filled."""
    try:
        frames = read_series(path, options=options).frames
        frame = frames[int(rng.integers(len(frames)))].without_offset()
        whole = set(BANDS) <= set(frame.bands)
        full = frame.select(BANDS) if whole else complete_bands(frame)
    except (BandError, FrameError) as error:
        raise UserError(f"{path}: {error}") from error
    return _tile(path.stem, full, rng), not whole


def load(
    folder: Path,
    calibration: int,
    judging: int,
    seed: int = 0,
    tick: Callable[[], None] = lambda: None,
    options: ReadOptions | None = None,
) -> Sets:
    """At most so many tiles of each set, one per place, spread over the folder; raises UserError.

    Places with all twelve bands come first; others are used only when there are not enough.
    """
    given, rng = find_places(folder), np.random.default_rng(seed)
    found, completed = [], 0
    for paths, most in zip(given[:2], (calibration, judging)):
        whole: list[Tile] = []
        filled: list[Tile] = []
        for place in rng.permutation(len(paths)):
            if len(whole) >= most:
                break
            tile, was_filled = _of_place(paths[int(place)], rng, options)
            if tile is not None:
                (filled if was_filled else whole).append(tile)
            tick()
        extra = filled[: most - len(whole)] if len(whole) < min(most, 2) else []
        completed += len(extra)
        if not whole + extra:
            raise UserError(f"{folder}: no tile with enough valid pixels among {len(paths)} places")
        found.append(sorted(whole + extra, key=lambda t: t.name))
    return Sets(found[0], found[1], given[2], completed)
