"""Tiles in several processes: the same images for any number of them, results in order, errors told, nobody left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.modes import Weighing
from swathpack.edge.codec.rate import slope_at
from swathpack.edge.frame import Frame
from swathpack.edge.stream import read_stream
from swathpack.hil_tests.simulation.made_frames import series, values
from swathpack.tools.files import held_dates
from swathpack.tools.files.coding_jobs import room_for, transform
from swathpack.tools.files.decode_report import Decoded
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.pool import Job
from swathpack.tools.files.tile_store import TileStore
from swathpack.tools.files.workers import LocalPool, WorkerEndedError, WorkerPool, open_pool
from tests.codec_models import shipped


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def pool(request: pytest.FixtureRequest) -> Iterator[WorkerPool]:
    """So many workers, started once."""
    with WorkerPool(request.param, shipped()) as found:
        yield found


def frames(bands: int, height: int = 100, width: int = 90, dates: int = 1) -> list[Frame]:
    return [f.select(f.bands[:bands]) for f in series(height, width, dates, seed=4)]


@cache
def chained() -> bytes:
    """Six dates, each of which is like the one before only: the transform coder's tiles name it."""
    found = [d[:4].astype(float) for d in values(48, 80, 6, 6)]
    for before, now in zip(found, found[1:]):
        now[:] = 0.8 * before + 0.2 * now
    given = [Frame(np.rint(d).astype(np.uint16), BANDS[:4], f"2026-05-{i + 1:02d}") for i, d in enumerate(found)]
    data = SeriesEncoder(shipped(), given, mode="transform", tile=64).at_quality(24)
    assert {c.frame for s in read_stream(data).segments for c in s.contexts} >= {0, 1, 2, 3}
    return data


def job(tag: int) -> Job:
    (tile,) = frames(2, 40, 40)
    one = StreamDecoder(shipped(), SeriesEncoder(shipped(), [tile]).in_total(900))
    return tag, "decode", (one._part(0, one.windows[0]), 16, one.outline(0), np.ones((40, 40), np.bool_))


def alike(a: Decoded, b: Decoded) -> None:
    assert [vars(r) for r in a.reports] == [vars(r) for r in b.reports]
    for mine, other in zip(a.frames, b.frames, strict=True):
        np.testing.assert_array_equal(mine.data, other.data)
        np.testing.assert_array_equal(mine.valid, other.valid)


def test_results_come_in_order_and_errors_are_told(pool: WorkerPool) -> None:
    many = [job(i) for i in range(20)]
    assert [tag for tag, _ in pool.run(many)] == list(range(20))
    with pytest.raises(TypeError):
        list(pool.run([*many[:3], (99, "decode", ()), *many[3:]]))
    assert len(list(pool.run(many))) == 20


def test_a_worker_that_dies_is_an_error_and_none_outlives_its_pool() -> None:
    with WorkerPool(2, shipped()) as pool:
        processes = [w._process for w in pool._all]
        processes[0].kill()
        processes[1].kill()
        with pytest.raises(WorkerEndedError):
            list(pool.run([job(i) for i in range(8)]))
    assert all(p.poll() is not None for p in processes)


def test_few_tiles_are_decoded_here() -> None:
    assert isinstance(open_pool(8, shipped(), 63), LocalPool) and isinstance(open_pool(1, shipped(), 999), LocalPool)


def test_no_scratch_file_has_a_name(tmp_path: Path) -> None:
    store = TileStore(folder=tmp_path)
    store.put("a", payload=np.zeros(1 << 26, np.uint8))
    assert os.listdir(tmp_path) == [] and len(store.get("a")["payload"]) == 1 << 26


CASES = {"three": (3, 100, 90, 1), "dates": (4, 32, 80, 3), "learned": (12, 32, 80, 2)}  # tiles of 64 pixels


