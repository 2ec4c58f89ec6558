"""The detector on made scenes: clouds and their shadows are found, snow, water and bright soil are not."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.frame import Frame
from swathpack.hil_tests.simulation.made_frames import series
from swathpack.tools.errors import UserError
from swathpack.tools.inpaint.detect import detect, dilated, opened

BANDS = ("B02", "B03", "B04", "B08", "B11")
LAND, CLOUD, SNOW, SOIL, WATER = (
    (500, 700, 600, 2500, 1800),
    (5000, 4800, 4700, 5200, 3500),
    (7000, 7000, 6800, 6500, 600),
    (900, 1300, 1800, 2400, 2900),
    (400, 500, 300, 150, 100),
)


def _scene(dates: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    scene = np.tile(np.array(LAND, float)[None, :, None, None], (dates, 1, 80, 80))
    return scene + rng.normal(0, 20, scene.shape)


def _frames(scene: np.ndarray) -> list[Frame]:
    return [Frame(np.rint(x).astype(np.uint16), BANDS) for x in scene]


def _put(scene: np.ndarray, date: int, rows: slice, columns: slice, values: tuple[int, ...]) -> None:
    scene[date, :, rows, columns] = np.array(values)[:, None, None]


def test_one_date_finds_clouds_not_snow_or_soil() -> None:
    scene = _scene(1)
    for i, values in enumerate((CLOUD, SNOW, SOIL, WATER)):
        _put(scene, 0, slice(10, 30), slice(5 + 18 * i, 18 + 18 * i), values)
    found = detect(_frames(scene))[0]
    expected = np.zeros((80, 80), bool)
    expected[10:30, 5:18] = True
    np.testing.assert_array_equal(found, expected)


def test_series_finds_haze_and_shadow() -> None:
    scene = _scene(4)
    _put(scene, 2, slice(10, 30), slice(10, 30), CLOUD)
    scene[2, :, 50:60, 10:40] += 500  # thin cloud: not bright, but brighter than on the other dates
    scene[2, :, 32:45, 20:40] *= 0.4
    found = detect(_frames(scene))
    assert found[2, 10:30, 10:30].all() and found[2, 50:60, 10:40].all() and found[2, 32:45, 20:40].all()
    assert not found[[0, 1, 3]].any() and found[2].sum() == 400 + 300 + 260


def test_dark_far_from_any_cloud_is_no_shadow() -> None:
    scene = _scene(4)
    scene[2, :, 32:45, 20:40] *= 0.4
    assert not detect(_frames(scene)).any()


def test_offset_is_taken_off() -> None:
    scene = _scene(1)
    frames = [Frame(np.rint(x).astype(np.uint16) + np.uint16(1000), BANDS, boa_offset=True) for x in scene]
    assert not detect(frames).any()


def test_bands_that_are_missing_are_named() -> None:
    with pytest.raises(UserError, match="B03"):
        detect(series(8, 8, bands=("B04", "B08")))


def test_dilation_and_opening_against_the_definition() -> None:
    mask = np.random.default_rng(0).random((3, 17, 23)) < 0.1
    padded = np.pad(mask, ((0, 0), (2, 2), (2, 2)))
    slow = np.any([padded[:, y : y + 17, x : x + 23] for y in range(5) for x in range(5)], axis=0)
    np.testing.assert_array_equal(dilated(mask, 2), slow)
    np.testing.assert_array_equal(dilated(mask, 0), mask)
    square = np.zeros((20, 20), bool)
    square[5:12, 5:12], square[15, 3], square[2:4, 15] = True, True, True
    kept = opened(square, 2)
    assert kept[5:12, 5:12].all() and kept.sum() == 49
