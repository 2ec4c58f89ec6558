"""NetCDF, Zarr and cloud-optimised outputs, opened by xarray, rioxarray and rasterio."""

from __future__ import annotations

import errno
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swathpack.edge.frame import Frame
from swathpack.hil_tests.simulation.made_frames import series as made_frames
from swathpack.tools.errors import MissingPackageError, RefusedError, UserError
from swathpack.tools.files.rasters import Series, output_of, read_series, write_series
from swathpack.tools.files.rasters.cube import cube_of
from swathpack.tools.files.rasters.sink import Sink
from tests.tools.files.rasters.made import NAMES, image, land, write_safe, write_tiff

xarray = pytest.importorskip("xarray")
rioxarray = pytest.importorskip("rioxarray")
rasterio = pytest.importorskip("rasterio")
pytest.importorskip("h5netcdf")
pytest.importorskip("zarr")

FORMS = pytest.mark.parametrize("form", ["nc", "zarr"])


def opened(path: Path, **options: Any) -> Any:
    """The dataset as xarray gives it, its grid mapping among the coordinates."""
    engine = {"engine": "h5netcdf"} if path.suffix == ".nc" else {"engine": "zarr", "consolidated": True}
    return xarray.open_dataset(path, decode_coords="all", **engine, **options)


def written(series: Series, folder: Path, form: str) -> Any:
    with output_of(folder / f"out.{form}") as place:
        write_series(series, place)
    return opened(folder / f"out.{form}", mask_and_scale=False)


def two_dates(folder: Path, **options: Any) -> Series:
    planes = land(dates=2)
    paths = [folder / f"a_2023010{1 + i}.tif" for i in range(2)]
    return read_series([write_tiff(p, d, **options) for p, d in zip(paths, planes)])


@FORMS
def test_bands_times_and_georeference(tmp_path: Path, form: str) -> None:
    series = two_dates(tmp_path, nodata="7")
    found = written(series, tmp_path, form)
    assert list(found.data_vars) == list(NAMES) and found["B02"].dims == ("time", "y", "x")
    for i, name in enumerate(NAMES):
        assert np.array_equal(found[name].values, land(dates=2)[:, i]) and found[name].dtype == np.uint16
        assert found[name].attrs["_FillValue"] == 7
    assert [str(t)[:10] for t in found.time.values] == ["2023-01-01", "2023-01-02"]
    with rasterio.open(tmp_path / "a_20230101.tif") as given:
        band = found["B04"].isel(time=0)
        assert band.rio.crs == given.crs and band.rio.transform(recalc=False) == given.transform
        assert band.rio.transform(recalc=True) == given.transform and band.rio.nodata == 7
        assert (found.x.values[0], found.y.values[0]) == given.xy(0, 0)
    mapping = found["spatial_ref"].attrs
    assert mapping["grid_mapping_name"] == "transverse_mercator" and mapping["longitude_of_central_meridian"] == 9
    assert (found.x.attrs["standard_name"], found.y.attrs["units"]) == ("projection_x_coordinate", "m")
    assert found.attrs["Conventions"] == "CF-1.10" and "a_20230102.tif" in found.attrs["source_files"]


@FORMS
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32"])
def test_a_value_that_data_have_is_no_fill(tmp_path: Path, form: str, dtype: str) -> None:
    """Without data where all bands are 0; of one pixel one band alone is 0, which is a value."""
    values = (image(height=20, width=24) % 200).astype(dtype) + 3
    values[:, 3:6, 4:9], values[1, 10, 11] = 0, 0
    found = written(read_series(write_tiff(tmp_path / "a_20230101.tif", values)), tmp_path, form)
    masked = opened(tmp_path / f"out.{form}")
    for i, name in enumerate(NAMES):
        lacking = np.isnan(masked[name].values[0].astype(float))
        assert lacking[3:6, 4:9].all() and lacking.sum() == 15
        assert (masked[name].values[0] == values[i])[~lacking].all() and found[name].dtype == dtype


