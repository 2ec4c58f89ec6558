"""The transpose of the inverse wavelet, and coefficients that make up for those that are missing.

The 9/7 wavelet is not quite orthogonal, at the ends of the runs of shaped.py least. So where coefficients are missing, the others that
leave the least error in the pixels are not those that the forward wavelet gives: the pixels of what is missing, through the
transpose of the inverse, tell by how much. Encoders alone use it, float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from swathpack.edge.codec.transform_coder.head import Part
from swathpack.edge.codec.transform_coder.rasters import Grid
from swathpack.edge.codec.transform_coder.shaped import ALONE, ALONE_BACK, Codes, Mask, RasterShape, Shape
from swathpack.edge.codec.transform_coder.synthesis import add_bands
from swathpack.edge.codec.transform_coder.wavelet import STEPS, Plane, gains


def adjoint(planes: Plane, shape: Shape) -> Plane:
    """(C, H, W) pixels, of which valid ones count -> (C, H * W) coefficients, in the places and the scale of `shaped.inverse`."""
    scales = (1 / gains(shape.levels)).astype(np.float32)
    rest, parts = np.where(shape.valid, planes, np.float32(0)), list[Plane]()
    for level, (columns, low_rows, high_rows) in enumerate(shape.codes, 1):
        low, high = _split(rest, columns, 1)
        (ll, hl), (lh, hh) = _split(low, low_rows, 2), _split(high, high_rows, 2)
        at = 1 + 3 * (shape.levels - level)
        parts[:0] = [(part * scale).reshape(len(planes), -1) for part, scale in zip((hl, lh, hh), scales[at : at + 3])]
        rest = ll
    found = np.concatenate([(rest * scales[0]).reshape(len(planes), -1), *parts], axis=1)
    return np.where(shape.holes, np.float32(0), found)


def _split(planes: Plane, codes: Codes, axis: int) -> tuple[Plane, Plane]:
    """The transpose of `shaped._merge` along an axis of (C, H, W)."""
    x, code = np.moveaxis(planes, axis, 0), codes if axis == 1 else codes.T
    code = code[:, None]  # (n, 1, m) beside (n, C, m)
    counts = (code & 3).astype(np.float32)
    halves = [x[0::2].copy(), x[1::2].copy()]
    for i, step in enumerate(STEPS):
        first = (i + 1) % 2
        given, taken = halves[first], halves[1 - first]
        part = (-step * counts[first::2]) * given
        if first:  # each odd one has taken of the even ones before and after
            taken[: len(part)] += part
            taken[1 : len(part) + 1] += part[: len(taken) - 1]
        else:
            taken += part[: len(taken)]
            taken[: len(part) - 1] += part[1:]
    low, high = halves
    alone_low, alone_high = code[0::2] == ALONE, code[1::2] == ALONE
    low *= np.where(alone_low, ALONE_BACK, np.float32(1))
    low[: len(high)] = np.where(alone_high, high * ALONE_BACK, low[: len(high)])
    high *= ~alone_high
    return np.moveaxis(low, 0, axis), np.moveaxis(high, 0, axis)


def made_up(parts: Sequence[Part], shapes: Sequence[RasterShape], valid: Mask, missing: Sequence[Plane]) -> list[Plane]:
    """What components of every raster (B, N) should be more by, so that they make up for what is missing of others: (B, N) each."""
    bands = sum(len(part.raster.bands) + len(part.raster.half) for part in parts)
    pixels = np.zeros((bands, *valid.shape), np.float32)
    for part, shape, components in zip(parts, shapes, missing):
        add_bands(pixels, part.raster, part.pyramid, part.spectrum.inverse(components), shape)
    pixels = np.where(valid, pixels, np.float32(0))
    return [_components(pixels, *each) for each in zip(parts, shapes)]


def _components(pixels: Plane, part: Part, shape: RasterShape) -> Plane:
    """The transpose of what a raster's components draw."""
    raster, pyramid = part.raster, part.pyramid
    found = np.zeros((pyramid.all, pyramid.height * pyramid.width), np.float32)
    found[: pyramid.fine] = adjoint(_cells(pixels[list(raster.bands)], raster.grid), shape.fine)
    if raster.half and shape.half is not None:
        half = adjoint(_cells(pixels[list(raster.half)], raster.half_grid), shape.half)
        found[pyramid.fine :, : half.shape[1]] = half
    return np.asarray(part.spectrum.forward(found), np.float32)


def _cells(pixels: Plane, grid: Grid) -> Plane:
    """The transpose of cells over the factor of their grid, repeated over their pixels. Those cut off by the sides of the tile count as
    whole.
    """
    return grid.means(pixels, np.ones(pixels.shape[1:], np.bool_))[0] * np.float32(grid.factor)
