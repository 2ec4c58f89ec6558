"""Sentinel-2 bands: names, grids, statistics, and the regression that fills bands a sensor did not give.

The codec codes twelve bands, in the order of SSL4EO-S12 (Wang et al. 2023, "SSL4EO-S12: a large-scale
multi-modal, multi-temporal dataset", which drops the cirrus band B10 of L1C products).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.digests import vouched
from swathpack.edge.spoken import reason

if TYPE_CHECKING:
    from swathpack.edge.frame import Frame

BANDS: tuple[str, ...] = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
DROPPED = "B10"  # the cirrus band of L1C; L2A has none and the codec does not code it

# Ground sampling of the sensor, metres, and band centre, nanometres (ESA Sentinel-2 user handbook, table 1).
NATIVE_M: dict[str, int] = dict(zip(BANDS, (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 20, 20)))
CENTRE_NM: dict[str, int] = dict(zip(BANDS, (443, 490, 560, 665, 705, 740, 783, 842, 865, 945, 1610, 2190)))

# SSL4EO-S12 v1.1, L2A, digital numbers without the +1000 offset.
SSL4EO_MEAN: NDArray[np.float32] = np.array(
    [
        793.243,
        924.863,
        1184.553,
        1340.936,
        1671.402,
        2240.082,
        2468.412,
        2563.243,
        2627.704,
        2711.071,
        2416.714,
        1849.625,
    ],
    np.float32,
)
SSL4EO_STD: NDArray[np.float32] = np.array(
    [
        1160.144,
        1201.092,
        1219.943,
        1397.225,
        1400.035,
        1373.136,
        1429.170,
        1485.025,
        1447.836,
        1652.703,
        1471.002,
        1365.307,
    ],
    np.float32,
)

STATISTICS_FILE = Path(__file__).resolve().parent.parent / "models" / "edge" / "band_statistics.npz"

# Sensor noise plus resampling, DN rms: keeps the regression stable when given bands are nearly collinear.
NOISE_DN = 15.0
MAX_DN = 65535
MAX_NAME = 80


class BandError(ValueError):
    """A band list that cannot be used; the message names the bands."""


class StatisticsError(ValueError):
    """The band statistics file is missing or is not one."""


def normalise_name(raw: str) -> str:
    """`b2`, `B2`, `B02`, `band_2`, `B8a` -> `B02`, `B8A`. Raises BandError for a name that is no S2 band."""
    text = str(raw).strip().upper()
    for prefix in ("BAND", "B"):
        if text.startswith(prefix):
            text = text[len(prefix) :].lstrip("_- ")
            break
    if text.isdigit():
        text = f"{int(text):02d}"
    name = f"B{text.lstrip('0')}" if text.endswith("A") else f"B{text}"
    if name not in NATIVE_M and name != DROPPED:
        raise BandError(f"unknown band {str(raw)!r}; known: {', '.join(BANDS)} and {DROPPED}")
    return name


def normalise_names(raw: Sequence[str]) -> tuple[str, ...]:
    """All names normalised; raises BandError that lists every unknown or repeated one."""
    names, unknown = [], []
    for item in raw:
        try:
            names.append(normalise_name(item))
        except BandError:
            unknown.append(str(item))
    if unknown:
        raise BandError(f"unknown band(s) {', '.join(unknown)}; known: {', '.join(BANDS)} and {DROPPED}")
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise BandError(f"band(s) given more than once: {', '.join(twice)} (from {', '.join(map(str, raw))})")
    return tuple(names)


def frame_names(raw: Sequence[str]) -> tuple[str, ...]:
    """Names of a frame's bands: Sentinel-2's normalised, others as they are. Raises BandError for repeated, empty or
    unprintable ones.
    """
    return _frame_names(tuple(map(str, raw)))


@lru_cache(maxsize=64)
def _frame_names(raw: tuple[str, ...]) -> tuple[str, ...]:
    """A series has the same names for each of its frames, and a file may claim 65,536 of them."""
    names = []
    for item in raw:
        try:
            names.append(normalise_name(item))
        except BandError:
            names.append(item.strip())
    bad = [n for n in names if not (n and n.isprintable() and len(n) <= MAX_NAME)]
    if bad:
        raise BandError(f"expected printable band names of 1 to {MAX_NAME} characters, found {bad}")
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise BandError(f"band(s) given more than once: {', '.join(twice)} (from {', '.join(raw)})")
    return tuple(names)


def coded(names: Sequence[str]) -> tuple[str, ...]:
    """Those of `names` that the codec codes, in the codec's order."""
    return tuple(b for b in BANDS if b in names)


