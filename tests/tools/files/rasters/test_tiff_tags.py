"""Tags of a GeoTIFF come back as they were: none is added, none is lost that says what no other does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import swathpack
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.cli import main
from swathpack.tools.files.rasters import large_rows
from swathpack.tools.files.rasters.tiff_tags import in_bytes

rasterio = pytest.importorskip("rasterio")

RESOLUTION = {"TIFFTAG_XRESOLUTION": "72", "TIFFTAG_YRESOLUTION": "36", "TIFFTAG_RESOLUTIONUNIT": "2"}
TEXTS = {"TIFFTAG_SOFTWARE": "mine 1.0", "TIFFTAG_COPYRIGHT": "nobody", "MINE": "value"}


def written(path: Path, tags: dict[str, str], mask: bool = False, **more: Any) -> Path:
    data = values(60, 80, 1, 7)[0, :3].astype(np.uint16)
    how = {"driver": "GTiff", "count": 3, "height": 60, "width": 80, "dtype": "uint16", "crs": "EPSG:32632", **more}
    how["transform"] = rasterio.Affine(10, 0, 300000, 0, -10, 5000000)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **how) as file:
        file.write(data)
        file.descriptions = ("B02", "B03", "B04")
        file.update_tags(**tags)
        if mask:
            file.write_mask(np.add.outer(np.arange(60), np.arange(80)) > 9)
    return path


def facts(path: Path) -> tuple[Any, ...]:
    with rasterio.open(path) as file:
        flags = [[flag.name for flag in band] for band in file.mask_flag_enums]
        return file.tags(), file.descriptions, file.transform, file.crs, flags, file.dataset_mask().tolist()


@pytest.mark.parametrize("more", [{}, {"BIGTIFF": "YES"}, {"tiled": True, "blockxsize": 32, "blockysize": 32}], ids=str)
@pytest.mark.parametrize("tags", [{}, RESOLUTION, TEXTS], ids=("none", "resolution", "texts"))
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("by_rows", [False, True])
def test_tags_are_those_of_the_file(
    tmp_path: Path,
    more: dict[str, Any],
    tags: dict[str, str],
    mask: bool,
    by_rows: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A resolution of 1 came out where none went in, a true one and the software were lost."""
    if by_rows:
        monkeypatch.setattr(large_rows, "LARGE_SAMPLES", 1)
    source = written(tmp_path / "a.tif", tags, mask, **more)
    swathpack.compress(source, lossless=True, output=tmp_path / "a.swp")
    assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "back")]) == 0
    given, found = facts(source), facts(tmp_path / "back" / "a.tif")
    assert found == given
    with rasterio.open(source) as a, rasterio.open(tmp_path / "back" / "a.tif") as b:
        np.testing.assert_array_equal(b.read(masked=True), a.read(masked=True))


def test_texts_and_resolution_give_way_to_the_image_and_are_named(tmp_path: Path) -> None:
    source = written(tmp_path / "a.tif", RESOLUTION | TEXTS)
    made = swathpack.compress(source, bytes=700)
    said = " ".join(made.notes)
    assert all(name in said for name in ("TIFF Software", "TIFF Copyright", "TIFF XResolution")) and made.nbytes <= 700
    swathpack.decompress(made, output=tmp_path / "back")
    assert facts(tmp_path / "back" / "a.tif")[0] == {"AREA_OR_POINT": "Area"}


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize(
    "tags",
    [
        {"TIFFTAG_ARTIST": "Jörg Müller"},
        {"NOTE": "Größe 你好"},
        {"TIFFTAG_DATETIME": "2024-05-06T07:08:09Z"},
        {"TIFFTAG_DATETIME": "2024:05:06 07:08:09", "TIFFTAG_COPYRIGHT": "©"},
    ],
    ids=("artist", "item", "iso date", "copyright"),
)
def test_any_text_comes_back(
    tmp_path: Path, tags: dict[str, str], by_rows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One letter beyond ASCII, or a date in another form than TIFF's, cost all that the file said, its CRS too."""
    if by_rows:
        monkeypatch.setattr(large_rows, "LARGE_SAMPLES", 1)
    source = written(tmp_path / "a.tif", tags)
    swathpack.compress(source, lossless=True, output=tmp_path / "a.swp")
    assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "back")]) == 0
    assert facts(tmp_path / "back" / "a.tif") == facts(source)


def test_latin_text_keeps_its_bytes() -> None:
    """Keys of a CRS point into such texts by bytes."""
    assert in_bytes((34737, 2, 4, "é|a", True)) == (34737, 2, 4, "é|a".encode("cp1252"), True)
    assert in_bytes((34737, 2, 5, "é|a", True)) == (34737, 2, 5, "é|a".encode(), True)
