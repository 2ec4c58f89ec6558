"""The light and the full reader say the same of the same file: GeoTIFF, COG, BigTIFF, JPEG2000, any CRS."""

from __future__ import annotations

import os
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import Georeference, ReadOptions, read_series, write_series
from swathpack.tools.files.rasters.geokeys import georeference_of, tags_of
from swathpack.tools.files.rasters.readers import describe
from swathpack.tools.files.rasters.trees import Member
from swathpack.tools.files.rasters.windowed import read_windowed
from tests.tools.files.rasters.made import CORNER, have_rasterio, image, write_jp2, write_tiff

tifffile = pytest.importorskip("tifffile")
rasterio = pytest.importorskip("rasterio") if have_rasterio() else None
needs_rasterio = pytest.mark.skipif(rasterio is None, reason="rasterio is not installed")
# Items differ by what GDAL makes of plain tags; the light reader knows no driver.
SAME = (
    "name",
    "path",
    "shape",
    "dtype",
    "descriptions",
    "wavelengths",
    "linear",
    "nodata",
    "mask",
    "georeference",
    "alpha",
    "tags",
    "layout",
)


def agree(path: Path) -> None:
    light, full = (describe(Member(str(path)), reader) for reader in ("light", "rasterio"))
    for name in SAME:
        assert repr(getattr(light, name)) == repr(getattr(full, name)), name
    (a, mask), (b, other) = light.read(light.samples), full.read(full.samples)
    assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    assert (mask is None and other is None) or ((mask != 0) == (other != 0)).all()


def gdal_file(path: Path, data: Any, **profile: Any) -> Path:
    import rasterio

    usual = {
        "driver": "GTiff",
        "height": data.shape[1],
        "width": data.shape[2],
        "count": len(data),
        "dtype": data.dtype,
        "crs": "EPSG:32632",
        "transform": rasterio.Affine(10, 0, CORNER[0], 0, -10, CORNER[1]),
    }
    with rasterio.open(path, "w", **(usual | profile)) as file:
        file.write(data)
        file.descriptions = ["B02", "B03", "B04", "B08"][: len(data)]
    return path


@needs_rasterio
@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "lzw", "predictor": 2},
        {"interleave": "band"},
        {"compress": "zstd", "predictor": 2, "tiled": True},
        {"BIGTIFF": "YES", "compress": "deflate"},
        {"nodata": 65535},
        {"crs": "EPSG:4326", "transform": (0.0001, 0, 11.5, 0, -0.0001, 46.25)},
        {"crs": "EPSG:3035"},
        {"transform": (8, 6, 4e5, 6, -8, 4e6)},
        {"crs": None, "transform": None},
        {"crs": "+proj=laea +lat_0=40 +lon_0=3 +ellps=GRS80 +units=m"},
        {"nbits": 12},
    ],
)
def test_readers_agree_on_geotiffs(tmp_path: Path, profile: dict[str, Any]) -> None:
    if profile.get("transform"):
        profile = profile | {"transform": rasterio.Affine(*profile["transform"])}
    data = np.minimum(image(), 4000)
    path = gdal_file(tmp_path / "a.tif", data, **profile)
    if "laea" in str(profile.get("crs")):  # the light reader has no WKT; the tags hold the CRS all the same
        frame = read_series(path, options=ReadOptions(reader="light"))
    else:
        agree(path)
        frame = read_series(path)
    write_series(frame, tmp_path / "out")
    with rasterio.open(path) as before, rasterio.open(tmp_path / "out" / "a.tif") as after:
        assert before.crs == after.crs and before.transform == after.transform and before.nodata == after.nodata
        assert (before.read() == after.read()).all() and before.descriptions == after.descriptions


@needs_rasterio
def test_readers_agree_on_cloud_optimised_geotiffs(tmp_path: Path) -> None:
    """Overviews and an internal mask lie in further pages."""
    data = np.minimum(image(4, 700, 600), 4000)
    mask = np.ones(data.shape[1:], np.uint8) * 255
    mask[:100] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        plain = gdal_file(tmp_path / "plain.tif", data)
        with rasterio.open(plain, "r+") as file:
            file.write_mask(mask)
    path = tmp_path / "cog.tif"
    from rasterio.shutil import copy

    copy(plain, path, driver="COG", compress="deflate", blocksize=256, overview_count=2)
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) >= 4
    agree(path)
    frame = read_series(path).frames[0]
    assert (frame.valid == (mask > 0)).all() and (frame.data[:, mask > 0] == data[:, mask > 0]).all()


