"""GeoTIFF series: layouts, compressions, names, georeference, native grids."""

import json

import numpy as np
import pytest

from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import pack_metadata, read_series, unpack_metadata, write_series

tifffile = pytest.importorskip("tifffile")

NAMES = ["B02", "B03", "B04", "B08"]
GEO = [
    (33550, 12, 3, (10.0, 10.0, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 399960.0, 4500000.123456789, 0.0), True),
    (34735, 3, 8, (1, 1, 0, 1, 3072, 0, 1, 32632), True),
    (34737, 2, 22, "WGS 84 / UTM zone 32N|", True),
]


def descriptions(names):
    items = "".join(f'<Item name="DESCRIPTION" sample="{i}" role="description">{n}</Item>' for i, n in enumerate(names))
    text = f'<GDALMetadata><Item name="ORBIT">65</Item>{items}</GDALMetadata>'
    return (42112, 2, len(text) + 1, text, True)


def image(bands=4, shape=(33, 47), seed=0, dtype=np.uint16):
    return np.random.default_rng(seed).integers(1, 9000, (bands, *shape)).astype(dtype)


def write(path, data, names=NAMES, planar=True, extra=(), **options):
    tags = [*GEO, *([descriptions(names)] if names else []), *extra]
    pixels = data if planar else np.moveaxis(data, 0, -1)
    layout = {"planarconfig": "separate" if planar else "contig"} if len(data) > 1 else {}
    tifffile.imwrite(
        path,
        pixels if len(data) > 1 else data[0],
        photometric="minisblack",
        metadata=None,
        software=False,
        extratags=tags,
        **layout,
        **options,
    )


def tags_of(path):
    with tifffile.TiffFile(path) as tiff:
        return {t.code: (t.dtype, t.count, t.value) for t in tiff.pages.first.tags.values() if t.code > 33000}


@pytest.mark.parametrize("planar", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "deflate"},
        {"compression": "lzw", "predictor": 2},
        {"compression": "deflate", "tile": (16, 16)},
    ],
)
def test_series_comes_back_with_its_tags(tmp_path, planar, options):
    for i, date in enumerate(("20200105", "2019-12-31")):
        write(tmp_path / f"S2_{date}.tif", image(seed=i), planar=planar, **options)
    series = read_series(tmp_path)
    assert [f.time for f in series.frames] == ["2019-12-31", "20200105"]
    assert series.frames[0].bands == tuple(NAMES) and (series.frames[0].data == image(seed=1)).all()
    series.metadata = unpack_metadata(pack_metadata(json.loads(json.dumps(series.metadata))))
    write_series(series, tmp_path / "out")
    for name in ("S2_20200105.tif", "S2_2019-12-31.tif"):
        assert tags_of(tmp_path / name) == tags_of(tmp_path / "out" / name)
        with tifffile.TiffFile(tmp_path / name) as a, tifffile.TiffFile(tmp_path / "out" / name) as b:
            assert a.pages.first.planarconfig == b.pages.first.planarconfig
            assert a.pages.first.compression == b.pages.first.compression
            assert (a.asarray() == b.asarray()).all()


def test_unnamed_bands_need_names(tmp_path):
    write(tmp_path / "a.tif", image(), names=None)
    with pytest.raises(UserError, match=r"a\.tif.*--bands"):
        read_series(tmp_path / "a.tif")
    series = read_series(tmp_path / "a.tif", bands=["B2", "B3", "B4", "B8"])
    assert series.frames[0].bands == tuple(NAMES)
    written = write_series(series, tmp_path / "one.tif")
    assert written == [tmp_path / "one.tif"]
    assert read_series(tmp_path / "one.tif").frames[0].bands == tuple(NAMES)


def test_a_subset_of_bands_is_picked_and_written_with_its_names(tmp_path):
    write(tmp_path / "a.tif", image())
    series = read_series(tmp_path / "a.tif", bands=["B08", "B03"])
    assert series.frames[0].bands == ("B08", "B03") and (series.frames[0].data[0] == image()[3]).all()
    write_series(series, tmp_path / "out")
    back = read_series(tmp_path / "out")
    assert back.frames[0].bands == ("B03", "B08") and (back.frames[0].data[1] == image()[3]).all()


