"""Splitting pixels of up to 16 bits into int8 planes, and the analysis kernel as a matrix for each of them.

One int8 plane cannot hold 12-bit pixels, so the centred frame is told in several: each plane is the mean of what the
planes before it left over, in cells of `cell` x `cell` pixels, divided by 2^exponent, rounded and saturated to int8.
The transform is linear: the coefficients are the sum of one integer product per plane, against the kernel summed over
the plane's cells. A plane of larger cells costs cell^2 times fewer products.

This is residual (multi-stage) quantisation; Juang and Gray 1982, "Multiple stage vector quantization for speech
coding", with a scalar quantiser at every stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.latents import CHANNELS, STRIDE

FloatArray = NDArray[np.float32]
Kind = TypeVar("Kind", bound=np.generic)
BANDS = 12
KERNEL = 24
GRID = 8  # pixels; kernel, stride and margin are multiples of it, so patches are 3 x 3 squares of the grid
SPAN = KERNEL // GRID
CELLS = (1, 2, 4, 8)
INT8_MIN, INT8_MAX = -128, 127
# Added to whole pixels before they are rounded: no pixel is a tie, so every runtime rounds alike, and the rest of a level
# of 256 DN is -128 .. 127, which int8 holds.
UNTIE_DN = 0.25


@dataclass(frozen=True)
class Plane:
    """`cell` pixels along a side share one value; a level of the plane is 2^exponent DN."""

    cell: int
    exponent: int

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise ValueError(f"a plane's cell: expected one of {CELLS}, found {self.cell}")

    @property
    def step(self) -> float:
        """DN of one level."""
        return float(2.0**self.exponent)

    @property
    def features(self) -> int:
        """Inputs of one product: 12 bands of a 24 x 24 patch."""
        return BANDS * (KERNEL // self.cell) ** 2


def gmac(planes: Sequence[Plane], height: int = 256, width: int = 256) -> float:
    """10^9 int8 multiply-accumulates of a tile."""
    positions = (height // STRIDE) * (width // STRIDE)
    return sum(p.features for p in planes) * CHANNELS * positions / 1e9


def cell_means(frame: FloatArray, cell: int) -> FloatArray:
    """(12, H, W) -> (12, H / cell, W / cell)."""
    c, h, w = frame.shape
    means: FloatArray = frame.reshape(c, h // cell, cell, w // cell, cell).mean((2, 4), dtype=np.float32)
    return means


def spread(values: FloatArray, cell: int) -> FloatArray:
    """The inverse: every value over its cell."""
    return values.repeat(cell, 1).repeat(cell, 2)


def split(frame: FloatArray, planes: Sequence[Plane], offset: FloatArray) -> list[NDArray[np.int8]]:
    """Padded frame (12, 16h + 8, 16w + 8) DN, offset (12,) DN -> one int8 array (12, H / cell, W / cell) per plane."""
    left = frame - offset[:, None, None]
    found = []
    for plane in planes:
        means = cell_means(left, plane.cell) + np.float32(UNTIE_DN if plane.cell == 1 else 0)
        levels = np.rint(means * np.float32(1 / plane.step))
        levels = np.clip(levels, INT8_MIN, INT8_MAX)
        found.append(levels.astype(np.int8))
        left = left - spread(levels * np.float32(plane.step), plane.cell)
    return found


def left_over(frame: FloatArray, planes: Sequence[Plane], offset: FloatArray) -> FloatArray:
    """What the planes do not tell, DN."""
    left = frame - offset[:, None, None]
    for plane, levels in zip(planes, split(frame, planes, offset)):
        left = left - spread(levels.astype(np.float32) * np.float32(plane.step), plane.cell)
    return left


def patches(levels: NDArray[np.generic], cell: int) -> FloatArray:
    """Plane (12, H / cell, W / cell) -> (positions, features): 3 x 3 squares of the grid, then band, row, column."""
    u = GRID // cell
    rows, columns = levels.shape[1] // u, levels.shape[2] // u
    grid = levels.astype(np.float32).reshape(BANDS, rows, u, columns, u).transpose(1, 3, 0, 2, 4)
    grid = grid.reshape(rows, columns, BANDS * u * u)
    h, w = (rows - 1) // 2, (columns - 1) // 2
    squares = [grid[i : i + 2 * h : 2, j : j + 2 * w : 2] for i in range(SPAN) for j in range(SPAN)]
    return np.stack(squares, 2).reshape(h * w, -1)


def summed_kernel(kernel: NDArray[np.floating], cell: int) -> NDArray[np.float64]:
    """Kernel (512, 12, 24, 24) summed over cells: (512, 12, 24 / cell, 24 / cell)."""
    side = KERNEL // cell
    total: NDArray[np.float64] = kernel.astype(np.float64).reshape(-1, BANDS, side, cell, side, cell).sum((3, 5))
    return total


def as_matrix(kernel: NDArray[Kind], cell: int) -> NDArray[Kind]:
    """Summed kernel (512, 12, s, s) -> (features, 512) in the order of `patches`."""
    u = GRID // cell
    six = kernel.reshape(-1, BANDS, SPAN, u, SPAN, u).transpose(2, 4, 1, 3, 5, 0)
    return np.ascontiguousarray(six.reshape(-1, kernel.shape[0]))
