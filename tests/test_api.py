"""The Python interface: what goes in comes out, parts are decoded alone, errors are of one family, files are safe."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import swathpack
from swathpack.edge.bands import BANDS
from swathpack.hil_tests.simulation.made_frames import series, values
from swathpack.tools.files import workers
from swathpack.tools.files.lazy import LazyDecoder

close = workers.WorkerPool.close
TIMES = ["2026-05-01", "2026-05-06", "2026-05-11"]


@pytest.fixture(scope="module")
def cube() -> NDArray[np.uint16]:
    return values(40, 300, 3)


@pytest.fixture(scope="module")
def stream(cube: NDArray[np.uint16]) -> swathpack.Stream:
    return swathpack.compress(cube, times=TIMES, level="L2A", quality=30, mode="learned", fast=True)


def test_importing_loads_nothing() -> None:
    code = (
        "import sys, swathpack; print('numpy' in sys.modules, 'swathpack.api' in sys.modules, 'open' in dir(swathpack))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True"]


def test_a_board_has_what_it_flies(tmp_path: Path) -> None:
    package = Path(swathpack.__file__).parent
    (tmp_path / "swathpack").mkdir()
    (tmp_path / "swathpack/__init__.py").write_bytes((package / "__init__.py").read_bytes())
    (tmp_path / "swathpack/edge").symlink_to((package / "edge").resolve())
    # An editable install would find the other parts all the same.
    code = "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'Editable' not in repr(f)]\n"
    code += "import swathpack; print(swathpack.Mission.__name__, swathpack.__file__, hasattr(swathpack, 'compress'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Mission", str(tmp_path / "swathpack/__init__.py"), "False"]


@pytest.mark.parametrize("name", swathpack.__all__)
def test_every_public_name_is_there(name: str) -> None:
    if name in ("Plan", "Outcome", "read_plan"):
        pytest.importorskip("skyfield")
    assert getattr(swathpack, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'unheard_of'"):
        swathpack.unheard_of  # noqa: B018


def test_facts_cost_no_decoding(stream: swathpack.Stream, cube: NDArray[np.uint16]) -> None:
    found = swathpack.open(bytes(stream))
    assert found.shape == cube.shape and found.bands == BANDS and found.times == tuple(TIMES) and len(found) == 3
    assert found.level == "L2A" and found.nbytes == len(bytes(found)) and "3 frames" in repr(found)
    assert [f.time for f in found.frames] == TIMES and found.frames[2].contexts and found.frames[0].contexts == ()
    assert 0 < sum(f.nbytes for f in found.frames) < found.nbytes and found.frames[0].layers == (16, 16)
    assert "_decoder" not in vars(found)


def test_parts_are_those_of_the_whole(stream: swathpack.Stream) -> None:
    whole = swathpack.decompress(stream)
    assert whole.shape == stream.shape and whole.dtype == np.uint16
    for frame, bands, window in (
        (2, ["B04", "B02"], np.s_[10:30, 250:270]),
        (0, None, np.s_[:, -20:]),
        (-1, None, None),
    ):
        part = swathpack.open(bytes(stream)).read(frame, bands, window=window)
        index = [BANDS.index(b) for b in bands or BANDS]
        expected = whole[frame][index] if window is None else whole[frame][index][:, window[0], window[1]]
        np.testing.assert_array_equal(part, expected)
    assert all(np.array_equal(a, b) for a, b in zip(stream, whole))


def test_a_window_decodes_its_tiles_and_their_contexts_alone(
    stream: swathpack.Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[tuple[int, int]] = []
    latent = LazyDecoder.latent

    def watched(self: LazyDecoder, index: int, window: Any) -> Any:
        decoded.append((index, window.index))
        return latent(self, index, window)

    monkeypatch.setattr(LazyDecoder, "latent", watched)
    fresh = swathpack.open(bytes(stream))
    needed, ahead = {2}, [2]
    while ahead:
        new = set(fresh.frames[ahead.pop()].contexts) - needed
        needed |= new
        ahead += new
    fresh.read(2, window=np.s_[0:8, 280:300])
    assert {tile for _, tile in decoded} == {1} and {frame for frame, _ in decoded} <= needed and (2, 1) in decoded
    before = len(decoded)
    fresh.read(2, window=np.s_[0:8, 280:300])
    assert len(decoded) <= before + 1, "contexts are kept"


def test_fewer_layers_are_coarser(stream: swathpack.Stream, cube: NDArray[np.uint16]) -> None:
    errors = [np.abs(stream.read(1, layers=k).astype(float) - cube[1]).mean() for k in (0, 1, 16)]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize(
    ("wish", "check"),
    [
        ({"lossless": True}, lambda size, error: error == 0),
        ({"max_error": 4}, lambda size, error: 0 < error <= 4),
        ({"bytes": 3000}, lambda size, error: 2900 <= size <= 3000),
        ({"bytes_per_frame": 1500}, lambda size, error: 2900 <= size <= 3000),
        ({"quality": 40, "layers": 3, "mode": "learned"}, lambda size, error: size < 3000),
    ],
    ids=str,
)
def test_every_goal_is_met(wish: dict[str, Any], check: Any, cube: NDArray[np.uint16]) -> None:
    given = np.ascontiguousarray(cube[:2, :, :32, :48])
    made = swathpack.compress(given, **wish)
    back = swathpack.decompress(made)
    assert check(made.nbytes, int(np.abs(back.astype(int) - given).max()))


@pytest.mark.long
def test_processes_make_the_same_bytes(monkeypatch: pytest.MonkeyPatch, cube: NDArray[np.uint16]) -> None:
    given, names, opened = cube[:2, 1:4], BANDS[1:4], list[int]()
    alone = swathpack.compress(given, bands=names, bytes=3000)
    monkeypatch.setattr(workers, "LEAST_WORK", 1)
    monkeypatch.setattr(workers.WorkerPool, "close", lambda self: (opened.append(self.workers), close(self)))
    shared = swathpack.compress(given, bands=names, bytes=3000, threads=2)
    assert bytes(shared) == bytes(alone)
    assert opened == [2]


def test_arrays_frames_and_paths_are_alike(tmp_path: Path, cube: NDArray[np.uint16]) -> None:
    small = np.ascontiguousarray(cube[:2, :3, :20, :24])
    names = list(BANDS[:3])
    frames = [swathpack.Frame(x, tuple(names), t) for x, t in zip(small, TIMES)]
    np.savez(tmp_path / "cube.npz", data=small, bands=names, dates=TIMES[:2])
    found = [
        swathpack.compress(small, bands=names, times=TIMES[:2], lossless=True),
        swathpack.compress(frames, lossless=True),
        swathpack.compress(tmp_path / "cube.npz", lossless=True),
        swathpack.compress([str(tmp_path / "cube.npz")], lossless=True),
    ]
    for one in found:
        np.testing.assert_array_equal(swathpack.decompress(one), small)
        assert one.bands == BANDS[:3] and one.times == tuple(TIMES[:2])
    one = swathpack.compress(frames[0], bands=["B02"], lossless=True)
    assert one.bands == ("B02",) and one.shape == (1, 1, 20, 24)


def test_times_of_every_kind(cube: NDArray[np.uint16]) -> None:
    from datetime import date, datetime, timedelta, timezone

    small = np.ascontiguousarray(cube[:, :1, :16, :16])
    times = [date(2026, 5, 1), np.datetime64("2026-05-06T10:20:30", "ns"), None]
    assert swathpack.compress(small, bands=["B02"], times=times).times == ("2026-05-01", "2026-05-06T10:20:30Z", None)
    far = datetime(2026, 5, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert swathpack.compress(small[:1], bands=["B02"], times=[far]).times == ("2026-04-30T23:30:00Z",)


def test_outputs_are_safe(tmp_path: Path, cube: NDArray[np.uint16]) -> None:
    np.savez(tmp_path / "cube.npz", data=cube[:1, :, :16, :16])
    before = (tmp_path / "cube.npz").read_bytes()
    for call in (
        lambda: swathpack.compress(tmp_path / "cube.npz", output=tmp_path / "cube.npz", force=True),
        lambda: swathpack.inpaint(tmp_path / "cube.npz", output=tmp_path / "cube.npz", force=True),
    ):
        with pytest.raises(swathpack.RefusedError, match="is an input"):
            call()
    made = swathpack.compress(tmp_path / "cube.npz", output=tmp_path / "a.swp", lossless=True)
    assert (tmp_path / "a.swp").read_bytes() == bytes(made)
    with pytest.raises(swathpack.RefusedError, match="exists"):
        made.save(tmp_path / "a.swp")
    for write in (made.save, lambda path: swathpack.compress(tmp_path / "cube.npz", output=path)):
        with pytest.raises(swathpack.Error, match="expected a stream's name, such as a.swp, found an image's"):
            write(tmp_path / "a.npz")
    with pytest.raises(swathpack.Error, match="expected a name that ends in"):
        swathpack.decompress(made, output=tmp_path / "x.swp")
    swathpack.decompress(tmp_path / "a.swp", output=tmp_path / "back.npz")
    with np.load(tmp_path / "back.npz") as back:
        np.testing.assert_array_equal(back["data"], cube[:1, :, :16, :16])
    assert (tmp_path / "cube.npz").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.swp", "back.npz", "cube.npz"]


def test_a_cut_stream_says_so(stream: swathpack.Stream) -> None:
    cut = bytes(stream)[: stream.nbytes * 6 // 10]
    with pytest.raises(swathpack.StreamError, match="partial=True") as told:
        swathpack.decompress(cut)
    assert told.value.missing and isinstance(told.value, swathpack.Error)
    assert swathpack.decompress(cut, partial=True).shape == stream.shape
    np.testing.assert_array_equal(swathpack.open(cut).read(0), stream.read(0))
    assert swathpack.inspect(cut)["problems"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c, s: swathpack.compress(c, bytes=20), "bytes 20: expected at least"),
        (lambda c, s: swathpack.compress(c, bytes_per_frame=0), "bytes_per_frame: expected 1 to"),
        (lambda c, s: swathpack.compress(c, bytes=1e5), "bytes: expected a whole number from 1 to"),
        (lambda c, s: swathpack.compress(c, quality="high"), "quality: expected a number from -56 to 63, found 'high'"),
        (lambda c, s: s.read(0, bands="B99"), "no B99 in"),
        (lambda c, s: swathpack.compress(c, bytes=99, lossless=True), "expected one of bytes, lossless"),
        (lambda c, s: swathpack.compress(c, quality=9, max_error=1), "quality goes without lossless and max_error"),
        (lambda c, s: swathpack.compress(c[:, :4]), "bands: expected names of 4 bands"),
        (lambda c, s: swathpack.compress(c[0, 0]), "expected an array"),
        (lambda c, s: swathpack.compress(c, times=["2026"]), "times: expected 3"),
        (lambda c, s: swathpack.compress(c, mode="best"), "mode: expected one of"),
        (lambda c, s: swathpack.compress(c / 1e4), "multiply by 10000"),
        (lambda c, s: swathpack.compress(c.tolist()), "found list"),
        (lambda c, s: swathpack.compress("nowhere.npz"), "no such file: nowhere.npz"),
        (
            lambda c, s: swathpack.compress("nowhere.npz", nodata=7, level="L2A"),
            "nodata, level: expected of arrays alone",
        ),
        (lambda c, s: swathpack.compress(s.frame(0), boa_offset=True), "boa_offset: expected of arrays alone"),
        (lambda c, s: swathpack.inpaint(["nowhere.npz"], level="L2A"), "level: expected of arrays alone"),
        (lambda c, s: swathpack.compress(c, model="/nowhere"), "/nowhere"),
        (lambda c, s: swathpack.open("nowhere.swp"), "cannot read nowhere.swp"),
        (lambda c, s: swathpack.open(b"no stream at all"), "not a SwathPack stream"),
        (lambda c, s: swathpack.open(b""), "not a SwathPack stream"),
        (lambda c, s: swathpack.open(3), "found int"),
        (lambda c, s: s.read(3), "frame: expected -3 to 2, found 3"),
        (lambda c, s: s.read(0, ["B99"]), "B99"),
        (lambda c, s: s.read(0, layers=17), "layers: expected 0 to 16"),
        (lambda c, s: s.read(0, window=np.s_[40:50, :]), "window: expected a part of 40 x 300"),
        (lambda c, s: s.read(0, window=np.s_[::2, :]), "window: expected rows and columns"),
        (lambda c, s: s.read(0, window=(30, 0, 20, 20)), "a part of 40 x 300 pixels as (row, column, height, width)"),
        (lambda c, s: swathpack.decompress(s, window=(0.0, 0, 4, 4)), "window: expected rows and columns"),
        (lambda c, s: swathpack.decompress(s, window=np.s_[0:4]), "window: expected rows and columns"),
        (lambda c, s: swathpack.decompress(s, window=np.s_["a":, :]), "window: expected rows and columns"),
        (lambda c, s: swathpack.decompress(s, dates=["2026-05-06"]), "dates: expected different numbers of 0 to 2"),
        (lambda c, s: s.read(1.0), "frame: expected a whole number, found 1.0"),
        (lambda c, s: s.read(0, layers=2.5), "layers: expected a whole number, found 2.5"),
        (lambda c, s: s.read(0, bands=[]), "bands: expected at least one name"),
        (lambda c, s: swathpack.decompress(s, bands=[]), "bands: expected at least one name"),
        (lambda c, s: swathpack.compress(c, threads=0), "threads: expected 1 to 256, found 0"),
        (lambda c, s: swathpack.open(bytes(s), threads=1.5), "threads: expected a whole number"),
        (lambda c, s: swathpack.compress(c, scale=10000), "scale: expected of files and DataArrays"),
        (lambda c, s: swathpack.inpaint(c, clouds=np.zeros((2, 2))), "clouds: expected shape"),
        (lambda c, s: swathpack.inpaint(c, method="magic"), "method: expected one of"),
        (lambda c, s: swathpack.inpaint(c, frames=[7]), "frames: expected 0 to 2"),
    ],
)
def test_errors_are_one_family(call: Any, said: str, cube: NDArray[np.uint16], stream: swathpack.Stream) -> None:
    with pytest.raises(swathpack.Error) as told:
        call(cube, stream)
    assert said in str(told.value) and "--" not in str(told.value)


def test_clouds_are_filled_and_clear_pixels_stay(cube: NDArray[np.uint16]) -> None:
    clouds = np.zeros((3, 40, 300), np.uint8)
    clouds[2, 10:20, 30:60] = 1
    found = swathpack.inpaint(cube, clouds=clouds, times=TIMES, dilate=0, method="regression")
    assert found.filled.sum() == 300 and set(found.notes) == {2}
    changed = (found.data != cube).any(axis=1)
    assert changed[2, 10:20, 30:60].mean() > 0.9 and not (changed & (clouds == 0)).any()


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch, stream: swathpack.Stream) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(swathpack.MissingPackageError, match=r"xarray: pip install 'swathpack\[xarray\]'") as told:
        stream.to_xarray()
    assert isinstance(told.value, swathpack.Error) and isinstance(told.value, ImportError)


def test_xarray_in_and_out() -> None:
    xarray = pytest.importorskip("xarray")
    data = np.stack([f.data for f in series(20, 24, 2, bands=BANDS[:3])])
    times = np.array(["2026-05-01", "2026-05-06T10:00"], "datetime64[ns]")
    coords = {
        "time": times,
        "band": list(BANDS[:3]),
        "y": 4e6 - 5 - 10.0 * np.arange(20),
        "x": 5e5 + 5 + 10.0 * np.arange(24),
    }
    given = xarray.DataArray(data, coords, ("time", "band", "y", "x"), attrs={"crs": "EPSG:32632"})
    made = swathpack.compress(given.transpose("y", "x", "band", "time"), lossless=True)
    assert made.bands == BANDS[:3] and made.times == ("2026-05-01", "2026-05-06T10:00:00Z")
    assert made.georeference.crs == "EPSG:32632" and made.georeference.transform == (10, 0, 5e5, 0, -10, 4e6)
    xarray.testing.assert_equal(made.to_xarray().drop_vars("spatial_ref", errors="ignore"), given)
    part = made.to_xarray(["B03"], window=np.s_[5:9, 20:]).drop_vars("spatial_ref", errors="ignore")
    xarray.testing.assert_equal(part, given.sel(band=["B03"])[..., 5:9, 20:])
    plain = xarray.DataArray(data[0, 0], dims=("lat", "lon"), name="B02")
    assert swathpack.compress(plain, lossless=True).shape == (1, 1, 20, 24)
    with pytest.raises(swathpack.Error, match="expected dimensions"):
        swathpack.compress(xarray.DataArray(data[0], dims=("a", "b", "c")))


def test_arrays_of_other_types_say_what_they_lose() -> None:
    whole = np.full((1, 8, 8), 500.0)
    whole[0, 2:4] = 700
    made = swathpack.compress(whole + 0.25, bands="B02", lossless=True)
    assert swathpack.decompress(made).dtype == np.uint16
    assert (
        made.notes[0]
        == "the array of float64 is taken for DN and comes back as uint16; an xarray.DataArray keeps its type"
    )
    assert "rounded to steps of 1, off by up to 0.5" in made.notes[1]
    assert len(swathpack.compress(whole, bands=["B02"]).notes) == 1
    assert swathpack.compress(whole.astype(np.uint16), bands=["B02"]).notes == ()
    with pytest.raises(swathpack.Error, match="found -700 to .*; an xarray.DataArray or a raster keeps other values"):
        swathpack.compress(-whole.astype(np.int16), bands=["B02"])


def test_windows_have_two_forms(stream: swathpack.Stream) -> None:
    whole = swathpack.decompress(stream)[:, :, 10:30, 250:270]
    for window in (np.s_[10:30, 250:270], (10, 250, np.int64(20), 20)):
        assert (stream.read(1, window=window) == whole[1]).all()
        assert (swathpack.decompress(stream, window=window) == whole).all()


def test_masked_pixels_are_without_data(cube: NDArray[np.uint16]) -> None:
    masked = np.ma.masked_array(cube[0, :3], np.zeros((3, 40, 300), bool))
    masked[1, 5:9, 7:20] = np.ma.masked
    expected = cube[0, :3].copy()
    expected[:, 5:9, 7:20] = 0
    for given in (masked, masked[None], masked.astype(np.float32)):
        found = swathpack.compress(given, bands=BANDS[:3], lossless=True).frame(0)
        assert not found.valid[5:9, 7:20].any() and found.valid.sum() == 40 * 300 - 4 * 13
        assert (found.data == expected).all()
    other = swathpack.Frame.from_array(masked, BANDS[:3], nodata=60000)
    assert not other.valid[5:9, 7:20].any() and other.valid.sum() == 40 * 300 - 4 * 13


def test_a_stream_goes_to_other_processes(stream: swathpack.Stream) -> None:
    for synthesis in ("fast", "best"):
        found = swathpack.open(bytes(stream), synthesis=synthesis)
        image = found.read(2)  # what was made for it stays here
        sent = pickle.loads(pickle.dumps(found))
        assert len(pickle.dumps(found)) < found.nbytes + 10_000 and (sent.read(2) == image).all()
        assert sent.frames == found.frames and sent.metadata == found.metadata


def test_reflectance_of_files_and_dataarrays_has_a_scale(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("tifffile")
    from tests.tools.files.rasters.made import write_tiff

    data = (values(20, 24, 1)[0, :3] / 10000).astype(np.float32)
    array = xarray.DataArray(data, {"band": list(BANDS[:3])}, ("band", "y", "x"))
    for source in (array, write_tiff(tmp_path / "a.tif", data, BANDS[:3])):
        with pytest.raises(swathpack.Error, match="give scale 10000"):
            swathpack.compress(source)
        back = swathpack.decompress(swathpack.compress(source, scale=10000, lossless=True))
        assert back.dtype == np.float32 and np.abs(back[0] - data).max() < 1e-7
        clouds = np.zeros((1, 20, 24))
        assert swathpack.inpaint(source, clouds=clouds, scale=10000, method="regression").data.shape == (1, 3, 20, 24)
    with pytest.raises(swathpack.Error, match=r"found a Dataset: give dataset\.to_array"):
        swathpack.compress(array.to_dataset(dim="band"))
