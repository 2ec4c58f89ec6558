"""The C range coder (coder.h) through ctypes. Raises NativeUnavailableError when it has not been built."""

from __future__ import annotations

import ctypes
import weakref
from functools import lru_cache
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.clibrary import LibraryMissingError, library_path, load
from swathpack.edge.codec.rangecoder.adaptive import CLASS_OF, RATE, Adaptation, checked_rows
from swathpack.edge.codec.rangecoder.bounded import checked_interval
from swathpack.edge.codec.rangecoder.interface import (
    Checkpoint,
    PayloadEnded,
    RangeCoderError,
    checked_batch,
    checked_bits,
    checked_index,
)
from swathpack.edge.codec.tables import ProbabilityTables

_ENDED = 5
LUT_SIZE = 257  # as in coder.h
_MESSAGES = {
    1: "out of memory",
    2: "table index out of range",
    3: "symbol out of range",
    4: "corrupt payload: it holds a value that no encoder writes",
    5: "the payload ends before this batch",
    6: "probability tables break a rule",
    7: "batch or buffer has the wrong length",
    8: "checkpoint does not belong to this encoder",
    9: "place outside the latent",
}


class NativeUnavailableError(RangeCoderError):
    """The C library is missing or cannot be loaded; carries the path and what to do."""


def _raise(code: int) -> NoReturn:
    kind = PayloadEnded if code == _ENDED else RangeCoderError
    raise kind(_MESSAGES.get(code, f"range coder error {code}"))


def _check(code: int) -> None:
    if code:
        _raise(code)


def _declare(lib: ctypes.CDLL) -> ctypes.CDLL:
    p, size, u64 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64
    out, flag = ctypes.POINTER(ctypes.c_void_p), ctypes.c_int
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "sp_tables_new": (flag, [out, p, size, p, p, p, ctypes.c_uint32, ctypes.c_uint32, p, p]),
        "sp_tables_free": (None, [p]),
        "sp_tables_part": (p, [p, ctypes.c_uint32]),
        "sp_tables_frame_size": (size, []),
        "sp_encoder_new": (flag, [out]),
        "sp_encoder_free": (None, [p]),
        "sp_encode": (flag, [p, p, p, p, size]),
        "sp_encode_bounded": (flag, [p, p, p, p, p, p, size]),
        "sp_decode_bounded": (flag, [p, p, p, p, p, size, p]),
        "sp_encode_adaptive": (flag, [p, p, p, p, p, p, p, p, size]),
        "sp_decode_adaptive": (flag, [p, p, p, p, p, p, p, size, p]),
        "sp_encode_bits": (flag, [p, ctypes.c_uint32, ctypes.c_uint32]),
        "sp_encoder_position": (u64, [p]),
        "sp_state_size": (size, []),
        "sp_encoder_save": (None, [p, p]),
        "sp_sealed_size": (u64, [p, flag]),
        "sp_sealed_copy": (flag, [p, p, flag, p, u64]),
        "sp_decoder_new": (flag, [out, p, size]),
        "sp_decoder_free": (None, [p]),
        "sp_decoder_position": (u64, [p]),
        "sp_decode_bits": (flag, [p, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32)]),
        "sp_decode": (flag, [p, p, p, size, p]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The loaded C library; NativeUnavailableError when missing, from another source or not loadable."""
    path = library_path()
    try:
        return _declare(load(path))
    except LibraryMissingError as error:
        raise NativeUnavailableError(str(error)) from error
    except AttributeError as error:
        raise NativeUnavailableError(f"cannot load {path}: {error}; build it again") from error


def available() -> bool:
    """True when the C library is built and loads."""
    try:
        library()
    except NativeUnavailableError:
        return False
    return True


class _Tables:
    """The C copy of a set of tables."""

    def __init__(self, tables: ProbabilityTables) -> None:
        lib = library()
        self.handle = ctypes.c_void_p()
        code = lib.sp_tables_new(
            ctypes.byref(self.handle),
            tables.widths.ctypes.data,
            tables.widths.size,
            tables.half.ctypes.data,
            tables.shift.ctypes.data,
            tables.escape_order.ctypes.data,
            tables.n_tables,
            tables.n_scales,
            tables.slope.ctypes.data,
            tables.expected.ctypes.data,
        )
        _check(code)
        weakref.finalize(self, lib.sp_tables_free, self.handle)


# One C copy per set of tables: building the search tables takes longer than coding a tile.
_TABLES: WeakKeyDictionary[ProbabilityTables, _Tables] = WeakKeyDictionary()


def memory_of(tables: ProbabilityTables) -> dict[str, NDArray[np.uint8]]:
    """The C copy of the tables as bytes, array by array and its frame of pointers first: not a copy, but the memory
    that coding reads. Valid as long as `tables` lives.
    """
    lib, handle = library(), _c_tables(tables).handle
    n, edges = tables.n_tables, tables.widths.size + tables.n_tables
    sizes = {
        "frame": int(lib.sp_tables_frame_size()),
        "cum": 4 * edges,
        "start": 4 * n,
        "half": 2 * n,
        "shift": n,
        "order": n,
        "lut": 2 * n * LUT_SIZE,
        "slope": 2 * edges,
        "info": 8 * n,
    }
    places = (lib.sp_tables_part(handle, part) for part in range(len(sizes)))
    return {
        name: np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(at))
        for (name, size), at in zip(sizes.items(), places)
    }


def _c_tables(tables: ProbabilityTables) -> _Tables:
    if tables not in _TABLES:
        _TABLES[tables] = _Tables(tables)
    return _TABLES[tables]


class _Adaptation(ctypes.Structure):
    """adapt_t of adaptive.h over the arrays of an `Adaptation`, which must outlive it."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("contexts", "channels", "seen", "map", "rates", "classes")),
        *((name, ctypes.c_uint32) for name in ("n_channels", "height", "width")),
    ]

    @classmethod
    def of(cls, a: Adaptation) -> _Adaptation:
        arrays = (a.contexts[a.kind], a.of_channels, a.seen, a.map, RATE, CLASS_OF)
        return cls(*(array.ctypes.data for array in arrays), a.channels, *a.size)


