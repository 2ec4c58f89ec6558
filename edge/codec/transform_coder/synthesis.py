"""The decoder's half behind the bit planes: coefficients to samples, the same bits on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import wavelet
from swathpack.edge.codec.transform_coder.layout import Pyramid
from swathpack.edge.codec.transform_coder.rasters import Raster


def add_bands(samples: NDArray[np.float32], raster: Raster, pyramid: Pyramid, bands: NDArray[np.float32]) -> None:
    """Adds what wavelet coefficients (B, N) say of a raster's bands to the samples (C, H, W), in place."""
    height, width = samples.shape[1:]
    fine = wavelet.inverse(bands[: pyramid.fine], pyramid.height, pyramid.width, pyramid.levels)
    samples[list(raster.bands)] += raster.grid.repeat(fine / np.float32(raster.grid.factor), height, width)
    if raster.half:
        rows, columns = raster.half_grid.size(height, width)
        half = wavelet.inverse(bands[pyramid.fine :, : rows * columns], rows, columns, pyramid.levels - 1)
        samples[list(raster.half)] += raster.half_grid.repeat(half / np.float32(raster.half_grid.factor), height, width)
