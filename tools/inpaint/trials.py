"""The trials of the evaluation: dates whose truth is known, hidden under clouds."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.spoken import reason
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import read_series
from swathpack.tools.inpaint.clouds import cloud_mask
from swathpack.tools.inpaint.cube import Cube, cube_of
from swathpack.tools.inpaint.detect import DILATE, detect, dilated

COVERS = ((0.05, 0.10), (0.10, 0.25), (0.25, 0.50), (0.50, 0.75), (0.75, 1.00))
CLEAR_DATE = 0.15  # at most so much real cloud on a date that is hidden under synthetic ones
CLOUDY = (0.02, 0.40)  # real cover of the dates of the second kind of trial
LARGEST = 128  # pixels of the largest synthetic structure: 1.3 km
HIDDEN_DN = 7000.0  # what stands under a synthetic cloud
MIN_SCORED = 100  # pixels

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Trial:
    """One date of one cube under the clouds `mask` (H, W), besides those it has. kind: synthetic or real."""

    name: str
    kind: str
    date: int
    whole: Cube
    mask: Mask

    @property
    def truth(self) -> NDArray[np.float32]:
        """(C, H, W) DN of the date as it is."""
        out: NDArray[np.float32] = self.whole.frames[self.date]
        return out

    @property
    def scored(self) -> Mask:
        """(H, W) pixels whose truth is known and hidden."""
        out: Mask = self.mask & self.whole.clear[self.date]
        return out

    @property
    def hole(self) -> Mask:
        """(H, W) pixels to repair: hidden ones and real clouds."""
        out: Mask = self.mask | ~self.whole.clear[self.date]
        return out

    @property
    def cover(self) -> float:
        """Share of the frame under cloud, real and hidden."""
        return float(self.hole.mean())

    def hidden(self) -> Cube:
        """The cube as the methods get it: bright where the hole is, and not clear there."""
        clear, frames = self.whole.clear.copy(), self.whole.frames.copy()
        clear[self.date] &= ~self.mask
        frames[self.date][:, self.hole] = HIDDEN_DN
        return replace(self.whole, frames=frames, clear=clear)


def load_cubes(root: Path, split: str, min_dates: int, min_bands: int, side: int) -> Iterator[tuple[str, Cube, Mask]]:
    """(name, cube, real clouds (T, H, W)) of a split's series, cut into pieces of at most `side` pixels. Raises
    UserError.
    """
    try:
        catalog = json.loads((root / "catalog.json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{root}: expected a folder with catalog.json ({reason(error, root)})") from error
    for entry in catalog:
        if entry["split"] != split or entry["T"] < min_dates or entry["C"] < min_bands:
            continue
        series = read_series(root / entry["file"])
        frames = [f.select([b for b in f.bands if b in BANDS]) for f in series.frames]
        clouds = dilated(detect(frames), DILATE)
        yield from pieces(Path(entry["file"]).stem, cube_of(frames, clouds), clouds, side)


def pieces(name: str, cube: Cube, clouds: Mask, side: int) -> Iterator[tuple[str, Cube, Mask]]:
    """The cube in equal pieces of at most `side` pixels, named by their place where there are several."""
    counts = [-(-n // side) for n in clouds.shape[1:]]
    for row, rows in enumerate(np.array_split(np.arange(clouds.shape[1]), counts[0])):
        for column, columns in enumerate(np.array_split(np.arange(clouds.shape[2]), counts[1])):
            part = np.s_[..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            made = replace(cube, frames=cube.frames[part], clear=cube.clear[part])
            yield name + (f"[{row},{column}]" if counts != [1, 1] else ""), made, clouds[part]


def synthetic(name: str, cube: Cube, dates: int) -> Iterator[Trial]:
    """Up to `dates` clear dates with an earlier clear one, each under one cloud of every range of cover."""
    usable = [t for t in _clear(cube) if any(e < t for e in _clear(cube))]
    for date in _spaced(usable, dates):
        for low, high in COVERS:
            rng = np.random.default_rng([zlib.crc32(name.encode()), date, round(100 * low)])
            cover = rng.uniform(low, high)
            mask = cloud_mask(cube.clear.shape[1], cube.clear.shape[2], cover, rng, LARGEST)
            yield from _hidden(name, "synthetic", cube, date, mask)


def real(name: str, cube: Cube, clouds: Mask, dates: int) -> Iterator[Trial]:
    """Up to `dates` dates with real clouds: the date's own clouds, mirrored, hide clear ground besides."""
    share = clouds.mean((1, 2))
    usable = [t for t in range(1, len(share)) if CLOUDY[0] <= share[t] <= CLOUDY[1] and cube.clear[:t].any()]
    for date in _spaced(usable, dates):
        mirrored = clouds[date, ::-1, ::-1]
        yield from _hidden(name, "real", cube, date, mirrored)


def _clear(cube: Cube) -> list[int]:
    return [t for t in range(len(cube.clear)) if 1 - cube.clear[t].mean() <= CLEAR_DATE]


def _spaced(dates: list[int], count: int) -> list[int]:
    if len(dates) <= count:
        return dates
    return [dates[round(i * (len(dates) - 1) / max(count - 1, 1))] for i in range(count)]


def _hidden(name: str, kind: str, cube: Cube, date: int, mask: Mask) -> Iterator[Trial]:
    trial = Trial(name, kind, date, cube, mask)
    if trial.scored.sum() >= MIN_SCORED:
        yield trial
