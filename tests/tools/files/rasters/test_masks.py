"""Masks inside files, in sidecars, as alpha: they are the validity mask, and they come back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.tools.cli import main
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import ReadOptions, read_series, write_series
from swathpack.tools.files.rasters.scene import opened
from tests.tools.files.rasters.made import NAMES, both_readers, have_rasterio, image, land, write_tiff

tifffile = pytest.importorskip("tifffile")
KINDS = ("internal", "sidecar", "alpha")


def holes(height: int = 33, width: int = 47) -> NDArray[np.bool_]:
    mask = np.ones((height, width), np.bool_)
    mask[:7, 3:20] = mask[25:, 40:] = False
    return mask


def write(path: Path, kind: str, data: NDArray[np.uint16], mask: NDArray[np.bool_]) -> Path:
    if kind == "internal":
        return write_tiff(path, data, mask=mask)
    if kind == "alpha":
        alpha = np.where(mask, 65535, 0).astype(np.uint16)[None]
        return write_tiff(path, np.concatenate([data, alpha]), NAMES, extrasamples=[0, 0, 0, 2])
    write_tiff(path, data)
    items = "".join(f'<Item name="INTERNAL_MASK_FLAGS_{i + 1}">2</Item>' for i in range(len(data)))
    flags = f"<GDALMetadata>{items}</GDALMetadata>"
    tifffile.imwrite(
        path.with_name(path.name + ".msk"),
        mask.astype(np.uint8) * 255,
        metadata=None,
        extratags=[(42112, 2, len(flags) + 1, flags, True)],
    )
    return path


def mask_in(path: Path, kind: str) -> NDArray[np.bool_]:
    """The mask that lies in a file, read from its bytes without our reader."""
    if kind == "sidecar":
        found = tifffile.imread(path.with_name(path.name + ".msk"))
    elif kind == "alpha":
        found = tifffile.imread(path)[-1]
    else:
        with tifffile.TiffFile(path) as tiff:
            assert [int(p.subfiletype) for p in tiff.pages] == [0, 4]
            found = tiff.pages[1].asarray()
    return np.asarray(found != 0)


@both_readers
@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_is_the_validity_and_comes_back(tmp_path: Path, kind: str, reader: str) -> None:
    path = write(tmp_path / "a.tif", kind, image(), holes())
    series = read_series(path, options=ReadOptions(reader=reader))
    assert (series.frames[0].valid == holes()).all() and series.frames[0].bands == NAMES
    write_series(series, tmp_path / "out")
    back = tmp_path / "out" / "a.tif"
    assert (mask_in(back, kind) == holes()).all()
    again = tifffile.imread(back)
    assert again.dtype == np.uint16 and (again[:4][:, holes()] == image()[:, holes()]).all()
    assert (read_series(back, options=ReadOptions(reader=reader)).frames[0].valid == holes()).all()


@pytest.mark.skipif(not have_rasterio(), reason="rasterio is not installed")
@pytest.mark.parametrize("kind", KINDS)
def test_gdal_reads_the_masks_we_write(tmp_path: Path, kind: str) -> None:
    import rasterio

    path = write(tmp_path / "a.tif", kind, image(), holes())
    write_series(read_series(path), tmp_path / "out")
    with rasterio.open(path) as before, rasterio.open(tmp_path / "out" / "a.tif") as after:
        assert before.mask_flag_enums == after.mask_flag_enums and before.colorinterp == after.colorinterp
        assert before.count == after.count and before.crs == after.crs and before.transform == after.transform
        assert (before.read_masks() == after.read_masks()).all()
        alpha = after.read(5) if kind == "alpha" else after.dataset_mask()
        assert ((alpha > 0) == holes()).all()


@pytest.mark.skipif(not have_rasterio(), reason="rasterio is not installed")
@pytest.mark.parametrize("inside", [True, False])
def test_masks_that_gdal_writes_are_read(tmp_path: Path, inside: bool) -> None:
    import rasterio

    path = tmp_path / "a.tif"
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=33,
            width=47,
            count=4,
            dtype="uint16",
            crs="EPSG:32632",
            transform=rasterio.Affine(10, 0, 4e5, 0, -10, 4e6),
            tiled=True,
            compress="deflate",
        ) as file,
    ):
        file.write(image())
        file.write_mask(holes())
        file.descriptions = NAMES
    assert path.with_name("a.tif.msk").exists() != inside
    for reader in ("light", "rasterio"):
        frame = read_series(path, options=ReadOptions(reader=reader)).frames[0]
        assert (frame.valid == holes()).all() and (frame.data[:, holes()] == image()[:, holes()]).all()
    write_series(read_series(path), tmp_path / "out")
    with rasterio.open(path) as before, rasterio.open(tmp_path / "out" / "a.tif") as after:
        assert before.mask_flag_enums == after.mask_flag_enums  # of a sidecar the first band alone was masked
        assert (before.read_masks() == after.read_masks()).all()


@both_readers
def test_mask_and_nodata_together_both_come_back(tmp_path: Path, reader: str) -> None:
    data = image()
    data[:, 20:22] = 65535
    path = write_tiff(tmp_path / "a.tif", data, nodata="65535", mask=holes())
    series = read_series(path, options=ReadOptions(reader=reader))
    expected = holes()
    expected[20:22] = False
    assert (series.frames[0].valid == expected).all()
    write_series(series, tmp_path / "out")
    assert (tifffile.imread(tmp_path / "out" / "a.tif")[:, 20:22] == 65535).all()
    assert not mask_in(tmp_path / "out" / "a.tif", "internal")[20:22].any()


@both_readers
def test_a_band_with_a_name_is_no_alpha(tmp_path: Path, reader: str) -> None:
    """GDAL marks the fourth band of 8-bit images as alpha; aerial images have near infrared there."""
    data = np.minimum(image(), 200).astype(np.uint8)
    path = write_tiff(tmp_path / "a.tif", data, ["red", "green", "blue", "nir"], photometric="rgb", extrasamples=[2])
    series = read_series(path, options=ReadOptions(reader=reader))
    assert series.frames[0].bands == ("B04", "B03", "B02", "B08") and (series.frames[0].data == data).all()
    write_series(series, tmp_path / "out")
    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as tiff:
        page = tiff.pages.first
        assert int(page.photometric) == 2 and [int(e) for e in page.extrasamples] == [2]
        assert (page.asarray() == data).all()


@both_readers
def test_an_alpha_that_is_more_than_yes_and_no_is_asked_about(tmp_path: Path, reader: str) -> None:
    data = np.minimum(image(), 200).astype(np.uint8)
    path = write_tiff(tmp_path / "a.tif", data, None, photometric="rgb", extrasamples=[2])
    with pytest.raises(UserError, match=r"alpha band.*--bands"):
        read_series(path, options=ReadOptions(reader=reader))
    named = ReadOptions(("red", "green", "blue", "nir"), reader=reader)
    assert read_series(path, options=named).frames[0].bands == ("B04", "B03", "B02", "B08")


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", image())
    tifffile.imwrite(tmp_path / "a.tif.msk", np.ones((5, 5), np.uint8), metadata=None)
    with pytest.raises(UserError, match=r"a\.tif: its mask has"):
        read_series(path, options=ReadOptions(reader="light"))


def test_opening_keeps_areas_and_drops_specks() -> None:
    mask = np.zeros((12, 12), np.bool_)
    mask[2:5, 2:5] = mask[8, 8] = mask[10:, 0:2] = True
    kept = opened(mask)
    assert kept[2:5, 2:5].all() and kept.sum() == 9 + kept[9:, :3].sum() and not kept[8, 8]
    assert opened(np.ones((2, 3), np.bool_)).all() and not opened(np.zeros((2, 3), np.bool_)).any()


@pytest.mark.long
def test_a_mask_comes_through_the_codec(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", "internal", land()[0], holes(48, 64))
    assert main(["compress", str(path), "-o", str(tmp_path / "a.swp"), "--fast"]) == 0
    assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "b.tif")]) == 0
    assert (mask_in(tmp_path / "b.tif", "internal") == holes(48, 64)).all()
    sidecar = write(tmp_path / "c.tif", "sidecar", land()[0], holes(48, 64))
    assert main(["compress", str(sidecar), "-o", str(tmp_path / "c.swp"), "--fast"]) == 0
    assert main(["decompress", str(tmp_path / "c.swp"), "-o", str(tmp_path / "d.tif")]) == 0
    assert (mask_in(tmp_path / "d.tif", "sidecar") == holes(48, 64)).all()
    assert sorted(p.name for p in tmp_path.glob("*.msk")) == ["c.tif.msk", "d.tif.msk"]
