"""Tables of the transform coder's estimates: least squares over training crops that are decoded at several rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import native
from swathpack.edge.codec.transform_coder.bitplane import FRACTION
from swathpack.edge.codec.transform_coder.estimate import MOST, SHAPE, TAPS, WEIGHT_BITS, around, inside, middles_of
from swathpack.edge.codec.transform_coder.layout import Layout

RATES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0)  # bits a value
FARTHEST = (
    4.0  # of a value from where it is expected, in lengths of its interval: ships and glints do not drown the others
)
DAMPING = 30.0  # in squared lengths: entries that were hardly seen stay near zero

Tile = tuple[Layout, int, NDArray[np.int32]]
Start = tuple[NDArray[np.uint16], NDArray[np.int32]]


class Squares:
    """Normal equations of every entry of the tables but the last axis."""

    def __init__(self) -> None:
        count = int(np.prod(SHAPE[:-1]))
        self.products, self.targets = np.zeros((count, TAPS, TAPS)), np.zeros((count, TAPS))

    def add(self, keys: NDArray[np.intp], taps: NDArray[np.float64], wanted: NDArray[np.float64]) -> None:
        """Observations: entries (N,), taps (N, TAPS), what was to be added (N,)."""
        order = np.argsort(keys, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            key, rows = keys[part[0]], taps[part]
            self.products[key] += rows.T @ rows
            self.targets[key] += rows.T @ wanted[part]

    def tables(self) -> NDArray[np.int16]:
        """The solutions in 1 / 2^WEIGHT_BITS."""
        found = np.linalg.solve(self.products + DAMPING * np.eye(TAPS), self.targets[..., None])[..., 0]
        return np.asarray(np.rint(found * (1 << WEIGHT_BITS)), np.int16).reshape(SHAPE)


def fit_estimates(tiles: Iterable[Tile], model: Start) -> NDArray[np.int16]:
    """Layout, planes and values of crops, and the model that they are coded with -> the tables."""
    sums = Squares()
    for layout, planes, values in tiles:
        for known, bits in _decoded(layout, planes, values, model):
            true = np.sign(values) * (np.abs(values.astype(np.float64)) + 0.5) * 64 / (1 << FRACTION)
            observe(sums, layout, true, middles_of(known, bits), bits)
    return sums.tables()


def _decoded(
    layout: Layout, planes: int, values: NDArray[np.int32], model: Start
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.uint8]]]:
    """The crop as it is known at every rate that it reaches."""
    given, none = (layout.subbands, layout.n_values, layout.n_cells, planes, model), np.zeros(0, np.uint64)
    size = int((layout.subbands[:, 2].astype(np.int64) * layout.subbands[:, 3]).sum())
    for rate in RATES:
        limit = int(rate * size / 8)
        payload = native.encode(*given, values, limit, none)[0]
        if len(payload) < limit:
            return
        known, bits, _ = native.decode(*given, payload, none)
        yield known, bits


def observe(
    sums: Squares,
    layout: Layout,
    true: NDArray[np.float64],
    middles: NDArray[np.int64],
    bits: NDArray[np.uint8],
) -> None:
    """What values (n_values,) are and what they are by their own bits alone, both in 1/64 of a step; log2 of what they are known
    to.
    """
    for row in layout.subbands:
        taps, units, activity, found = around(middles, bits, row)
        wanted = (np.asarray(inside(true, row)) - np.asarray(inside(middles, row)))[1:-1, 1:-1] / units
        keys = ((int(row[11]) * SHAPE[1] + int(row[12])) * SHAPE[2] + activity) * 2 + found
        scaled = np.clip(taps / units[..., None], -MOST, MOST)
        sums.add(keys.ravel(), scaled.reshape(-1, TAPS), np.clip(wanted, -FARTHEST, FARTHEST).ravel())
