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
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary

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
    TOTAL,
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


class PlainTables:
    """Tables as lists, which plain Python reads several times faster than arrays."""

    def __init__(self, tables: ProbabilityTables) -> None:
        self.scales, self.fractions = tables.n_scales, tables.n_fractions
        self.start, self.half, self.shift = tables.start.tolist(), tables.half.tolist(), tables.shift.tolist()
        self.widths, self.slope, self.expected = tables.widths.tolist(), tables.slope.tolist(), tables.expected.tolist()

    @staticmethod
    def of(tables: ProbabilityTables) -> PlainTables:
        """Those of the tables, made once for as long as these live."""
        if tables not in _PLAIN:
            _PLAIN[tables] = PlainTables(tables)
        return _PLAIN[tables]

    def entry(self, k: int, symbol: int) -> int:
        """Entry of a symbol in the arrays of widths and slopes."""
        half, value = self.half[k], symbol >> self.shift[k]
        return int(self.start[k] + (value + half if -half <= value <= half else 2 * half + 1))

    def weights(self, k: int, low: int, high: int) -> tuple[list[int], list[int]]:
        """Entries of the values low..high, and their weights, see `bounded`."""
        entries = [self.entry(k, s) for s in range(low, high + 1)]
        escape, shift = self.start[k + 1] - 1, self.shift[k]
        return entries, [1 if e == escape else self.widths[e] >> shift or 1 for e in entries]

    def edges(self, k: int, low: int, high: int) -> list[int]:
        """The edges of `bounded.interval_edges` for one symbol."""
        sums = [0, *accumulate(self.weights(k, low, high)[1])]
        count = len(sums) - 1
        return [s * (TOTAL - count) // sums[-1] + i for i, s in enumerate(sums)]

    def slope_of(self, k: int, symbol: int, low: int | None, high: int | None) -> int:
        """How the cost of a symbol with table k changes with the scale, in 1/256 bit; [low, high]: it is known to lie
        there, so that its cost is against all that may be there.
        """
        own = int(self.slope[self.entry(k, symbol)])
        if low is None or high is None:
            return own
        entries, weights = self.weights(k, low, high)
        total = sum(w * (self.slope[e] + SLOPE_LIMIT) for w, e in zip(weights, entries))
        return own + SLOPE_LIMIT - int(total // sum(weights))


_PLAIN: WeakKeyDictionary[ProbabilityTables, PlainTables] = WeakKeyDictionary()
Code = Callable[[int, "int | None", "int | None"], int]  # table and interval -> symbol, written or read


class Learner:
    """The reference: one symbol after another in plain integers, on the state of an `Adaptation`."""

    def __init__(self, adaptation: Adaptation) -> None:
        self.state, self.tables = adaptation, PlainTables.of(adaptation.tables)
        self.contexts = adaptation.contexts[adaptation.kind].reshape(-1, 2).tolist()
        self.of_channels, self.map = adaptation.of_channels.tolist(), adaptation.map.tolist()
        self.seen = adaptation.seen.tolist()

    def batch(
        self,
        index: NDArray[np.uint16],
        places: NDArray[Any],
        low: NDArray[np.int32] | None,
        high: NDArray[np.int32] | None,
        code: Code,
    ) -> NDArray[np.int32]:
        """Symbols (channels * n,) of a batch, one after another, and what they teach."""
        where, n = places.tolist(), places.size
        none = [None] * index.size
        least, most = (none, none) if low is None or high is None else (low.tolist(), high.tolist())
        out = np.zeros(index.size, np.int32)
        for i, (k, first, last) in enumerate(zip(index.tolist(), least, most)):
            channel, place = i // n, where[i % n]
            table, contexts = self._choose(channel, place, k)
            symbol = out[i] = code(table, first, last)
            self._learn(channel, place, k, int(symbol), contexts, self.tables.slope_of(table, int(symbol), first, last))
        self._store()
        return out

    def _store(self) -> None:
        state = self.state
        state.contexts[state.kind] = np.array(self.contexts, np.int32).reshape(PRIOR_SHAPE[1:] + (2,))
        state.of_channels[:], state.map[:], state.seen[:] = self.of_channels, self.map, self.seen

    def _choose(self, channel: int, place: int, k: int) -> tuple[int, tuple[list[int], ...]]:
        """The table for the symbol of a channel at a place, where the model says table k, and the contexts used."""
        scales = self.tables.scales
        scale, record = k % scales, self.map[place]
        row = scale * CLASSES // scales * CLASSES
        contexts = (
            self.of_channels[channel],
            self.contexts[row + _class(*self._around(self.seen[channel], place))],
            self.contexts[row + CLASSES * CLASSES + _class(4 * record[0], 4 * record[1])],
        )
        theta = contexts[0][0] + contexts[1][0] + contexts[2][0]
        moved = scale + ((theta + (1 << (THETA_BITS - 1))) >> THETA_BITS)
        return k - scale + min(max(moved, 0), scales - 1), contexts

    def _around(self, seen: list[list[int]], place: int) -> tuple[int, int]:
        """Sums of distances and expectations: four sides count twice, four corners once."""
        up, down = place - self.state.grid[1], place + self.state.grid[1]
        a, b, c, d = seen[place - 1], seen[place + 1], seen[up], seen[down]
        e, f, g, h = seen[up - 1], seen[up + 1], seen[down - 1], seen[down + 1]
        return (
            2 * (a[0] + b[0] + c[0] + d[0]) + e[0] + f[0] + g[0] + h[0],
            2 * (a[1] + b[1] + c[1] + d[1]) + e[1] + f[1] + g[1] + h[1],
        )

    def _learn(
        self, channel: int, place: int, k: int, symbol: int, contexts: tuple[list[int], ...], slope: int
    ) -> None:
        eighths = 8 * (k // self.tables.scales) // self.tables.fractions
        distance = min(abs(8 * symbol - eighths), DISTANCE_LIMIT) << DISTANCE_BITS
        expected, record = self.tables.expected[k], self.map[place]
        self.seen[channel][place] = [distance, expected]
        record[0] += (distance >> MAP_SHIFT) - (record[0] >> MAP_SHIFT)
        record[1] += (expected >> MAP_SHIFT) - (record[1] >> MAP_SHIFT)
        for context, rates in zip(contexts, (_RATES[0], _RATES[1], _RATES[1])):
            theta = context[0] - slope * rates[context[1]]
            context[0] = min(max(theta, -THETA_LIMIT), THETA_LIMIT)
            context[1] = min(context[1] + 1, RATES - 1)


_RATES, _CLASSES = RATE.tolist(), CLASS_OF.tolist()


def _class(distance: int, expected: int) -> int:
    return int(_CLASSES[min(16 * (distance + PRIOR_WEIGHT) // (expected + PRIOR_WEIGHT), 255)])


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
