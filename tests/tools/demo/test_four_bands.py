"""The demo's filled example: exactly two bits a sample through board and ground, JPEG2000 beside it in no more bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.bands import BANDS as TWELVE
from swathpack.tools.demo import __main__ as demo
from swathpack.tools.demo import data as demo_data
from swathpack.tools.demo import four_bands
from swathpack.tools.demo.data import DemoSeries
from swathpack.tools.files.rasters import Series
from swathpack.tools.files.rasters.npz import write_npz
from swathpack.tools.files.synthetic_scene import synthetic_series


def source(real: bool = True) -> DemoSeries:
    series, cloud = synthetic_series(1, 96, cloudy=0.0)
    return DemoSeries("scene", series, demo_data.CREDITS["synthetic"], real, cloud)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> four_bands.Filled:
    given = four_bands.example(Path("none"), [source()])
    assert given is not None
    return demo.play_filled(given, tmp_path_factory.mktemp("demo"))


def test_the_budget_is_filled(filled: four_bands.Filled) -> None:
    assert filled.given.budget == 2 * 4 * 96 * 96 // 8
    assert 0.99 * filled.given.budget < filled.outcome.size <= filled.given.budget
    assert filled.outcome.decoded[0].bands == four_bands.BANDS
    error = filled.outcome.decoded[0].data.astype(float) - filled.given.frame.data
    assert filled.rmse == pytest.approx(np.sqrt((error**2).mean()))


def test_the_peer_has_no_more_bytes(filled: four_bands.Filled) -> None:
    pytest.importorskip("imagecodecs")
    assert filled.peer is not None and "JPEG2000" in filled.peer.label
    assert 0.9 * filled.outcome.size < filled.peer.size <= filled.outcome.size
    line = four_bands.describe(filled)
    assert f"{filled.peer.size:,} bytes, RMSE {filled.peer_rmse:.1f} DN" in line and "\n" not in line


def test_what_is_said_without_a_peer(filled: four_bands.Filled) -> None:
    alone = replace(filled, peer=None)
    assert "JPEG2000" not in four_bands.describe(alone) and "JPEG2000" not in four_bands.section(alone)
    assert f"RMSE {filled.rmse:.1f} DN" in four_bands.describe(alone)
    assert four_bands.section(alone).count("<img") == 3 and four_bands.section(filled).count("<img") in (3, 5)


def test_a_val_scene_goes_before_what_was_trained_on(tmp_path: Path) -> None:
    """And the text says which of them it is."""
    frame = synthetic_series(1, 64, cloudy=0.0)[0].frames[0].select(TWELVE)
    place = tmp_path / four_bands.VAL_SCENE
    place.parent.mkdir()
    write_npz(Series([frame]), place)
    given = four_bands.example(tmp_path, [source()])
    assert given is not None and "not trained on" in given.origin and given.frame.data.shape == (4, 64, 64)
    other = four_bands.example(tmp_path / "none", [source()])
    assert other is not None and "in the training set" in other.origin
    drawn = four_bands.example(tmp_path / "none", [source(real=False)])
    assert drawn is not None and "synthetic" in drawn.origin
    assert four_bands.example(tmp_path / "none", []) is None
