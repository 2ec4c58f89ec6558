"""Pieces: what is packed comes out, packets are full, and any subset of packets leaves true bytes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.pieces import BASE_BYTES, Piece, PiecePacker, Span, pack_pieces, unpack_pieces

PIECES = st.lists(
    st.builds(Piece, st.integers(0, 2**32 - 1), st.integers(0, 2**20), st.binary(min_size=1, max_size=50)),
    min_size=1,
    max_size=20,
)


@given(pieces=PIECES)
def test_round_trip(pieces):
    assert unpack_pieces(pack_pieces(pieces)) == pieces


def test_golden_bytes():
    payload = pack_pieces([Piece(700, 0, b"abc"), Piece(699, 200, b"d")])
    assert payload.hex() == "000002bc00000361626301c8010164"


def segments(seed: int, count: int, most: int = 3000) -> dict[int, bytes]:
    rng = random.Random(seed)
    return {n: rng.randbytes(rng.randrange(1, most)) for n in range(100, 100 + count)}


def pack_all(data: dict[int, bytes], spans: list[Span], room: int):
    packer = PiecePacker(spans, lambda s: data[s.number][s.start : s.stop])
    payloads = []
    while (filled := packer.payload(room))[0]:
        payloads.append(filled)
    return payloads


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 40), room=st.integers(60, 2000))
def test_every_span_goes_down_once_and_no_packet_is_too_long(seed, count, room):
    data = segments(seed, count)
    spans = [Span(n, 0, len(d)) for n, d in data.items()]
    random.Random(seed).shuffle(spans)
    got: dict[int, dict[int, bytes]] = {n: {} for n in data}
    for payload, told in pack_all(data, spans, room):
        assert len(payload) <= room
        pieces = unpack_pieces(payload)
        assert [Span(p.number, p.offset, p.offset + len(p.data)) for p in pieces] == told
        for piece in pieces:
            assert piece.offset not in got[piece.number]
            got[piece.number][piece.offset] = piece.data
    for number, parts in got.items():
        assert b"".join(parts[at] for at in sorted(parts)) == data[number]
        ends = [at + len(parts[at]) for at in sorted(parts)]
        assert sorted(parts) == [0, *ends[:-1]], "no byte twice, none left out"


def test_packets_are_full():
    data = segments(3, 400, most=900)
    payloads = pack_all(data, [Span(n, 0, len(d)) for n, d in data.items()], room=1000)
    sizes = [len(payload) for payload, _ in payloads]
    assert sum(sizes[:-1]) >= 0.985 * 1000 * len(sizes[:-1])
    overhead = sum(sizes) - sum(map(len, data.values()))
    assert overhead < 8 * len(data) + (BASE_BYTES + 8) * len(sizes)


def test_importance_is_kept_but_for_what_fits_into_the_rest():
    data = segments(8, 200, most=900)
    payloads = pack_all(data, [Span(n, 0, len(d)) for n, d in data.items()], room=1000)
    order = [span.number for _, spans in payloads for span in spans if span.start == 0]
    assert max(abs(n - 100 - i) for i, n in enumerate(order)) <= 24


def test_spans_longer_than_a_packet_are_sent_in_order_before_shorter_ones_behind_them():
    data = {n: bytes(1500 if n < 105 else 30) for n in range(100, 160)}
    payloads = pack_all(data, [Span(n, 0, len(d)) for n, d in data.items()], room=1000)
    order = [(span.number, span.start) for _, spans in payloads for span in spans]
    long = [place for place in order if place[0] < 105]
    assert long == sorted(long)
    assert all(place[0] < 105 for place in order[: len(long)])


def test_room_for_nothing_gives_nothing_and_a_missing_segment_is_passed_over():
    packer = PiecePacker([Span(1, 0, 50), Span(2, 0, 5)], lambda s: b"" if s.number == 1 else b"x" * 5)
    assert packer.payload(6) == (b"", [])
    assert packer.payload(100)[1] == [Span(2, 0, 5)]


@pytest.mark.parametrize(
    "payload", [b"", b"\0\0\0\1\0", bytes(4) + b"\x01\x00\x01a", bytes(4) + b"\x00\x00\x05abc", bytes(7)]
)
def test_hostile_payloads_are_refused(payload):
    with pytest.raises(PacketError):
        unpack_pieces(payload)
