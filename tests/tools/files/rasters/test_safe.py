"""Sentinel-2 products as ESA ships them, folders and zips, and band files taken out of them."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, NATIVE_M
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.cli import main
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import FileRecord, ReadOptions, read_series
from swathpack.tools.files.rasters.safe import products
from tests.tools.files.rasters.made import CORNER, both_readers, native, write_jp2, write_safe

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")
SIZE = 60  # one pixel of 60 m is 6 x 6 of these


def scene(seed: int = 0, offset: int = 1000) -> dict[str, NDArray[np.uint16]]:
    blocks = values(SIZE, SIZE, seed=seed)[0].reshape(12, 10, 6, 10, 6).mean((2, 4))
    planes = (blocks.repeat(6, 1).repeat(6, 2) + offset).astype(np.uint16)
    planes[:, :6, :12] = 0
    return dict(zip(BANDS, planes))


def classes() -> NDArray[np.uint8]:
    found = np.full((SIZE, SIZE), 4, np.uint8)
    found[20:40, 20:40] = 9
    return found


def zipped(folder: Path) -> Path:
    """The product in an archive, as it is downloaded."""
    return Path(shutil.make_archive(str(folder), "zip", folder.parent, folder.name))


@both_readers
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("level", ["L2A", "L1C"])
def test_a_product_is_read_with_what_its_metadata_says(tmp_path: Path, level: str, packed: bool, reader: str) -> None:
    bands = scene()
    given = bands | ({"B10": bands["B09"]} if level == "L1C" else {})
    path = write_safe(tmp_path, given, level, classes=classes() if level == "L2A" else None)
    series = read_series(zipped(path) if packed else path, options=ReadOptions(reader=reader))
    frame = series.frames[0]
    assert frame.bands == ((*BANDS[:10], "B10", *BANDS[10:]) if level == "L1C" else BANDS)
    assert (frame.level, frame.boa_offset, frame.time) == (level, True, "2023-01-01T10:14:21Z")
    assert frame.grid == tuple((60 if b == "B10" else NATIVE_M[b]) // 10 for b in frame.bands)
    for i, band in enumerate(frame.bands):
        metres = 60 if band == "B10" else NATIVE_M[band]
        assert (frame.to_native()[band] == native(given[band], metres)).all()
        assert not frame.band_valid(i)[:6, :12].any() and frame.band_valid(i)[6:].all()
    if level == "L2A":
        assert series.dropped == ["SCL"] and (series.classes[0] == native(classes(), 20)).all()
    files = {FileRecord.from_json(f).bands[0].name: f for f in series.metadata["files"][0]}
    assert files["B8A"]["georeference"] == {"crs": "EPSG:32632", "transform": [20, 0, CORNER[0], 0, -20, CORNER[1]]}
    assert files["B02"]["nodata"] == 0 and files["B02"]["shape"] == [SIZE, SIZE]


@pytest.mark.parametrize(("offset", "carried"), [(-1000, True), (0, False), (None, False)])
def test_the_offset_of_the_metadata_counts(tmp_path: Path, offset: int | None, carried: bool) -> None:
    path = write_safe(tmp_path, {"B02": scene()["B02"], "B08": scene()["B08"]}, offset=offset)
    frame = read_series(path).frames[0]
    assert frame.boa_offset == carried and frame.radiometry.gain == 1
    assert (frame.dn()[0, 20:] == scene()["B02"][20:].astype(np.float32) - (1000 if carried else 0)).all()


def test_another_quantification_value_is_a_gain(tmp_path: Path) -> None:
    path = write_safe(tmp_path, {"B02": scene()["B02"], "B08": scene()["B08"]}, offset=None)
    metadata = path / "MTD_MSIL2A.xml"
    metadata.write_text(metadata.read_text().replace(">10000<", ">1000<"))
    frame = read_series(path).frames[0]
    assert frame.radiometry.gain == 10 and (frame.dn()[0, 20:] == scene()["B02"][20:] * 10.0).all()


def test_products_of_several_dates_are_a_series(tmp_path: Path) -> None:
    """Mixed baselines, out of order, one of them in a zip."""
    for day, offset in (("20230111", -1000), ("20230101", -1000), ("20211227", None)):
        bands = {b: p for b, p in scene(offset=1000 if offset else 0).items() if b in ("B02", "B03", "B04", "B8A")}
        path = write_safe(tmp_path, bands, offset=offset, sensed=f"{day}T101411")
        tile = path / "GRANULE"
        xml = next(tile.rglob("MTD_TL.xml"))
        xml.write_text(xml.read_text().replace("2023-01-01T", f"{day[:4]}-{day[4:6]}-{day[6:]}T"))
    zipped(path)
    shutil.rmtree(path)
    series = read_series(tmp_path)
    assert [f.time for f in series.frames] == ["2021-12-27T10:14:21Z", "2023-01-01T10:14:21Z", "2023-01-11T10:14:21Z"]
    assert [f.boa_offset for f in series.frames] == [False, True, True]
    assert any("carry the +1,000" in n for n in series.notes)


def test_every_band_comes_back_on_its_own_grid_and_georeference(tmp_path: Path) -> None:
    bands = scene()
    path = write_safe(tmp_path, bands, classes=classes())
    stream = tmp_path / "x.swp"
    assert main(["compress", str(path), "-o", str(stream), "--quality", "8", "--fast"]) == 0
    assert main(["decompress", str(stream), "-o", str(tmp_path / "out")]) == 0
    names = {b: f"T32TQM_20230101T101411_{b}_{NATIVE_M[b]}m.tif" for b in BANDS}
    assert {p.name for p in (tmp_path / "out").iterdir()} == set(names.values())
    for band, name in names.items():
        metres, given = NATIVE_M[band], native(bands[band], NATIVE_M[band])
        with tifffile.TiffFile(tmp_path / "out" / name) as tiff:
            tags, back = {t.code: t.value for t in tiff.pages.first.tags.values()}, tiff.asarray()
        assert back.dtype == np.uint16 and back.shape == given.shape and ((back == 0) == (given == 0)).all()
        assert np.abs(back.astype(int) - given)[given > 0].mean() < 250
        assert tags[33550][:2] == (metres, metres) and tags[33922][3:5] == CORNER and tags[34735][-1] == 32632
        assert str(tags[42113]).strip("\0") == "0"


@both_readers
def test_files_of_one_band_each_are_a_date(tmp_path: Path, reader: str) -> None:
    """As the files lie in IMG_DATA, two dates in one folder, without the product's metadata."""
    bands = {b: scene()[b] for b in ("B02", "B8A", "B11", "B09")}
    for sensed in ("20230101T101411", "20230106T101411"):
        for band, full in bands.items():
            metres = NATIVE_M[band]
            write_jp2(tmp_path / "in" / f"T32TQM_{sensed}_{band}_{metres}m.jp2", native(full, metres))
        write_jp2(tmp_path / "in" / f"T32TQM_{sensed}_SCL_20m.jp2", native(classes(), 20))
    series = read_series(tmp_path / "in", options=ReadOptions(reader=reader))
    assert [f.time for f in series.frames] == ["20230101T101411", "20230106T101411"]
    frame = series.frames[1]
    assert sorted(frame.bands) == sorted(bands) and series.dropped == ["SCL"]
    assert all((frame.to_native()[b] == native(bands[b], NATIVE_M[b])).all() for b in bands)


