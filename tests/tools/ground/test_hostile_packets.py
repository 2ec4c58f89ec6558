"""Forged packets, crowded stores, two receivers: bounded memory and disk, one clear message, nothing lost."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.protocol import TileKey, TilePixels
from swathpack.edge.downlink.passrun import LinkSettings
from swathpack.edge.packets.erasure import KEEP_BYTES, CauchyCode, ErasureDecoder, parity_payloads
from swathpack.edge.packets.pieces import MAX_SEGMENT_BYTES, Piece, pack_pieces
from swathpack.edge.packets.report import Report
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.edge.stages.intake import tile_id
from swathpack.hil_tests.simulation.fake_codec import FakeSegmentDecoder
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.hil_tests.simulation.two_ends import KEYS, Board, Ground, acquire, scene
from swathpack.tools.cli import main
from swathpack.tools.errors import BAD_INPUT, PARTLY, USAGE
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.held import MAX_RANGES, HeldSegment
from swathpack.tools.ground.names import split_tile
from swathpack.tools.ground.receiver import GroundReceiver
from swathpack.tools.ground.reports import TELLINGS
from swathpack.tools.ground.store import GroundStore, GroundStoreError
from tests.codec_models import shipped
from tests.limits import swathpack

FAR = tile_id(0, 255, 255)


def image(pieces, number=1, sequence=0) -> bytes:
    return SpacePacket(Apid.IMAGE, sequence, 7, number, pack_pieces(pieces)).pack()


def segment(tile: int = 0, time: int = 1000, seed: int = 3) -> bytes:
    """A segment of the shipped model, 64 x 64 pixels."""
    pixels = values(64, 64, 1, seed)[0].astype(np.uint16)
    given = TilePixels(TileKey(tile, time), pixels, BANDS, np.ones((64, 64), bool))
    return FlightCodec(shipped(), 40).encode(given, ()).segment(0, 16)


def stored(path) -> int:
    return sum(p.stat().st_size for p in path.parent.glob(path.name + "*"))


def test_a_forged_offset_takes_no_room_in_the_store(tmp_path):
    """Two kilobytes of packets with one byte each at the end of many segments made a store of 601 MB."""
    store = GroundStore(tmp_path / "g")
    receiver = GroundReceiver(store, FakeSegmentDecoder())
    packets = [
        image([Piece(n, MAX_SEGMENT_BYTES - 1, b"x") for n in range(300 * i, 300 * i + 300)], 1, i) for i in range(2)
    ]
    for packet in packets:
        receiver.feed(packet)
    receiver.settle(1)
    store.close()
    assert stored(tmp_path / "g") < 60 * sum(map(len, packets)) + (1 << 17)


def test_scattered_pieces_are_bounded_and_stores_of_before_are_read(tmp_path):
    held, true = HeldSegment(1, 2, 3), random.Random(5).randbytes(2 * MAX_RANGES + 4000)
    assert all(held.put(at, true[at : at + 1]) for at in range(0, 2 * MAX_RANGES, 2))
    far = 2 * MAX_RANGES + 3000
    assert not held.put(far, true[far : far + 1]) and held.put(1, true[1:2])
    again = HeldSegment(1, 2, 3)
    again.fill(held.pack(), held.ranges)
    assert again.pack() == held.pack() and len(held.pack()) == held.ranges.covered(len(true))
    dense = bytes(true[i] if held.ranges.within(i, i + 1) else 0 for i in range(list(held.ranges)[-1][1]))
    older = HeldSegment(1, 2, 3)
    older.fill(dense, held.ranges)
    assert older.pack() == held.pack() and older.prefix == held.prefix == true[:3]


@pytest.mark.long
def test_a_poisoned_place_is_left_out_listed_and_dropped(tmp_path, capsys):
    store = GroundStore(tmp_path / "g.db")
    receiver = GroundReceiver(store, EdgeSegmentDecoder(shipped()))
    good = segment()
    for n, data in enumerate((good, segment(FAR), segment(tile_id(2, 0, 0), (1 << 40) - 1), b"no segment")):
        receiver.feed(image([Piece(n, 0, data)], 1, n))
    receiver.settle(1)
    store.close()
    say = ["receive", "--store", tmp_path / "g.db"]

    first = swathpack(*say, "--tile", 256, "--images", tmp_path / "images")
    assert first.code == PARTLY and first.peak_mb < 1024
    assert "place 0 spans 65344 x 65344 pixels" in first.out and "0/255/255" in first.out
    assert [p.name for p in (tmp_path / "images").iterdir()] == ["place-2.npz"]

    assert main(list(map(str, [*say, "--list"]))) == 0
    said = capsys.readouterr().out
    assert "0/255/255" in said and "3 tile-frames, 3 segments" in said and "1 segments without a head, 10 bytes" in said

    drops = ["--drop", "0/255/255", "--drop", f"2/0/0/{(1 << 40) - 1}", "--drop", "unread"]
    assert main(list(map(str, [*say, *drops, "--images", tmp_path / "images", "--list"]))) == 0
    said = capsys.readouterr().out
    assert "1 tile-frames, 1 segments" in said and "0 segments without a head" in said
    assert (tmp_path / "images" / "place-0.npz").exists()
    with np.load(tmp_path / "images" / "place-0.npz") as archive:
        assert archive["data"].shape == (1, 12, 64, 64)

    for wrong, code in (("5", BAD_INPUT), ("0/1", USAGE), ("0/0/0/soon", USAGE), ("x", USAGE)):
        assert main(list(map(str, [*say, "--drop", wrong]))) == code
    assert main(list(map(str, say))) == USAGE


def test_a_place_wider_than_a_frame_may_be_is_left_out(tmp_path, capsys):
    """Of few pixels, so that no limit of pixels catches it."""
    store = GroundStore(tmp_path / "g.db")
    receiver = GroundReceiver(store, EdgeSegmentDecoder(shipped()))
    for n, tile in enumerate((tile_id(1, 0, 0), tile_id(1, 0, 128), tile_id(2, 0, 0))):
        receiver.feed(image([Piece(n, 0, segment(tile))], 1, n))
    receiver.settle(1)
    store.close()
    say = ["receive", "--store", tmp_path / "g.db", "--images", tmp_path / "images", "--tile", 256]
    assert main(list(map(str, say))) == PARTLY
    assert "place 1 spans 64 x 32832 pixels on 1 dates, frames have at most 32768 a side" in capsys.readouterr().out
    assert [p.name for p in (tmp_path / "images").iterdir()] == ["place-2.npz"]


def test_what_was_dropped_is_told_and_coded_again(tmp_path):
    board, ground = Board(tmp_path), Ground(tmp_path)
    numbers = board.take("f", 1000, [acquire(t, 1) for t in scene(2)])
    ground.hear(1, board.downlink(1, 100_000))
    board.uplink(ground.reports.packets(1, 0))
    assert ground.store.drop([TileKey(1, 1000)]) == 1
    assert ground.store.tile_frames() == [TileKey(0, 1000)] and ground.store.segment(1, numbers[1]) is None
    told = 0
    for n in range(2, 2 + TELLINGS):
        entries = [e for p in ground.reports.reports(n, 0) for e in Report.unpack(p, KEYS).entries]
        told += any(e.number == numbers[1] and e.intra and e.held == 0 for e in entries)
    assert told == TELLINGS and not ground.store.to_tell(1, TELLINGS)


def test_two_receivers_on_one_store(tmp_path):
    """The second is refused in words; one that only reads is not."""
    first = GroundStore(tmp_path / "g")
    with pytest.raises(GroundStoreError, match="in use by process"):
        GroundStore(tmp_path / "g")
    reader = GroundStore(tmp_path / "g", write=False)
    assert list(reader.contents()) == [] and reader.epoch == 1
    with pytest.raises(GroundStoreError, match="readonly"):
        reader.set_meta("x", 1)
    (tmp_path / "pass-1.bin").write_bytes(image([Piece(1, 0, b"x")]))
    code = "import sys; from swathpack.tools.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["receive", str(tmp_path / "pass-1.bin"), "--store", str(tmp_path / "g")]
    other = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert other.returncode == 1 and other.stderr.count("\n") == 1 and "one receiver per store" in other.stderr
    first.close()
    GroundStore(tmp_path / "g").close()


def test_a_lock_ends_with_its_process(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from swathpack.tools.ground.store import GroundStore\n"
        "store = GroundStore(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "g")])
    GroundStore(tmp_path / "g").close()


def test_what_two_bring_of_one_segment_is_united(tmp_path):
    """Both read the same row, then both write: the second must not undo the first."""
    true, store = random.Random(3).randbytes(900), GroundStore(tmp_path / "g")
    seen = HeldSegment(7, 5, 1)
    seen.put(0, true[:100])
    store.save([seen], 1)
    one, two = store.segment(7, 5), store.segment(7, 5)
    one.put(100, true[100:400])
    one.key, one.layers, one.digest = TileKey(3, 4), 2, b"12345678"
    two.put(500, true[500:])
    store.save([one], 2)
    store.save([two], 2)
    held = store.segment(7, 5)
    assert list(held.ranges) == [(0, 400), (500, 900)] and held.prefix == true[:400]
    assert (held.key, held.layers, held.digest) == (TileKey(3, 4), 2, b"12345678")
    assert store.count_up("report", 3) == 0 and store.count_up("report", 1) == 3


@pytest.mark.parametrize("how", ["locked", "no database", "newer"])
def test_a_store_that_cannot_be_used_is_one_line(tmp_path, how, monkeypatch):
    monkeypatch.setattr("swathpack.tools.ground.database.BUSY_S", 0.05)
    path = tmp_path / "g"
    if how == "no database":
        path.write_bytes(b"not a database at all, but long enough to be one" * 50)
    else:
        GroundStore(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    if how == "locked":
        other.execute("BEGIN EXCLUSIVE")
    if how == "newer":
        other.execute("PRAGMA user_version=99")
    with pytest.raises(GroundStoreError, match=str(path)):
        store = GroundStore(path)
        store.save([HeldSegment(1, 1, 1)], 1)


def test_a_lock_in_the_middle_leaves_the_store_usable(tmp_path, monkeypatch):
    monkeypatch.setattr("swathpack.tools.ground.database.BUSY_S", 0.05)
    store = GroundStore(tmp_path / "g")
    other = sqlite3.connect(tmp_path / "g", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(GroundStoreError, match="locked"):
        store.save([HeldSegment(1, 1, 1)], 1)
    other.execute("COMMIT")
    store.save([HeldSegment(1, 1, 1)], 1)
    assert len(store.touched(1, 1)) == 1


def test_parity_and_packets_that_are_kept_are_bounded_in_bytes():
    decoder, rng = ErasureDecoder(Apid.IMAGE), random.Random(1)
    for i in range(1500):
        decoder.source(SpacePacket(Apid.IMAGE, i, 1, 2, rng.randbytes(60_000)))
        assert decoder.packet_bytes == sum(map(len, decoder.packets.values())) <= KEEP_BYTES
        payload = bytes([0, 1, 128, 127, i % 127, 0]) + rng.randbytes(50_000)
        decoder.parity(SpacePacket(Apid.PARITY, i, 1, 2 + i // 200, payload))
        assert (
            decoder.parity_bytes
            == sum(len(p) for b in decoder.blocks.values() for p in b.parity.values())
            <= KEEP_BYTES
        )


def test_a_block_that_never_checks_is_given_up():
    """Else every packet of its range would try it again, the longer the more parity was forged."""
    decoder = ErasureDecoder(Apid.IMAGE)
    for i in range(8):
        forged = bytes([0, 0, 16, 8, i, 0]) + random.Random(i).randbytes(400)
        assert decoder.parity(SpacePacket(Apid.PARITY, i, 1, 2, forged)) == []
    for sequence in range(14):
        assert decoder.source(SpacePacket(Apid.IMAGE, sequence, 1, 2, b"x" * 100)) == []
    assert not decoder.blocks and decoder.parity_bytes == 0


def test_honest_parity_still_restores():
    packets = [SpacePacket(Apid.IMAGE, i, 1, 2, bytes([i]) * 50) for i in range(6)]
    decoder, found = ErasureDecoder(Apid.IMAGE), []
    for i in (0, 2, 3, 5):
        found += decoder.source(packets[i])
    for n, payload in enumerate(parity_payloads([p.pack() for p in packets], 0, 2, CauchyCode())):
        found += decoder.parity(SpacePacket(Apid.PARITY, n, 1, 2, payload))
    assert found == [packets[1], packets[4]]


def test_every_touched_segment_is_decoded_once_a_pass(tmp_path, monkeypatch):
    """Not once for every piece that comes when memory is short: decoding is what costs time."""
    monkeypatch.setattr("swathpack.tools.ground.receiver.HELD_IN_MEMORY", 4)
    decoded = []

    class Counting(FakeSegmentDecoder):
        def decode(self, data, contexts):
            decoded.append(bytes(data[:24]))
            return super().decode(data, contexts)

    board = Board(tmp_path)
    board.take("f", 1000, [acquire(t, 1) for t in scene(9)])
    stream = board.downlink(1, 100_000, LinkSettings(packet_bytes=128))
    receiver = GroundReceiver(GroundStore(tmp_path / "g"), Counting(), 2048)
    for packet in stream:
        receiver.feed(packet)
    receiver.settle(1)
    assert len(decoded) == len(set(decoded)) == 9


def test_tiles_are_split_and_joined():
    assert split_tile(tile_id(17, 255, 3)) == (17, 255, 3)
