"""The stream container: round trips, exact sizes, what is refused."""

from __future__ import annotations

import binascii
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.radiometry import Radiometry
from swathpack.edge.stream import (
    ContextRef,
    Extension,
    FrameRecord,
    Segment,
    StreamError,
    StreamWriter,
    header_bytes,
    lone_binding,
    pack_extension,
    pack_frame,
    pack_holes,
    pack_mask,
    pack_segment,
    read_segment,
    read_stream,
    segment_overhead_bytes,
    unpack_header,
    unpack_holes,
    unpack_mask,
)
from swathpack.edge.stream.records import GEOREFERENCE, MAX_EXTENSION_BYTES
from swathpack.edge.stream.segment import unpack_front
from swathpack.edge.stream.wire import Cursor, signed_varint, varint
from tests.edge.stream_example import DATA, MODEL, NATIVE, S2, SEGMENTS, TABLES, header


def test_round_trip():
    stream = read_stream(DATA)
    assert stream.problems == () and list(stream.segments) == SEGMENTS and stream.size == len(DATA)
    assert stream.header == header(total_bytes=len(DATA))
    assert stream.time(0) == "2024-05-01" and stream.time(1) == "2024-05-06"
    assert stream.extensions == (Extension(GEOREFERENCE, b'{"crs": "EPSG:32635"}'),)
    valid = stream.frames[0].valid(100, 300)
    assert valid[:, :250].all() and not valid[:, 250:].any()
    assert [segment.offset for segment in stream.segments] == sorted(s.offset for s in stream.segments)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bands": ("B02", "B03", "B04", "B08"), "level": "unknown", "boa_offset": True},
        {"bands": (*S2[:10], "B10", *S2[10:]), "level": "L1C"},
        {"bands": ("B04", "B03", "B02")},
        {"bands": ("red", "nir", "größe")},
        {"grid": NATIVE},
        {"grid": (1,) * 11 + (3,)},
        {"res_m": 20.0},
        {"tile_size": 64},
        {"tile_size": 192, "height": 10980, "width": 10980},
        {"tile_size": 1024, "height": 10980, "width": 10980},
        {"times": ()},
        {"times": ("20240501", "20230401")},
        {"times": ("2024-05-01T10:20", "2024-05-02T10:20")},
        {"times": ("2024-05-01T10:20:30", "1969-05-02T10:20:31")},
        {"times": (1714000000, 1714000300)},
        {"times": ("2024-05-01T10:20:30.123Z", "1970-05-02T10:20:31.000Z")},
        {"times": ("2039-09-01T10:20:30.123Z", "1969-05-02T10:20:31.000Z")},
        {"times": ("2024-05-01", "summer")},
        {"times": ("été 1", "été 2")},
        {"times": (None, "20240501")},
        {"times": (0.25, 1714000300)},
        {"total_bytes": 12345},
        {"radiometry": Radiometry("int16", shift=32768, nodata=-9999, zero=32768)},
        {"radiometry": Radiometry("float32", scale=10000, nodata=float("nan")), "res_m": 20.0, "grid": NATIVE},
        {"radiometry": Radiometry("uint8", gain=40)},
    ],
)
def test_header_round_trip(changes):
    packed = header(**changes)
    again, size = unpack_header(packed.pack() + b"more")
    assert again == packed and size == header_bytes(packed) == len(packed.pack())
    assert (packed.binding == header().binding) == (set(changes) <= {"total_bytes"})


def test_a_plain_header_is_small():
    assert header_bytes(header(frames=1, height=256, width=256, times=("2024-05-01",))) == 37
    assert header_bytes(header(grid=NATIVE)) < 48


def test_a_type_costs_few_bytes():
    assert header_bytes(header(radiometry=Radiometry("uint8"))) == header_bytes(header()) + 2
    with_nodata = header(radiometry=Radiometry("int16", shift=32768, nodata=-9999, zero=32768))
    assert header_bytes(with_nodata) <= header_bytes(header()) + 28


@pytest.mark.parametrize(
    "changes",
    [
        {"other_offset": True},
        {"holes": True},
        {"mask": True, "holes": True},
        {"mask": True, "holes": True, "other_offset": True, "time": "2024-05-01"},
    ],
)
def test_frame_records_hold_offset_and_holes(changes):
    holes = np.zeros((3, 9, 11), bool)
    holes[1, 2:5, 3:] = holes[2, 8] = True
    valid = np.arange(99).reshape(9, 11) > 20
    fields = {k: v for k, v in changes.items() if k in ("other_offset", "time")}
    record = FrameRecord(
        1,
        mask=pack_mask(valid) if "mask" in changes else None,
        holes=pack_holes(holes) if "holes" in changes else None,
        **fields,
    )
    plain = header(times=(), height=9, width=11)
    found = read_stream(plain.pack() + pack_frame(record, plain.binding)).frames[0]
    assert found == record and found.other_offset == ("other_offset" in changes)
    if "holes" in changes:
        assert found.holes is not None and (unpack_holes(found.holes, 3, 9, 11) == holes).all()
        with pytest.raises(StreamError):
            unpack_holes(found.holes, 3, 9, 12)
    assert (found.valid(9, 11) == (valid if "mask" in changes else True)).all()


