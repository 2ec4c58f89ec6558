"""The 9/7 wavelet on the valid pixels alone, float32, as in shaped.c: the same operations in the same order, so the same bits.

Every run of valid pixels along a column or row is split by itself, mirrored at its ends; a pixel without a neighbour in its run
goes on as a low-pass sample. So there are as many coefficients as valid pixels (Li and Li, "Shape-adaptive discrete wavelet
transforms for arbitrarily shaped visual object coding", 2000), in the subbands of wavelet.py; which places of them stay empty
follows from the mask, and both sides know it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import native
from swathpack.edge.codec.transform_coder.layout import Layout, Pyramid
from swathpack.edge.codec.transform_coder.rasters import Raster
from swathpack.edge.codec.transform_coder.wavelet import STEPS, Plane, gains, subband_shapes
from swathpack.edge.codec.transform_coder.wavelet import forward as of_all

Mask = NDArray[np.bool_]
Codes = NDArray[np.uint8]

ALONE = 4  # in a code: no valid sample beside; below it how often the sum of those beside counts
ALONE_GAIN, ALONE_BACK = (
    np.float32(1.230174104914001),
    np.float32(0.8128930661159609),
)  # as the low-pass filter does constants


@dataclass(frozen=True, eq=False)
class Shape:
    """The valid cells (H, W) of a grid through `levels` levels. codes: a level, of the columns (H, W), of the low-pass rows, of
    the high-pass rows. holes: (H * W,) bool, places of the subbands that are empty.
    """

    valid: Mask
    levels: int
    codes: tuple[tuple[Codes, Codes, Codes], ...]
    holes: Mask

    @classmethod
    def of(cls, valid: Mask, levels: int) -> Shape:
        """Of a mask (H, W)."""
        rest, codes = valid, []
        parts: list[Mask] = []
        for _ in range(levels):
            columns = _codes(rest)
            low, high = _halves(rest, columns)
            low_rows, high_rows = _codes(low.T), _codes(high.T)
            (rest, hl), (lh, hh) = _halves(low.T, low_rows), _halves(high.T, high_rows)
            parts[:0] = [part.T.ravel() for part in (hl, lh, hh)]
            codes.append((columns, low_rows.T, high_rows.T))
            rest = rest.T
        return cls(valid, levels, tuple(codes), ~np.concatenate([rest.ravel(), *parts]))

    @property
    def packed(self) -> Codes:
        """The codes one behind another, as shaped.c takes them."""
        return np.concatenate([np.zeros(0, np.uint8), *(c.ravel() for level in self.codes for c in level)])


def _codes(valid: Mask) -> Codes:
    """Along the first axis."""
    before, after = np.zeros_like(valid), np.zeros_like(valid)
    before[1:], after[:-1] = valid[:-1], valid[1:]
    counts = np.where(before & after, 1, np.where(before | after, 2, ALONE))
    return np.asarray(np.where(valid, counts, 0), np.uint8)


def _halves(valid: Mask, codes: Codes) -> tuple[Mask, Mask]:
    """Which low-pass and high-pass samples along the first axis there are."""
    alone = codes[1::2] == ALONE
    low = valid[0::2].copy()
    low[: len(alone)] |= alone
    return low, valid[1::2] & ~alone


def forward(planes: Plane, shape: Shape) -> Plane:
    """(C, H, W), of which valid pixels count -> (C, H * W) subbands, scaled as in wavelet.py."""
    given = np.where(shape.valid, planes, np.float32(0))
    scales = gains(shape.levels).astype(np.float32)
    if native.available():
        return native.shaped("forward", given, shape.valid.shape, shape.levels, scales, shape.packed)
    return (
        np.stack([_forward(plane, shape, scales) for plane in given]) if len(given) else _nothing(shape).reshape(0, -1)
    )


def split(planes: Plane, levels: int, shape: Shape | None) -> Plane:
    """Subbands of planes: of their valid pixels alone where a shape says which these are, else of all."""
    return of_all(planes, levels) if shape is None else forward(planes, shape)


def inverse(subbands: Plane, shape: Shape) -> Plane:
    """The planes (C, H, W) again, zero where nothing is valid; what stands in holes does not count."""
    given = np.where(shape.holes, np.float32(0), subbands)
    scales = (1 / gains(shape.levels)).astype(np.float32)
    if native.available():
        return native.shaped("inverse", given, shape.valid.shape, shape.levels, scales, shape.packed)
    return np.stack([_inverse(each, shape, scales) for each in given]) if len(given) else _nothing(shape)


def _nothing(shape: Shape) -> Plane:
    return np.zeros((0, *shape.valid.shape), np.float32)


def _beside(x: Plane, first: int) -> Plane:
    """The sum of the samples before and after every second one."""
    around = np.concatenate([np.zeros_like(x[:1]), x, np.zeros_like(x[:1])])
    return np.asarray((around[:-2] + around[2:])[first::2])


def _split(x: Plane, codes: Codes) -> tuple[Plane, Plane]:
    """Along the first axis: low-pass and high-pass half."""
    x, counts = x.copy(), (codes & 3).astype(np.float32)
    for i, step in enumerate(STEPS):
        first = (i + 1) % 2
        x[first::2] += (step * counts[first::2]) * _beside(x, first)
    alone, low, high = codes == ALONE, x[0::2].copy(), x[1::2].copy()
    low[alone[0::2]] *= ALONE_GAIN
    low[: len(high)][alone[1::2]] = high[alone[1::2]] * ALONE_GAIN
    high[alone[1::2]] = 0
    return low, high


def _merge(low: Plane, high: Plane, codes: Codes) -> Plane:
    x, counts, alone = np.empty(codes.shape, np.float32), (codes & 3).astype(np.float32), codes == ALONE
    x[0::2], x[1::2] = low, high
    odd = alone[1::2]
    x[1::2][odd] = low[: len(odd)][odd] * ALONE_BACK
    x[0::2][: len(odd)][odd] = 0
    x[0::2][alone[0::2]] *= ALONE_BACK
    for i in (3, 2, 1, 0):
        first = (i + 1) % 2
        x[first::2] += (-STEPS[i] * counts[first::2]) * _beside(x, first)
    return x


def _forward(plane: Plane, shape: Shape, scales: Plane) -> Plane:
    parts: list[Plane] = []
    for level, (columns, low_rows, high_rows) in enumerate(shape.codes, 1):
        low, high = _split(plane, columns)
        (ll, hl), (lh, hh) = _split(low.T, low_rows.T), _split(high.T, high_rows.T)
        at = 1 + 3 * (shape.levels - level)
        parts[:0] = [(part.T * scale).ravel() for part, scale in zip((hl, lh, hh), scales[at : at + 3])]
        plane = ll.T
    return np.concatenate([(plane * scales[0]).ravel(), *parts])


def _inverse(subbands: Plane, shape: Shape, scales: Plane) -> Plane:
    parts, at = [], 0
    for (_, _, h, w), scale in zip(subband_shapes(shape.valid.shape[0], shape.valid.shape[1], shape.levels), scales):
        parts.append(subbands[at : at + h * w].reshape(h, w) * scale)
        at += h * w
    plane = parts[0]
    for (columns, low_rows, high_rows), hl, lh, hh in zip(shape.codes[::-1], parts[1::3], parts[2::3], parts[3::3]):
        low, high = _merge(plane.T, hl.T, low_rows.T).T, _merge(lh.T, hh.T, high_rows.T).T
        plane = _merge(low, high, columns)
    return np.asarray(plane, np.float32)


@dataclass(frozen=True, eq=False)
class RasterShape:
    """Of the cells of a raster; half: of its half grid, where some bands are on it."""

    fine: Shape
    half: Shape | None

    @classmethod
    def of(cls, raster: Raster, pyramid: Pyramid, valid: Mask) -> RasterShape:
        """valid: (H, W) of the tile's pixels."""
        fine = Shape.of(raster.grid.known(valid), pyramid.levels)
        return cls(fine, Shape.of(raster.half_grid.known(valid), pyramid.levels - 1) if raster.half else None)

    def holes(self, pyramid: Pyramid) -> Mask:
        """(B, N) bool, components of a raster that are empty: a place of which any band has something has all of them, for
        bases mix the bands.
        """
        found = np.repeat(self.fine.holes[None], pyramid.all, axis=0)
        if self.half is not None:
            found[:, : len(self.half.holes)] &= self.half.holes
        return found


def shapes_of(rasters: Sequence[Raster], pyramids: Sequence[Pyramid], valid: Mask) -> tuple[RasterShape, ...]:
    """Of every raster of a tile."""
    return tuple(RasterShape.of(raster, pyramid, valid) for raster, pyramid in zip(rasters, pyramids))


def check_of(valid: Mask) -> int:
    """16 bits by which a decoder sees that its mask (H, W) is the encoder's."""
    return zlib.crc32(np.packbits(valid).tobytes()) & 0xFFFF


def holes_in(
    layout: Layout, pyramids: Sequence[Pyramid], shapes: Sequence[RasterShape] | None
) -> NDArray[np.uint8] | None:
    """(n_values,) 1 where a coefficient is known to be nothing; None where nothing is known."""
    if shapes is None:
        return None
    found: NDArray[np.uint8] = layout.scatter([s.holes(p).astype(np.uint8) for s, p in zip(shapes, pyramids)])
    return found
