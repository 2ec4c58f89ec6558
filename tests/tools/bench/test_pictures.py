"""Pictures of scenes by several codecs: a file a scene, of few colours, the middle of large ones, and the figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.tools.bench import pictures
from swathpack.tools.demo import pictures as demo_pictures
from swathpack.tools.errors import RefusedError

IMAGE = np.random.default_rng(3).integers(200, 3000, (12, 32, 48)).astype(np.uint16)


def off_by(count: int) -> pictures.Codec:
    return lambda image, rate: (image + np.uint16(count), pictures.Look.at(image, image + np.uint16(count)))


def test_a_picture_a_scene_and_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pillow = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    codecs = {"SwathPack": off_by(1), "SwathPack, learned codec": off_by(5), "one": off_by(3), "other": off_by(9)}
    monkeypatch.setattr(pictures, "CODECS", codecs | {"none": lambda image, rate: None})
    pictures.compare([("a__b", IMAGE)], [0.1, 0.2], tmp_path, (), False)
    told = capsys.readouterr().out
    assert [line.split(" | ")[0] for line in told.splitlines()[-5:]] == [f"| {name}" for name in pictures.CODECS]
    assert "80.00" in told and told.count("100.00 %") == 8 and "| none | - | - |" in told  # of a peak of 10,000
    with pillow.open(tmp_path / "a_b.png") as drawn:
        assert drawn.mode == "P" and len(drawn.getcolors()) <= pictures.COLOURS and drawn.width > 900
    with pytest.raises(RefusedError):
        pictures.compare([("a__b", IMAGE)], [0.1], tmp_path, (), False)


def test_of_large_scenes_the_middle_is_shown() -> None:
    large = np.arange(300 * 512 * 3, dtype=np.float64).reshape(300, 512, 3)
    assert (pictures.middle(large) == large[22:278, 128:384]).all() and (pictures.middle(large[:9]).shape) == (
        9,
        256,
        3,
    )


def test_rates_that_are_none_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["pictures", "--bppb", "much"])
    with pytest.raises(SystemExit, match="error: could not convert"):
        demo_pictures.main()
