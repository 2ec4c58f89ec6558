"""A series as variables on axes, by the CF conventions (1.10): what NetCDF and Zarr files hold.

A variable a band, (time, y, x), each on its own grid and in the files' type; pixels without data are `_FillValue`. `time` is
the standard calendar's, x and y are pixel centres. The grid mapping holds the CRS as WKT, CF's own parameters for UTM and
degrees, and GDAL's `GeoTransform`, from which the transform comes back to the last digit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.frame import BOA_OFFSET, Frame
from swathpack.edge.radiometry import Radiometry
from swathpack.tools.errors import UserError
from swathpack.tools.extras import missing_package
from swathpack.tools.files.rasters import gdal_metadata
from swathpack.tools.files.rasters.dates import numpy_moment
from swathpack.tools.files.rasters.geokeys import epsg_of
from swathpack.tools.files.rasters.geotiff import NativeBands
from swathpack.tools.files.rasters.missing import free_value
from swathpack.tools.files.rasters.records import FileRecord, Georeference
from swathpack.tools.files.rasters.series import Series
from swathpack.tools.files.rasters.tiff import GDAL_METADATA
from swathpack.tools.files.rasters.tiff_layout import file_radiometry, new_records

CONVENTIONS = "CF-1.10"
_UNITS = {"D": "days", "s": "seconds", "ms": "milliseconds"}
Attributes = dict[str, Any]


class UnlikeError(UserError):
    """Dates that do not fit into one cube."""


@dataclass(frozen=True)
class Axis:
    """A dimension; values: its coordinates, None where they are not known or, for a turned grid, not one-dimensional."""

    name: str
    size: int
    values: NDArray[Any] | None = None
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class Variable:
    """A band: `band` in frames, in the file of index `file` of each date. axes: names. fill: value of pixels without data."""

    name: str
    band: str
    file: int
    axes: tuple[str, str, str]
    shape: tuple[int, int, int]
    dtype: str
    fill: Any
    attributes: Attributes


@dataclass
class Cube:
    """All that a file holds. mappings: {name: attributes} of the grid mappings. offsets: per date what is added to its DN."""

    frames: Sequence[Frame]
    records: list[list[FileRecord]]
    axes: list[Axis]
    mappings: dict[str, Attributes]
    variables: list[Variable]
    attributes: Attributes

    def planes(self) -> Iterator[tuple[int, Variable, NDArray[Any]]]:
        """(date, variable, (h, w) values), date by date."""
        for index, (frame, records) in enumerate(zip(self.frames, self.records)):
            native = NativeBands.of(frame)
            for variable in self.variables:
                radiometry, counts, held = _plane_of(native, records[variable.file], variable.band)
                fill = radiometry.nodata if variable.fill is None else float(variable.fill)
                yield index, variable, replace(radiometry, nodata=fill).to_values(counts, held)


def cube_of(series: Series) -> Cube:
    """The cube of a series. Raises UserError for dates of several grids, types or files."""
    described = series.metadata.get("files") or [None] * len(series.frames)
    if len(described) != len(series.frames):
        raise UserError(f"metadata describes {len(described)} dates, the series has {len(series.frames)}")
    first = series.frames[0]
    records = [
        [FileRecord.from_json(f) for f in files] if files else new_records(frame, index)
        for index, (files, frame) in enumerate(zip(described, series.frames))
    ]
    records = [[_shaped(r, first) for r in of_date if _bands(r, first)] for of_date in records]
    _check_alike(records)
    cube = Cube(series.frames, records, [_time_axis([f.time for f in series.frames])], {}, [], _facts(series, records))
    for file, record in sorted(enumerate(records[0]), key=lambda item: -item[1].shape[0]):
        _add(cube, file, record)
    return cube


def _bands(record: FileRecord, frame: Frame) -> list[int]:
    return [i for i, b in enumerate(record.bands) if b.frame in frame.bands]


def _shaped(record: FileRecord, frame: Frame) -> FileRecord:
    if all(record.shape):
        return record
    factor = frame.grid[frame.bands.index(record.bands[_bands(record, frame)[0]].frame)]
    return replace(record, shape=(-(-frame.height // factor), -(-frame.width // factor)))


def _check_alike(records: list[list[FileRecord]]) -> None:
    for of_date in records[1:]:
        for mine, other in zip(records[0], of_date):
            said = mine.georeference.difference(other.georeference)
            if mine.shape != other.shape or said:
                said = (
                    said or f"it has {other.shape[0]} x {other.shape[1]} pixels, not {mine.shape[0]} x {mine.shape[1]}"
                )
                raise UnlikeError(
                    f"{other.name} is on another grid than {mine.name}: {said}. Give a folder for GeoTIFFs"
                )
        alike = [(r.dtype, r.nodata, [b.frame for b in r.bands]) for r in records[0]]
        if alike != [(r.dtype, r.nodata, [b.frame for b in r.bands]) for r in of_date]:
            raise UnlikeError(
                f"{of_date[0].name} has other bands, types or nodata than the first date. Give a folder for GeoTIFFs"
            )


def _add(cube: Cube, file: int, record: FileRecord) -> None:
    """The variables, axes and grid mapping of a file."""
    axes = _plane_axes(cube, record)
    mapping = _mapping_of(cube, record.georeference)
    frame = cube.frames[0]
    lacking = any(not f.valid.all() or f.holes.any() for f in cube.frames)
    xml = next((str(t[3]) for t in record.tags if t[0] == GDAL_METADATA), "")
    linear = gdal_metadata.parse(xml).linear(len(record.bands))
    taken = {v.name for v in cube.variables} | {a.name for a in cube.axes}
    for index in _bands(record, frame):
        band = record.bands[index]
        attributes: Attributes = {"long_name": band.name.strip() or band.frame}
        nm = band.wavelength_nm or frame.wavelengths[frame.bands.index(band.frame)]
        attributes |= {"radiation_wavelength": float(nm), "radiation_wavelength_unit": "nm"} if nm else {}
        scale = linear[index]
        attributes |= {"scale_factor": scale[0], "add_offset": scale[1]} if scale else {}
        attributes |= {"grid_mapping": mapping} if mapping else {}
        name = _name(band.name, band.frame, taken)
        taken.add(name)
        shape, fill = (len(cube.frames), *record.shape), None
        if record.nodata is not None or lacking:
            fill = _fill_of(cube, file, record, band.frame)
        cube.variables.append(Variable(name, band.frame, file, axes, shape, record.dtype, fill, attributes))


def _fill_of(cube: Cube, file: int, record: FileRecord, band: str) -> Any:
    """What stands for no data: what the files declare, else a value that no pixel with data has, if there is one."""
    radiometry = file_radiometry(cube.frames[0].radiometry, record)
    found: float | None = radiometry.nodata
    if record.nodata is None:
        found = free_value(_with_data(cube, file, band), record.dtype, radiometry.nodata)
    return None if found is None else np.dtype(record.dtype).type(found)


def _with_data(cube: Cube, file: int, band: str) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    for frame, records in zip(cube.frames, cube.records):
        radiometry, counts, held = _plane_of(NativeBands.of(frame.select([band])), records[file], band)
        yield radiometry.to_values(counts, held), held


def _plane_of(
    native: NativeBands, record: FileRecord, band: str
) -> tuple[Radiometry, NDArray[np.uint16], NDArray[np.bool_]]:
    """The radiometry of a file, the counts of a band in it and where it has data, (h, w)."""
    height, width = record.shape
    return (
        file_radiometry(native.radiometry, record),
        native.counts[band][:height, :width],
        native.valid[band][:height, :width],
    )


def _name(own: str, frame: str, taken: set[str]) -> str:
    """A name that every reader takes: letters, digits and _."""
    for name in (own.strip(), frame):
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) and name not in taken:
            return name
    base = re.sub(r"\W+", "_", frame, flags=re.ASCII).strip("_") or "band"
    base = base if base[0].isalpha() else f"band_{base}"
    return next(n for n in (base, *(f"{base}_{i}" for i in range(2, 1000))) if n not in taken)


def _plane_axes(cube: Cube, record: FileRecord) -> tuple[str, str, str]:
    """Names of the axes of a file's grid, which are added where they are new: y and x for the finest, y_20m, ... else."""
    place, size = record.georeference, record.georeference.pixel_size
    known = [a for a in cube.axes if a.name.startswith("y")]
    finest = record.shape == (known[0].size, cube.axes[cube.axes.index(known[0]) + 1].size) if known else True
    ending = "" if finest else f"_{round(size[1])}m" if size and not place.geographic else f"_{record.shape[0]}"
    names = "time", f"y{ending}", f"x{ending}"
    if names[1] not in {a.name for a in cube.axes}:
        cube.axes += [_plane_axis(n, place, side) for n, side in zip(names[1:], record.shape)]
    return names


