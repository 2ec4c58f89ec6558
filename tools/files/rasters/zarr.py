"""Zarr groups (version 2 of the format, consolidated) by the CF conventions, as xarray reads them; nothing but numpy needed.

Every array is a folder: `.zarray`, `.zattrs`, and a zlib-compressed file a chunk, one date of at most 512 x 512 pixels.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.tools.files.rasters.cube import cube_of
from swathpack.tools.files.rasters.series import Series

SUFFIX = ".zarr"
CHUNK = 512
_LEVEL = 6


def is_store(folder: Path) -> bool:
    """Whether a folder is a Zarr group."""
    return (folder / ".zgroup").is_file() or (folder / "zarr.json").is_file()


def write_zarr(series: Series, folder: Path) -> None:
    """One group of all dates. Raises UserError for dates of several grids, MissingPackageError."""
    cube = cube_of(series)
    folder.mkdir(parents=True, exist_ok=True)
    store = _Store(folder)
    store.document(".zgroup", {"zarr_format": 2})
    store.document(".zattrs", cube.attributes)
    for axis in cube.axes:
        if axis.values is not None:
            store.array(axis.name, (axis.name,), axis.values.shape, axis.values.dtype, None, axis.attributes)
            store.chunk(axis.name, (0,), axis.values, axis.values.shape)
    for name, attributes in cube.mappings.items():
        store.array(name, (), (), np.dtype(np.int32), None, attributes)
        store.chunk(name, (), np.zeros((), np.int32), ())
    for v in cube.variables:
        store.array(v.name, v.axes, v.shape, np.dtype(v.dtype), v.fill, v.attributes)
    for date, v, values in cube.planes():
        for row in range(-(-values.shape[0] // CHUNK)):
            for column in range(-(-values.shape[1] // CHUNK)):
                part = values[row * CHUNK : (row + 1) * CHUNK, column * CHUNK : (column + 1) * CHUNK]
                store.chunk(v.name, (date, row, column), part[None], _chunks(v.shape))
    store.consolidate()


def _chunks(shape: Sequence[int]) -> tuple[int, ...]:
    """Of an array: a date a chunk, planes in squares; anything of one dimension whole."""
    return tuple(shape) if len(shape) < 3 else (1, *(min(CHUNK, side) for side in shape[1:]))


class _Store:
    """Documents and chunks of one group."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._documents = folder, dict[str, Any]()

    def document(self, key: str, content: Any) -> None:
        path = self._folder / key
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")
        if key != ".zmetadata":
            self._documents[key] = content

    def consolidate(self) -> None:
        """All documents in one, so that readers need one request."""
        self.document(".zmetadata", {"zarr_consolidated_format": 1, "metadata": self._documents})

    def array(
        self,
        name: str,
        axes: Sequence[str],
        shape: Sequence[int],
        dtype: np.dtype[Any],
        fill: Any,
        said: dict[str, Any],
    ) -> None:
        content = {
            "zarr_format": 2,
            "shape": list(shape),
            "chunks": list(_chunks(shape)),
            "dtype": dtype.newbyteorder("<").str,
            "compressor": {"id": "zlib", "level": _LEVEL},
            "fill_value": _plain(fill),
            "order": "C",
            "filters": None,
        }
        self.document(f"{name}/.zarray", content)
        attributes = said | {"_ARRAY_DIMENSIONS": list(axes)}
        if fill is not None:
            attributes["_FillValue"] = _attribute(fill)
        self.document(f"{name}/.zattrs", attributes)

    def chunk(self, name: str, place: Sequence[int], values: NDArray[Any], size: Sequence[int]) -> None:
        """A chunk of the given size, of which `values` are the part that lies inside the array."""
        whole = np.zeros(tuple(size), values.dtype.newbyteorder("<"))
        whole[tuple(slice(0, side) for side in values.shape)] = values
        path = self._folder / name / (".".join(map(str, place)) or "0")
        path.write_bytes(zlib.compress(whole.tobytes(), _LEVEL))


def _plain(fill: Any) -> Any:
    """A fill value as the format writes it: NaN and infinities are texts."""
    if fill is None or np.dtype(type(fill)).kind != "f" or math.isfinite(fill):
        return fill if fill is None else fill.item()
    return "NaN" if math.isnan(fill) else "Infinity" if fill > 0 else "-Infinity"


def _attribute(fill: Any) -> Any:
    """xarray has float fill values among the attributes as base64 of their bytes, integers as they are."""
    if np.dtype(type(fill)).kind == "f":
        return base64.b64encode(np.asarray(fill, "<f8").tobytes()).decode()
    return fill.item()
