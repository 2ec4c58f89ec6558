"""Series from arrays in memory: numpy, frames, xarray (`swathpack.tools.files.xarrays`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.frame import Frame, FrameError
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import Series, read_series
from swathpack.tools.files.rasters.options import ReadOptions
from swathpack.tools.files.rasters.values import rounded_note
from swathpack.tools.files.xarrays import iso_text, series_of_xarray
from swathpack.tools.words import plural

if TYPE_CHECKING:
    import xarray

    Source: TypeAlias = NDArray[Any] | Frame | Sequence[Frame] | xarray.DataArray | str | Path | Sequence[str | Path]

Times = Sequence["str | date | np.datetime64 | None"]


def names_of(bands: Sequence[str] | None) -> Sequence[str] | None:
    """Names of bands as a sequence; a single text is one name, not a name for each of its letters. Raises UserError for none."""
    names = (bands,) if isinstance(bands, str) else bands
    if names is not None and not len(names):
        raise UserError("bands: expected at least one name, found none")
    return names


def as_series(
    source: Source,
    bands: Sequence[str] | None = None,
    times: Times | None = None,
    nodata: float = 0,
    level: str = "unknown",
    boa_offset: bool = False,
    scale: float | None = None,
) -> Series:
    """The series of anything that `swathpack.compress` takes. Raises UserError, FrameError."""
    check_facts(source, nodata, level, boa_offset)
    options = ReadOptions(tuple(bands or ()), scale=scale)
    paths = [source] if isinstance(source, (str, Path)) else source
    if isinstance(paths, (list, tuple)) and paths and all(isinstance(p, (str, Path)) for p in paths):
        series = read_series(paths, options=options)
        return replace(series, frames=_timed(series.frames, times))
    if isinstance(source, Frame):
        source = [source]
    if hasattr(source, "data_vars"):
        raise UserError(
            "expected an xarray.DataArray, found a Dataset: give dataset.to_array('band'), or one of its variables"
        )
    is_array = hasattr(source, "dims") and hasattr(source, "coords")
    if scale is not None and not is_array:
        raise UserError("scale: expected of files and DataArrays alone; multiply an array by it")
    if isinstance(source, (list, tuple)) and source and all(isinstance(f, Frame) for f in source):
        frames = list(source) if bands is None else [f.select(bands) for f in source]
        return Series(_timed(frames, times))
    if is_array:
        texts = None if times is None else [iso_text(t) for t in times]
        return series_of_xarray(source, bands, texts, nodata, level, boa_offset, scale)
    if not isinstance(source, np.ndarray):
        raise UserError(f"expected an array, frames, an xarray.DataArray or paths, found {type(source).__name__}")
    return Series(_of_array(source, bands, times, nodata, level, boa_offset), notes=_notes_of(source))


def _notes_of(array: NDArray[Any]) -> list[str]:
    """What an array of another type than uint16 loses."""
    if array.dtype == np.uint16:
        return []
    notes = [f"the array of {array.dtype} is taken for DN and comes back as uint16; an xarray.DataArray keeps its type"]
    if array.dtype.kind == "f" and any((plane != np.rint(plane)).any() for plane in array):
        notes.append(rounded_note(array.dtype.name, 1))
    return notes


def check_facts(source: Any, nodata: float, level: str, boa_offset: bool) -> None:
    """Refuse what is said of arrays where files or frames say it themselves. Raises UserError."""
    first = source[0] if isinstance(source, (list, tuple)) and source else source
    if not isinstance(first, (str, Path, Frame)):
        return
    given = {"nodata": nodata != 0, "level": level != "unknown", "boa_offset": bool(boa_offset)}
    if any(given.values()):
        said = ", ".join(name for name, there in given.items() if there)
        found = "a Frame" if isinstance(first, Frame) else str(first)
        raise UserError(f"{said}: expected of arrays alone; files and frames say it themselves, found {found}")


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
        raise UserError(f"bands: expected names of {plural(cube.shape[1], 'band')}, found none")
    names = BANDS if bands is None else tuple(bands)
    try:
        frames = [Frame.from_array(plane, names, nodata=nodata, level=level, boa_offset=boa_offset) for plane in cube]
    except FrameError as error:
        if error.reason != "values" or array.dtype == np.uint16:
            raise
        raise UserError(f"{error}; an xarray.DataArray or a raster keeps other values than DN") from error
    return _timed(frames, times)


def _timed(frames: Sequence[Frame], times: Times | None) -> list[Frame]:
    if times is None:
        return list(frames)
    if len(times) != len(frames):
        raise UserError(f"times: expected {len(frames)}, one for each frame, found {len(times)}")
    return [replace(frame, time=iso_text(time)) for frame, time in zip(frames, times)]
