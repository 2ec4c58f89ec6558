"""Short segment records: exact sizes, one spelling, damage anywhere, contexts that are vouched for by position."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.stream import (
    ContextRef,
    FrameRecord,
    Header,
    Marks,
    Segment,
    Stream,
    StreamError,
    StreamWriter,
    header_bytes,
    overhead_in,
    pack_segment,
    read_segment_in,
    read_stream,
    room_in,
    segment_overhead_bytes,
    short,
)
from swathpack.edge.stream.chunks import with_checks
from swathpack.edge.stream.quality import PREDICTIVE, TRANSFORM, quality_of, step_of, usual_shift
from swathpack.edge.stream.short import LONG_BYTES, SHORT_SYNC, fits_short, pack_in, unpack_short
from tests.edge.stream_example import header

SMALL = header(frames=4, height=100, width=256, times=tuple(f"2024-05-0{n}" for n in range(1, 5)))


def tile(frame: int, quality: int, payload: bytes = b"", back: tuple[int, ...] = (), number: int = 0) -> Segment:
    """A whole tile of SMALL."""
    contexts = tuple(ContextRef(frame - n, 16) for n in back)
    return Segment(frame, number, step_of(quality), 0, 16, 7, 16, contexts, quality >> 6, payload)


def learned(q: int) -> int:
    return quality_of(q, usual_shift(q))


def file_of(segments: list[Segment], head: Header = SMALL) -> bytes:
    writer = StreamWriter(head)
    for segment in segments:
        writer.add(segment)
    return writer.to_bytes()


def example(seed: int = 7) -> tuple[bytes, list[Segment]]:
    """Two tiles by four dates, each kind of record; the first of each is a plain one that others are coded against."""
    rng = random.Random(seed)
    sizes = (40, 90, 300, 1500, 20, 60, 70, 1100)
    kinds = (
        (0, 0, learned(20), ()),
        (0, 1, TRANSFORM, ()),
        (1, 0, learned(21), (1,)),
        (1, 1, TRANSFORM, (1,)),
        (2, 0, learned(50), (1, 2)),
        (2, 1, PREDICTIVE, ()),
        (3, 0, learned(22), (2,)),
        (3, 1, TRANSFORM, (2,)),
    )
    wide = header(frames=4, height=100, width=512, times=())
    segments = [tile(f, quality, rng.randbytes(n), back, t) for n, (f, t, quality, back) in zip(sizes, kinds)]
    return file_of(segments, wide), segments


DATA, SEGMENTS = example()
WIDE = read_stream(DATA).header
BY_PLACE = {(s.frame, s.tile): s for s in SEGMENTS}


def against(place: tuple[int, int]) -> set[tuple[int, int]]:
    """A tile and all that was coded against it, at any remove."""
    found = {place}
    for s in SEGMENTS:
        if any((c.frame, s.tile) in found for c in s.contexts):
            found.add((s.frame, s.tile))
    return found


def test_round_trip():
    stream = read_stream(DATA)
    assert stream.problems == () and list(stream.segments) == SEGMENTS
    assert all(fits_short(s, WIDE) for s in SEGMENTS)


@pytest.mark.parametrize(
    ("quality", "back", "payload_bytes", "around"),
    [
        (TRANSFORM, (), 127, 5),
        (TRANSFORM, (), 128, 6),
        (TRANSFORM, (1,), 500, 6),
        (TRANSFORM, (15,), 500, 6),
        (learned(20), (), 500, 6),
        (learned(50), (1,), 500, 6),
        (learned(20), (1, 2), LONG_BYTES - 1, 6),
        (learned(20), (2, 1), 500, 8),
        (learned(20), (5,), 500, 8),
        (PREDICTIVE, (), 500, 6),
        (learned(20), (), LONG_BYTES, 10),
        (TRANSFORM, (), LONG_BYTES, 12),
    ],
)
def test_a_segment_takes_six_bytes(quality, back, payload_bytes, around):
    many = header(frames=16, height=100, width=256, times=())
    few = header(frames=8, height=100, width=256, times=())
    segment = tile(15, quality, back=back)
    assert overhead_in(many, segment, payload_bytes) == around + 1
    if not back:
        assert overhead_in(few, tile(7, quality), payload_bytes) == around
    marks = Marks()
    for n in back:
        pack_in(many, tile(15 - n, quality, b"x"), marks)
    assert len(pack_in(many, replace(segment, payload=bytes(payload_bytes), payload_bytes=-1), marks)) == (
        payload_bytes + around + 1
    )


def test_headers_of_a_small_file_are_within_64_bytes():
    """Of four dates and twelve bands with times, whatever these are like."""
    for times in (
        ("2024-05-01", "2024-05-06", "2024-05-11", "2024-05-16"),
        tuple(f"2024-05-{day:02}T10:20:30.{day:03}Z" for day in (1, 6, 11, 16)),
        ("unknown0", "unknown1", "unknown2", "unknown3"),
    ):
        assert header_bytes(replace(SMALL, height=256, times=times)) <= 64


def test_what_is_not_usual_is_a_long_record():
    assert fits_short(tile(1, TRANSFORM), SMALL)
    for other in (
        replace(tile(1, TRANSFORM), layer_count=15),
        replace(tile(1, TRANSFORM), layer_start=1, layer_count=15),
        replace(tile(1, TRANSFORM), grid_w=15),
        tile(1, quality_of(20, 2)),
        tile(3, TRANSFORM, back=(1, 2)),
        tile(1, PREDICTIVE, back=(1,)),
        tile(1, TRANSFORM, back=(-1,)),
        tile(3, learned(20), back=(1, 1)),
        replace(tile(1, learned(20)), contexts=(ContextRef(0, 3, b"abcd"),)),
    ):
        assert not fits_short(other, SMALL)
    assert not fits_short(tile(1, TRANSFORM), replace(SMALL, version=2))
    piece = replace(tile(1, TRANSFORM), layer_count=15)
    assert overhead_in(SMALL, piece, 9) == overhead_in(None, piece, 9) == segment_overhead_bytes(piece, 9)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_whole_tile_round_trips_with_the_exact_size(data):
    draw = data.draw
    frames, width = draw(st.integers(2, 300)), draw(st.sampled_from([16, 256, 700]))
    head = header(frames=frames, height=64, width=width, times=())
    frame = draw(st.integers(1, frames - 1))
    number = draw(st.integers(0, head.n_tiles - 1))
    q = draw(st.integers(0, 63))
    quality, most = draw(st.sampled_from([(learned(q), 2), (TRANSFORM, 1), (PREDICTIVE, 0)]))
    back = draw(st.lists(st.integers(1, min(frame, 15)), max_size=most, unique=True))
    columns = -(-min(256, width - 256 * number) // 16)
    writer = StreamWriter(head)
    records = [tile(frame - n, TRANSFORM, draw(st.binary(max_size=5)), (), number) for n in sorted(back, reverse=True)]
    payload = draw(st.binary(max_size=20)) * draw(st.sampled_from([1, 100]))
    records.append(tile(frame, quality, payload, tuple(back), number))
    records = [replace(s, grid_h=4, grid_w=columns) for s in records]
    sizes = [writer.add(s) for s in records]
    stream = read_stream(writer.to_bytes())
    assert stream.problems == () and list(stream.segments) == records
    assert sizes == [overhead_in(head, s, len(s.payload)) + len(s.payload) for s in records]


def test_room_fills_to_the_byte():
    segment = tile(1, TRANSFORM)
    for room in [*range(0, 300), *range(1000, 1100), *range(16380, 16420)]:
        payload = room_in(SMALL, segment, room)
        if payload < 0:
            assert overhead_in(SMALL, segment, 0) > room
            continue
        assert payload + overhead_in(SMALL, segment, payload) <= room
        assert payload + 1 + overhead_in(SMALL, segment, payload + 1) > room


def test_room_of_a_budget_far_beyond_any_tile_is_found_at_once(monkeypatch):
    """Checks take their part of every piece, so that counting down from all the room takes as many steps as they have bytes."""
    asked, segment, usual = [], tile(1, TRANSFORM), short.overhead_in
    monkeypatch.setattr(short, "overhead_in", lambda *given: asked.append(1) or usual(*given))
    payload = room_in(SMALL, segment, 100_000_000)
    assert payload + usual(SMALL, segment, payload) <= 100_000_000 < payload + 1 + usual(SMALL, segment, payload + 1)
    assert len(asked) < 64


@pytest.mark.parametrize(
    "coding", [bytes([n]) for n in range(210, 256)] + [b"\xd1\x40\x05", b"\xd1\x05\x01", b"\xd1\x05\x21"]
)
def test_unknown_codings_are_refused(coding):
    with pytest.raises(StreamError, match="coding"):
        unpack_short(bytes([SHORT_SYNC | 3]) + coding + bytes(9), 0, SMALL)


def test_places_beyond_the_file_and_frames_before_it_are_refused():
    with pytest.raises(StreamError, match="not in the file"):
        unpack_short(bytes([SHORT_SYNC | 4, 192, 0, 0, 0]), 0, SMALL)
    with pytest.raises(StreamError, match="before it"):
        unpack_short(bytes([SHORT_SYNC | 1, 194, 0, 0, 0]), 0, SMALL)


def test_a_context_must_be_in_the_file_before():
    with pytest.raises(StreamError, match="not sound"):
        StreamWriter(SMALL).add(tile(1, TRANSFORM, b"x", (1,)))


def check(stream: Stream) -> set[tuple[int, int]]:
    """Places of whole tiles; all are true ones, and so are heads and beginnings of those that are not whole."""
    for s in stream.segments:
        truth = BY_PLACE[s.frame, s.tile]
        if s.sound:
            assert s == truth
        else:
            assert replace(s, payload=truth.payload, truncated=False, damaged=False) == truth
    whole = {(s.frame, s.tile) for s in stream.segments if s.sound}
    assert stream.problems or whole == set(BY_PLACE)
    return whole


def spans() -> list[range]:
    """Where the records of DATA are."""
    found = read_stream(DATA).segments
    return [range(s.offset, s.offset + overhead_in(WIDE, s, len(s.payload)) + len(s.payload)) for s in found]


def places(every: int) -> list[int]:
    """Of the bytes behind the header each so many, and all that are near to the ends of a record."""
    near = {at for span in spans() for at in (*span[:12], *span[-12:])}
    return [at for at in range(header_bytes(WIDE), len(DATA)) if at % every == 0 or at in near]


EVERY = pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])


@pytest.mark.long
@EVERY
def test_a_cut_at_every_byte_is_named_and_gives_true_data(every):
    ends, starts = [span.stop for span in spans()], {span.start for span in spans()}
    assert ends[-1] == len(DATA)
    for cut in places(every):
        stream = read_stream(DATA[:cut])
        assert len(check(stream)) == sum(end <= cut for end in ends)
        problems = stream.problems
        assert problems[0].kind == "short" and all(p.offset in starts for p in problems[1:])


def test_a_cut_long_record_gives_its_payload_so_far():
    cut = read_stream(DATA[:-50]).segments[-1]
    assert cut.truncated and cut.payload == SEGMENTS[-1].payload[:LONG_BYTES]
    assert cut.payload_bytes == len(SEGMENTS[-1].payload)


@pytest.mark.long
@EVERY
def test_a_flip_in_any_byte_costs_its_record_and_what_was_coded_against_it(every):
    found = zip(spans(), SEGMENTS)
    owner = {at: (s.frame, s.tile) for span, s in found for at in span}
    for at in places(every):
        damaged = bytearray(DATA)
        damaged[at] ^= 1 << (at % 8)
        stream = read_stream(bytes(damaged))
        assert check(stream) == set(BY_PLACE) - against(owner[at])
        assert not any(s.truncated for s in stream.segments)


def test_neighbours_of_damaged_records_come_back():
    """Also one between two damaged ones, as long as a damaged one's length is true."""
    records = [tile(n, TRANSFORM, random.Random(n).randbytes(50)) for n in range(4)]
    data = bytearray(file_of(records))
    offsets = [s.offset for s in read_stream(bytes(data)).segments]
    for n in (0, 2):
        data[offsets[n] + 20] ^= 1
    stream = read_stream(bytes(data))
    assert list(stream.segments) == [records[1], records[3]]
    assert [p.offset for p in stream.problems] == [offsets[0], offsets[2]]
    data[offsets[0] + 2] ^= 4  # now the first one's length is wrong: nothing says that the second one is due
    assert list(read_stream(bytes(data)).segments) == [records[3]]


