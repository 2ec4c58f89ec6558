"""Rasters read by rows of tiles give what reading them whole gives: pixels, masks, holes, radiometry, notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.codec.pixels import tile_windows
from swathpack.edge.frame import Frame
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import ReadOptions, windowed
from swathpack.tools.files.rasters.files import read_files
from swathpack.tools.files.sources import HeldSource

rasterio = pytest.importorskip("rasterio")
SIDE = (300, 310)  # rows are read 256 at a time


def scene(side: tuple[int, int] = SIDE, bands: int = 4, seed: int = 1) -> np.ndarray:
    """(C, H, W) uint16 with pixels without data, some of them of one band alone."""
    data = values(*side, 1, seed)[0, :bands]
    data[:, :90, 250:] = 0
    data[1, 250:262, 20:200] = 0
    data[2, -20, -20] = 0
    return data


def write(path: Path, data: np.ndarray, names: tuple[str, ...], **options: object) -> Path:
    profile = {"driver": "GTiff", "height": data.shape[1], "width": data.shape[2], "count": len(data)}
    profile |= {"dtype": data.dtype, "tiled": True, "blockxsize": 256, "blockysize": 256, "crs": "EPSG:32633"}
    size = options.pop("size", 10)
    transform = rasterio.transform.from_origin(300000, 5000040, size, size)
    with rasterio.open(path, "w", **{**profile, "transform": transform, **options}) as file:
        file.write(data)
        for i, name in enumerate(names):
            file.set_band_description(i + 1, name)
    return path


def check(paths: list[Path], options: ReadOptions | None = None) -> list[Frame]:
    """The frames of files that are the same by rows as whole, with both readers."""
    options = options or ReadOptions()
    compare(paths, replace(options, reader="light"))
    return compare(paths, options)


def compare(paths: list[Path], options: ReadOptions) -> list[Frame]:
    whole = read_files(paths, options)
    rows = windowed.read_windowed(paths, options, 0)
    assert rows is not None and rows.metadata == whole.metadata and rows.groups == whole.groups
    assert rows.notes == whole.notes and rows.dropped == whole.dropped
    for frame, source in zip(whole.frames, rows.frames, strict=True):
        held = HeldSource(frame)
        assert vars(held.outline).keys() == vars(source.outline).keys() and held.masks() == source.masks()
        for name in ("bands", "time", "level", "boa_offset", "grid", "radiometry", "wavelengths"):
            assert getattr(held.outline, name) == getattr(source.outline, name), name
        for window in (w for side in (256, 448, 640) for w in tile_windows(frame.height, frame.width, side)):
            a, b = held.tile(window), source.tile(window)
            assert held.live(window) == source.live(window)
            np.testing.assert_array_equal(a.data, b.data)
            np.testing.assert_array_equal(a.valid, b.valid)
            none = np.zeros(a.data.shape, bool)
            np.testing.assert_array_equal(a.holes if a.holes.size else none, b.holes if b.holes.size else none)
    return list(whole.frames)


def test_a_tiled_geotiff_with_nodata_and_holes(tmp_path: Path) -> None:
    (frame,) = check([write(tmp_path / "a.tif", scene(), ("B02", "B03", "B04", "B08"), nodata=0)])
    assert not frame.valid.all() and frame.holes.any()


def test_no_declared_nodata(tmp_path: Path) -> None:
    (frame,) = check([write(tmp_path / "a.tif", scene(), ("B02", "B03", "B04", "B08"))])
    assert not frame.valid.all()


def test_floats_with_nan_and_a_scale(tmp_path: Path) -> None:
    data = scene().astype(np.float32) / 10000
    data[:, 270:280, 100:250] = np.nan
    path = write(tmp_path / "a.tif", data, ("B02", "B03", "B04", "B08"), nodata=np.nan)
    check([path], ReadOptions(scale=10000.0))


def test_floats_with_nan_in_some_rows_alone(tmp_path: Path) -> None:
    data = scene().astype(np.float32)
    (frame,) = check([write(tmp_path / "zeros.tif", data, ("B02", "B03", "B04", "B08"))])
    assert not frame.valid[:90, 250:].any()
    data[:, 270:280, 100:250] = np.nan
    (frame,) = check([write(tmp_path / "nan.tif", data, ("B02", "B03", "B04", "B08"))])
    assert frame.valid[:90, 250:].all() and not frame.valid[270:280, 100:250].any()


def test_dates_of_several_sizes(tmp_path: Path) -> None:
    names = ("B02", "B03", "B04", "B08")
    large = write(tmp_path / "S2_20230612.tif", scene((301, 170)), names)
    small = write(tmp_path / "S2_20230613.tif", scene((170, 310), seed=4), names, size=20)
    frames = check([large, small], ReadOptions(each_grid=True))
    assert {f.data.shape for f in frames} == {(4, 301, 310)}


@pytest.mark.long
def test_some_bands_of_a_coarser_grid(tmp_path: Path) -> None:
    paths = []
    for name, factor in (("B04", 1), ("B05", 2), ("B11", 2), ("B01", 6)):
        rows, columns = (-(-side // factor) for side in (780, 540))
        path = tmp_path / f"T33UUP_20230612T101031_{name}.tif"
        paths.append(write(path, values(rows, columns, 1, factor)[0, :1], (name,), size=10 * factor))
    (frame,) = check(paths, ReadOptions(bands=("B05", "B11", "B01")))
    assert frame.data.shape == (3, 390, 270)


def test_bands_of_three_grids_one_file_each(tmp_path: Path) -> None:
    paths = []
    for name, factor in (("B04", 1), ("B08", 1), ("B05", 2), ("B01", 6)):
        rows, columns = (-(-side // factor) for side in (780, 270))
        data = values(rows, columns, 1, factor)[0, :1]
        path = tmp_path / f"T33UUP_20230612T101031_{name}.tif"
        paths.append(write(path, data, (name,), size=10 * factor, blockxsize=128, blockysize=128))
    (frame,) = check(paths)
    assert sorted(frame.grid) == [1, 1, 2, 6]


def test_strips_alpha_and_jpeg2000(tmp_path: Path) -> None:
    data = scene()
    alpha = np.concatenate([data[:3], (data.any(axis=0) * 255).astype(np.uint16)[None]])
    colours = [rasterio.enums.ColorInterp[n] for n in ("red", "green", "blue", "alpha")]
    path = write(tmp_path / "a.tif", alpha, ("B04", "B03", "B02"), tiled=False, blockysize=7)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = colours
    check([path])
    if "JP2OpenJPEG" in rasterio.drivers.raster_driver_extensions().values():
        options = {"driver": "JP2OpenJPEG", "quality": "100", "reversible": "yes"}
        check([write(tmp_path / "T33UUP_20230612T101031_B08.jp2", data[:1], (), **options)])


def test_dates_of_which_one_carries_the_offset(tmp_path: Path) -> None:
    data = values(300, 310, 2, 5)[:, :4]
    data[1] += 1000
    names = ("B02", "B03", "B04", "B08")
    paths = [write(tmp_path / f"S2_2023061{i}.tif", d, names) for i, d in enumerate(data)]
    assert [f.boa_offset for f in check(paths)] == [False, True]


def test_small_files_and_cubes_are_read_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", scene(), ("B02", "B03", "B04", "B08"))
    assert windowed.read_windowed([path], ReadOptions()) is None
    assert windowed.read_windowed([path.with_suffix(".npz")], ReadOptions(), 0) is None


def test_a_damaged_block_is_named_with_its_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", scene((530, 601)), ("B02", "B03", "B04", "B08"), compress="deflate")
    held = bytearray(path.read_bytes())
    held[len(held) // 3 : len(held) * 2 // 3] = bytes([255]) * (len(held) * 2 // 3 - len(held) // 3)
    path.write_bytes(held)
    with pytest.raises(UserError, match=r"a\.tif: rows \d+-\d+, columns \d+-\d+ cannot be read"):
        windowed.read_windowed([path], ReadOptions(), 0)
