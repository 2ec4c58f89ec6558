"""One date on the way from files to a frame: planes in the files' type, each with its validity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.frame import BOA_OFFSET, Frame, FrameError, native_factors
from swathpack.edge.radiometry import Radiometry, RadiometryError, held_float
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.records import BandRecord, FileRecord, Georeference

Mask = NDArray[np.bool_]


@dataclass
class Plane:
    """A band on its own grid: values (h, w) in the file's type, valid (h, w) or None where nothing tells, and the file's
    own value for pixels without data (None: not declared).
    """

    band: BandRecord
    values: NDArray[Any]
    valid: Mask | None
    nodata: float | None = None


@dataclass
class Scene:
    """One date. where: for messages. offset: whether metadata says that the +1000 is in the numbers, None if it is
    silent. linear: (gain, zero) of DN = gain (value - zero) where metadata tells.
    """

    where: str
    time: str | None
    planes: list[Plane]
    files: list[FileRecord] = field(default_factory=list)
    level: str = "unknown"
    offset: bool | None = None
    linear: tuple[float, float] | None = None
    classes: NDArray[Any] | None = None
    georeference: Georeference = Georeference()

    @property
    def bands(self) -> tuple[str, ...]:
        """Frame names in order."""
        return tuple(p.band.frame for p in self.planes)

    def data_range(self) -> tuple[float, float]:
        """Least and greatest valid value of all planes; (0, 0) where none is valid."""
        found = [_range(p) for p in self.planes]
        found = [f for f in found if f is not None]
        return (min(f[0] for f in found), max(f[1] for f in found)) if found else (0.0, 0.0)  # type: ignore[index]

    def picked(self, indexes: Sequence[int]) -> Scene:
        """The scene with these planes only, in this order."""
        return replace(self, planes=[self.planes[i] for i in indexes])


def _range(plane: Plane) -> tuple[float, float] | None:
    values = plane.values if plane.valid is None else plane.values[plane.valid]
    return (float(values.min()), float(values.max())) if values.size else None


def validity(values: NDArray[Any], mask: NDArray[Any] | None, nodata: float | None) -> Mask | None:
    """(h, w) bool of one plane: what the file's mask, its nodata value and NaN leave; None where nothing tells."""
    parts = [mask != 0] if mask is not None else []
    if values.dtype.kind == "f":
        missing = np.isnan(values)
        if missing.any() or (nodata is not None and math.isnan(nodata)):
            parts.append(~missing)
    if nodata is not None and not math.isnan(nodata):
        parts.append(values != (held_float(nodata, values.dtype.name) if values.dtype.kind == "f" else nodata))
    return np.logical_and.reduce(parts) if parts else None


def build_frame(
    scene: Scene,
    radiometry: Radiometry,
    size: tuple[int, int] | None = None,
    factors: tuple[int, ...] | None = None,
) -> Frame:
    """The frame of a scene, padded to `size` with pixels without data. factors: of the planes' grids, where that is known, as
    it is of a part of a scene. Raises UserError.
    """
    try:
        full, factors, given, valid = _where_valid(scene, factors)
        data = np.zeros((len(scene.planes), *(size or full)), np.uint16)
        holes = np.zeros((0, 0, 0), np.bool_)
        for i, (plane, factor, own) in enumerate(zip(scene.planes, factors, given)):
            values = _repeated(plane.values, factor, full)
            lacks = _holes(plane, valid, own)
            if lacks is not None:
                holes = holes if holes.size else np.zeros(data.shape, np.bool_)
                holes[i, : full[0], : full[1]] = lacks
            held = valid if lacks is None else valid & ~lacks
            data[i, : full[0], : full[1]] = radiometry.to_counts(values, held)
        padded = np.zeros(data.shape[1:], np.bool_)
        padded[: full[0], : full[1]] = valid
        waves = tuple(p.band.wavelength_nm for p in scene.planes)
        return Frame(
            data, scene.bands, scene.time, padded, scene.level, bool(scene.offset), factors, radiometry, holes, waves
        )
    except (FrameError, RadiometryError) as error:
        raise UserError(f"{scene.where}: {error}") from error


def _where_valid(
    scene: Scene, factors: tuple[int, ...] | None
) -> tuple[tuple[int, int], tuple[int, ...], list[Mask | None], Mask]:
    """Rows and columns, the bands' factors, their own validity on the full grid, and where any band has data."""
    if factors is None:
        full, factors = native_factors({p.band.frame: p.values.shape for p in scene.planes})
    else:
        finest = next(p.values.shape for p, factor in zip(scene.planes, factors) if factor == 1)
        full = finest[0], finest[1]
    given = [_repeated(p.valid, f, full) for p, f in zip(scene.planes, factors)]
    return full, factors, given, _valid(scene, given, factors, full)


def masks_of(scene: Scene, factors: tuple[int, ...]) -> tuple[Mask, list[Mask | None]]:
    """Where any band has data (H, W), and for each band where it alone has none, None where it has all."""
    _, _, given, valid = _where_valid(scene, factors)
    return valid, [_holes(plane, valid, own) for plane, own in zip(scene.planes, given)]


def _repeated(plane: NDArray[Any] | None, factor: int, full: tuple[int, int]) -> Any:
    if plane is None or factor == 1:
        return plane
    return plane.repeat(factor, axis=0).repeat(factor, axis=1)[: full[0], : full[1]]


def _valid(scene: Scene, given: list[Mask | None], factors: tuple[int, ...], full: tuple[int, int]) -> Mask:
    """Pixels with data in any band; where no file says anything, those that are not 0 in all bands."""
    if any(g is not None for g in given):
        held: Mask = np.logical_or.reduce([np.ones(full, np.bool_) if g is None else g for g in given])
        return held
    some = np.zeros(full, np.bool_)
    for plane, factor in zip(scene.planes, factors):
        some |= _repeated(plane.values, factor, full) != 0
    return some


def _holes(plane: Plane, valid: Mask, own: Mask | None) -> Mask | None:
    """Where the band alone lacks data, None where it does not.

    A lone 0 among data is a dark pixel even where 0 is nodata: only areas of 3 x 3 pixels and more are taken for holes.
    """
    if own is None:
        return None
    lacks: Mask = valid & ~own
    if plane.nodata == 0 and lacks.any():
        lacks = opened(lacks)
    return lacks if lacks.any() else None


def opened(mask: Mask) -> Mask:
    """The part of a mask that squares of 3 x 3 pixels within it cover; beyond the border it goes on as at the border."""
    padded = np.pad(mask, 2, mode="edge")
    eroded = _around(padded, np.logical_and)
    return _around(eroded, np.logical_or)


def _around(mask: Mask, combine: Any) -> Mask:
    rows = combine(combine(mask[:-2], mask[1:-1]), mask[2:])
    found: Mask = combine(combine(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
    return found


def offset_of_linear(linear: tuple[float, float] | None) -> tuple[bool | None, tuple[float, float] | None]:
    """(offset, linear) of what a file says: a gain of 1 with a zero of 0 or 1000 is plain DN without or with the +1000."""
    if linear is None or not math.isclose(linear[0], 1, rel_tol=1e-6):
        return None, linear
    if math.isclose(linear[1], 0, abs_tol=1e-3):
        return False, None
    return (True, None) if math.isclose(linear[1], BOA_OFFSET, rel_tol=1e-6) else (None, linear)
