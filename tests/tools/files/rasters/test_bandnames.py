"""Band names: Sentinel-2's in any spelling, colours, wavelengths, sensors, file names; picking and naming."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.tools.cli import main
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import ReadOptions, read_series, write_series
from swathpack.tools.files.rasters.bandnames import (
    band_in_name,
    mapping_note,
    name_bands,
    picked,
    sentinel_name,
    without_band,
)
from swathpack.tools.files.rasters.sensors import landsat_of, linear_of, sensor_of
from tests.tools.files.rasters.made import NAMES, both_readers, image, write_tiff

pytest.importorskip("tifffile")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("B2", "B02"),
        ("b02", "B02"),
        ("B8A", "B8A"),
        ("B8A, central wavelength 865 nm", "B8A"),
        ("Band 4", "B04"),
        ("blue", "B02"),
        ("Red Edge 2", "B06"),
        ("NIR", "B08"),
        ("nir08", "B8A"),
        ("SWIR-1", "B11"),
        ("swir22", "B12"),
        ("coastal aerosol", "B01"),
        ("water vapour", "B09"),
        ("B10", "B10"),
        ("SCL", None),
        ("yellow", None),
        ("B13", None),
        ("", None),
        ("B2x", None),
        ("layer", None),
    ],
)
def test_sentinel_names(text: str, name: str | None) -> None:
    assert sentinel_name(text) == name


@pytest.mark.parametrize(
    ("names", "file", "frames"),
    [
        (["B2, central wavelength 490 nm", "B8A, central wavelength 865 nm", "SCL"], "x", ["B02", "B8A", "SCL"]),
        (
            ["coastal", "blue", "green", "red", "nir", "swir16", "swir22"],
            "landsat8_oli",
            ["B01", "B02", "B03", "B04", "B8A", "B11", "B12"],
        ),
        (["SR_B1", "SR_B5", "SR_B6", "QA_PIXEL"], "x", ["B01", "B8A", "B11", "QA_PIXEL"]),
        (["SR_B1", "SR_B4", "SR_B5"], "LE07_L2SP_x", ["B02", "B08", "B11"]),
        (["B05", "B10"], "HLS.L30.T32TQM.2023001T101411.v2.0", ["B8A", "HLS L30 B10"]),
        (["B05", "B10"], "HLS.S30.T32TQM.2023001T101411.v2.0", ["B05", "B10"]),
        (["blue", "green", "red", "nir"], "20230101_101010_24_2430_3B_AnalyticMS_SR", ["B02", "B03", "B04", "B8A"]),
        (
            [""] * 8,
            "20230101_101010_24_2430_3B_AnalyticMS_SR_8b",
            ["B01", "B02", "green_i", "B03", "yellow", "B04", "B05", "B8A"],
        ),
        (["blue", "green", "red", "nir"], "x", ["B02", "B03", "B04", "B08"]),
        (["550 nm", "0.65 um", "850nm", "1240 nm"], "x", ["B03", "B04", "B08", "1240 nm"]),
        ([""], "T32TQM_20230101_B8A_20m", ["B8A"]),
        ([""] * 12, "x", list(BANDS)),
        ([""] * 13, "x", [*BANDS[:10], "B10", *BANDS[10:]]),
    ],
)
def test_bands_of_sensors(names: list[str], file: str, frames: list[str]) -> None:
    found = name_bands(names, sensor=sensor_of(file, {}), stem=file)
    assert found is not None and [b.frame for b in found.bands] == frames


def test_a_wavelength_in_the_file_is_surer_than_a_name() -> None:
    found = name_bands(["B5", "B2"], wavelengths=[865, 482])
    assert found is not None and [b.frame for b in found.bands] == ["B8A", "B02"]
    assert [b.wavelength_nm for b in found.bands] == [865, 482]


def test_nothing_is_made_up() -> None:
    assert name_bands(["Layer_1", "Layer_2"]) is None and name_bands([""] * 4) is None and name_bands(["x"]) is None
    with pytest.raises(UserError, match="'B04' and 'red' are both B04"):
        name_bands(["B04", "red"])


def test_quality_is_told_honestly() -> None:
    for names, file, told in (
        (["blue", "nir"], "LC08_L2SP_1", "Landsat OLI"),
        (["B2, central wavelength 492 nm"], "x", ""),
        (["blue", "nir"], "x", "bands by colour: blue as B02, nir as B08"),
    ):
        found = name_bands(names, sensor=sensor_of(file, {}), stem=file)
        assert found is not None
        said = mapping_note(found.bands, found.sensor)
        assert told in said and bool(told) == bool(said)
        assert ("model has seen only Sentinel-2" in said) == ("Landsat" in told)


def test_sensors_are_recognised() -> None:
    for name, sensor in (
        ("LC08_L1TP_194029_20230101", "Landsat OLI"),
        ("LC80340322013128", "Landsat OLI"),
        ("LC8", None),
        ("LT05_L2SP_1", "Landsat TM"),
        ("plain", None),
        ("ALLC08_", None),
    ):
        found = sensor_of(name, {})
        assert (found.name if found else None) == sensor
    told = sensor_of("x", {"SPACECRAFT_ID": "LANDSAT_9"})
    assert told is not None and told.name == "Landsat OLI" and landsat_of(["B1"]) is None
    assert linear_of(told, "LC09_L2SP_x") == (0.275, 0.2 / 0.0000275) and linear_of(told, "x") is None


def test_bands_in_file_names() -> None:
    for stem, band, rest in (
        ("T32TQM_20230101_B02_10m", "B02", "T32TQM_20230101_10m"),
        ("LC08_L2SP_194029_20230101_20230105_02_T1_SR_B5", "SR_B5", "LC08_L2SP_194029_20230101_20230105_02_T1"),
        ("HLS.L30.T32TQM.2023001T101411.v2.0.B05", "B05", "HLS.L30.T32TQM.2023001T101411.v2.0"),
        ("scene_nir", "nir", "scene"),
        ("B8A", "B8A", ""),
        ("redwood_2020", None, "redwood_2020"),
    ):
        assert band_in_name(stem) == band and without_band(stem) == rest


# --- in files -----------------------------------------------------------------------------------------------


@both_readers
def test_gdals_sentinel_names_are_read_and_written_again(tmp_path: Path, reader: str) -> None:
    long = [f"{b}, central wavelength {w} nm" for b, w in (("B2", 490), ("B3", 560), ("B4", 665), ("B8", 842))]
    path = write_tiff(tmp_path / "a.tif", image(), long)
    series = read_series(path, options=ReadOptions(reader=reader))
    assert series.frames[0].bands == NAMES and series.notes == []
    write_series(series, tmp_path / "out")
    import tifffile

    for file in (path, tmp_path / "out" / "a.tif"):
        with tifffile.TiffFile(file) as tiff:
            assert all(n in str(tiff.pages.first.tags[42112].value) for n in long)


@both_readers
def test_names_pick_from_files_that_have_more(tmp_path: Path, reader: str) -> None:
    data = np.concatenate([image(), np.full((1, 33, 47), 4, np.uint16)])
    path = write_tiff(tmp_path / "a.tif", data, [*NAMES, "SCL"])
    whole = read_series(path, options=ReadOptions(reader=reader))
    assert whole.frames[0].bands == NAMES and whole.dropped == ["SCL"] and (whole.classes[0] == 4).all()
    some = read_series(path, options=ReadOptions(("B8", "green"), reader=reader))
    assert some.frames[0].bands == ("B08", "B03") and (some.frames[0].data == data[[3, 1]]).all()
    for wanted, message in (
        (("B02", "B11"), "no B11; there are B02, B03, B04, B08, SCL"),
        (("SCL", "B02"), "no reflectances"),
        (("B02", "b2"), "twice"),
    ):
        with pytest.raises(UserError, match=message):
            read_series(path, options=ReadOptions(wanted, reader=reader))


def test_names_of_npz_pick_too(tmp_path: Path) -> None:
    data = np.concatenate([image(), np.full((1, 33, 47), 4, np.uint16)])[None]
    np.savez(tmp_path / "a.npz", data=data, bands=[*NAMES, "SCL"])
    series = read_series(tmp_path / "a.npz", bands=["B02", "B03", "B04", "B08"])
    assert series.frames[0].bands == NAMES and read_series(tmp_path / "a.npz").dropped == ["SCL"]


def test_names_name_what_has_none(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", image(), ["Layer_1", "Layer_2", "Layer_3", "Layer_4"])
    with pytest.raises(UserError, match=r"4 bands with descriptions Layer_1.*name all 4"):
        read_series(path)
    assert read_series(path, bands=["red", "green", "blue", "nir"]).frames[0].bands == ("B04", "B03", "B02", "B08")
    waves = read_series(path, options=ReadOptions(wavelengths=(655, 561, 482, 865)))
    assert waves.frames[0].bands == ("B04", "B03", "B02", "B8A") and waves.frames[0].wavelengths == (655, 561, 482, 865)
    with pytest.raises(UserError, match="--bands names 3"):
        read_series(path, bands=["red", "green", "blue"])
    own = read_series(path, bands=["vv", "vh", "ndvi", "height"])
    assert own.frames[0].bands == ("vv", "vh", "ndvi", "height"), "any names do, as in an .npz"


@pytest.mark.parametrize(
    "count, example", ((1, "1 band .*name it with --bands B02 "), (5, "all 5 with --bands B02.*B08,... "))
)
def test_what_has_no_names_is_told_how_to_name_it(tmp_path: Path, count: int, example: str) -> None:
    path = write_tiff(tmp_path / "a.tif", image(count), [f"Layer_{n}" for n in range(count)])
    with pytest.raises(UserError, match=example + r"\(any names do\)"):
        read_series(path)


def test_other_bands_are_delivered_and_come_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_tiff(
        tmp_path / "x_3B_AnalyticMS_8b.tif",
        image(8),
        ["coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir"],
    )
    frame = read_series(path).frames[0]
    assert frame.bands == ("B01", "B02", "green_i", "B03", "yellow", "B04", "B05", "B8A")
    assert frame.wavelengths[2] == 531 and (frame.data == image(8)).all()
    assert main(["compress", str(path), "-o", str(tmp_path / "a.swp"), "--fast"]) == 0
    said = capsys.readouterr().out
    assert "tiles: 1 transform" in said and "bands of PlanetScope" in said
    assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "b.npz")]) == 0
    assert read_series(tmp_path / "b.npz").frames[0].bands == frame.bands


def test_a_band_that_no_sensor_names_comes_back_exactly(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", image(1), ["1240 nm"])
    assert main(["compress", str(path), "-o", str(tmp_path / "a.swp"), "--lossless"]) == 0
    assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "b.tif")]) == 0
    assert (read_series(tmp_path / "b.tif").frames[0].data == read_series(path).frames[0].data).all()


@pytest.mark.parametrize(
    "sample", ["landsat8_oli_7bands_uint16", "landsat7_etm_6bands_uint8", "naip_20160816_rgbn_uint8"]
)
def test_samples_of_other_sensors_are_read(sample: str) -> None:
    path = Path(__file__).resolve().parents[4] / "shared" / "data" / "sensors" / f"{sample}.tif"
    if not path.is_file():
        pytest.skip("no ../shared/data/sensors")
    frames = {reader: read_series(path, options=ReadOptions(reader=reader)).frames[0] for reader in ("light", "auto")}
    expected = {
        "landsat8": "B01 B02 B03 B04 B8A B11 B12",
        "landsat7": "B02 B03 B04 B08 B11 B12",
        "naip_201": "B04 B03 B02 B08",
    }
    assert " ".join(frames["light"].bands) == expected[sample[:8]]
    assert (frames["light"].data == frames["auto"].data).all() and (frames["light"].valid == frames["auto"].valid).all()


def test_a_file_of_classes_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a band of reflectances, found SCL"):
        read_series(write_tiff(tmp_path / "a.tif", image(1), ["SCL"]))


def test_picked_takes_any_spelling() -> None:
    found = name_bands(["blue", "swir16", "SCL"])
    assert found is not None and picked(found.bands, ["B11", "B2"], "x") == [1, 0]
