"""Images of the ground's store: missing layers take what the model expects, against the context the board used."""

from pathlib import Path

import numpy as np
import pytest

from swathpack.codec.filters import filtered
from swathpack.codec.restored import Restorer
from swathpack.codec.squares import smoothed, synthesised
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.layers import tile_decoder
from swathpack.edge.codec.prediction import CodingContext
from swathpack.edge.codec.protocol import ContextLatent, TileKey, TilePixels
from swathpack.edge.packets.pieces import Piece, pack_pieces
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.cli import main
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.images import place_frames, places, tile_image, write_images
from swathpack.tools.ground.keeping import drop
from swathpack.tools.ground.receiver import GroundReceiver
from swathpack.tools.ground.store import GroundStore
from tests.codec_models import shipped

LAYERS_SENT = 3


def pixels(time: int, data: np.ndarray) -> TilePixels:
    return TilePixels(TileKey(0, time), data, BANDS, np.ones(data.shape[1:], np.bool_))


def test_what_did_not_come_is_expected_from_context(tmp_path: Path) -> None:
    model, codec = shipped(), FlightCodec(shipped(), 24)
    scene = values(64, 64, 1, 3)[0].astype(np.uint16)
    first = codec.encode(pixels(1000, scene), ())
    held = ContextLatent.known(first.key, first.q, 16, first.latent)
    second = codec.encode(pixels(2000, scene + 5), (held,))
    assert second.context_digests, "the second date should use the first"

    store = GroundStore(tmp_path / "ground.db")
    receiver = GroundReceiver(store, EdgeSegmentDecoder(model))
    for number, (tile, layers) in enumerate(((first, 16), (second, LAYERS_SENT))):
        piece = Piece(number, 0, tile.segment(0, layers))
        receiver.feed(SpacePacket(Apid.IMAGE, number, 7, 1, pack_pieces([piece])).pack())
    receiver.settle(1)

    frames = place_frames(store, model, next(places(store)), tmp_path)
    best = place_frames(store, model, next(places(store)), tmp_path, restorer=Restorer())
    assert (best[0].data != frames[0].data).any(), "all layers of a tile that stands for itself"
    np.testing.assert_array_equal(best[1].data, frames[1].data)
    decoder = tile_decoder(model.engine, model.tables, (CodingContext(first.latent, 24),), second.q, (4, 4))
    decoder.decode(second.coded.layers.payload(LAYERS_SENT), LAYERS_SENT)
    wanted = np.rint(synthesised(model, decoder.reconstruction()))
    np.testing.assert_array_equal(frames[1].data, np.clip(wanted, 1, 65535))
    zeros = smoothed(model.synthesise(decoder.latent.astype(np.float32), 24), 24)
    error = [np.square(image - scene - 5.0).mean() for image in (wanted, zeros)]
    assert error[0] < 0.8 * error[1]


def test_a_tile_coded_again_shows_its_last_coding(tmp_path: Path) -> None:
    """Both segments are held and have all layers; only one of them is the latent that counts."""
    model, codec = shipped(), FlightCodec(shipped(), 24)
    store = GroundStore(tmp_path / "ground.db")
    for number, seed in enumerate((3, 8)):
        tile = codec.encode(pixels(1000, values(64, 64, 1, seed)[0].astype(np.uint16)), ())
        receiver = GroundReceiver(store, EdgeSegmentDecoder(model))
        piece = Piece(number, 0, tile.segment(0, 16))
        receiver.feed(SpacePacket(Apid.IMAGE, number, 7, number, pack_pieces([piece])).pack())
        receiver.settle(number)
    decoder = tile_decoder(model.engine, model.tables, (), tile.q, (4, 4))
    decoder.decode(tile.coded.layers.payload(16), 16)
    wanted = np.rint(synthesised(model, decoder.reconstruction()))
    (place,) = places(store)
    np.testing.assert_array_equal(place_frames(store, model, place, tmp_path)[0].data, np.clip(wanted, 1, 65535))