def _places(places: NDArray[Any]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(places, np.uint32)


def _address(array: NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data


class NativeEncoder:
    """A `swathpack.edge.codec.rangecoder.interface.Encoder` in C."""

    def __init__(self, tables: ProbabilityTables) -> None:
        self._lib = library()
        self._token = object()  # checkpoints carry it: an id would be used again
        self._n_tables = tables.n_tables
        self._tables = _c_tables(tables)
        self._handle = ctypes.c_void_p()
        _check(self._lib.sp_encoder_new(ctypes.byref(self._handle)))
        self._symbols = 0
        weakref.finalize(self, self._lib.sp_encoder_free, self._handle)

    def encode(self, symbols: NDArray[Any], table_index: NDArray[Any]) -> None:
        batch = checked_batch(symbols, table_index)
        index = checked_index(table_index, self._n_tables)
        _check(self._lib.sp_encode(self._handle, self._tables.handle, batch.ctypes.data, index.ctypes.data, batch.size))
        self._symbols += batch.size

    def encode_bounded(
        self, symbols: NDArray[Any], table_index: NDArray[Any], low: NDArray[Any], high: NDArray[Any]
    ) -> None:
        batch, index = checked_batch(symbols, table_index), checked_index(table_index, self._n_tables)
        first, last = checked_interval(low, high, table_index)
        arrays = (batch, index, first, last)
        places = (a.ctypes.data for a in arrays)
        _check(self._lib.sp_encode_bounded(self._handle, self._tables.handle, *places, batch.size))
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
        where, state = _places(places), _Adaptation.of(adaptation)
        rows = (batch.ctypes.data, index.ctypes.data, _address(first), _address(last), where.ctypes.data)
        code = self._lib.sp_encode_adaptive(
            self._handle, self._tables.handle, ctypes.addressof(state), *rows, where.size
        )
        _check(code)
        self._symbols += batch.size

    def encode_bits(self, value: int, n_bits: int) -> None:
        _check(self._lib.sp_encode_bits(self._handle, value, checked_bits(n_bits, value)))

    @property
    def position(self) -> int:
        return int(self._lib.sp_encoder_position(self._handle))

    def checkpoint(self) -> Checkpoint:
        state = ctypes.create_string_buffer(self._lib.sp_state_size())
        self._lib.sp_encoder_save(self._handle, state)
        return Checkpoint(int(self._lib.sp_sealed_size(state, 0)), self._symbols, (self._token, state))

    def payload(self, at: Checkpoint | None = None) -> bytes:
        return self._sealed(at, whole_words=0)

    def words(self, at: Checkpoint | None = None) -> NDArray[np.uint32]:
        return np.frombuffer(self._sealed(at, whole_words=1), dtype=">u4").astype(np.uint32)

    def _sealed(self, at: Checkpoint | None, whole_words: int) -> bytes:
        owner, state = (at or self.checkpoint()).state
        if owner is not self._token:
            _raise(8)
        out = ctypes.create_string_buffer(max(1, self._lib.sp_sealed_size(state, whole_words)))
        size = int(self._lib.sp_sealed_size(state, whole_words))
        _check(self._lib.sp_sealed_copy(self._handle, state, whole_words, out, size))
        return out.raw[:size]


class NativeDecoder:
    """A `swathpack.edge.codec.rangecoder.interface.Decoder` in C."""

    def __init__(self, tables: ProbabilityTables, payload: bytes) -> None:
        self._lib = library()
        self._n_tables = tables.n_tables
        self._tables = _c_tables(tables)
        self._payload = bytes(payload)  # the C side reads it in place, so it lives as long as the decoder
        self._handle = ctypes.c_void_p()
        address = ctypes.cast(ctypes.c_char_p(self._payload), ctypes.c_void_p)
        _check(self._lib.sp_decoder_new(ctypes.byref(self._handle), address, len(self._payload)))
        self._overran = False
        weakref.finalize(self, self._lib.sp_decoder_free, self._handle)

    def decode(self, table_index: NDArray[Any]) -> NDArray[np.int32]:
        index = checked_index(table_index, self._n_tables)
        out = np.empty(index.size, dtype=np.int32)
        code = self._lib.sp_decode(self._handle, self._tables.handle, index.ctypes.data, index.size, out.ctypes.data)
        self._overran = self._overran or code == _ENDED
        _check(code)
        return out

    def decode_bounded(self, table_index: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.int32]:
        index = checked_index(table_index, self._n_tables)
        first, last = checked_interval(low, high, table_index)
        out = np.empty(index.size, dtype=np.int32)
        places = (a.ctypes.data for a in (index, first, last))
        code = self._lib.sp_decode_bounded(self._handle, self._tables.handle, *places, index.size, out.ctypes.data)
        self._overran = self._overran or code == _ENDED
        _check(code)
        return out

    def decode_adaptive(
        self,
        table_index: NDArray[Any],
        adaptation: Adaptation,
        places: NDArray[Any],
        low: NDArray[Any] | None = None,
        high: NDArray[Any] | None = None,
    ) -> NDArray[np.int32]:
        _, index, first, last = checked_rows(adaptation, None, table_index, places, low, high)
        where, state = _places(places), _Adaptation.of(adaptation)
        out = np.empty(np.shape(table_index), dtype=np.int32)
        rows = (index.ctypes.data, _address(first), _address(last), where.ctypes.data)
        code = self._lib.sp_decode_adaptive(
            self._handle, self._tables.handle, ctypes.addressof(state), *rows, where.size, out.ctypes.data
        )
        self._overran = self._overran or code == _ENDED
        _check(code)
        return out

    def decode_bits(self, n_bits: int) -> int:
        out = ctypes.c_uint32()
        code = self._lib.sp_decode_bits(self._handle, checked_bits(n_bits), ctypes.byref(out))
        self._overran = self._overran or code == _ENDED
        _check(code)
        return out.value

    @property
    def position(self) -> int:
        return int(self._lib.sp_decoder_position(self._handle))

    @property
    def overran(self) -> bool:
        return self._overran
