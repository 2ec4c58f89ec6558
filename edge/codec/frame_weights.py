"""What the tiles of a frame together ask of the weights of their bands, so that the same is done on both sides of every edge of tiles.

A tile that weighs its bands otherwise than the one beside it loses other colours, and an edge shows between them. So all take the
median of what each asks for by itself, pixels counted. Clouds are bright in every band: where they lie, it is their spread that the
visible bands have, and what the ground needs is not seen. So they are left out where they are some of a tile and not most of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from swathpack.edge.codec.pixels import TileWindow, tile_windows
from swathpack.edge.codec.transform_coder import asked, thinned
from swathpack.edge.frame import BOA_OFFSET, Frame

# Counts of which all of B02, B03 and B04 are brighter are clouds, where they are so much of a tile. Fitted on training series: what
# cloudy dates ask for beside the clear ones of the place (docs/pictures.md).
VISIBLE = ("B02", "B03", "B04")
CLOUD_DN = 2500.0
LEAST_CLOUDS, MOST_CLOUDS = 0.02, 0.5
_NO_HOLES = np.zeros((0, 0, 0), np.bool_)
MOST_ROWS = 12  # rows of tiles that are looked at


@dataclass(frozen=True)
class Asked:
    """weight: squared, that the visible bands of a tile ask for (`transform_coder.weights.asked`). pixels: that say so."""

    weight: float
    pixels: int


def asked_by(tile: Frame) -> Asked | None:
    """What a tile without holes asks for; None where it has no valid pixels."""
    inside = thinned(tile.data, tile.valid)
    if not inside.shape[1]:
        return None
    if set(VISIBLE) <= set(tile.bands):
        zero = tile.radiometry.zero + BOA_OFFSET * tile.boa_offset / tile.radiometry.gain
        visible = inside[[tile.bands.index(band) for band in VISIBLE]]
        clouds = (visible > zero + CLOUD_DN / tile.radiometry.gain).all(axis=0)
        if LEAST_CLOUDS <= clouds.mean() <= MOST_CLOUDS:
            inside = inside[:, ~clouds]
    return Asked(asked(tile.bands, inside), inside.shape[1])


def asked_by_all(tiles: Iterable[Asked | None]) -> float | None:
    """The median of what tiles ask for, each counted by its pixels: where half of them lie on both sides, what is in the middle, by
    factors. None where no tile asks.
    """
    found = sorted((tile.weight, tile.pixels) for tile in tiles if tile is not None)
    if not found:
        return None
    weights, pixels = zip(*found)
    below = 2 * np.cumsum(pixels)
    middle = int(np.searchsorted(below, below[-1] // 2))
    if 2 * below[middle] == below[-1]:
        return float(np.sqrt(weights[middle]) * np.sqrt(weights[middle + 1]))
    return float(weights[middle])


def looked_at(windows: Sequence[TileWindow]) -> list[TileWindow]:
    """Those of evenly spread rows of tiles, MOST_ROWS at most: a frame may be a whole scene."""
    tops = sorted({window.top for window in windows})
    count = min(len(tops), MOST_ROWS)
    chosen = {tops[(2 * number + 1) * len(tops) // (2 * count)] for number in range(count)}
    return [window for window in windows if window.top in chosen]


def asked_by_frame(frame: Frame, tile: int) -> float | None:
    """Of a frame in memory, in tiles of so many pixels a side."""
    windows = list(tile_windows(frame.height, frame.width, tile))
    return asked_by_all(asked_by(_tile_of(frame, window)) for window in looked_at(windows))


def _tile_of(frame: Frame, window: TileWindow) -> Frame:
    return replace(frame, data=window.of(frame.data), valid=window.of(frame.valid), holes=_NO_HOLES)
