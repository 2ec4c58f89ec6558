"""What a frame asks of weights: the median of its tiles by their pixels, without clouds, of any counts."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.frame_weights import MOST_ROWS, Asked, asked_by, asked_by_all, asked_by_frame, looked_at
from swathpack.edge.codec.modes import Weighing
from swathpack.edge.codec.pixels import tile_windows
from swathpack.edge.codec.transform_coder import Weights, asked, thinned
from swathpack.edge.codec.transform_coder.weights import ALL
from swathpack.edge.frame import Frame
from swathpack.edge.radiometry import Radiometry

LOW = Weighing("auto", 0.1)
EVERY = np.ones((64, 64), np.bool_)


def ground(visible: float = 190, seed: int = 4) -> NDArray[np.uint16]:
    """(12, 64, 64): visible bands about 800 that spread by so much, others about 3,000 that spread by 400."""
    noise = np.random.default_rng(seed).normal(size=(12, 64, 64))
    seen = np.array([name in ("B02", "B03", "B04") for name in BANDS])[:, None, None]
    return np.where(seen, 800 + visible * noise, 3000 + 400 * noise).clip(1, 9000).astype(np.uint16)


def clouded(rows: int, counts: int = 6000) -> NDArray[np.uint16]:
    """The same with a cloud over its first rows."""
    found = ground()
    found[:, :rows] = counts
    found[BANDS.index("B08"), :rows] = counts * 4 // 3  # so that no water mask hangs on it
    return found


def weight_of(data: NDArray[np.uint16], **more: object) -> float:
    found = asked_by(Frame(data, **more))  # type: ignore[arg-type]
    assert found is not None
    return found.weight


def test_without_clouds_it_is_what_all_pixels_ask_for() -> None:
    for visible in (400, 190, 140):
        found = asked_by(Frame(ground(visible)))
        assert found == Asked(asked(BANDS, thinned(ground(visible), EVERY)), 32 * 32)


@pytest.mark.parametrize(("rows", "left_out"), [(0, False), (4, True), (30, True), (34, False), (64, False)])
def test_clouds_are_left_out_where_they_are_some_of_a_tile(rows: int, left_out: bool) -> None:
    data = clouded(rows)
    below = asked(BANDS, thinned(data[:, rows:], EVERY[rows:])) if rows < 64 else None
    assert (weight_of(data) == below) == (left_out or not rows)
    if left_out:
        assert weight_of(data) > 2 * asked(BANDS, thinned(data, EVERY))


def test_a_few_bright_roofs_are_no_clouds() -> None:
    data = ground()
    data[:, 0, :32] = 6000  # 1.6 % of the pixels that are looked at
    assert weight_of(data) == asked(BANDS, thinned(data, EVERY))


def test_what_a_cloud_is_follows_the_counts() -> None:
    clear = weight_of(ground())
    offset = (clouded(16, 3400) + 1000).astype(np.uint16)
    assert weight_of(offset, boa_offset=True) > 0.8 * clear > 2 * weight_of((ground() + 3000).astype(np.uint16)) * 0.3
    tenth = Radiometry(gain=10.0, zero=0.0)
    assert weight_of(clouded(16) // 10, radiometry=tenth) > 0.8 * clear
    assert weight_of(clouded(16) // 10) < 0.5 * clear, "not so bright in DN"
    names = tuple({"B02": "blue", "B03": "green", "B04": "red"}.get(name, name.lower() + "x") for name in BANDS)
    other = Frame(clouded(16), names, radiometry=Radiometry("uint8", 1.0))
    found = asked_by(other)
    assert found is not None and found.weight < 0.5 * clear, "of bands that are not Sentinel-2's nobody knows"


def test_flat_bands_ask_for_all_or_nothing_and_no_number_is_lost() -> None:
    flat, dark = np.full((12, 64, 64), 700, np.uint16), ground()
    dark[1:4] = 700
    tiles = [asked_by(Frame(data)) for data in (flat, dark)]
    assert [tile is not None and tile.weight for tile in tiles] == [0.0, ALL] and asked_by_all(tiles) == 0.0
    levels = [LOW.of(BANDS, data, EVERY).level for data in (flat, dark)]
    assert levels == [2, 4] and Weighing("auto", 0.1, ALL).of(BANDS, flat, EVERY).level == 4


def test_only_valid_pixels_ask() -> None:
    data, valid = clouded(16), EVERY.copy()
    valid[:16] = False
    assert asked_by(Frame(data, valid=valid)) == Asked(asked(BANDS, thinned(data, valid)), 24 * 32)
    assert asked_by(Frame(data, valid=~EVERY)) is None


@pytest.mark.parametrize(
    ("tiles", "expected"),
    [
        ([(3.0, 100)], 3.0),
        ([(1.0, 100), (9.0, 100), (4.0, 100)], 4.0),
        ([(4.0, 100), (16.0, 100)], 8.0),
        ([(1.0, 100), (4.0, 100), (16.0, 100), (99.0, 100)], 8.0),
        ([(1.0, 10), (16.0, 100)], 16.0),
        ([(0.0, 100), (ALL, 101)], ALL),
    ],
)
def test_a_frame_asks_for_the_median_of_its_tiles_by_their_pixels(
    tiles: list[tuple[float, int]], expected: float
) -> None:
    found = asked_by_all([None, *(Asked(*tile) for tile in tiles[::-1])])
    assert found == pytest.approx(expected) and asked_by_all([None]) is None


def test_tiles_of_a_frame_weigh_their_bands_alike_whatever_clouds_lie_in_one() -> None:
    frame = Frame(
        np.concatenate(
            [np.concatenate([clouded(20), ground(200, 1)], 2), np.concatenate([ground(195, 2), ground(190, 3)], 2)], 1
        )
    )
    windows = list(tile_windows(128, 128, 64))
    alone = [LOW.of(BANDS, w.of(frame.data), w.of(frame.valid)).level for w in windows]
    assert alone == [2, 3, 3, 3]
    together = Weighing("auto", 0.1, asked_by_frame(frame, 64))
    assert {together.of(BANDS, w.of(frame.data), w.of(frame.valid)) for w in windows} == {Weights.visible(BANDS, 3)}
    assert together.alone == LOW


def test_infrared_is_weighed_tile_by_tile_for_water_lies_where_it_lies() -> None:
    shore = ground(260)
    shore[BANDS.index("B08"), :, :4] = 100
    weighing = Weighing("auto", 0.1, 9.0)
    levels = [weighing.of(BANDS, data, EVERY).levels[BANDS.index("B08")] for data in (shore, ground())]
    assert levels == [1, 0]


def test_of_a_whole_scene_evenly_spread_rows_of_tiles_are_looked_at() -> None:
    few, many = list(tile_windows(300, 200, 64)), list(tile_windows(64 * 50, 128, 64))
    assert looked_at(few) == few and looked_at([]) == []
    rows = sorted({w.top // 64 for w in looked_at(many)})
    assert len(rows) == MOST_ROWS and len(looked_at(many)) == 2 * MOST_ROWS
    assert rows[0] < 4 and rows[-1] > 45 and max(np.diff(rows)) - min(np.diff(rows)) <= 1
