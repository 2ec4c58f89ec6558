"""Which tiles of received images keep a greatest error, in words and beside the pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

import numpy as np

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.protocol import TileKey
from swathpack.tools.files.decode_report import spoken_errors
from swathpack.tools.files.rasters.series import array_to_json
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.decoder import DecodeError
from swathpack.tools.ground.names import split_tile, spoken_tile, spoken_time
from swathpack.tools.ground.store import GroundStore

Promised = Callable[[TileKey], int | None]
NONE_PROMISED = -1
_TOLD = 8  # tiles by name a date
_BEGINNING = 1024  # bytes of a segment that hold all its heads: 16 names of 32 bytes among them


@dataclass(frozen=True)
class Kept:
    """What holds for a tile of an image: the layers that came of it, and the greatest error of every count that is there, None
    where none is promised. problem: why it is nodata, of a tile that is held and cannot be drawn.
    """

    key: TileKey
    layers: int
    max_error: int | None = None
    problem: str = ""


def guarantee_fields(kept: Sequence[Kept], times: Sequence[int]) -> dict[str, Any]:
    """Metadata for an .npz of those times: key max_error (dates, rows, columns of tiles) int32, -1 where nothing is promised; none
    where nothing is of any.
    """
    if all(k.max_error is None for k in kept):
        return {}
    corners = [split_tile(k.key.tile)[1:] for k in kept]
    found = np.full(
        (len(times), 1 + max(r for r, _ in corners), 1 + max(c for _, c in corners)), NONE_PROMISED, np.int32
    )
    for k, (row, column) in zip(kept, corners):
        if k.max_error is not None:
            found[times.index(k.key.time), row, column] = k.max_error
    return {"format": "npz", "extra": {"max_error": array_to_json(found)}}


@dataclass(frozen=True)
class DateLine:
    """What is said of the image of a date, and whether none of its pixels is known to lack."""

    text: str
    whole: bool


def date_lines(kept: Sequence[Kept], side: Callable[[int], int] = lambda time: 0) -> Iterator[DateLine]:
    """A line for each date of which anything is promised or lacks: how many tiles keep which error, of which strips are missing,
    of which everything, and which cannot be drawn. side: of the tiles of a time; where a mission changed it, numbers of tiles are of
    other places.
    """
    spans: dict[int, set[int]] = {}
    for k in kept:
        spans.setdefault(side(k.key.time), set()).add(k.key.tile)
    for time, some in groupby(sorted(kept, key=lambda k: (k.key.time, k.key.tile)), key=lambda k: k.key.time):
        held = list(some)
        tiles = [k for k in held if not k.problem]
        lacking = _missing([k for k in tiles if k.max_error is not None]) + _undrawn([k for k in held if k.problem])
        lacking += _absent(spans[side(time)], {k.key.tile for k in held})
        said = spoken_errors(k.max_error for k in tiles)
        if said or lacking:
            here = f"{len(tiles)} tile{'' if len(tiles) == 1 else 's'}"
            yield DateLine(f"{spoken_time(time)}: {said or here}{lacking}", not lacking)


def promised_in(store: GroundStore, decoder: EdgeSegmentDecoder, key: TileKey) -> int | None:
    """The greatest error that the segments of a predictive tile-frame say they keep, the largest of several; None where none
    of them has its beginning.
    """
    errors = []
    for beginning in store.beginnings(key, _BEGINNING):
        try:
            found = decoder.greatest_error(beginning)
        except DecodeError:
            continue
        errors += [] if found is None else [found]
    return max(errors, default=None)


def _missing(promised: Sequence[Kept]) -> str:
    lacking = [f"{spoken_tile(k.key.tile)} {k.layers} of {LAYERS} strips" for k in promised if k.layers < LAYERS]
    return f"; not whole, the rest is nodata: {_some(lacking, len(lacking))}" if lacking else ""


def _undrawn(held: Sequence[Kept]) -> str:
    """Tiles that are held and cannot be drawn, by what is in the way."""
    named: dict[str, list[str]] = {}
    for k in held:
        named.setdefault(k.problem, []).append(spoken_tile(k.key.tile))
    return "".join(f"; not drawn, {problem}: {_some(tiles, len(tiles))}" for problem, tiles in named.items())


def _some(names: Iterable[str], count: int) -> str:
    """The first of so many names, and how many more there are."""
    more = [f"and {count - _TOLD} more"] if count > _TOLD else []
    return ", ".join([*islice(names, _TOLD), *more])


def _absent(seen: set[int], there: set[int]) -> str:
    """Tiles of a place's images, as far as its tiles of all dates span, of which nothing came of this date."""
    corners = [split_tile(tile) for tile in seen]
    place, rows, columns = (
        corners[0][0],
        1 + max(row for _, row, _ in corners),
        1 + max(column for _, _, column in corners),
    )
    have = {split_tile(tile)[1:] for tile in there}
    lacking = (f"{place}/{r}/{c}" for r in range(rows) for c in range(columns) if (r, c) not in have)
    count = rows * columns - len(have)
    return f"; nothing of {_some(lacking, count)}" if count else ""
