"""The loop over saturated clouds: a larger pass never brings a worse image, whatever step the mission file names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.sources.synthetic import SyntheticSource
from swathpack.edge.stream.quality import step_of
from swathpack.hil_tests.simulation.flight import MISSION, Flight, Station
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.images import place_frames, places
from swathpack.tools.ground.receiver import GroundReceiver
from tests.codec_models import shipped
from tests.distortion import check_never_worse, made_scene, rmse

SIDE = 48
SCENES = [made_scene("clouds of 65,535", SIDE), made_scene("land x 4", SIDE)]
PASSES = (4000, 8000, 16_000, 60_000)  # the last holds every layer at any step


class BrightSource(SyntheticSource):
    """One date after the other of one place, each when its pass comes."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock, len(SCENES), size=SIDE, every_s=3600.0)

    def scene(self, place: int, date: int) -> np.ndarray:
        return SCENES[date].data


def fly(folder: Path, q: int, budget: int) -> tuple[list[float], list[int]]:
    """RMSE in DN and step of every date on the ground, one pass of `budget` bytes each with a report behind it."""
    folder.mkdir()
    mission = MISSION.replace("tile = 64", "tile = 256")
    flight = Flight(folder, text=mission)
    flight.loop.encode.codec = FlightCodec(shipped(), q)
    flight.loop.intake.source = BrightSource(flight.clock)
    station = Station(folder, flight)
    station.receiver = GroundReceiver(station.store, EdgeSegmentDecoder(shipped()), 4096)
    for number in range(len(SCENES)):
        flight.loop.settle()
        flight.uplink.waiting.extend(station.hear(number, flight.contact(number, budget)))
        flight.loop.settle()
        flight.clock.advance(3600.0)
    assert flight.board.log.counts["tile_failed"] == 0
    held = [station.store.latent(key) for key in sorted(station.store.tile_frames(), key=lambda k: k.time)]
    flight.board.close()
    place = next(places(station.store))
    assert len(place.times) == len(SCENES), "every date sends something"
    frames = place_frames(station.store, shipped(), place, folder)
    errors = [rmse(scene, frames[t].data) for t, scene in enumerate(SCENES)]
    return errors, [step_of(h.q) for h in held if h is not None]


@pytest.mark.long
def test_larger_passes_and_finer_steps_bring_no_worse_images(tmp_path: Path) -> None:
    ends = []
    for q in (24, 0):
        flown = [fly(tmp_path / f"{q}-{budget}", q, budget) for budget in PASSES]
        for date in range(len(SCENES)):
            check_never_worse([e[date] for e, _ in flown], [s[date] for _, s in flown], f"q {q}, date {date}")
        ends.append(flown[-1])
    for date in range(len(SCENES)):
        check_never_worse([e[date] for e, _ in ends], [s[date] for _, s in ends], f"everything sent, date {date}")
    assert ends[1][1][0] > ends[1][1][1] == 0, "the clouds alone take the finest step that holds them"