def test_noise_behind_damage_must_be_followed_by_a_record():
    """A record with 16 bits of check that lies in noise is noise, unless something whole stands behind it."""
    inner = pack_in(SMALL, tile(2, TRANSFORM, b"not what the file holds"), Marks())
    start, last = file_of([tile(0, TRANSFORM, b"first")]), pack_in(SMALL, tile(3, TRANSFORM, b"last"), Marks())
    found = read_stream(start + b"\0\0\0" + inner + b"\0\0\0" + last)
    assert [s.frame for s in found.segments] == [0, 3]
    found = read_stream(start + b"\0\0\0" + inner + last)
    assert [s.frame for s in found.segments] == [0, 2, 3]


def test_a_cut_in_the_middle_is_damage():
    data = file_of([tile(0, TRANSFORM, bytes(900)), tile(1, TRANSFORM, b"second"), tile(2, TRANSFORM, b"third")])
    lost = data[:100] + data[-2 * 6 - 11 :]
    kinds = [(p.kind, p.message) for p in read_stream(lost).problems if p.kind != "short"]
    assert len(kinds) == 1 and kinds[0][0] == "damaged" and "frame 0, tile 0" in kinds[0][1]


def test_two_encodings_of_one_series_do_not_mix():
    """Their file headers are the same: what was coded against another record than the one that is here is named."""
    first, second = (
        file_of([tile(n, TRANSFORM, bytes([fill]) * 90, (1,) if n else ()) for n in range(4)]) for fill in (1, 2)
    )
    at = read_stream(first).segments[2].offset
    mixed = read_stream(first[:at] + second[at:])
    assert [s.frame for s in mixed.segments] == [0, 1] and {s.payload[0] for s in mixed.segments} == {1}
    assert all(p.kind == "damaged" for p in mixed.problems) and len(mixed.problems) == 2
    other = read_stream(second[:at] + first[at:])
    assert [s.frame for s in other.segments] == [0, 1]


