"""The ground's store and receiver: hostile and contradicting input, memory bounds, the `receive` command's parts."""

import random

import pytest

from swathpack.edge.codec.protocol import ContextLatent, TileKey
from swathpack.edge.packets.pieces import MAX_SEGMENT_BYTES, Piece, pack_pieces
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.hil_tests.simulation.fake_codec import FakeSegmentDecoder
from swathpack.hil_tests.simulation.two_ends import Board, Ground, acquire, scene
from swathpack.tools.ground.receiver import BYTES_IN_MEMORY, GroundReceiver
from swathpack.tools.ground.store import GroundStore, HeldSegment


def image(pieces, number=1, sequence=0):
    return SpacePacket(Apid.IMAGE, sequence, 7, number, pack_pieces(pieces)).pack()


def test_a_segment_takes_bytes_in_any_order_and_refuses_contradictions():
    rng, true = random.Random(1), random.Random(2).randbytes(500)
    segment = HeldSegment(1, 2, 3)
    for _ in range(200):
        a, b = sorted(rng.randrange(501) for _ in range(2))
        assert segment.put(a, true[a:b])
    segment.put(0, true)
    assert segment.prefix == true
    assert not segment.put(100, bytes([true[100] ^ 1])) and segment.prefix == true


def test_latents_are_found_by_the_digest_of_any_of_their_prefixes(tmp_path):
    store, board = GroundStore(tmp_path / "g"), Board(tmp_path)
    numbers = board.take("f", 1000, [acquire(scene(1)[0], 1)])
    latent = board.queue.tiles.latent(numbers[0]).latent
    store.put_latent(TileKey(0, 1000), 20, latent, 9)
    asking = TileKey(0, 2000)
    for k in range(1, 10):
        wanted = ContextLatent.known(TileKey(0, 1000), 20, k, latent)
        found = store.context(0, wanted.digest, asking)
        assert found.layers == k and (found.latent == wanted.latent).all() and found.digest == wanted.digest
    beyond = ContextLatent.known(TileKey(0, 1000), 20, 12, latent)
    assert store.context(0, beyond.digest, asking) is None, "more layers than are held"
    assert store.context(1, wanted.digest, asking) is None, "another tile"
    assert store.context(0, wanted.digest, TileKey(0, 1000)) is None, "never itself"
    store.put_latent(TileKey(0, 1000), 20, latent, 4)
    assert store.layers(TileKey(0, 1000)) == 9


def test_packets_of_nonsense_are_counted_and_change_nothing(tmp_path):
    ground, rng = Ground(tmp_path), random.Random(4)
    for i in range(400):
        payload = rng.randbytes(rng.randrange(80))
        apid = rng.choice(list(Apid))
        ground.receiver.feed(SpacePacket(apid, i, 7, 1, payload).pack())
        ground.receiver.feed(rng.randbytes(30))
    assert ground.receiver.settle(1) == [] and ground.store.tile_frames() == []
    assert ground.receiver.counts["malformed packets"] > 100


def test_a_piece_that_contradicts_what_is_held_is_dropped(tmp_path):
    board, ground = Board(tmp_path), Ground(tmp_path)
    (number,) = board.take("f", 1000, [acquire(scene(1)[0], 1)])
    ground.hear(1, board.downlink(1, 100_000))
    ground.receiver.feed(image([Piece(number, 60, b"\0" * 40)], sequence=999))
    ground.receiver.settle(2)
    assert ground.receiver.counts["contradicting pieces"] == 1
    assert ground.wrong(board.truth) == [] and set(ground.layers().values()) == {16}


def test_memory_is_bounded_when_very_many_segments_are_open(tmp_path, monkeypatch):
    monkeypatch.setattr("swathpack.tools.ground.receiver.HELD_IN_MEMORY", 50)
    store = GroundStore(tmp_path / "g")
    receiver = GroundReceiver(store, FakeSegmentDecoder())
    for number in range(300):
        receiver.feed(image([Piece(number, 5, b"x" * 10)], sequence=number))
        assert len(receiver.open) <= 50
    receiver.settle(1)
    assert len(store.touched(7, 1)) == 300


def test_forged_offsets_cannot_fill_the_memory(tmp_path):
    store = GroundStore(tmp_path / "g")
    receiver = GroundReceiver(store, FakeSegmentDecoder())
    for number in range(60):
        receiver.feed(image([Piece(number, MAX_SEGMENT_BYTES - 1, b"x")], sequence=number))
        assert sum(len(s.data) for s in receiver.open.values()) <= BYTES_IN_MEMORY + 2 * MAX_SEGMENT_BYTES
    receiver.settle(1)
    assert len(store.touched(7, 1)) == 60


def test_what_grew_before_memory_was_made_free_is_told_too(tmp_path, monkeypatch):
    monkeypatch.setattr("swathpack.tools.ground.receiver.HELD_IN_MEMORY", 2)
    board, ground = Board(tmp_path), Ground(tmp_path)
    board.take("f", 1000, [acquire(t, 1) for t in scene(6)])
    for at in board.downlink(1, 100_000):
        ground.receiver.feed(at)
    updates = ground.receiver.settle(1)
    assert {u.key for u in updates if u.layers == 16} == set(ground.store.tile_frames())
    assert len(ground.store.tile_frames()) == 6


def test_what_was_received_survives_a_restart_of_the_ground(tmp_path):
    board = Board(tmp_path)
    board.take("f", 1000, [acquire(t, 1) for t in scene(4)])
    stream = board.downlink(1, 100_000)
    first = Ground(tmp_path)
    first.hear(1, stream[: len(stream) // 2])
    first.store.close()
    second = Ground(tmp_path)
    second.hear(2, stream[len(stream) // 2 :])
    assert set(second.layers().values()) == {16} and second.wrong(board.truth) == []


@pytest.mark.parametrize("epoch", [1, 5])
def test_the_epoch_of_a_store_is_remembered(tmp_path, epoch):
    GroundStore(tmp_path / "g", epoch).close()
    assert GroundStore(tmp_path / "g").epoch == epoch
