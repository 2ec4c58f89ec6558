"""A file read by its heads, which of short records nothing vouches for until they are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from swathpack.edge.stream import ContextRef, Header, Segment, StreamWriter, overhead_in, read_stream
from swathpack.edge.stream.quality import TRANSFORM
from swathpack.tools.files.part_file import PartFile
from tests.edge.stream_example import header

HEADER: Header = header(frames=4, height=256, width=512, times=())


def tile(frame: int, number: int, size: int, back: int = 0) -> Segment:
    refs = (ContextRef(frame - back, 16),) if back else ()
    payload = bytes([frame, number]) * (size // 2)
    return Segment(frame, number, TRANSFORM & 63, 0, 16, 16, 16, refs, flags=TRANSFORM >> 6, payload=payload)


SEGMENTS = [tile(f, n, 1500 if f == 0 and n else 60 + 20 * f, 1 if f else 0) for f in range(4) for n in range(2)]


@pytest.fixture
def data() -> bytes:
    writer = StreamWriter(HEADER)
    for segment in SEGMENTS:
        writer.add(segment)
    return writer.to_bytes()


def part(tmp_path: Path, data: bytes) -> PartFile:
    (tmp_path / "x.swp").write_bytes(data)
    return PartFile(tmp_path / "x.swp")


def test_what_is_needed_is_read_and_checked(tmp_path: Path, data: bytes) -> None:
    found = part(tmp_path, data)
    assert found._whole is None and found.places == {(s.frame, s.tile) for s in SEGMENTS}
    assert list(found.stream({(2, 0)}).segments) == [SEGMENTS[0], SEGMENTS[2], SEGMENTS[4]]
    assert list(found.stream({(0, 1), (1, 0)}).segments) == SEGMENTS[:3]


def test_damage_of_what_is_read_is_seen(tmp_path: Path, data: bytes) -> None:
    """Of a record, and so of those that were coded against it."""
    offsets = [s.offset for s in read_stream(data).segments]
    broken = bytearray(data)
    broken[offsets[2] + 20] ^= 1
    found = part(tmp_path, bytes(broken)).stream({(3, 0)})
    assert [s.damaged for s in found.segments] == [False, True, True, True]
    assert all(not s.payload for s in found.segments if s.damaged)
    assert list(part(tmp_path, bytes(broken)).stream({(3, 1)}).segments) == SEGMENTS[1::2]


@pytest.mark.parametrize("at", range(4))
def test_a_head_that_lies_does_not_pass(tmp_path: Path, data: bytes, at: int) -> None:
    """Its place, coding or length: what is read of it is damaged, or the whole file is read, and no sound tile is wrong."""
    offset = read_stream(data).segments[4].offset
    for bit in range(8):
        broken = bytearray(data)
        broken[offset + at] ^= 1 << bit
        for s in part(tmp_path, bytes(broken)).stream({(s.frame, s.tile) for s in SEGMENTS}).segments:
            assert not s.sound or s in SEGMENTS


def test_a_long_head_is_checked_at_once(tmp_path: Path, data: bytes) -> None:
    offset = read_stream(data).segments[1].offset
    broken = bytearray(data)
    broken[offset + 3] ^= 1
    assert part(tmp_path, bytes(broken))._whole is not None
    assert overhead_in(HEADER, replace(SEGMENTS[1], payload=b""), 1500) == 12