@needs_rasterio
@pytest.mark.parametrize("boxes", [{}, {"GeoJP2": "NO"}, {"GMLJP2": "NO"}])
@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326"])
def test_readers_agree_on_jpeg2000(tmp_path: Path, boxes: dict[str, str], crs: str) -> None:
    pytest.importorskip("imagecodecs")
    step = 10 if crs == "EPSG:32632" else 0.001
    corner = CORNER if crs == "EPSG:32632" else (11.5, 46.25)
    profile = {
        "driver": "JP2OpenJPEG",
        "height": 33,
        "width": 47,
        "count": 1,
        "dtype": "uint16",
        "crs": crs,
        "QUALITY": "100",
        "REVERSIBLE": "YES",
        "transform": rasterio.Affine(step, 0, corner[0], 0, -step, corner[1]),
    } | boxes
    path = tmp_path / "T32TQM_20230101_B04_10m.jp2"
    with rasterio.open(path, "w", **profile) as file:
        file.write(image(1))
    light, full = (describe(Member(str(path)), reader) for reader in ("light", "rasterio"))
    assert light.georeference.crs == full.georeference.crs == crs
    assert np.allclose(light.georeference.transform, full.georeference.transform, rtol=0, atol=1e-9)
    assert light.georeference.geographic == full.georeference.geographic == (crs == "EPSG:4326")
    assert (light.read([0])[0] == image(1)).all() and (full.read([0])[0] == image(1)).all()
    write_series(read_series(path, options=ReadOptions(reader="light")), tmp_path / "out")
    with rasterio.open(tmp_path / "out" / "T32TQM_20230101_B04_10m.tif") as back, rasterio.open(path) as file:
        assert back.crs == file.crs and np.allclose(back.transform, file.transform, rtol=0, atol=1e-9)
        assert (back.read() == image(1)).all()


@needs_rasterio
def test_formats_of_gdal_come_back_as_geotiffs_with_their_crs(tmp_path: Path) -> None:
    """A CRS without a code in a file that is no TIFF: its tags are made at reading."""
    path = gdal_file(
        tmp_path / "a_20200101.img", image(), driver="ENVI", crs="+proj=laea +lat_0=40 +lon_0=3 +ellps=GRS80 +units=m"
    )
    series = read_series(path, bands=["B02", "B03", "B04", "B08"])
    assert series.frames[0].time == "20200101"
    write_series(series, tmp_path / "out")
    with rasterio.open(path) as before, rasterio.open(tmp_path / "out" / "a_20200101.tif") as after:
        assert before.crs == after.crs and before.transform == after.transform and (before.read() == after.read()).all()


@needs_rasterio
def test_wavelengths_in_metadata_are_found(tmp_path: Path) -> None:
    path = gdal_file(tmp_path / "a.tif", image(), crs="EPSG:32632")
    with rasterio.open(path, "r+") as file:
        for i, nm in enumerate((482, 561, 655, 865), 1):
            file.update_tags(i, wavelength=f"{nm / 1000}", wavelength_units="Micrometers")
    agree(path)
    assert read_series(path).frames[0].bands == ("B02", "B03", "B04", "B8A")


