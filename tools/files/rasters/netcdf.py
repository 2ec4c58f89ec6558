"""NetCDF-4 files by the CF conventions, written with h5netcdf plane by plane."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.tools.extras import missing_package
from swathpack.tools.files.rasters.cube import Axis, Cube, cube_of
from swathpack.tools.files.rasters.series import Series
from swathpack.tools.files.rasters.sink import Sink

SUFFIX = ".nc"
CHUNK = 512


def write_netcdf(series: Series, path: Path) -> None:
    """One file of all dates. Raises UserError for dates of several grids, MissingPackageError."""
    try:
        import h5netcdf
    except ImportError as error:
        raise missing_package(error) or error from error
    cube = cube_of(series)
    with closing(Sink(path)) as sink:
        try:
            with h5netcdf.File(sink, "w") as file:
                _outline(file, cube)
                for date, variable, values in cube.planes():
                    file.variables[variable.name][date] = values
                    sink.check()
        except Exception:
            sink.check()  # what the disk refused, whatever came of it
            raise
        sink.check()


def _outline(file: Any, cube: Cube) -> None:
    """Everything but the pixels."""
    file.attrs.update(cube.attributes)
    file.dimensions = {axis.name: axis.size for axis in cube.axes}
    for axis in cube.axes:
        _coordinates(file, axis)
    for name, attributes in cube.mappings.items():
        file.create_variable(name, (), np.int32).attrs.update(attributes)
    for v in cube.variables:
        chunks = (1, *(min(CHUNK, side) for side in v.shape[1:]))
        options = {"chunks": chunks, "compression": "gzip", "compression_opts": 4, "shuffle": True, "fillvalue": v.fill}
        file.create_variable(v.name, v.axes, np.dtype(v.dtype), **options).attrs.update(v.attributes)


def _coordinates(file: Any, axis: Axis) -> None:
    if axis.values is not None:
        variable = file.create_variable(axis.name, (axis.name,), axis.values.dtype, data=axis.values)
        variable.attrs.update(axis.attributes)
