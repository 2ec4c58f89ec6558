"""Lossless and near-lossless peers by name: bytes that a tile (C, H, W) takes. Every size is that of a real codestream,
but for CCSDS 123 (see ccsds123.py); band by band unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.tools.bench.peers import ccsds123
from swathpack.tools.bench.peers.still import _imagecodecs

Tile = NDArray[Any]  # (C, H, W) uint8 or uint16


def _bands(tile: Tile, encode: Callable[[Tile], Any]) -> int:
    return sum(len(encode(np.ascontiguousarray(band))) for band in tile)


def jpeg_ls(tile: Tile, max_error: int = 0) -> int:
    """CharLS; its near-lossless mode has the same guarantee."""
    return _bands(tile, lambda band: _imagecodecs().jpegls_encode(band, level=max_error))


def jpeg_xl(tile: Tile, effort: int) -> int:
    """Bytes by libjxl's modular mode, each band in a codestream of its own."""
    options = {"lossless": True, "effort": effort, "numthreads": 1, "usecontainer": False}
    return _bands(tile, lambda band: _imagecodecs().jpegxl_encode(band, **options))


def jpeg_xl_joint(tile: Tile, effort: int) -> int:
    """libjxl modular, all bands in one codestream: grey and extra channels, or as RGB where that is smaller."""
    codec = _imagecodecs()
    options = {"lossless": True, "effort": effort, "numthreads": 1, "usecontainer": False}
    sizes = [len(codec.jpegxl_encode(np.ascontiguousarray(tile), planar=True, photometric="gray", **options))]
    if len(tile) == 3:
        image = np.ascontiguousarray(tile.transpose(1, 2, 0))
        sizes.append(len(codec.jpegxl_encode(image, photometric="rgb", **options)))
    return min(sizes)


def jpeg2000(tile: Tile) -> int:
    """Bytes by OpenJPEG with the 5/3 wavelet, each band in a codestream of its own."""
    options = {"level": 0, "reversible": True, "codecformat": "j2k", "numthreads": 1}
    return _bands(tile, lambda band: _imagecodecs().jpeg2k_encode(band, **options))


def ccsds121(tile: Tile) -> int:
    """libaec with its unit-delay predictor."""
    codec = _imagecodecs()
    bits = 8 * tile.dtype.itemsize
    options = {"bitspersample": bits, "flags": codec.AEC.FLAG.DATA_PREPROCESS, "blocksize": 16, "rsi": 128}
    return _bands(tile, lambda band: codec.aec_encode(band, **options))


LOSSLESS: dict[str, Callable[[Tile], float]] = {
    "JPEG XL e7": lambda tile: jpeg_xl(tile, 7),
    "JPEG XL e7 joint": lambda tile: jpeg_xl_joint(tile, 7),
    "JPEG XL e9": lambda tile: jpeg_xl(tile, 9),
    "JPEG XL e9 joint": lambda tile: jpeg_xl_joint(tile, 9),
    "JPEG-LS": jpeg_ls,
    "JPEG2000": jpeg2000,
    "CCSDS 123 (own)": ccsds123.size,
    "CCSDS 121": ccsds121,
}
NEAR_LOSSLESS: dict[str, Callable[[Tile, int], float]] = {"JPEG-LS": jpeg_ls, "CCSDS 123 (own)": ccsds123.size}
