"""Masks by their edges: round trips, sizes, and content that no packer wrote."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.stream import FrameRecord, StreamError, pack_frame, pack_mask, read_stream
from swathpack.edge.stream.edges import MAX_EDGE_BYTES, edge_rows, pack_edges
from swathpack.edge.stream.masks import deflate
from tests.edge.stream_example import header


def unpacked(packed: bytes, height: int, width: int, rows: int = 7) -> np.ndarray:
    return np.concatenate(list(edge_rows(packed, height, width, rows)))


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000), st.floats(0, 1), st.integers(1, 50))
def test_round_trip(height, width, seed, fill, rows):
    valid = np.random.default_rng(seed).random((height, width)) < fill
    packed = pack_edges(valid)
    assert packed is not None and np.array_equal(unpacked(packed, height, width, rows), valid)


@pytest.mark.parametrize("slant", [0.0, 0.3, 2.5])
def test_the_edge_of_a_swath_takes_little(slant):
    y, x = np.mgrid[:512, :512]
    valid = x > 40 + slant * y % 400
    edges, rows = pack_edges(valid), pack_mask(valid)
    assert edges is not None and rows is not None and len(edges) < 70 and 2 * len(edges) < len(rows) + 20


def test_too_many_edges_are_none():
    assert pack_edges(np.indices((600, 600)).sum(0) % 2 == 0) is None
    assert pack_edges(np.ones((32_768, 3), bool)) is not None


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"\0" * 3,
        b"\0" * 5,
        b"\x03\x01\x00" + b"\0" * 3,
        b"\x03\x01\x01" + b"\0\x03\x00" * 3,
        b"\x02\x07" + b"\x01" * 3,
        b"\x02\x00" + b"\0\x01" * 3,
        b"\x80",
        b"\xff" * 9,
    ],
    ids=["nothing", "short", "long", "twice", "crossed", "beyond", "before", "cut", "no varint"],
)
def test_what_no_packer_wrote_is_refused(plain):
    with pytest.raises(StreamError):
        unpacked(deflate(plain), 4, 7)
    with pytest.raises(StreamError):
        unpacked(b"junk", 4, 7)


def test_bombs_are_refused():
    with pytest.raises(StreamError):
        unpacked(deflate(bytes(MAX_EDGE_BYTES + 1)), MAX_EDGE_BYTES + 1, 7)
    assert unpacked(deflate(bytes(MAX_EDGE_BYTES)), MAX_EDGE_BYTES, 2, 10_000).all()


def test_frame_records_hold_edges_or_name_another_ones_mask():
    valid = np.arange(99).reshape(9, 11) > 20
    writer, small = b"", header(times=(), height=9, width=11, frames=4)
    records = [
        FrameRecord(0, "2024-05-01", pack_edges(valid), edges=True),
        FrameRecord(1, None, like=1, other_offset=True),
        FrameRecord(2, None, pack_mask(~valid)),
        FrameRecord(3, "2024-05-02", like=3),
    ]
    for record in records:
        writer += pack_frame(record, small.binding)
    stream = read_stream(small.pack() + writer)
    assert list(stream.frames) == records and not stream.problems
    for frame, truth in enumerate((valid, valid, ~valid, valid)):
        found = stream.validity(frame)
        assert found is not None and np.array_equal(found.valid(9, 11), truth)


def test_a_frame_without_a_record_is_as_the_one_before_from_version_3_on():
    valid = np.arange(99).reshape(9, 11) > 20
    for version in (2, 3):
        small = header(times=(), height=9, width=11, frames=4, version=version)
        records = [FrameRecord(1, None, pack_mask(valid)), FrameRecord(3)]
        stream = read_stream(small.pack() + b"".join(pack_frame(r, small.binding) for r in records))
        found = [stream.validity(n) for n in range(4)]
        assert found == [None, records[0], None if version == 2 else records[0], records[1]]


def test_old_files_have_no_such_records():
    old = header(times=(), version=2)
    for record in (FrameRecord(1, like=1), FrameRecord(1, None, pack_edges(np.zeros((100, 300), bool)), edges=True)):
        stream = read_stream(old.pack() + pack_frame(record, old.binding))
        assert stream.frames == () and "unknown bits" in stream.problems[0].message


@pytest.mark.parametrize("wrong", [{"like": 2}, {"like": -1}, {"like": 1, "mask": b"x"}, {"edges": True}])
def test_impossible_records_are_refused(wrong):
    with pytest.raises(StreamError):
        FrameRecord(1, **wrong)
