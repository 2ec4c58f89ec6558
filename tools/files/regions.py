"""Regions of a series whose values come back within a greatest error, whatever the rest may cost.

--region ROW,COL,HEIGHT,WIDTH[:max-error=N]                pixels, as `swathpack decompress --window` has them
--region bbox=LEFT,BOTTOM,RIGHT,TOP[:max-error=N]          in the files' own coordinates, as --bbox has them
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.radiometry import MAX_COUNT
from swathpack.tools.errors import UsageError, UserError
from swathpack.tools.files.part_request import window_of_bbox
from swathpack.tools.files.rasters.records import Georeference

PIXELS, BOX = "ROW,COL,HEIGHT,WIDTH[:max-error=N]", "bbox=LEFT,BOTTOM,RIGHT,TOP[:max-error=N]"
_COUNT = r"([0-9]{1,18})"
_ERROR = rf"(?::max-error={_COUNT})?"
_PIXELS = re.compile(",".join([_COUNT] * 4) + _ERROR)
_BOX = re.compile(
    "bbox=" + ",".join([r"(-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)"] * 4) + _ERROR, re.IGNORECASE
)
_LONGEST = 80  # of a text that is said to be wrong


@dataclass(frozen=True)
class Region:
    """Pixels of every date: `height` rows from `row` on, `width` columns from `column` on. No value of a tile that holds any of
    them comes back off by more than `max_error`. Raises UserError.
    """

    row: int
    column: int
    height: int
    width: int
    max_error: int = 0

    def __post_init__(self) -> None:
        if min(self.row, self.column) < 0 or min(self.height, self.width) < 1:
            raise UsageError(f"--region {self}: expected rows and columns from 0 on, and at least one of each")
        if not 0 <= self.max_error <= MAX_COUNT:
            raise UsageError(f"--region {self}: expected a max-error of 0 to {MAX_COUNT}")

    def __str__(self) -> str:
        """As the option has it."""
        return f"{self.row},{self.column},{self.height},{self.width}:max-error={self.max_error}"

    def on(self, georeference: Georeference, size: tuple[int, int]) -> Region:
        """Itself, wherever the frames lie."""
        return self

    def meets(self, w: TileWindow) -> bool:
        """Whether a tile holds any of its pixels."""
        down = self.row < w.top + w.height and w.top < self.row + self.height
        return down and self.column < w.left + w.width and w.left < self.column + self.width


@dataclass(frozen=True)
class BoxRegion:
    """The same, of pixels that a box in the coordinates of the files touches."""

    left: float
    bottom: float
    right: float
    top: float
    max_error: int = 0

    def on(self, georeference: Georeference, size: tuple[int, int]) -> Region:
        """Its pixels in frames of a georeference and size (rows, columns). Raises UserError."""
        box = self.left, self.bottom, self.right, self.top
        return Region(*window_of_bbox(georeference, box, size, "--region bbox", "ROW,COL,HEIGHT,WIDTH"), self.max_error)


def parsed(text: str) -> Region | BoxRegion:
    """What the option says. Raises UserError."""
    plain = text.replace(" ", "")
    if found := _PIXELS.fullmatch(plain):
        return Region(*(int(number) for number in found.groups(default="0")))
    if found := _BOX.fullmatch(plain):
        left, bottom, right, top, error = found.groups(default="0")
        return BoxRegion(float(left), float(bottom), float(right), float(top), int(error))
    raise UsageError(f"--region: expected {PIXELS} or {BOX}, found {text[:_LONGEST]!r}")


def region_of(numbers: Sequence[int]) -> Region:
    """A region from row, column, height, width and, where it is not 0, the greatest error. Raises UserError."""
    given = list(numbers)
    if len(given) not in (4, 5) or not all(isinstance(n, (int, np.integer)) for n in given):
        raise UserError(f"regions: expected (row, column, height, width) or these and a max_error, found {numbers!r}")
    return Region(*map(int, given))


def errors_of(regions: Iterable[Region], windows: Sequence[TileWindow], size: tuple[int, int]) -> dict[int, int]:
    """The greatest error of every tile that a region touches, by the tile's number; the least of several. size: rows and columns
    of the frames. Raises UserError for a region that is not within them.
    """
    found: dict[int, int] = {}
    for region in regions:
        if region.row + region.height > size[0] or region.column + region.width > size[1]:
            raise UserError(f"--region {region}: expected pixels within {size[0]} rows and {size[1]} columns")
        for w in windows:
            if region.meets(w):
                found[w.index] = min(region.max_error, found.get(w.index, region.max_error))
    return found
