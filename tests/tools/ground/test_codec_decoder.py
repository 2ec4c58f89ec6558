"""Segments that flew alone: the good beginning of a damaged one is kept and said, versions are told apart."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.base_layer import known_part
from swathpack.edge.codec.flight import FlightCodec, FlightTile
from swathpack.edge.codec.protocol import TileKey, TilePixels
from swathpack.edge.codec.rangecoder import RunChecks
from swathpack.edge.packets.pieces import Piece, pack_pieces
from swathpack.edge.packets.report import Report
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.edge.stream import lone_binding, pack_segment
from swathpack.edge.stream.segment import unpack_front
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.hil_tests.simulation.two_ends import KEY, KEYS
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.decoder import DecodeError
from swathpack.tools.ground.images import place_frames, places
from swathpack.tools.ground.receiver import GroundReceiver
from swathpack.tools.ground.reports import ReportWriter
from swathpack.tools.ground.store import DAMAGED, GroundStore
from tests.codec_models import shipped

KEY_OF = TileKey(0, 1000)


@cache
def tile(seed: int = 3) -> FlightTile:
    pixels = values(64, 64, 1, seed)[0].astype(np.uint16)
    return FlightCodec(shipped(), 8).encode(TilePixels(KEY_OF, pixels, BANDS, np.ones((64, 64), bool)), ())


def heard(store: GroundStore, pieces: list[Piece], number: int = 1) -> GroundReceiver:
    receiver = GroundReceiver(store, EdgeSegmentDecoder(shipped()))
    for n, piece in enumerate(pieces):
        receiver.feed(SpacePacket(Apid.IMAGE, n, 7, number, pack_pieces([piece])).pack())
    receiver.settle(number)
    return receiver


def test_pieces_of_two_segments_under_one_number_give_the_good_beginning(tmp_path):
    """As after a mix-up of segment numbers: every packet is sound."""
    mine, other = tile().segment(0, 16), tile(4).segment(0, 16)
    at = len(mine) // 2
    store = GroundStore(tmp_path / "g")
    receiver = heard(store, [Piece(5, 0, mine[:at]), Piece(5, at, other[at:])])
    assert receiver.counts["damaged segments"] == 1
    held = store.latent(KEY_OF)
    assert held is not None and 2 <= held.layers < 16
    np.testing.assert_array_equal(held.latent, known_part(tile().latent, held.layers, tile().q))
    (segment,) = store.touched(7, 1)
    assert segment.state == DAMAGED and segment.layers == held.layers
    (payload,) = ReportWriter(store, KEY, 7).reports(1, 0)
    (entry,) = Report.unpack(payload, KEYS).entries
    assert entry.intra and entry.layers == held.layers, "the board must code the tile again"
    assert place_frames(store, shipped(), next(places(store)), tmp_path)[0].valid.all()


def test_a_whole_segment_whose_checksum_differs_is_damaged():
    good = tile().segment(0, 16)
    decoder = EdgeSegmentDecoder(shipped())
    assert decoder.decode(good, ())[1] == 16 and decoder.decode(good[:-5], ())[1] >= 15
    with pytest.raises(DecodeError, match="checksum of the whole segment") as caught:
        decoder.decode(good[:-1] + bytes([good[-1] ^ 1]), ())
    assert 2 <= caught.value.layers < 16
    np.testing.assert_array_equal(caught.value.latent, known_part(tile().latent, caught.value.layers, tile().q))


def test_segments_of_version_1_are_read(monkeypatch):
    monkeypatch.setattr(RunChecks, "write", lambda self, encoder: None)
    pixels = values(64, 64, 1, 3)[0].astype(np.uint16)
    old = FlightCodec(shipped(), 8).encode(TilePixels(KEY_OF, pixels, BANDS, np.ones((64, 64), bool)), ())
    binding = lone_binding(shipped().digest, shipped().tables_digest, 1)
    packed = pack_segment(old.coded.segment(KEY_OF.time, KEY_OF.tile, 16, ()), binding)
    decoder = EdgeSegmentDecoder(shipped())
    latent, layers = decoder.decode(packed, ())
    assert layers == 16 and np.array_equal(latent, tile().latent)
    assert decoder.head(packed).total_bytes == len(packed) and decoder.head(packed[:4]) is None
    with pytest.raises(DecodeError):  # the same bytes under the other version's binding
        decoder.decode(old.segment(0, 16), ())


@cache
def plain() -> bytes:
    """A segment of the transform coder, some chunks long."""
    pixels = values(64, 64, 1, 3)[0].astype(np.uint16)
    codec = FlightCodec(shipped(), 16, mode="transform")
    return codec.encode(TilePixels(KEY_OF, pixels, BANDS, np.ones((64, 64), bool)), ()).segment(0, 16)


def test_a_transform_coded_segment_keeps_its_good_chunks():
    good, decoder = plain(), EdgeSegmentDecoder(shipped())
    whole, layers = decoder.decode(good, ())
    assert layers == 16 and decoder.head(good).total_bytes == len(good) > 3 * 1024
    at = len(good) // 2
    for bad in (good[:at] + good[at + 29 :], good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]):
        with pytest.raises(DecodeError, match="chunks") as caught:
            decoder.decode(bad, ())
        assert 0 < caught.value.layers < 16
        np.testing.assert_array_equal(caught.value.latent[: caught.value.layers], whole[: caught.value.layers])
        decoder.image(bad)
    with pytest.raises(DecodeError, match="checksum of the whole") as caught:
        decoder.decode(good[:-1] + bytes([good[-1] ^ 1]), ())
    assert 0 < caught.value.layers < 16
    assert decoder.decode(good[:-300], ())[1] >= caught.value.layers, "packets vouch for what is there"


def test_a_lone_tile_whose_size_is_not_its_heads_is_refused(tmp_path):
    """Else its image would not fit where its latent says that it lies."""
    good, decoder = plain(), EdgeSegmentDecoder(shipped())
    front, start = unpack_front(good, 0, lone_binding(shipped().digest, shipped().tables_digest))
    forged = replace(front, grid_h=2, payload=good[start : start + 500], payload_bytes=-1, truncated=False)
    data = pack_segment(forged, lone_binding(shipped().digest, shipped().tables_digest))
    for action in (lambda: decoder.decode(data, ()), lambda: decoder.image(data)):
        with pytest.raises(DecodeError, match="expected a tile of 2 x 4 positions"):
            action()
    store = GroundStore(tmp_path / "g")
    heard(store, [Piece(5, 0, data)])
    assert list(places(store)) == []
