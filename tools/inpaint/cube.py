"""A series as arrays, as repairing takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.frame import Frame

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Cube:
    """A series as arrays: frames (T, C, H, W) float32 DN without offset, clear (T, H, W) bool (valid and not
    masked), C band names, days (T,) float64 and the processing level.
    """

    frames: Floats
    clear: Mask
    bands: tuple[str, ...]
    days: NDArray[np.float64]
    level: str = "unknown"


def cube_of(frames: Sequence[Frame], cloudy: Mask) -> Cube:
    """The series as arrays without offset, masked pixels not clear."""
    plain = [f.without_offset() for f in frames]
    data = np.stack([f.data for f in plain]).astype(np.float32)
    clear = np.stack([f.valid & ~f.holes.any(axis=0) if f.holes.size else f.valid for f in plain]) & ~cloudy
    return Cube(data, clear, frames[0].bands, days_of([f.time for f in frames]), frames[0].level)


def days_of(times: Sequence[str | None]) -> NDArray[np.float64]:
    """Days since 1970 of ISO texts; those that are none lie between their neighbours, or one usual step beyond."""
    days = np.array([_day(t) for t in times])
    known, at = np.isfinite(days), np.arange(len(days))
    if known.sum() < 2:
        return at.astype(np.float64)
    step = float(np.median(np.diff(days[known]) / np.diff(at[known])))
    first, last = at[known][0], at[known][-1]
    inside = np.interp(at, at[known], days[known])
    out: NDArray[np.float64] = np.where(
        at < first,
        days[first] - step * (first - at),
        np.where(at > last, days[last] + step * (at - last), inside),
    )
    return out


def _day(time: str | None) -> float:
    digits = (time or "").replace("-", "")[:8]
    try:
        return float(np.datetime64(f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}", "D").astype(np.int64))
    except ValueError:
        return float("nan")