def _plane_axis(name: str, place: Georeference, size: int) -> Axis:
    along = name[0]
    if place.geographic:
        word = "longitude" if along == "x" else "latitude"
        attributes = {"standard_name": word, "units": "degrees_east" if along == "x" else "degrees_north"}
    else:
        attributes = {"standard_name": f"projection_{along}_coordinate", "units": "m"}
    attributes["axis"] = along.upper()
    if place.transform is None or place.transform[1] or place.transform[3]:
        return Axis(name, size)
    start, step = (place.transform[2], place.transform[0]) if along == "x" else (place.transform[5], place.transform[4])
    return Axis(name, size, start + step * (np.arange(size) + 0.5), attributes)


def _mapping_of(cube: Cube, place: Georeference) -> str:
    """The name of the grid mapping of a georeference, which is added where it is new; empty where nothing is known."""
    if not place.known:
        return ""
    attributes = mapping_of(place)
    name = next((n for n, a in cube.mappings.items() if a == attributes), "")
    if not name:
        name = "spatial_ref" if not cube.mappings else f"spatial_ref_{len(cube.mappings) + 1}"
        cube.mappings[name] = attributes
    return name


def mapping_of(place: Georeference) -> Attributes:
    """Attributes of a grid mapping variable (CF, section 5.6)."""
    attributes: Attributes = {}
    if place.transform is not None:
        a, b, c, d, e, f = place.transform
        attributes["GeoTransform"] = " ".join(repr(n) for n in (c, a, b, f, d, e))
    if place.crs is None:
        return attributes
    wkt = _wkt(place.crs)
    attributes |= {"crs_wkt": wkt, "spatial_ref": wkt}
    code = epsg_of(place.crs) or 0
    if place.geographic:
        attributes["grid_mapping_name"] = "latitude_longitude"
    elif code // 100 in (326, 327) and 1 <= code % 100 <= 60:
        attributes |= {
            "grid_mapping_name": "transverse_mercator",
            "longitude_of_central_meridian": 6.0 * (code % 100) - 183.0,
            "latitude_of_projection_origin": 0.0,
            "scale_factor_at_central_meridian": 0.9996,
            "false_easting": 500000.0,
            "false_northing": 0.0 if code // 100 == 326 else 10000000.0,
        }
    return attributes


