"""A mask by its edges, range coded: how an edge goes on follows from how it came, so that outlines take little.

Rows from the top; of each, for every edge of the row above from the left whether it goes on and by how many columns it moves, or
what else there is: that it ends together with the next one, or that two begin before it. Behind the last one edges begin in
pairs, or one whose other end lies beyond the row. All are binary decisions with adaptive states (binary.py), whose contexts
are the gaps to the edges beside and the edge's moves in the rows before. An edge is as in edges.py. A mask whose pixels are alike in
square cells is coded by its cells.

The first byte is 7 + 8 x (side of a cell - 1). No deflated content starts with three ones (RFC 1951, 3.2.3), so it tells such
masks from those of edges.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.stream import contours_native, contours_reference
from swathpack.edge.stream.errors import StreamError

MARK, MARK_BITS = 7, 3
MAX_CELL = 32
FREE, A_ROW, A_BYTE = 256, 8, 64  # no more decisions than these by rows and bytes: a short record is no long work


def pack_contours(valid: NDArray[np.bool_]) -> bytes | None:
    """The packed edges of a (H, W) bool array that is True where there is data; None when they take more than the bits, or too long."""
    side = _cell_of(valid)
    cells = np.ascontiguousarray(valid[::side, ::side])
    encode = contours_native.encode if contours_native.available() else contours_reference.encode
    coded, decisions = encode(cells)
    if len(coded) > cells.size // 8 + 64 or decisions > _most(len(cells), len(coded)):
        return None
    return bytes([MARK | (side - 1) << MARK_BITS]) + coded


def is_contours(packed: bytes) -> bool:
    """Whether it starts as what `pack_contours` gives, which nothing deflated does."""
    return bool(packed) and packed[0] & MARK == MARK


def contour_rows(packed: bytes, height: int, width: int, rows: int) -> Iterator[NDArray[np.bool_]]:
    """Packed edges as bool arrays (rows, width) from the top, the last one with what is left; True where there is data.
    StreamError, at the latest behind the last rows, if they are not of that size.
    """
    side, coded = (packed[0] >> MARK_BITS) + 1, packed[1:]
    size = -(-width // side), _most(-(-height // side), len(coded))
    decoder: contours_native.Decoder | contours_reference.Decoder
    decoder = (contours_native if contours_native.available() else contours_reference).Decoder(coded, *size)
    line = np.ones((1, -(-width // side)), np.bool_)  # of cells, the last one that was asked for
    for top in range(0, height, rows):
        first, last = top // side, (min(top + rows, height) - 1) // side
        fresh = decoder.rows(last - (-(-top // side)) + 1)
        lines = np.concatenate([line, fresh]) if top % side else fresh
        line = lines[-1:]
        found = lines.repeat(side, axis=0).repeat(side, axis=1)[top - first * side :, :width]
        yield found[: min(rows, height - top)]
    if decoder.left:
        raise StreamError(f"expected the end of a mask's edges, found {decoder.left} more bytes")


def _most(rows: int, size: int) -> int:
    """Decisions that so many rows in so many bytes may take."""
    return FREE + A_ROW * rows + A_BYTE * size


def _cell_of(valid: NDArray[np.bool_]) -> int:
    """The side of the largest cells in which all pixels are alike."""
    across = np.flatnonzero((valid[:, 1:] != valid[:, :-1]).any(axis=0)) + 1
    along = np.flatnonzero((valid[1:] != valid[:-1]).any(axis=1)) + 1
    common = int(np.gcd.reduce(np.concatenate([across, along, [0]])))
    return next(side for side in range(MAX_CELL, 0, -1) if common % side == 0)
