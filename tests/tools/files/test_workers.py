"""Tiles in several processes: the same bytes for any number of them, results in order, errors told, nobody left behind."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.codec.plain import PlainError
from swathpack.edge.frame import Frame
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.pool import Failure
from swathpack.tools.files.workers import LocalPool, WorkerEndedError, WorkerPool, open_pool
from tests.codec_models import shipped
from tests.frames import series


def frames(bands: int, height: int = 300, width: int = 270, dates: int = 1) -> list[Frame]:
    return [f.select(f.bands[:bands]) for f in series(height, width, dates, seed=4)]


@pytest.mark.parametrize("workers", [2, 4])
def test_any_number_of_workers_makes_the_same_bytes(workers: int) -> None:
    given, learned = frames(3), series(64, 280, 2, seed=4)
    with WorkerPool(workers, shipped()) as pool:
        for mine, budget in ((given, 4000), (learned, 3000)):
            alone, shared = SeriesEncoder(shipped(), mine), SeriesEncoder(shipped(), mine, pool=pool)
            assert alone.at_quality(30) == shared.at_quality(30)
            assert alone.in_total(budget) == shared.in_total(budget)
        assert SeriesEncoder(shipped(), given).exact() == SeriesEncoder(shipped(), given, pool=pool).exact()


def test_results_come_in_order_and_errors_are_told() -> None:
    tile = frames(2, 40, 40)[0]
    many = [(i, "plain", (tile, 500 + i, 100)) for i in range(20)]
    bad = (99, "exact", (tile, -1))
    with WorkerPool(2, shipped()) as pool:
        assert [tag for tag, _ in pool.run(many)] == list(range(20))
        with pytest.raises((PlainError, ValueError, OverflowError)):
            list(pool.run([*many[:3], bad, *many[3:]]))
        found = dict(pool.run([*many[:3], bad, *many[3:]], keep_going=True))
    assert isinstance(found.pop(99), Failure) and len(found) == 20


def test_a_worker_that_dies_is_an_error_and_none_outlives_its_pool() -> None:
    tile = frames(2, 40, 40)[0]
    with WorkerPool(2, shipped()) as pool:
        processes = [w._process for w in pool._all]
        processes[0].kill()
        processes[1].kill()
        with pytest.raises(WorkerEndedError):
            list(pool.run([(i, "plain", (tile, 500, 100)) for i in range(8)]))
    assert all(p.poll() is not None for p in processes)


def test_few_tiles_are_coded_here() -> None:
    assert isinstance(open_pool(8, shipped(), 63), LocalPool) and isinstance(open_pool(1, shipped(), 999), LocalPool)


def test_a_tile_that_cannot_be_coded_is_named_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from swathpack.tools.files import tile_jobs

    plain = tile_jobs._JOBS["plain"]

    def failing(model: object, tile: Frame, *rest: object) -> object:
        if tile.data[0, 0, 0] == 7:
            raise PlainError("made to fail")
        return plain(model, tile, *rest)

    monkeypatch.setitem(tile_jobs._JOBS, "plain", failing)
    (frame,) = frames(2)
    data = frame.data.copy()
    data[0, 256, 0] = 7
    given = [Frame(data, frame.bands)]
    with pytest.raises(PlainError):
        SeriesEncoder(shipped(), given).in_total(3000)
    encoder = SeriesEncoder(shipped(), given, keep_going=True)
    assert len(encoder.in_total(3000)) == 3000
    assert encoder.failures == ["frame 0, tile 2 (rows 256-299, columns 0-255): made to fail"]
    assert encoder.modes == {"transform": 3}


def test_no_scratch_file_has_a_name(tmp_path: Path) -> None:
    from swathpack.tools.files.tile_store import TileStore

    store = TileStore(folder=tmp_path)
    store.put("a", payload=np.zeros(1 << 26, np.uint8))
    assert os.listdir(tmp_path) == [] and len(store.get("a")["payload"]) == 1 << 26


def test_workers_decode_the_same_frames_and_reports(tmp_path: Path) -> None:
    from swathpack.tools.files.decoder import StreamDecoder
    from swathpack.tools.files.tile_store import TileStore

    masked = frames(3)[0]
    masked.data[:, :40, :50] = 0
    streams = [SeriesEncoder(shipped(), [Frame(masked.data, masked.bands)]).in_total(4000)]
    streams.append(SeriesEncoder(shipped(), series(64, 280, 3, seed=4), mode="learned").at_quality(36))
    streams.append(streams[-1][: len(streams[-1]) * 2 // 3])
    with WorkerPool(2, shipped()) as pool:
        for number, data in enumerate(streams):
            alone = StreamDecoder(shipped(), data).frames()
            for again in range(2):  # the second time from the journal
                store = TileStore(tmp_path / f"{number}", "mine")
                assert bool(len(store)) == bool(again)
                shared = StreamDecoder(shipped(), data, pool=pool, store=store).frames()
                store.close()
                assert [vars(r) for r in shared.reports] == [vars(r) for r in alone.reports]
                for a, b in zip(alone.frames, shared.frames, strict=True):
                    assert (a.data == b.data).all() and (a.valid == b.valid).all()
