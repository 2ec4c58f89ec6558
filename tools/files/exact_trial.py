"""Whether a byte budget may hold every value exactly: then nothing is to be gained from rates, and the file is lossless.

Near the bytes of a lossless file the transform coder still leaves errors, and beyond them it spends more. What a lossless file takes is
told by small places, coded exactly; whether it fits is known when it is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.pixels import TILE, TileWindow, tile_windows
from swathpack.edge.codec.plain import PlainError, encode_predictive
from swathpack.edge.frame import Frame
from swathpack.tools.files.sources import FrameSource
from swathpack.tools.files.tile_trial import cropped, spread

PLACES = 4  # of all dates, evenly spread
SIDE = 96  # pixels of a place
SURPLUS = (
    1.1  # times the budget that places may take: of 75 training crops they took 0.947 to 1.085 of what the files did
)
ROUGH = 0.9  # times what steps from pixel to pixel tell: of 117 crops the files took 1.05 and more
LEAST_BPPB = 0.5  # of the budget: below, hardly any image is exact, and no place is coded for nothing


def may_be_exact(sources: Sequence[FrameSource], bppb: float) -> bool:
    """Whether frames may be coded without any error in about so many bits a sample."""
    if bppb < LEAST_BPPB:
        return False
    samples, size = 0, 0
    for place in _places(sources):
        if bppb < ROUGH * rough_bits(place.data):
            return False  # before anything is coded
        with suppress(PlainError):
            size += len(encode_predictive(place.data, place.valid).payload)
            samples += place.data.size
    return samples > 0 and 8 * size <= SURPLUS * bppb * samples


def rough_bits(counts: NDArray[np.uint16]) -> float:
    """Bits a sample (C, H, W) by the lesser of both steps to its neighbours, mean; 0 where there are none."""
    wide = counts.astype(np.int32)
    steps = [np.abs(np.diff(wide, axis=1)[:, :, 1:]), np.abs(np.diff(wide, axis=2)[:, 1:])]
    return float(np.log2(1 + np.minimum(*steps)).mean()) if steps[0].size else 0.0


def _places(sources: Sequence[FrameSource]) -> Iterator[Frame]:
    """Middles of some tiles."""
    found = [
        (source, window)
        for source in sources
        for window in tile_windows(source.height, source.width, TILE)
        if source.live(window)
    ]
    for tile in spread(found, PLACES):
        height, width = min(SIDE, tile.height), min(SIDE, tile.width)
        yield cropped(tile, TileWindow(0, (tile.height - height) // 2, (tile.width - width) // 2, height, width))
