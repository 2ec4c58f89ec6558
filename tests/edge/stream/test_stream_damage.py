"""Cuts at every byte, flips in every byte, splices, garbage and hostile files: no crash, no false segment."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.stream import (
    ContextRef,
    FrameRecord,
    Segment,
    StreamError,
    header_bytes,
    pack_frame,
    pack_segment,
    read_segment,
    read_stream,
    segment_overhead_bytes,
)
from tests.edge.stream_example import DATA, SEGMENTS, header

BY_PLACE = {(segment.frame, segment.tile): segment for segment in SEGMENTS}


def check_sound(data: bytes, cut_only: bool = True) -> int:
    """Read damaged bytes: StreamError or only true segments; returns how many whole ones there were.

    A truncated segment must be a true prefix when the file was only cut. What is not whole says so, and its head is true:
    how much of its payload counts is for the checks within to say.
    """
    try:
        stream = read_stream(data)
    except StreamError:
        return 0
    whole = 0
    for segment in stream.segments:
        truth = BY_PLACE[segment.frame, segment.tile]
        if not segment.sound:
            assert stream.problems and (segment is stream.segments[-1] or not segment.truncated)
            assert not cut_only or (truth.payload.startswith(segment.payload) and segment.truncated)
            assert replace(segment, payload=truth.payload, truncated=False, damaged=False) == truth
        else:
            assert segment == truth
            whole += 1
    if whole < len(SEGMENTS) or len(data) != len(DATA):
        assert stream.problems
    return whole


def test_a_cut_at_every_byte_is_named_and_gives_true_data():
    header_size = header_bytes(header())
    for cut in range(len(DATA)):
        if cut < header_size:
            with pytest.raises(StreamError):
                read_stream(DATA[:cut])
            continue
        whole = check_sound(DATA[:cut])
        ends = [
            s.offset + segment_overhead_bytes(s, len(s.payload)) + len(s.payload) for s in read_stream(DATA).segments
        ]
        assert whole == sum(end <= cut for end in ends)
        assert read_stream(DATA[:cut]).problems[0].kind == "short"


def test_a_cut_segment_gives_its_payload_so_far():
    last = read_stream(DATA).segments[-1]
    cut = read_stream(DATA[:-10])
    assert cut.segments[-1].truncated and cut.segments[-1].payload == last.payload[:-6]
    assert cut.segments[-1].payload_bytes == len(last.payload)
    assert cut.problems[-1].kind == "truncated" and last.name in cut.problems[-1].message


def test_a_flip_in_any_byte_costs_at_most_its_record():
    header_size = header_bytes(header())
    for at in range(len(DATA)):
        damaged = bytearray(DATA)
        damaged[at] ^= 1 << (at % 8)
        whole = check_sound(bytes(damaged), cut_only=False)
        if at < header_size:
            with pytest.raises(StreamError):
                read_stream(bytes(damaged))
        else:
            assert whole >= len(SEGMENTS) - 1
            stream = read_stream(bytes(damaged))
            assert stream.problems and not any(segment.truncated for segment in stream.segments)


def test_a_damaged_payload_is_named():
    segment = read_stream(DATA).segments[1]
    damaged = bytearray(DATA)
    damaged[segment.offset + 20] ^= 1
    problems = read_stream(bytes(damaged)).problems
    assert [p.kind for p in problems] == ["damaged"] and segment.name in problems[0].message


def test_two_damaged_neighbours_are_both_named():
    damaged = bytearray(DATA)
    for segment in read_stream(DATA).segments[1:3]:
        damaged[segment.offset + 25] ^= 1
    stream = read_stream(bytes(damaged))
    assert len(stream.problems) == 2 and [s.damaged for s in stream.segments] == [False, True, True, False]


def test_bytes_lost_in_the_middle_make_a_segment_damaged_not_cut():
    """The segment then claims to reach beyond the file, or into the next record."""
    whole = read_stream(DATA).segments
    for n, lost in ((3, whole[3]), (2, whole[2])):
        start = lost.offset + segment_overhead_bytes(lost, len(lost.payload)) - 4 + 3
        stream = read_stream(DATA[:start] + DATA[start + 5 :])
        found = stream.segments[n]
        assert not found.sound and found.payload[:3] == lost.payload[:3] and lost.name in stream.problems[-1].message
        assert [s for s in stream.segments if s.sound] == [s for s in whole if s is not lost]
    gone = whole[2]  # so much that it claims more than is left of the file, and a whole one stands behind it
    start = gone.offset + segment_overhead_bytes(gone, len(gone.payload)) - 4 + 3
    far = bytearray(DATA[: whole[3].offset] + bytes(40))
    stream = read_stream(bytes(far[:start]) + DATA[whole[3].offset :])
    assert stream.segments[2].damaged and stream.segments[2].payload == gone.payload[:3]
    assert stream.segments[3] == whole[3] and "at most 3 of" in stream.problems[-1].message


def test_a_damaged_record_does_not_take_a_whole_ones_place():
    binding = header().binding
    whole = pack_segment(SEGMENTS[0], binding)
    damaged = bytearray(whole)
    damaged[-6] ^= 1
    stream = read_stream(header().pack() + bytes(damaged) + whole)
    assert stream.segments == (SEGMENTS[0],) and [p.kind for p in stream.problems] == ["damaged", "duplicate"]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_random_splices(data):
    """Cut out, double, move or overwrite pieces: never an exception, never a false segment."""
    raw = bytearray(DATA)
    for _ in range(data.draw(st.integers(1, 3))):
        a, b = sorted((data.draw(st.integers(0, len(DATA))), data.draw(st.integers(0, len(DATA)))))
        at = data.draw(st.integers(0, len(raw)))
        action = data.draw(st.sampled_from(["insert", "delete", "overwrite", "garbage"]))
        if action == "insert":
            raw[at:at] = DATA[a:b]
        elif action == "delete":
            del raw[a:b]
        elif action == "overwrite":
            raw[at : at + b - a] = DATA[a:b]
        else:
            raw[at:at] = data.draw(st.binary(max_size=40))
    if bytes(raw) != DATA:
        check_sound(bytes(raw), cut_only=False)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_garbage_is_never_a_record(garbage):
    with pytest.raises(StreamError):
        read_stream(garbage)
    stream = read_stream(header().pack() + garbage)
    assert stream.segments == () and stream.frames == () and stream.extensions == ()
    with pytest.raises(StreamError):
        read_segment(garbage, 0)


@pytest.mark.parametrize("pattern", [b"\xe1", b"\xe2\xff\xff\x7f", b"\xe1\x00\x00\x00\xff\xff", b"\x00"])
def test_hostile_patterns_are_bounded_work(pattern, monkeypatch):
    """Counted, not timed: places tried stay below one in sixteen bytes."""
    from swathpack.edge.stream import reader

    tried = []
    original = reader.Scanner.record
    monkeypatch.setattr(reader.Scanner, "record", lambda self, at: tried.append(at) or original(self, at))
    stream = read_stream(header().pack() + pattern * (200_000 // len(pattern)))
    assert stream.segments == () and stream.problems
    assert len(tried) < 200_000 // 16 + 1000


def test_hostile_lengths_with_good_checks_are_bounded_work(monkeypatch):
    """Many segment headers that check, each claiming the whole rest: content checks stop at the budget."""
    from swathpack.edge.stream import reader

    binding = header().binding
    body = bytearray()
    for _ in range(4000):
        front = pack_segment(Segment(0, 0, 0, 0, 1, 16, 16, payload=bytes(40_000)), binding)[:11]
        body += front + b"\0" * 9
    checked = []
    original = reader.Scanner.crc_holds

    def counted(self, at, stop, seed):
        checked.append(stop - at)
        return original(self, at, stop, seed)

    monkeypatch.setattr(reader.Scanner, "crc_holds", counted)
    stream = read_stream(header().pack() + bytes(body))
    assert any(p.kind == "hostile" for p in stream.problems)
    assert sum(checked) < 20 * len(body) + 2 * 65536


def test_records_of_another_file_do_not_pass():
    other = header(height=101)
    stranger = pack_segment(SEGMENTS[0], other.binding)
    stream = read_stream(header().pack() + stranger + pack_segment(SEGMENTS[1], header().binding))
    assert stream.segments == (SEGMENTS[1],) and stream.problems


def test_records_that_contradict_are_dropped_and_named():
    binding = header().binding
    first = SEGMENTS[0]
    records = [
        first,
        first,
        replace(first, layer_start=15, layer_count=1),
        replace(first, frame=2),
        replace(first, tile=2),
        replace(first, tile=1, contexts=(ContextRef(0, 1, b"self"),)),
        replace(first, tile=1, contexts=(ContextRef(7, 1, b"none"),)),
    ]
    frames = [FrameRecord(0), FrameRecord(0), FrameRecord(2)]
    raw = header().pack() + b"".join(pack_segment(s, binding) for s in records)
    stream = read_stream(raw + b"".join(pack_frame(f, binding) for f in frames))
    assert stream.segments == (first,) and stream.frames == (FrameRecord(0),)
    assert sorted(p.kind for p in stream.problems) == ["duplicate"] * 3 + ["foreign"] * 5


def test_a_latent_larger_than_the_tile_is_foreign():
    small = header(tile_size=64)
    records = [Segment(0, 0, 0, 0, 1, 4, 5), Segment(0, 1, 0, 0, 1, 4, 4)]
    stream = read_stream(small.pack() + b"".join(pack_segment(s, small.binding) for s in records))
    assert list(stream.segments) == records[1:] and [p.kind for p in stream.problems] == ["foreign"]


def test_layers_of_a_tile_may_come_in_several_segments():
    binding = header().binding
    parts = [replace(SEGMENTS[0], layer_start=4 * i, layer_count=4) for i in range(4)]
    stream = read_stream(header().pack() + b"".join(pack_segment(s, binding) for s in parts))
    assert list(stream.segments) == parts and not stream.problems


def test_other_formats_and_versions_are_refused_by_name():
    with pytest.raises(StreamError, match="magic"):
        read_stream(b"GIF89a" + bytes(100))
    with pytest.raises(StreamError, match="version 1 to 3, found 4"):
        read_stream(b"SWP\x04" + DATA[4:])


def test_version_1_is_read_and_known_to_have_no_checks():
    old = header(version=1)
    stream = read_stream(old.pack() + pack_segment(SEGMENTS[0], old.binding))
    assert stream.header == old and stream.segments == (SEGMENTS[0],) and not stream.problems
    assert not old.checked and header().checked and old.binding != header().binding
    with pytest.raises(StreamError, match="version"):
        header(version=4)


def test_a_cut_segment_cannot_be_written_or_flown():
    cut = read_stream(DATA[:-10]).segments[-1]
    with pytest.raises(StreamError):
        pack_segment(cut, 0)
    with pytest.raises(StreamError, match="cut"):
        read_segment(DATA[cut.offset : -10], header().binding)
    with pytest.raises(StreamError, match="expected a segment of"):
        read_segment(DATA[cut.offset :] + b"x", header().binding)