def test_one_jpeg2000_file_is_a_frame(tmp_path: Path) -> None:
    path = write_jp2(tmp_path / "T32TQM_20230101T101411_B04.jp2", scene()["B04"])
    frame = read_series(path).frames[0]
    assert frame.bands == ("B04",) and (frame.data[0] == scene()["B04"]).all()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no metadata", "expected a Sentinel-2 product"),
        ("no bands", "expected JPEG2000 files"),
        ("xml", "not readable XML"),
        ("cut band", "not a readable"),
        ("two tiles", "expected one tile a product, found 2"),
        ("zip", "not a readable zip"),
    ],
)
def test_damaged_products_are_refused_by_name(tmp_path: Path, damage: str, message: str) -> None:
    path = write_safe(tmp_path, {"B02": scene()["B02"]})
    granule = next((path / "GRANULE").iterdir())
    if damage == "no metadata":
        (path / "MTD_MSIL2A.xml").unlink()
    elif damage == "no bands":
        shutil.rmtree(granule / "IMG_DATA")
    elif damage == "xml":
        (path / "MTD_MSIL2A.xml").write_text("<a><b></a>")
    elif damage == "cut band":
        band = next(granule.rglob("*_B02_10m.jp2"))
        band.write_bytes(band.read_bytes()[: band.stat().st_size // 20])
    elif damage == "two tiles":
        shutil.copytree(granule, granule.with_name("L2A_T32TQN"))
    else:
        path = tmp_path / "x.zip"
        path.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(UserError, match=message):
        read_series(path)


def test_a_zip_that_holds_no_product_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(UserError, match=r"a\.zip: expected a Sentinel-2 product"):
        read_series(tmp_path / "a.zip")


def test_real_bands_through_a_product(tmp_path: Path) -> None:
    """A cube of the shared data as a product: the planes come out of the JPEG2000 files as they went in."""
    cube = Path(__file__).resolve().parents[4] / "shared" / "data" / "val" / "terramind-l2a__609U_541L_3_0.npz"
    found = sorted(cube.parent.glob("*terramind-l2a*")) if cube.parent.is_dir() else []
    if not found:
        pytest.skip("no ../shared/data")
    with np.load(found[0]) as archive:
        bands = dict(zip([str(b) for b in archive["bands"]], archive["data"][0, :, :120, :120]))
    bands = {b: p for b, p in bands.items() if b in BANDS}
    product = products(write_safe(tmp_path, bands))[0]
    assert list(product.bands) == [b for b in BANDS if b in bands] and product.offset == 1000
    frame = read_series(tmp_path).frames[0]
    assert all((frame.to_native()[b] == native(p, NATIVE_M[b])).all() for b, p in bands.items())


def test_wavelengths_of_a_product_are_refused(tmp_path: Path) -> None:
    """Its bands are known; before, the numbers were read and passed over."""
    folder = write_safe(tmp_path, scene())
    with pytest.raises(UserError, match="SAFE: expected no --wavelengths for a SAFE product"):
        read_series(folder, options=ReadOptions(wavelengths=(490.0,)))


def test_a_product_in_two_forms_is_one_product(tmp_path: Path) -> None:
    path = write_safe(tmp_path, scene())
    packed = zipped(path)
    with pytest.raises(UserError, match=f"{packed.name} holds the same product as .*{path.name}: give one of them"):
        read_series(tmp_path)
    assert len(read_series(packed).frames) == 1


def test_bands_of_several_grids_are_no_single_tif(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream, target = tmp_path / "a.swp", tmp_path / "a.tif"
    assert main(["compress", str(write_safe(tmp_path, scene())), "-o", str(stream), "--quality", "40"]) == 0
    capsys.readouterr()
    assert main(["decompress", str(stream), "-o", str(target)]) == 1 and not target.exists()
    said = capsys.readouterr().err
    assert "a.tif: one .tif holds one file, these are 12 (one a grid, band or date): give a folder" in said
    assert ".swathpack-part" not in said
    assert main(["decompress", str(stream), "-o", str(target), "--bands", "B04"]) == 0 and target.exists()
