"""Frames in memory and in the scratch file are the same frames, whole and by strips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swathpack.edge.codec.pixels import tile_windows
from swathpack.edge.frame import Frame
from swathpack.hil_tests.simulation.made_frames import series
from swathpack.tools.files import frame_store
from swathpack.tools.files.frame_store import Dates, FrameStore, strips
from swathpack.tools.files.rasters import Series, read_series, write_series

HEIGHT, WIDTH = 50, 70


def filled(frames, folder, memory_bytes, leave_out=()):
    """A store with the frames' tiles of 32 pixels, those of `leave_out` missing."""
    store = FrameStore(HEIGHT, WIDTH, folder, memory_bytes)
    for index, frame in enumerate(frames):
        nothing = np.zeros((0, 0, 0), bool)
        store.begin(replace(frame, data=frame.data[:, :1, :1], valid=np.zeros((1, 1), bool), holes=nothing))
        for window in tile_windows(HEIGHT, WIDTH, 32):
            if (index, window.index) not in leave_out and index != 1:
                holes = window.of(frame.holes) if frame.holes.size else frame.holes
                tile = replace(frame, data=window.of(frame.data), valid=window.of(frame.valid), holes=holes)
                store.put(window, tile)
    return store


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    made = series(HEIGHT, WIDTH, 4, bands=("B02", "B05", "B01"))
    made[2].data[:, 5:20, 7:30] = 0
    found = [Frame(f.data, f.bands, f.time, grid=(1, 2, 6)) for f in made]
    holes = np.zeros(found[3].data.shape, bool)
    holes[1, 10:40, 3:50] = True
    found[3].data[holes] = 0
    return [*found[:3], replace(found[3], holes=holes)]


@pytest.mark.parametrize("memory_bytes", [1 << 27, HEIGHT * WIDTH * 8, 0], ids=["memory", "mixed", "scratch"])
def test_what_is_put_comes_back(tmp_path, frames, memory_bytes, monkeypatch):
    monkeypatch.setattr(frame_store, "STRIP_BYTES", 3000)
    store = filled(frames, tmp_path, memory_bytes, {(0, 5)})
    assert len(store) == 4 and [store.has_data(i) for i in range(4)] == [True, False, True, True]
    for index in (2, 3):
        np.testing.assert_array_equal(store[index].data, frames[index].data)
        np.testing.assert_array_equal(store[index].valid, frames[index].valid)
        np.testing.assert_array_equal(store[index].holes, frames[index].holes)
        assert (store[index].bands, store[index].time, store[index].grid) == (
            frames[index].bands, frames[index].time, frames[index].grid,
        )  # fmt: skip
        parts = list(strips(store, index, "B05"))
        assert len(parts) > 1 and all(p.bands == ("B05",) and p.grid == (2,) for p in parts)
        np.testing.assert_array_equal(np.concatenate([p.data for p in parts], 1)[0], frames[index].data[1])
        if frames[index].holes.size:
            np.testing.assert_array_equal(np.concatenate([p.holes for p in parts], 1)[0], frames[index].holes[1])
    assert not store[0].data[:, 32:, 64:].any() and not store[0].valid[32:, 64:].any() and store[0].valid[:32].all()
    assert not store[1].data.any() and not store[1].valid.any() and store[1].data.shape == frames[1].data.shape
    assert [f.time for f in Dates(store, [0, 3])] == [frames[0].time, frames[3].time]
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_a_date_without_data_is_known_where_nothing_of_it_is_missing(tmp_path, frames):
    store = FrameStore(HEIGHT, WIDTH, tmp_path)
    for index in range(3):
        store.begin(replace(frames[index], holes=np.zeros((0, 0, 0), bool)))
        if index == 0:
            store.put(next(iter(tile_windows(HEIGHT, WIDTH, 256))), frames[0])
        if index < 2:
            store.settle()
    assert [store.has_data(i) for i in range(3)] == [True, False, False]
    assert [store.is_known(i) for i in range(3)] == [True, True, False]


@pytest.mark.parametrize("metadata", [{}, {"native": {"10m": ["B02"], "20m": ["B05"], "60m": ["B01"]}}], ids=str)
@pytest.mark.parametrize("strip_bytes", [1000, 1 << 20])
def test_a_file_written_by_strips_is_the_file_written_whole(tmp_path, frames, metadata, strip_bytes, monkeypatch):
    """Nothing came of frame 1."""
    monkeypatch.setattr(frame_store, "STRIP_BYTES", strip_bytes)
    store = filled(frames, tmp_path, 0)
    whole = [store[i] for i in range(4)]
    for name, given in (("strips.npz", store), ("whole.npz", whole)):
        write_series(Series(given, metadata), tmp_path / name)
    with np.load(tmp_path / "strips.npz") as a, np.load(tmp_path / "whole.npz") as b:
        assert sorted(a.files) == sorted(b.files) and len(a.files) > 3
        for key in a.files:
            np.testing.assert_array_equal(a[key], b[key])
    again = read_series(tmp_path / "strips.npz")
    for before, after in zip(frames[2:], again.frames[2:]):
        first = before.bands.index("B02")
        np.testing.assert_array_equal(before.data[first], after.data[after.bands.index("B02")])