def test_a_stack_of_pages_is_one_band_a_page(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image(), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert len(tiff.pages) == 4 or tiff.pages.first.samplesperpixel == 4
    frame = read_series(tmp_path / "a.tif", options=ReadOptions(("B02", "B03", "B04", "B08"), reader="light")).frames[0]
    assert (frame.data == image()).all()


@pytest.mark.parametrize(
    "georeference",
    [
        Georeference("EPSG:32632", (10.0, 0.0, *CORNER[:1], 0.0, -10.0, CORNER[1])),
        Georeference("EPSG:4326", (0.0001, 0.0, 11.123456789, 0.0, -0.0001, 46.0), True),
        Georeference("EPSG:32632", (8.0, 6.0, 4e5, 6.0, -8.0, 4e6)),
        Georeference(None, (1.0, 0.0, 0.5, 0.0, -1.0, 9.5)),
        Georeference(),
    ],
)
def test_tags_hold_a_georeference_to_the_last_digit(georeference: Georeference) -> None:
    made = {code: value for code, _, _, value in tags_of(georeference)}
    assert georeference_of(made) == georeference


def test_pixel_is_point_is_moved_by_half_a_pixel() -> None:
    keys = [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 2, 3072, 0, 1, 32632]
    found = georeference_of({33550: (10, 10, 0), 33922: (0, 0, 0, 400005, 3999995, 0), 34735: keys})
    assert found.transform == (10, 0, 4e5, 0, -10, 4e6)


# --- what cannot be read ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["light", "auto"])
def test_cut_files_say_so(tmp_path: Path, reader: str) -> None:
    for options in ({}, {"compression": "deflate"}, {"compression": "deflate", "tile": (16, 16)}):
        path = write_tiff(tmp_path / "cut.tif", image(), **options)
        whole = path.read_bytes()
        for length in (0, 3, 9, 200, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            with pytest.raises(
                UserError, match=r"cut\.tif: (not a readable TIFF, cut short|cut short: its pixels end at byte)"
            ):
                read_series(path, options=ReadOptions(reader=reader))


def test_damage_is_told_with_more_than_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiff(tmp_path / "a.tif", image())

    def fails(*_: Any, **__: Any) -> None:
        raise KeyError(0)

    monkeypatch.setattr(tifffile, "TiffFile", fails)
    with pytest.raises(
        UserError, match=rf"cut short or damaged \(KeyError 0; the file has {path.stat().st_size} bytes"
    ):
        read_series(path, options=ReadOptions(reader="light"))


def test_a_file_given_twice_is_named(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", image())
    (tmp_path / "link.tif").symlink_to(path)
    for paths in (
        [path, path],
        [path, tmp_path / "x" / ".." / "a.tif"],
        [path, tmp_path / "link.tif"],
        [tmp_path, path],
    ):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(UserError, match="given twice"):
            read_series(paths)


@pytest.mark.parametrize("name", ["a.tif", "a.npz"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    for source in [tmp_path / name] + ([tmp_path] if name == "a.tif" else []):
        with pytest.raises(UserError, match=f"{name}: expected a file, found a device, a pipe or a socket"):
            read_series(source)
        with pytest.raises(UserError, match=name):
            read_windowed([source], ReadOptions(), 0) or read_series(source)


def test_two_files_with_one_band_of_one_date_are_named(tmp_path: Path) -> None:
    write_tiff(tmp_path / "x_20200101_B02.tif", image(1), None)
    write_tiff(tmp_path / "x_20200101_B02_10m.tif", image(1), None)
    with pytest.raises(UserError, match=r"B02_10m\.tif: band B02 of this date is also in .*B02\.tif"):
        read_series(tmp_path)


def test_equal_names_in_two_folders_are_two_dates_and_two_files(tmp_path: Path) -> None:
    for year in ("2020", "2021"):
        write_tiff(tmp_path / year / "scene.tif", image(seed=int(year)))
    series = read_series([tmp_path / "2020", tmp_path / "2021"])
    assert len(series) == 2
    written = write_series(series, tmp_path / "out")
    assert [p.name for p in written] == ["scene.tif", "2021_scene.tif"]
    assert (tifffile.imread(written[1]) == image(seed=2021)).all()


def test_files_without_a_known_band_are_left_out_of_a_folder_and_said(tmp_path: Path) -> None:
    for band in ("B04", "B8A"):
        write_tiff(tmp_path / f"x_20200101_{band}.tif", image(1), None)
    write_tiff(tmp_path / "x_20200101_ATRAN.tif", image(1), None)
    series = read_series(tmp_path)
    assert series.frames[0].bands == ("B04", "B8A") and any(
        "left out, no known band: x_20200101_ATRAN.tif" in n for n in series.notes
    )


def test_what_is_no_raster_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no raster")
    (tmp_path / "b.jp2").write_bytes(b"no raster")
    (tmp_path / "empty").mkdir()
    for path, message in (
        (tmp_path / "a.txt", "a.txt"),
        (tmp_path / "b.jp2", "b.jp2"),
        (tmp_path / "empty", "found none"),
    ):
        for reader in ("light", "auto"):
            with pytest.raises(UserError, match=message):
                read_series(path, options=ReadOptions(reader=reader))
    with pytest.raises(UserError, match="need rasterio"):
        read_series(tmp_path / "a.txt", options=ReadOptions(reader="light"))
    complex_file = tmp_path / "c.tif"
    tifffile.imwrite(complex_file, np.ones((4, 4), np.complex64), metadata=None)
    with pytest.raises(UserError, match="complex64"):
        read_series(complex_file)


def test_missing_packages_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiff, jp2 = write_tiff(tmp_path / "a.tif", image()), write_jp2(tmp_path / "x_B02.jp2", image(1)[0])
    monkeypatch.setitem(sys.modules, "tifffile", None)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    for path in (tiff, jp2):
        with pytest.raises(UserError, match=r"swathpack\[geo\]"):
            read_series(path, options=ReadOptions(reader="light"))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    from swathpack.tools.files.rasters import gdal

    gdal.installed.cache_clear()
    try:
        with pytest.raises(UserError, match=r"rasterio is not installed.*swathpack\[geo\]"):
            read_series(tiff, options=ReadOptions(reader="rasterio"))
    finally:
        gdal.installed.cache_clear()


def test_records_hold_all_there_is_to_know() -> None:
    from swathpack.tools.files.rasters import BandRecord, FileRecord

    record = FileRecord(
        "a.tif",
        (BandRecord("B2", "B02", 490.0), BandRecord("SCL", "SCL", spectral=False)),
        (3, 4),
        "float32",
        float("nan"),
        "alpha",
        Georeference("EPSG:4326", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), True),
        (2, 1, 255.0),
        ((33550, 12, 3, [1.0, 1.0, 0.0]),),
        {"planar": False},
        "2020:01:01 00:00:00",
        "JP2",
        (1,),
    )
    assert repr(FileRecord.from_json(record.to_json())) == repr(record)
    assert {f.name for f in fields(record)} == set(record.to_json())
    every = replace(record, unnamed=(0, 1))
    assert every.to_json()["unnamed"] is True and FileRecord.from_json(every.to_json()).unnamed == (0, 1)
    with pytest.raises(UserError, match="metadata is damaged"):
        FileRecord.from_json({"bands": ["B02"]})
