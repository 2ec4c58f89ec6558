"""Steps over seams: what is measured of them, and that drawing lowers them in real streams."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.bench import seams
from tests.codec_models import shipped


def test_steps_over_seams_are_told_from_those_elsewhere() -> None:
    rng = np.random.default_rng(1)
    scene = rng.integers(1000, 1100, (12, 64, 96)).astype(np.uint16)
    tiles = scene + (400 * (np.arange(96) // 32)).astype(np.uint16)
    assert seams.over_seams(scene, 32, scene) == pytest.approx(1, abs=0.1)
    assert 5 < seams.over_seams(tiles, 32, scene) < 8  # 400 over 33 in one of two directions
    assert seams.Seen.at(scene, tiles, 32).steps > 5


def test_pixels_without_data_do_not_count() -> None:
    scene = np.random.default_rng(2).integers(1000, 1100, (12, 64, 64)).astype(np.uint16)
    holed = scene.copy()
    holed[:, 20:40, 31] = 0
    assert seams.over_seams(holed, 32, holed) == pytest.approx(seams.over_seams(scene, 32, scene), rel=0.1)


def test_drawing_lowers_steps_and_error() -> None:
    scene = values(128, 128, 1, 3)[0].astype(np.uint16)
    plain, drawn = seams.drawn(shipped(), scene, 64, 0.02)
    before, after = (seams.Seen.at(scene, image, 64) for image in (plain, drawn))
    assert after.steps < 0.6 * before.steps and after.psnr > before.psnr


def test_scenes_are_told_with_their_mean_and_what_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    scene = values(64, 128, 1, 3)[0].astype(np.uint16)
    seams.compare(shipped(), [("one", scene, 64), ("other", scene[:, ::-1].copy(), 64)], [0.0001, 0.05])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["steps", "one", "other", "one", "other", "mean"]
    assert "expected at least" in lines[1] and lines[3].count(" / ") == 6