@FORMS
def test_no_fill_where_data_have_all_values(tmp_path: Path, form: str) -> None:
    values = np.arange(3 * 400).reshape(3, 20, 20).astype(np.uint8)
    values[:, :2, :5] = 0
    found = written(read_series(write_tiff(tmp_path / "a_20230101.tif", values)), tmp_path, form)
    assert all(
        "_FillValue" not in found[name].attrs and (found[name].values[0] == values[i]).all()
        for i, name in enumerate(NAMES[:3])
    )


@FORMS
@pytest.mark.parametrize("dtype, nodata", [("float32", "nan"), ("int16", "-9999"), ("uint8", "255"), ("float64", "-1")])
def test_every_type_with_its_fill(tmp_path: Path, form: str, dtype: str, nodata: str) -> None:
    values = (image(height=20, width=24) % 200).astype(dtype) + 3
    values[:, 3:6, 4:9] = float(nodata)
    path = write_tiff(tmp_path / "a_20230101.tif", values, nodata=nodata)
    found = written(read_series(path), tmp_path, form)
    assert found["B02"].dtype == dtype and np.array_equal(found["B02"].values[0], values[0], equal_nan=dtype[0] == "f")
    masked = opened(tmp_path / f"out.{form}")["B02"].values[0]
    assert np.isnan(masked[3:6, 4:9]).all() and np.isnan(masked).sum() == 15


@FORMS
def test_native_grids_have_axes_of_their_own(tmp_path: Path, form: str) -> None:
    product = write_safe(tmp_path, {b: image(1, 60, 72, i)[0] + 1000 for i, b in enumerate(("B02", "B05", "B09"))})
    found = written(read_series(product), tmp_path, form)
    assert {v: found[v].shape[1:] for v in ("B02", "B05", "B09")} == {"B02": (60, 72), "B05": (30, 36), "B09": (10, 12)}
    assert found["B05"].dims == ("time", "y_20m", "x_20m") and float(found["y_60m"][0]) == 4500000 - 30
    for name, size in (("B02", 10), ("B05", 20), ("B09", 60)):
        band = found[name].rio.set_spatial_dims(x_dim=found[name].dims[2], y_dim=found[name].dims[1]).isel(time=0)
        assert band.rio.crs == "EPSG:32632" and band.rio.transform() == rasterio.Affine(
            size, 0, 399960, 0, -size, 4500000
        )
    assert str(found.time.values[0])[:23] == "2023-01-01T10:14:21.000" and found.attrs["boa_offset"] == "1000"


@FORMS
def test_arrays_without_anything_said(tmp_path: Path, form: str) -> None:
    frames: list[Frame] = [replace(f, time=t) for f, t in zip(made_frames(20, 30, 2), ("noon", None))]
    found = written(Series(frames), tmp_path, form)
    assert np.array_equal(found["B8A"].values, np.stack([f.data[8] for f in frames]))
    assert "time" not in found.coords and found.attrs["times"] == "noon\n" and "spatial_ref" not in found.variables


@FORMS
def test_scales_of_the_file_are_those_of_the_variable(tmp_path: Path, form: str) -> None:
    xml = "".join(f'<Item name="SCALE" sample="{i}" role="scale">0.0001</Item>' for i in range(4))
    data = image(height=20, width=24)
    found = written(read_series(write_tiff(tmp_path / "a_20230101.tif", data, xml=xml)), tmp_path, form)
    assert np.array_equal(found["B03"].values[0], data[1])
    assert np.allclose(opened(tmp_path / f"out.{form}")["B03"].values[0], data[1] * 1e-4, rtol=1e-6)


@FORMS
def test_dates_of_several_grids_need_a_folder(tmp_path: Path, form: str) -> None:
    series = two_dates(tmp_path)
    files = series.metadata["files"]
    files[1][0]["georeference"] = files[1][0]["georeference"] | {"crs": "EPSG:32633"}
    with pytest.raises(UserError, match="a_20230102.tif is on another grid .* EPSG:32633.* Give a folder"):
        cube_of(series)


