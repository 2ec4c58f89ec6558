"""One acquisition: digital numbers, band names, time and validity, checked once when it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swathpack.edge.bands import BANDS, CENTRE_NM, NATIVE_M, BandError, frame_names
from swathpack.edge.radiometry import MAX_COUNT, PLAIN, Radiometry

MAX_SIDE = 32768
MAX_SAMPLES = 1 << 31  # C*H*W; a full Sentinel-2 tile (13 x 10980 x 10980) is 1.6e9
BOA_OFFSET = 1000  # DN; carried by products of processing baseline 04.00 and later (ESA, January 2022)
LEVELS = ("L1C", "L2A", "unknown")


class FrameError(ValueError):
    """A frame that cannot be used. `reason` is one of shape, dtype, bands, size, values."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _no_mask() -> NDArray[np.bool_]:
    return np.zeros((0, 0), np.bool_)


def _no_holes() -> NDArray[np.bool_]:
    return np.zeros((0, 0, 0), np.bool_)


@dataclass(frozen=True, eq=False)
class Frame:
    """One acquisition of one place.

    data: (C, H, W) uint16 counts, which `radiometry` relates to DN (reflectance x 10,000); plain counts are DN. bands:
    C different names: Sentinel-2's, normalised, for what the codec codes, any other text for what it does not. time:
    free text, ISO 8601 where known. valid: (H, W) bool; left out, a pixel is invalid where it is 0 in all given bands.
    level: L1C, L2A or unknown. boa_offset: the DN carry +1000. grid: per band, how many pixels of this grid make one
    pixel (each way) of the grid the band came on: 1, 2, 3 or 6. holes: (C, H, W) bool, True where a band lacks data at a
    pixel that others have, or empty. wavelengths: centres in nm, 0 where unknown; left out, Sentinel-2's. Raises
    FrameError.
    """

    data: NDArray[np.uint16]
    bands: tuple[str, ...] = BANDS
    time: str | None = None
    valid: NDArray[np.bool_] = field(default_factory=_no_mask)
    level: str = "unknown"
    boa_offset: bool = False
    grid: tuple[int, ...] = ()
    radiometry: Radiometry = PLAIN
    holes: NDArray[np.bool_] = field(default_factory=_no_holes)
    wavelengths: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_array(self.data)
        bands = _check_bands(self.bands, self.data.shape[0])
        object.__setattr__(self, "bands", bands)
        object.__setattr__(self, "level", normalise_level(self.level))
        object.__setattr__(self, "grid", _check_grid(self.grid, len(self.bands)))
        object.__setattr__(self, "wavelengths", _check_wavelengths(self.wavelengths, bands))
        valid = self.data.any(axis=0) if self.valid.size == 0 else self.valid
        if valid.dtype != np.bool_ or valid.shape != self.data.shape[1:]:
            raise FrameError(
                "shape", f"validity mask: expected bool {self.data.shape[1:]}, found {valid.dtype} {valid.shape}"
            )
        if self.holes.size and (self.holes.dtype != np.bool_ or self.holes.shape != self.data.shape):
            raise FrameError(
                "shape", f"holes: expected bool {self.data.shape}, found {self.holes.dtype} {self.holes.shape}"
            )
        object.__setattr__(self, "valid", valid)

    @property
    def height(self) -> int:
        """Rows of the common grid."""
        return int(self.data.shape[1])

    @property
    def width(self) -> int:
        """Columns of the common grid."""
        return int(self.data.shape[2])

    @classmethod
    def from_array(
        cls,
        data: ArrayLike,
        bands: Sequence[str] = BANDS,
        *,
        nodata: float = 0,
        time: str | None = None,
        level: str = "unknown",
        boa_offset: bool = False,
    ) -> Frame:
        """A frame from any numeric array (C, H, W): see `to_dn` for what is converted and what is refused. Pixels of a numpy
        masked array that are masked in one band are without data in all.
        """
        values, valid = to_dn(_unmasked(data, nodata), nodata)
        return cls(values, tuple(bands), time, valid, level, boa_offset)

    @classmethod
    def from_native(
        cls,
        native: Mapping[str, ArrayLike],
        *,
        nodata: float = 0,
        time: str | None = None,
        level: str = "unknown",
        boa_offset: bool = False,
    ) -> Frame:
        """A frame from bands on their own grids, {band: (h, w)}, each repeated up to the finest grid given.

        A coarse band has h = ceil(H / factor) rows, factor 1, 2, 3 or 6. Raises FrameError.
        """
        if not native:
            raise FrameError("bands", "no bands given")
        names = _check_bands(tuple(native), len(native))
        arrays = [_plane(name, array) for name, array in native.items()]
        (height, width), grid = native_factors({n: a.shape for n, a in zip(names, arrays)})
        stack = np.stack([_repeat(a, f, height, width) for a, f in zip(arrays, grid)])
        values, valid = to_dn(stack, nodata)
        return cls(values, names, time, valid, level, boa_offset, grid)

    def to_native(self) -> dict[str, NDArray[np.uint16]]:
        """{band: (h, w) counts} on the grid each band came on: the mean of its pixels with data, 0 without any."""
        return {
            name: _box_mean(self.data[i], self.band_valid(i), factor)
            for i, (name, factor) in enumerate(zip(self.bands, self.grid))
        }

    def native_valid(self) -> dict[str, NDArray[np.bool_]]:
        """{band: (h, w) bool} on the grid each band came on: where at least one pixel has data."""
        return {
            name: _box_total(self.band_valid(i).astype(np.int64), factor) > 0
            for i, (name, factor) in enumerate(zip(self.bands, self.grid))
        }

    def band_valid(self, index: int) -> NDArray[np.bool_]:
        """(H, W) bool: where the band of that index has data."""
        return self.valid & ~self.holes[index] if self.holes.size else self.valid

    def select(self, bands: Sequence[str]) -> Frame:
        """The given bands in the given order, same mask. Raises FrameError when one is not there."""
        names = _check_bands(tuple(bands), len(bands))
        missing = [n for n in names if n not in self.bands]
        if missing:
            raise FrameError("bands", f"no {', '.join(missing)} in frame; it has {', '.join(self.bands)}")
        index = [self.bands.index(n) for n in names]
        holes = self.holes[index] if self.holes.size else self.holes
        return replace(
            self,
            data=self.data[index],
            bands=names,
            grid=tuple(self.grid[i] for i in index),
            holes=holes,
            wavelengths=tuple(self.wavelengths[i] for i in index),
        )

    def dn(self) -> NDArray[np.float32]:
        """(C, H, W) float32 DN as the codec means them, without the +1000: dark pixels may be negative."""
        dn = self.radiometry.to_dn(self.data)
        return dn - np.float32(BOA_OFFSET) if self.boa_offset else dn

    def counts_of(self, dn: NDArray[np.floating]) -> NDArray[np.uint16]:
        """Counts of DN without the +1000, the inverse of `dn`: rounded, within the type's limits."""
        return self.radiometry.from_dn(dn + np.float32(BOA_OFFSET) if self.boa_offset else dn)

    def without_offset(self) -> Frame:
        """Counts that are DN, at least 1 where there are data, without the +1000; 0 stays 0."""
        if not self.boa_offset and self.radiometry.plain:
            return self if self.radiometry == PLAIN else replace(self, radiometry=PLAIN)
        data = np.clip(np.rint(self.dn()), 1, MAX_COUNT)
        empty = ~self.valid if self.radiometry != PLAIN else self.data == 0
        data = np.where(empty, 0, data).astype(np.uint16)
        return replace(self, data=data, boa_offset=False, radiometry=PLAIN)

    def with_offset(self) -> Frame:
        """DN with +1000 on valid pixels, as newer products carry it; saturates at 65535."""
        if self.boa_offset:
            return self
        raised = np.minimum(self.data, MAX_COUNT - BOA_OFFSET) + BOA_OFFSET
        data = np.where(self.valid, raised, 0).astype(np.uint16)
        return replace(self, data=data, boa_offset=True)


