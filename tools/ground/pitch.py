"""How far apart the tiles of received frames lie: the mission's coding.tile, which no packet says.

A tile that is not the last of its row or column is a whole one, so its side is the mission's. Where a date holds none, the
other dates of its place tell, then the other places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from swathpack.edge.codec.latents import STRIDE
from swathpack.edge.codec.pixels import TILE
from swathpack.edge.stream.header import TILE_STEP
from swathpack.tools.errors import UserError
from swathpack.tools.ground.names import split_tile, spoken_time
from swathpack.tools.ground.store import TileFrame

Acquisition = tuple[int, int]  # place, time


@dataclass(frozen=True)
class Pitches:
    """Sides of tiles in pixels, by place and time; `guessed` are those of which nothing that came tells: they have the default."""

    sides: dict[Acquisition, int]
    guessed: frozenset[int]

    def of(self, held: TileFrame) -> int:
        """The side of the tiles of a tile-frame's date."""
        return self.sides[acquisition(held)]


def pitches(held: Iterable[TileFrame], given: int | None = None) -> Pitches:
    """Of tile-frames by place that all have a latent. given: what the mission says, for all of them; UserError where one is larger, or
    where one that has another beside it is smaller.
    """
    by_date: dict[Acquisition, list[TileFrame]] = {}
    for tile in held:
        by_date.setdefault(acquisition(tile), []).append(tile)
    if given is not None:
        _check_given(given, by_date)
        return Pitches(dict.fromkeys(by_date, given), frozenset())
    told = {date: side for date, tiles in by_date.items() if (side := _told(tiles)) is not None}
    usual = {place: _usual(told[d] for d in dates) for place, dates in groupby(sorted(told), key=lambda d: d[0])}
    anywhere, sides, guessed = _usual(told.values()), dict[Acquisition, int](), set[int]()
    for date, tiles in by_date.items():
        found = told.get(date) or usual.get(date[0]) or anywhere
        least = max(_whole(side) for tile in tiles for side in tile.size)
        sides[date] = max(found or TILE, least)
        if not found and any(any(split_tile(tile.key.tile)[1:]) for tile in tiles):
            guessed.add(date[0])
    return Pitches(sides, frozenset(guessed))


def _check_given(given: int, by_date: dict[Acquisition, list[TileFrame]]) -> None:
    for (place, time), tiles in by_date.items():
        least = max(_whole(side) for tile in tiles for side in tile.size)
        if least > given:
            raise UserError(
                f"--tile {given}: place {place} has tiles of {least} pixels at {spoken_time(time)}; expected {least} or more, or no --tile"
            )
        whole = max((_whole(side) for side in _beside(tiles)), default=given)
        if whole < given:
            raise UserError(
                f"--tile {given}: place {place} has tiles of {whole} pixels with others beside them at {spoken_time(time)}; "
                f"expected {whole}, or no --tile"
            )


def acquisition(held: TileFrame) -> Acquisition:
    """Place and time of a tile-frame."""
    return split_tile(held.key.tile)[0], held.key.time


def _told(tiles: list[TileFrame]) -> int | None:
    """The side that the tiles of a date tell of; None where each is the last of its row and its column."""
    return max((_whole(side) for side in _inner(tiles)), default=None)


def _inner(tiles: list[TileFrame]) -> Iterator[int]:
    """Sides, in blocks, of tiles towards another one."""
    corners = [split_tile(tile.key.tile)[1:] for tile in tiles]
    last = [max(axis) for axis in zip(*corners)]
    for tile, corner in zip(tiles, corners):
        yield from (side for side, at, end in zip(tile.size, corner, last) if at < end)


def _beside(tiles: list[TileFrame]) -> Iterator[int]:
    """Sides, in blocks, of tiles towards one that lies next to them: one far off may be nobody's, and shows no side to be whole."""
    corners = {split_tile(tile.key.tile)[1:] for tile in tiles}
    for tile in tiles:
        _, row, column = split_tile(tile.key.tile)
        yield from (side for side, at in zip(tile.size, ((row + 1, column), (row, column + 1))) if at in corners)


def _whole(blocks: int) -> int:
    """The least side that a mission may set and that holds so many blocks."""
    return -(-blocks * STRIDE // TILE_STEP) * TILE_STEP


def _usual(sides: Iterable[int]) -> int | None:
    """What most say, the larger of equals."""
    return max(Counter(sides).items(), key=lambda item: (item[1], item[0]), default=(None, 0))[0]
