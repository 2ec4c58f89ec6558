"""Throttle, scrubber, telemetry, boots, cloud score, watchdog, ballast, memory watch: the parts beside the pipeline."""

import contextlib
import os
import random
import socket
import threading

import numpy as np
import pytest

from swathpack.edge.clock import ManualClock
from swathpack.edge.downlink.ballast import Ballast
from swathpack.edge.events import EventLog
from swathpack.edge.health.boots import next_boot
from swathpack.edge.health.jsonl import JsonLines
from swathpack.edge.health.model_memory import Canary, arrays_of
from swathpack.edge.health.scrub import BLOCK_BYTES, Scrubber, octets
from swathpack.edge.health.telemetry import Telemetry, TelemetryError, json_line, pack_sample, unpack_sample
from swathpack.edge.health.throttle import Readings, Throttle, ThrottleSettings
from swathpack.edge.health.watchdog import Notifier
from swathpack.edge.sources.cloud import cloud_share
from swathpack.edge.stages.health import board_readings
from swathpack.hil_tests.simulation.fake_codec import FakeTileCodec


def test_throttle_falls_at_the_limit_and_rises_step_by_step_below_it():
    throttle, shares = Throttle(ThrottleSettings(max_temperature_c=80, hold_s=10)), []
    for now, temperature in enumerate([70, 81, 81, 81, 85, 79, 79, 79, *[60] * 40]):
        throttle.update(Readings(temperature_c=temperature), float(now))
        shares.append(throttle.share)
    assert shares[0] == 1.0 and shares[1] == 0.75 and min(shares) <= 0.5 and shares[-1] == 1.0
    rises = [b - a for a, b in zip(shares, shares[1:]) if b > a]
    assert max(rises) <= 0.25, "one step at a time"


def test_the_load_rises_only_when_readings_have_stayed_below_for_the_hold():
    throttle, cool = Throttle(ThrottleSettings(max_temperature_c=80, hold_s=10)), Readings(temperature_c=60)
    assert throttle.update(Readings(temperature_c=81), 0.0)
    assert not throttle.update(cool, 1.0) and not throttle.update(cool, 9.9)
    assert throttle.update(cool, 10.0) and throttle.share == 1.0


def test_throttle_stops_at_once_far_beyond_the_limit_and_does_not_flutter_near_it():
    throttle = Throttle(ThrottleSettings(max_temperature_c=80, hold_s=10))
    assert throttle.update(Readings(temperature_c=125), 0.0) and throttle.share == 0.0
    assert "125 degrees" in throttle.reason
    throttle = Throttle(ThrottleSettings(max_temperature_c=80, hold_s=10))
    changes = sum(throttle.update(Readings(temperature_c=80 + (-1) ** i * 0.5), i * 0.1) for i in range(400))
    assert changes <= 4 and throttle.share < 1.0


@pytest.mark.parametrize(
    "settings, readings",
    [
        (ThrottleSettings(max_power_w=30), Readings(power_w=31)),
        (ThrottleSettings(min_energy=0.3), Readings(energy=0.2)),
    ],
)
def test_power_and_energy_throttle_too_and_missing_readings_do_not(settings, readings):
    throttle = Throttle(settings)
    assert not throttle.update(Readings(), 0.0)
    assert throttle.update(readings, 1.0)


