"""A long run of the whole loop with its ground: memory stays flat, and what the loop costs beside the codec.

    python -m swathpack.hil_tests.promises soak --size 10000 [--codec edge]

`size` tiles; passes and reports every few frames. With the fake codec tiles are 64x64x12, with the real one
256x256x12 (a few dozen are enough to see the share of time that is not the codec's).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.codec.protocol import CodedTile, ContextLatent, TileCodec, TilePixels
from swathpack.edge.health.telemetry import resident_mb
from swathpack.edge.sources.acquisition import Offer
from swathpack.edge.sources.synthetic import SyntheticSource
from swathpack.hil_tests.simulation.flight import MISSION, Flight, Station

PLACES = 4


class Timed:
    """A `TileCodec` whose CPU time is added up."""

    def __init__(self, codec: TileCodec) -> None:
        self.codec, self.cpu_s, self.layers = codec, 0.0, codec.layers

    def encode(self, tile: TilePixels, contexts: Sequence[ContextLatent]) -> CodedTile:
        start = time.process_time()
        coded = self.codec.encode(tile, contexts)
        coded.segment(0, self.layers)  # range coding is the codec's too
        assert len(coded.prefix_bytes) == len(coded.distortion)
        self.cpu_s += time.process_time() - start
        return coded


class SceneSource(SyntheticSource):
    """Synthetic frames whose making is timed, and from a few scenes made once: the sensor is not under test."""

    cpu_s = 0.0
    _made: dict[tuple[int, int], np.ndarray] = {}

    def poll(self) -> Offer | None:
        start = time.process_time()
        offer = super().poll()
        self.cpu_s += time.process_time() - start
        return offer

    def scene(self, place: int, date: int) -> np.ndarray:
        key = (place, date % 3)
        if key not in self._made:
            self._made[key] = super().scene(place, date % 3)
        return self._made[key]


class StageClock:
    """CPU seconds inside every stage's steps."""

    def __init__(self, stages: Sequence[Any]) -> None:
        self.cpu_s: dict[str, float] = {}
        for stage in stages:
            stage.step = self._timed(stage.name, stage.step)

    def _timed(self, name: str, step: Callable[[], bool]) -> Callable[[], bool]:
        def timed() -> bool:
            start = time.process_time()
            try:
                return step()
            finally:
                self.cpu_s[name] = self.cpu_s.get(name, 0.0) + time.process_time() - start

        return timed


@dataclass
class SoakResult:
    """What a run took. tiles: coded. rss_mb: over the run. stages: CPU seconds by stage. counts: events by name."""

    tiles: int = 0
    cpu_s: float = 0.0  # whole loop with its passes and reports, without sensor and ground
    codec_s: float = 0.0
    events: int = 0
    wall_s: float = 0.0
    rss_mb: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def campaign(folder: Path, tiles: int, codec: str, ground: bool) -> SoakResult:
    """About `tiles` tiles of synthetic frames with a pass every four frames; ground: with one that reports."""
    side, across = (256, 1) if codec == "edge" else (64, 8)
    frames = -(-tiles // across**2)
    text = MISSION.replace("tile = 64", f"tile = {side}")
    flight = Flight(folder, frames=0, text=text)
    source = SceneSource(flight.clock, frames, PLACES, side * across)
    for i in range(3 * PLACES):
        source.scene(i % PLACES, i // PLACES)  # made before anything is measured
    flight.loop.intake.source = source
    timed = Timed(_codec(codec) or flight.codec)
    flight.loop.encode.codec = timed
    clock = StageClock(flight.loop.pipeline)
    station = Station(folder, flight) if ground else None
    result, ground_s, number = SoakResult(), 0.0, 0
    start, wall = time.process_time(), time.monotonic()
    step = max(frames // 20, 1)
    for frame in range(frames):
        flight.loop.intake.step()
        _work_off(flight)
        if frame % 4 == 3 or frame == frames - 1:
            number += 1
            packets = flight.contact(number, 40_000 * across**2 // 8)
            before = time.process_time()
            if station is not None:
                flight.uplink.waiting.extend(station.hear(number, packets))
            flight.radio.passes.clear()
            ground_s += time.process_time() - before
            flight.clock.advance(60)
            flight.loop.settle()
        if frame % step == step - 1:
            result.rss_mb.append(resident_mb())
    result.cpu_s = time.process_time() - start - ground_s - source.cpu_s
    result.wall_s, result.codec_s = time.monotonic() - wall, timed.cpu_s
    result.counts = dict(flight.board.log.counts)
    result.stages = clock.cpu_s
    result.stages["intake"] -= source.cpu_s
    result.stages["encode"] -= timed.cpu_s
    result.events = sum(result.counts.values())
    result.tiles = result.counts.get("tile_coded", 0)
    flight.board.close()
    return result


def _codec(name: str) -> TileCodec | None:
    if name == "fake":
        return None
    from swathpack.edge.codec.flight import FlightCodec
    from swathpack.edge.codec.model import EdgeModel

    return FlightCodec(EdgeModel(), 28)


def _work_off(flight: Flight) -> None:
    stages = (flight.loop.fetch, flight.loop.encode, flight.loop.store)
    while any([stage.step() for stage in stages]):
        pass


def growth_mb(samples: list[float]) -> float:
    """Memory at the end less memory after the first quarter, when caches are full."""
    return samples[-1] - samples[len(samples) // 4]


def report(r: SoakResult) -> str:
    """CPU of codec, loop and stages per tile, and how memory grew."""
    outside = (r.cpu_s - r.codec_s) / max(r.tiles, 1)
    rss = ", ".join(f"{v:.0f}" for v in r.rss_mb)
    stages = ", ".join(f"{name} {1000 * s / max(r.tiles, 1):.2f}" for name, s in r.stages.items())
    trouble = {k: v for k, v in r.counts.items() if "fail" in k or "corrupt" in k or "suppressed" in k}
    return (
        f"{r.tiles} tiles in {r.cpu_s:.1f} s CPU without sensor and ground ({r.wall_s:.0f} s wall): codec "
        f"{1000 * r.codec_s / r.tiles:.2f} ms a tile, everything else {1000 * outside:.2f} ms a tile = "
        f"{100 * (1 - r.codec_s / r.cpu_s):.1f} % of the loop's time\n"
        f"ms a tile by stage: {stages}\n"
        f"RSS (MB): {rss}; growth after the first quarter {growth_mb(r.rss_mb):+.1f} MB\n"
        f"{r.events} events, {r.events / r.cpu_s:.0f} per second of CPU; trouble: {trouble or 'none'}"
    )


def main(folder: Path, size: int | None, codec: str) -> tuple[str, bool]:
    tiles = size or (10_000 if codec == "fake" else 48)
    result = campaign(folder, tiles, codec, ground=codec == "fake")
    good = result.tiles >= tiles and growth_mb(result.rss_mb) < 20
    return report(result), good
