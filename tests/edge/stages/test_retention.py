"""What leaves the board: last layers before whole tiles, nothing while a full disk may still empty itself."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.downlink.ballast import Ballast
from swathpack.edge.downlink.queue import DownlinkQueue
from swathpack.edge.downlink.schema import TABLES
from swathpack.edge.downlink.work import Work
from swathpack.edge.sources.synthetic import SyntheticSource
from swathpack.edge.stages.retention import layers_to_keep
from swathpack.hil_tests.promises.budgets import BulkTile, bulk_tile
from swathpack.hil_tests.simulation.flight import MISSION, Flight, Station


def queue_of(flight: Flight) -> tuple[DownlinkQueue, list[int]]:
    """A flight's queue and the segment numbers in it."""
    queue = flight.board.queue
    return queue, queue.tiles.table().number.tolist()


def add(queue: DownlinkQueue, tile: int) -> tuple[int, BulkTile]:
    """A tile of some 8 kB; its segment number."""
    coded = bulk_tile(np.random.default_rng(tile), tile, 8000)
    return queue.tiles.add(Work(1, 0, tile, tile, 1.0, 0, False), coded, coded.segment(0, LAYERS)), coded


def tidy(flight: Flight) -> None:
    flight.clock.advance(10)
    flight.loop.health.step()


def fill_disk(flight: Flight, monkeypatch, free: int) -> None:
    """The disk has so many bytes left, whatever is let go."""
    monkeypatch.setattr(Ballast, "_free", lambda self: free)
    flight.board.ballast._size = 1 << 20
    flight.board.ballast.release()


def passes(flight: Flight, first: int, count: int) -> None:
    for number in range(first, first + count):
        flight.contact(number, 3000)


def test_a_queue_over_its_limit_loses_last_layers_before_any_tile(tmp_path):
    flight = Flight(tmp_path, frames=3)
    flight.loop.settle()
    queue, numbers = queue_of(flight)
    before = queue.tiles.table()
    most = queue.tiles.bytes_queued() * 2 // 3
    object.__setattr__(flight.mission.limits, "queue_mb", 0)
    flight.loop.health._retention._shrink(queue.tiles.bytes_queued() - most, "space")
    after = queue.tiles.table()
    assert after.number.tolist() == numbers and 0.9 * most < queue.tiles.bytes_queued() <= most
    counts = flight.board.log.counts
    assert counts["tile_cut"] > 0 and counts["tile_dropped"] == 0
    kept = np.array([queue.tiles.row(n).prefix[-1] for n in numbers])
    assert (kept >= before.prefix[:, 1]).all() and (kept < before.prefix[:, -1]).any()


