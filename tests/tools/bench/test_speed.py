"""The stage clock, and that the measured path is the one that flies."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import swathpack.edge.codec.context_choice
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel
from swathpack.tools.bench import speed
from swathpack.tools.bench.speed import Measured, Setting, StageClock, cut, fly, load_frames, packets, summary, table


class Ticks:
    """A clock that moves only when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "process_time", lambda: self.now)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds


def test_a_stage_inside_another_counts_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks, clock = Ticks(monkeypatch), StageClock()
    clock.watch(ticks, "pass_time", "inner")
    with clock.stage("outer"):
        ticks.now += 2
        ticks.pass_time(3)
        ticks.now += 5
    ticks.now += 100
    assert dict(clock.seconds) == {"outer": 7, "inner": 3}
    clock.restore()
    ticks.pass_time(1)
    assert clock.seconds["inner"] == 3


def test_the_measured_path_is_the_one_that_flies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SIDE", 64)
    frames, source = load_frames(tmp_path)
    assert source == "made-up scene" and frames.shape == (6, 12, 128, 64)
    predict: Callable[..., object] = swathpack.edge.codec.context_choice.predict
    found = fly(Setting("one", 1, 0.0, 32, DEFAULT_DIRECTORY, "float32"), frames, 2)
    assert swathpack.edge.codec.context_choice.predict is predict
    codec = FlightCodec(EdgeModel(engine="float32"), 32)
    size = 0
    for place in range(2):
        before = codec.encode(cut(frames[0], 0)[place], [])
        context = speed.ContextLatent.known(before.key, before.q, LAYERS, before.latent)
        size += packets(codec.encode(cut(frames[1], 1)[place], [context]).segment(0, LAYERS))
    assert found.bytes == size and found.tiles == 2
    assert {"tiling", "analysis", "entropy pass", "range coding", "packing"} <= found.cpu_s.keys()


def test_packets_hold_the_whole_segment() -> None:
    assert packets(bytes(5000)) > 5000 + 5 * speed.OVERHEAD_BYTES
    assert packets(b"") == 0


def test_table_counts_shares_and_rates() -> None:
    run = Measured(10, 2.0, {"tiling": 0.1, "analysis": 0.5, "range coding": 0.2, "packing": 0.2}, 40_000)
    lines = table({"intra": summary([run, run])}, 2).splitlines()
    assert [line.split()[-1] for line in lines if line.startswith("tiles/s")] == ["10.0", "20.0"]
    assert any(line.startswith("tiling, range coder") and line.endswith("50.0%") for line in lines)
    assert lines[-1].endswith("550 x") and np.isclose(summary([run])["bytes_per_tile"], 4000)
