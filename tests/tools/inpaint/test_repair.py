"""The repair of a date: what is kept, what is never read, what it falls back on, and that it beats copying."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.pixels import TileWindow
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.inpaint import baselines
from swathpack.tools.inpaint.clouds import cloud_mask
from swathpack.tools.inpaint.cube import Cube
from swathpack.tools.inpaint.repair import METHODS, Repairer, candidates, taper, windows
from tests.codec_models import shipped

SIDE = 64


def _cube(dates: int = 4, height: int = SIDE, width: int = SIDE, bands: tuple[str, ...] = BANDS) -> Cube:
    data = values(height, width, dates, seed=3)[:, [BANDS.index(b) for b in bands]].astype(np.float32)
    clear = np.ones((dates, height, width), bool)
    return Cube(data, clear, bands, 5.0 * np.arange(dates), "L2A")


def _hole(height: int = SIDE, width: int = SIDE, cover: float = 0.3) -> np.ndarray:
    return cloud_mask(height, width, cover, np.random.default_rng(1))


def _hidden(cube: Cube, date: int, hole: np.ndarray, value: float = 7000) -> Cube:
    frames, clear = cube.frames.copy(), cube.clear.copy()
    frames[date][:, hole] = value
    clear[date] &= ~hole
    return replace(cube, frames=frames, clear=clear)


@pytest.mark.parametrize("method", METHODS)
def test_clear_pixels_are_kept_and_the_cloud_is_never_read(method: str) -> None:
    cube, hole = _cube(), _hole()
    a, b = (Repairer(_hidden(cube, 2, hole, v), shipped(), method).repair(2, hole) for v in (7000, 300))
    np.testing.assert_array_equal(a.image[:, ~hole], cube.frames[2][:, ~hole])
    np.testing.assert_array_equal(a.image, b.image)
    assert not a.unfilled.any() and np.isfinite(a.image).all()


def test_later_dates_are_read_only_when_asked() -> None:
    cube, hole = _cube(), _hole()
    hidden = _hidden(cube, 2, hole)
    changed = replace(hidden, frames=hidden.frames.copy())
    changed.frames[3] = changed.frames[3] * 0.3 + 4000 * np.random.default_rng(0).random(changed.frames[3].shape)
    for later, same in ((False, True), (True, False)):
        a, b = (Repairer(c, None, "regression", later).repair(2, hole).image for c in (hidden, changed))
        assert np.array_equal(a, b) == same


def test_calibrated_beats_copying_and_a_line() -> None:
    cube, hole = _cube(), _hole()
    hidden = _hidden(cube, 3, hole)

    def error(image: np.ndarray) -> float:
        return float(np.sqrt(((image - cube.frames[3])[:, hole] ** 2).mean()))

    ours = error(Repairer(hidden, shipped()).repair(3, hole).image)
    assert ours < 0.9 * error(baselines.regressed(hidden.frames, hidden.clear, 3))
    assert ours < 0.8 * error(baselines.last_clear(hidden.frames, hidden.clear, 3))


def test_zero_shot_depends_on_the_earlier_dates() -> None:
    cube, hole = _cube(), _hole()
    hidden = _hidden(cube, 2, hole)
    image = Repairer(hidden, shipped(), "zero-shot").repair(2, hole).image
    alone = Repairer(_hidden(_cube(1), 0, hole), shipped(), "zero-shot").repair(0, hole)
    error = np.sqrt(((image - cube.frames[2])[:, hole] ** 2).mean())
    assert error < np.sqrt(((alone.image - _cube(1).frames[0])[:, hole] ** 2).mean())
    assert "surroundings" in alone.notes[0]


def test_no_earlier_clear_date_falls_back_on_later_ones_and_says_so() -> None:
    cube, hole = _cube(), _hole()
    hidden = _hidden(cube, 0, hole)
    repair = Repairer(hidden, None, "regression").repair(0, hole)
    assert any("later" in n for n in repair.notes)
    assert np.sqrt(((repair.image - cube.frames[0])[:, hole] ** 2).mean()) < 400


def test_a_cloud_that_hides_everything_takes_the_nearest_date() -> None:
    cube, hole = _cube(), np.ones((SIDE, SIDE), bool)
    repair = Repairer(_hidden(cube, 2, hole), shipped()).repair(2, hole)
    np.testing.assert_allclose(repair.image, cube.frames[1], atol=1)
    assert any("uncertain" in n for n in repair.notes)


def test_nothing_known_at_all_is_nodata() -> None:
    cube, hole = _cube(1), np.ones((SIDE, SIDE), bool)
    repair = Repairer(_hidden(cube, 0, hole), shipped()).repair(0, hole)
    assert repair.unfilled.all() and not repair.image.any() and "nodata" in repair.notes[0]


def test_holes_of_the_sources_are_filled_from_each_other() -> None:
    cube, hole = _cube(), _hole()
    hidden = _hidden(_hidden(_hidden(cube, 3, hole), 2, hole), 1, ~hole)
    image = Repairer(hidden, None, "regression").repair(3, hole).image
    assert np.sqrt(((image - cube.frames[3])[:, hole] ** 2).mean()) < 400


def test_nodata_of_other_dates_takes_no_part_in_the_fit() -> None:
    cube, hole = _cube(), np.zeros((SIDE, SIDE), bool)
    hole[10:30, 10:30] = True
    hidden = _hidden(cube, 3, hole)
    nodata = np.zeros((SIDE, SIDE), bool)
    nodata[:, 45:] = True
    lacking = hidden
    for date in range(3):
        lacking = _hidden(lacking, date, nodata, 0)

    def error(given: Cube) -> float:
        image = Repairer(given, None, "regression").repair(3, hole).image
        return float(np.sqrt(((image - cube.frames[3])[:, hole] ** 2).mean()))

    assert error(lacking) < 1.5 * error(hidden)


@pytest.mark.parametrize("size", [(17, 33), (9, 9), (70, 41)])
def test_any_size_and_fewer_bands(size: tuple[int, int]) -> None:
    bands = ("B02", "B03", "B04", "B08", "B11")
    cube, hole = _cube(3, *size, bands), _hole(*size)
    repair = Repairer(_hidden(cube, 2, hole), shipped()).repair(2, hole)
    assert repair.image.shape == cube.frames[2].shape and np.isfinite(repair.image).all()


def test_windows_cover_the_frame_and_blend() -> None:
    for height, width in ((100, 300), (256, 257), (700, 530)):
        total = np.zeros((height, width))
        for w in windows(height, width):
            share = taper(w, height, width)
            assert share.shape == (w.height, w.width) and share.min() > 0 and share.max() <= 1
            total[w.top : w.top + w.height, w.left : w.left + w.width] += share
        assert total.min() >= 0.5
    assert list(windows(50, 256)) == [TileWindow(0, 0, 0, 50, 256)]


def test_no_seam_between_windows() -> None:
    """A frame of two windows, repaired without the codec: columns at the seam differ like columns elsewhere."""
    cube = _cube(3, 40, 400)
    hole = np.zeros((40, 400), bool)
    hole[10:30, 100:300] = True
    image = Repairer(_hidden(cube, 2, hole), None, "regression").repair(2, hole).image
    error = (image - cube.frames[2])[:, 10:30, 100:300]
    steps = np.abs(np.diff(error, axis=2)).mean((0, 1))
    assert steps.max() < 4 * np.median(steps)


def test_candidates_are_near_in_time_and_show_the_hole() -> None:
    cube, hole = _cube(6), _hole()
    cube.clear[4] = ~hole
    assert candidates(cube, 5, hole, False) == [3, 2, 1, 0]
    assert candidates(cube, 2, hole, True) == [1, 3, 0, 5]
