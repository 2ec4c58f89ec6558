"""How far apart the tiles of received frames lie, told by what came of them."""

import numpy as np
import pytest

from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.stages.intake import tile_id
from swathpack.tools.errors import UserError
from swathpack.tools.ground.pitch import pitches
from swathpack.tools.ground.store import TileFrame

FRAMES = ((100, 100), (130, 300), (257, 64), (600, 500), (64, 1000))


def tiles(place: int, time: int, side: int, size: tuple[int, int]) -> list[TileFrame]:
    """All tile-frames of a frame of so many pixels."""
    return [
        TileFrame(
            TileKey(tile_id(place, top // side, left // side), time),
            16,
            28,
            (-(-min(side, size[0] - top) // 16), -(-min(side, size[1] - left) // 16)),
            1,
            100,
        )
        for top in range(0, size[0], side)
        for left in range(0, size[1], side)
    ]


@pytest.mark.parametrize("side", [64, 128, 192, 256, 320, 512])
def test_whole_frames_tell_their_tiles(side: int) -> None:
    for size in FRAMES:
        held = tiles(3, 1000, side, size)
        found = pitches(held)
        if len(held) > 1:
            assert {found.of(f) for f in held} == {side} and not found.guessed, (side, size)
        assert found.of(held[0]) >= min(side, *size) and not found.guessed, "a lone first tile lies at 0, 0 anyway"


def test_any_two_tiles_of_one_row_or_column_tell_it() -> None:
    rng = np.random.default_rng(4)
    for side in (64, 128, 192, 256, 448):
        held = tiles(3, 1000, side, (700, 700))
        for _ in range(50):
            some = [held[i] for i in sorted(rng.choice(len(held), 2, replace=False))]
            assert {pitches(some).of(f) for f in some} == {side}


def test_a_corner_alone_takes_it_from_other_dates_then_other_places() -> None:
    corner = [tiles(3, 2000, 128, (300, 300))[-1]]
    assert pitches(corner).of(corner[0]) == 256 and pitches(corner).guessed == {3}
    for others in (tiles(3, 1000, 128, (300, 300)), tiles(7, 1000, 128, (300, 300))):
        found = pitches([*others, *corner])
        assert found.of(corner[0]) == 128 and not found.guessed
    assert pitches(corner, given=64).of(corner[0]) == 64
    with pytest.raises(
        UserError, match="--tile 64: place 3 has tiles of 128 pixels at 1970-01-01T00:33:20Z; expected 128 or more"
    ):
        pitches(tiles(3, 2000, 128, (300, 300)), given=64)
    with pytest.raises(
        UserError,
        match="--tile 256: place 3 has tiles of 128 pixels with others beside them at 1970-01-01T00:33:20Z; expected 128,",
    ):
        pitches(tiles(3, 2000, 128, (300, 300)), given=256)
    large = [tiles(3, 2000, 512, (1000, 900))[-1]]
    assert pitches(large).of(large[0]) == 512 and pitches(large).guessed == {3}, "they cannot lie closer"


def test_a_mission_that_changed_its_tiles_has_both() -> None:
    held = [*tiles(3, 1000, 64, (300, 300)), *tiles(3, 2000, 128, (300, 300))]
    found = pitches(held)
    assert {f.key.time: found.of(f) for f in held} == {1000: 64, 2000: 128}


def test_a_tile_that_lies_far_off_changes_nothing() -> None:
    held = tiles(3, 1000, 64, (300, 300))
    far = TileFrame(TileKey(tile_id(3, 200, 200), 1000), 1, 28, (4, 4), 1, 10)
    assert pitches([*held, far]).of(held[0]) == 64
    small = tiles(3, 1000, 256, (64, 64))
    assert pitches([*small, far], given=256).of(small[0]) == 256, "one tile, and one that may be nobody's"