@FORMS
def test_outputs_go_as_a_whole(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    series, target = two_dates(tmp_path), tmp_path / f"out.{form}"
    written(series, tmp_path, form).close()
    with pytest.raises(RefusedError, match="exists"):
        output_of(target)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match="No space"), output_of(target, force=True) as place:  # noqa: PT012
        write_series(Series(series.frames[:1], series.metadata | {"files": series.metadata["files"][:1]}), place)
        raise OSError(errno.ENOSPC, "No space left on device")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    with output_of(target, force=True) as place:
        write_series(Series(series.frames[:1], series.metadata | {"files": series.metadata["files"][:1]}), place)
    assert opened(target).sizes["time"] == 1
    if form == "zarr":
        assert not list(target.glob("B02/1.*")), "chunks of the old group are left"
        other = tmp_path / "mine.zarr"
        (other / "sub").mkdir(parents=True)
        with pytest.raises(RefusedError, match="holds no Zarr group"):
            output_of(other, force=True)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = two_dates(tmp_path)
    monkeypatch.setitem(sys.modules, "h5netcdf", None)
    with pytest.raises(MissingPackageError, match=r"h5netcdf: pip install 'swathpack\[geo\]'"):
        write_series(series, tmp_path / "out.nc")
    write_series(series, tmp_path / "out.zarr")


@pytest.mark.parametrize("compression", ["deflate", "zstd"])
def test_cloud_optimised(tmp_path: Path, compression: str) -> None:
    data = np.tile(land(256, 256)[0], (1, 5, 5))[:, :1100, :1200]
    mask = np.ones((1100, 1200), bool)
    mask[:200, :300] = False
    path = write_tiff(tmp_path / "a_20230101.tif", data, xml='<Item name="ORBIT">65</Item>', mask=mask)
    out = tmp_path / "out.tif"
    with output_of(out) as place:
        write_series(read_series(path), place, compression)
    with rasterio.open(out) as found, rasterio.open(path) as given:
        assert found.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert found.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == compression.upper()
        assert found.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
        assert found.overviews(1) == [2, 4] and found.block_shapes[0] == (512, 512)
        assert (found.crs, found.transform, found.descriptions) == (given.crs, given.transform, given.descriptions)
        assert found.tags()["ORBIT"] == "65" and np.array_equal(found.read_masks(1), given.read_masks(1))
        assert np.array_equal(found.read()[:, mask], given.read()[:, mask])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a_20230101.tif", "out.tif"]


def test_only_geotiffs_are_cloud_optimised(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--cog makes GeoTIFFs"):
        write_series(two_dates(tmp_path), tmp_path / "out.nc", "deflate")
    written = write_series(two_dates(tmp_path), tmp_path / "out", "deflate")
    assert [p.name for p in written] == ["a_20230101.tif", "a_20230102.tif"]


@pytest.mark.parametrize("room", [0, 3, 8, 11, 100])
def test_a_sink_reads_back_what_the_disk_refused(tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, whole, rng = Sink(tmp_path / "a"), bytearray(40), np.random.default_rng(room)
    real = sink.file.write
    left = [room]

    def write(data: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = data[: left[0]]
        left[0] -= len(part)
        return real(part)

    monkeypatch.setattr(sink, "file", _Writes(sink.file, write))
    for _ in range(12):
        at, size = int(rng.integers(0, 30)), int(rng.integers(1, 10))
        content = rng.bytes(size)
        sink.seek(at)
        assert sink.write(content) == size
        whole[at : at + size] = content
    end = sink.seek(0, 2)
    sink.seek(0)
    assert sink.read(end) == bytes(whole[:end])
    if room == 100:
        sink.check()
    else:
        with pytest.raises(OSError, match="No space"):
            sink.check()


class _Writes:
    """A file whose writes are another's."""

    def __init__(self, file: Any, write: Any) -> None:
        self._file, self.write = file, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
