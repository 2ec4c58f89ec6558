"""`swathpack bench --range`: images of any bands, beside peers, over all rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.bench import own_images
from swathpack.tools.cli import main
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.options import ReadOptions
from tests.tools.files.rasters.made import write_tiff

pytest.importorskip("imagecodecs")


def written(path: Path, dates: int = 2, bands: tuple[str, ...] = ("red", "nir", "vv"), side: int = 40) -> Path:
    data = np.ascontiguousarray(values(side, side + 6, dates, 3)[:, : len(bands)])
    data[:, :, :5, :7] = 0
    np.savez(path, data=data, bands=bands, dates=[f"2024-01-0{t + 1}" for t in range(dates)])
    return path


def test_a_table_of_every_set_of_bands_and_a_chart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    written(tmp_path / "in" / "a.npz")
    written(tmp_path / "in" / "b.npz", dates=1, bands=("pan",))
    words = ["bench", str(tmp_path / "in"), "--range", "--codecs", "j2k-klt", "--bppb", "0.5,2", "--no-cache"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "range.md").read_text()
    assert text in capsys.readouterr().out and "### 3 bands (B04, B08, vv)" in text and "### 1 band (pan)" in text
    cells = next(line for line in text.splitlines() if line.startswith("| ours")).split("|")
    assert 0 < float(cells[3]) < float(cells[2])
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["range.md", "range1.png", "range2.png"]


def test_rasters_beside_cubes_are_measured_too(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    written(tmp_path / "a.npz", dates=1, bands=("red", "nir"))
    write_tiff(tmp_path / "b.tif", values(40, 46)[0, :2], ("B02", "B03"))
    found = own_images.series_of(tmp_path, ReadOptions())
    assert [(f.name, f.names) for f in found] == [("a", ("B04", "B08")), (tmp_path.stem, ("B02", "B03"))]


def test_ours_alone_is_a_table_without_a_chart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--range", "--codecs", "swathpack", "--bppb", "1", "--no-cache", "--out", str(tmp_path / "out")]
    assert main(["bench", str(written(tmp_path / "a.npz")), *words]) == 0
    text = capsys.readouterr().out
    assert "| ours, RMSE in steps of the values |" in text and "over" not in text
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["range.md"]


def test_the_middle_is_taken_on_whole_pixels_of_all_grids(tmp_path: Path) -> None:
    path = written(tmp_path / "a.npz", dates=5, side=64)
    (found,) = own_images.series_of(path, ReadOptions(), side=30, most=3)
    with np.load(path) as archive:
        assert (found.data == archive["data"][:3, :, 12:42, 18:48]).all()
    assert found.names == ("B04", "B08", "vv") and found.valid.all() and len(found.frames) == 3
    (whole,) = own_images.series_of(path, ReadOptions())
    assert (~whole.valid).sum() == 4 * 5 * 7 and whole.data.shape[2:] == (64, 70)


def test_images_without_data_or_too_small_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "none.npz", data=np.zeros((1, 2, 32, 32), np.uint16), bands=["B02", "B03"])
    with pytest.raises(UserError, match=r"none\.npz: no date has data"):
        own_images.series_of(tmp_path / "none.npz", ReadOptions())
    with pytest.raises(UserError, match="at least 16 x 16 pixels, found 12 x 18"):
        own_images.series_of(written(tmp_path / "small.npz", side=12), ReadOptions())


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--range", "--codecs", "x"], 2, "--codecs: expected some of j2k-klt"),
        (["--range", "--side", "4"], 2, "--side: expected at least 16"),
        (["--range", "--speed"], 2, "--speed"),
        (["--bands", "a"], 2, "--range"),
        ([], 1, "--range takes it"),
    ],
)
def test_refusals(tmp_path: Path, words: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(written(tmp_path / "a.npz")), *words]) == code
    assert text in capsys.readouterr().err
