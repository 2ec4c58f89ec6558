"""The loop as a whole, stepped in one thread and run in many: frames in, packets out, context back, faults
survived.
"""

import inspect
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from swathpack.edge.clock import SystemClock
from swathpack.edge.codec.protocol import CodecError, TilePixels
from swathpack.edge.downlink.schedule import Contact
from swathpack.edge.frame import Frame
from swathpack.edge.health.throttle import Readings
from swathpack.edge.loop import FlightLoop
from swathpack.edge.sources.acquisition import Acquisition, Offer, SourceError
from swathpack.edge.sources.commands import CommandFolder
from swathpack.edge.stages.worker import Worker
from swathpack.hil_tests.simulation.fake_codec import FakeTileCodec
from swathpack.hil_tests.simulation.flight import MISSION, Flight, Station


def test_frames_become_packets_within_the_budget_and_confirmed_context(tmp_path):
    flight = Flight(tmp_path, frames=3)
    station = Station(tmp_path, flight)
    flight.loop.settle()
    assert flight.board.queue.work.work_count() == 0 and flight.board.queue.tiles.count() == 12
    packets = flight.contact(1, 15_000)
    assert 0.98 * 15_000 <= sum(map(len, packets)) <= 15_000
    flight.uplink.waiting.extend(station.hear(1, packets))
    flight.loop.settle()
    assert len(flight.board.context.tiles()) == 4
    assert station.receiver.counts["malformed packets"] == 0
    assert {"started", "pass_started"} & {e.kind.name for e in station.receiver.events}
    assert len(station.receiver.telemetry) == 1


def test_the_source_is_held_back_while_too_much_work_waits(tmp_path):
    flight = Flight(tmp_path, frames=50)
    flight.loop.intake.work_tiles = 6
    for _ in range(20):
        flight.loop.intake.step()
    assert flight.board.queue.work.work_count() == 8, "two frames of four tiles; the third is refused"


def test_the_codec_is_told_what_the_next_contact_has_for_a_tile(tmp_path):
    told = []

    class Listening(FakeTileCodec):
        def encode(self, tile, contexts):
            told.append(tile.goal.room_bytes)
            return super().encode(tile, contexts)

    flight = Flight(tmp_path, frames=2)
    flight.loop.encode.codec = Listening()
    flight.loop.settle()
    assert set(told) == {None}, "no contact is known"
    flight = Flight(tmp_path / "other", frames=2)
    flight.schedule.contact = Contact(1, 8000, 0)
    flight.loop.encode.codec = Listening()
    while flight.loop.intake.step():
        pass
    told.clear()
    while flight.loop.fetch.step() and flight.loop.encode.step():
        pass
    assert told and set(told) == {1000}, "eight tiles wait"


def test_a_codec_that_fails_costs_single_tiles_and_is_tried_again(tmp_path):
    class Panic(BaseException):
        """What a Rust extension raises."""

    class Moody(FakeTileCodec):
        def encode(self, tile, contexts):
            if self.calls in (1, 2, 5):
                self.calls += 1
                raise (CodecError("engine"), Panic("panic"), MemoryError())[self.calls % 3]
            return super().encode(tile, contexts)

    flight = Flight(tmp_path, frames=2)
    flight.loop.encode.codec = Moody()
    flight.loop.settle()
    assert flight.board.log.counts["tile_failed"] == 3
    assert flight.board.queue.tiles.count() == 8, "all came through in the end"


def test_a_tile_that_always_fails_is_given_up_and_the_others_are_coded(tmp_path):
    class Stubborn(FakeTileCodec):
        def encode(self, tile, contexts):
            if tile.key.tile & 1:
                raise CodecError("never")
            return super().encode(tile, contexts)

    flight = Flight(tmp_path, frames=2)
    flight.loop.encode.codec = Stubborn()
    flight.loop.settle()
    assert flight.board.queue.tiles.count() == 4 and flight.board.log.counts["tile_failed"] == 4 * 3


def test_a_codec_that_breaks_its_contract_is_caught(tmp_path):
    class Liar(FakeTileCodec):
        def encode(self, tile, contexts):
            coded = super().encode(tile, contexts)
            coded.prefix_bytes[3] = coded.prefix_bytes[5] + 1
            return coded

    flight = Flight(tmp_path, frames=1)
    flight.loop.encode.codec = Liar()
    flight.loop.settle()
    assert flight.board.queue.tiles.count() == 0 and flight.board.log.counts["tile_failed"] == 12