def _wkt(crs: str) -> str:
    """A CRS as WKT, which is GDAL's to make of a code."""
    if epsg_of(crs) is None:
        return crs
    try:
        from rasterio.crs import CRS
    except ImportError as error:
        raise missing_package(error) or error from error
    return str(CRS.from_string(crs).to_wkt())


def _time_axis(times: Sequence[Any]) -> Axis:
    """With coordinates where every date is ISO 8601."""
    moments = [_moment(t) for t in times]
    if any(m is None for m in moments):
        return Axis("time", len(times))
    found = np.array(moments, "datetime64[ms]")
    unit = next(u for u in _UNITS if (found == found.astype(f"M8[{u}]")).all())
    attributes = {
        "standard_name": "time",
        "axis": "T",
        "units": f"{_UNITS[unit]} since 1970-01-01",
        "calendar": "standard",
    }
    return Axis("time", len(times), found.astype(f"M8[{unit}]").astype(np.int64), attributes)


def _moment(time: Any) -> np.datetime64 | None:
    text = str(time or "")
    if re.fullmatch(r"\d{8}", text):
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return numpy_moment(text, "ms")


def _facts(series: Series, records: list[list[FileRecord]]) -> Attributes:
    """Attributes of the file."""
    frames = series.frames
    facts: Attributes = {"Conventions": CONVENTIONS, "processing_level": frames[0].level}
    if series.metadata.get("synthesis"):
        facts["synthesis"] = str(series.metadata["synthesis"])
    if series.metadata.get("files"):
        facts["source_files"] = "\n".join(r.name for of_date in records for r in of_date)
    if any(f.boa_offset for f in frames):
        facts["boa_offset"] = " ".join(str(BOA_OFFSET if f.boa_offset else 0) for f in frames)
    if any(f.time for f in frames) and _time_axis([f.time for f in frames]).values is None:
        facts["times"] = "\n".join(str(f.time or "") for f in frames)
    return facts
