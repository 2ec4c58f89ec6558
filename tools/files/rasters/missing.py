"""How files that are made anew tell which pixels lack data: by a value that no pixel with data has, or by a mask.

A pixel lacks data where all its bands are 0; one of which a single band is 0 does not. Readers of GeoTIFF, NetCDF and Zarr look at
every band by itself, and take each value that is declared to stand for no data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.frame import Frame

Band = tuple[NDArray[np.generic], NDArray[np.bool_]]  # values in the file's type, and where there are data


def missing_of(parts: Iterable[Frame]) -> dict[int, tuple[float | None, str]]:
    """`nodata` and `mask` of the records of new files, one a grid (by its factor, as in `Frame.grid`), whose pixels without data
    are 0. parts: rows of all bands. No value where nothing is missing or, as a mask tells it, where pixels with data are 0 too.
    """
    lacking, used = set[int](), set[int]()
    for part in parts:
        counts = part.to_native()
        for band, held in part.native_valid().items():
            factor = part.grid[part.bands.index(band)]
            if not held.all():
                lacking.add(factor)
            if (part.radiometry.to_values(counts[band], np.ones_like(held))[held] == 0).any():
                used.add(factor)
    return {factor: (None, "internal") if factor in used else (0.0, "zeros") for factor in lacking}


def free_value(bands: Iterable[Band], dtype: str, usual: float) -> float | None:
    """A value of the type that no data have: NaN of floats; of integers the usual one where it is free, else the greatest or the
    first that is. None where data have all values of the type.
    """
    if np.dtype(dtype).kind == "f":
        return math.nan
    bounds = np.iinfo(dtype)
    first = [usual, bounds.max, bounds.min]
    if bounds.bits > 16:  # data span 65,535 steps, so one of the ends is free
        for values, held in bands:
            first = [value for value in first if not (values[held] == value).any()]
        return first[0] if first else None
    used = np.zeros(1 << bounds.bits, np.bool_)
    for values, held in bands:
        used[values[held].astype(np.int64) - bounds.min] = True
    others = np.flatnonzero(~used) + bounds.min
    return next((value for value in first if value in others), float(others[0]) if others.size else None)
