"""A budget that holds every value exactly gives a lossless file; one byte less is filled as ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import swathpack
from swathpack.edge.codec.pixels import TILE
from swathpack.edge.frame import Frame
from swathpack.tools.cli import main
from swathpack.tools.files import exact_trial
from swathpack.tools.files.exact_trial import LEAST_BPPB, may_be_exact
from swathpack.tools.files.sources import source_of

BANDS = ("B02", "B03", "B04", "B08")


def scene(side: int = 96, dates: int = 1, seed: int = 1) -> np.ndarray:
    """(T, 4, side, side) uint16: slopes and noise, some 4 bits a sample."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    smooth = 900 + 3 * y + 2 * x + 100 * np.sin(x / 11)
    return np.rint(smooth + rng.normal(0, 5, (dates, len(BANDS), side, side))).astype(np.uint16)


def coded(cube: np.ndarray, **how: object) -> tuple[bytes, float]:
    """The file, and its greatest error."""
    data = bytes(swathpack.compress(cube, bands=BANDS, **how))
    found = np.asarray(swathpack.open(data).read_all()).astype(int)
    return data, float(np.abs(found - cube).max())


@pytest.mark.parametrize("side", [96, 300])
@pytest.mark.parametrize("dates", [1, 2])
def test_a_budget_for_every_value_holds_every_value(side: int, dates: int) -> None:
    cube = scene(side, dates)
    lossless, _ = coded(cube, lossless=True)
    for budget in (len(lossless), 2 * len(lossless)):
        data, error = coded(cube, bytes=budget)
        assert error == 0 and len(data) == len(lossless)


def test_one_byte_less_is_filled_with_an_image() -> None:
    cube = scene()
    lossless, _ = coded(cube, lossless=True)
    data, error = coded(cube, bytes=len(lossless) - 1)
    assert error > 0 and 0.98 * len(lossless) < len(data) < len(lossless)
    assert data == coded(cube, bytes=len(lossless) - 1)[0]


def test_frames_apart_have_budgets_of_their_own() -> None:
    one, two = scene(64), scene(64, 2)
    size = len(coded(one, lossless=True)[0])
    assert coded(one, bytes_per_frame=size)[1] == 0
    data, _ = coded(two, bytes_per_frame=size)
    assert len(data) <= 2 * size


def test_other_requests_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    cube = scene(64)
    size = len(coded(cube, lossless=True)[0])
    assert coded(cube, bytes=size, mode="transform")[1] > 0
    monkeypatch.setattr(exact_trial, "encode_predictive", lambda *_: pytest.fail("nothing is to be coded exactly"))
    source = source_of(Frame.from_array(cube[0], BANDS))
    assert not may_be_exact([source], 0.9 * LEAST_BPPB)
    coded(cube, bytes=int(0.9 * LEAST_BPPB * cube.size / 8))
    coded(cube, quality=20)


def test_places_tell_what_frames_take() -> None:
    cube = scene(2 * TILE, 2)
    sources = [source_of(Frame.from_array(date, BANDS)) for date in cube]
    bppb = 8 * len(coded(cube, lossless=True)[0]) / cube.size
    assert may_be_exact(sources, 1.05 * bppb) and not may_be_exact(sources, 0.8 * bppb)
    empty = source_of(Frame.from_array(np.zeros((4, 64, 64), np.uint16), BANDS))
    assert not may_be_exact([empty], 16.0)


def test_a_trial_that_does_not_fit_leaves_nothing_in_the_file(tmp_path: Path) -> None:
    cube = scene(64)
    np.savez(tmp_path / "x.npz", data=cube, bands=np.array(BANDS))
    words = ["compress", str(tmp_path / "x.npz"), "--force", "-o", str(tmp_path / "x.swp")]
    assert main([*words, "--lossless"]) == 0
    size = (tmp_path / "x.swp").stat().st_size
    assert main([*words, "--bytes", str(size - 1)]) == 0
    data = (tmp_path / "x.swp").read_bytes()
    assert len(data) < size and data == bytes(swathpack.compress(tmp_path / "x.npz", bytes=size - 1))
    assert main([*words, "--bytes", str(size)]) == 0
    assert (tmp_path / "x.swp").stat().st_size == size
