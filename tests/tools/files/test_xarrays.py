"""DataArrays of xarray as they come from rioxarray, NetCDF and by hand: values, types, nodata, names, times, georeference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import swathpack
from tests.tools.files.rasters.made import NAMES, image, land, write_tiff

xarray = pytest.importorskip("xarray")
rioxarray = pytest.importorskip("rioxarray")
rasterio = pytest.importorskip("rasterio")

PLACE = (10.0, 0.0, 399960.0, 0.0, -10.0, 4500000.0)


def by_hand(values: Any, **attributes: Any) -> Any:
    """(T, 4, h, w) with coordinates of pixel centres."""
    t, _, h, w = values.shape
    coords = {
        "time": np.array([f"2026-05-{1 + 5 * i:02d}T10:00:00" for i in range(t)], "datetime64[ns]"),
        "band": list(NAMES),
        "y": 4500000 - 10 * (np.arange(h) + 0.5),
        "x": 399960 + 10 * (np.arange(w) + 0.5),
    }
    return xarray.DataArray(values, coords, ("time", "band", "y", "x"), attrs={"crs": "EPSG:32632", **attributes})


def same(given: Any, stream: swathpack.Stream) -> None:
    """Values, type and coordinates of a lossless stream are those given."""
    found = stream.to_xarray()
    assert found.dtype == given.dtype and np.array_equal(found.values, given.values, equal_nan=given.dtype.kind == "f")
    for name in ("time", "band", "y", "x"):
        assert np.array_equal(found[name].values, given[name].values), name
    assert (stream.georeference.crs, stream.georeference.transform) == ("EPSG:32632", PLACE)


@pytest.mark.parametrize(
    "dtype, nodata", [("uint16", 0), ("int16", -9999), ("uint8", 255), ("float32", float("nan")), ("int32", -1)]
)
def test_every_type_comes_back_with_its_nodata(dtype: str, nodata: float) -> None:
    values = (land(24, 40, 2) % 250).astype(dtype) + np.dtype(dtype).type(2)
    values[values == nodata] = 3
    values[0, :, 2:7, 3:9] = nodata
    scaled = {} if np.isnan(nodata) else {"nodata": nodata}
    given = by_hand(values, **scaled)
    stream = swathpack.compress(given, lossless=True)
    same(given, stream)
    assert stream.frames[0].modes == ("predictive",) and not stream.frame(0).valid[2:7, 3:9].any()
    back = stream.to_xarray().attrs["nodata"]
    assert back == nodata or np.isnan(back) and np.isnan(nodata)


def test_one_of_rioxarray_is_its_file(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", image(height=40, width=50), nodata="7")
    with rioxarray.open_rasterio(path) as given:
        stream = swathpack.compress(given, bands=NAMES, lossless=True)
        out = stream.to_xarray()
        assert stream.shape == (1, 4, 40, 50) and np.array_equal(out.values[0], given.values)
        assert (
            out.rio.crs == given.rio.crs and out.rio.transform() == given.rio.transform() and out.attrs["nodata"] == 7
        )
    swathpack.decompress(stream, output=tmp_path / "out.tif")
    with rasterio.open(path) as was, rasterio.open(tmp_path / "out.tif") as found:
        assert (found.crs, found.transform, found.nodata) == (was.crs, was.transform, was.nodata)
        assert np.array_equal(found.read(), was.read()) and found.descriptions == was.descriptions
    with rioxarray.open_rasterio(path, masked=True) as masked:
        floats = swathpack.compress(masked, bands=NAMES, lossless=True)
        assert floats.read(0).dtype == np.float32 and floats.to_xarray().dtype == np.float32


def test_bands_of_a_netcdf_file_that_was_written(tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    given = by_hand(land(24, 40, 2))
    swathpack.decompress(swathpack.compress(given, lossless=True), output=tmp_path / "a.nc")
    with xarray.open_dataset(tmp_path / "a.nc", engine="h5netcdf", decode_coords="all", mask_and_scale=False) as found:
        again = swathpack.compress(found[list(NAMES)].to_dataarray("band"), lossless=True)
    same(given, again)
    one = swathpack.compress(found["B04"], lossless=True)
    assert one.bands == ("B04",) and one.georeference.transform == PLACE and one.times[1] == "2026-05-06T10:00:00Z"


def test_a_window_has_the_georeference_of_the_window() -> None:
    stream = swathpack.compress(by_hand(land(24, 40, 1)), lossless=True)
    part = stream.to_xarray(["B03"], window=np.s_[5:9, 20:30])
    assert part.rio.transform() == rasterio.Affine(10, 0, 399960 + 200, 0, -10, 4500000 - 50)


def test_turned_grids_and_degrees() -> None:
    turned = "399960.5 9.5 1.25 4500000.25 1.25 -9.75"
    mapping = xarray.DataArray(0, attrs={"crs_wkt": rasterio.CRS.from_epsg(4326).to_wkt(), "GeoTransform": turned})
    given = xarray.DataArray(land(24, 40)[0], {"band": list(NAMES), "spatial_ref": mapping}, ("band", "lat", "lon"))
    place = swathpack.compress(given, lossless=True).georeference
    assert place.transform == (9.5, 1.25, 399960.5, 1.25, -9.75, 4500000.25)
    assert (place.crs, place.geographic) == ("EPSG:4326", True)


def test_dates_out_of_order_are_sorted_and_said() -> None:
    given = by_hand(land(24, 40, 3)).isel(time=[2, 0, 1])
    stream = swathpack.compress(given, lossless=True)
    assert [t[:10] for t in stream.times if t] == ["2026-05-01", "2026-05-06", "2026-05-11"]
    assert any("out of order" in n for n in stream.notes) and np.array_equal(stream.read(2), given.values[0])


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda a: a.rename(y="row"), "expected dimensions time, band, y, x"),
        (lambda a: a.astype(bool), "expected numbers, found bool"),
        (lambda a: a.astype(str), "expected numbers"),
        (lambda a: a.drop_vars("band"), "bands: expected names of 4 bands, found none"),
        (lambda a: a / 10000, "look like reflectance"),
        (lambda a: a.assign_attrs(crs="nowhere"), "expected a CRS, found 'nowhere'"),
    ],
)
def test_what_is_no_series_is_refused(change: Any, said: str) -> None:
    with pytest.raises(swathpack.Error, match=said):
        swathpack.compress(change(by_hand(land(24, 40, 1))))
