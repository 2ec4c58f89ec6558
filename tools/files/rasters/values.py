"""The radiometry of a series: which counts hold its values, and which DN the codec takes them for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from swathpack.edge.radiometry import MAX_COUNT, Radiometry
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.scene import Plane, Scene

REFLECTANCE = 2.0  # floats up to here are taken for reflectances
OFFERED_SCALE = 10000
BYTE_GAIN = 40.0  # DN of one step of 8-bit images: 255 is a reflectance of about 1
ROUND_SHIFT = 1000


def rounded_note(dtype: str, step: float) -> str:
    """What becomes of values that are not whole steps, whatever is promised of the steps."""
    return (
        f"{dtype} values are rounded to steps of {step:g}, off by up to {step / 2:g}: lossless and greatest errors are of "
        "these steps"
    )


def radiometry_of(scenes: Sequence[Scene], scale: float | None) -> tuple[Radiometry, list[str]]:
    """The radiometry of all scenes, and what was assumed. Raises UserError for values that it cannot hold."""
    dtype = np.result_type(*{p.values.dtype for s in scenes for p in s.planes})
    found = Radiometry(str(dtype.name), nodata=_fill(scenes))
    linear, notes = _linear(scenes)
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        shift = -int(np.iinfo(dtype).min)
        found = replace(found, shift=shift, zero=float(shift))
    else:
        found = _fitted(found, scenes, scale)
    if not found.integer or found.scale != 1:
        notes.append(rounded_note(dtype.name, 1 / found.scale))
    if scale is not None and found.integer and found.scale == 1:
        return replace(found, gain=scale), notes
    if linear is not None and found.integer:
        gain, zero = linear
        return replace(found, gain=gain, zero=found.shift + zero), notes
    if dtype.itemsize == 1:
        notes.append(
            f"8-bit values: one step is taken for {BYTE_GAIN:g} DN, 255 for a reflectance of about 1; "
            "--scale N takes another"
        )
        return replace(found, gain=BYTE_GAIN), notes
    return found, notes


def _fill(scenes: Sequence[Scene]) -> float:
    """What pixels without data hold: the nodata value of the first file that has one, NaN among floats, else 0."""
    planes = [p for s in scenes for p in s.planes]
    declared = next((p.nodata for p in planes if p.nodata is not None), None)
    if declared is not None:
        return declared
    return math.nan if any(_has_nan(p) for p in planes) else 0.0


def _has_nan(plane: Plane) -> bool:
    return plane.values.dtype.kind == "f" and plane.valid is not None and bool(np.isnan(plane.values).any())


def _linear(scenes: Sequence[Scene]) -> tuple[tuple[float, float] | None, list[str]]:
    given = list(dict.fromkeys(s.linear for s in scenes if s.linear is not None))
    if len(given) > 1:
        return given[0], [f"dates name different scales; those of {scenes[0].where} are taken for all"]
    return (given[0] if given else None), []


def _fitted(radiometry: Radiometry, scenes: Sequence[Scene], scale: float | None) -> Radiometry:
    """Scale and shift that bring wide integers and floats into 16 bits."""
    ranges = [s.data_range() for s in scenes]
    low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
    worst = scenes[[r[1] for r in ranges].index(high)].where
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(f"{worst}: expected finite values, found {low:g} to {high:g}")
    if scale is None and not radiometry.integer and 0 < max(high, -low) <= REFLECTANCE:
        raise UserError(
            f"{worst}: expected DN (reflectance x 10000), found floats up to {high:.3g}: these look like reflectance, "
            f"multiply by {OFFERED_SCALE}: give --scale {OFFERED_SCALE}"
        )
    factor = scale if scale is not None and not (radiometry.integer and _room(low, high)) else 1.0
    low, high = low * factor, high * factor
    shift = 0 if low >= 0 else ROUND_SHIFT * math.ceil((1 - low) / ROUND_SHIFT)
    if high + shift > MAX_COUNT:
        shift = max(math.ceil(-low), 0)
    if round(high) + shift > MAX_COUNT:
        raise UserError(
            f"{worst}: expected values within {MAX_COUNT} steps, found {low:g} to {high:g}"
            + ("" if scale else "; give --scale N to make coarser steps (DN = value x N)")
        )
    return replace(radiometry, scale=factor, shift=shift, zero=float(shift))


def _room(low: float, high: float) -> bool:
    return high - min(low, 0.0) <= MAX_COUNT


def plain_notes(scenes: Sequence[Scene]) -> list[str]:
    """What is odd about values though it can be coded: bands that are constant, or saturated all over."""
    notes = []
    for scene in scenes:
        for plane in scene.planes:
            values = plane.values if plane.valid is None else plane.values[plane.valid]
            if values.size < 2 or values.min() != values.max():
                continue
            value = values.flat[0]
            full = plane.values.dtype.kind in "iu" and value == np.iinfo(plane.values.dtype).max
            if value != 0:
                kind = "saturated all over" if full else "constant"
                notes.append(f"{scene.where}: band {plane.band.name or plane.band.frame} is {kind} ({value:g})")
    return notes