def native_factors(shapes: Mapping[str, tuple[int, ...]]) -> tuple[tuple[int, int], tuple[int, ...]]:
    """(rows, columns) of the finest grid, and how many of its pixels make one of each band's, from {band: (h, w)}.

    Raises FrameError for a band whose size is not the finest one over 1, 2, 3 or 6.
    """
    full = max(s[0] for s in shapes.values()), max(s[1] for s in shapes.values())
    finest = min(NATIVE_M.get(n, 60) for n in shapes)
    return full, tuple(_factor(n, s, full, finest) for n, s in shapes.items())


def to_dn(values: NDArray[np.generic], nodata: float = 0) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """(C, H, W) numbers -> uint16 DN, and the (H, W) mask of pixels that hold data.

    A pixel is invalid where every band equals `nodata` or any band is NaN; it becomes 0 in all bands. Floats
    are rounded. Refused with a FrameError: infinities, values outside 0..65535 on valid pixels, and floats
    that look like reflectance (largest value at most 2) since rounding them would leave zeros.
    """
    if values.ndim != 3 or values.dtype.kind not in "iuf":
        raise FrameError(
            "dtype" if values.ndim == 3 else "shape",
            f"expected (C, H, W) integers or floats, found {values.dtype} {values.shape}",
        )
    if values.dtype == np.uint16 and nodata == 0:
        exact = values.astype(np.uint16, copy=False)
        held: NDArray[np.bool_] = np.any(exact, axis=0)
        return exact, held
    empty: NDArray[np.bool_] = np.all(values == nodata, axis=0)
    if values.dtype.kind == "f":
        empty = np.logical_or(empty, np.isnan(values).any(axis=0))
    clean = np.where(empty, 0, values)
    low, high = (float(clean.min()), float(clean.max())) if clean.size else (0.0, 0.0)
    if not (low >= 0 and high <= 65535):
        raise FrameError(
            "values",
            f"expected DN in 0..65535, found {low:g} to {high:g}"
            f" (nodata is {nodata:g}; give the product's own value if it differs)",
        )
    if values.dtype.kind == "f" and 0 < high <= 2:
        raise FrameError(
            "values",
            f"expected DN (reflectance x 10000), found floats up to {high:.3g}: "
            "these look like reflectance, multiply by 10000",
        )
    return np.rint(clean).astype(np.uint16), np.logical_not(empty)


