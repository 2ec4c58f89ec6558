"""Series in .npz: round trips with every key, native grids, refusals by name."""

import json
from datetime import date, datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import ReadOptions, pack_metadata, read_series, unpack_metadata, write_series
from swathpack.tools.files.rasters.series import array_from_json, array_to_json


def cube(dates=3, bands=4, seed=0):
    return np.random.default_rng(seed).integers(1, 9000, (dates, bands, 10, 14), np.uint16)


KEYS = {
    "bands": np.array(["B02", "B03", "B04", "B08"]),
    "dates": np.array(["2020-01-01", "2020-02-03", "unknown"]),
    "level": np.array("L2A (MAJA FRE)"),
    "boa_offset_1000": np.array("no (by min value)"),
    "group": np.array("a__b"),
    "transform": np.array([10.0, 0, 5e5, 0, -10, 4e6]),
    "scl": np.arange(5000, dtype=np.uint8),
}


def same(path, keys):
    with np.load(path) as archive:
        assert set(archive.files) == set(keys)
        for key, value in keys.items():
            assert archive[key].dtype == value.dtype and (archive[key] == value).all(), key


def test_round_trip_keeps_every_key(tmp_path):
    keys = KEYS | {"data": cube()}
    np.savez(tmp_path / "in.npz", **keys)
    series = read_series(tmp_path / "in.npz")
    first = series.frames[0]
    assert len(series) == 3 and first.level == "L2A" and not first.boa_offset and first.time == "2020-01-01"
    series.metadata = unpack_metadata(pack_metadata(json.loads(json.dumps(series.metadata))))
    write_series(series, tmp_path / "out.npz")
    same(tmp_path / "out.npz", keys)


def test_only_data_and_bands_are_needed(tmp_path):
    np.savez(tmp_path / "in.npz", data=cube()[0], bands=KEYS["bands"])
    series = read_series(tmp_path / "in.npz")
    assert len(series) == 1 and series.frames[0].time is None and series.frames[0].level == "unknown"
    write_series(series, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as archive:
        assert archive["data"].shape == (4, 10, 14) and "dates" not in archive


def test_offset_flag_and_float_data(tmp_path):
    data = cube().astype(np.float32)
    data[0, :, 0, 0] = np.nan
    np.savez(tmp_path / "in.npz", data=data, bands=KEYS["bands"], boa_offset_1000="yes")
    series = read_series(tmp_path / "in.npz")
    assert series.frames[0].boa_offset and not series.frames[0].valid[0, 0]
    write_series(series, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as archive:
        assert archive["data"].dtype == np.float32 and np.array_equal(archive["data"], data, equal_nan=True)


def test_bands_are_named_or_picked(tmp_path):
    np.savez(tmp_path / "in.npz", data=cube())
    with pytest.raises(UserError, match="--bands"):
        read_series(tmp_path / "in.npz")
    named = read_series(tmp_path / "in.npz", bands=["B2", "B3", "B4", "B8"])
    assert named.frames[0].bands == ("B02", "B03", "B04", "B08")
    np.savez(tmp_path / "named.npz", data=cube(), bands=KEYS["bands"])
    picked = read_series(tmp_path / "named.npz", bands=["B08", "B02"])
    assert picked.frames[0].bands == ("B08", "B02")
    assert (picked.frames[1].data[0] == cube()[1, 3]).all()


@pytest.mark.parametrize("names", [{}, {"bands": np.array(["B01", "B02", "B03"])}])
@pytest.mark.parametrize("waves", [(482.0, 561.0), (482.0, 561.0, 655.0, 865.0)])
def test_wavelengths_are_of_all_bands(tmp_path, names, waves):
    np.savez(tmp_path / "a.npz", data=np.full((3, 4, 5), 700, np.uint16), **names)
    with pytest.raises(UserError, match=rf"a.npz: --wavelengths names {len(waves)} bands, 'data' has 3 planes"):
        read_series(tmp_path / "a.npz", options=ReadOptions(wavelengths=waves))


def test_native_grids_come_back_on_their_grids(tmp_path):
    rng = np.random.default_rng(1)
    keys = {
        "data_10m": rng.integers(1, 9999, (2, 2, 13, 20), np.uint16),
        "bands_10m": np.array(["B02", "B08"]),
        "data_20m": rng.integers(1, 9999, (2, 1, 7, 10), np.uint16),
        "bands_20m": np.array(["B05"]),
        "data_60m": rng.integers(1, 9999, (2, 1, 3, 4), np.uint16),
        "bands_60m": np.array(["B09"]),
        "level": np.array("L2A"),
        "boa_offset_1000": np.array("no"),
        "dates": np.array(["a", "b"]),
    }
    np.savez(tmp_path / "in.npz", **keys)
    series = read_series(tmp_path / "in.npz")
    assert series.frames[0].data.shape == (4, 13, 20) and series.frames[0].grid == (1, 1, 2, 6)
    write_series(series, tmp_path / "out.npz")
    same(tmp_path / "out.npz", keys)


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"bands": KEYS["bands"]}, "'data'"),
        ({"data": cube(), "bands": KEYS["bands"][:3]}, "names 3 bands"),
        ({"data": cube(), "bands": np.array(["B02", "red", "B04", "B08"])}, "'red' and 'B04' are both"),
        ({"data": cube(), "bands": KEYS["bands"], "dates": np.array(["x"])}, "'dates' has 1"),
        ({"data": cube()[0, 0], "bands": KEYS["bands"]}, "expected .T, C, H, W."),
        ({"data": cube().astype("U5"), "bands": KEYS["bands"]}, "expected numbers"),
        ({"data": cube() / 1e5, "bands": KEYS["bands"]}, "multiply by 10000"),
        ({"data": cube(), "bands": KEYS["bands"], "boa_offset_1000": np.zeros(2)}, "boa_offset_1000"),
        ({"data": cube(), "bands": KEYS["bands"], "note": np.array([{}], object)}, "'note' cannot be read"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path, keys, message):
    np.savez(tmp_path / "bad.npz", **keys)
    with pytest.raises(UserError, match=message) as caught:
        read_series(tmp_path / "bad.npz")
    assert "bad.npz" in str(caught.value)


