"""decompress --synthesis best: other pixels, said in what is written; nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import swathpack
from swathpack.edge.bands import BANDS
from swathpack.edge.frame import Frame
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.cli import main
from swathpack.tools.errors import DONE, USAGE, UserError
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.models import open_restorer
from swathpack.tools.files.rasters import Series, read_series
from swathpack.tools.files.rasters.cube import cube_of
from tests.codec_models import shipped


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A date of twelve bands in six tiles."""
    frame = Frame.from_array(values(128, 144, 1, 3)[0].astype(np.uint16), BANDS, time="2026-01-02")
    path = tmp_path_factory.mktemp("scene") / "cube.swp"
    path.write_bytes(SeriesEncoder(shipped(), [frame], mode="transform", tile=64).in_total(2500))
    return path


def decompressed(stream: Path, out: Path, *words: str) -> Path:
    assert main(["decompress", str(stream), "-o", str(out), "--threads", "1", *words]) == DONE
    return out


def test_pixels_and_what_is_said_of_them(stream: Path, tmp_path: Path) -> None:
    fast = decompressed(stream, tmp_path / "fast.npz")
    best = decompressed(stream, tmp_path / "best.npz", "--synthesis", "best", "--report", str(tmp_path / "best.json"))
    restorer = open_restorer("best")
    assert restorer is not None
    with np.load(fast) as first, np.load(best) as second:
        assert set(second.files) - set(first.files) == {"synthesis"}
        assert str(second["synthesis"]) == f"best {restorer.digest}"
        assert (first["data"] != second["data"]).any()
        np.testing.assert_array_equal(swathpack.decompress(stream, synthesis="best"), second["data"])
        np.testing.assert_array_equal(swathpack.decompress(stream), first["data"])
        for y, x, h, w in ((40, 50, 30, 20), (0, 0, 5, 5), (100, 130, 28, 14)):
            found = swathpack.decompress(stream, window=(y, x, h, w), synthesis="best")
            np.testing.assert_array_equal(found, second["data"][..., y : y + h, x : x + w])
    assert json.loads((tmp_path / "best.json").read_text())["synthesis"] == "best"


def test_rasters_name_it_too(stream: Path, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    best = decompressed(stream, tmp_path / "best.tif", "--synthesis", "best")
    with rasterio.open(best) as file:
        assert file.tags()["SWATHPACK_SYNTHESIS"].startswith("best ") and file.descriptions == BANDS
    with rasterio.open(decompressed(stream, tmp_path / "fast.tif")) as file:
        assert "SWATHPACK_SYNTHESIS" not in file.tags()
    again = read_series(best)
    assert cube_of(Series(again.frames, {"synthesis": "best 01"})).attributes["synthesis"] == "best 01"


def test_previews_are_refused(stream: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["decompress", str(stream), "-o", str(tmp_path / "out.npz"), "--preview", "4", "--synthesis", "best"]
    assert main(words) == USAGE
    assert "a preview shows too little" in capsys.readouterr().err and not (tmp_path / "out.npz").exists()
    with pytest.raises(UserError, match="a preview shows too little"):
        swathpack.decompress(stream, preview=4, synthesis="best")
