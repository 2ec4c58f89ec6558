"""Frames over TCP and UDP: pieces of any size, senders that stall, drip or claim too much, memory bounded throughout."""

import socket
import time

import numpy as np
import pytest

from swathpack.edge.clock import ManualClock
from swathpack.edge.sources.acquisition import SourceError
from swathpack.edge.sources.sockets import MessageSplitter, PartAssembler, TcpSource, UdpSource, parts_of
from tests.edge.sources.offers import acquisition, same


def test_splitter_and_assembler_bound_what_they_hold():
    splitter = MessageSplitter(100)
    assert splitter.feed(b"\0\0\0\3ab") == [] and splitter.feed(b"c\0\0\0\0") == [b"abc", b""]
    with pytest.raises(SourceError, match="at most 100"):
        splitter.feed(b"\0\0\1\0")
    assembler, data = PartAssembler(50_000), np.random.default_rng(0).bytes(9000)
    parts = list(parts_of(7, data))
    for part in (*parts[::-1][:-1], parts[3]):
        assert assembler.feed(part) is None
    assert assembler.feed(parts[0]) == data
    for message in range(100):
        assembler.feed(next(iter(parts_of(message, data))))
        assert len(assembler.open) <= 4
    assert assembler.lost == 96
    assert assembler.feed(b"") is None and assembler.feed(b"XXXX" + bytes(20)) is None


def wait_for(source):
    for _ in range(2000):
        one = source.poll()
        if one is not None:
            return one
        time.sleep(0.005)
    raise AssertionError("nothing arrived")


def test_tcp_and_udp_carry_frames():
    tcp = TcpSource("127.0.0.1", 0)
    message = acquisition().pack()
    with socket.create_connection(tcp.address) as sender:
        sender.sendall(len(message).to_bytes(4, "big") + message)
        assert same(wait_for(tcp).acquisition, acquisition())
        sender.sendall(b"\xff\xff\xff\xff")
        assert "at most" in wait_for(tcp).refused
    tcp.close()
    udp = UdpSource("127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for part in parts_of(1, message):
            sender.sendto(part, udp.address)
        assert same(wait_for(udp).acquisition, acquisition())
    with pytest.raises(SourceError):
        UdpSource("127.0.0.1", udp.address[1])
    udp.close()


def settle(source, polls=50) -> list[str]:
    """What a source refuses when it has taken in all that was sent to it on this machine."""
    refused = []
    for _ in range(polls):
        one = source.poll()
        if one is not None:
            refused.append(one.refused)
        time.sleep(0.002)
    return refused


def test_stalled_senders_are_dropped_and_do_not_block_a_fifth():
    clock = ManualClock()
    tcp = TcpSource("127.0.0.1", 0, 1 << 20, clock=clock, idle_s=30.0)
    stalled = [socket.create_connection(tcp.address) for _ in range(4)]
    for link in stalled:
        link.sendall((90_000).to_bytes(4, "big") + bytes(1000))
    assert settle(tcp) == []
    with socket.create_connection(tcp.address):
        assert settle(tcp) == ["more than 4 senders"]
    clock.advance(31)
    refused = settle(tcp)
    assert len(refused) == 4 and all("said nothing for 30 s" in r for r in refused)
    message = acquisition().pack()
    with socket.create_connection(tcp.address) as fifth:
        fifth.sendall(len(message).to_bytes(4, "big") + message)
        assert same(wait_for(tcp).acquisition, acquisition())
    for link in stalled:
        link.close()
    tcp.close()


def test_a_sender_that_drips_is_dropped():
    clock = ManualClock()
    tcp = TcpSource("127.0.0.1", 0, 1 << 20, clock=clock, idle_s=30.0, message_s=100.0)
    with socket.create_connection(tcp.address) as link:
        link.sendall((1000).to_bytes(4, "big"))
        for _ in range(8):
            assert settle(tcp, 10) == []
            clock.advance(12)
            link.sendall(b"x")
        assert settle(tcp, 10) == []
        clock.advance(12)
        assert "within 100 s" in settle(tcp)[0]
    tcp.close()


def test_a_silent_sender_between_messages_makes_room():
    clock, message = ManualClock(), acquisition().pack()
    tcp = TcpSource("127.0.0.1", 0, 1 << 20, max_senders=1, clock=clock, idle_s=30.0)
    with socket.create_connection(tcp.address) as first:
        first.sendall(len(message).to_bytes(4, "big") + message)
        assert same(wait_for(tcp).acquisition, acquisition())
        with socket.create_connection(tcp.address):
            assert settle(tcp) == ["more than 1 senders"]
        clock.advance(31)
        with socket.create_connection(tcp.address) as second:
            second.sendall(len(message).to_bytes(4, "big") + message)
            assert same(wait_for(tcp).acquisition, acquisition())
    tcp.close()


def test_messages_of_all_senders_together_stay_within_the_limit():
    """Whoever would need more waits until there is room, and then goes on."""
    clock, message = ManualClock(), acquisition(side=100).pack()
    limit = int(1.5 * len(message))
    tcp = TcpSource("127.0.0.1", 0, limit, clock=clock, idle_s=30.0)
    links = [socket.create_connection(tcp.address) for _ in range(3)]
    for link in links:
        link.sendall(len(message).to_bytes(4, "big") + message[:50])
    assert settle(tcp) == []
    assert sum(s.claimed for s in tcp.senders.values() if not s.waits) <= limit
    assert sum(s.waits for s in tcp.senders.values()) == 2
    found = []
    for link in links:
        link.sendall(message[50:])
        found.append(wait_for(tcp))
    assert all(same(one.acquisition, acquisition(side=100)) for one in found)
    for link in links:
        link.close()
    tcp.close()


def test_a_length_alone_takes_no_memory_and_pieces_of_any_size_do():
    splitter, messages = MessageSplitter(1 << 30), [b"", b"abc", bytes(5000), b"x"]
    assert splitter.claimed == -1 and splitter.feed((1 << 29).to_bytes(4, "big")) == []
    assert splitter.claimed == 1 << 29 and len(splitter.message) == 0
    stream = b"".join(len(m).to_bytes(4, "big") + m for m in messages)
    for size in (1, 3, 7, 5000, len(stream)):
        splitter, found = MessageSplitter(5000), []
        for at in range(0, len(stream), size):
            found += splitter.feed(stream[at : at + size])
        assert [bytes(f) for f in found] == messages and splitter.claimed == -1


def test_very_many_datagrams_are_cheap():
    """What is held is counted as it changes: adding it all up for each of 65,535 datagrams took minutes."""
    assembler, start = PartAssembler(1 << 30), time.process_time()
    for part in range(65_534):
        assert (
            assembler.feed(b"SWFU" + (9).to_bytes(4, "big") + part.to_bytes(2, "big") + b"\xff\xff" + b"x" * 20) is None
        )
    assert time.process_time() - start < 3 and assembler.held_bytes == 65_534 * 20
    assert assembler.feed(b"SWFU" + (9).to_bytes(4, "big") + b"\xff\xfe\xff\xff" + b"y") is not None
    assert assembler.held_bytes == 0 and not assembler.open