def test_what_is_kept_goes_down_decodes_and_is_done_with(tmp_path):
    flight = Flight(tmp_path, frames=2)
    station = Station(tmp_path, flight)
    flight.loop.settle()
    queue, _ = queue_of(flight)
    flight.loop.health._retention._shrink(queue.tiles.bytes_queued() // 2, "space")
    table = queue.tiles.table()
    wanted = {
        TileKey(int(t), int(d)): int((e > e[-1]).sum()) for t, d, e in zip(table.tile, table.time, table.distortion)
    }
    assert min(wanted.values()) < LAYERS
    for number in range(1, 4):
        flight.uplink.waiting.extend(station.hear(number, flight.contact(number, 10_000_000)))
        flight.clock.advance(10)
        flight.loop.settle()
    assert {key: station.store.layers(key) for key in station.store.tile_frames()} == wanted
    assert queue.tiles.count() == 0, "nothing more of them will ever go down"


def test_a_full_disk_costs_nothing_until_passes_have_had_time_to_make_room(tmp_path, monkeypatch):
    flight = Flight(tmp_path, frames=3, text=MISSION)
    flight.loop.settle()
    queue, numbers = queue_of(flight)
    free = 2 * (1 << 20) - queue.tiles.bytes_queued() // 2
    fill_disk(flight, monkeypatch, free)
    tidy(flight)
    patience = flight.mission.passes.patience
    passes(flight, 1, patience - 1)
    tidy(flight)
    counts = flight.board.log.counts
    assert queue.tiles.table().number.tolist() == numbers and counts["tile_cut"] == counts["tile_dropped"] == 0
    passes(flight, patience, 1)
    flight.clock.advance(7200)
    flight.loop.settle()
    tidy(flight)
    assert counts["tile_cut"] > 0 and counts["tile_dropped"] == 0, "layers go, no tile does"
    assert queue.tiles.table().number.tolist() == numbers


def test_nothing_is_cut_for_a_disk_that_others_have_filled(tmp_path, monkeypatch):
    flight = Flight(tmp_path, frames=3)
    flight.loop.settle()
    queue, _ = queue_of(flight)
    held = queue.tiles.bytes_queued()
    fill_disk(flight, monkeypatch, 2 * (1 << 20) - 10 * held)
    tidy(flight)
    passes(flight, 1, 2 * flight.mission.passes.patience)
    tidy(flight)
    assert queue.tiles.bytes_queued() == held and flight.board.log.counts["tile_cut"] == 0


def test_urgent_and_weighty_tiles_keep_more_and_what_the_ground_holds_takes_no_room(tmp_path):
    flight = Flight(tmp_path, frames=3)
    flight.loop.settle()
    table = flight.board.queue.tiles.table()
    table = replace(table, prefix=table.prefix.copy(), distortion=table.distortion.copy())
    table.weight[:], table.urgency[:] = 1.0, 0
    table.prefix[:], table.distortion[:] = table.prefix[0], table.distortion[0]
    table.urgency[3], table.weight[5], table.confirmed[7] = 1, 0.01, 4
    everything = int(table.prefix[:, -1].sum())
    layers = layers_to_keep(table, everything * 2 // 3)
    assert layers[3] == LAYERS and layers[5] == layers.min() >= 1 and layers[7] >= 4


def test_a_damaged_segment_is_not_cut_and_so_found_out(tmp_path):
    queue = DownlinkQueue(tmp_path / "queue", ManualClock(), 1, 5)
    number = add(queue, 7)[0]
    with queue.file.transaction() as db:
        db.execute("UPDATE large SET segment = x'00'")
    before = queue.tiles.row(number)
    queue.tiles.cut([(number, 3), (99, 1)])
    assert queue.tiles.row(number).prefix.tolist() == before.prefix.tolist()


def test_bytes_beyond_a_cut_are_no_longer_read(tmp_path):
    queue = DownlinkQueue(tmp_path / "queue", ManualClock(), 1, 5)
    number, coded = add(queue, 7)
    segment = coded.segment(0, LAYERS)
    end = int(coded.prefix_bytes[3])
    queue.tiles.cut([(number, 3)])
    assert queue.tiles.segment(number) == segment[:end]
    row = queue.tiles.row(number)
    assert row.prefix.tolist() == coded.prefix_bytes[:4].tolist() + [end] * 13


def test_space_of_tiles_that_have_left_goes_back_to_the_disk(tmp_path):
    path = tmp_path / "queue"
    queue = DownlinkQueue(path, ManualClock(), 1, 5)
    numbers = [add(queue, tile)[0] for tile in range(100)]
    queue.file.give_back()
    full = path.stat().st_size
    queue.tiles.drop(numbers)
    for _ in range(20):
        queue.file.give_back()
    assert path.stat().st_size < full / 4


@pytest.mark.parametrize("version", [2, 3])
def test_a_queue_of_the_version_before_is_taken_over(tmp_path, version):
    """Its tables had no column for layers, and before that none for what was ever sent."""
    old = TABLES.replace(", layers INTEGER NOT NULL DEFAULT 16", "")
    old = old if version == 3 else old.replace(", ever BLOB NOT NULL DEFAULT x''", "")
    with sqlite3.connect(tmp_path / "queue") as db:
        db.executescript(old + f"PRAGMA user_version={version};")
    db.close()
    queue = DownlinkQueue(tmp_path / "queue", ManualClock(), 1, 5)
    number = add(queue, 7)[0]
    assert queue.tiles.row(number) is not None and queue.tiles.drop_complete() == 0
    queue.file.give_back()


def test_a_frame_without_data_leaves_the_spool_and_holds_no_other_up(tmp_path):
    class Dark(SyntheticSource):
        def scene(self, place, date):
            return super().scene(place, date) * (date > 0)

    flight = Flight(tmp_path, frames=0)
    flight.source = Dark(flight.clock, 2, size=128)
    flight.restart()
    flight.loop.settle()
    assert flight.board.log.counts["tile_empty"] == 4 and flight.board.log.counts["frame_accepted"] == 2
    assert flight.board.queue.tiles.count() == 4, "those of the second frame"
    tidy(flight)
    kept = list(flight.board.queue.work.frame_names().values())
    assert kept == ["synthetic-1-0000-00001"], "the other waits for its pass"
    assert len([p for p in (flight.mission.state / "spool").iterdir() if p.is_file()]) == 1