def test_native_grids_in_files_of_their_own(tmp_path):
    parts = {
        "x_20200101_10m.tif": (image(2, (24, 30)), ["B02", "B08"]),
        "x_20200101_20m.tif": (image(2, (12, 15), 1), ["B05", "B11"]),
        "x_20200101_60m.tif": (image(1, (4, 5), 2), ["B09"]),
    }
    for name, (data, names) in parts.items():
        write(tmp_path / name, data, names)
    series = read_series(tmp_path)
    assert len(series) == 1 and series.frames[0].time == "20200101"
    assert series.frames[0].grid == (1, 1, 2, 2, 6)
    write_series(series, tmp_path / "out")
    for name in parts:
        assert (tifffile.imread(tmp_path / name) == tifffile.imread(tmp_path / "out" / name)).all()
        assert tags_of(tmp_path / name) == tags_of(tmp_path / "out" / name)


def test_other_nodata_and_types(tmp_path):
    data = image(dtype=np.int16)
    data[:, :3] = -10000
    write(tmp_path / "a.tif", data, extra=[(42113, 2, 7, "-10000", True)])
    series = read_series(tmp_path / "a.tif")
    assert (~series.frames[0].valid).sum() == 3 * 47
    write_series(series, tmp_path / "out")
    assert tifffile.imread(tmp_path / "out" / "a.tif").dtype == np.int16
    assert read_series(tmp_path / "out").frames[0].valid.sum() == 30 * 47


def test_new_files_for_a_series_from_elsewhere(tmp_path):
    np.savez(tmp_path / "in.npz", data=image()[None], bands=NAMES, dates=["2020-01-01"])
    series = read_series(tmp_path / "in.npz")
    written = write_series(series, tmp_path / "out")
    assert [p.name for p in written] == ["000_2020-01-01.tif"]
    assert (read_series(tmp_path / "out").frames[0].data == image()).all()


@pytest.mark.parametrize("lone", [False, True])
def test_new_files_tell_which_pixels_lack_data(lone, tmp_path):
    """By 0 where no pixel with data has it in a band, else by a mask; files that lack nothing say nothing."""
    rasterio = pytest.importorskip("rasterio")
    data = np.stack([image(), image(seed=1)])
    data[0, :, 4:9, :7] = 0
    data[0, 1, 20, 20] = 0 if lone else 1
    np.savez(tmp_path / "in.npz", data=data, bands=NAMES, dates=["2020-01-01", "2020-01-02"])
    first, second = write_series(read_series(tmp_path / "in.npz"), tmp_path / "out")
    with rasterio.open(first) as file:
        assert (file.read() == data[0]).all() and file.nodata == (None if lone else 0)
        for band in range(1, 5):
            lacking = file.read_masks(band) == 0
            assert lacking.sum() == 35 and lacking[4:9, :7].all()
    with rasterio.open(second) as file:
        assert file.nodata is None and file.read_masks().all()
    assert (read_series(tmp_path / "out").frames[0].valid == (data[0] > 0).any(axis=0)).all()


def test_bad_files_are_named(tmp_path):
    (tmp_path / "bad.tif").write_bytes(b"II*\0 not a tiff")
    with pytest.raises(UserError, match=r"bad\.tif"):
        read_series(tmp_path / "bad.tif")
    write(tmp_path / "cut.tif", image(), compression="deflate")
    whole = (tmp_path / "cut.tif").read_bytes()
    for length in (0, 9, 200, len(whole) // 2):
        (tmp_path / "cut.tif").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.tif"):
            read_series(tmp_path / "cut.tif")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="found none"):
        read_series(tmp_path / "empty")
    write(tmp_path / "float.tif", image(dtype=np.float32) / 1e4)
    with pytest.raises(UserError, match="multiply by 10000"):
        read_series(tmp_path / "float.tif")


def test_missing_package_names_the_extra(tmp_path, monkeypatch):
    import sys

    write(tmp_path / "a.tif", image())
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(UserError, match=r"swathpack\[geo\]"):
        read_series(tmp_path / "a.tif")
