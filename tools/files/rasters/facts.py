"""What a reader says of one raster file before its pixels are read, whatever read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.records import Georeference

Planes = NDArray[np.generic]
Mask = NDArray[np.bool_]
Read = Callable[[Sequence[int]], tuple[Planes, "Mask | None"]]
Box = tuple[int, int, int, int]  # top, stop, left, right: rows [top, stop), columns [left, right)
ReadPart = Callable[[Sequence[int], Box], tuple[Planes, "Mask | None"]]

KINDS = "iuf"


@dataclass(frozen=True)
class RasterFacts:
    """One file. Lists have one entry a sample, alpha included.

    name: the file's name. path: for messages. dtype: numpy's name. descriptions: empty where there is none.
    wavelengths: nm, 0 where unknown. colours: red, green, blue, nir, alpha, gray or empty. linear: (scale, offset) of
    reflectance = scale x count + offset, None where the file does not say. mask: as in `records`. items: the
    file's own metadata. read(samples) gives the planes (n, h, w) in the file's type and the mask (h, w), True where there
    are data, None where the file has no mask. read_part(samples, box): the same of a part; block_rows: how many rows are decoded
    at a time.
    """

    name: str
    path: str
    shape: tuple[int, int]
    dtype: str
    descriptions: tuple[str, ...]
    read: Read
    wavelengths: tuple[float, ...] = ()
    colours: tuple[str, ...] = ()
    linear: tuple[tuple[float, float] | None, ...] = ()
    nodata: float | None = None
    mask: str = "zeros"
    georeference: Georeference = Georeference()
    alpha: tuple[int, int] | None = None
    tags: tuple[tuple[int, int, int, Any], ...] = ()
    layout: dict[str, Any] = field(default_factory=dict)
    items: Mapping[str, str] = field(default_factory=dict)
    datetime: str | None = None
    source: str = ""
    read_part: ReadPart | None = None
    block_rows: int = 1

    @property
    def samples(self) -> list[int]:
        """Indexes of the samples that are no alpha."""
        return [i for i in range(len(self.descriptions)) if self.alpha is None or i != self.alpha[0]]


def check_type(path: str, dtype: str) -> str:
    """numpy's name of a sample type that can be read. Raises UserError."""
    found = np.dtype(dtype)
    if found.kind not in KINDS or found.itemsize > 8:
        raise UserError(f"{path}: expected integers or floats, found {found.name}")
    return str(found.name)


def number(text: str | None) -> float | None:
    """A number of a tag's text (`nan` is one), None where it is none."""
    try:
        return float((text or "").strip().strip("\0"))
    except ValueError:
        return None


def unreadable(path: str, box: Box, error: Exception) -> UserError:
    """The message for a part of a file that cannot be read."""
    top, stop, left, right = box
    place = f"rows {top}-{stop - 1}, columns {left}-{right - 1}"
    return UserError(f"{path}: {place} cannot be read, damaged or cut short ({error})")
