"""CCSDS 123.0-B-2 for the bench: sizes only, by our own C (ccsds123.c), compiled when first asked for.

Written after the Blue Book and not checked against another implementation. The size is that of the better of two entropy
coders: sample-adaptive, exact, and hybrid, whose low-entropy codes are taken at the entropy of their symbols, so at
least as small as real ones. Parameters: full mode, three previous bands, those that did best on training tiles.
"""

from __future__ import annotations

import ctypes
import shlex
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.rangecoder.build import BuildError, find_compiler
from swathpack.tools.bench.peers.base import PeerError

SOURCE = Path(__file__).with_name("ccsds123.c")
PREVIOUS_BANDS, OMEGA, V_MIN, V_MAX, T_INC_LOG, COUNT_LOG = 3, 19, -1, 4, 6, 6


class _Setting(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_int32)
        for name in [
            "bands",
            "height",
            "width",
            "depth",
            "previous",
            "omega",
            "v_min",
            "v_max",
            "t_inc_log",
            "count_log",
            "max_error",
        ]
    ]


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "ccsds123.so")
        try:
            command = [*find_compiler(), "-std=c11", "-O2", "-shared", "-fPIC", "-o", str(out), str(SOURCE), "-lm"]
        except BuildError as error:
            raise PeerError(f"CCSDS 123: {error}") from error
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PeerError(f"CCSDS 123: {shlex.join(command)} failed: {done.stderr.strip()[:300]}")
        return ctypes.CDLL(str(out))


def size(samples: NDArray[Any], max_error: int = 0) -> float:
    """Bytes of a cube (C, H, W) of unsigned integers, lossless or to an absolute error. PeerError without a compiler."""
    cube = np.ascontiguousarray(samples, np.int32)
    if cube.min() < 0:
        raise PeerError(f"CCSDS 123: expected unsigned samples, found {int(cube.min())}")
    depth = max(2, int(cube.max()).bit_length())
    parameters = (PREVIOUS_BANDS, OMEGA, V_MIN, V_MAX, T_INC_LOG, COUNT_LOG)
    setting = _Setting(*cube.shape, depth, *parameters, max_error)
    adaptive, hybrid, worst = ctypes.c_double(), ctypes.c_double(), ctypes.c_int64()
    results = (ctypes.byref(v) for v in (adaptive, hybrid, worst))
    if _library().ccsds123_bits(ctypes.c_void_p(cube.ctypes.data), ctypes.byref(setting), *results):
        raise PeerError("CCSDS 123: out of memory")
    if worst.value > max_error:
        raise PeerError(f"CCSDS 123: expected errors up to {max_error}, found {worst.value}")
    return min(adaptive.value, hybrid.value) / 8
