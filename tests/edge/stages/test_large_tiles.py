"""The loop with tiles of more than 256 pixels, which are the transform coder's: images, earlier dates, and segments that end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.codec import flight as flight_codec
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.protocol import TileKey, TilePixels
from swathpack.edge.frame import Frame
from swathpack.edge.sources.acquisition import Acquisition, Offer, samples_of
from swathpack.edge.sources.synthetic import SyntheticSource
from swathpack.hil_tests.simulation.flight import MISSION, Flight, Station
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.images import place_frames, places
from swathpack.tools.ground.receiver import GroundReceiver
from tests.codec_models import shipped

SIZE, DATES, BANDS = (272, 330), 2, ("red", "nir")
SCENES = values(*SIZE, DATES, seed=7)[:, [3, 7]]
SAMPLES = samples_of("int16", -9999)  # some values are negative
COUNTS = (SCENES.astype(np.int32).clip(0, 30_000) - 1500 + SAMPLES.shift).astype(np.uint16)
LARGE = MISSION.replace("tile = 64", 'tile = 320\nmode = "transform"').replace("16384", "51200")


class Source(SyntheticSource):
    """One date after the other of one place, in two bands."""

    def poll(self) -> Offer | None:
        offer = super().poll()
        if offer is None:
            return None
        found = offer.acquisition
        frame = Frame(COUNTS[self._next - 1], BANDS, radiometry=SAMPLES)
        return Offer(offer.name, Acquisition(found.name, found.time, found.place, frame))


def fly(folder: Path, text: str, budget: int) -> tuple[list[float], set[int], list[bool]]:
    """RMSE of every date, the sides of its tiles, and of which segments are coded against an earlier date."""
    flight = Flight(folder, text=text)
    flight.loop.encode.codec = FlightCodec.configured(shipped(), flight.mission.coding)
    flight.loop.intake.source = Source(flight.clock, DATES, size=64, every_s=3600.0)
    station, decoder = Station(folder, flight), EdgeSegmentDecoder(shipped())
    station.receiver = GroundReceiver(station.store, decoder, 4096)
    for number in range(DATES):
        flight.loop.settle()
        flight.uplink.waiting.extend(station.hear(number, flight.contact(number, budget)))
        flight.loop.settle()
        flight.clock.advance(3600.0)
    assert flight.board.log.counts["tile_failed"] == flight.board.log.counts["report_mismatch"] == 0
    (place,) = places(station.store)
    frames = list(place_frames(station.store, shipped(), place, folder))
    assert all((f.bands, f.radiometry, f.data.shape) == (BANDS, SAMPLES, SCENES[0].shape) for f in frames)
    errors = [float(np.sqrt(((f.data.astype(float) - s) ** 2).mean())) for f, s in zip(frames, COUNTS)]
    heads = [decoder.head(s.prefix) for key in station.store.tile_frames() for s in station.store.of(key)]
    flight.board.close()
    return errors, {place.pitches.of(held) for held in place.held}, [bool(h.context_digests) for h in heads if h]


def test_they_fly_and_are_context_and_their_images_are_better(tmp_path: Path) -> None:
    found = {}
    for side, text in ((320, LARGE), (128, LARGE.replace("320", "128"))):
        folder = tmp_path / str(side)
        folder.mkdir()
        errors, sides, dated = fly(folder, text, 6000)
        assert sides == {side} and len(errors) == DATES
        found[side] = errors, any(dated)
    assert found[320][1] and found[320][0][0] < 0.985 * found[128][0][0], found


def test_a_segment_ends_where_packets_say_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in a tile: this one is noise of 16 bits. What is cut off is of the last bit planes."""
    monkeypatch.setattr(flight_codec, "MAX_LONE_BYTES", 30_000)
    data = np.random.default_rng(3).integers(1, 65536, (3, 80, 80)).astype(np.uint16)
    asked = TilePixels(TileKey(3, 1_700_000_000), data, ("red", "green", "nir"), np.ones((80, 80), np.bool_))
    segment = FlightCodec(shipped(), 28, mode="transform", finest_dn=0.5).encode(asked, ()).segment(0, 16)
    assert 28_000 < len(segment) <= 30_000
    _, image = EdgeSegmentDecoder(shipped()).image(segment)
    assert 0 < np.abs(image.counts - data).mean() < 2000
