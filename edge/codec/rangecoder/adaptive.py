"""Scales that follow the scene: each symbol's table is shifted along the scales by what earlier symbols taught.

The model predicts all channels of a group at once, from places and dates unlike this one perhaps. So the coder learns,
for one payload at a time and alike on both sides, how far the model's scales are off: three corrections theta, in 2^-16
of a scale, are added and rounded,

    of the symbol's channel;
    by how large the residuals around it in its own channel were, against what the model expected of them;
    by how large those of the channels before it were at its place.

The last two have a theta for each of 16 classes of that ratio and 16 ranges of scales, apart for groups with a base
(BASED), later ones (LATER) and refinements (REFINED), and start from the tables' `prior`, which was learned on training
scenes; a channel starts at 0 with its group. After each symbol all three go down the slope of its cost, at a rate that
falls with the number of symbols seen to a floor (stochastic gradient descent on the code length). Backward adaptation as
in lossless image coders (Wu and Memon, "Context-based, adaptive, lossless image coding", IEEE Trans. Comm. 45(4), 1997).

Everything is integers. The C coder does the same on the same arrays (adaptive.h).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.rangecoder.bounded import checked_interval
from swathpack.edge.codec.rangecoder.interface import RangeCoderError, checked_batch, checked_index
from swathpack.edge.codec.tables import (
    DISTANCE_BITS,
    DISTANCE_LIMIT,
    PRIOR_LIMIT,
    PRIOR_SHAPE,
    SLOPE_LIMIT,
    ProbabilityTables,
)

BASED, LATER, REFINED = range(3)
CLASSES = PRIOR_SHAPE[-1]
EDGES = (2, 4, 6, 8, 10, 12, 14, 17, 20, 24, 30, 40, 56, 90, 160)  # of the classes, in 1/16 of what was expected
PRIOR_WEIGHT = 8 << DISTANCE_BITS  # a step of residual "as expected" that every ratio starts with
MAP_SHIFT = 3
RATES = 2048
THETA_BITS = 16
THETA_LIMIT = PRIOR_LIMIT


def _rates(first: int, delay: int, floor: int) -> NDArray[np.int32]:
    return np.maximum(first // (np.arange(RATES) + delay), floor).astype(np.int32)


CLASS_OF = np.searchsorted(EDGES, np.arange(256), side="right").astype(np.uint8)
RATE = np.stack([_rates(11520, 40, 26), _rates(7680, 100, 5)])  # of channels; of the others


class Adaptation:
    """What was learned so far of one payload. size: (h, w) of the latent; channels: of a group.

    The arrays have a border of one place, in which nothing is ever known: a place is row * (w + 2) + column, from 1.
    """

    def __init__(self, tables: ProbabilityTables, size: tuple[int, int], channels: int) -> None:
        self.tables, self.size, self.channels = tables, size, channels
        self.grid = (size[0] + 2, size[1] + 2)
        self.kind = BASED
        self.contexts = np.zeros((*PRIOR_SHAPE, 2), np.int32)  # theta and symbols seen
        if tables.prior is not None:
            self.contexts[..., 0] = tables.prior
        self.of_channels = np.zeros((channels, 2), np.int32)
        self.seen = np.zeros((channels, self.grid[0] * self.grid[1], 2), np.int32)  # distance and its expectation
        self.map = np.zeros((self.grid[0] * self.grid[1], 2), np.int32)
        inner = np.arange(1, size[0] + 1)[:, None] * self.grid[1] + np.arange(1, size[1] + 1)
        self.places = inner.ravel().astype(np.uint32)  # of the positions 0 .. h * w - 1

    def begin(self, kind: int) -> None:
        """A new group; the record of places goes on from group to group, but not from the base to the refinements."""
        if (kind == BASED) != (self.kind == BASED):
            self.map[:] = 0
        self.kind = kind
        self.of_channels[:] = 0
        self.seen[:] = 0

    def copy(self) -> Adaptation:
        """An independent one in the same state."""
        other = Adaptation(self.tables, self.size, self.channels)
        other.adopt(self)
        return other

    def adopt(self, other: Adaptation) -> None:
        """Take over the state of another one of the same size."""
        self.kind = other.kind
        for name in ("contexts", "of_channels", "seen", "map"):
            getattr(self, name)[:] = getattr(other, name)


def new_adaptation(tables: ProbabilityTables, size: tuple[int, int], channels: int) -> Adaptation | None:
    """What a payload starts with; None where the tables have no prior, so that scales do not adapt."""
    return None if tables.prior is None else Adaptation(tables, size, channels)


def kind_of(group: int, based: int, bounded: bool) -> int:
    """Kind of a group of channels, of which the first `based` ones may have a base; bounded: its base is known."""
    return REFINED if bounded else BASED if group < based else LATER


class Learner:
    """The reference: one symbol after another in plain integers, on the arrays of an `Adaptation`."""

    def __init__(self, adaptation: Adaptation) -> None:
        self.state, tables = adaptation, adaptation.tables
        self.tables, self.scales = tables, tables.n_scales
        self.contexts = adaptation.contexts[adaptation.kind]

    def choose(self, channel: int, place: int, k: int) -> int:
        """The table for the symbol of a channel at a place, where the model says table k."""
        state, scale = self.state, k % self.scales
        reach = scale * CLASSES // self.scales
        self._at = (channel, place, k)
        self._of = (
            state.of_channels[channel],
            self.contexts[0, reach, self._class(*self._around(channel, place))],
            self.contexts[1, reach, self._class(*(4 * state.map[place].astype(np.int64)))],
        )
        theta = sum(int(c[0]) for c in self._of)
        moved = scale + ((theta + (1 << (THETA_BITS - 1))) >> THETA_BITS)
        return k - scale + min(max(moved, 0), self.scales - 1)

    def _around(self, channel: int, place: int) -> NDArray[np.int64]:
        """Sums of distances and expectations: four sides count twice, four corners once."""
        seen, stride = self.state.seen[channel], self.state.grid[1]
        sides = seen[[place - 1, place + 1, place - stride, place + stride]]
        corners = seen[[place - stride - 1, place - stride + 1, place + stride - 1, place + stride + 1]]
        total: NDArray[np.int64] = 2 * sides.sum(0, dtype=np.int64) + corners.sum(0, dtype=np.int64)
        return total

    @staticmethod
    def _class(distance: int, expected: int) -> int:
        ratio = 16 * (int(distance) + PRIOR_WEIGHT) // (int(expected) + PRIOR_WEIGHT)
        return int(CLASS_OF[min(ratio, 255)])

    def learn(self, symbol: int, slope: int) -> None:
        """What the symbol teaches that was coded with the choice just made."""
        channel, place, k = self._at
        eighths = 8 * (k // self.scales) // self.tables.n_fractions
        distance = min(abs(8 * symbol - eighths), DISTANCE_LIMIT) << DISTANCE_BITS
        pair = np.array([distance, int(self.tables.expected[k])])
        self.state.seen[channel, place] = pair
        record = self.state.map[place]
        record += ((pair >> MAP_SHIFT) - (record >> MAP_SHIFT)).astype(np.int32)
        for context, rates in zip(self._of, (RATE[0], RATE[1], RATE[1])):
            theta = int(context[0]) - slope * int(rates[context[1]])
            context[0] = min(max(theta, -THETA_LIMIT), THETA_LIMIT)
            context[1] = min(int(context[1]) + 1, RATES - 1)

    def batch(
        self,
        index: NDArray[np.uint16],
        places: NDArray[Any],
        low: NDArray[np.int32] | None,
        high: NDArray[np.int32] | None,
        code: Callable[[int, int | None, int | None], int],
    ) -> NDArray[np.int32]:
        """Symbols (channels * n,) of a batch; `code` writes or reads the next one: table, interval -> symbol."""
        out = np.zeros(index.size, np.int32)
        for i, k in enumerate(index.tolist()):
            table = self.choose(i // places.size, int(places[i % places.size]), k)
            ends = (None, None) if low is None or high is None else (int(low[i]), int(high[i]))
            symbol = code(table, *ends)
            self.learn(symbol, self.slope(table, symbol, *ends))
            out[i] = symbol
        return out

    def slope(self, k: int, symbol: int, low: int | None, high: int | None) -> int:
        """How the cost of a symbol with table k changes with the scale, in 1/256 bit; [low, high]: it is known to lie
        there, so that its cost is against all that may be there.
        """
        own = int(self.tables.slope[self._slot(k, symbol)])
        if low is None or high is None:
            return own
        slots = [self._slot(k, s) for s in range(low, high + 1)]
        escape = int(self.tables.start[k + 1]) - 1
        shift = int(self.tables.shift[k])
        weights = [1 if s == escape else max(int(self.tables.widths[s]) >> shift, 1) for s in slots]
        total = sum(w * (int(self.tables.slope[s]) + SLOPE_LIMIT) for w, s in zip(weights, slots))
        return own + SLOPE_LIMIT - total // sum(weights)

    def _slot(self, k: int, symbol: int) -> int:
        """Entry of a symbol in the tables' arrays."""
        half, value = int(self.tables.half[k]), symbol >> int(self.tables.shift[k])
        return int(self.tables.start[k]) + (value + half if abs(value) <= half else 2 * half + 1)


