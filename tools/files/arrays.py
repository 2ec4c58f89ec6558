"""Series from arrays in memory: numpy, frames, xarray; and xarray from frames."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.frame import Frame
from swathpack.tools.errors import UserError
from swathpack.tools.extras import missing_package
from swathpack.tools.files.rasters import Series, read_series
from swathpack.tools.files.rasters.records import BandRecord, FileRecord, Georeference

if TYPE_CHECKING:
    import xarray

    Source: TypeAlias = NDArray[Any] | Frame | Sequence[Frame] | xarray.DataArray | str | Path | Sequence[str | Path]

Times = Sequence["str | date | np.datetime64 | None"]
_TIME, _BAND, _Y, _X = (
    ("time", "date", "t"),
    ("band", "bands", "wavelength"),
    ("y", "lat", "latitude"),
    ("x", "lon", "longitude"),
)


def as_series(
    source: Source,
    bands: Sequence[str] | None = None,
    times: Times | None = None,
    nodata: float = 0,
    level: str = "unknown",
    boa_offset: bool = False,
) -> Series:
    """The series of anything that `swathpack.compress` takes. Raises UserError, FrameError."""
    paths = [source] if isinstance(source, (str, Path)) else source
    if isinstance(paths, (list, tuple)) and paths and all(isinstance(p, (str, Path)) for p in paths):
        series = read_series(paths, bands)
        return Series(_timed(series.frames, times), series.metadata)
    if isinstance(source, Frame):
        source = [source]
    if isinstance(source, (list, tuple)) and source and all(isinstance(f, Frame) for f in source):
        frames = list(source) if bands is None else [f.select(bands) for f in source]
        return Series(_timed(frames, times))
    if hasattr(source, "dims") and hasattr(source, "coords"):
        return _of_xarray(source, bands, times, nodata, level, boa_offset)
    if not isinstance(source, np.ndarray):
        raise UserError(f"expected an array, frames, an xarray.DataArray or paths, found {type(source).__name__}")
    return Series(_of_array(source, bands, times, nodata, level, boa_offset))


def _of_array(
    array: NDArray[Any],
    bands: Sequence[str] | None,
    times: Times | None,
    nodata: float,
    level: str,
    boa_offset: bool,
) -> list[Frame]:
    cube = array[None] if array.ndim == 3 else array
    if cube.ndim != 4 or cube.size == 0:
        raise UserError(f"expected an array (T, C, H, W) or (C, H, W), found shape {array.shape}")
    if bands is None and cube.shape[1] != len(BANDS):
        raise UserError(f"bands: expected names of {cube.shape[1]} bands, found none")
    names = BANDS if bands is None else tuple(bands)
    frames = [Frame.from_array(plane, names, nodata=nodata, level=level, boa_offset=boa_offset) for plane in cube]
    return _timed(frames, times)


def _timed(frames: Sequence[Frame], times: Times | None) -> list[Frame]:
    if times is None:
        return list(frames)
    from dataclasses import replace

    if len(times) != len(frames):
        raise UserError(f"times: expected {len(frames)}, one for each frame, found {len(times)}")
    return [replace(frame, time=iso_text(time)) for frame, time in zip(frames, times)]


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


def _of_xarray(
    array: Any,
    bands: Sequence[str] | None,
    times: Times | None,
    nodata: float,
    level: str,
    boa_offset: bool,
) -> Series:
    """dims: band, y, x and maybe time, in any order and under their usual names; coordinates give names, times and grid."""
    roles = [_dim(array, names) for names in (_TIME, _BAND, _Y, _X)]
    time, band, y, x = roles
    known = [d for d in roles if d]
    if y is None or x is None or set(array.dims) - set(known):
        raise UserError(f"expected dimensions time, band, y, x (time and band may be left out), found {array.dims}")
    ordered = array.transpose(*known)
    values = np.asarray(ordered.values)
    values = values if band else np.expand_dims(values, 1 if time else 0)
    if bands is None and band in array.coords:
        bands = [str(b) for b in np.atleast_1d(array.coords[band].values)]
    if bands is None and not band and array.name:
        bands = [str(array.name)]
    if times is None and "time" in array.coords:
        times = list(np.atleast_1d(array.coords["time"].values))
    nodata = float(array.attrs.get("_FillValue", array.attrs.get("nodata", nodata)))
    level = str(array.attrs.get("level", level))
    frames = _of_array(values, bands, times, nodata, level, boa_offset)
    place = _georeference(array, y, x)
    if not place.known:
        return Series(frames)
    return Series(frames, {"format": "raster", "files": [[_record(i, f, place)] for i, f in enumerate(frames)]})


def _dim(array: Any, names: tuple[str, ...]) -> str | None:
    return next((str(d) for d in array.dims if str(d).lower() in names), None)


def _record(index: int, frame: Frame, place: Georeference) -> dict[str, Any]:
    bands = tuple(BandRecord(name, name) for name in frame.bands)
    name = f"{index:03d}_{(frame.time or 'date')[:10]}.tif"
    return FileRecord(name, bands, (frame.height, frame.width), georeference=place).to_json()


def _georeference(array: Any, y: str, x: str) -> Georeference:
    """CRS of the grid mapping (CF, section 5.6), or of the attributes; transform of the pixels' centres."""
    grid = array.coords.get(array.encoding.get("grid_mapping", array.attrs.get("grid_mapping", "spatial_ref")))
    attributes = {**array.attrs, **(grid.attrs if grid is not None else {})}
    crs = next((str(attributes[k]) for k in ("crs", "crs_wkt", "spatial_ref") if attributes.get(k)), None)
    if y not in array.coords or x not in array.coords or min(array.sizes[y], array.sizes[x]) < 2:
        return Georeference(crs)
    steps = [_step(array.coords[d].values) for d in (x, y)]
    if None in steps:
        return Georeference(crs)
    (left, a), (top, e) = steps  # type: ignore[misc]
    return Georeference(crs, (a, 0.0, left, 0.0, e, top))


