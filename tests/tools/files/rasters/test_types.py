"""Types, scales and nodata: what comes in comes out, negative values included."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swathpack.tools.cli import main
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import ReadOptions, pack_metadata, read_series, unpack_metadata, write_series
from tests.tools.files.rasters.made import NAMES, both_readers, image, land, write_tiff

tifffile = pytest.importorskip("tifffile")


def there_and_back(path: Path, reader: str = "auto", **options: Any) -> Path:
    """Read and written again, metadata through its packed form, without the codec."""
    series = read_series(path, options=ReadOptions(reader=reader, **options))
    series.metadata = unpack_metadata(pack_metadata(json.loads(json.dumps(series.metadata))))
    folder = path.parent / f"back-{path.stem}"
    write_series(series, folder)
    return folder / path.name


def tag(path: Path, code: int = 42113) -> str | None:
    with tifffile.TiffFile(path) as tiff:
        found = tiff.pages.first.tags.get(code)
        return None if found is None else str(found.value)


def same_file(first: Path, other: Path) -> None:
    a, b = tifffile.imread(first), tifffile.imread(other)
    assert a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    assert tag(first) == tag(other)


@both_readers
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"])
def test_every_type_comes_back(tmp_path: Path, dtype: str, reader: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = np.minimum(image(), 255 if dtype == "uint8" else 2000).astype(dtype)
        path = write_tiff(tmp_path / "a.tif", data)
        same_file(path, there_and_back(path, reader))


@both_readers
@pytest.mark.parametrize(
    ("dtype", "nodata", "value"),
    [
        ("uint16", "65535", 65535),
        ("uint16", "0", 0),
        ("uint16", "500", 500),
        ("int16", "-9999", -9999),
        ("uint8", "255", 255),
        ("int16", "-32768", -32768),
        ("float32", "nan", np.nan),
        ("float32", "-9999", -9999),
        ("int32", "-2147483648", -(1 << 31)),
        ("uint16", "-9999", None),
        ("float32", "3.4e38", np.float32(3.4e38)),
        ("float32", "-1.7976931348623157e+308", np.finfo(np.float32).min),
    ],
)
def test_nodata_value_and_tag_are_the_originals(
    tmp_path: Path, dtype: str, nodata: str, value: Any, reader: str
) -> None:
    data = np.minimum(image(), 200).astype(dtype)
    if value is not None:
        data[:, :3, 5:30] = value
    path = write_tiff(tmp_path / "a.tif", data, nodata=nodata)
    frame = read_series(path, options=ReadOptions(reader=reader)).frames[0]
    assert (~frame.valid).sum() == (0 if value is None else 75)
    same_file(path, there_and_back(path, reader))


@both_readers
def test_nan_without_a_tag_is_nodata(tmp_path: Path, reader: str) -> None:
    data = image().astype(np.float32)
    data[:, 4:9] = np.nan
    data[:, 20] = 0  # a value, since NaN marks what is missing
    path = write_tiff(tmp_path / "a.tif", data)
    frame = read_series(path, options=ReadOptions(reader=reader)).frames[0]
    assert (~frame.valid).sum() == 5 * 47
    same_file(path, there_and_back(path, reader))


@pytest.mark.parametrize("nodata", ["-9999", "0"])
def test_pixels_that_lack_one_band_keep_the_others(tmp_path: Path, nodata: str) -> None:
    data = image().astype(np.int16)
    data[:, :, :4] = int(nodata)
    data[2, 10:20, 10:20] = int(nodata)
    path = write_tiff(tmp_path / "a.tif", data, nodata=nodata)
    frame = read_series(path).frames[0]
    assert frame.valid[15, 15] and not frame.band_valid(2)[15, 15] and frame.band_valid(1)[15, 15]
    same_file(path, there_and_back(path))


def test_a_lone_zero_is_a_dark_pixel_even_where_zero_is_nodata(tmp_path: Path) -> None:
    data = image()
    data[1, 5, 5] = 0
    frame = read_series(write_tiff(tmp_path / "a.tif", data, nodata="0")).frames[0]
    assert frame.valid.all() and not frame.holes.size
    path = write_tiff(tmp_path / "b.tif", np.where(data == 0, -9999, data.astype(np.int16)), nodata="-9999")
    assert read_series(path).frames[0].holes.sum() == 1


def test_bands_of_different_types_go_back_in_their_own(tmp_path: Path) -> None:
    fine, coarse = image(2, 24, 36), image(1, 12, 18).astype(np.float32)
    write_tiff(tmp_path / "in" / "x_20200101_10m.tif", fine, ["B02", "B08"])
    write_tiff(tmp_path / "in" / "x_20200101_20m.tif", coarse, ["B11"])
    write_series(read_series(tmp_path / "in"), tmp_path / "out")
    for name in ("x_20200101_10m.tif", "x_20200101_20m.tif"):
        same_file(tmp_path / "in" / name, tmp_path / "out" / name)


# --- scales -------------------------------------------------------------------------------------------------


def test_reflectances_are_named_and_the_scale_is_offered(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", (image() / 1e4).astype(np.float32))
    with pytest.raises(UserError, match=r"a\.tif.*reflectance.*--scale 10000"):
        read_series(path)
    series = read_series(path, options=ReadOptions(scale=10000))
    assert (series.frames[0].data == image()).all() and series.frames[0].radiometry.plain
    told = "float32 values are rounded to steps of 0.0001, off by up to 5e-05: lossless and greatest errors are of these steps"
    assert series.notes == [told]
    back = tifffile.imread(there_and_back(path, scale=10000))
    assert back.dtype == np.float32 and np.abs(back - tifffile.imread(path)).max() < 1e-6


def test_negative_reflectances_are_kept(tmp_path: Path) -> None:
    data = (image() / 1e4).astype(np.float64) - 0.02
    path = write_tiff(tmp_path / "a.tif", data)
    frame = read_series(path, options=ReadOptions(scale=10000)).frames[0]
    assert np.allclose(frame.dn(), data * 1e4, atol=0.51) and frame.dn().min() < 0
    assert np.abs(tifffile.imread(there_and_back(path, scale=10000)) - data).max() < 6e-5


def test_scale_of_integers_is_a_gain_and_changes_no_value(tmp_path: Path) -> None:
    data = np.minimum(image(), 255).astype(np.uint8)
    path = write_tiff(tmp_path / "a.tif", data)
    usual, given = read_series(path), read_series(path, options=ReadOptions(scale=20))
    assert usual.frames[0].radiometry.gain == 40 and any("8-bit" in n for n in usual.notes)
    assert given.frames[0].radiometry.gain == 20 and not any("8-bit" in n for n in given.notes)
    assert (given.frames[0].data == data).all() and (given.frames[0].dn() == data * 20.0).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.array([1.0, np.inf]), "finite"),
        (np.array([-10, 70000]), "give --scale"),
        (np.array([1e9, 0]), "give --scale"),
        (np.array([1.5, 0.2]), "--scale 10000"),
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(tmp_path: Path, data: Any, message: str) -> None:
    kind = np.float32 if data.dtype.kind == "f" else np.int32
    path = write_tiff(tmp_path / "a.tif", np.broadcast_to(data.astype(kind), (4, 3, 2)).copy())
    with pytest.raises(UserError, match=rf"a\.tif.*{message}"):
        read_series(path)


def test_a_scale_makes_wide_integers_fit(tmp_path: Path) -> None:
    data = image().astype(np.int32) * 100
    path = write_tiff(tmp_path / "a.tif", data)
    back = tifffile.imread(there_and_back(path, scale=0.01))
    assert back.dtype == np.int32 and (back == data).all()


def test_product_scales_give_dn(tmp_path: Path) -> None:
    items = "".join(
        f'<Item name="SCALE" sample="{i}" role="scale">0.0001</Item>'
        f'<Item name="OFFSET" sample="{i}" role="offset">-0.1</Item>'
        for i in range(4)
    )
    frame = read_series(write_tiff(tmp_path / "a.tif", image() + np.uint16(1000), xml=items)).frames[0]
    assert frame.boa_offset and frame.radiometry.plain and (frame.dn() == image()).all()
    landsat = write_tiff(
        tmp_path / "LC08_L2SP_194029_20230101_20230105_02_T1_SR.tif", image(), ["SR_B2", "SR_B3", "SR_B4", "SR_B5"]
    )
    frame = read_series(landsat).frames[0]
    assert np.allclose(frame.dn(), 0.275 * image() - 2000, atol=0.01)


def test_what_is_odd_is_said(tmp_path: Path) -> None:
    data = image()
    data[1], data[3] = 65535, 700
    notes = "; ".join(read_series(write_tiff(tmp_path / "a.tif", data)).notes)
    assert "B03 is saturated all over (65535)" in notes and "B08 is constant (700)" in notes


def test_wrong_options_are_refused() -> None:
    for fields in (
        {"scale": 0.0},
        {"scale": float("nan")},
        {"reader": "other"},
        {"wavelengths": (1.0,)},
        {"bands": ("B02",), "wavelengths": (490.0, 560.0)},
    ):
        with pytest.raises(UserError):
            ReadOptions(**fields)  # type: ignore[arg-type]


# --- through the codec --------------------------------------------------------------------------------------


def test_negative_values_and_nodata_come_through_the_codec(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = land()[0].astype(np.int32) - 1500
    data = np.maximum(data, -100).astype(np.int16)
    data[:, :3], data[3, 20:30, 20:30] = -9999, -9999
    write_tiff(tmp_path / "a.tif", data, nodata="-9999")
    assert main(["compress", str(tmp_path / "a.tif"), "-o", str(tmp_path / "a.swp"), "--quality", "0", "--fast"]) == 0
    assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "a.swp"), "--json"]) == 0
    samples = json.loads(capsys.readouterr().out)["samples"]
    assert (samples["dtype"], samples["nodata"], samples["shift"]) == ("int16", -9999, 32768)
    back = tifffile.imread(tmp_path / "out" / "a.tif")
    assert back.dtype == np.int16 and tag(tmp_path / "out" / "a.tif") == "-9999"
    assert ((back == -9999) == (data == -9999)).all()
    held = data != -9999
    error = (back.astype(int) - data)[held]
    assert np.sqrt((error**2).mean()) < 100 and (back[held] < 0).any() and abs(error.mean()) < 5


def test_bytes_come_through_the_codec_as_bytes(tmp_path: Path) -> None:
    data = (land()[0] // 40).clip(1, 255).astype(np.uint8)
    write_tiff(tmp_path / "a.tif", data, list(NAMES))
    assert main(["compress", str(tmp_path / "a.tif"), "-o", str(tmp_path / "a.swp"), "--fast"]) == 0
    assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "out")]) == 0
    back = tifffile.imread(tmp_path / "out" / "a.tif")
    assert back.dtype == np.uint8 and np.sqrt(((back.astype(int) - data) ** 2).mean()) < 8


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16"])
def test_lossless_files_are_equal_in_every_sample_and_tag(tmp_path: Path, dtype: str) -> None:
    nodata = {"uint8": "0", "int16": "-9999", "uint16": "65535"}[dtype]
    data = (land()[0] // 40).clip(0, 255).astype(dtype) if dtype == "uint8" else land()[0].astype(dtype)
    if dtype == "int16":
        data -= 1500
    data[:, :3, 10:40], data[3, 20:30, 20:30], data[1, 40, 40] = (int(nodata),) * 3
    write_tiff(tmp_path / "a.tif", data, nodata=nodata)
    assert main(["compress", str(tmp_path / "a.tif"), "-o", str(tmp_path / "a.swp"), "--lossless"]) == 0
    assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "out")]) == 0
    same_file(tmp_path / "a.tif", tmp_path / "out" / "a.tif")


def test_a_greatest_error_holds_and_makes_no_data_look_like_nodata(tmp_path: Path) -> None:
    data = np.minimum(land()[0], 40)
    data[:, :16] = np.arange(1, 9).astype(np.uint16).repeat(8)
    data[:, :3] = 0
    write_tiff(tmp_path / "a.tif", data, nodata="0")
    assert main(["compress", str(tmp_path / "a.tif"), "-o", str(tmp_path / "a.swp"), "--max-error", "5"]) == 0
    assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "out")]) == 0
    back = tifffile.imread(tmp_path / "out" / "a.tif")
    assert ((back == 0) == (data == 0)).all() and np.abs(back.astype(int) - data).max() <= 5
