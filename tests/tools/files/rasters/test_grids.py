"""Dates on one grid, in one order: what differs is refused, what is sorted or assumed is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.stream import read_stream
from swathpack.tools.cli import main
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import Georeference, ReadOptions, read_series, write_series
from swathpack.tools.files.rasters.dates import date_in, in_order, moment_of
from tests.tools.files.rasters.made import CORNER, both_readers, geo, image, land, write_tiff

tifffile = pytest.importorskip("tifffile")

ONE_PIXEL_EAST = (CORNER[0] + 10, CORNER[1])


@both_readers
@pytest.mark.parametrize(
    ("tags", "shape", "message"),
    [
        (geo(corner=ONE_PIXEL_EAST), (33, 47), r"\+10, \+0 away \(\+1, \+0 pixels\)"),
        (geo(32633), (33, 47), "EPSG:32633, not EPSG:32632"),
        (geo(pixel=20), (33, 47), "20 x 20, not 10 x 10"),
        (geo(), (34, 47), "34 x 47 pixels, not 33 x 47"),
    ],
)
def test_another_grid_is_refused_with_what_differs(
    tmp_path: Path, tags: list[tuple[object, ...]], shape: tuple[int, int], message: str, reader: str
) -> None:
    write_tiff(tmp_path / "a_20200101.tif", image())
    write_tiff(tmp_path / "b_20200106.tif", image(4, *shape), tags=tags)
    with pytest.raises(
        UserError, match=rf"b_20200106\.tif is on another grid than .*a_20200101\.tif: .*{message}.*--each-its-own"
    ):
        read_series(tmp_path, options=ReadOptions(reader=reader))
    both = read_series(tmp_path, options=ReadOptions(reader=reader, each_grid=True))
    assert both.groups == [0, 1] and any("2 grids" in n for n in both.notes)


def test_the_same_grid_to_rounding_is_one(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a_20200101.tif", image())
    write_tiff(tmp_path / "b_20200106.tif", image(), tags=geo(corner=(CORNER[0] + 1e-4, CORNER[1])))
    write_tiff(tmp_path / "c_20200111.tif", image(), tags=[])
    series = read_series(tmp_path)
    assert series.groups == [0, 0, 0] and any("c_20200111.tif: no georeference" in n for n in series.notes)


def test_grids_of_their_own_come_back_each_on_its_own(tmp_path: Path) -> None:
    """Four dates on two grids of different size: no context across, every file as it was."""
    small, large = land(32, 48, 2, seed=1), land(48, 64, 2)
    for i, day in enumerate(("01", "11")):
        write_tiff(tmp_path / "in" / f"a_202001{day}.tif", large[i])
        write_tiff(tmp_path / "in" / f"b_202001{int(day) + 5:02d}.tif", small[i], tags=geo(32633))
    stream = tmp_path / "x.swp"
    words = [
        "compress",
        str(tmp_path / "in"),
        "-o",
        str(stream),
        "--each-its-own-grid",
        "--fast",
        "--quality",
        "16",
        "--mode",
        "learned",
    ]
    assert main(words) == 0
    contexts = {s.frame: [c.frame for c in s.contexts] for s in read_stream(stream.read_bytes()).segments}
    assert contexts == {0: [], 1: [], 2: [0], 3: [1]}
    assert main(["decompress", str(stream), "-o", str(tmp_path / "out")]) == 0
    for path in sorted((tmp_path / "in").iterdir()):
        before, after = tifffile.imread(path), tifffile.imread(tmp_path / "out" / path.name)
        assert before.shape == after.shape and np.abs(before.astype(int) - after).mean() < 150
        with tifffile.TiffFile(path) as a, tifffile.TiffFile(tmp_path / "out" / path.name) as b:
            assert a.pages.first.tags[34735].value == b.pages.first.tags[34735].value


def test_files_of_a_date_share_their_corner(tmp_path: Path) -> None:
    write_tiff(tmp_path / "x_20200101_10m.tif", image(2, 24, 30), ["B02", "B08"])
    write_tiff(tmp_path / "x_20200101_20m.tif", image(1, 12, 15), ["B11"], tags=geo(pixel=20, corner=ONE_PIXEL_EAST))
    with pytest.raises(UserError, match=r"x_20200101_20m\.tif: expected the CRS and corner"):
        read_series(tmp_path)


@both_readers
def test_dates_out_of_order_are_sorted_and_said(tmp_path: Path, reader: str) -> None:
    for i, day in enumerate(("20200111", "20200101", "20200106")):
        write_tiff(tmp_path / f"{'abc'[i]}_{day}.tif", image(seed=i))
    series = read_series(tmp_path, options=ReadOptions(reader=reader))
    assert [f.time for f in series.frames] == ["20200101", "20200106", "20200111"]
    assert (
        series.frames[0].data == image(seed=1)
    ).all() and "dates are out of order: coded in order of date" in series.notes
    again = read_series(write_series(series, tmp_path / "out"))
    assert [f.time for f in again.frames] == [f.time for f in series.frames]


def test_an_archive_out_of_order_is_coded_in_order_and_comes_back_as_it_was(tmp_path: Path) -> None:
    data, dates = land(32, 32, 3)[[2, 0, 1]], ["2020-01-11", "2020-01-01", "2020-01-06"]
    np.savez(tmp_path / "a.npz", data=data, bands=["B02", "B03", "B04", "B08"], dates=dates, clouds=np.array([3, 1, 2]))
    series = read_series(tmp_path / "a.npz")
    assert [f.time for f in series.frames] == sorted(dates) and any("out of order" in n for n in series.notes)
    write_series(series, tmp_path / "b.npz")
    with np.load(tmp_path / "b.npz") as back:
        assert (back["data"] == data).all() and back["dates"].tolist() == dates and back["clouds"].tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("S2_20200105", "20200105"),
        ("x-2019-12-31-y", "2019-12-31"),
        ("T32TQM_20230101T101411_B02", "20230101T101411"),
        ("HLS.L30.T32TQM.2023032T101411.v2.0", "2023-02-01"),
        ("LC08_L2SP_194029_20230101_20230105", "20230101"),
        ("scene_12345678", None),
        ("x_20201301", None),
        ("a", None),
    ],
)
def test_dates_in_names(name: str, date: str | None) -> None:
    assert date_in(name) == date


def test_moments_and_order() -> None:
    assert in_order(["20200105", "2019-12-31", "2020-01-05T10:00:00Z"]) == [1, 0, 2]
    assert in_order(["2020-01-01", "2020:01:02 10:00:00", "2020-02-01T10:00:00.123456789"]) is None
    assert in_order(["b", "2020-01-01"]) is None and in_order([None]) is None and moment_of("winter") is None


def test_differences_of_grids() -> None:
    here = Georeference("EPSG:32632", (10, 0, 4e5, 0, -10, 4e6))
    assert here.difference(Georeference()) == "" and here.difference(here) == ""
    assert "turned" in here.difference(Georeference("EPSG:32632", (0, 10, 4e5, -10, 0, 4e6)))
    assert Georeference.from_json(here.to_json()) == here and not Georeference().known
