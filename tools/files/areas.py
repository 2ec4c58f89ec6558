"""Windows of frames, in either form in which they are asked for, and the tiles that meet them."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, TypeAlias

from swathpack.edge.codec.pixels import TileWindow
from swathpack.tools.errors import UserError

Window: TypeAlias = tuple[slice, slice]
FORMS = "rows and columns such as np.s_[0:100, 300:400], or (row, column, height, width)"


def bounds_of(window: Window | Sequence[int] | None, size: tuple[int, ...]) -> Window:
    """Rows and columns with start and stop. window: slices as numpy takes them, or (row, column, height, width); None for all of
    the `size` rows and columns. Raises UserError for what is no window of the frame.
    """
    if window is None:
        return slice(0, size[0]), slice(0, size[1])
    parts = tuple(window) if isinstance(window, (tuple, list)) else (window,)
    if len(parts) == 4:
        return _of_numbers(parts, size, window)
    try:
        if len(parts) != 2 or not all(isinstance(p, slice) and p.step in (None, 1) for p in parts):
            raise TypeError
        rows, columns = (slice(*part.indices(side)[:2]) for part, side in zip(parts, size))
    except TypeError:
        raise UserError(f"window: expected {FORMS}, found {window!r}") from None
    if rows.stop <= rows.start or columns.stop <= columns.start:
        raise UserError(f"window: expected a part of {size[0]} x {size[1]} pixels, found {window!r}")
    return rows, columns


def _of_numbers(parts: Sequence[Any], size: tuple[int, ...], window: object) -> Window:
    try:
        row, column, height, width = map(index, parts)
    except TypeError:
        raise UserError(f"window: expected {FORMS}, found {window!r}") from None
    if not (0 <= row < row + height <= size[0] and 0 <= column < column + width <= size[1]):
        raise UserError(
            f"window: expected a part of {size[0]} x {size[1]} pixels as (row, column, height, width), found {window!r}"
        )
    return slice(row, row + height), slice(column, column + width)


def numbers_of(window: Window) -> tuple[int, int, int, int]:
    """(row, column, height, width) of rows and columns."""
    rows, columns = window
    return rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start


def meet(tile: TileWindow, rows: slice, columns: slice, within: int = 0) -> bool:
    """Whether any pixel of a tile lies in an area, or within so many pixels of it."""
    down = rows.start < tile.top + tile.height + within and tile.top - within < rows.stop
    return bool(down and columns.start < tile.left + tile.width + within and tile.left - within < columns.stop)


def tiles_of(rows: slice, columns: slice, side: int) -> Window:
    """An area grown to whole tiles of so many pixels a side."""
    return slice(rows.start // side * side, rows.stop + -rows.stop % side), slice(
        columns.start // side * side, columns.stop + -columns.stop % side
    )


def overlap(tile: TileWindow, rows: slice, columns: slice) -> tuple[Window, Window]:
    """The part of a tile that lies in an area, in pixels of the tile and of the area."""
    top, left = max(tile.top, rows.start), max(tile.left, columns.start)
    bottom, right = min(tile.top + tile.height, rows.stop), min(tile.left + tile.width, columns.stop)

    def area(y: int, x: int) -> Window:
        return slice(top - y, bottom - y), slice(left - x, right - x)

    return area(tile.top, tile.left), area(rows.start, columns.start)
