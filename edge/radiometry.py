"""What the numbers of a frame are: how its counts stand to the values of files and to the codec's DN.

    value v of a file  <->  count c of a frame, uint16     c = rint(v * scale) + shift
    count c            <->  DN d of the codec              d = gain * (c - zero), reflectance x 10,000

Counts keep every integer type of at most 16 bits exactly: int16 has shift 32,768. A lossless code of the counts is
one of the file. The +1000 of Sentinel-2 processing baseline 04.00 is not here: it is a property of one date
(`swathpack.edge.frame.Frame.boa_offset`), and comes off the DN as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DTYPES = ("uint16", "uint8", "int8", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64")
MAX_COUNT = 65535
MAX_SHIFT = 1 << 31
MAX_ZERO = 1e9
PIECE = 1 << 20  # samples that are made values at a time, in 8 bytes each


class RadiometryError(ValueError):
    """Numbers that cannot be a radiometry, or values that it cannot hold."""


@dataclass(frozen=True)
class Radiometry:
    """dtype: of the files. nodata: what a pixel without data holds there, NaN allowed. Raises RadiometryError."""

    dtype: str = "uint16"
    scale: float = 1.0
    shift: int = 0
    nodata: float = 0.0
    gain: float = 1.0
    zero: float = 0.0

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise RadiometryError(f"expected a type of {', '.join(DTYPES)}, found {self.dtype!r}")
        for name in ("scale", "gain"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 1e-12 <= value <= 1e12):
                raise RadiometryError(f"{name}: expected a positive number, found {value}")
        if not (abs(self.zero) <= MAX_ZERO and abs(self.shift) <= MAX_SHIFT):
            raise RadiometryError(
                f"expected offsets within {MAX_ZERO:g}, found shift {self.shift} and zero {self.zero}"
            )

    def __eq__(self, other: object) -> bool:
        """Equal fields; NaN is the same as NaN."""
        return isinstance(other, Radiometry) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        nodata = None if math.isnan(self.nodata) else self.nodata
        return self.dtype, self.scale, self.shift, nodata, self.gain, self.zero

    @property
    def plain(self) -> bool:
        """Counts are the codec's DN."""
        return self.gain == 1 and self.zero == 0

    @property
    def integer(self) -> bool:
        """Whether the files hold integers."""
        return np.dtype(self.dtype).kind in "iu"

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest count of a pixel with data. Where a count of 0 is nodata, data are at least 1."""
        low, high = 1 if self.nodata == 0 and self.shift == 0 else 0, MAX_COUNT
        if self.integer:
            bounds = np.iinfo(self.dtype)
            low = max(low, math.ceil(bounds.min * self.scale) + self.shift)
            high = min(high, math.floor(bounds.max * self.scale) + self.shift)
        return low, high

    def to_counts(self, values: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.uint16]:
        """Counts of values, 0 where not valid. Raises RadiometryError where a valid value does not fit."""
        if values.dtype == np.uint16 and self.scale == 1 and self.shift == 0:
            return np.where(valid, values, 0).astype(np.uint16)
        if self.scale == 1 and values.dtype.kind in "iu" and values.dtype.itemsize <= 4:
            counts: NDArray[np.generic] = np.where(valid, values.astype(np.int64) + self.shift, 0)
        else:
            counts = np.rint(np.where(valid, values, 0).astype(np.float64) * self.scale) + self.shift
            counts = np.where(valid, counts, 0)
        low, high = (float(counts.min()), float(counts.max())) if counts.size else (0.0, 0.0)
        if not (low >= 0 and high <= MAX_COUNT):
            raise RadiometryError(f"expected counts of 0 to {MAX_COUNT}, found {low:g} to {high:g}")
        return counts.astype(np.uint16)

    def to_values(self, counts: NDArray[np.uint16], valid: NDArray[np.bool_]) -> NDArray[np.generic]:
        """Values of counts in the files' type, nodata where not valid: the exact inverse of `to_counts` of integers."""
        out: NDArray[np.generic] = np.empty(counts.shape, self.dtype)
        self._put_values(out, counts, np.broadcast_to(valid, counts.shape))
        return out

    def _put_values(self, out: NDArray[np.generic], counts: NDArray[np.uint16], valid: NDArray[np.bool_]) -> None:
        """By bands, and rows, of large arrays."""
        if counts.size > PIECE and counts.ndim > 1:
            for part in zip(out, counts, valid):
                self._put_values(*part)
        else:
            out[...] = self._values(counts, valid)

    def _values(self, counts: NDArray[np.uint16], valid: NDArray[np.bool_]) -> NDArray[np.generic]:
        if self.integer:
            moved = counts.astype(np.int64) - self.shift
            whole = moved if self.scale == 1 else np.rint(moved / self.scale).astype(np.int64)
            out = np.clip(whole, *self._bounds()).astype(self.dtype)
        else:
            out = ((counts.astype(np.float64) - self.shift) / self.scale).astype(self.dtype)
        filled: NDArray[np.generic] = np.where(valid, out, self._fill()).astype(self.dtype)
        return filled

    def to_dn(self, counts: NDArray[np.uint16]) -> NDArray[np.float32]:
        """The codec's DN of counts, float32."""
        if self.plain:
            return counts.astype(np.float32)
        return ((counts.astype(np.float32) - np.float32(self.zero)) * np.float32(self.gain)).astype(np.float32)

    def from_dn(self, dn: NDArray[np.floating]) -> NDArray[np.uint16]:
        """The nearest counts of DN, as `nearest` has them."""
        return self.nearest(dn if self.plain else dn / np.float32(self.gain) + np.float32(self.zero))

    def nearest(self, counts: NDArray[np.floating]) -> NDArray[np.uint16]:
        """Whole counts of decoded ones, within `limits`; one that would look like nodata moves to the next."""
        low, high = self.limits
        out: NDArray[np.uint16] = np.clip(np.rint(counts), low, high).astype(np.uint16)
        nodata = self._nodata_count()
        if nodata is not None and low <= nodata <= high:
            out[out == nodata] = nodata + (1 if nodata < high else -1)
        return out

    def off_nodata(self, counts: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Counts of near-lossless data without those that look like nodata, where nodata is the least or the greatest value
        of the type: the next value is nearer to what was there, so that no error grows.
        """
        bounds = np.iinfo(self.dtype) if self.integer else None
        ends = (
            (0, MAX_COUNT)
            if bounds is None
            else (bounds.min * self.scale + self.shift, bounds.max * self.scale + self.shift)
        )
        nodata = self._nodata_count()
        if nodata is None or nodata not in ends:
            return counts
        return np.where(counts == nodata, nodata + (1 if nodata == ends[0] else -1), counts).astype(np.uint16)

    def _nodata_count(self) -> int | None:
        """The count that would be read as nodata, None where there is none."""
        count = self.nodata * self.scale + self.shift
        return round(count) if 0 <= count <= MAX_COUNT else None

    def _bounds(self) -> tuple[int, int]:
        bounds = np.iinfo(self.dtype)
        return max(int(bounds.min), -(1 << 62)), min(int(bounds.max), 1 << 62)

    def _fill(self) -> float | int:
        """The nodata value as the type can hold it: the nearest float, 0 for integers that cannot."""
        if not self.integer:
            return held_float(self.nodata, self.dtype)
        low, high = self._bounds()
        holds = math.isfinite(self.nodata) and self.nodata == int(self.nodata) and low <= self.nodata <= high
        return int(self.nodata) if holds else 0


def held_float(value: float, dtype: str) -> float:
    """The float of a type that stands for a value beyond its range; NaN stays NaN."""
    limits = np.finfo(dtype)
    return min(max(value, float(limits.min)), float(limits.max)) if math.isfinite(value) else value


PLAIN = Radiometry()
