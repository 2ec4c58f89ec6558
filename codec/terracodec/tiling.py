"""Frames of any size: padding to whole windows, and transforms in overlapping tiles.

Tiles overlap in what a transform reads, not in what it writes, so the overlap costs time but no bits and
leaves no seams: a tile's latents are those of the whole frame up to what lies beyond the halo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as fn

TRANSFORM_STRIDE = 16
TILE_LATENTS = 32  # 512 pixels
HALO_LATENTS = 4  # 64 pixels: beyond it an input changes an output by very little


def padded_size(height: int, width: int, align: int) -> tuple[int, int]:
    """The next multiples of `align`."""
    return -(-height // align) * align, -(-width // align) * align


def pad_frames(x: Tensor, align: int) -> Tensor:
    """(B, C, H, W) -> the same with the last row and column repeated up to multiples of `align`."""
    height, width = padded_size(x.shape[2], x.shape[3], align)
    return fn.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]), mode="replicate")


def _spans(length: int, tile: int, halo: int) -> Iterator[tuple[int, int, int, int]]:
    """(first, last) of what a tile writes and (first, last) of what it reads, in latent positions."""
    for first in range(0, length, tile):
        last = min(first + tile, length)
        yield first, last, max(0, first - halo), min(length, last + halo)


def _tiles(h: int, w: int, tile: int, halo: int) -> Iterator[tuple[tuple[int, int, int, int], ...]]:
    for rows in _spans(h, tile, halo):
        for columns in _spans(w, tile, halo):
            yield rows, columns


def tiled_analysis(
    transform: Callable[[Tensor], Tensor], x: Tensor, tile: int = TILE_LATENTS, halo: int = HALO_LATENTS
) -> Tensor:
    """(B, C, H, W) -> (B, M, H/16, W/16), tile by tile."""
    s, out = TRANSFORM_STRIDE, None
    h, w = x.shape[2] // s, x.shape[3] // s
    for (r0, r1, a0, a1), (c0, c1, b0, b1) in _tiles(h, w, tile, halo):
        part = transform(x[:, :, a0 * s : a1 * s, b0 * s : b1 * s])
        if out is None:
            out = x.new_empty(x.shape[0], part.shape[1], h, w)
        out[:, :, r0:r1, c0:c1] = part[:, :, r0 - a0 : r1 - a0, c0 - b0 : c1 - b0]
    assert out is not None  # a frame has at least one tile
    return out


def tiled_synthesis(
    transform: Callable[..., Tensor],
    latents: list[Tensor],
    tile: int = TILE_LATENTS,
    halo: int = HALO_LATENTS,
) -> Tensor:
    """Latents, each (B, C, h, w), given to `transform` together -> (B, bands, 16h, 16w), tile by tile."""
    s, out = TRANSFORM_STRIDE, None
    b, _, h, w = latents[0].shape
    for (r0, r1, a0, a1), (c0, c1, b0, b1) in _tiles(h, w, tile, halo):
        part = transform(*(y[:, :, a0:a1, b0:b1] for y in latents))
        if out is None:
            out = torch.empty(b, part.shape[1], h * s, w * s)
        inner = part[:, :, (r0 - a0) * s : (r1 - a0) * s, (c0 - b0) * s : (c1 - b0) * s]
        out[:, :, r0 * s : r1 * s, c0 * s : c1 * s] = inner
    assert out is not None
    return out
