"""A downlink whose packets are signed: budgets hold, parity works, and forged segments change nothing on the ground."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from swathpack.edge.config import ConfigError, parse_mission
from swathpack.edge.downlink.passrun import LinkSettings, PassRun, packets, smallest_pass
from swathpack.edge.downlink.plan import PlanSettings
from swathpack.edge.packets.deframer import Deframer
from swathpack.edge.packets.erasure import parity_packet_bytes
from swathpack.edge.packets.link_keys import LinkKey, link_keys_text
from swathpack.edge.packets.security import PacketSigner
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.hil_tests.simulation.fake_codec import FakeSegmentDecoder
from swathpack.hil_tests.simulation.flight import MISSION, Flight, Station
from swathpack.hil_tests.simulation.two_ends import KEY, KEYS, LINK, Board, Ground, acquire, scene
from swathpack.tools.cli import main
from swathpack.tools.errors import PARTLY
from swathpack.tools.ground.receiver import GroundReceiver

TILES = 6
OTHER = LinkKey(1, bytes(range(100, 132)))


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path)


def date(board: Board, number: int) -> None:
    board.take(f"frame-{number}", 1000 * number, [acquire(tile, number) for tile in scene(TILES)])


def signed_pass(board: Board, number: int, budget: int, link: LinkSettings = LINK, key: LinkKey = KEY) -> list[bytes]:
    run = PassRun(board.queue, board.log, number, budget, PlanSettings(), link, None, PacketSigner(key))
    return list(packets(run))


def ground_of(tmp_path) -> Ground:
    ground = Ground(tmp_path)
    ground.receiver = GroundReceiver(ground.store, FakeSegmentDecoder(), 2048, KEYS, signed=True)
    return ground


@pytest.mark.parametrize("erasure", ["none", "cauchy"])
@pytest.mark.parametrize("budget", [150, 2000, 5000, 100_000])
def test_every_pass_is_filled_and_never_exceeded(board, tmp_path, budget, erasure):
    link = LinkSettings(packet_bytes=512, erasure=erasure, block_packets=10, parity_packets=2)
    ground = ground_of(tmp_path)
    for number in range(1, 4):
        date(board, number)
        stream = signed_pass(board, number, budget, link)
        used = sum(map(len, stream))
        left = board.queue.tiles.table()
        missing = sum(int(p[-1]) - have.covered(1 << 30) for p, have in zip(left.prefix, left.have))
        assert used <= budget and max(map(len, stream)) <= (512 if erasure == "none" else parity_packet_bytes(512, 34))
        assert used >= 0.97 * budget or missing == 0 or budget < 1000
        ground.hear(number, stream)
    assert ground.wrong(board.truth) == [] and ground.receiver.counts["forged packets"] == 0
    assert budget < 1000 or ground.store.tile_frames()


@pytest.mark.parametrize("signed", [True, False])
def test_the_smallest_pass_carries_a_packet_and_a_smaller_one_nothing(board, signed):
    date(board, 1)
    run, least = signed_pass if signed else Board.downlink, smallest_pass(signed)
    assert run(board, 1, least - 1) == []
    (packet,) = run(board, 2, least)
    assert least - 2 <= len(packet) <= least


def test_lost_packets_are_restored_from_parity_and_checked(board, tmp_path):
    date(board, 1)
    link = LinkSettings(packet_bytes=512, erasure="cauchy", block_packets=10, parity_packets=2)
    stream, ground = signed_pass(board, 1, 60_000, link), ground_of(tmp_path)
    ground.hear(1, stream, lambda i: i not in (3, 5))
    assert ground.receiver.counts["restored packets"] == 2 and ground.receiver.counts["forged packets"] == 0
    assert set(map(ground.store.layers, ground.store.tile_frames())) == {16} and ground.wrong(board.truth) == []


def forged(stream: list[bytes], rng: random.Random) -> list[bytes]:
    """Packets as somebody makes them who heard all of these: unsigned, of another key, changed, or moved."""
    made = []
    for packet in (p for data in stream for p in Deframer().feed(data)):
        bare = replace(packet, payload=packet.payload[2:-12], secured=False)
        payload = bytearray(packet.payload)
        payload[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
        made += [
            bare,
            PacketSigner(LinkKey(KEY.slot, OTHER.secret)).sign(bare),
            PacketSigner(OTHER).sign(bare),
            replace(packet, payload=bytes(payload)),
            replace(packet, pass_number=9),
            replace(packet, store=8),
            replace(packet, sequence=packet.sequence + 1),
        ]
    return [packet.pack() for packet in made]


def test_forged_packets_are_counted_and_change_nothing(board, tmp_path):
    date(board, 1)
    stream, ground = signed_pass(board, 1, 30_000), ground_of(tmp_path)
    made = forged(stream, random.Random(1))
    ground.hear(1, made)
    assert ground.receiver.counts["forged packets"] == len(made) == 7 * len(stream)
    assert ground.store.tile_frames() == [] and ground.receiver.counts["packets"] == 0
    ground.hear(1, [*made, *stream, *made])
    assert ground.wrong(board.truth) == [] and len(ground.store.tile_frames()) == TILES
    assert ground.receiver.counts["lost image packets"] == 0, "nor are their counts believed"


def test_what_is_heard_twice_says_nothing_new(board, tmp_path):
    date(board, 1)
    stream, ground = signed_pass(board, 1, 30_000), ground_of(tmp_path)
    ground.hear(1, stream)
    before = {key: ground.store.layers(key) for key in ground.store.tile_frames()}
    assert ground.hear(2, stream) == [] and before == {k: ground.store.layers(k) for k in ground.store.tile_frames()}


def two_passes(board: Board, ground: Ground) -> tuple[list[bytes], list[bytes]]:
    """Signed streams of two passes, the first one heard; a receiver that has heard nothing."""
    date(board, 1)
    first = signed_pass(board, 1, 30_000)
    ground.hear(1, first)
    date(board, 2)
    second = signed_pass(board, 2, 30_000)
    ground.receiver = GroundReceiver(ground.store, FakeSegmentDecoder(), 2048, KEYS, signed=True)
    return first, second


def test_replayed_packets_are_counted_and_tell_nothing_of_the_pass(board, tmp_path):
    """One of the pass before comes first, the others and some of this pass in between and behind."""
    ground = ground_of(tmp_path)
    first, second = two_passes(board, ground)
    ground.hear(2, [first[0], *second[:3], *first, *second[3:], *second[:5]])
    receiver = ground.receiver
    assert receiver.counts["replayed packets"] == len(first) + 5
    assert receiver.counts["lost image packets"] == 0 and not receiver.counts["forged packets"]
    assert receiver.identity == (2, board.queue.store)
    assert ground.wrong(board.truth) == [] and len(ground.store.tile_frames()) == 2 * TILES


def test_what_was_lost_of_a_pass_is_taken_from_a_replay(board, tmp_path):
    """Pieces are facts, whenever they come; events and parity of then are not of now."""
    date(board, 1)
    link = LinkSettings(packet_bytes=512, erasure="cauchy", block_packets=10, parity_packets=2)
    first, ground = signed_pass(board, 1, 60_000, link), ground_of(tmp_path)
    ground.hear(1, first, lambda i: i % 2)
    before = sum(map(ground.store.layers, ground.store.tile_frames()))
    date(board, 2)
    second = signed_pass(board, 2, 60_000, link)
    ground.receiver = GroundReceiver(ground.store, FakeSegmentDecoder(), 2048, KEYS, signed=True)
    ground.hear(2, [*second, *first])
    kept = [k for k in ground.store.tile_frames() if k.time == 1000]
    assert sum(map(ground.store.layers, kept)) == 16 * TILES > before and ground.wrong(board.truth) == []
    assert ground.receiver.counts["replayed packets"] == len(first)


def test_a_pass_file_that_starts_with_a_replay_is_reported_as_the_pass_it_is(board, tmp_path):
    """Else the board would wait for reports of its pass for ever, and send all of it again."""
    first, second = two_passes(board, ground_of(tmp_path))
    path, keys = tmp_path / "pass.bin", tmp_path / "link.keys"
    path.write_bytes(b"".join([first[0], *second]))
    keys.write_text(link_keys_text(KEYS))
    keys.chmod(0o600)
    words = ["--store", tmp_path / "g.db", "--key-file", keys, "--signed", "--reports", tmp_path / "reports"]
    assert (
        main(["receive", str(path), *map(str, words)]) == PARTLY
    )  # the model in these segments is not the shipped one
    assert [p.name for p in (tmp_path / "reports").iterdir()] == ["reports-000002.bin"]


def key_files(tmp_path, keys) -> str:
    """A mission whose packets are signed."""
    path = tmp_path / "downlink.key"
    path.write_text(link_keys_text(keys))
    path.chmod(0o600)
    return MISSION + '[downlink]\nkey_file = "downlink.key"\n'


def test_a_mission_signs_and_follows_the_grounds_key(tmp_path):
    keys = {0: KEY.secret, 5: OTHER.secret}
    flight = Flight(tmp_path, frames=1, text=key_files(tmp_path, keys), downlink_keys=keys)
    station = Station(tmp_path, flight)
    flight.loop.settle()
    found = [flight.contact(1, 4000)]
    flight.board.link.follow(5, 1)
    found.append(flight.contact(2, 4000))
    slots = [{p.payload[1] for data in stream for p in Deframer().feed(data)} for stream in found]
    assert slots == [{0}, {5}]
    station.receiver = GroundReceiver(station.store, FakeSegmentDecoder(), 4096, keys, signed=True)
    station.hear(2, [*found[0], *found[1]])
    assert station.store.tile_frames() and station.receiver.counts["forged packets"] == 0


def test_a_key_file_that_cannot_be_used_is_one_message(tmp_path):
    from swathpack.edge.outside import downlink_keys

    mission = parse_mission(key_files(tmp_path, {0: KEY.secret}), tmp_path)
    assert downlink_keys(mission) == {0: KEY.secret}
    (tmp_path / "downlink.key").chmod(0o644)
    with pytest.raises(ConfigError, match="downlink.key_file: .* expected mode 0600"):
        downlink_keys(mission)
    assert downlink_keys(parse_mission(MISSION, tmp_path)) is None


def test_what_it_costs(board):
    """14 bytes a packet: 1.37 % of packets of 1,024 bytes."""
    date(board, 1)
    link = LinkSettings(packet_bytes=1024)
    sizes = [len(d) - len(p.payload) for d in signed_pass(board, 1, 20_000, link) for p in Deframer().feed(d)]
    assert set(sizes) == {20}
    plain = SpacePacket(Apid.IMAGE, 0, 0, 0, bytes(990))
    assert len(PacketSigner(KEY).sign(plain).pack()) - len(plain.pack()) == 14 <= 0.0138 * 1024