def test_a_record_given_twice_takes_nothing_with_it():
    twice = [SEGMENTS[0], replace(SEGMENTS[0], payload=b"other", payload_bytes=-1)]
    marks = Marks()
    records = [pack_in(WIDE, s, marks) for s in (twice[0], *SEGMENTS[2:3])]
    again = pack_in(WIDE, twice[1], Marks())
    stream = read_stream(WIDE.pack(0) + records[0] + again + records[1])
    assert list(stream.segments) == [SEGMENTS[0], SEGMENTS[2]] and [p.kind for p in stream.problems] == ["duplicate"]


def test_a_context_in_pieces_counts_as_a_whole():
    pieces = [replace(tile(0, TRANSFORM, bytes([n])), layer_start=8 * n, layer_count=8) for n in range(2)]
    data = file_of([*pieces, tile(1, TRANSFORM, b"x", (1,))])
    assert len(read_stream(data).segments) == 3 and not read_stream(data).problems
    other = pack_segment(replace(pieces[1], payload=b"y", payload_bytes=-1), SMALL.binding)
    at = [s.offset for s in read_stream(data).segments]
    mixed = read_stream(data[: at[1]] + other + data[at[2] :])
    assert [s.frame for s in mixed.segments] == [0, 0] and mixed.problems


def test_one_record_read_by_itself():
    marks = Marks()
    packed = pack_in(SMALL, tile(0, TRANSFORM, b"x"), marks)
    dependent = pack_in(SMALL, tile(1, TRANSFORM, b"y", (1,)), marks)
    seen = Marks()
    with pytest.raises(StreamError, match="not sound"):
        read_segment_in(dependent, SMALL, seen)
    assert read_segment_in(packed, SMALL, seen) == tile(0, TRANSFORM, b"x")
    assert read_segment_in(dependent, SMALL, seen) == tile(1, TRANSFORM, b"y", (1,))
    with pytest.raises(StreamError):
        read_segment_in(packed + b"x", SMALL, Marks())


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_random_splices(data):
    """Cut out, double, move or overwrite pieces: never an exception, never a false segment.

    The examples are the same in every run: a false record of 16 bits would be rare, and a fault all the same.
    """
    raw = bytearray(DATA)
    for _ in range(data.draw(st.integers(1, 3))):
        a, b = sorted((data.draw(st.integers(0, len(DATA))), data.draw(st.integers(0, len(DATA)))))
        at = data.draw(st.integers(header_bytes(WIDE), len(raw)))
        action = data.draw(st.sampled_from(["insert", "delete", "overwrite", "garbage"]))
        if action == "insert":
            raw[at:at] = DATA[a:b]
        elif action == "delete" and a >= header_bytes(WIDE):
            del raw[a:b]
        elif action == "overwrite":
            raw[at : at + b - a] = DATA[a:b]
        elif action == "garbage":
            raw[at:at] = data.draw(st.binary(max_size=40))
    check(read_stream(bytes(raw))) if bytes(raw) != DATA else None


def test_noise_passes_as_seldom_as_said():
    """docs/stream.md: of places in noise one in some 2^17 looks like a record, and none counts unless another stands behind it."""
    rng, found = random.Random(3), 0
    for _ in range(20):
        stream = read_stream(SMALL.pack(0) + rng.randbytes(20_000))
        found += len(stream.segments)
    assert found == 0


def test_long_records_hold_their_chunk_checks():
    payload = bytes(range(256)) * 8
    data = pack_in(SMALL, tile(0, TRANSFORM, payload), Marks())
    front = unpack_short(data, 0, SMALL)
    first = int.from_bytes(data[front.start - 2 : front.start], "little")
    assert data[front.start : front.stop] == with_checks(payload, first)


def test_frame_records_beside_short_ones():
    writer = StreamWriter(SMALL)
    writer.add(FrameRecord(0))
    writer.add(tile(0, TRANSFORM, b"x"))
    stream = read_stream(writer.to_bytes())
    assert len(stream.frames) == len(stream.segments) == 1 and not stream.problems
