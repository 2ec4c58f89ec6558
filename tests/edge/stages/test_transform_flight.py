"""The loop with the transform coder: cut streams are worth their bytes, board and ground agree, no context comes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.plain import lone_ends, lone_head, read_lone_head
from swathpack.edge.codec.protocol import TileKey, TilePixels
from swathpack.edge.sources.synthetic import SyntheticSource
from swathpack.edge.stream.quality import TRANSFORM
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.images import place_frames, places
from swathpack.tools.ground.receiver import GroundReceiver
from tests.codec_models import shipped
from tests.edge.flight import MISSION, Flight, Station
from tests.frames import values

SIDE, DATES = 80, 3
SCENES = values(SIDE, SIDE, DATES, seed=12)


class Source(SyntheticSource):
    """One date after the other of one place."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock, DATES, size=SIDE, every_s=3600.0)

    def scene(self, place: int, date: int) -> np.ndarray:
        return SCENES[date]


def fly(folder: Path, budget: int, mode: str) -> tuple[list[float], Flight, Station]:
    """RMSE of every date on the ground after a pass of so many bytes each, with a report behind it."""
    flight = Flight(folder, text=MISSION.replace("tile = 64", "tile = 256"))
    flight.loop.encode.codec = FlightCodec(shipped(), 28, mode=mode)
    flight.loop.intake.source = Source(flight.clock)
    station = Station(folder, flight)
    station.receiver = GroundReceiver(station.store, EdgeSegmentDecoder(shipped()), 4096)
    for number in range(DATES):
        flight.loop.settle()
        flight.uplink.waiting.extend(station.hear(number, flight.contact(number, budget)))
        flight.loop.settle()
        flight.clock.advance(3600.0)
    (place,) = places(station.store)
    frames = place_frames(station.store, shipped(), place, folder)
    errors = [float(np.sqrt(((f.data.astype(float) - s) ** 2).mean())) for f, s in zip(frames, SCENES)]
    return errors, flight, station


@pytest.mark.parametrize("mode", ["transform", "auto"])
def test_larger_passes_bring_better_images_and_both_sides_agree(tmp_path: Path, mode: str) -> None:
    means = []
    for budget in (1500, 6000, 60_000):
        folder = tmp_path / str(budget)
        folder.mkdir()
        errors, flight, station = fly(folder, budget, mode)
        assert len(errors) == DATES and flight.board.log.counts["tile_failed"] == 0
        assert flight.board.log.counts["report_mismatch"] == 0
        held = [station.store.latent(key) for key in station.store.tile_frames()]
        assert all(h is not None and h.layers > 0 for h in held)
        if mode == "transform":
            assert {h.q for h in held if h is not None} == {TRANSFORM} and len(flight.board.context) == 0
        means.append(sum(errors))
        flight.board.close()
    assert means == sorted(means, reverse=True) and means[-1] < 20 * DATES


def tile(bands: tuple[str, ...]) -> TilePixels:
    data = SCENES[0][[BANDS.index(b) if b in BANDS else 9 for b in bands]]
    return TilePixels(TileKey(3, 1_700_000_000), data, bands, np.ones((SIDE, SIDE), np.bool_))


@pytest.mark.parametrize("bands", [("B08",), BANDS[:4], (*BANDS[:10], "B10", "B11", "B12")], ids=len)
def test_every_prefix_holds_what_the_board_says(bands: tuple[str, ...]) -> None:
    coded = FlightCodec(shipped(), 28, mode="auto").encode(tile(bands), ())
    assert coded.q == TRANSFORM and (np.diff(coded.prefix_bytes) >= 0).all() and (np.diff(coded.distortion) <= 0).all()
    whole, decoder = coded.segment(0, 16), EdgeSegmentDecoder(shipped())
    for k in (1, 7, 15, 16):
        found, layers = decoder.decode(whole[: int(coded.prefix_bytes[k])], ())
        assert layers >= k and (found[:layers] == coded.latent[:layers]).all() and not found[layers:].any()
    lone, image = decoder.image(whole)
    assert lone.names == bands and np.abs(image.counts - tile(bands).data).mean() < 6


def test_heads_of_lone_tiles() -> None:
    for names in (("B08",), BANDS, ("nir", "B02"), ("B03", "B02")):
        head = lone_head(names, 256, 77)
        found = read_lone_head(head)
        assert found is not None and (found.names, found.height, found.width) == (names, 256, 77)
        assert found.start == len(head) and all(read_lone_head(head[:n]) is None for n in range(len(head)))
    assert lone_ends(b"", 100) is None
