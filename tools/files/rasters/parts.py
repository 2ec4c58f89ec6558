"""One raster file of a date: its bands, its planes with their validity, and what it says of its values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import readers
from swathpack.tools.files.rasters.bandnames import Found, band_in_name, name_bands, sentinel_name
from swathpack.tools.files.rasters.facts import RasterFacts, number
from swathpack.tools.files.rasters.options import ReadOptions
from swathpack.tools.files.rasters.records import CENTRES, BandRecord, FileRecord
from swathpack.tools.files.rasters.scene import Plane, validity
from swathpack.tools.files.rasters.sensors import Sensor, linear_of, sensor_of
from swathpack.tools.files.rasters.trees import Member

_BASELINE = re.compile(r"_N(\d\d)(\d\d)(?=_|$)")
_PLAUSIBLE_SCALE = (1e-6, 0.02)  # of reflectance to count; others are no reflectances
_DN = 1e-4  # reflectance of one DN


@dataclass
class Part:
    """One file of a date and the bands of its samples (alpha not among them). unnamed: as a `FileRecord` has it."""

    facts: RasterFacts
    bands: tuple[BandRecord, ...]
    sensor: Sensor | None = None
    assumed: str = ""
    unnamed: tuple[int, ...] = ()


def describe_part(path: Path, options: ReadOptions) -> Part:
    """A file and the names of its bands, empty frame names where nothing tells them. Raises UserError."""
    facts = readers.describe(Member(str(path)), options.reader)
    found = _identified(facts, options)
    return found or Part(facts, tuple(BandRecord(facts.descriptions[i], "") for i in facts.samples))


def _identified(facts: RasterFacts, options: ReadOptions) -> Part | None:
    """The file with its bands named, None where nothing tells their names."""
    sensor, stem = sensor_of(facts.path, facts.items), Path(facts.name).stem
    every = len(facts.descriptions)
    if facts.alpha is not None and len(options.bands) == every > len(facts.samples):
        facts = replace(facts, alpha=None, mask="nodata" if facts.nodata is not None else "zeros")
    samples = facts.samples
    names = [facts.descriptions[i] for i in samples]
    waves = list(options.wavelengths) or [facts.wavelengths[i] for i in samples if facts.wavelengths]
    if options.wavelengths and len(waves) != len(samples):
        raise UserError(f"{facts.path}: --wavelengths names {len(waves)} bands, the file has {len(samples)}")
    colours = [facts.colours[i] for i in samples if facts.colours]
    found, named = name_bands(names, waves, sensor, colours, stem), bool(options.wavelengths)
    if options.bands and len(options.bands) == len(samples) and not _known(found, options.bands):
        found, named = name_bands(options.bands, options.wavelengths, sensor, (), stem), True
        # Names of no sensor that is known here are the caller's own, as those of an `.npz` are.
        found = found or Found(tuple(BandRecord(name, name.strip()) for name in options.bands), "", sensor)
    if found is None:
        return None
    # What a one-band file's name says of its band would be lost with that name, and a JPEG2000 file has no names to lack.
    by_name = len(names) == 1 and not waves and band_in_name(stem) is not None
    bare = () if named or by_name or facts.source else tuple(i for i, name in enumerate(names) if not name.strip())
    return Part(facts, found.bands, found.sensor, found.assumed, bare)


def _known(found: Found | None, wanted: Sequence[str]) -> bool:
    """Whether the file itself names its bands, some of them as wanted, so that names pick rather than name."""
    if found is None or found.assumed:
        return False
    own = {b.name.strip().lower() for b in found.bands} | {b.frame.lower() for b in found.bands}
    return any(w.strip().lower() in own or (sentinel_name(w) or w).lower() in own for w in wanted)


def planes_of(part: Part, name: str) -> tuple[list[Plane], FileRecord]:
    """The planes of a file in its own type, and its record under the name it will be written with."""
    facts = part.facts
    values, mask = facts.read(facts.samples)
    alpha = None
    if facts.alpha is not None and mask is not None:
        alpha = (*facts.alpha, alpha_value(part, mask))
    nodata, kind = facts.nodata, facts.mask
    valid = [validity(plane, mask, nodata) for plane in values]
    if kind == "zeros" and any(v is not None for v in valid):
        kind = "nan"
    record = FileRecord(
        name=name,
        bands=part.bands,
        shape=facts.shape,
        dtype=facts.dtype,
        nodata=nodata,
        mask=kind,
        georeference=facts.georeference,
        alpha=alpha,
        tags=facts.tags,
        layout=facts.layout,
        datetime=facts.datetime,
        source=facts.source,
        unnamed=part.unnamed,
    )
    return [Plane(b, p, v, nodata) for b, p, v in zip(part.bands, values, valid)], record


def alpha_value(part: Part, alpha: Any) -> float:
    """What an alpha band holds where there are data. Raises UserError where it holds more than yes and no."""
    values = np.unique(alpha)
    held = values[values != 0]
    if held.size > 1:
        every = len(part.facts.descriptions)
        raise UserError(
            f"{part.facts.path}: expected an alpha band of 0 and one other value, found {held.size} others; if it is no "
            f"alpha, name all {every} bands with --bands"
        )
    return float(held[0]) if held.size else 255.0


def linear_of_part(part: Part) -> tuple[float, float] | None:
    """(gain, zero) of a file from its scale and offset tags, else from what its sensor's products hold."""
    facts = part.facts
    if np.dtype(facts.dtype).kind == "f":
        return None
    said = {facts.linear[i] for i, b in zip(facts.samples, part.bands) if b.frame in CENTRES and facts.linear}
    if len(said) == 1:
        scale, offset = said.pop() or (0.0, 0.0)
        if _PLAUSIBLE_SCALE[0] <= scale <= _PLAUSIBLE_SCALE[1]:
            return scale / _DN, -offset / scale
    return linear_of(part.sensor, facts.path)


def told_offset(facts: RasterFacts) -> bool | None:
    """Whether the file's items or name say that the +1000 is in its numbers."""
    if np.dtype(facts.dtype).kind == "i":
        return None  # signed types hold harmonised values
    items = {k.upper(): v for k, v in facts.items.items()}
    added = [number(v) for k, v in items.items() if "ADD_OFFSET" in k]
    if any(a is not None for a in added):
        return any(a for a in added)
    baseline = number(items.get("PROCESSING_BASELINE"))
    if baseline is None:
        match = _BASELINE.search(facts.path)
        baseline = int(match.group(1)) if match else None
    return None if baseline is None else baseline >= 4
