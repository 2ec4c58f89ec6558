"""An earlier date of the same tile as prediction: what of it is taken, and the bits that say so.

The earlier date's counts, as both sides decoded them, go through the same rasters and wavelet as the tile. Of every band and level
a gain in eighths is taken, in blocks of 32 pixels where that helps; the difference is what the payload codes. Everything here is
integers or float32 rounded operation by operation, so that both sides predict the same to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import shaped
from swathpack.edge.codec.transform_coder.header import BitReader, BitWriter
from swathpack.edge.codec.transform_coder.layout import Pyramid
from swathpack.edge.codec.transform_coder.rasters import Grid, Raster
from swathpack.edge.codec.transform_coder.shaped import RasterShape
from swathpack.edge.codec.transform_coder.shift import STILL, Shift, moved
from swathpack.edge.codec.transform_coder.weights import Weights

BLOCK = 32  # pixels a side
WHOLE = 8  # a gain of one
MAX_GAIN = 64
MAX_COUNT = 65535

Counts = NDArray[np.uint16]
Coefficients = NDArray[np.float32]
Gains = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """gains: per raster (B, levels + 1) eighths, LL and then the levels from coarse to fine. blocks: (rows, columns) bool,
    where the earlier date is taken.
    """

    gains: tuple[Gains, ...]
    blocks: NDArray[np.bool_]

    def taken(self, raster: Raster, pyramid: Pyramid) -> NDArray[np.bool_]:
        """(N,) of a raster's columns: whether they lie in a block where the earlier date is taken."""
        return self.blocks.reshape(-1)[columns_of(raster.grid, pyramid, self.blocks.shape)[1]]

    def of(self, number: int, bands: Coefficients, raster: Raster, pyramid: Pyramid) -> Coefficients:
        """What raster `number` is predicted to be, from the earlier date's `reference_bands`."""
        levels, _ = columns_of(raster.grid, pyramid, self.blocks.shape)
        factors = (self.gains[number].astype(np.float32) / np.float32(WHOLE))[:, levels]
        return np.asarray(factors * bands * self.taken(raster, pyramid).astype(np.float32), np.float32)


def counts_of(samples: NDArray[np.float32]) -> Counts:
    """Decoded samples (C, H, W) as an earlier date is taken."""
    return np.clip(np.rint(samples), 0, MAX_COUNT).astype(np.uint16)