def _step(centres: NDArray[Any]) -> tuple[float, float] | None:
    """Outer edge and size of evenly spaced pixels."""
    values = np.asarray(centres, np.float64)
    size = (values[-1] - values[0]) / (len(values) - 1)
    even = size != 0 and np.allclose(np.diff(values), size, rtol=1e-3, atol=0)
    return (float(values[0] - size / 2), float(size)) if even else None


def to_xarray(frames: Sequence[Frame], place: Georeference, top: int = 0, left: int = 0) -> Any:
    """A DataArray (time, band, y, x) of frames of one grid, whose corner is at row `top`, column `left` of `place`."""
    try:
        import xarray
    except ImportError as error:
        raise missing_package(error) or error from error
    data = np.stack([f.data for f in frames])
    times = [f.time for f in frames]
    coords: dict[str, Any] = {"band": list(frames[0].bands)}
    if all(times):
        coords["time"] = _datetimes([str(t) for t in times])
    if place.transform is not None and place.transform[1] == place.transform[3] == 0:
        a, _, c, _, e, f = place.transform
        coords |= {
            "x": c + a * (left + 0.5 + np.arange(data.shape[3])),
            "y": f + e * (top + 0.5 + np.arange(data.shape[2])),
        }
    attributes: dict[str, Any] = {"nodata": 0, "level": frames[0].level}
    return xarray.DataArray(
        data, coords, ("time", "band", "y", "x"), attrs=attributes | ({"crs": place.crs} if place.crs else {})
    )


def _datetimes(times: list[str]) -> NDArray[Any]:
    """As numpy.datetime64 where all are ISO 8601, else the texts."""
    try:
        return np.array([np.datetime64(t.removesuffix("Z"), "ns") for t in times])
    except ValueError:
        return np.array(times)