def test_tiles_beside_each_other_come_together_and_dates_stay(tmp_path: Path) -> None:
    """Two whole tiles of a place, one by each codec: away from the seam they are what each is by itself."""
    model, store = shipped(), GroundStore(tmp_path / "ground.db")
    receiver = GroundReceiver(store, EdgeSegmentDecoder(model))
    scene = values(32, 512, 1, 3)[0].astype(np.uint16)
    for column, mode in enumerate(("learned", "transform")):
        data = np.ascontiguousarray(scene[:, :, 256 * column : 256 * column + 256])
        tile = FlightCodec(model, 50, mode=mode).encode(
            TilePixels(TileKey(column, 1000), data, BANDS, np.ones((32, 256), np.bool_)), ()
        )
        piece = Piece(column, 0, tile.segment(0, 6))
        receiver.feed(SpacePacket(Apid.IMAGE, column, 7, 1, pack_pieces([piece])).pack())
    receiver.settle(1)
    (place,) = places(store)
    found = place_frames(store, model, place, tmp_path)[0].data.astype(float)
    alone = [np.clip(np.rint(tile_image(store, model, held.key)), 1, 65535) for held in place.held]
    plain = np.concatenate(alone, axis=2)
    np.testing.assert_array_equal(np.delete(found, np.s_[248:264], 2), np.delete(plain, np.s_[248:264], 2))
    steps = [np.abs(a[:, :, 256] - a[:, :, 255]).mean() for a in (found, plain)]
    assert steps[0] < 0.7 * steps[1]
    assert np.square(found - scene).mean() < np.square(plain - scene).mean()


def test_received_transform_tiles_are_filtered_as_files_are(tmp_path: Path) -> None:
    model, store = shipped(), GroundStore(tmp_path / "ground.db")
    receiver = GroundReceiver(store, EdgeSegmentDecoder(model))
    scene = values(64, 64, 1, 3)[0].astype(np.uint16)
    pixels = TilePixels(TileKey(0, 1000), scene, BANDS, np.ones((64, 64), np.bool_))
    segment = FlightCodec(model, 40, mode="transform").encode(pixels, ()).segment(0, 8)
    receiver.feed(SpacePacket(Apid.IMAGE, 0, 7, 1, pack_pieces([Piece(0, 0, segment)])).pack())
    receiver.settle(1)
    _, plain = EdgeSegmentDecoder(model).image(segment)
    wanted = np.clip(np.rint(filtered(plain.counts, np.ones((64, 64), np.bool_), plain.steps)), 1, 65535)
    (place,) = places(store)
    np.testing.assert_array_equal(place_frames(store, model, place, tmp_path)[0].data, wanted)
    assert (wanted != np.clip(np.rint(plain.counts), 1, 65535)).any()


def test_what_cannot_be_drawn_is_named(tmp_path: Path) -> None:
    """A date whose context was dropped was nodata without a word, and the exit code was 0."""
    model, store = shipped(), GroundStore(tmp_path / "ground.db")
    scene, codec = values(64, 64, 1, 3)[0].astype(np.uint16), FlightCodec(shipped(), 24, mode="transform")
    first = codec.encode(pixels(0, scene), ())
    second = codec.encode(pixels(86400, scene + 5), (ContextLatent.known(first.key, first.q, 16, first.latent),))
    assert second.context_digests, "the second date should use the first"
    receiver = GroundReceiver(store, EdgeSegmentDecoder(model))
    for number, tile in enumerate((first, second)):
        pieces = pack_pieces([Piece(number, 0, tile.segment(0, 16))])
        receiver.feed(SpacePacket(Apid.IMAGE, number, 7, 1, pieces).pack())
    receiver.settle(1)
    told: list[str] = []
    assert write_images(store, model, tmp_path / "before", told=told.append)[2] == 0 and len(told) == 1
    drop(store, "0/0/0/1970-01-01T00:00:00Z")
    (written,), refused, partial = write_images(store, model, tmp_path / "after", told=told.append)
    assert not refused and partial == 1 and tile_image(store, model, second.key) is None
    assert told[2:] == ["  1970-01-02T00:00:00Z: 0 tiles; not drawn, what it was coded against is not here: 0/0/0"]
    with np.load(written) as cube:
        assert not cube["data"].any()


def test_no_image_at_all_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where every tile lacks its beginning an empty folder came, and no word of it."""
    packet = SpacePacket(Apid.IMAGE, 0, 7, 0, pack_pieces([Piece(0, 300, bytes(200))])).pack()
    (tmp_path / "pass.bin").write_bytes(packet)
    store, images = str(tmp_path / "ground.db"), str(tmp_path / "images")
    main(["receive", str(tmp_path / "pass.bin"), "--store", store, "--images", images])
    assert "images: none: " in capsys.readouterr().out
