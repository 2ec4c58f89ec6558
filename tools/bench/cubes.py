"""The cubes of a bench: 12-band series from a folder, without offset, B10 dropped."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import read_series

LEAST_SIDE = 32


@dataclass(frozen=True)
class BenchCube:
    """`data` (T, 12, H, W) uint16 DN in the codec's band order, `valid` (T, H, W) bool, `digest` of both."""

    name: str
    data: NDArray[np.uint16]
    valid: NDArray[np.bool_]
    digest: str


def _files(folder: Path, split: str) -> list[Path]:
    """Those the catalogue gives to the split; without one, those in folder/split, else in the folder."""
    catalogue = folder / "catalog.json"
    if catalogue.is_file():
        entries = json.loads(catalogue.read_text())
        return [folder / e["file"] for e in entries if e["split"] == split]
    inner = folder / split
    return sorted((inner if inner.is_dir() else folder).glob("*.npz"))


def load(folder: Path, split: str = "val", limit: int | None = None) -> list[BenchCube]:
    """Cubes with all twelve bands and sides of 32 or more, by name. Raises UserError when there are none."""
    if not folder.is_dir():
        said = (
            f"{folder}: expected a folder, found a file: --range takes it"
            if folder.exists()
            else f"no such folder: {folder}"
        )
        raise UserError(said)
    cubes = [cube for path in _files(folder, split) if (cube := _read(path)) is not None]
    if not cubes:
        raise UserError(
            f"{folder}: no .npz cubes with the twelve bands in split {split!r}; --range takes images of any bands"
        )
    cubes.sort(key=lambda c: c.name)
    return cubes[:limit]


def _read(path: Path) -> BenchCube | None:
    series = read_series(path)
    first = series.frames[0]
    if not set(BANDS) <= set(first.bands) or min(first.height, first.width) < LEAST_SIDE:
        return None
    frames = [f.without_offset().select(BANDS) for f in series.frames]
    data, valid = np.stack([f.data for f in frames]), np.stack([f.valid for f in frames])
    digest = hashlib.sha256(repr(data.shape).encode() + data.tobytes() + valid.tobytes()).hexdigest()[:24]
    return BenchCube(path.stem, data, valid, digest)