def test_every_flipped_bit_is_found_within_a_round_and_repaired():
    log, rng = EventLog(ManualClock()), random.Random(2)
    memory = np.arange(3 * BLOCK_BYTES // 4, dtype=np.float32)
    original, small = memory.copy(), np.zeros(10)
    scrubber = Scrubber(log)
    scrubber.add("weights", lambda: octets(memory), lambda: memory.__setitem__(slice(None), original))
    scrubber.add("small", lambda: octets(small), lambda: small.__setitem__(slice(None), 0))
    for i in range(40):
        target = octets(memory if i % 4 else small)
        target[rng.randrange(len(target))] ^= 1 << rng.randrange(8)
        assert scrubber.check_all()
        assert (memory == original).all() and not small.any()
    assert log.counts["memory_flipped"] == log.counts["memory_repaired"] == 40
    before = scrubber.rounds
    for _ in range(4):
        scrubber.step(1)
    assert scrubber.rounds == before + 1, "four blocks in all"


def test_what_cannot_be_repaired_stops_coding():
    log, memory = EventLog(ManualClock()), np.zeros(100)
    scrubber = Scrubber(log)

    def gone():
        raise OSError("no such file")

    scrubber.add("tables", lambda: octets(memory), gone)
    memory[3] = 1
    assert not scrubber.check_all() and not scrubber.sound
    assert log.counts["coding_stopped"] == 1
    with pytest.raises(ValueError, match="C-contiguous"):
        octets(np.zeros((4, 4)).T[1:])


def test_the_canary_notices_a_codec_that_changed_or_fails():
    log, codec = EventLog(ManualClock()), FakeTileCodec(channels=64)
    canary = Canary(codec, log)
    assert canary.check()
    codec.q += 1
    assert not canary.check()
    codec.q = "broken"
    assert not canary.check() and log.counts["coding_stopped"] == 2


def test_arrays_are_found_wherever_they_hide():
    class Thing:
        def __init__(self):
            self.a = {"x": [np.zeros(64), np.zeros(1)], "y": (np.ones(64, np.int8),)}

    Thing.__module__ = "swathpack.edge.somewhere"
    assert {path for path, _ in arrays_of({"t": Thing()})} == {"t.a.x.0", "t.a.y.0"}


def test_telemetry_on_the_wire_and_its_latencies():
    clock = ManualClock()
    telemetry = Telemetry(clock)
    telemetry.gauge("rss_mb", 120.5)
    for ms in (1, 2, 2, 50):
        with telemetry.timed("encode"):
            clock.advance(ms / 1000)
    telemetry.count("tiles_coded", 3)
    sample = telemetry.sample()
    assert sample["encode_count"] == 4 and sample["encode_max"] == pytest.approx(50)
    assert sample["encode_mean"] == pytest.approx(13.75) and 2 <= sample["encode_p95"] <= 50
    wall, back = unpack_sample(pack_sample(sample, 1_700_000_000.125))
    assert wall == 1_700_000_000.125 and back == {k: np.float32(v) for k, v in sample.items()}
    assert "encode_count" not in telemetry.sample(), "latencies are since the last sample"
    assert '"rss_mb": 120.5' in json_line(sample, 1.0)
    for wrong in ("rss", "tiles_coded"):
        with pytest.raises(TelemetryError, match="expected one of"):
            telemetry.gauge(wrong, 1)
    for data in (b"", pack_sample(sample, 1)[:-1], pack_sample(sample, 1) + b"\0", b"\0" * 6 + b"\1\xff\0\0\0\0"):
        with pytest.raises(TelemetryError):
            unpack_sample(data)


def test_json_lines_stay_within_their_bound(tmp_path):
    lines = JsonLines(tmp_path / "log.jsonl", max_bytes=1000)
    for i in range(500):
        lines.write(f'{{"i": {i}}}')
    lines.close()
    sizes = [(tmp_path / name).stat().st_size for name in ("log.jsonl", "log.jsonl.1")]
    assert max(sizes) <= 1010
    assert (tmp_path / "log.jsonl").read_text().splitlines()[-1] == '{"i": 499}'


def test_board_readings_are_the_hottest_zone_and_the_input_rail(tmp_path):
    def write(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert board_readings(tmp_path, tmp_path) == Readings()
    for zone, value in enumerate(("41000", "52500", "gone")):
        write(f"thermal_zone{zone}/temp", value)
    for number, (label, mv, ma) in enumerate((("VDD_CPU_CV", 5000, 800), ("VDD_GPU_SOC", 5000, 1200)), 1):
        write(f"hwmon3/in{number}_label", label + "\n")
        write(f"hwmon3/in{number}_input", str(mv))
        write(f"hwmon3/curr{number}_input", str(ma))
    assert board_readings(tmp_path, tmp_path) == Readings(temperature_c=52.5, power_w=10.0)
    for name, text in (("in3_label", "VDD_IN"), ("in3_input", "19000"), ("curr3_input", "1000")):
        write(f"hwmon3/{name}", text)
    assert board_readings(tmp_path, tmp_path).power_w == 19.0


def test_boots_rise_and_survive_the_loss_of_either_copy(tmp_path):
    path, seen = tmp_path / "boots", []
    for turn in range(8):
        boot = next_boot(path)
        seen.append(boot)
        if turn % 2:
            with open(path, "r+b") as file:
                # The copy just written: what a power cut in the middle of the next write leaves whole is the other.
                file.seek(4096 * ((boot.boots + 1) % 2))
                file.write(b"\xff" * 32)
    counts = [b.boots for b in seen]
    assert counts == sorted(set(counts)) and counts[-1] <= 16 and len({b.store for b in seen}) == 1
    path.write_bytes(b"\xff" * 5000)
    assert next_boot(path).boots == 1


@pytest.mark.parametrize("place", [0, 4096])
def test_a_boot_count_is_not_given_twice_when_its_copy_is_damaged(tmp_path, place):
    for starts in range(1, 6):
        path = tmp_path / f"boots{starts}"
        before = [next_boot(path).boots for _ in range(starts)]
        data = bytearray(path.read_bytes())
        data[place : place + 32] = bytes(32)
        path.write_bytes(data)
        assert next_boot(path).boots > max(before)


def test_boots_begin_a_new_store_before_numbers_repeat(tmp_path, monkeypatch):
    monkeypatch.setattr("swathpack.edge.health.boots.MAX_BOOTS", 3)
    boots = [next_boot(tmp_path / "boots") for _ in range(5)]
    assert [b.boots for b in boots] == [1, 2, 3, 1, 2]
    assert boots[0].store == boots[2].store and boots[3].store == boots[4].store != boots[0].store


def test_cloud_score_tells_cloud_from_ground_snow_and_missing_bands():
    bands = ("B03", "B04", "B11")
    valid = np.ones((64, 64), bool)

    def scene(green, red, infrared):
        return np.broadcast_to(np.array([green, red, infrared], np.uint16)[:, None, None], (3, 64, 64)).copy()

    assert cloud_share(scene(900, 700, 2000), bands, valid) == 0
    assert cloud_share(scene(5000, 4900, 4000), bands, valid) == 1
    assert cloud_share(scene(6000, 5800, 500), bands, valid) == 0, "snow"
    half = scene(900, 700, 2000)
    half[:, :32] = scene(5000, 4900, 4000)[:, :32]
    assert cloud_share(half, bands, valid) == pytest.approx(0.5, abs=0.05)
    assert cloud_share(half[:1], bands[:1], valid) == 0
    assert cloud_share(half, bands, np.zeros((64, 64), bool)) == 0


def test_watchdog_messages_reach_the_service_manager(tmp_path):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(5)
        notifier = Notifier(address)
        notifier.ready()
        notifier.alive()
        notifier.stopping("test")
        assert [manager.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1\nSTATUS=test"]
    notifier.alive()
    Notifier("").ready()


def test_a_manager_that_does_not_read_holds_nothing_up(tmp_path):
    """Its queue is full long before these are sent; a blocking socket would wait for ever."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        filler.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                filler.sendto(b"x", address)
        teller = threading.Thread(target=Notifier(address).stopping, args=("test",), daemon=True)
        teller.start()
        teller.join(30)
        assert not teller.is_alive()
        filler.close()


def test_ballast_is_held_let_go_and_held_again(tmp_path):
    ballast = Ballast(tmp_path / "ballast", 1 << 16)
    assert ballast.intact and os.stat(tmp_path / "ballast").st_size == 1 << 16
    ballast.release()
    assert not ballast.intact and not (tmp_path / "ballast").exists()
    assert ballast.hold() and ballast.intact
    assert Ballast(tmp_path / "none", 0).intact
    assert not Ballast(tmp_path / "huge", 1 << 60).intact
