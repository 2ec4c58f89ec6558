"""The decoder's half behind the bit planes: coefficients to samples, the same bits on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import shaped, wavelet
from swathpack.edge.codec.transform_coder.layout import Pyramid
from swathpack.edge.codec.transform_coder.rasters import Raster
from swathpack.edge.codec.transform_coder.shaped import RasterShape, Shape


def add_bands(
    samples: NDArray[np.float32],
    raster: Raster,
    pyramid: Pyramid,
    bands: NDArray[np.float32],
    shape: RasterShape | None = None,
) -> None:
    """Adds what wavelet coefficients (B, N) say of a raster's bands to the samples (C, H, W), in place. shape: of its valid cells,
    where they alone were split.
    """
    height, width = samples.shape[1:]
    fine = _drawn(bands[: pyramid.fine], pyramid.height, pyramid.width, pyramid.levels, shape.fine if shape else None)
    samples[list(raster.bands)] += raster.grid.repeat(fine / np.float32(raster.grid.factor), height, width)
    if raster.half:
        rows, columns = raster.half_grid.size(height, width)
        found = bands[pyramid.fine :, : rows * columns]
        half = _drawn(found, rows, columns, pyramid.levels - 1, shape.half if shape else None)
        samples[list(raster.half)] += raster.half_grid.repeat(half / np.float32(raster.half_grid.factor), height, width)


def _drawn(
    bands: NDArray[np.float32], height: int, width: int, levels: int, shape: Shape | None
) -> NDArray[np.float32]:
    return wavelet.inverse(bands, height, width, levels) if shape is None else shaped.inverse(bands, shape)
