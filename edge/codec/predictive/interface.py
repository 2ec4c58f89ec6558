"""What the predictive coder takes and gives, and the checks both forms of it share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAYERS = 16
MAX_BANDS = 16
MAX_SIDE = 256
LEAST_SAMPLE, GREATEST_SAMPLE = -32768, 65535
GREATEST_SPAN = 65535  # of a band: what whole numbers of 16 bits of either kind hold
# Inverse of the share of bytes that refined predictions may lose in the first layers of a tile that keeps them; and bits of those
# layers below which they tell nothing of the others.
CLOSE, FEW_BITS = 200, 1000
MODEST_ERROR = 20  # up to it small predictors are tried below 2 bits a sample, beyond it below 1


class PredictiveError(ValueError):
    """A tile that cannot be coded, or a payload that no encoder wrote; names what was expected and found."""


@dataclass(frozen=True, eq=False)
class CodedTile:
    """`payload` and `sizes` (17,) int64: payload[: sizes[k]] is the shortest prefix that holds the first k layers. `refined`:
    with refined predictions, which its decoder must be told. `tried`: bits of the first layers without and with them; 0, 0
    where that was not looked at.
    """

    payload: bytes
    sizes: NDArray[np.int64]
    refined: bool = False
    tried: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class Decoded:
    """`samples` (C, H, W) int32, `since` (C, H, W) uint8, the layer 1 to 16 that brought each of them, 0 where none has;
    `layers` how many of the 16 are whole.

    A sample counts only where it is known, and is 0 elsewhere; it is 0 where the tile is not valid.
    """

    samples: NDArray[np.int32]
    since: NDArray[np.uint8]
    layers: int

    @property
    def known(self) -> NDArray[np.bool_]:
        """(C, H, W) bool."""
        return self.since > 0


def smallest(code: Callable[[bool], CodedTile], samples: int, max_error: NDArray[np.int32]) -> CodedTile:
    """The tile as `code(False)` has it, or, where errors may be so large that few bits are left, as `code(True)` with small
    predictors alone if that is shorter: most of such a tile is as predicted, which what is fitted to the pixels spoils.
    """
    greatest = int(max_error.max())
    coded = code(False)
    if greatest == 0 or 8 * len(coded.payload) >= (2 if greatest <= MODEST_ERROR else 1) * samples:
        return coded
    return shorter(coded, code(True))


def either(code: Callable[[bool], CodedTile]) -> CodedTile:
    """The tile as `code(True)` has it, with refined predictions, and unless these save bytes in the first layers, or lose no more
    than CLOSE there, as `code(False)` if that is not longer; so also where these layers are next to nothing. They mostly save bytes,
    and where they lose, they lose little.
    """
    refined = code(True)
    plain_bits, refined_bits = refined.tried
    if plain_bits >= FEW_BITS and CLOSE * (refined_bits - plain_bits) < plain_bits:
        return refined
    return shorter(code(False), refined)


def shorter(a: CodedTile, b: CodedTile) -> CodedTile:
    """Of the two that with the shorter payload, else the first."""
    return b if len(b.payload) < len(a.payload) else a


def checked_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """(C, H, W) within the limits, or PredictiveError."""
    if len(shape) != 3 or not (1 <= shape[0] <= MAX_BANDS and 1 <= shape[1] <= MAX_SIDE and 1 <= shape[2] <= MAX_SIDE):
        raise PredictiveError(
            f"expected a tile of 1 to {MAX_BANDS} bands and sides of 1 to {MAX_SIDE} pixels, found {tuple(shape)}"
        )
    return int(shape[0]), int(shape[1]), int(shape[2])


def checked_samples(samples: NDArray[Any]) -> NDArray[np.int32]:
    """Contiguous (C, H, W) int32 of integers from -32768 to 65535, in each band as far apart as 16 bits hold, or PredictiveError."""
    samples = np.asarray(samples)
    checked_shape(samples.shape)
    if samples.dtype.kind not in "iu":
        raise PredictiveError(f"expected integer samples, found {samples.dtype}")
    low, high = int(samples.min()), int(samples.max())
    if low < LEAST_SAMPLE or high > GREATEST_SAMPLE:
        raise PredictiveError(f"expected samples from {LEAST_SAMPLE} to {GREATEST_SAMPLE}, found {low} to {high}")
    if high - low > GREATEST_SPAN and int((np.ptp(samples.astype(np.int64), axis=(1, 2))).max()) > GREATEST_SPAN:
        raise PredictiveError(
            f"expected at most {GREATEST_SPAN} from a band's least sample to its greatest, found more"
        )
    return np.ascontiguousarray(samples, dtype=np.int32)


def checked_valid(valid: NDArray[Any] | None, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Contiguous (H, W) of 0 and 1; None stands for all valid."""
    if valid is None:
        return np.ones(shape[1:], np.uint8)
    valid = np.asarray(valid)
    if valid.shape != shape[1:] or valid.dtype.kind not in "biu":
        raise PredictiveError(f"expected a mask {shape[1:]} of bool, found {valid.dtype} {valid.shape}")
    return np.ascontiguousarray(valid != 0, dtype=np.uint8)


def checked_errors(max_error: int | Sequence[int] | NDArray[Any], bands: int) -> NDArray[np.int32]:
    """Greatest absolute error a band, (C,) int32; one number stands for all bands."""
    given = np.asarray(max_error)
    if given.dtype.kind not in "iu" or given.shape not in ((), (bands,)):
        raise PredictiveError(f"expected one whole number or {bands} as greatest error, found {max_error!r}")
    if given.size and (int(given.min()) < 0 or int(given.max()) > GREATEST_SAMPLE):
        raise PredictiveError(f"expected greatest errors from 0 to {GREATEST_SAMPLE}, found {max_error!r}")
    return np.ascontiguousarray(np.broadcast_to(given, (bands,)), dtype=np.int32)