def test_no_holes_take_no_bytes():
    assert pack_holes(np.zeros((3, 4, 5), bool)) is None
    with pytest.raises(StreamError, match="expected bool holes"):
        pack_holes(np.zeros((4, 5), bool))


def test_grid_of_ones_is_the_same_as_none():
    assert unpack_header(header(grid=(1,) * 12).pack())[0].grid == ()


def test_times_of_mixed_kinds_stay_out_of_the_header():
    """Of versions before 3."""
    for times in (("2024-05-01", "summer"), ("2024-05-01T10:20:30.123Z", "2024-05-02T10:20:30.123Z")):
        mixed = header(times=times, version=2)
        assert not mixed.times_in_header and unpack_header(mixed.pack())[0].times == ()
        assert replace(mixed, version=3).times_in_header
    assert not header(times=(None, None)).times_in_header
    assert header().times_in_header


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": 0},
        {"height": 0},
        {"width": 40000},
        {"height": 32768, "width": 32768},
        {"bands": ()},
        {"bands": ("B02", "B02")},
        {"level": "L3"},
        {"tile_size": 100},
        {"tile_size": 1088},
        {"times": ("x",)},
        {"grid": (1, 2)},
        {"grid": (0,) * 12},
        {"model_digest": b"short"},
        {"res_m": float("nan")},
        {"total_bytes": 1 << 32},
    ],
)
def test_impossible_headers_are_refused(changes):
    with pytest.raises(StreamError):
        header(**changes)