@pytest.mark.parametrize("policy", ["confirmed", "sent"])
def test_a_restart_after_every_round_loses_no_accepted_frame(tmp_path, policy):
    text = MISSION.replace("[context]", f'[context]\npolicy = "{policy}"')
    flight = Flight(tmp_path, frames=5, text=text)
    station = Station(tmp_path, flight)
    for i in range(60):
        flight.loop.step()
        if i % 3 == 0:
            flight.restart()
    flight.loop.settle()
    assert flight.board.queue.tiles.count() == 20
    for number in range(1, 4):
        flight.uplink.waiting.extend(station.hear(number, flight.contact(number, 200_000)))
        flight.restart()
    assert set(station.store.layers(key) for key in station.store.tile_frames()) == {16}
    assert len(station.store.tile_frames()) == 20
    flight.loop.settle()
    flight.clock.advance(100)
    flight.loop.settle()
    assert list((tmp_path / "state" / "spool").glob("*.swf")) == [], "the ground has it all"


def test_a_damaged_queue_is_begun_anew_and_its_frames_are_coded_again(tmp_path):
    flight = Flight(tmp_path, frames=3)
    flight.loop.settle()
    flight.board.close()
    queue = tmp_path / "state" / "queue"
    queue.write_bytes(b"\x5a" * 8192)
    flight.start()
    assert flight.board.log.counts["queue_corrupt"] == 1
    assert flight.board.log.counts["frame_accepted"] == 3
    flight.loop.settle()
    assert flight.board.queue.tiles.count() == 12


@pytest.mark.parametrize("frame_gone", [False, True])
def test_a_damaged_segment_is_coded_again_or_told_of(tmp_path, frame_gone):
    flight = Flight(tmp_path, frames=1)
    station = Station(tmp_path, flight)
    flight.loop.settle()
    queue = flight.board.queue
    with queue.file.transaction() as db:
        db.execute("UPDATE large SET segment_crc = segment_crc + 1 WHERE number = (SELECT min(number) FROM large)")
    if frame_gone:
        queue.work.done_with_frame(next(iter(queue.work.frame_names())))
    for number in (1, 2):
        flight.clock.advance(60)
        station.hear(number, flight.contact(number, 100_000))
    counts = flight.board.log.counts
    assert counts["queue_corrupt"] == 1 and counts["tile_dropped"] == frame_gone
    assert len(station.store.tile_frames()) == 4 - frame_gone


def test_a_port_that_refuses_loses_no_packet(tmp_path):
    flight = Flight(tmp_path, frames=2)
    station = Station(tmp_path, flight)
    flight.loop.settle()
    flight.schedule.contact = Contact(1, 100_000, 100_000)
    flight.radio.broken = True
    for _ in range(5):
        flight.loop.step()
        flight.clock.advance(2)
    assert flight.board.log.counts["port_failed"] >= 3 and flight.radio.passes == {}
    flight.radio.broken = False
    flight.clock.advance(2)
    flight.loop.settle()
    station.hear(1, flight.radio.passes[1])
    assert {station.store.layers(k) for k in station.store.tile_frames()} == {16}


def test_heat_sheds_the_least_important_tiles_and_says_so(tmp_path):
    flight = Flight(tmp_path, frames=4)
    for _ in range(4):
        flight.loop.intake.step()
    flight.readings = Readings(temperature_c=120.0)
    flight.loop.health.step()
    assert flight.board.log.counts["throttled"] == 1
    for _ in range(10):
        flight.loop.step()
    assert flight.board.queue.tiles.count() == 0 and flight.board.log.counts["tile_shed"] > 0
    flight.readings = Readings(temperature_c=40.0)
    for _ in range(10):
        flight.clock.advance(60)
        flight.loop.settle()
    assert flight.board.queue.tiles.count() == 16, "what waited is coded when the board has cooled"


def test_clock_jumps_are_told_and_change_nothing(tmp_path):
    flight = Flight(tmp_path, frames=2)
    flight.loop.settle()
    for jump in (-10 * 365 * 86400.0, 20 * 365 * 86400.0, -5.0):
        flight.clock.jump_wall(jump)
        flight.loop.settle()
        flight.restart()
    assert flight.board.queue.tiles.count() == 8
    assert flight.board.log.counts["tile_dropped"] == 0


