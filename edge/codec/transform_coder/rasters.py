"""Bands that are exact enlargements of a coarser grid are coded on that grid.

Sentinel-2's 20 m and 60 m bands on a 10 m grid, enlarged by repeating pixels, hold a quarter and a thirty-sixth of the
samples. The encoder looks whether they do, with any phase; the ground repeats the pixels again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder.fill import fill_smoothly
from swathpack.edge.codec.transform_coder.header import BitReader, BitWriter
from swathpack.edge.codec.transform_coder.wavelet import SMALLEST_SIDE

FACTORS = (6, 5, 4, 3, 2)  # looked for, largest first
FACTOR_BITS = 3


@dataclass(frozen=True)
class Grid:
    """Pixels of the tile a cell, each way, and how many rows and columns of the first cells lie outside the tile."""

    factor: int = 1
    top: int = 0
    left: int = 0

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Cells of a tile."""
        return -(-(height + self.top) // self.factor), -(-(width + self.left) // self.factor)

    def repeat(self, cells: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """(..., h, w) cells -> (..., height, width) pixels."""
        columns = np.repeat(cells, self.factor, axis=-1)[..., self.left : self.left + width]
        return np.repeat(columns, self.factor, axis=-2)[..., self.top : self.top + height, :]

    def cells(self, pixels: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(C, H, W) pixels, alike in every cell where valid, and their validity -> (C, h, w), smooth where none is."""
        return fill_smoothly(*self.means(pixels, valid))

    def known(self, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(h, w) cells of which any pixel is valid (H, W)."""
        return self.means(np.zeros((0, *valid.shape), np.float32), valid)[1]

    def means(
        self, pixels: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """As `cells`, with anything where none is, and which (h, w) are valid."""
        height, width = valid.shape
        if self.factor == 1 and not self.top and not self.left:
            return pixels, valid
        rows, columns = self.size(height, width)
        inside = (
            (self.top, rows * self.factor - height - self.top),
            (self.left, columns * self.factor - width - self.left),
        )
        split = (rows, self.factor, columns, self.factor)
        known = np.pad(valid, inside).reshape(split)
        count = known.sum((1, 3))
        parts = np.pad(np.where(valid, pixels, 0), ((0, 0), *inside)).reshape(len(pixels), *split)
        means = parts.sum((2, 4), dtype=np.float64) / np.maximum(count, 1)
        return means.astype(np.float32), count > 0


@dataclass(frozen=True)
class Raster:
    """Bands coded together: those on `grid`, and `half` of them on the grid of twice its factor."""

    grid: Grid
    bands: tuple[int, ...]
    half: tuple[int, ...] = ()

    @classmethod
    def plain(cls, bands: int) -> Raster:
        """All bands on the tile's own grid."""
        return cls(Grid(), tuple(range(bands)))

    @property
    def half_grid(self) -> Grid:
        """The grid of the bands in `half`."""
        return replace(self.grid, factor=2 * self.grid.factor)


def own_grid(band: NDArray[np.generic], valid: NDArray[np.bool_]) -> Grid:
    """The coarsest grid of which (H, W) is an enlargement where it is valid."""
    changes = [_changes(band, valid), _changes(band.T, valid.T)]
    for factor in FACTORS:
        phases = [_phase(change, factor) for change in changes]
        if None not in phases and min(band.shape) >= 2 * factor:
            return Grid(factor, *(p or 0 for p in phases))
    return Grid()


def _changes(band: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows y for which row y + 1 differs from row y somewhere both are valid."""
    return np.flatnonzero(((band[1:] != band[:-1]) & valid[1:] & valid[:-1]).any(axis=1))


def _phase(change: NDArray[np.intp], factor: int) -> int | None:
    """Rows of the first cell outside, when changes come only every `factor` rows; None when not."""
    ends = np.unique((change + 1) % factor)
    if len(ends) > 1:
        return None
    return int(-ends[0] % factor) if len(ends) else 0


def find_rasters(samples: NDArray[np.generic], valid: NDArray[np.bool_]) -> tuple[Raster, ...]:
    """How the bands (C, H, W) are best coded: one raster for the finest grid and that half as fine, one for each other."""
    grids = [own_grid(band, valid) for band in samples]
    first = min(grids, key=lambda g: g.factor)
    if first.factor == 1:  # a band without structure of its own takes the phase of the half grid, one pixel of padding
        halves = [g for g in grids if g.factor == 2]
        first = replace(halves[0], factor=1) if halves else Grid()
    main = Raster(first, tuple(i for i, g in enumerate(grids) if g == first or (g.factor == 1 and first.factor == 1)))
    if min(main.grid.size(*valid.shape)) >= SMALLEST_SIDE:  # else there is no level without them
        main = replace(main, half=tuple(i for i, g in enumerate(grids) if g == main.half_grid))
    rest: dict[Grid, list[int]] = {}
    for i, grid in enumerate(grids):
        if i not in main.bands and i not in main.half:
            rest.setdefault(grid, []).append(i)
    return (main, *(Raster(grid, tuple(bands)) for grid, bands in rest.items()))


def write_rasters(rasters: Sequence[Raster], bands: int, out: BitWriter) -> None:
    """One bit when all bands are on the tile's own grid."""
    plain = tuple(rasters) == (Raster.plain(bands),)
    out.put(not plain, 1)
    if plain:
        return
    out.put(len(rasters) - 1, 4)
    for raster in rasters:
        for number in (raster.grid.factor, raster.grid.top, raster.grid.left):
            out.put(number, FACTOR_BITS)
        for band in range(bands):
            out.put(band in raster.bands, 1)
        out.put(bool(raster.half), 1)
        for band in range(bands if raster.half else 0):
            out.put(band in raster.half, 1)


def read_rasters(bands: int, bits: BitReader) -> tuple[Raster, ...]:
    """As write_rasters. Raises ValueError for what no encoder writes."""
    if not bits.get(1):
        return (Raster.plain(bands),)
    rasters = []
    for _ in range(bits.get(4) + 1):
        factor, top, left = (bits.get(FACTOR_BITS) for _ in range(3))
        chosen = tuple(i for i in range(bands) if bits.get(1))
        half = tuple(i for i in range(bands) if bits.get(1)) if bits.get(1) else ()
        rasters.append(Raster(Grid(factor, top, left), chosen, half))
    named = [i for r in rasters for i in (*r.bands, *r.half)]
    if sorted(named) != list(range(bands)) or any(r.grid.factor == 0 for r in rasters):
        raise ValueError("rasters do not share the bands out")
    return tuple(rasters)
