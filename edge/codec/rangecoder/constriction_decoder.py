"""Ground decoder and oracle on x86 through the `constriction` package (imported only when used).

A batch is coded in order of table index, so all symbols of a table come out of one call with one model.
constriction cannot tell where a cut payload ends. So the payload is decoded twice, once continued with
zeros and once with ones: up to the first symbol on which the two differ, every continuation agrees,
because the payloads that decode to given symbols form one interval.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, proxy

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.rangecoder.adaptive import Adaptation, Learner, PlainTables, checked_rows
from swathpack.edge.codec.rangecoder.bounded import checked_interval, interval_edges
from swathpack.edge.codec.rangecoder.interface import PayloadEnded, RangeCoderError, checked_bits, checked_index
from swathpack.edge.codec.rangecoder.reference import MAX_ESCAPE_TOP, chunks
from swathpack.edge.codec.tables import SYMBOL_LIMIT, TOTAL, ProbabilityTables

_PAD_WORDS = 4  # two words past the end the whole 64-bit window is unknown, and nothing more is settled


def translated(action: Callable[..., Any], *arguments: Any) -> Any:
    """Run a call into constriction; any failure, panics included, becomes RangeCoderError."""
    try:
        return action(*arguments)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # noqa: B036 - pyo3's PanicException is a BaseException
        raise RangeCoderError(f"constriction: {type(error).__name__}: {error}") from None


def _package() -> Any:
    try:
        import constriction
    except ImportError as error:
        raise RangeCoderError("the constriction package is not installed (x86 only)") from error
    return constriction


class Models:
    """constriction's models of a set of tables, made on first use and kept with the tables."""

    def __init__(self, tables: ProbabilityTables) -> None:
        self.tables = proxy(tables)  # the models are kept under their tables, which they must not keep alive
        self._module = _package().stream.model
        self._slots: dict[int, Any] = {}
        self._bits: dict[int, Any] = {}

    @staticmethod
    def of(tables: ProbabilityTables) -> Models:
        """Those of the tables, made once for as long as these live."""
        if tables not in _MODELS:
            _MODELS[tables] = Models(tables)
        return _MODELS[tables]

    def slots(self, index: int) -> Any:
        """The model of a table's slots, the escape's last."""
        if index not in self._slots:
            self._slots[index] = self.categorical(self.tables.to_constriction(index))
        return self._slots[index]

    def bits(self, n_bits: int) -> Any:
        """Uniform over 2^n_bits, n_bits 1..8."""
        if n_bits not in self._bits:
            n = 1 << n_bits
            self._bits[n_bits] = self.categorical(np.full(n, TOTAL // n - 1, dtype=np.float32))
        return self._bits[n_bits]

    def categorical(self, weights: NDArray[np.float32]) -> Any:
        """A model of slots one wider than these weights, (n,) float32 whole numbers, the widths' sum 2^24."""
        return translated(partial(self._module.Categorical, weights, perfect=False))


_MODELS: WeakKeyDictionary[ProbabilityTables, Models] = WeakKeyDictionary()


class _Lane:
    """One decoding pass over a payload with one continuation."""

    def __init__(self, models: Models, tables: ProbabilityTables, words: NDArray[np.uint32]) -> None:
        self.models, self.tables = models, tables
        self._coder = translated(_package().stream.queue.RangeDecoder, words)
        # constriction's decoder does not tell where it is, its encoder does: what was decoded is encoded again.
        self._twin = _package().stream.queue.RangeEncoder()

    @property
    def position(self) -> int:
        """32-bit words that the interval has left behind."""
        return int(self._twin.pos()[0])

    def _take(self, model: Any, count: int) -> NDArray[np.int32]:
        """The next `count` symbols of one model."""
        values = np.asarray(translated(self._coder.decode, model, count), np.int32)
        translated(self._twin.encode, values, model)
        return values

    def batch(self, index: NDArray[np.uint16]) -> NDArray[np.int32]:
        order = np.argsort(index, kind="stable")
        ordered = index[order]
        values = self._slots(ordered)
        self._escapes(ordered, values)
        self._low_bits(ordered, values)
        out = np.empty(index.size, dtype=np.int32)
        out[order] = values
        return out

    def bounded(self, low: NDArray[np.int32], widths: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int32]:
        """Symbols of intervals: from `low` (n,) on, `count` (n,) values of these widths (n, MAX_SPAN)."""
        out = low.copy()
        for i, (row, n) in enumerate(zip(widths, count)):
            if n > 1:  # constriction has no model of a single slot, and it takes no bits
                model = self.models.categorical((row[:n] - 1).astype(np.float32))
                out[i] += int(self._take(model, 1)[0])
        return out

    def symbol(self, table: int, low: int | None, high: int | None) -> int:
        """One symbol of a table, whole; low, high: where it is known to lie."""
        if low is None or high is None:
            return int(self.batch(np.array([table], np.uint16))[0])
        widths = np.diff(PlainTables.of(self.tables).edges(table, low, high))
        return int(self.bounded(np.array([low], np.int32), widths[None], np.array([high - low + 1]))[0])

    def _slots(self, ordered: NDArray[np.uint16]) -> NDArray[np.int32]:
        values = np.empty(ordered.size, dtype=np.int32)
        for table, first, last in _runs(ordered):
            values[first:last] = self._take(self.models.slots(table), last - first)
        values -= self.models.tables.half[ordered]
        return values

    def _escapes(self, ordered: NDArray[np.uint16], values: NDArray[np.int32]) -> None:
        tables = self.models.tables
        for i in np.flatnonzero(values > tables.half[ordered].astype(np.int32)):
            t = int(ordered[i])
            shift, order = int(tables.shift[t]), int(tables.escape_order[t])
            negative, top = self.bits(1), order
            while self.bits(1):
                top += 1
                if top > MAX_ESCAPE_TOP:
                    raise RangeCoderError("corrupt payload: escape prefix too long")
            magnitude = (1 << top) + self.bits(top) - (1 << order) + int(tables.half[t]) + 1
            v = -magnitude if negative else magnitude
            if not -(SYMBOL_LIMIT >> shift) <= v < SYMBOL_LIMIT >> shift:
                raise RangeCoderError(f"corrupt payload: escaped value {v}")
            values[i] = v

    def _low_bits(self, ordered: NDArray[np.uint16], values: NDArray[np.int32]) -> None:
        for table, first, last in _runs(ordered):
            shift = int(self.models.tables.shift[table])
            if shift:
                low = self._take(self.models.bits(shift), last - first)
                values[first:last] = (values[first:last] << shift) + low
        if values.size and not -SYMBOL_LIMIT < int(values.min()) <= int(values.max()) < SYMBOL_LIMIT:
            raise RangeCoderError("corrupt payload: symbol out of range")

    def bits(self, n_bits: int) -> int:
        """A number of n_bits plain bits."""
        value = 0
        for take in chunks(n_bits):
            value = value << take | int(self._take(self.models.bits(take), 1)[0])
        return value


def _runs(ordered: NDArray[np.uint16]) -> list[tuple[int, int, int]]:
    """(table, first, last) of each run of equal indexes."""
    if ordered.size == 0:
        return []
    edges = np.flatnonzero(np.diff(ordered)) + 1
    bounds = [0, *edges.tolist(), ordered.size]
    return [(int(ordered[a]), a, b) for a, b in zip(bounds[:-1], bounds[1:])]


def payload_words(payload: bytes, fill: int, pad_words: int = _PAD_WORDS) -> NDArray[np.uint32]:
    """Big-endian words of a payload, continued with bytes `fill` to a whole word and `pad_words` more."""
    padded = payload.ljust(-(-len(payload) // 4) * 4 + 4 * pad_words, bytes([fill]))
    return np.frombuffer(padded, dtype=">u4").astype(np.uint32)


class ConstrictionDecoder:
    """A `swathpack.edge.codec.rangecoder.interface.Decoder` through constriction.

    `complete=True` promises that the payload is whole (its CRC held) and saves the second pass; without the
    promise a batch beyond the end raises PayloadEnded, as in the other decoders.
    """

    def __init__(self, tables: ProbabilityTables, payload: bytes, complete: bool = False) -> None:
        self._tables = tables
        models = Models.of(tables)
        fills = (0x00,) if complete else (0x00, 0xFF)
        self._lanes = [_Lane(models, tables, payload_words(bytes(payload), fill)) for fill in fills]
        self._failure: RangeCoderError | None = None

    def decode(self, table_index: NDArray[Any]) -> NDArray[np.int32]:
        index = checked_index(table_index, self._tables.n_tables)
        return self._kept(lambda lane: lane.batch(index))

    def decode_bounded(self, table_index: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.int32]:
        index = checked_index(table_index, self._tables.n_tables)
        first, last = checked_interval(low, high, table_index)
        widths = np.diff(interval_edges(self._tables, index, first, last))
        count = last.astype(np.int64) - first + 1
        return self._kept(lambda lane: lane.bounded(first, widths, count))

    def decode_adaptive(
        self,
        table_index: NDArray[Any],
        adaptation: Adaptation,
        places: NDArray[Any],
        low: NDArray[Any] | None = None,
        high: NDArray[Any] | None = None,
    ) -> NDArray[np.int32]:
        _, index, first, last = checked_rows(adaptation, None, table_index, places, low, high)
        learned = []

        def batch(lane: _Lane) -> NDArray[np.int32]:
            learned.append(adaptation.copy())  # lanes differ where the payload ends
            return Learner(learned[-1]).batch(index, places, first, last, lane.symbol)

        found = self._kept(batch)
        adaptation.adopt(learned[-1])
        return found.reshape(np.shape(table_index))

    def decode_bits(self, n_bits: int) -> int:
        count = checked_bits(n_bits)
        return int(self._kept(lambda lane: np.array(lane.bits(count), np.int32)))

    @property
    def position(self) -> int:
        return self._lanes[0].position

    def _kept(self, batch: Callable[[_Lane], NDArray[np.int32]]) -> NDArray[np.int32]:
        """What all lanes give; a failure is final."""
        if self._failure is not None:
            raise self._failure
        try:
            return self._agreed(batch)
        except RangeCoderError as error:
            self._failure = error
            raise

    def _agreed(self, batch: Callable[[_Lane], NDArray[np.int32]]) -> NDArray[np.int32]:
        """The batch if all lanes agree. All lanes failing means a corrupt payload, one failing a cut one."""
        results: list[NDArray[np.int32]] = []
        errors: list[RangeCoderError] = []
        for lane in self._lanes:
            try:
                results.append(batch(lane))
            except RangeCoderError as error:
                errors.append(error)
        if not results:
            raise errors[0]
        if errors or not all(np.array_equal(results[0], other) for other in results[1:]):
            raise PayloadEnded("the payload ends before this batch")
        return results[0]

    @property
    def overran(self) -> bool:
        return isinstance(self._failure, PayloadEnded)
