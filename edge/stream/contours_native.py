"""contours.c through ctypes: edges of masks, range coded. See clibrary.py."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.clibrary import LibraryMissingError, library_path, load
from swathpack.edge.stream.contours_reference import ENDED, NOT_RISING, TOO_FAR, TOO_LONG
from swathpack.edge.stream.errors import StreamError

_MESSAGES = {1: NOT_RISING, 2: ENDED, 3: TOO_LONG, 4: TOO_FAR}


def available() -> bool:
    """True when the C library is built and loads."""
    try:
        load(library_path())
    except LibraryMissingError:
        return False
    return True


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    lib = load(library_path())
    p, u32, size, u64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_size_t, ctypes.c_uint64
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "sp_contours_size": (size, [u32]),
        "sp_contours_encode": (size, [p, p, u32, u32, p, size, ctypes.POINTER(u64)]),
        "sp_contours_start": (None, [p, u32, p, size, u64]),
        "sp_contours_decode": (ctypes.c_int, [p, u32, p]),
        "sp_contours_left": (size, [p, size]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def _state(lib: ctypes.CDLL, width: int) -> NDArray[np.complex128]:
    """Memory of a coder; 16-byte aligned."""
    return np.empty(lib.sp_contours_size(width) // 16 + 1, np.complex128)


def encode(cells: NDArray[np.bool_]) -> tuple[bytes, int]:
    """The packed edges of (H, W), C contiguous, and how many decisions they are; as many zeros where they take more than the bits."""
    lib, (height, width) = _library(), cells.shape
    state, decisions = _state(lib, width), ctypes.c_uint64()
    out = np.zeros(cells.size // 8 + 1024, np.uint8)
    places = state.ctypes.data, cells.ctypes.data
    size = lib.sp_contours_encode(*places, height, width, out.ctypes.data, out.size, ctypes.byref(decisions))
    return out[:size].tobytes().ljust(size, b"\0"), decisions.value


class Decoder:
    """Rows of packed edges, from the top."""

    def __init__(self, packed: bytes, width: int, most: int) -> None:
        self._lib, self._width = _library(), width
        self._packed = np.frombuffer(packed, np.uint8)  # read in place, so it lives as long as the decoder
        self._state = _state(self._lib, width)
        self._lib.sp_contours_start(self._state.ctypes.data, width, self._packed.ctypes.data, self._packed.size, most)

    def rows(self, number: int) -> NDArray[np.bool_]:
        """(number, width), True where there is data. StreamError for what no encoder writes."""
        out = np.empty((number, self._width), np.bool_)
        code = self._lib.sp_contours_decode(self._state.ctypes.data, number, out.ctypes.data)
        if code:
            raise StreamError(_MESSAGES[code])
        return out

    @property
    def left(self) -> int:
        """Bytes that no decision so far has to do with."""
        return int(self._lib.sp_contours_left(self._state.ctypes.data, self._packed.size))
