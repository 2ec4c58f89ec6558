"""The analysis transform in int8: what calibration measures of the data, and the integers that follow from it.

measure(tiles, planes)  -> Statistics   of the planes' values, independent of any kernel; a few kilobytes
quantise(kernel, bias, statistics) -> Int8Analysis   weights, exponents, bias; runs in numpy as its own reference
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.calibration.planes import (
    BANDS,
    INT8_MIN,
    KERNEL,
    FloatArray,
    Plane,
    as_matrix,
    gmac,
    patches,
    split,
    summed_kernel,
)
from swathpack.calibration.rounding import Separable, channel_exponents, nearest, shaped
from swathpack.codec.atomic import replaced
from swathpack.edge.codec.latents import STEP_UNIT_DN, STRIDE
from swathpack.edge.codec.pixels import padded
from swathpack.edge.spoken import reason

STATISTICS_FILE = Path(__file__).resolve().parent / "analysis_statistics.npz"
FLOOR_DN = 20.0  # added to a tile's spread before tiles are put on a par: flat water is not noise worth learning


class CalibrationError(ValueError):
    """Statistics that are missing, damaged or do not fit."""


DEFAULT_EXPONENT = 6  # 64 DN a level: 256 levels reach 16,320 DN


def forms(exponent: int = DEFAULT_EXPONENT) -> dict[str, tuple[Plane, ...]]:
    """The candidates, cheapest first; `exponent`: of a first plane that is followed by coarse cells or nothing.

    Two planes tell 16-bit pixels exactly. In between, the means of what the first plane left over restore what is
    common to a cell: rounding errors of flat areas, and pixels brighter than its range.
    """
    first = Plane(1, exponent)
    return {
        "one-plane": (first,),
        "plane+means8": (first, Plane(8, 8), Plane(8, 0)),
        "plane+means4": (first, Plane(4, 8), Plane(4, 0)),
        "two-planes": (Plane(1, 8), Plane(1, 0)),
    }


def offset_of(planes: Sequence[Plane]) -> FloatArray:
    """(12,) DN that centres the full-resolution planes: their lowest levels together stand for 0 DN."""
    return np.full(BANDS, -INT8_MIN * sum(p.step for p in planes if p.cell == 1), np.float32)


def cells_of(planes: Sequence[Plane]) -> tuple[int, ...]:
    """The cell sizes, each once."""
    return tuple(dict.fromkeys(p.cell for p in planes))


@dataclass(frozen=True, eq=False)
class Statistics:
    """Per cell size, in the order in which the planes name them: mean (12,) DN of the values that its planes tell
    together, and their separable covariance; `tiles`: how many were measured.
    """

    planes: tuple[Plane, ...]
    means: NDArray[np.float32]
    covariances: tuple[Separable, ...]
    tiles: int

    def save(self, path: Path) -> None:
        """As .npz, whole or not at all."""
        arrays: dict[str, Any] = {
            "planes": np.array([(p.cell, p.exponent) for p in self.planes], np.int16),
            "means": self.means,
            "tiles": np.int32(self.tiles),
        }
        for i, c in enumerate(self.covariances):
            arrays |= {f"{i}.bands": c.bands, f"{i}.rows": c.rows, f"{i}.columns": c.columns}
        with replaced(path) as part:
            np.savez_compressed(part, **arrays)

    @staticmethod
    def load(path: Path = STATISTICS_FILE) -> Statistics:
        """What `save` wrote. Raises CalibrationError."""
        try:
            with np.load(path, allow_pickle=False) as found:
                planes = tuple(Plane(int(c), int(e)) for c, e in found["planes"])
                covariances = tuple(
                    Separable(*(found[f"{i}.{part}"] for part in ("bands", "rows", "columns")))
                    for i in range(len(cells_of(planes)))
                )
                return Statistics(planes, found["means"], covariances, int(found["tiles"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise CalibrationError(f"{path}: no calibration statistics: {reason(error, path)}") from error


def measure(
    tiles: Sequence[FloatArray], planes: Sequence[Plane], tick: Callable[[], None] = lambda: None
) -> Statistics:
    """tiles: (12, H, W) DN without nodata. Every tile counts alike, whatever its contrast."""
    if not tiles:
        raise CalibrationError("expected at least one tile to measure, found none")
    offset, cells = offset_of(planes), cells_of(planes)
    total = [_zeros(c) for c in cells]
    means = np.zeros((len(cells), BANDS))
    for tile in tiles:
        levels = split(padded(tile), planes, offset)
        for i, cell in enumerate(cells):
            # Planes of one cell size share weights, so a weight's error meets the sum of their values.
            value = np.sum([x * np.float32(p.step) for p, x in zip(planes, levels) if p.cell == cell], axis=0)
            mean = value.mean((1, 2), keepdims=True)
            means[i] += mean[:, 0, 0] / len(tiles)
            _add(total[i], value - mean, cell)
        tick()
    covariances = tuple(Separable(*(m.astype(np.float32) for m in t)) for t in total)
    return Statistics(tuple(planes), means.astype(np.float32), covariances, len(tiles))


def _zeros(cell: int) -> list[NDArray[np.float64]]:
    side = KERNEL // cell
    return [np.zeros((BANDS, BANDS)), np.zeros((side, side)), np.zeros((side, side))]


def _add(total: list[NDArray[np.float64]], value: FloatArray, cell: int) -> None:
    side, stride = KERNEL // cell, STRIDE // cell
    value = value / np.float32(np.sqrt(np.square(value).mean()) + FLOOR_DN)
    view = np.lib.stride_tricks.sliding_window_view(value, (side, side), (1, 2))
    squares = view[:, ::stride, ::stride].reshape(BANDS, -1, side, side)
    by_band = squares.reshape(BANDS, -1)
    rows = squares.transpose(2, 0, 1, 3).reshape(side, -1)
    columns = squares.reshape(-1, side)
    total[0] += by_band @ by_band.T / by_band.shape[1]
    total[1] += rows @ rows.T / rows.shape[1]
    total[2] += columns.T @ columns / len(columns)


@dataclass(frozen=True, eq=False)
class Int8Analysis:
    """weights: cell -> (features, 512) int8; exponents: cell -> (512,); bias (512,) in units of 64 DN."""

    planes: tuple[Plane, ...]
    offset: FloatArray
    weights: dict[int, NDArray[np.int8]]
    exponents: dict[int, NDArray[np.int64]]
    bias: NDArray[np.float32]

    def coefficients(self, tile: FloatArray) -> NDArray[np.float32]:
        """Tile (12, H, W) DN -> (512, h, w), the integer sums in float64 where they are exact."""
        frame = padded(tile)
        total = self.bias.astype(np.float64)
        for plane, level in zip(self.planes, split(frame, self.planes, self.offset)):
            sums = patches(level, plane.cell).astype(np.float64) @ self.weights[plane.cell].astype(np.float64)
            total = total + sums * np.exp2(plane.exponent - self.exponents[plane.cell]) / STEP_UNIT_DN
        h, w = (frame.shape[1] - 8) // STRIDE, (frame.shape[2] - 8) // STRIDE
        return np.ascontiguousarray(total.T.reshape(-1, h, w), np.float32)

    @property
    def gmac(self) -> float:
        """10^9 int8 products of a 256 x 256 tile."""
        return gmac(self.planes)

    def worst_sums(self) -> dict[int, int]:
        """Per cell size the largest possible |sum| of int8 products of an output channel."""
        return {c: int(128 * np.abs(w.astype(np.int64)).sum(0).max()) for c, w in self.weights.items()}


def quantise(
    kernel: NDArray[np.floating], bias: NDArray[np.floating], statistics: Statistics, rounding: str = "shaped"
) -> Int8Analysis:
    """kernel (512, 12, 24, 24) on DN, bias (512,) of the float transform in units of 64 DN; rounding: shaped or
    nearest.

    The bias takes up the offset and what rounding does to the mean of the data.
    """
    weights: dict[int, NDArray[np.int8]] = {}
    exponents: dict[int, NDArray[np.int64]] = {}
    planes = statistics.planes
    correction = np.zeros(len(kernel))
    for cell, covariance, mean in zip(cells_of(planes), statistics.covariances, statistics.means):
        summed = summed_kernel(kernel, cell)
        exponent = channel_exponents(summed)
        if rounding == "shaped":
            rounded = shaped(summed, exponent, covariance)
        else:
            rounded = nearest(summed.reshape(len(summed), -1), exponent).astype(np.int8).reshape(summed.shape)
        weights[cell], exponents[cell] = as_matrix(rounded, cell), exponent
        errors = summed - rounded * np.exp2(-exponent.astype(np.float64))[:, None, None, None]
        correction += errors.sum((2, 3)) @ mean.astype(np.float64)
    offset = offset_of(planes)
    centre = kernel.astype(np.float64).sum((2, 3)) @ offset.astype(np.float64)
    full_bias = bias.astype(np.float64) + (centre + correction) / STEP_UNIT_DN
    return Int8Analysis(planes, offset, weights, exponents, full_bias.astype(np.float32))
