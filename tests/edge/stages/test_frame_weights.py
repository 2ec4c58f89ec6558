"""Weights of bands in flight: all tiles of a frame alike, and nobody looks where it does not matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.frame_weights import asked_by_frame
from swathpack.edge.codec.lone import read_lone_head
from swathpack.edge.codec.protocol import CodedTile, ContextLatent, TileKey, TilePixels
from swathpack.edge.codec.transform_coder import Weights, weights_in
from swathpack.edge.frame import Frame
from swathpack.edge.sources.synthetic import SyntheticSource
from swathpack.hil_tests.simulation.fake_codec import FakeTileCodec
from swathpack.hil_tests.simulation.flight import MISSION, Flight
from tests.codec_models import shipped
from tests.edge.codec.test_frame_weights import clouded, ground

SCENE = np.concatenate(
    [np.concatenate([clouded(20), ground(200, 1)], 2), np.concatenate([ground(195, 2), ground(190, 3)], 2)], 1
)


class Cloudy(SyntheticSource):
    """One frame of four tiles of 64 x 64, a cloud over a part of the first."""

    def scene(self, place: int, date: int) -> NDArray[np.uint16]:
        return SCENE


class Listening(FakeTileCodec):
    """Remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[TilePixels] = []

    def encode(self, tile: TilePixels, contexts: list[ContextLatent]) -> CodedTile:
        self.given.append(tile)
        return super().encode(tile, contexts)


def given_to_the_codec(folder: Path, text: str = MISSION) -> list[TilePixels]:
    flight, codec = Flight(folder, text=text), Listening()
    flight.loop.encode.codec, flight.loop.intake.source = codec, Cloudy(flight.clock, 1, size=128)
    flight.loop.settle()
    flight.board.close()
    return codec.given


def test_every_tile_comes_with_what_its_frame_asks_for_and_is_weighed_by_it(tmp_path: Path) -> None:
    tiles = given_to_the_codec(tmp_path)
    assert [tile.asked for tile in tiles] == [asked_by_frame(Frame(SCENE), 64)] * 4
    codec, found = FlightCodec(shipped(), 40, mode="transform"), set[Weights | None]()
    for tile in tiles:
        payload = codec.encode(tile, ()).coded.segment(0, 0, 16).payload  # type: ignore[union-attr]
        lone = read_lone_head(payload)
        assert lone is not None
        found.add(weights_in(payload[lone.start :], (12, 64, 64), BANDS))
    assert found == {Weights.visible(BANDS, 3)}


@pytest.mark.parametrize("line", ['weights = "equal"', 'weights = "visible"', "max_error = 3"])
def test_nobody_looks_where_weights_do_not_follow_the_pixels(tmp_path: Path, line: str) -> None:
    tiles = given_to_the_codec(tmp_path, MISSION.replace("tile = 64", f"tile = 64\n{line}"))
    assert len(tiles) == 4 and {tile.asked for tile in tiles} == {None}


def test_a_tile_of_which_nobody_knows_the_frame_asks_for_itself() -> None:
    pixels = TilePixels(TileKey(1, 1_700_000_000), ground(140), BANDS, np.ones((64, 64), np.bool_))
    codec = FlightCodec(shipped(), 40, mode="transform")
    assert codec._weights(pixels) == Weights.visible(BANDS, 4)