def test_bad_frames_are_events_and_the_good_ones_go_on(tmp_path):
    class Mixed:
        def __init__(self):
            good = Frame(np.full((4, 64, 64), 1000, np.uint16), ("B02", "B03", "B04", "B08"))
            huge = Frame(np.ones((1, 64 * 300, 64), np.uint16), ("B02",))
            self.offers = [
                Offer("cut", None, "the message's checksum differs"),
                Offer("a", Acquisition("a", 5, 1, good)),
                Offer("a", Acquisition("a", 5, 1, good)),
                Offer("huge", Acquisition("huge", 5, 1, huge)),
                Offer("b", Acquisition("b", 6, 1, good)),
            ]

        def poll(self):
            return self.offers.pop(0) if self.offers else None

        def done(self, offer):
            pass

        def close(self):
            pass

    flight = Flight(tmp_path)
    flight.loop.intake.source = Mixed()
    flight.loop.settle()
    counts = flight.board.log.counts
    assert counts["frame_rejected"] == 2 and counts["frame_duplicate"] == 1 and counts["frame_accepted"] == 2
    assert counts["frame_defect"] == 8, "four dead bands, twice"
    assert flight.board.queue.tiles.count() == 2


def test_a_frame_that_breaks_the_intake_is_refused_and_the_next_one_comes_through(tmp_path, monkeypatch):
    flight = Flight(tmp_path, frames=3)
    calls = []

    def fragile(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError("a defect of ours")
        return 0.0

    monkeypatch.setattr("swathpack.edge.stages.intake.cloud_share", fragile)
    flight.loop.settle()
    counts = flight.board.log.counts
    assert counts["frame_rejected"] == 1 and counts["frame_accepted"] == 2 and counts["stage_failed"] == 0
    assert len(list((tmp_path / "state" / "spool").iterdir())) == 2, "it does not come back at every start"


def test_a_command_file_that_cannot_be_read_is_told_of_once_and_holds_up_nothing(tmp_path):
    commands = CommandFolder(tmp_path / "uplink")
    (tmp_path / "uplink" / "a.bin").mkdir()
    (tmp_path / "uplink" / "b.bin").write_bytes(b"report")
    with pytest.raises(SourceError, match="a.bin"):
        commands.poll()
    assert commands.poll() == b"report"
    commands.done()
    assert commands.poll() is None and not (tmp_path / "uplink" / "b.bin").exists()


def test_a_tile_that_was_coded_wrong_is_coded_again_and_the_ground_takes_the_right_one(tmp_path):
    class Flipped(FakeTileCodec):
        """The first segment is not that of the latent, as after an upset in an engine's memory."""

        def encode(self, tile, contexts):
            coded = super().encode(tile, contexts)
            if self.calls == 1:
                other = super().encode(
                    TilePixels(tile.key, tile.data + np.uint16(900), tile.bands, tile.valid), contexts
                )
                coded = replace(other, latent=coded.latent)
            return coded

    flight = Flight(tmp_path, frames=1)
    flight.loop.encode.codec = codec = Flipped(64, 30)
    station = Station(tmp_path, flight)
    for number in range(1, 5):
        flight.clock.advance(60)
        flight.uplink.waiting.extend(station.hear(number, flight.contact(number, 100_000)))
        flight.loop.settle()
    assert flight.board.log.counts["report_mismatch"] == 1 and codec.calls == 6, "once, and it ends"
    assert station.receiver.counts["contradicting latents"] == 1
    for key in station.store.tile_frames():
        row, column = key.tile >> 8 & 255, key.tile & 255
        data = flight.source.scene(0, 0)[:, row * 64 : row * 64 + 64, column * 64 : column * 64 + 64]
        true = FakeTileCodec(64, 30).encode(TilePixels(key, data, tuple("abcdefghijkl"), data[0] > 0), []).latent
        assert (station.store.latent(key).latent == true).all() and station.store.layers(key) == 16


def test_what_was_coded_while_memory_changed_is_coded_again(tmp_path):
    memory = np.arange(4096, dtype=np.uint8)
    right = memory.copy()

    class Struck(FakeTileCodec):
        def encode(self, tile, contexts):
            if self.calls == 1:
                memory[7] ^= 4
            return super().encode(tile, contexts)

    flight = Flight(tmp_path, frames=1)
    flight.scrubber.add("network", lambda: memory, lambda: memory.__setitem__(slice(None), right))
    flight.loop.encode.codec = codec = Struck(64, 30)
    flight.loop.settle()
    counts = flight.board.log.counts
    assert counts["memory_flipped"] == counts["memory_repaired"] == 1 and (memory == right).all()
    assert counts["tile_failed"] == codec.calls - 4 >= 1 and flight.board.queue.tiles.count() == 4


def test_a_segment_that_the_ground_cannot_read_is_coded_again_not_taken_for_delivered(tmp_path):
    class Foreign(FakeTileCodec):
        """The first segment is of another model: its head means nothing to the ground."""

        def encode(self, tile, contexts):
            coded = super().encode(tile, contexts)
            return replace(coded, record=b"XX" + coded.record[2:]) if self.calls == 1 else coded

    flight = Flight(tmp_path, frames=1)
    flight.loop.encode.codec = Foreign(64, 30)
    station = Station(tmp_path, flight)
    for number in range(1, 5):
        flight.clock.advance(60)
        flight.uplink.waiting.extend(station.hear(number, flight.contact(number, 100_000)))
        flight.loop.settle()
    assert [station.store.layers(key) for key in station.store.tile_frames()] == [16] * 4


def test_too_much_memory_is_a_restart_but_not_right_at_the_start(tmp_path):
    flight = Flight(tmp_path, frames=0)
    stopped = []
    flight.loop.health.memory_mb, flight.loop.health.fatal = 1, stopped.append
    flight.loop.health.step()
    assert stopped == []
    flight.clock.advance(120)
    flight.loop.health.step()
    assert stopped == ["too much memory"] and flight.board.log.counts["memory_high"] == 1


def test_a_stage_that_hangs_is_told_of_and_the_watchdog_is_not_fed(tmp_path):
    flight = Flight(tmp_path, frames=0)
    worker = Worker(flight.loop.store, flight.clock, flight.board.log, print, print)
    assert flight.loop.all_alive([worker])
    flight.clock.advance(1000)
    assert not flight.loop.all_alive([worker]) and not flight.loop.all_alive([worker])
    assert flight.board.log.counts["stage_failed"] == 1


def test_old_and_too_many_tiles_leave_with_an_event(tmp_path):
    flight = Flight(tmp_path, frames=3)
    flight.loop.settle()
    object.__setattr__(flight.mission.limits, "queue_mb", 0)
    flight.clock.advance(10)
    flight.loop.settle()
    assert flight.board.queue.tiles.count() == 0 and flight.board.log.counts["tile_dropped"] == 12


def test_threads_do_the_same_and_stop_when_asked(tmp_path):
    flight = Flight(tmp_path, frames=6)
    station = Station(tmp_path, flight)
    clock = SystemClock()
    for part in (flight.loop.downlink, flight.loop.health):
        part.clock = clock
    flight.schedule.contact = Contact(1, 30_000, 30_000)
    result: list[str] = []
    runner = threading.Thread(target=lambda: result.append(flight.loop.run()), daemon=True)
    runner.start()
    give_up = time.monotonic() + 120
    while flight.board.queue.tiles.count() < 24 or sum(map(len, flight.radio.passes.get(1, []))) < 29_000:
        assert time.monotonic() < give_up, (flight.board.log.counts, flight.board.queue.tiles.count())
        time.sleep(0.05)
    flight.loop.stop("test")
    runner.join(60)
    assert result == ["test"] and not runner.is_alive()
    packets = flight.radio.passes[1]
    assert sum(map(len, packets)) <= 30_000
    station.hear(1, packets)
    assert len(station.store.tile_frames()) > 0
    assert flight.board.log.counts["stage_failed"] == 0


def test_run_of_the_loop_is_short_and_imports_nothing_heavy():
    assert len(inspect.getsource(FlightLoop.run).splitlines()) <= 60
    heavy = "torch onnx scipy matplotlib raptorq spacepackets tools codec"
    code = f"import sys, swathpack.edge.loop; print([m for m in '{heavy}'.split() if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"
