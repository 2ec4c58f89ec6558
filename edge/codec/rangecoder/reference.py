"""The range coder in plain Python integers: slow, obvious, the same words as the C coder and constriction.

The encoder keeps the whole code as one integer: the interval [low, low + range) of numbers with
64 + 32 * shifts bits. Carries then need no care at all, and a checkpoint is a copy of three numbers.
The decoder keeps the lowest and the highest continuation of the payload: a symbol is settled when both
fall into its slot.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.rangecoder.adaptive import Adaptation, Learner, PlainTables, checked_rows
from swathpack.edge.codec.rangecoder.bounded import checked_interval, interval_edges
from swathpack.edge.codec.rangecoder.interface import (
    Checkpoint,
    PayloadEnded,
    RangeCoderError,
    checked_batch,
    checked_bits,
    checked_index,
)
from swathpack.edge.codec.tables import PRECISION_BITS, SYMBOL_LIMIT, TOTAL, ProbabilityTables

CHUNK_BITS = 8
MAX_ESCAPE_TOP = 17
_FULL = (1 << 64) - 1
_WORD = 1 << 32
Kept = TypeVar("Kept")


def _whole_numbers(batch: NDArray[np.int32]) -> Iterator[int]:
    return iter(batch.tolist())


def coding_order(table_index: NDArray[np.uint16]) -> list[int]:
    """Positions of a batch in the order of coding: by table index, ties as they came."""
    return [int(i) for i in np.argsort(table_index, kind="stable")]


def chunks(n_bits: int) -> Iterator[int]:
    """Sizes of the pieces for `n_bits` plain bits, high piece first; all but the first are 8."""
    if n_bits % CHUNK_BITS:
        yield n_bits % CHUNK_BITS
    for _ in range(n_bits // CHUNK_BITS):
        yield CHUNK_BITS


class ReferenceEncoder:
    """A `swathpack.edge.codec.rangecoder.interface.Encoder` in Python integers."""

    def __init__(self, tables: ProbabilityTables) -> None:
        self._tables = tables
        self._token = object()  # checkpoints carry it: an id would be used again
        self._low, self._range, self._shifts, self._symbols = 0, _FULL, 0, 0

    def encode(self, symbols: NDArray[Any], table_index: NDArray[Any]) -> None:
        batch = checked_batch(symbols, table_index)
        index = checked_index(table_index, self._tables.n_tables)
        order = coding_order(index)
        pairs = [(int(batch[i]), int(index[i])) for i in order]
        for s, t in pairs:
            self._put_slot(s >> int(self._tables.shift[t]), t)
        for s, t in pairs:
            self._put_escape(s >> int(self._tables.shift[t]), t)
        for s, t in pairs:
            shift = int(self._tables.shift[t])
            self._put_bits(s & ((1 << shift) - 1), shift)
        self._symbols += len(pairs)

    def encode_bounded(
        self, symbols: NDArray[Any], table_index: NDArray[Any], low: NDArray[Any], high: NDArray[Any]
    ) -> None:
        batch, index = checked_batch(symbols, table_index), checked_index(table_index, self._tables.n_tables)
        first, last = checked_interval(low, high, table_index)
        if ((batch < first) | (batch > last)).any():
            raise RangeCoderError("expected every symbol in its interval")
        edges = interval_edges(self._tables, index, first, last)
        for rank, row in zip((batch - first).tolist(), edges.tolist()):
            if row[1] < TOTAL:  # a single value takes nothing
                self._put(row[rank], row[rank + 1] - row[rank])
        self._symbols += batch.size

    def encode_adaptive(
        self,
        symbols: NDArray[Any],
        table_index: NDArray[Any],
        adaptation: Adaptation,
        places: NDArray[Any],
        low: NDArray[Any] | None = None,
        high: NDArray[Any] | None = None,
    ) -> None:
        batch, index, first, last = checked_rows(adaptation, symbols, table_index, places, low, high)
        assert batch is not None
        learner, values = Learner(adaptation), _whole_numbers(batch)

        def put(table: int, least: int | None, most: int | None) -> int:
            symbol = next(values)
            if least is None or most is None:
                self._put_symbol(symbol, table)
            else:
                edges = PlainTables.of(self._tables).edges(table, least, most)
                if edges[1] < TOTAL:
                    self._put(edges[symbol - least], edges[symbol - least + 1] - edges[symbol - least])
            return symbol

        learner.batch(index, places, first, last, put)
        self._symbols += batch.size

    def _put_symbol(self, symbol: int, table: int) -> None:
        shift = int(self._tables.shift[table])
        self._put_slot(symbol >> shift, table)
        self._put_escape(symbol >> shift, table)
        self._put_bits(symbol & ((1 << shift) - 1), shift)

    def encode_bits(self, value: int, n_bits: int) -> None:
        self._put_bits(value, checked_bits(n_bits, value))

    @property
    def position(self) -> int:
        return self._shifts

    def _put_slot(self, v: int, t: int) -> None:
        half = int(self._tables.half[t])
        slot = int(self._tables.start[t]) + (v + half if -half <= v <= half else 2 * half + 1)
        self._put(int(self._tables.cumulative[slot]), int(self._tables.widths[slot]))

    def _put_escape(self, v: int, t: int) -> None:
        excess = abs(v) - int(self._tables.half[t]) - 1
        if excess < 0:
            return
        order = int(self._tables.escape_order[t])
        raised = excess + (1 << order)
        top = raised.bit_length() - 1
        self._put_bits(int(v < 0), 1)
        for bit in [1] * (top - order) + [0]:
            self._put_bits(bit, 1)
        self._put_bits(raised - (1 << top), top)

    def _put_bits(self, value: int, n_bits: int) -> None:
        for take in chunks(n_bits):
            n_bits -= take
            piece = (value >> n_bits) & ((1 << take) - 1)
            width = TOTAL >> take
            self._put(piece * width, width)

    def _put(self, left: int, width: int) -> None:
        scale = self._range >> PRECISION_BITS
        self._low += scale * left
        self._range = scale * width
        if self._range < _WORD:
            self._low <<= 32
            self._range <<= 32
            self._shifts += 1

    def checkpoint(self) -> Checkpoint:
        state = (self._low, self._range, self._shifts)
        return Checkpoint(len(_shortest(*state)), self._symbols, (self._token, state))

    def payload(self, at: Checkpoint | None = None) -> bytes:
        return _shortest(*self._state(at))

    def words(self, at: Checkpoint | None = None) -> NDArray[np.uint32]:
        return np.frombuffer(_whole_words(*self._state(at)), dtype=">u4").astype(np.uint32)

    def _state(self, at: Checkpoint | None) -> tuple[int, int, int]:
        owner, (low, width, shifts) = (at or self.checkpoint()).state
        if owner is not self._token:
            raise RangeCoderError("checkpoint does not belong to this encoder")
        return low, width, shifts


def _whole_words(low: int, width: int, shifts: int) -> bytes:
    """Close as constriction does: the first whole word inside, and a zero word if the end shares it."""
    if width == _FULL:
        return b""
    word, n_words = (low + _WORD - 1) >> 32, shifts + 1
    if (low + width) >> 32 == word:
        word, n_words = word << 32, n_words + 1
    return word.to_bytes(4 * n_words, "big")


def _shortest(low: int, width: int, shifts: int) -> bytes:
    """The fewest bytes such that every number that starts with them lies in [low, low + width)."""
    if width == _FULL:
        return b""
    for spare_bits in range(56, -8, -8):
        head = -(-low >> spare_bits)
        if (head + 1) << spare_bits <= low + width:
            return head.to_bytes(4 * shifts + 8 - spare_bits // 8, "big")
    raise RangeCoderError(f"internal: empty interval of width {width}")


class ReferenceDecoder:
    """A `swathpack.edge.codec.rangecoder.interface.Decoder` in Python integers."""

    def __init__(self, tables: ProbabilityTables, payload: bytes) -> None:
        self._tables = tables
        self._payload = bytes(payload)
        self._low, self._range = 0, _FULL
        self._least, self._most = 0, 0  # the point, with the bytes beyond the end all 0 and all 255
        self._words = 0
        self._failure: RangeCoderError | None = None
        self._take_word()
        self._take_word()

    def _take_word(self) -> None:
        piece = self._payload[4 * self._words : 4 * self._words + 4]
        self._least = self._least << 32 | int.from_bytes(piece.ljust(4, b"\x00"), "big")
        self._most = self._most << 32 | int.from_bytes(piece.ljust(4, b"\xff"), "big")
        self._words += 1

    def decode(self, table_index: NDArray[Any]) -> NDArray[np.int32]:
        index = checked_index(table_index, self._tables.n_tables)
        return self._kept(lambda: self._decode(index))

    def decode_bounded(self, table_index: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.int32]:
        index = checked_index(table_index, self._tables.n_tables)
        first, last = checked_interval(low, high, table_index)
        return self._kept(lambda: self._decode_bounded(index, first, last))

    def decode_adaptive(
        self,
        table_index: NDArray[Any],
        adaptation: Adaptation,
        places: NDArray[Any],
        low: NDArray[Any] | None = None,
        high: NDArray[Any] | None = None,
    ) -> NDArray[np.int32]:
        _, index, first, last = checked_rows(adaptation, None, table_index, places, low, high)

        def get(table: int, least: int | None, most: int | None) -> int:
            if least is None or most is None:
                return self._get_symbol(table)
            return least + self._get_rank(PlainTables.of(self._tables).edges(table, least, most))

        found = self._kept(lambda: Learner(adaptation).batch(index, places, first, last, get))
        return found.reshape(np.shape(table_index))

    def decode_bits(self, n_bits: int) -> int:
        count = checked_bits(n_bits)
        return self._kept(lambda: self._get_bits(count))

    def _kept(self, action: Callable[[], Kept]) -> Kept:
        """What the action gives; its failure is final."""
        if self._failure is not None:
            raise self._failure
        try:
            return action()
        except RangeCoderError as error:
            self._failure = error
            raise

    def _decode_bounded(
        self, index: NDArray[np.uint16], low: NDArray[np.int32], high: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        out = low.copy()
        for i, row in enumerate(interval_edges(self._tables, index, low, high).tolist()):
            out[i] += self._get_rank(row)
        return out

    def _get_rank(self, edges: list[int]) -> int:
        if edges[1] == TOTAL:
            return 0
        rank = bisect_right(edges, self._quantile()) - 1
        self._narrow(edges[rank], edges[rank + 1] - edges[rank])
        return rank

    def _get_symbol(self, table: int) -> int:
        value = self._get_slot(table)
        if value > int(self._tables.half[table]):
            value = self._get_escape(table)
        shift = int(self._tables.shift[table])
        symbol = (value << shift) + self._get_bits(shift)
        if shift and not -SYMBOL_LIMIT < symbol < SYMBOL_LIMIT:
            raise RangeCoderError(f"corrupt payload: symbol {symbol}")
        return symbol

    def _decode(self, index: NDArray[np.uint16]) -> NDArray[np.int32]:
        out = np.zeros(index.size, dtype=np.int32)
        order = coding_order(index)
        for i in order:
            out[i] = self._get_slot(int(index[i]))
        for i in order:
            if out[i] > int(self._tables.half[index[i]]):
                out[i] = self._get_escape(int(index[i]))
        for i in order:
            shift = int(self._tables.shift[index[i]])
            if shift:
                out[i] = (int(out[i]) << shift) + self._get_bits(shift)
                if not -SYMBOL_LIMIT < out[i] < SYMBOL_LIMIT:
                    raise RangeCoderError(f"corrupt payload: symbol {out[i]}")
        return out

    def _get_slot(self, t: int) -> int:
        start, half = int(self._tables.start[t]), int(self._tables.half[t])
        lefts = self._tables.cumulative[start : start + 2 * half + 2]
        slot = bisect_right(lefts, self._quantile()) - 1
        self._narrow(int(lefts[slot]), int(self._tables.widths[start + slot]))
        return slot - half

    def _get_escape(self, t: int) -> int:
        order, shift = int(self._tables.escape_order[t]), int(self._tables.shift[t])
        negative, top = self._get_bits(1), order
        while self._get_bits(1):
            top += 1
            if top > MAX_ESCAPE_TOP:
                raise RangeCoderError("corrupt payload: escape prefix too long")
        magnitude = (1 << top) + self._get_bits(top) - (1 << order) + int(self._tables.half[t]) + 1
        v = -magnitude if negative else magnitude
        if not -(SYMBOL_LIMIT >> shift) <= v < SYMBOL_LIMIT >> shift:
            raise RangeCoderError(f"corrupt payload: escaped value {v}")
        return v

    def _get_bits(self, n_bits: int) -> int:
        value = 0
        for take in chunks(n_bits):
            width = TOTAL >> take
            piece = self._quantile() // width
            self._narrow(piece * width, width)
            value = value << take | piece
        return value

    def _quantile(self) -> int:
        q = (self._least - self._low) // (self._range >> PRECISION_BITS)
        if q < TOTAL:
            return q
        if self._least != self._most:
            raise PayloadEnded("the payload ends before this batch")
        raise RangeCoderError("corrupt payload: it holds a value that no encoder writes")

    def _narrow(self, left: int, width: int) -> None:
        scale = self._range >> PRECISION_BITS
        low, size = self._low + scale * left, scale * width
        if self._most >= low + size:
            raise PayloadEnded("the payload ends before this batch")
        # Only differences matter from here on, so the common low end is dropped to keep numbers small.
        self._least, self._most, self._low, self._range = self._least - low, self._most - low, 0, size
        if self._range < _WORD:
            self._range <<= 32
            self._take_word()

    @property
    def position(self) -> int:
        return self._words - 2

    @property
    def overran(self) -> bool:
        return isinstance(self._failure, PayloadEnded)