def block_shape(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of blocks of a tile."""
    return -(-height // BLOCK), -(-width // BLOCK)


def reference_bands(
    counts: Counts,
    raster: Raster,
    pyramid: Pyramid,
    weights: Weights,
    shape: RasterShape | None = None,
    shift: Shift = STILL,
) -> Coefficients:
    """Weighted wavelet coefficients (B, N) of an earlier date's counts (C, H, W) on a raster, moved, without their means; split as
    the tile is.
    """
    out = np.zeros((pyramid.all, pyramid.height * pyramid.width), np.float32)
    fine = cells_of(counts, raster.bands, raster.grid, shift)
    out[: pyramid.fine] = shaped.split(fine, pyramid.levels, shape.fine if shape else None) * np.float32(
        raster.grid.factor
    )
    if raster.half:
        cells = cells_of(counts, raster.half, raster.half_grid, shift)
        half = shaped.split(cells, pyramid.levels - 1, shape.half if shape else None)
        out[pyramid.fine :, : half.shape[1]] = half * np.float32(raster.half_grid.factor)
    return np.asarray(out * weights.factors.ravel()[[*raster.bands, *raster.half], None], np.float32)


def cells_of(counts: Counts, bands: tuple[int, ...], grid: Grid, shift: Shift = STILL) -> Coefficients:
    """Means of the pixels in every cell less the band's mean; cells at the edge as if its pixels went on."""
    height, width = counts.shape[1:]
    rows, columns = grid.size(height, width)
    y = np.clip(np.arange(rows * grid.factor) - grid.top, 0, height - 1)
    x = np.clip(np.arange(columns * grid.factor) - grid.left, 0, width - 1)
    parts = counts[list(bands)][:, y[:, None], x].reshape(len(bands), rows, grid.factor, columns, grid.factor)
    sums = parts.sum((2, 4), dtype=np.int64)
    means = (sums / grid.factor**2).astype(np.float32) if shift == STILL else moved(sums, grid.factor, shift)
    offset = (counts[list(bands)].sum((1, 2), dtype=np.int64) / (height * width)).astype(np.float32)
    return np.asarray(means - offset[:, None, None], np.float32)


@lru_cache(maxsize=32)
def columns_of(grid: Grid, pyramid: Pyramid, blocks: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of every column of a raster's coefficients: which gain it takes, and which block it lies in."""
    levels = np.zeros(pyramid.height * pyramid.width, np.intp)
    places = np.zeros_like(levels)
    for kind, level, height, width, at in pyramid.columns():
        y, x = (
            np.clip(((np.arange(n) << level) * grid.factor - outside) // BLOCK, 0, most - 1)
            for n, outside, most in ((height, grid.top, blocks[0]), (width, grid.left, blocks[1]))
        )
        here = np.s_[at : at + height * width]
        levels[here] = 0 if kind == 0 else pyramid.levels - level + 1
        places[here] = (y[:, None] * blocks[1] + x).reshape(-1)
    return levels, places


def bands_of(pyramid: Pyramid, level: int) -> int:
    """Bands that have coefficients at a place of `Prediction.gains`' second axis."""
    return pyramid.fine if level and level == pyramid.levels else pyramid.all


def expected_gain(gains: Gains, band: int, level: int) -> int:
    """What a gain is coded against: the band's own one level coarser, or the band's before."""
    return int(gains[band, level - 1] if level else gains[band - 1, 0] if band else WHOLE)


def write_prediction(prediction: Prediction, pyramids: tuple[Pyramid, ...], out: BitWriter) -> None:
    """Gains as differences, then the blocks as a quadtree."""
    for gains, pyramid in zip(prediction.gains, pyramids):
        for level in range(pyramid.levels + 1):
            for band in range(bands_of(pyramid, level)):
                out.put_signed(int(gains[band, level]) - expected_gain(gains, band, level), 0)
    _write_blocks(prediction.blocks, out)


def read_prediction(pyramids: tuple[Pyramid, ...], height: int, width: int, bits: BitReader) -> Prediction:
    """As write_prediction. Raises ValueError for what no encoder writes."""
    found = []
    for pyramid in pyramids:
        gains = np.zeros((pyramid.all, pyramid.levels + 1), np.int64)
        for level in range(pyramid.levels + 1):
            for band in range(bands_of(pyramid, level)):
                gains[band, level] = expected_gain(gains, band, level) + bits.get_signed(0)
                if abs(gains[band, level]) > MAX_GAIN:
                    raise ValueError(f"a gain of {gains[band, level]} eighths")
        found.append(gains)
    blocks = np.zeros(block_shape(height, width), np.bool_)
    _read_blocks(blocks, bits)
    return Prediction(tuple(found), blocks)


def quarters(blocks: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    """The up to four parts of a part of the map, views; the first is the largest power of two that leaves others."""
    side = 1 << (max(blocks.shape) - 1).bit_length() - 1
    parts = (blocks[:side, :side], blocks[:side, side:], blocks[side:, :side], blocks[side:, side:])
    return [part for part in parts if part.size]


def _write_blocks(blocks: NDArray[np.bool_], out: BitWriter) -> None:
    if blocks.size > 1:
        alike = bool(blocks.all() or not blocks.any())
        out.put(alike, 1)
        if not alike:
            for part in quarters(blocks):
                _write_blocks(part, out)  # type: ignore[arg-type]
            return
    out.put(bool(blocks.flat[0]), 1)


def _read_blocks(blocks: NDArray[np.bool_], bits: BitReader) -> None:
    if blocks.size > 1 and not bits.get(1):
        for part in quarters(blocks):
            _read_blocks(part, bits)  # type: ignore[arg-type]
        return
    blocks[...] = bool(bits.get(1))