@dataclass(frozen=True)
class BandStatistics:
    """Mean (12,) and covariance (12, 12) of the twelve bands in DN, float64."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


@lru_cache(maxsize=8)
def load_statistics(kind: str = "pooled", path: Path = STATISTICS_FILE) -> BandStatistics:
    """Reads the shipped statistics of one kind.

    pooled: plain moments of both levels together. L1C, L2A, unknown: robust moments of that level (or of
    both), for regression. Raises StatisticsError when the file is missing, malformed, or not the one that the model's
    manifest beside it names: the transform coder's images depend on it.
    """
    try:
        with np.load(io.BytesIO(vouched(path)), allow_pickle=False) as archive:
            mean = archive[f"{kind}_mean"].astype(np.float64)
            covariance = archive[f"{kind}_covariance"].astype(np.float64)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:  # ValueError: DigestError too
        raise StatisticsError(f"band statistics {path}: {reason(error, path)}") from error
    if mean.shape != (12,) or covariance.shape != (12, 12):
        raise StatisticsError(
            f"band statistics {path}: expected (12,) and (12, 12), found {mean.shape} and {covariance.shape}"
        )
    return BandStatistics(mean, covariance)


@lru_cache(maxsize=64)
def completion_matrix(
    present: tuple[str, ...], level: str = "unknown", path: Path = STATISTICS_FILE
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """gain (12, P) and offset (12,) float32 so that `gain @ given + offset` are the twelve bands in DN.

    Given bands pass through; the others are their conditional mean under a Gaussian with the shipped mean and
    covariance (linear regression; Bishop 2006, "Pattern Recognition and Machine Learning", section 2.3.1).
    `level` (L1C, L2A, unknown) chooses the statistics: the atmosphere moves B01 and B09 most.
    Raises BandError when `present` is empty or names a band outside the twelve.
    """
    names = normalise_names(present)
    if not names or any(n not in NATIVE_M for n in names):
        raise BandError(f"expected at least one of {', '.join(BANDS)}; found {', '.join(present) or 'none'}")
    statistics = load_statistics(level, path)
    index = [BANDS.index(n) for n in names]
    given = statistics.covariance[np.ix_(index, index)] + NOISE_DN**2 * np.eye(len(index))
    gain = np.linalg.solve(given, statistics.covariance[index]).T
    gain[index] = np.eye(len(index))
    offset = statistics.mean - gain @ statistics.mean[index]
    offset[index] = 0
    return gain.astype(np.float32), offset.astype(np.float32)


def complete_bands(frame: Frame, path: Path = STATISTICS_FILE) -> Frame:
    """The frame with exactly the twelve bands in the codec's order; those it lacks are filled by regression.

    Filled values stay within 1..65535 on valid pixels; invalid pixels are 0 in all bands. Other bands are left out.
    The counts must be DN without the +1000 offset: call `Frame.without_offset` first.
    Raises BandError when the frame has none of the twelve or is not in plain DN.
    """
    if frame.bands == BANDS:
        return frame
    names = _some_coded(frame)
    if (frame.boa_offset or not frame.radiometry.plain) and len(names) < len(BANDS):
        raise BandError("expected DN without the +1000 offset to fill bands; call without_offset() first")
    given = frame.select(names)
    full = _completed(given.data, names, frame.level, frame.valid, path).astype(np.uint16)
    grid = tuple(frame.grid[frame.bands.index(b)] if b in names else 1 for b in BANDS)
    return replace(frame, data=full, bands=BANDS, grid=grid, holes=_twelve_holes(given), wavelengths=())


def _some_coded(frame: Frame) -> tuple[str, ...]:
    """Those of the twelve that a frame has. Raises BandError where it has none."""
    names = coded(frame.bands)
    if not names:
        raise BandError(f"expected at least one of {', '.join(BANDS)}; found {', '.join(frame.bands)}")
    return names


def complete_dn(frame: Frame, path: Path = STATISTICS_FILE) -> NDArray[np.float32]:
    """(12, H, W) float32 DN of a frame in any radiometry, with or without the +1000: what the analysis transform takes.

    Nothing is clipped: dark pixels below the offset stay negative. A band's holes are filled from the other bands, as
    bands that are not there at all. Raises BandError when the frame has none of the twelve.
    """
    names = _some_coded(frame)
    given = frame if frame.bands == names else frame.select(names)
    full = _completed(given.dn(), names, frame.level, frame.valid, path).astype(np.float32)
    if given.holes.any():
        _fill_holes(full, given, path)
    return full


def filled_counts(frame: Frame, path: Path = STATISTICS_FILE) -> NDArray[np.uint16]:
    """(C, H, W) counts of a frame with its holes filled, so that they cost little: from the other bands as `complete_dn`
    does, bands that the codec does not know by their mean.
    """
    if not frame.holes.any():
        return frame.data
    out = frame.data.copy()
    dn = complete_dn(frame, path) if coded(frame.bands) else None
    for i, band in enumerate(frame.bands):
        hole = frame.holes[i] & frame.valid
        if not hole.any():
            continue
        if dn is not None and band in BANDS:
            out[i][hole] = frame.counts_of(dn[BANDS.index(band)])[hole]
        elif frame.band_valid(i).any():
            out[i][hole] = round(float(frame.data[i][frame.band_valid(i)].mean()))
    return out


def _completed(
    given: NDArray[np.generic], names: tuple[str, ...], level: str, valid: NDArray[np.bool_], path: Path
) -> NDArray[np.generic]:
    """(12, H, W) of the planes `given` of the bands `names`, in their type; filled planes are 1..65535 or 0."""
    if names == BANDS:
        return given
    gain, offset = completion_matrix(names, level, path)
    full = np.empty((len(BANDS), *given.shape[1:]), given.dtype)
    flat = given.reshape(len(given), -1).astype(np.float32)
    for i, band in enumerate(BANDS):
        if band in names:
            full[i] = given[names.index(band)]
            continue
        filled = np.clip(np.rint(gain[i] @ flat + offset[i]), 1, MAX_DN).reshape(valid.shape)
        full[i] = np.where(valid, filled, 0)
    return full


def _fill_holes(full: NDArray[np.float32], given: Frame, path: Path) -> None:
    """Fills, in place, what single bands lack by regression on the others; one regression for each set of bands."""
    lacking = given.holes & given.valid
    rows, columns = np.nonzero(lacking.any(axis=0))
    sets = lacking[:, rows, columns]
    for pattern in np.unique(sets, axis=1).T:
        at = (sets == pattern[:, None]).all(axis=0)
        left = tuple(b for b, lacks in zip(given.bands, pattern) if not lacks)
        gain, offset = completion_matrix(left, given.level, path)
        there = full[[BANDS.index(b) for b in left]][:, rows[at], columns[at]]
        filled = np.clip(gain @ there + offset[:, None], 1, MAX_DN)
        for band in set(BANDS) - set(left):
            full[BANDS.index(band), rows[at], columns[at]] = filled[BANDS.index(band)]


def _twelve_holes(given: Frame) -> NDArray[np.bool_]:
    if not given.holes.size:
        return given.holes
    holes = np.zeros((len(BANDS), *given.holes.shape[1:]), np.bool_)
    for band, plane in zip(given.bands, given.holes):
        holes[BANDS.index(band)] = plane
    return holes
