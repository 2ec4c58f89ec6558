"""GeoTIFFs whose bands have no names: they come back without, and with names where only these tell which they are."""

import pytest

from swathpack.tools.cli import main
from swathpack.tools.files.rasters import ReadOptions, gdal_metadata, large_rows, read_series, write_series
from tests.tools.files.rasters.made import both_readers, image, write_tiff

tifffile = pytest.importorskip("tifffile")

NAMES = ["B02", "B03", "B04", "B08"]
RGB = {"photometric": "rgb"}


def described(path):
    """GDAL's XML of a file, empty for none."""
    with tifffile.TiffFile(path) as tiff:
        return str(tiff.pages.first.tags[42112].value) if 42112 in tiff.pages.first.tags else ""


@both_readers
@pytest.mark.parametrize("how", ["series", "stream", "rows"])
def test_what_was_unnamed_comes_back_unnamed(tmp_path, reader, how, monkeypatch):
    """Three bands that nothing but the colours name came back with descriptions."""
    path = write_tiff(tmp_path / "in" / "a.tif", image(3), None, **RGB)
    if how == "rows":
        monkeypatch.setattr(large_rows, "wanted", lambda frames: True)
    if how == "series":
        series = read_series(path, options=ReadOptions(reader=reader))
        assert series.frames[0].bands == ("B04", "B03", "B02")
        write_series(series, tmp_path / "out")
    else:
        assert main(["compress", str(path), "-o", str(tmp_path / "a.swp"), "--lossless"]) == 0
        assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "out")]) == 0
    assert "DESCRIPTION" not in described(path) + described(tmp_path / "out" / "a.tif")
    assert (tifffile.imread(path) == tifffile.imread(tmp_path / "out" / "a.tif")).all()
    assert read_series(tmp_path / "out").frames[0].bands == ("B04", "B03", "B02")


def test_only_those_that_had_no_name_come_back_without(tmp_path):
    named = {0: "blue", 2: "red"}
    items = "".join(f'<Item name="DESCRIPTION" sample="{i}" role="description">{n}</Item>' for i, n in named.items())
    path = write_tiff(tmp_path / "in" / "a.tif", image(4), None, xml=items)
    write_series(read_series(path), tmp_path / "out")
    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as tiff:
        assert gdal_metadata.parse(str(tiff.pages.first.tags[42112].value)).description == named


def test_some_of_bands_without_names_are_named(tmp_path):
    """Alone nothing would tell which they are."""
    path = write_tiff(tmp_path / "in" / "a.tif", image(3), None, **RGB)
    write_series(read_series(path, bands=["red", "blue"]), tmp_path / "out")
    assert read_series(tmp_path / "out").frames[0].bands == ("B04", "B02")
    assert "DESCRIPTION" in described(tmp_path / "out" / "a.tif")


def test_names_that_the_caller_gives_are_written(tmp_path):
    path = write_tiff(tmp_path / "in" / "a.tif", image(4), None)
    for number, how in enumerate((ReadOptions(tuple(NAMES)), ReadOptions(wavelengths=(490, 560, 665, 842)))):
        write_series(read_series(path, options=how), tmp_path / f"out{number}")
        assert "B08" in described(tmp_path / f"out{number}" / "a.tif")


def test_files_of_before_are_written_with_their_names(tmp_path):
    """Their records say nothing of what had no name."""
    path = write_tiff(tmp_path / "in" / "a.tif", image(3), None, **RGB)
    series = read_series(path)
    (record,) = series.metadata["files"][0]
    assert record.pop("unnamed") is True
    write_series(series, tmp_path / "out")
    assert "green" in described(tmp_path / "out" / "a.tif")
