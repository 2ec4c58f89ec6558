"""A mask by its edges: the columns at which a row goes over from data to none or back, told from those of the row above.

Edges of swaths, tiles and reprojected scenes are lines, which take a byte or two a row so, and little when these are deflated.
Per row, from the top: a varint, 0 for as many edges as the row above (none above the first), else their number plus 1. After a 0
each edge as signed varint, less the one above; after a number the first one's column and of each further one the distance (varints).
A row starts as if there were data left of it. All of it is deflated (raw), and at most MAX_EDGE_BYTES before. Content that starts as
nothing deflated does is range coded (contours.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.stream.contours import contour_rows, is_contours
from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.masks import Inflater, deflate
from swathpack.edge.stream.wire import Cursor, signed_varint, varint

MAX_EDGE_BYTES = 1 << 17  # edges are unpacked one by one: more than this takes longer than all else of a frame


def pack_edges(valid: NDArray[np.bool_]) -> bytes | None:
    """The packed edges of a (H, W) bool array that is True where there is data; None when there are too many."""
    changes = valid.copy()
    changes[:, 1:] ^= valid[:, :-1]
    changes[:, 0] ^= True
    if np.count_nonzero(changes) + len(valid) > MAX_EDGE_BYTES:
        return None
    rows, columns = np.nonzero(changes)
    starts = np.searchsorted(rows, np.arange(len(valid) + 1)).tolist()
    places, out, above = columns.tolist(), bytearray(), list[int]()
    for start, stop in zip(starts, starts[1:]):
        row = places[start:stop]
        if len(row) == len(above):
            out += b"\0" + b"".join(signed_varint(b - a) for a, b in zip(above, row))
        else:
            out += varint(1 + len(row)) + b"".join(varint(b - a) for a, b in zip([0, *row], row))
        above = row
    return deflate(bytes(out)) if len(out) <= MAX_EDGE_BYTES else None


def edge_rows(packed: bytes, height: int, width: int, rows: int) -> Iterator[NDArray[np.bool_]]:
    """Packed edges, deflated or range coded, as bool arrays (rows, width) from the top, the last one with what is left; True where
    there is data. StreamError, at the latest behind the last rows, if they are not of that size.
    """
    return (contour_rows if is_contours(packed) else _deflated_rows)(packed, height, width, rows)


def _deflated_rows(packed: bytes, height: int, width: int, rows: int) -> Iterator[NDArray[np.bool_]]:
    cursor, above = Cursor(Inflater(packed).rest(MAX_EDGE_BYTES)), list[int]()
    for top in range(0, height, rows):
        changes = np.zeros((min(rows, height - top), width), np.uint8)
        for row in changes:
            above = _row(cursor, above, width)
            row[above] = 1
        yield np.bitwise_xor.accumulate(changes, axis=1) == 0
    cursor.done()


def _row(cursor: Cursor, above: list[int], width: int) -> list[int]:
    code = cursor.varint()
    if code == 0:
        row = [place + cursor.signed() for place in above]
    else:
        row, place = [], 0
        for _ in range(code - 1):
            place += cursor.varint()
            row.append(place)
    if row and (row[0] < 0 or row[-1] >= width or any(a >= b for a, b in zip(row, row[1:]))):
        raise StreamError(f"expected edges in rising order within {width} columns, found others")
    return row
