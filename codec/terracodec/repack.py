"""Windows, tokens and latent repacking of the temporal models.

A latent (B, C, h, w) is cut into windows of 4x4 positions, 16 tokens each, for coding, and into windows of
8x8 at the same spots (stride 4, reflected at the border), 64 tokens each, as context (VCT, arXiv 2206.07307,
section 3.2). FlexTEC then repacks: token j of a window holds channel slice j of all its
positions.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as fn


def repack(tokens: Tensor) -> Tensor:
    """Swap tokens and channel slices: (n, T, C) -> (n, T, C), C divisible by T. Its own inverse."""
    n, count, channels = tokens.shape
    return tokens.reshape(n, count, count, channels // count).transpose(1, 2).reshape(n, count, channels)


def cut_windows(latent: Tensor, size: int) -> Tensor:
    """(B, C, h, w) -> (B * h/size * w/size, size^2, C): windows in raster order, tokens in raster order."""
    b, c, h, w = latent.shape
    grid = latent.reshape(b, c, h // size, size, w // size, size)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(-1, size * size, c)


def join_windows(tokens: Tensor, grid: tuple[int, int], size: int) -> Tensor:
    """The inverse of `cut_windows` for a grid of (rows, columns) windows: -> (B, C, h, w)."""
    rows, columns = grid
    c = tokens.shape[-1]
    blocks = tokens.reshape(-1, rows, columns, size, size, c)
    return blocks.permute(0, 5, 1, 3, 2, 4).reshape(-1, c, rows * size, columns * size)


def cut_context(latent: Tensor, size: int) -> Tensor:
    """(B, C, h, w) -> (n, 4 size^2, C): windows of twice the size around each coding window."""
    half = size // 2
    padded = fn.pad(latent, (half, half, half, half), mode="reflect")
    views = padded.unfold(2, 2 * size, size).unfold(3, 2 * size, size)  # (B, C, rows, columns, 2s, 2s)
    b, c = latent.shape[:2]
    return views.permute(0, 2, 3, 4, 5, 1).reshape(-1, 4 * size * size, c)
