"""Checks between chunks: what they cost, and that what they confirm is what was written."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from swathpack.edge.stream import Segment, pack_segment, read_stream, segment_overhead_bytes
from swathpack.edge.stream.chunks import CHUNK_BYTES, checked_bytes, take_checks, with_checks
from swathpack.edge.stream.segment import payload_of, unpack_front
from tests.edge.stream_example import header

SIZES = (0, 1, 1023, 1024, 1025, 2048, 5000)
TRANSFORM = Segment(0, 0, 63, 0, 16, 8, 16, flags=3)


@pytest.mark.parametrize("size", SIZES)
def test_round_trip_cost_and_every_kind_of_cut(size):
    payload = random.Random(size).randbytes(size)
    data = with_checks(payload, 0x1234)
    assert len(data) == checked_bytes(size) <= size * 1.002
    assert take_checks(data, size, 0x1234) == (payload, size - size % CHUNK_BYTES, False)
    for cut in range(0, len(data), 97):
        found = take_checks(data[:cut], size, 0x1234)
        assert payload.startswith(found.payload) and not found.failed
        assert cut - checked_bytes(len(found.payload)) <= 2 and found.confirmed % CHUNK_BYTES == 0
        assert cut < CHUNK_BYTES + 2 or found.confirmed >= len(found.payload) - CHUNK_BYTES


def test_nothing_wrong_is_ever_confirmed():
    rng = random.Random(3)
    payload, other = rng.randbytes(9000), with_checks(rng.randbytes(9000), 7)
    data = with_checks(payload, 7)
    for _ in range(400):
        at, n = rng.randrange(len(data)), rng.randrange(1, 60)
        middle = rng.choice((b"", data[at : at + n] * 2, rng.randbytes(n), other[at : at + n]))
        bad = (data[:at] + middle + data[at + n :])[: rng.randrange(len(data))]
        found = take_checks(bad, len(payload), 7)
        assert payload.startswith(found.payload[: found.confirmed])
    assert take_checks(data, 9000, 8) == (b"", 0, True), "another segment's"


@pytest.mark.parametrize("size", SIZES)
def test_records_carry_them_and_sizes_count_them(size):
    segment = replace(TRANSFORM, payload=random.Random(1).randbytes(size), payload_bytes=-1)
    binding = header().binding
    record = pack_segment(segment, binding)
    assert len(record) == size + segment_overhead_bytes(segment, size)
    stream = read_stream(header().pack() + record)
    assert stream.segments == (segment,) and not stream.problems
    front, start = unpack_front(record, 0, binding)
    assert payload_of(front, record, start).payload == segment.payload
    learned = replace(segment, quality=20, flags=0)
    assert len(pack_segment(learned, binding)) == size + segment_overhead_bytes(learned, size)
    assert segment_overhead_bytes(segment, size) - segment_overhead_bytes(learned, size) == 1 + 2 * (size // 1024)


def test_the_good_beginning_of_a_damaged_record_is_kept():
    segment = replace(TRANSFORM, payload=random.Random(1).randbytes(5000), payload_bytes=-1)
    data = header().pack() + pack_segment(segment, header().binding)
    for at in (300, 2000, 4500):
        place = len(data) - 4 - checked_bytes(5000) + at
        flipped = bytes([data[place] ^ 4])
        for bad in (data[:place] + data[place + 29 :], data[:place] + flipped + data[place + 1 :]):
            (found,) = read_stream(bad).segments
            assert not found.sound and segment.payload.startswith(found.payload)
            assert len(found.payload) == at // (CHUNK_BYTES + 2) * CHUNK_BYTES
