"""Symbols known to lie in an interval: the table's probabilities inside it, brought to a sum of 2^24.

A value's weight is the width of its slot, shared out among the values of that slot and at least 1; a value beyond
the table has weight 1. With C the weights' running sum over the n values of the interval, the edge before value i is
floor(C[i] * (2^24 - n) / C[n]) + i, so that every value keeps a width of at least 1. The C coder does the same in
integers; this is the form of the reference and of constriction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.rangecoder.interface import RangeCoderError, checked_batch
from swathpack.edge.codec.tables import TOTAL, ProbabilityTables

MAX_SPAN = 16  # values in an interval, as in coder.h


def checked_interval(
    low: NDArray[Any], high: NDArray[Any], table_index: NDArray[Any]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Both ends as contiguous (n,) int32, or RangeCoderError."""
    first, last = checked_batch(low, table_index), checked_batch(high, table_index)
    span = last - first
    if span.size and not 0 <= int(span.min()) <= int(span.max()) < MAX_SPAN:
        raise RangeCoderError(
            f"expected intervals of 1 to {MAX_SPAN} values, found {int(span.min()) + 1} to {int(span.max()) + 1}"
        )
    return first, last


def interval_edges(
    tables: ProbabilityTables, index: NDArray[np.uint16], low: NDArray[np.int32], high: NDArray[np.int32]
) -> NDArray[np.int64]:
    """(n, MAX_SPAN + 1) int64 edges in [0, 2^24]: value low + i covers [edge i, edge i + 1); 2^24 behind the last."""
    values = low[:, None].astype(np.int64) + np.arange(MAX_SPAN)
    shift, half = tables.shift[index].astype(np.int64)[:, None], tables.half[index].astype(np.int64)[:, None]
    slot = (values >> shift) + half
    inside = (slot >= 0) & (slot <= 2 * half)
    place = tables.start[index].astype(np.int64)[:, None] + np.where(inside, slot, 0)
    weight = np.where(inside, np.maximum(tables.widths[place].astype(np.int64) >> shift, 1), 1)
    weight[values > high[:, None]] = 0
    sums = np.concatenate([np.zeros((len(values), 1), np.int64), np.cumsum(weight, axis=1)], axis=1)
    count = (high.astype(np.int64) - low + 1)[:, None]
    rank = np.minimum(np.arange(MAX_SPAN + 1), count)
    edges: NDArray[np.int64] = sums * (TOTAL - count) // sums[:, -1:] + rank
    return edges
