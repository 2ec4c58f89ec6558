"""The predictive coder in C (tile.c) through ctypes."""

from __future__ import annotations

import ctypes
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.predictive.interface import LAYERS, CodedTile, Decoded, PredictiveError, either, smallest
from swathpack.edge.codec.rangecoder.native import library

_TOO_LONG = 7
_MESSAGES = {1: "shape out of range", 4: "corrupt payload: it holds what no encoder writes"}


@lru_cache(maxsize=1)
def _functions() -> ctypes.CDLL:
    lib = library()
    p, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int32
    lib.sp_predictive_memory.restype, lib.sp_predictive_memory.argtypes = size, [number] * 3
    lib.sp_predictive_encode.argtypes = [p, p, p, number, number, number, number, number, p, p, size, p, p]
    lib.sp_predictive_decode.argtypes = [p, size, p, p, number, number, number, number, p, p, p, p]
    lib.sp_predictive_narrow.argtypes = [number]
    return lib


def use_narrow_vectors(narrow: bool) -> bool:
    """For tests: do without the vectors that not all processors of this kind have. Returns whether such are used now; payloads and
    samples are the same either way.
    """
    return bool(_functions().sp_predictive_narrow(narrow))


def _check(code: int) -> None:
    if code:
        raise PredictiveError(_MESSAGES.get(code, f"predictive coder error {code}"))


class Workspace:
    """Memory for tiles of one shape (C, H, W), allocated once; for one thread at a time."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self.memory = np.empty(_functions().sp_predictive_memory(*shape), np.uint8)
        self.out = np.empty(4096 + 4 * int(np.prod(shape)), np.uint8)

    def encode(
        self, samples: NDArray[np.int32], valid: NDArray[np.uint8], max_error: NDArray[np.int32], refined: bool = False
    ) -> CodedTile:
        """Checked arrays of the workspace's shape to a payload."""
        return smallest(
            lambda simple: self._encode(samples, valid, max_error, simple, refined), samples.size, max_error
        )

    def encode_either(
        self, samples: NDArray[np.int32], valid: NDArray[np.uint8], max_error: NDArray[np.int32]
    ) -> CodedTile:
        """The same with refined predictions or without, as `interface.either` has it."""
        return smallest(
            lambda simple: either(lambda refined: self._encode(samples, valid, max_error, simple, refined)),
            samples.size,
            max_error,
        )

    def _encode(
        self,
        samples: NDArray[np.int32],
        valid: NDArray[np.uint8],
        max_error: NDArray[np.int32],
        simple: bool,
        refined: bool,
    ) -> CodedTile:
        sizes, tried = np.zeros(LAYERS + 1, np.uint64), np.zeros(2, np.uint64)
        while True:
            arrays = (samples.ctypes.data, valid.ctypes.data, max_error.ctypes.data)
            room = (self.memory.ctypes.data, self.out.ctypes.data, self.out.size)
            found = sizes.ctypes.data, tried.ctypes.data
            code = _functions().sp_predictive_encode(*arrays, simple, refined, *self.shape, *room, *found)
            if code != _TOO_LONG:
                break
            self.out = np.empty(2 * self.out.size, np.uint8)
        _check(code)
        return CodedTile(
            self.out[: int(sizes[-1])].tobytes(), sizes.astype(np.int64), refined, (int(tried[0]), int(tried[1]))
        )

    def decode(
        self, payload: bytes, valid: NDArray[np.uint8], max_error: NDArray[np.int32], refined: bool = False
    ) -> Decoded:
        """What a prefix of a payload wholly holds."""
        data = np.frombuffer(payload or b"\0", np.uint8)
        samples, since = np.zeros(self.shape, np.int32), np.zeros(self.shape, np.uint8)
        layers = ctypes.c_int32()
        given = (data.ctypes.data, len(payload), valid.ctypes.data, max_error.ctypes.data)
        out = (self.memory.ctypes.data, samples.ctypes.data, since.ctypes.data, ctypes.addressof(layers))
        _check(_functions().sp_predictive_decode(*given, refined, *self.shape, *out))
        return Decoded(samples, since, layers.value)
