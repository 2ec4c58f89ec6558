"""Places whose dates have other bands, or another type, than those before: each is drawn as what its sensor gave."""

from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.protocol import TileKey, TilePixels
from swathpack.edge.packets.pieces import Piece, pack_pieces
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.edge.radiometry import PLAIN
from swathpack.edge.sources.acquisition import samples_of
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.images import write_images
from swathpack.tools.ground.receiver import GroundReceiver
from swathpack.tools.ground.store import GroundStore
from tests.codec_models import shipped

DAY_S = 86400
Date = tuple[tuple[str, ...], str]


def heard(folder: Path, dates: list[Date], mode: str = "transform") -> GroundStore:
    """A store of one place: a tile of 22 x 30 pixels for every date."""
    store = GroundStore(folder / "ground.db")
    receiver = GroundReceiver(store, EdgeSegmentDecoder(shipped()))
    codec = FlightCodec(shipped(), 28, mode=mode, finest_dn=1.0)
    for number, (bands, dtype) in enumerate(dates):
        radiometry = PLAIN if dtype == "uint16" else samples_of(dtype)
        data, valid = counts(number, len(bands)), np.ones((22, 30), np.bool_)
        tile = codec.encode(TilePixels(TileKey(0, DAY_S * number), data, bands, valid, radiometry), ())
        piece = Piece(number, 0, tile.segment(0, 16))
        receiver.feed(SpacePacket(Apid.IMAGE, number, 7, 1, pack_pieces([piece])).pack())
    receiver.settle(1)
    return store


def counts(number: int, bands: int) -> np.ndarray:
    return np.ascontiguousarray(values(64, 64, 1, 3 + number)[0][:bands, :22, :30].astype(np.uint16))


@pytest.mark.parametrize(
    "others",
    [(("a", "b", "c"), "uint16"), (("a", "b"), "int16"), (("b", "a"), "uint16"), (("B02", "B03"), "uint16")],
)
def test_dates_of_other_bands_or_type_are_a_series_of_their_own(tmp_path: Path, others: Date) -> None:
    first = ("a", "b"), "uint16"
    dates, told = [first, others, first], list[str]()
    store = heard(tmp_path, dates)
    written, refused, partial = write_images(store, shipped(), tmp_path / "images", told=told.append)
    assert ([path.name for path in written], refused, partial) == (["place-0.npz", "place-0-2.npz"], [], 0)
    assert told[-1] == "  its dates have other bands than those of place-0.npz, or another type"
    for path, numbers in zip(written, ([0, 2], [1])):
        with np.load(path) as found:
            bands, dtype = dates[numbers[0]]
            assert (tuple(found["bands"]), found["data"].dtype, len(found["dates"])) == (bands, dtype, len(numbers))
            for image, number in zip(found["data"], numbers):
                wanted = counts(number, len(bands)).astype(np.int64) - (32768 if dtype == "int16" else 0)
                assert np.abs(image - wanted).max() <= 2


def test_dates_that_may_be_latents_are_one_series_of_twelve_bands(tmp_path: Path) -> None:
    dates = [(BANDS, "uint16"), (("B02", "B03"), "uint16"), (BANDS[:10], "uint16")]
    written, _, _ = write_images(heard(tmp_path, dates), shipped(), tmp_path / "images")
    shapes = [np.load(path)["data"].shape for path in written]
    assert shapes == [(2, 12, 32, 32), (1, 2, 22, 30)]


def test_a_tile_that_cannot_be_drawn_costs_no_other_date_its_bands(tmp_path: Path) -> None:
    store, told = heard(tmp_path, [(("a", "b"), "uint16")] * 3), list[str]()
    (segment,) = store.of(TileKey(0, DAY_S))
    segment.digest = bytes(8)
    store.save([segment], 1)
    (path,), _, partial = write_images(store, shipped(), tmp_path / "images", told=told.append)
    with np.load(path) as found:
        assert tuple(found["bands"]) == ("a", "b") and partial == 1 and any("not drawn" in line for line in told)
        assert found["data"].shape == (3, 2, 22, 30)
        assert np.abs(found["data"][2].astype(np.int64) - counts(2, 2)).max() <= 2
