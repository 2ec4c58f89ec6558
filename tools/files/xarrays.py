"""xarray.DataArrays to series and back: names, times, types, nodata and georeference as they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.frame import Frame, normalise_level
from swathpack.tools.errors import UserError
from swathpack.tools.extras import missing_package
from swathpack.tools.files.rasters import gdal
from swathpack.tools.files.rasters.assemble import frames_of, ordered
from swathpack.tools.files.rasters.bandnames import mapping_note, name_bands
from swathpack.tools.files.rasters.cube import mapping_of
from swathpack.tools.files.rasters.dates import numpy_moment
from swathpack.tools.files.rasters.options import ReadOptions
from swathpack.tools.files.rasters.records import BandRecord, FileRecord, Georeference
from swathpack.tools.files.rasters.scene import Plane, Scene, validity
from swathpack.tools.files.rasters.series import Series

_TIME, _BAND, _Y, _X = (
    ("time", "date", "t"),
    ("band", "bands", "wavelength"),
    ("y", "lat", "latitude"),
    ("x", "lon", "longitude"),
)
_MAPPING = "spatial_ref"


def series_of_xarray(
    array: Any,
    bands: Sequence[str] | None = None,
    times: Sequence[str | None] | None = None,
    nodata: float = 0,
    level: str = "unknown",
    boa_offset: bool = False,
    scale: float | None = None,
) -> Series:
    """dims: band, y, x and maybe time, in any order and under their usual names; coordinates give names, times and grid.
    nodata: where neither attributes nor encoding name it; 0 is what pixels without data are anyway. scale: DN = value x scale.
    Raises UserError.
    """
    time, band, y, x = roles = [_dim(array, names) for names in (_TIME, _BAND, _Y, _X)]
    if y is None or x is None or set(array.dims) - set(roles):
        raise UserError(f"expected dimensions time, band, y, x (time and band may be left out), found {array.dims}")
    values = np.asarray(array.transpose(*[d for d in roles if d]).values)
    values = values if time else values[None]
    values = values if band else values[:, None]
    if values.dtype.kind not in "iuf" or not values.size:
        raise UserError(f"expected numbers, found {values.dtype} {values.shape}")
    records, notes = _bands(array, bands, values.shape[1], band)
    times = _times(array, len(values)) if times is None else list(times)
    if len(times) != len(values):
        raise UserError(f"times: expected {len(values)}, one for each frame, found {len(times)}")
    fill, place = _nodata(array, nodata), georeference_of(array, y, x)
    level = normalise_level(str(array.attrs.get("level", level)))
    scenes = [
        _scene(index, planes, records, moment, fill, place, level, boa_offset)
        for index, (planes, moment) in enumerate(zip(values, times))
    ]
    order, more = ordered(scenes)
    scenes = [scenes[i] for i in order]
    frames, told = frames_of(scenes, ReadOptions(scale=scale))
    metadata = {"format": "raster", "files": [[f.to_json() for f in s.files] for s in scenes]}
    return Series(frames, metadata, [*notes, *more, *told])


def _dim(array: Any, names: tuple[str, ...]) -> str | None:
    return next((str(d) for d in array.dims if str(d).lower() in names), None)


def _bands(
    array: Any, given: Sequence[str] | None, count: int, band: str | None
) -> tuple[tuple[BandRecord, ...], list[str]]:
    names = list(given or ())
    if not names and band in array.coords:
        names = [str(b) for b in np.atleast_1d(array.coords[band].values)]
    if not names and not band and array.name:
        names = [str(array.name)]
    if not names and count == len(BANDS):
        names = list(BANDS)
    if len(names) != count:
        raise UserError(f"bands: expected names of {count} bands, found {len(names) or 'none'}")
    found = name_bands(names, ())
    if found is None:
        return tuple(BandRecord(n, n.strip()) for n in names), []
    return found.bands, [n for n in (found.assumed, mapping_note(found.bands, found.sensor)) if n]


def _times(array: Any, count: int) -> list[str | None]:
    coordinate = next((n for n in _TIME if n in array.coords), None)
    if coordinate is None:
        return [None] * count
    return [iso_text(t) for t in np.atleast_1d(array.coords[coordinate].values)]


def iso_text(time: str | date | np.datetime64 | None) -> str | None:
    """ISO 8601, the date alone where that is all there is; texts stay as they are."""
    if time is None or isinstance(time, str):
        return None if time is None else str(time)
    if isinstance(time, datetime):
        time = np.datetime64(time.astimezone(timezone.utc).replace(tzinfo=None) if time.tzinfo else time)
    elif isinstance(time, date):
        return time.isoformat()
    if not isinstance(time, np.datetime64) or np.isnat(time):
        raise UserError(f"times: expected ISO 8601 texts, dates or numpy.datetime64, found {time!r}")
    if time == time.astype("datetime64[D]"):
        return str(time.astype("datetime64[D]"))
    unit = "s" if time == time.astype("datetime64[s]") else "ms"
    return f"{time.astype(f'datetime64[{unit}]')}Z"


def _nodata(array: Any, usual: float) -> float | None:
    """As attributes or the encoding of the file name it; None where nothing does."""
    for said in (array.attrs, array.encoding):
        for key in ("_FillValue", "nodata", "missing_value"):
            if said.get(key) is not None:
                return float(said[key])
    return float(usual) or None


def _scene(
    index: int,
    planes: NDArray[Any],
    records: tuple[BandRecord, ...],
    time: str | None,
    nodata: float | None,
    place: Georeference,
    level: str,
    boa_offset: bool,
) -> Scene:
    valid = [validity(plane, None, nodata) for plane in planes]
    mask = "nodata" if nodata is not None else "nan" if any(v is not None for v in valid) else "zeros"
    shape = (int(planes.shape[1]), int(planes.shape[2]))
    name = f"{index:03d}_{(time or 'date')[:10]}.tif"
    file = FileRecord(name, records, shape, planes.dtype.name, nodata, mask, place)
    found = [Plane(band, values, held, nodata) for band, values, held in zip(records, planes, valid)]
    where = f"date {index}"
    return Scene(where, time, found, [file], level, True if boa_offset else None, georeference=place)


def georeference_of(array: Any, y: str, x: str) -> Georeference:
    """CRS of the grid mapping (CF, section 5.6) or of the attributes; GDAL's GeoTransform, else the transform of evenly
    spaced coordinates.
    """
    grid = array.coords.get(array.encoding.get("grid_mapping", array.attrs.get("grid_mapping", _MAPPING)))
    said = {**array.attrs, **(grid.attrs if grid is not None else {})}
    text = next((str(said[k]) for k in ("crs", "crs_wkt", "spatial_ref") if said.get(k)), None)
    crs, geographic = gdal.named_crs(text) if text else (None, False)
    transform = _of_coordinates(array, y, x)
    exact = _of_text(str(said.get("GeoTransform", "")))
    if exact and (transform is None or all(abs(i - j) <= 1e-6 * abs(exact[0]) for i, j in zip(transform, exact))):
        transform = exact
    return Georeference(crs, transform, geographic or said.get("grid_mapping_name") == "latitude_longitude")


def _of_text(text: str) -> tuple[float, float, float, float, float, float] | None:
    try:
        c, a, b, f, d, e = (float(n) for n in text.split())
    except ValueError:
        return None
    return a, b, c, d, e, f


def _of_coordinates(array: Any, y: str, x: str) -> tuple[float, float, float, float, float, float] | None:
    if y not in array.coords or x not in array.coords or min(array.sizes[y], array.sizes[x]) < 2:
        return None
    across, down = (_step(array.coords[d].values) for d in (x, y))
    return None if across is None or down is None else (across[1], 0.0, across[0], 0.0, down[1], down[0])


def _step(centres: NDArray[Any]) -> tuple[float, float] | None:
    """Outer edge and size of evenly spaced pixels."""
    values = np.asarray(centres, np.float64)
    size = (values[-1] - values[0]) / (len(values) - 1)
    even = size != 0 and np.allclose(np.diff(values), size, rtol=1e-3, atol=0)
    return (float(values[0] - size / 2), float(size)) if even else None


def to_xarray(frames: Sequence[Frame], values: NDArray[Any], place: Georeference, top: int = 0, left: int = 0) -> Any:
    """A DataArray (time, band, y, x) of the values of frames of one grid, whose corner is at row `top`, column `left` of
    `place`. Where GDAL is installed `spatial_ref` is the CRS as rioxarray has it.
    """
    try:
        import xarray
    except ImportError as error:
        raise missing_package(error) or error from error
    times = [f.time for f in frames]
    coords: dict[str, Any] = {"band": list(frames[0].bands)}
    if all(times):
        coords["time"] = _datetimes([str(t) for t in times])
    if place.transform is not None:
        place = _moved(place, top, left)
        coords |= _centres(place, values.shape)
    if place.known and gdal.installed():
        coords[_MAPPING] = ((), 0, mapping_of(place))
    nodata = frames[0].radiometry.nodata
    attributes: dict[str, Any] = {
        "nodata": nodata if values.dtype.kind == "f" else int(nodata),
        "level": frames[0].level,
    }
    attributes |= {"crs": place.crs} if place.crs else {}
    return xarray.DataArray(values, coords, ("time", "band", "y", "x"), attrs=attributes)


def _moved(place: Georeference, top: int, left: int) -> Georeference:
    """The georeference of a window."""
    a, b, c, d, e, f = place.transform or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    moved = (a, b, c + a * left + b * top, d, e, f + d * left + e * top)
    return Georeference(place.crs, moved, place.geographic)


def _centres(place: Georeference, shape: tuple[int, ...]) -> dict[str, Any]:
    a, b, c, d, e, f = place.transform or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    if b or d:
        return {}
    return {"x": c + a * (0.5 + np.arange(shape[3])), "y": f + e * (0.5 + np.arange(shape[2]))}


def _datetimes(times: list[str]) -> NDArray[Any]:
    """As numpy.datetime64 where all are ISO 8601, else the texts."""
    moments = [numpy_moment(t, "ns") for t in times]
    return np.array(times if any(m is None for m in moments) else moments)