def coded(case: str, pool: WorkerPool | None) -> list[bytes]:
    """The streams of a case, by each way to ask for one; at a level, of all layers or of some."""
    mode = "learned" if case == "learned" else "auto"
    encoder = SeriesEncoder(shipped(), frames(*CASES[case]), mode=mode, pool=pool, tile=64)
    levels = {"three": ((30, 16), (24, 5)), "dates": ((30, 16),), "learned": ((24, 5),)}[case]
    streams = [encoder.at_quality(*level) for level in levels]
    return [*streams, encoder.in_total(3000), encoder.per_frame(1500), encoder.exact(3)]


@cache
def coded_here(case: str) -> list[bytes]:
    return coded(case, None)


@pytest.mark.long
def test_any_number_of_workers_makes_the_same_bytes(pool: WorkerPool) -> None:
    for case in CASES:
        assert coded(case, pool) == coded_here(case)


def test_a_payload_that_stops_where_nothing_more_is_wanted_is_cut_alike() -> None:
    (tile,) = series(128, 128, 1, seed=4, bands=BANDS[:4])
    weighing, levels = Weighing("auto", 0.1), (24.0, 30.0, 40.0)
    whole = transform(shipped(), tile, None, 2000, weighing)
    room = room_for(2000)
    ends = [whole.curve.bytes_at(slope_at(level)) for level in (*levels, -20.0)]
    assert 2 * ends[0] < room < 2 * ends[-1], "one level must be reached within the room, one beyond it"
    for level, end in zip((*levels, -20.0), ends):
        short = transform(shipped(), tile, None, 2000, weighing, slope_at(level))
        assert short.curve.bytes_at(slope_at(level)) == end and short.payload[:end] == whole.payload[:end]
        assert len(short.payload) == (len(whole.payload) if level == -20 else room)


@pytest.mark.long
def test_any_number_of_workers_decodes_the_same_frames_and_reports(tmp_path: Path, pool: WorkerPool) -> None:
    masked = frames(3)[0]
    masked.data[:, :40, :50] = 0
    streams = [SeriesEncoder(shipped(), [Frame(masked.data, masked.bands)], tile=64).in_total(1500)]
    streams.append(SeriesEncoder(shipped(), series(48, 80, 3, seed=4), mode="learned", tile=64).at_quality(36))
    streams += [streams[-1][: len(streams[-1]) * 2 // 3], chained(), chained()[: len(chained()) * 2 // 3]]
    for number, data in enumerate(streams):
        alone = StreamDecoder(shipped(), data).frames()
        for again in range(2):  # the second time from the journal
            store = TileStore(tmp_path / f"{number}", "mine")
            assert bool(len(store)) == bool(again)
            alike(StreamDecoder(shipped(), data, pool=pool, store=store).frames(), alone)
            store.close()


def test_dates_that_are_not_kept_are_decoded_again_by_workers(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = StreamDecoder(shipped(), chained()).frames()
    assert not alone.problems
    monkeypatch.setattr(held_dates, "HELD_BYTES", 0)  # here; the workers keep what they are sent
    alike(StreamDecoder(shipped(), chained(), pool=pool).frames(), alone)
    few = StreamDecoder(shipped(), chained(), pool=pool)
    report = few.report(5)
    tiles = dict(few.tiles(report))  # the last date alone: all before it is found by need
    assert not report.problem and not any(t.problem for t in report.tiles)
    for window, tile in tiles.items():
        np.testing.assert_array_equal(tile.data, window.of(alone.frames[5].data))


def test_what_is_wrong_with_a_date_is_told_alike_by_workers(pool: WorkerPool) -> None:
    stream = read_stream(chained())
    cut = replace(stream, segments=tuple(s for s in stream.segments if (s.frame, s.tile) != (1, 0)))
    alone = StreamDecoder(shipped(), cut).frames()
    assert any("needs frame 1 as context, which is not here" in line for line in alone.problems)
    alike(StreamDecoder(shipped(), cut, pool=pool).frames(), alone)
