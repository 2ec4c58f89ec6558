"""Raster files to a series: which are one date, which bands they hold, and what they say of their values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from swathpack.edge.bands import DROPPED, NATIVE_M
from swathpack.edge.frame import normalise_level
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import readers, safe
from swathpack.tools.files.rasters.assemble import Grid, frames_of, grouped, ordered
from swathpack.tools.files.rasters.bandnames import how_to_name, mapping_note, without_band
from swathpack.tools.files.rasters.dates import date_in
from swathpack.tools.files.rasters.facts import RasterFacts
from swathpack.tools.files.rasters.options import ReadOptions
from swathpack.tools.files.rasters.parts import Part, describe_part, linear_of_part, planes_of, told_offset
from swathpack.tools.files.rasters.records import CENTRES, BandRecord, Georeference
from swathpack.tools.files.rasters.scene import Scene, offset_of_linear
from swathpack.tools.files.rasters.series import Series
from swathpack.tools.files.rasters.tiff import SUFFIXES as TIFF_SUFFIXES
from swathpack.tools.words import plural

_GRID = re.compile(r"^(.*?)_(\d{1,3})m$", re.IGNORECASE)
_TIMES = (
    "ACQUISITIONDATETIME",
    "DATATAKE_1_DATATAKE_SENSING_START",
    "SENSING_TIME",
    "PRODUCT_START_TIME",
    "TIFFTAG_DATETIME",
)
SCENE_CLASSES = "SCL"


@dataclass
class Dated:
    """The files of one date, not read yet."""

    where: str
    parts: list[Part]
    product: safe.SafeProduct | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def grid(self) -> Grid:
        """Of the file with the finest pixels."""
        finest = max(self.parts, key=lambda p: p.facts.shape[0] * p.facts.shape[1]).facts
        return Grid(self.where, finest.shape, finest.georeference)

    @property
    def time(self) -> str | None:
        """From the product, the files' names, their tags."""
        if self.product is not None:
            return self.product.time
        found = [date_in(Path(p.facts.name).stem) for p in self.parts] + [date_in(self.where)]
        found += [p.facts.items.get(key) for p in self.parts for key in _TIMES] + [p.facts.datetime for p in self.parts]
        return next((f for f in found if f), None)


@dataclass
class Dates:
    """The dates of a series in order, nothing of them read; groups: the number of each one's grid."""

    dated: list[Dated]
    groups: list[int]
    notes: list[str]
    grid_notes: list[str]

    def series(
        self, frames: Sequence[Any], scenes: Sequence[Scene], coded: Sequence[str], told: Sequence[str]
    ) -> Series:
        """The series of frames made of scenes; coded: their bands; told: what was assumed of their values."""
        bands = [n for d in self.dated for n in _band_notes(d, coded)]
        notes = [*self.notes, *self.grid_notes, *dict.fromkeys(bands), *told]
        metadata: dict[str, Any] = {"format": "raster", "files": [[f.to_json() for f in s.files] for s in scenes]}
        dropped = dict.fromkeys(p.band.name.strip() for s in scenes for p in s.planes if not p.band.spectral)
        return Series(frames, metadata, notes, [s.classes for s in scenes], self.groups, list(dropped))


def dates_of(paths: Sequence[Path], options: ReadOptions) -> Dates:
    """Which files are which date. Raises UserError."""
    files, products = expanded(paths)
    dated = [_of_product(p, options) for p in products]
    skipped: list[str] = []
    if files:
        found, skipped = _by_date([describe_part(f, options) for f in files], options)
        dated += found
    for date in dated:
        _check_within(date)
    probes = [Scene(d.where, d.time, []) for d in dated]
    order, notes = ordered(probes)
    dated = [dated[i] for i in order]
    if skipped:
        notes.append(f"left out, no known band: {', '.join(skipped[:4])}{' ...' if len(skipped) > 4 else ''}")
    groups, more = grouped([d.grid for d in dated], options.each_grid)
    return Dates(dated, groups, notes, more)


def read_files(paths: Sequence[Path], options: ReadOptions) -> Series:
    """One frame a date. Raises UserError."""
    dates = dates_of(paths, options)
    names = unique_names(dates.dated)
    scenes = [_read(d, names) for d in dates.dated]
    frames, told = frames_of(scenes, options)
    return dates.series(frames, scenes, frames[0].bands, told)