def test_damaged_and_missing_files(tmp_path):
    np.savez_compressed(tmp_path / "cut.npz", data=cube(), bands=KEYS["bands"])
    whole = (tmp_path / "cut.npz").read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 3):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.npz"):
            read_series(tmp_path / "cut.npz")
    with pytest.raises(UserError, match="no such file"):
        read_series(tmp_path / "absent.npz")
    (tmp_path / "picture.png").write_bytes(b"png")
    with pytest.raises(UserError, match=r"picture\.png"):
        read_series(tmp_path / "picture.png")


def test_metadata_is_bounded_and_checked():
    packed = pack_metadata({"a": "x" * 10_000})
    assert len(packed) < 100 and unpack_metadata(packed)["a"][:2] == "xx"
    assert pack_metadata({}) == b"" and unpack_metadata(b"") == {}
    with pytest.raises(UserError, match="larger than 100"):
        unpack_metadata(packed, limit=100)
    with pytest.raises(UserError, match="damaged"):
        unpack_metadata(packed[:-3] + b"abc")


@pytest.mark.parametrize(
    "array",
    [
        np.array("text"),
        np.arange(6).reshape(2, 3),
        np.array([1.5, np.nan]),
        np.zeros((80, 90), np.float32),
        np.array([True, False]),
    ],
)
def test_arrays_survive_json(array):
    back = array_from_json(json.loads(json.dumps(array_to_json(array))))
    assert back.dtype == array.dtype and back.shape == array.shape
    assert np.array_equal(back, array, equal_nan=array.dtype.kind == "f")


