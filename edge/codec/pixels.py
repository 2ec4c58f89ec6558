"""From frames to tiles that the analysis transform takes: cutting, filling of nodata, mirroring at the
border.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.latents import STRIDE

TILE = 256  # pixels a side of tiles, at most, but for large ones, which are the transform coder's
MAX_FLIGHT_TILE = 512  # of those that fly; files have larger ones
OVERLAP = 4  # pixels by which the 24-pixel kernels reach beyond their 16-pixel block

FloatArray = NDArray[np.float32]
Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True)
class TileWindow:
    """Window number `index` of a frame (row by row): rows and columns in pixels."""

    index: int
    top: int
    left: int
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Latent rows and columns."""
        return -(-self.height // STRIDE), -(-self.width // STRIDE)

    def of(self, array: NDArray[Kind]) -> NDArray[Kind]:
        """The window's part of an array (..., H, W)."""
        return array[..., self.top : self.top + self.height, self.left : self.left + self.width]


def tile_windows(height: int, width: int, tile: int) -> Iterator[TileWindow]:
    """Windows of a frame in row-major order; those at the right and bottom border may be smaller."""
    across = -(-width // tile)
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            index = top // tile * across + left // tile
            yield TileWindow(index, top, left, min(tile, height - top), min(tile, width - left))


def fill_invalid(data: FloatArray, valid: NDArray[np.bool_]) -> FloatArray:
    """data (C, H, W) with invalid pixels replaced by smooth surroundings, which cost few bits.

    Pull-push: averages of valid pixels over ever larger squares, read back at the finest level that has any
    (Gortler et al. 1996, "The lumigraph", section 3.4). A tile without valid pixels becomes 0.
    """
    if valid.all():
        return data
    weight = valid.astype(np.float32)
    return np.where(valid, data, _pull_push(data * weight, weight))


def _pull_push(total: FloatArray, weight: FloatArray) -> FloatArray:
    if min(weight.shape) == 1 and max(weight.shape) == 1 or weight.all():
        return np.asarray(total / np.maximum(weight, np.float32(1e-9)), np.float32)
    h, w = weight.shape
    pad = ((0, h % 2), (0, w % 2))
    t = np.pad(total, ((0, 0), *pad)).reshape(total.shape[0], (h + 1) // 2, 2, (w + 1) // 2, 2).sum((2, 4))
    n = np.pad(weight, pad).reshape((h + 1) // 2, 2, (w + 1) // 2, 2).sum((1, 3))
    # Each coarse pixel counts once, whatever its number of valid pixels, so that holes fill evenly.
    mean = t / np.maximum(n, np.float32(1e-9))
    has = (n > 0).astype(np.float32)
    coarse = _pull_push(mean * has, has).repeat(2, 1).repeat(2, 2)[:, :h, :w]
    return np.where(weight > 0, total / np.maximum(weight, np.float32(1e-9)), coarse)


def padded(data: FloatArray) -> FloatArray:
    """(C, H, W) mirrored to whole blocks and by the overlap: (C, 16h + 8, 16w + 8)."""
    h, w = data.shape[1:]
    bottom, right = -h % STRIDE + OVERLAP, -w % STRIDE + OVERLAP
    return np.pad(data, ((0, 0), (OVERLAP, bottom), (OVERLAP, right)), mode="symmetric")