def expanded(paths: Sequence[Path]) -> tuple[list[Path], list[safe.SafeProduct]]:
    """Raster files and products that the paths name: files, SAFE folders and zips, folders of any of them.

    Raises UserError for a file that is named twice, and where nothing is found.
    """
    files: list[Path] = []
    products: list[safe.SafeProduct] = []
    seen: dict[Path, Path] = {}
    named: dict[str, Path] = {}
    for path in (inner for p in paths for inner in _inside(p)):
        real = path.resolve()
        if real in seen:
            raise UserError(f"{path} is given twice" + ("" if seen[real] == path else f", as {seen[real]} too"))
        seen[real] = path
        check_regular(path)
        if safe.is_product(path):
            for product in safe.products(path):
                if named.setdefault(product.name, path) != path:
                    raise UserError(f"{path} holds the same product as {named[product.name]}: give one of them")
                products.append(product)
        else:
            files.append(path)
    return files, products


def check_regular(path: Path) -> None:
    """Refuse what cannot be read at any place, and would be waited for without end. Raises UserError."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path}: expected a file, found a device, a pipe or a socket")


def _inside(path: Path) -> list[Path]:
    """A file or product itself; what lies in a folder, or one level below where there is nothing."""
    if not path.is_dir() or safe.is_product(path):
        return [path]
    for folders in ([path], sorted(p for p in path.iterdir() if p.is_dir())):
        found = [p for f in folders for p in sorted(f.iterdir()) if _wanted(p)]
        if found:
            return found
    kinds = ", ".join(readers.SUFFIXES)
    raise UserError(f"{path}: expected rasters ({kinds}) or Sentinel-2 products in the folder, found none")


def holds_rasters(folder: Path) -> bool:
    """Whether rasters or products lie in a folder itself."""
    return any(_wanted(p) for p in folder.iterdir())


def _wanted(path: Path) -> bool:
    if path.is_dir() or path.suffix.lower() == ".zip":
        return safe.is_product(path)
    return path.suffix.lower() in readers.SUFFIXES


def _by_date(parts: list[Part], options: ReadOptions) -> tuple[list[Dated], list[str]]:
    """Files by date, and the names of those left out because nothing tells their one band."""
    groups: dict[str, list[Part]] = {}
    for part in parts:
        groups.setdefault(_key(part), []).append(part)
    unknown = {k for k, ps in groups.items() if all(not b.frame for p in ps for b in p.bands)}
    single = {k for k in unknown if all(len(p.bands) == 1 for p in groups[k])}
    skipped = single if len(groups) > len(unknown) else set()
    for key in unknown - skipped:
        _refuse_unnamed(groups[key][0], options)
    dated = [Dated(_where(ps), [p for p in ps if p.bands[0].frame]) for k, ps in groups.items() if k not in skipped]
    return dated, [p.facts.name for k in skipped for p in groups[k]]


def _where(parts: list[Part]) -> str:
    return parts[0].facts.path


def _key(part: Part) -> str:
    """The same for all files of a date: the name without band and resolution, the folder with it where it has no date."""
    path = Path(part.facts.path)
    match = _GRID.match(path.stem)
    stem, single = match.group(1) if match else path.stem, len(part.bands) == 1
    if single:
        stem = without_band(stem)
    apart = date_in(stem) is not None and (single or match is not None)
    return stem if apart else f"{path.parent}/{stem}"


def _refuse_unnamed(part: Part, options: ReadOptions) -> None:
    count, names = len(part.bands), [b.name for b in part.bands if b.name]
    said = f"descriptions {', '.join(names)}" if names else "no band descriptions"
    given = f" (--bands names {len(options.bands)})" if options.bands else ""
    raise UserError(f"{part.facts.path}: {plural(count, 'band')} with {said}; {how_to_name(count)}{given}")


def _check_within(date: Dated) -> None:
    """UserError where two files of a date hold the same band, or do not share their corner and CRS."""
    holders: dict[str, str] = {}
    for part in date.parts:
        for band in part.bands:
            if band.spectral and band.frame in holders:
                raise UserError(f"{part.facts.path}: band {band.frame} of this date is also in {holders[band.frame]}")
            holders[band.frame] = part.facts.path
    finest = date.grid.georeference
    for part in date.parts:
        own = part.facts.georeference
        moved = _corner_moved(finest, own)
        if finest.crs and own.crs and finest.crs != own.crs or moved:
            raise UserError(f"{part.facts.path}: expected the CRS and corner of {date.where}, found {own.crs} {moved}")


def _corner_moved(first: Georeference, other: Georeference) -> str:
    size = first.pixel_size
    if first.transform is None or other.transform is None or size is None:
        return ""
    shift = [other.transform[i] - first.transform[i] for i in (2, 5)]
    # Landsat's panchromatic grid begins half a coarse pixel off; anything up to half a fine one is the same corner.
    return f"{shift[0]:+g}, {shift[1]:+g} away" if max(map(abs, shift)) > 0.51 * max(size) else ""


def _of_product(product: safe.SafeProduct, options: ReadOptions) -> Dated:
    """The files of a SAFE product, one band each; B10 is described, not read, since nothing codes it. Raises UserError."""
    if options.wavelengths:
        raise UserError(f"{product.name}: expected no --wavelengths for a SAFE product, whose bands are Sentinel-2's")
    parts = []
    members = dict(product.bands) | ({SCENE_CLASSES: product.classes} if product.classes else {})
    for name, member in members.items():
        facts = readers.describe(member, options.reader)
        size = facts.georeference.pixel_size
        metres = int(round(size[0])) if size else _metres(facts, product, name)
        facts = replace(
            facts,
            nodata=product.nodata,
            mask="nodata",
            georeference=product.georeference.get(metres, facts.georeference),
        )
        spectral = name != SCENE_CLASSES
        band = BandRecord(name, name, float(CENTRES.get(name, 0)) if spectral else 0.0, spectral)
        parts.append(Part(replace(facts, nodata=facts.nodata if spectral else None), (band,)))
    return Dated(product.name, parts, product)


def _metres(facts: RasterFacts, product: safe.SafeProduct, band: str) -> int:
    """Pixel size of a file that does not say it."""
    match = _GRID.match(Path(facts.name).stem)
    if match:
        return int(match.group(2))
    return NATIVE_M.get(band, 60 if band == DROPPED else 20)


def _read(date: Dated, names: dict[int, str]) -> Scene:
    """The pixels of a date."""
    scene = Scene(date.where, date.time, [], level=level_of_date(date), georeference=date.grid.georeference)
    for part in date.parts:
        planes, record = planes_of(part, names[id(part)])
        for plane in planes:
            if plane.band.name.strip().upper().startswith(SCENE_CLASSES):
                scene.classes = plane.values
        scene.planes += planes
        scene.files.append(record)
    scene.offset, scene.linear = linear_of_date(date)
    return scene


def level_of_date(date: Dated) -> str:
    """L1C or L2A, as the product, the file's items or its name say; else unknown."""
    if date.product is not None:
        return date.product.level
    items = date.parts[0].facts.items
    said = [items.get("PRODUCT_URI", ""), items.get("PRODUCT_TYPE", "").replace("S2MSI", "L")]
    return normalise_level(" ".join([Path(date.where).name, *said]))


