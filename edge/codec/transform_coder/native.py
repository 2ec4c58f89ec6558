"""The C side of this package through ctypes. It lives in the range coder's library; see rangecoder/native.py."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.rangecoder import native as library_of
from swathpack.edge.codec.transform_coder.date_values import Beside


class Job(ctypes.Structure):
    """job_t of bitplane.c."""

    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("n_values", "n_cells", "n_bands", "planes", "trellis")),
        *(
            (name, ctypes.c_void_p)
            for name in ("bands", "tables", "states", "weights", "holes", "date", "predicted", "workspace")
        ),
    ]


class NativeError(Exception):
    """A code that the C side returned."""


def available() -> bool:
    """True when the C library is built and loads."""
    return library_of.available()


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    lib = library_of.library()
    p, u32, u64, size = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_size_t
    job = ctypes.POINTER(Job)
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "sp_wavelet_forward": (None, [p, p, u32, u32, u32, p, p]),
        "sp_wavelet_inverse": (None, [p, p, u32, u32, u32, p, p]),
        "sp_shaped_forward": (None, [p, p, u32, u32, u32, p, p, p]),
        "sp_shaped_inverse": (None, [p, p, u32, u32, u32, p, p, p]),
        "sp_spectral_inverse": (None, [p, u32, p, p, size, size]),
        "sp_spectral_angles": (None, [p, u32, p, ctypes.c_int32, p]),
        "sp_spectral_basis": (None, [p, u32, p, ctypes.c_int32, p]),
        "sp_sparse_moments": (None, [p, size, u32, p, u32, u32, p]),
        "sp_sparse_bits": (None, [p, size, p, u32, p, u32, p, u32, p]),
        "sp_sparse_turn": (None, [p, size, p, u32, p, p, u32, u32, p, u32]),
        "sp_bitplane_constants": (None, [p]),
        "sp_bitplane_tables": (None, [p]),
        "sp_bitplane_workspace": (size, [u32, u32, u32, ctypes.c_int]),
        "sp_bitplane_learned": (None, [p, p, p]),
        "sp_bitplane_encode": (ctypes.c_int, [job, p, u64, p, u32, p, size, p, p]),
        "sp_bitplane_middles": (None, [p, p, u32, p]),
        "sp_bitplane_estimate": (None, [p, u32, p, p, p, ctypes.c_float, p]),
        "sp_bitplane_decode": (ctypes.c_int, [job, p, size, p, u32, p, p, p]),
        "sp_filter_workspace": (size, [u32]),
        "sp_filter_classes": (ctypes.c_int32, [p, u32, u32, p, p, p]),
        "sp_filter_add": (None, [p, u32, u32, p, p, p]),
        "sp_trellis_workspace": (ctypes.c_size_t, [u32]),
        "sp_trellis_choose": (None, [p, u32, p, p, ctypes.c_float, ctypes.c_float, p, u32, p, p]),
        "sp_trellis_count": (None, [p, u32, p, ctypes.c_float, p, p]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def wavelet(
    direction: str,
    data: NDArray[np.float32],
    shape: tuple[int, ...],
    height: int,
    width: int,
    levels: int,
    scales: NDArray[np.float32],
) -> NDArray[np.float32]:
    """sp_wavelet_forward or sp_wavelet_inverse on every plane of `data` (C contiguous)."""
    out = np.empty(shape, np.float32)
    work = np.empty(height * width + 2 * width + 2, np.float32)
    function = getattr(_library(), f"sp_wavelet_{direction}")
    for plane, result in zip(data, out):
        function(plane.ctypes.data, result.ctypes.data, height, width, levels, scales.ctypes.data, work.ctypes.data)
    return out


def shaped(
    direction: str,
    data: NDArray[np.float32],
    size: tuple[int, int],
    levels: int,
    scales: NDArray[np.float32],
    codes: NDArray[np.uint8],
) -> NDArray[np.float32]:
    """sp_shaped_forward, (C, H, W) -> (C, H * W), or sp_shaped_inverse, the way back."""
    height, width = size
    planes = np.ascontiguousarray(data, np.float32)
    out = np.empty((len(planes), *((height * width,) if direction == "forward" else size)), np.float32)
    work = np.empty((height + 2) * width, np.float32)
    function, rest = getattr(_library(), f"sp_shaped_{direction}"), (scales, codes, work)
    for plane, result in zip(planes, out):
        places = (array.ctypes.data for array in rest)
        function(plane.ctypes.data, result.ctypes.data, height, width, levels, *places)
    return out


def spectral_inverse(
    basis: NDArray[np.float32], components: NDArray[np.float32], bands: NDArray[np.float32], start: int, stop: int
) -> None:
    """sp_spectral_inverse on columns [start, stop) of the first rows of `components` into `bands`, both (C, N) C contiguous."""
    rows, at = np.ascontiguousarray(basis), components.itemsize * start  # rows: must live while C reads it
    _library().sp_spectral_inverse(
        rows.ctypes.data,
        len(rows),
        components.ctypes.data + at,
        bands.ctypes.data + at,
        components.shape[1],
        stop - start,
    )


def spectral_angles(basis: NDArray[np.float64], turns: NDArray[np.float64]) -> NDArray[np.int32]:
    """sp_spectral_angles; turns: exact.py's `turns`."""
    size, rows = len(basis), np.array(basis, np.float64, order="C")
    angles = np.empty(size * (size - 1) // 2, np.int32)
    _library().sp_spectral_angles(rows.ctypes.data, size, turns.ctypes.data, len(turns) // 2, angles.ctypes.data)
    return angles


def spectral_basis(angles: Sequence[int], size: int, turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """sp_spectral_basis."""
    rows, given = np.eye(size), np.array(angles, np.int32)
    _library().sp_spectral_basis(rows.ctypes.data, size, turns.ctypes.data, len(turns) // 2, given.ctypes.data)
    return rows


def sparse_moments(bands: NDArray[np.float32], columns: NDArray[np.uint32]) -> NDArray[np.float64]:
    """sp_sparse_moments of the columns (n, cells) of `bands` (B, N): (n, B (B + 1) / 2)."""
    size, (count, cells) = len(bands), columns.shape
    rows, given = np.ascontiguousarray(bands), np.ascontiguousarray(columns)
    out = np.empty((count, size * (size + 1) // 2))
    places = rows.ctypes.data, rows.shape[1], size, given.ctypes.data
    _library().sp_sparse_moments(*places, count, cells, out.ctypes.data)
    return out


def sparse_bits(
    moments: NDArray[np.float64], counts: NDArray[np.float64], basis: NDArray[np.float64], noises: NDArray[np.float64]
) -> NDArray[np.float64]:
    """sp_sparse_bits: (A,) of moments (n, packed), counts (n,), a basis (S, S) of the first bands, noises (A,)."""
    out, rows = np.zeros(len(noises)), [np.ascontiguousarray(a) for a in (moments, counts, basis, noises)]
    blocks, numbers, vectors, errors = (a.ctypes.data for a in rows)
    places = blocks, moments.shape[1], numbers, len(counts)
    _library().sp_sparse_bits(*places, vectors, len(basis), errors, len(noises), out.ctypes.data)
    return out


def sparse_turn(
    moments: NDArray[np.float64],
    counts: NDArray[np.float64],
    noises: NDArray[np.float64],
    worth: NDArray[np.float64],
    rounds: int,
    basis: NDArray[np.float64],
) -> None:
    """sp_sparse_turn on `basis` (S, S) of the first bands, C contiguous, in place; worth: of bits at each of the noises (A,)."""
    rows = [np.ascontiguousarray(a) for a in (moments, counts, noises, worth)]
    blocks, numbers, errors, values = (a.ctypes.data for a in rows)
    places = blocks, moments.shape[1], numbers, len(counts)
    _library().sp_sparse_turn(*places, errors, values, len(noises), rounds, basis.ctypes.data, len(basis))


@lru_cache(maxsize=1)
def constants() -> tuple[int, int, int, int, int, int, int]:
    """Adaptive states, mixing weights, bytes of the model's tables; states and weights without those of a trellis, and without those
    beside an earlier date.
    """
    out = np.zeros(7, np.uint32)
    _library().sp_bitplane_constants(out.ctypes.data)
    states, weights, tables, *without = map(int, out)
    return states, weights, tables, without[0], without[1], without[2], without[3]


@lru_cache(maxsize=1)
def tables() -> NDArray[np.uint8]:
    """The model's tables as bytes: stretch, squash, rate."""
    out = np.zeros(constants()[2], np.uint8)
    _library().sp_bitplane_tables(out.ctypes.data)
    return out


class _Call:
    """A job with what it points to."""

    def __init__(
        self,
        subbands: NDArray[np.uint32],
        n_values: int,
        n_cells: int,
        planes: int,
        states: NDArray[np.uint16],
        weights: NDArray[np.int32],
        holes: NDArray[np.uint8] | None = None,
        trellis: bool = False,
        beside: Beside | None = None,
    ) -> None:
        size = _library().sp_bitplane_workspace(n_values, n_cells, len(subbands), beside is not None)
        self.kept: list[NDArray[Any]] = [
            subbands,
            tables(),
            states,
            weights,
            np.empty(size // 16 + 1, np.complex128),  # 16-byte aligned
        ]
        self.others = (
            holes,
            *((None, None) if beside is None else (beside.values, beside.predicted)),
        )  # must live as long
        *given, workspace = (a.ctypes.data for a in self.kept)
        places = (None if a is None else a.ctypes.data for a in self.others)
        self.job = Job(n_values, n_cells, len(subbands), planes, int(trellis), *given, *places, workspace)


def _check(code: int) -> None:
    if code:
        raise NativeError(f"bit-plane coder error {code}")


def encode(
    subbands: NDArray[np.uint32],
    n_values: int,
    n_cells: int,
    planes: int,
    model: tuple[NDArray[np.uint16], NDArray[np.int32]],
    values: NDArray[np.int32],
    limit: int,
    targets: NDArray[np.uint64],
    holes: NDArray[np.uint8] | None = None,
    trellis: bool = False,
    beside: Beside | None = None,
) -> tuple[bytes, NDArray[np.uint64], NDArray[np.float64]]:
    """sp_bitplane_encode: payload; (T + 1,) bytes and squared errors at the targets and at the end. trellis: values are its
    indices, and the errors say nothing.
    """
    call = _Call(subbands, n_values, n_cells, planes, *model, holes, trellis, beside)
    out = np.empty(min(limit, 4 * n_values) + 1024, np.uint8)
    sizes, distortion = np.zeros(len(targets) + 1, np.uint64), np.zeros(len(targets) + 1)
    _check(
        _library().sp_bitplane_encode(
            ctypes.byref(call.job),
            values.ctypes.data,
            limit,
            targets.ctypes.data,
            len(targets),
            out.ctypes.data,
            out.size,
            sizes.ctypes.data,
            distortion.ctypes.data,
        )
    )
    return out[: int(sizes[-1])].tobytes(), sizes, distortion


def learned(
    subbands: NDArray[np.uint32],
    n_values: int,
    n_cells: int,
    planes: int,
    model: tuple[NDArray[np.uint16], NDArray[np.int32]],
    values: NDArray[np.int32],
    trellis: bool = False,
    beside: Beside | None = None,
) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """The model after coding all planes of `values`, for training."""
    call, none = _Call(subbands, n_values, n_cells, planes, *model, None, trellis, beside), np.zeros(0, np.uint64)
    out, size, error = np.empty(4 * n_values + 1024, np.uint8), np.zeros(1, np.uint64), np.zeros(1)
    places = (a.ctypes.data for a in (size, error))
    limit = out.size
    _check(
        _library().sp_bitplane_encode(
            ctypes.byref(call.job), values.ctypes.data, limit, none.ctypes.data, 0, out.ctypes.data, limit, *places
        )
    )
    states, weights = np.empty_like(model[0]), np.empty_like(model[1])
    _library().sp_bitplane_learned(call.kept[-1].ctypes.data, states.ctypes.data, weights.ctypes.data)
    return states, weights


def decode(
    subbands: NDArray[np.uint32],
    n_values: int,
    n_cells: int,
    planes: int,
    model: tuple[NDArray[np.uint16], NDArray[np.int32]],
    payload: bytes,
    targets: NDArray[np.uint64],
    holes: NDArray[np.uint8] | None = None,
    trellis: bool = False,
    beside: Beside | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.uint8], int]:
    """sp_bitplane_decode: values as far as known, unknown low bits, layers passed."""
    call = _Call(subbands, n_values, n_cells, planes, *model, holes, trellis, beside)
    values, bits, layers = np.empty(n_values, np.int32), np.empty(n_values, np.uint8), ctypes.c_uint32()
    data = np.frombuffer(payload, np.uint8)
    _check(
        _library().sp_bitplane_decode(
            ctypes.byref(call.job),
            data.ctypes.data,
            len(payload),
            targets.ctypes.data,
            len(targets),
            values.ctypes.data,
            bits.ctypes.data,
            ctypes.addressof(layers),
        )
    )
    return values, bits, layers.value


def middles(values: NDArray[np.int32], bits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """sp_bitplane_middles: (n_values,) in 1/64 of plane 0's step."""
    out, given = np.empty(len(values), np.int64), [np.ascontiguousarray(a) for a in (values, bits)]
    known, known_bits = (a.ctypes.data for a in given)
    _library().sp_bitplane_middles(known, known_bits, len(values), out.ctypes.data)
    return out


def estimate(
    subbands: NDArray[np.uint32],
    middles: NDArray[np.int64],
    bits: NDArray[np.uint8],
    tables: NDArray[np.int16],
    unit: np.float32,
) -> NDArray[np.float32]:
    """sp_bitplane_estimate: (n_values,) in DN, `unit` of them 1/64 of plane 0's step."""
    out = np.zeros(len(middles), np.float32)
    given = [np.ascontiguousarray(a) for a in (subbands, middles, bits, tables)]
    bands, known, known_bits, weights = (a.ctypes.data for a in given)
    _library().sp_bitplane_estimate(bands, len(subbands), known, known_bits, weights, float(unit), out.ctypes.data)
    return out


def filter_classes(padded: NDArray[np.int32], whole: NDArray[np.bool_]) -> tuple[int, NDArray[np.uint8]]:
    """sp_filter_classes of a band in units, padded as codec/filters.py does: of the tile and of every place (h, w)."""
    height, width = whole.shape
    classes, work = np.empty((height, width), np.uint8), np.empty(_library().sp_filter_workspace(width), np.int32)
    units, counts = np.ascontiguousarray(padded, np.int32), np.ascontiguousarray(whole).view(np.uint8)
    places = (a.ctypes.data for a in (counts, work, classes))
    return _library().sp_filter_classes(units.ctypes.data, height, width, *places), classes


def filter_add(padded: NDArray[np.int32], classes: NDArray[np.uint8], weights: NDArray[np.int16]) -> NDArray[np.int32]:
    """sp_filter_add, (h, w); weights (classes, taps). Raises TypeError for weights of more bits."""
    if weights.dtype != np.int16:
        raise TypeError(f"weights of filters are int16, not {weights.dtype}")
    out = np.empty(classes.shape, np.int32)
    given = [np.ascontiguousarray(a) for a in (padded, classes, weights)]
    units, kinds, table = (a.ctypes.data for a in given)
    _library().sp_filter_add(units, *classes.shape, kinds, table, out.ctypes.data)
    return out


def choose_indices(
    subbands: NDArray[np.uint32],
    values: NDArray[np.float32],
    step: float,
    worth: float,
    costs: NDArray[np.float32],
    holes: NDArray[np.uint8] | None = None,
) -> NDArray[np.int32]:
    """sp_trellis_choose: (n_values,) indices. values in the unit of `step`; worth: squared steps a bit; costs (2, 24, 18) bits."""
    largest = int((subbands[:, 2].astype(np.int64) * subbands[:, 3]).max(initial=0))
    work, indices = np.empty(_library().sp_trellis_workspace(largest), np.uint8), np.zeros(len(values), np.int32)
    given = [np.ascontiguousarray(a) for a in (subbands, values, costs)]
    bands, sizes, bits = (a.ctypes.data for a in given)
    empty = None if holes is None else holes.ctypes.data
    places = work.ctypes.data, indices.ctypes.data
    _library().sp_trellis_choose(bands, len(subbands), sizes, empty, step, worth, bits, largest, *places)
    return indices


def count_indices(
    subbands: NDArray[np.uint32], values: NDArray[np.float32], step: float, indices: NDArray[np.int32]
) -> NDArray[np.uint64]:
    """sp_trellis_count: (2, 24, 18), how often an index stands by quantiser and class, for training."""
    counts = np.zeros((2, 24, 18), np.uint64)
    given = [np.ascontiguousarray(a) for a in (subbands, values, indices)]
    bands, sizes, found = (a.ctypes.data for a in given)
    _library().sp_trellis_count(bands, len(subbands), sizes, step, found, counts.ctypes.data)
    return counts
