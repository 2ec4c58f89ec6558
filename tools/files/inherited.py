"""What later dates inherit of a tile's error, and so how much more than its own its error is worth.

What is predicted from an earlier date keeps that date's error wherever nothing is coded on top of it. A date that others follow is
therefore worth more bytes than one of its own error alone would get: hierarchical quality, as video coders give their key
pictures (Wiegand, Schwarz, Joch, Kossentini and Sullivan, "Rate-constrained coder control", IEEE Trans. CSVT 13(7), 2003). How
much more is seen, not assumed: a later date is coded against the tile as it is at several lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.modes import Weighing
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.codec.plain import CodedPlain, against
from swathpack.edge.frame import Frame
from swathpack.tools.errors import UserError
from swathpack.tools.files.coding_jobs import filled_tile, image, transform
from swathpack.tools.files.sources import FrameSource

WORTHS = (1.0, 2.0, 4.0)  # a factor of 2 is four levels
TRIED = 3  # later dates that are looked at
PERSISTS = 0.3  # of what they gain, what each further one does, about
MOST_LATER = 12  # dates that count
MOST_BPPB = 1.0  # bits a sample of the tile, beyond which nothing is gained, and curves are coarse


@dataclass(frozen=True)
class Asked:
    """slope: error that a byte must save (counts^2). aim_bytes: of a tile, about. count: how many later dates there are."""

    slope: float
    aim_bytes: int
    weighing: Weighing
    count: int


def asked_of(
    tile: Frame,
    coded: CodedPlain,
    followers: Sequence[FrameSource],
    window: TileWindow,
    slope: float,
    aim_bytes: int,
    weighing: Weighing,
) -> tuple[Frame, CodedPlain, list[Frame], Asked]:
    """Arguments of `worth` behind the model. Of a tile beyond MOST_BPPB no later one is read. What cannot be read is told when
    its own turn comes.
    """
    within = 8 * _length(coded, slope) <= MOST_BPPB * tile.data.size
    later = [source for source in followers if within and source.live(window)]
    tiles = list[Frame]()
    for source in later[:TRIED]:
        with suppress(UserError):
            tiles.append(source.tile(window))
    return tile, coded, tiles, Asked(slope, aim_bytes, weighing, len(later))


def worth(model: EdgeModel, tile: Frame, coded: CodedPlain, later: Sequence[Frame], asked: Asked) -> float:
    """One of WORTHS for a tile that stands alone: the one with which it and the later dates cost least, bytes and error by the
    slope. later: the same place on later dates, nearest first.
    """
    if not later:
        return 1.0
    alone = [transform(model, f, None, asked.aim_bytes, asked.weighing, asked.slope) for f in later]
    further = PERSISTS * (min(asked.count, MOST_LATER) - len(later))
    found = list[float]()
    for factor in WORTHS:
        behind = _costs_behind(model, tile, coded, list(zip(later, alone)), asked, factor)
        found.append(_cost(coded, asked.slope, factor) + sum(behind) + further * behind[-1])
        if found[-1] > found[0]:
            break
    return WORTHS[int(np.argmin(found))]


def _costs_behind(
    model: EdgeModel,
    tile: Frame,
    coded: CodedPlain,
    later: Sequence[tuple[Frame, CodedPlain]],
    asked: Asked,
    factor: float,
) -> list[float]:
    """What later dates, each against the better of those before it, cost where the tile is as it is with that worth."""
    shape, costs = (len(tile.bands), tile.height, tile.width), list[float]()
    dates = [image(model, coded.payload[: _length(coded, asked.slope / factor)], shape, tile.bands, None)]
    for follower, alone in later:
        full = filled_tile(follower)
        found = against(alone, full.data, full.valid, full.bands, asked.aim_bytes, dates)
        costs.append(_cost(found, asked.slope, 1.0))
        if len(costs) < len(later):
            date = None if found.reference is None else dates[found.reference]
            drawn = image(model, found.payload[: _length(found, asked.slope)], shape, tile.bands, date)
            dates = [drawn, *dates]
    return costs


def _length(coded: CodedPlain, slope: float) -> int:
    return max(coded.curve.bytes_at(slope), coded.least)


def _cost(coded: CodedPlain, slope: float, factor: float) -> float:
    """Bytes, and error in bytes, where it is cut with that worth."""
    length = _length(coded, slope / factor)
    sizes, errors = coded.fine or (coded.payload_sizes, coded.distortion)
    return length + float(np.interp(length, np.maximum.accumulate(sizes), errors)) / slope