def linear_of_date(date: Dated) -> tuple[bool | None, tuple[float, float] | None]:
    """(whether the +1000 is in the numbers, (gain, zero) of other numbers), as metadata says."""
    if date.product is not None:
        offset = date.product.offset
        return None if offset is None else offset > 0, date.product.linear
    found = [linear_of_part(p) for p in date.parts]
    offset, linear = offset_of_linear(next((f for f in found if f), None))
    if offset is None and linear is None:
        offset = next((o for o in (told_offset(p.facts) for p in date.parts) if o is not None), None)
    return offset, linear


def _band_notes(date: Dated, coded: Sequence[str]) -> list[str]:
    """What was assumed of a date's bands."""
    notes = [p.assumed for p in date.parts if p.assumed]
    bands = [b for p in date.parts for b in p.bands if b.frame in coded]
    sensors = [p.sensor for p in date.parts if p.sensor]
    said = mapping_note(bands, sensors[0] if sensors else None)
    return [*dict.fromkeys(notes), *([said] if said else [])]


def unique_names(dated: Sequence[Dated]) -> dict[int, str]:
    """The name each file gets when it is written again, by the id of its part: a GeoTIFF's, and no two alike."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    for part in (p for d in dated for p in d.parts):
        path = Path(part.facts.path)
        name = path.name if path.suffix.lower() in TIFF_SUFFIXES else f"{path.stem}.tif"
        for folder in (path.parent.name, path.parent.parent.name):
            if name in taken:
                name = f"{folder}_{name}"
        index = 2
        while name in taken:
            name, index = f"{Path(name).stem}_{index}.tif", index + 1
        taken.add(name)
        names[id(part)] = name
    return names