Rows = tuple[NDArray[np.int32] | None, NDArray[np.uint16], NDArray[np.int32] | None, NDArray[np.int32] | None]


def checked_rows(
    adaptation: Adaptation,
    symbols: NDArray[Any] | None,
    table_index: NDArray[Any],
    places: NDArray[Any],
    low: NDArray[Any] | None,
    high: NDArray[Any] | None,
) -> Rows:
    """Symbols, table indexes and both ends, (channels * n,) each, contiguous, or RangeCoderError."""
    shape = (adaptation.channels, places.size)
    for name, rows in (("symbols", symbols), ("table indexes", table_index), ("low", low), ("high", high)):
        if rows is not None and np.shape(rows) != shape:
            raise RangeCoderError(f"{name}: expected shape {shape}, found {np.shape(rows)}")
    if not np.isin(places, adaptation.places).all():
        raise RangeCoderError(f"expected places of a latent of {adaptation.size}")
    flat = np.asarray(table_index).ravel()
    index = checked_index(flat, adaptation.tables.n_tables)
    batch = None if symbols is None else checked_batch(np.asarray(symbols).ravel(), flat)
    if low is None or high is None:
        return batch, index, None, None
    first, last = checked_interval(np.asarray(low).ravel(), np.asarray(high).ravel(), flat)
    if batch is not None and ((batch < first) | (batch > last)).any():
        raise RangeCoderError("expected every symbol in its interval")
    return batch, index, first, last
