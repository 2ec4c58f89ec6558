"""Room filled to the byte by tiles that may be cut anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from swathpack.edge.codec.rate import Curve, cut_at_level, filled, slope_at

AROUND = 5  # bytes of a segment around its payload


@dataclass(frozen=True, eq=False)
class Made:
    """A `Cuttable` whose error falls by half every `half` bytes."""

    half: float
    most: int = 4000
    gain: float = 1.0
    least: int = 3

    @property
    def curve(self) -> Curve:
        sizes = np.arange(0, self.most + 1, 20)
        return Curve.of(sizes, 1e7 * 2.0 ** (-sizes / self.half))

    def size_at(self, payload_bytes: int) -> int:
        return min(payload_bytes, self.most) + AROUND

    def payload_in(self, size: int) -> int:
        return min(size - AROUND, self.most)


TILES = [Made(100), Made(300), Made(300, gain=10.0)]


def bytes_of(tiles: list[Made], cuts: list[int | None]) -> int:
    return sum(tile.size_at(cut) for tile, cut in zip(tiles, cuts) if cut is not None)


@pytest.mark.parametrize("room", [24, 25, 300, 1111, 4000, 8015])
def test_no_byte_is_left_and_none_too_many(room: int) -> None:
    cuts = filled(TILES, room)
    assert bytes_of(TILES, cuts) == room and None not in cuts


def test_room_for_all_is_not_exceeded_by_any_tile() -> None:
    assert filled(TILES, 99_999) == [4000, 4000, 4000]


def test_slopes_are_equal_and_counts_of_more_dn_weigh_more() -> None:
    cuts = filled(TILES, 3000)
    slopes = [tile.curve.slope_behind(cut or 0) * tile.gain**2 for tile, cut in zip(TILES, cuts)]
    assert max(slopes) < 1.2 * min(slopes) and (cuts[0] or 0) < (cuts[1] or 0) < (cuts[2] or 0)


@pytest.mark.parametrize("room, left", [(23, 2), (15, 1), (8, 1), (7, 0), (0, 0)])
def test_where_the_least_does_not_fit_the_last_tiles_go_without(room: int, left: int) -> None:
    cuts = filled(TILES, room)
    assert [cut is not None for cut in cuts] == [True] * left + [False] * (3 - left) and bytes_of(TILES, cuts) <= room


def test_a_level_asks_for_what_its_slope_is_worth() -> None:
    tile = Made(100)
    assert cut_at_level(tile, 10) == tile.curve.bytes_at(slope_at(10)) and cut_at_level(tile, 500) == tile.least


def test_no_tiles_take_nothing() -> None:
    assert filled([], 10) == []