@pytest.mark.parametrize(
    "time",
    [
        None,
        "2024-05-01",
        "20240501",
        "2024-05-01T10:20",
        "2024-05-01T10:20:30",
        "2024-05-01T10:20:30Z",
        "2024-05-01T10:20:30.025Z",
        "2024-05-01T10:20:30.25Z",
        "9999-05-01T10:20:30.025Z",
        "2024-5-1",
        "2024-02-30",
        "window_a/harvest",
        "été",
        "",
        0,
        -5,
        1714000000,
        1714000000.25,
        -0.5,
    ],
)
def test_times_come_back_letter_for_letter(time):
    stream = read_stream(header(times=()).pack() + pack_frame(FrameRecord(1, time), header(times=()).binding))
    found = stream.frames[0].time
    assert found == time and type(found) is type(time)
    assert stream.time(1) == time and stream.time(0) is None


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (None, None),
        ("noon", "noon"),
        (1714000000, "2024-04-24T23:06:40Z"),
        (-0.5, "1969-12-31T23:59:59.500000Z"),
        ((1 << 40) - 1, "1099511627775"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_a_frame_gets_its_time_as_text(time, text):
    stream = read_stream(header(times=()).pack() + pack_frame(FrameRecord(1, time), header(times=()).binding))
    assert stream.date(1) == text


def test_overhead_is_as_promised():
    intra = Segment(3, 1, 20, 0, 16, 16, 16)
    inter = replace(intra, contexts=(ContextRef(2, 16, b"abcd"), ContextRef(1, 3, b"efgh")))
    assert segment_overhead_bytes(intra, 4000) == 14
    assert segment_overhead_bytes(inter, 4000) == 24


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_segment_round_trips_with_the_exact_size(data):
    draw = data.draw
    frame, start = draw(st.integers(0, 10**9)), draw(st.integers(0, 15))
    digest = st.binary(min_size=4, max_size=4)
    context = st.builds(ContextRef, st.integers(0, 10**9), st.integers(1, 16), digest)
    contexts = draw(st.lists(context, max_size=2))
    q = draw(st.integers(0, 63))
    segment = Segment(
        frame=frame,
        tile=draw(st.integers(0, 10**6)),
        quality=q,
        layer_start=start,
        layer_count=draw(st.integers(1, 16 - start)),
        grid_h=draw(st.integers(1, 16)),
        grid_w=draw(st.integers(1, 16)),
        contexts=tuple(contexts),
        flags=draw(st.integers(0, min(3, (63 - q) // 8))),
        payload=draw(st.binary(max_size=300)),
    )
    binding = lone_binding(MODEL, TABLES)
    packed = pack_segment(segment, binding)
    assert read_segment(packed, binding) == segment
    assert len(packed) == segment_overhead_bytes(segment, len(segment.payload)) + len(segment.payload)
    with pytest.raises(StreamError):
        read_segment(packed, lone_binding(MODEL, b"TABS"))


@pytest.mark.parametrize(
    "changes",
    [
        {"quality": 64},
        {"layer_count": 17},
        {"layer_start": 10, "layer_count": 7},
        {"layer_count": 0},
        {"grid_h": 0},
        {"grid_w": 65},
        {"flags": 4},
        {"quality": 56, "flags": 1},
        {"frame": -1},
        {"tile": -1},
        {"contexts": (ContextRef(0, 1, b"abcd"),) * 3},
    ],
)
def test_impossible_segments_are_refused(changes):
    with pytest.raises(StreamError):
        replace(Segment(1, 0, 0, 0, 1, 16, 16), **changes)


@pytest.mark.parametrize(("sides", "flags"), [((16, 16), 0), ((17, 1), 0), ((1, 17), 2), ((64, 40), 3)])
def test_large_tiles_say_their_sides_in_a_byte_each_and_only_in_files(sides, flags):
    file = header(height=4096, width=4096, tile_size=1024, times=(), frames=1)
    segment = Segment(0, 3, 20, 2, 4, *sides, flags=flags, payload=bytes(900))
    writer = StreamWriter(file)
    writer.add(segment)
    (found,) = read_stream(writer.to_bytes()).segments
    assert replace(found, offset=0) == segment
    wide = max(sides) > 16
    assert (
        segment_overhead_bytes(segment, 900)
        == segment_overhead_bytes(replace(segment, grid_h=1, grid_w=1, flags=1), 900) - (not (flags or wide)) + wide
    )
    alone = pack_segment(segment, lone_binding(MODEL, TABLES))
    if wide:
        with pytest.raises(StreamError, match="at most 16 latent positions"):
            read_segment(alone, lone_binding(MODEL, TABLES))
    else:
        assert read_segment(alone, lone_binding(MODEL, TABLES)) == segment


def test_sides_that_half_a_byte_holds_are_refused_in_a_byte_each():
    binding = lone_binding(MODEL, TABLES)
    packed = bytearray(pack_segment(Segment(0, 0, 20, 0, 16, 17, 16, payload=b"a"), binding))
    assert packed[6:8] == bytes([15, 16])  # columns - 1, rows - 1
    packed[7] = 15
    packed[9:11] = binascii.crc_hqx(bytes(packed[:9]), binding & 0xFFFF).to_bytes(2, "little")
    with pytest.raises(StreamError, match="sides of 16 and 16 in a byte each"):
        unpack_front(bytes(packed), 0, binding)


def test_symbol_count():
    assert Segment(0, 0, 0, 0, 16, 16, 16).symbols() == 512 * 256
    assert Segment(0, 0, 0, 3, 2, 4, 8).symbols(12) == 2 * 12 * 32


@settings(max_examples=50, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 1000), fill=st.floats(0, 1))
def test_masks_round_trip(height, width, seed, fill):
    valid = np.random.default_rng(seed).random((height, width)) < fill
    packed = pack_mask(valid)
    assert (packed is None) == bool(valid.all())
    assert np.array_equal(FrameRecord(0, None, packed).valid(height, width), valid)


def test_a_swath_edge_mask_is_small():
    y, x = np.mgrid[:512, :512]
    packed = pack_mask(x > 60 + y // 4)
    assert packed is not None and len(packed) < 600


def test_masks_of_another_size_or_bombs_are_refused():
    packed = pack_mask(np.zeros((64, 64), dtype=bool))
    for size in ((64, 63), (64, 72), (1, 1)):
        with pytest.raises(StreamError):
            unpack_mask(packed, *size)
    bomb = zlib.compress(bytes(10**7), 9)[2:-4]
    with pytest.raises(StreamError):
        unpack_mask(bomb, 8, 8)


def test_extensions_of_every_size():
    for data in (b"", b"x", b"CC-BY-SA-4.0", bytes(MAX_EXTENSION_BYTES)):
        raw = header().pack() + pack_extension(Extension(3, data), header().binding)
        assert read_stream(raw).extensions == (Extension(3, data),)
    with pytest.raises(StreamError):
        Extension(3, bytes(MAX_EXTENSION_BYTES + 1))


def test_a_lying_extension_is_dropped():
    from swathpack.edge.stream.records import EXTENSION_SYNC, wrap_record

    for body in (b"\x03\x01" + varint(5) + b"junk", b"\x03\x00" + varint(9) + b"short", b"\x03"):
        stream = read_stream(header().pack() + wrap_record(EXTENSION_SYNC, body, header().binding))
        assert stream.extensions == () and [p.kind for p in stream.problems] == ["damaged"]


@given(value=st.integers(-(2**40), 2**40))
def test_varints(value):
    assert Cursor(signed_varint(value)).signed() == value
    assert Cursor(varint(abs(value))).varint() == abs(value)


@pytest.mark.parametrize("raw", [b"\x80", b"\x80\x00", b"\xff" * 6 + b"\x01", b""])
def test_malformed_varints_are_refused(raw):
    with pytest.raises(StreamError):
        Cursor(raw).varint()