def _unmasked(data: ArrayLike, nodata: float) -> NDArray[np.generic]:
    """(C, H, W) numbers that hold `nodata` in all bands where a masked array is masked in one."""
    values: NDArray[np.generic] = np.asarray(data)
    if not isinstance(data, np.ma.MaskedArray) or values.ndim != 3:
        return values
    masked: NDArray[np.bool_] = np.any(np.ma.getmaskarray(data), axis=0)
    return np.where(masked, nodata, values).astype(values.dtype) if nodata == 0 else np.where(masked, nodata, values)


def normalise_level(text: str) -> str:
    """`L2A (MAJA FRE)` -> `L2A`; anything that names neither or both levels -> `unknown`."""
    found = [level for level in LEVELS[:2] if level in str(text).upper()]
    return found[0] if len(found) == 1 else "unknown"


def _check_array(data: NDArray[np.uint16]) -> None:
    if not isinstance(data, np.ndarray) or data.dtype != np.uint16:
        found = data.dtype if isinstance(data, np.ndarray) else type(data).__name__
        raise FrameError("dtype", f"expected uint16 DN, found {found} (Frame.from_array converts)")
    if data.ndim != 3:
        raise FrameError("shape", f"expected (C, H, W), found shape {data.shape}")
    if min(data.shape) < 1 or max(data.shape[1:]) > MAX_SIDE or data.size > MAX_SAMPLES:
        raise FrameError(
            "size", f"expected sides of 1 to {MAX_SIDE} and at most {MAX_SAMPLES} samples, found shape {data.shape}"
        )


def _check_bands(bands: Sequence[str], count: int) -> tuple[str, ...]:
    try:
        names = frame_names(tuple(bands))
    except BandError as error:
        raise FrameError("bands", str(error)) from error
    if len(names) != count:
        raise FrameError("bands", f"expected {count} band names, one per plane, found {len(names)}")
    return names


def _check_wavelengths(given: tuple[float, ...], bands: tuple[str, ...]) -> tuple[float, ...]:
    found = tuple(float(w) for w in given) or tuple(float(CENTRE_NM.get(b, 0)) for b in bands)
    if len(found) != len(bands) or not all(0 <= w < 1e6 for w in found):
        raise FrameError("bands", f"expected {len(bands)} wavelengths in nm, 0 where unknown, found {found}")
    return found


def _check_grid(grid: tuple[int, ...], count: int) -> tuple[int, ...]:
    factors = tuple(grid) or (1,) * count
    if len(factors) != count or any(f not in (1, 2, 3, 6) for f in factors):
        raise FrameError("shape", f"grid factors: expected {count} of 1, 2, 3 or 6, found {factors}")
    return factors


def _plane(name: str, array: ArrayLike) -> NDArray[np.generic]:
    plane = np.asarray(array)
    if plane.ndim != 2 or 0 in plane.shape:
        raise FrameError("shape", f"band {name}: expected (h, w), found {plane.shape}")
    return plane


def _factor(name: str, shape: tuple[int, ...], full: tuple[int, int], finest: int) -> int:
    """Factor between a band's grid and the finest one; the sensor's own ratio wins if several fit."""
    nominal = NATIVE_M.get(name, 60) // finest
    for factor in (nominal, 1, 2, 3, 6):
        if factor in (1, 2, 3, 6) and tuple(-(-side // factor) for side in full) == tuple(shape):
            return factor
    raise FrameError("shape", f"band {name}: {tuple(shape)} is not {full} over 1, 2, 3 or 6 (rounded up)")


def _repeat(array: NDArray[np.generic], factor: int, height: int, width: int) -> NDArray[np.generic]:
    return array.repeat(factor, axis=0).repeat(factor, axis=1)[:height, :width]


def _box_total(plane: NDArray[np.int64], factor: int) -> NDArray[np.int64]:
    if factor == 1:
        return plane
    rows, columns = (np.arange(0, side, factor) for side in plane.shape)
    total: NDArray[np.int64] = np.add.reduceat(np.add.reduceat(plane, rows, axis=0), columns, axis=1)
    return total


def _box_mean(plane: NDArray[np.uint16], valid: NDArray[np.bool_], factor: int) -> NDArray[np.uint16]:
    if factor == 1:
        return plane
    weight = valid.astype(np.int64)
    count = np.maximum(_box_total(weight, factor), 1)
    mean: NDArray[np.uint16] = ((_box_total(plane * weight, factor) + count // 2) // count).astype(np.uint16)
    return mean