# --- names, dates and types of archives ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        np.array([b"B02", b"B03", b"B04", b"B08"]),
        np.array(["B2", "b3", "B4", "b08"]),
        np.array(["blue", "green", "red", "nir"]),
    ],
)
@pytest.mark.parametrize(
    "dates",
    [
        np.array([b"2020-01-01", b"2020-01-06", b"2020-01-11"]),
        np.array(["2020-01-01", "2020-01-06", "2020-01-11"], "M8[D]"),
        np.array(["2020-01-01T10:11:12", "2020-01-06T10:11:12", "2020-01-11T10:11:12"], "M8[ns]"),
        np.array(["2020-01-01T10:11:12.5", "2020-01-06T10", "2020-01-11T10"], "M8[ms]"),
    ],
)
def test_names_and_dates_come_back_in_their_kind(tmp_path, names, dates):
    np.savez(tmp_path / "in.npz", data=cube(), bands=names, dates=dates)
    series = read_series(tmp_path / "in.npz")
    assert series.frames[0].bands == ("B02", "B03", "B04", "B08")
    assert all(f.time.startswith("2020-01-") and "b'" not in f.time for f in series.frames)
    write_series(series, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as back:
        assert back["bands"].dtype == names.dtype and (back["bands"] == names).all()
        assert back["dates"].dtype == dates.dtype and (back["dates"] == dates).all()


def test_short_dates_stay_short(tmp_path):
    np.savez(tmp_path / "in.npz", data=cube(1), bands=KEYS["bands"], dates=np.array(["2020-01-01"], "M8[ns]"))
    assert read_series(tmp_path / "in.npz").frames[0].time == "2020-01-01"


def test_datetime_objects_are_read_and_nothing_else_is_unpickled(tmp_path):
    objects = np.array([datetime(2020, 1, 1), date(2020, 1, 6), datetime(2020, 1, 11, 10, tzinfo=timezone.utc)], object)
    np.savez(tmp_path / "in.npz", data=cube(), bands=KEYS["bands"], dates=objects)
    assert [f.time for f in read_series(tmp_path / "in.npz").frames] == [
        "2020-01-01",
        "2020-01-06",
        "2020-01-11T10:00:00+00:00",
    ]
    np.savez(tmp_path / "bad.npz", data=cube(), bands=KEYS["bands"], dates=np.array([_Marker(tmp_path)] * 3, object))
    with pytest.raises(UserError, match=r"bad\.npz: key 'dates' cannot be read as dates"):
        read_series(tmp_path / "bad.npz")
    assert not (tmp_path / "touched").exists()


class _Marker:
    """Touches a file when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return Path.touch, (self.folder / "touched",)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float16", "float32", "float64"])
def test_every_type_comes_back(tmp_path, dtype):
    data = np.minimum(cube(), 250).astype(dtype)
    np.savez(tmp_path / "in.npz", data=data, bands=KEYS["bands"])
    write_series(read_series(tmp_path / "in.npz"), tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as back:
        assert back["data"].dtype == data.dtype and (back["data"] == data).all()


def test_a_nodata_key_counts_and_comes_back(tmp_path):
    data = cube().astype(np.int16)
    data[:, :, :2] = -9999
    np.savez(tmp_path / "in.npz", data=data, bands=KEYS["bands"], nodata=np.int16(-9999))
    series = read_series(tmp_path / "in.npz")
    assert (~series.frames[0].valid).sum() == 28
    write_series(series, tmp_path / "out.npz")
    same(
        tmp_path / "out.npz",
        {
            "data": data,
            "bands": KEYS["bands"],
            "nodata": np.array(-9999, np.int16),
            "level": np.array("unknown"),
            "boa_offset_1000": np.array("no"),
        },
    )
    np.savez(tmp_path / "bad.npz", data=data, bands=KEYS["bands"], nodata="none")
    with pytest.raises(UserError, match="'nodata': expected one number"):
        read_series(tmp_path / "bad.npz")


def test_reflectances_with_a_scale(tmp_path):
    np.savez(tmp_path / "in.npz", data=(cube() / 1e4).astype(np.float32), bands=KEYS["bands"])
    series = read_series(tmp_path / "in.npz", options=ReadOptions(scale=10000))
    assert (series.frames[0].data == cube()[0]).all()


@pytest.mark.parametrize("dtype", ["(,)f4", ",", "f4,(", "f4,f4", "(2,)f4", "O", "|O", ["<u2"], 5, None, "<U999999999"])
def test_types_that_no_array_says_of_itself_are_refused_in_words(dtype):
    """Found by fuzzing: numpy parses some texts as Python, and a SyntaxError is no ValueError."""
    with pytest.raises(UserError, match="metadata: expected an array"):
        array_from_json({"dtype": dtype, "shape": [2], "values": [1, 2]})


def on_grids(path, **keys):
    """Three planes of 10 m, two of 20 m."""
    np.savez(path, data_10m=np.full((3, 4, 4), 700, np.uint16), data_20m=np.full((2, 2, 2), 800, np.uint16), **keys)
    return path


@pytest.mark.parametrize("named", [False, True])
def test_wavelengths_go_through_the_native_grids_in_order(tmp_path, named):
    names = {"bands_10m": ["B08", "B11", "B12"], "bands_20m": ["x", "y"]} if named else {}
    path = on_grids(tmp_path / "a.npz", **names)
    frame = read_series(path, options=ReadOptions(wavelengths=(490, 560, 665, 705, 740))).frames[0]
    assert frame.bands == ("B02", "B03", "B04", "B05", "B06") and frame.wavelengths == (490, 560, 665, 705, 740)
    assert frame.grid == (1, 1, 1, 2, 2)
    with pytest.raises(UserError, match="--wavelengths names 3 bands, 'data_10m' has 3 planes, 'data_20m' has 2 pl"):
        read_series(path, options=ReadOptions(wavelengths=(490, 560, 665)))
    with pytest.raises(UserError, match="different bands on the native grids.*490 nm.*495 nm.*as B02"):
        read_series(path, options=ReadOptions(wavelengths=(490, 560, 665, 705, 495)))


def test_names_go_through_the_native_grids_in_order_where_there_are_none(tmp_path):
    names = ["B02", "B03", "B04", "B05", "B06"]
    assert read_series(on_grids(tmp_path / "a.npz"), bands=names).frames[0].bands == tuple(names)
    path = on_grids(tmp_path / "b.npz", bands_10m=names[:3], bands_20m=names[3:])
    assert read_series(path, bands=["B05", "B03"]).frames[0].bands == ("B05", "B03")
    with pytest.raises(UserError, match="--bands: no B08"):
        read_series(path, bands=["B02", "B03", "B04", "B05", "B08"])
