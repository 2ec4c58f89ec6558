"""Bytes that are made to look like short segment records are bounded work."""

from __future__ import annotations

import pytest

from swathpack.edge.stream import read_stream
from swathpack.edge.stream.short import SHORT_SYNC
from tests.edge.stream_example import header

SMALL = header(frames=4, height=100, width=256, times=tuple(f"2024-05-0{n}" for n in range(1, 5)))


@pytest.mark.parametrize("pattern", [b"\x18", b"\x18\xc0\x05", b"\x19\x00\xff\x07", b"\x18\xc0\x80\x08"])
def test_hostile_patterns_are_bounded_work(pattern, monkeypatch):
    from swathpack.edge.stream import reader

    tried = []
    original = reader.Scanner.record
    monkeypatch.setattr(reader.Scanner, "record", lambda self, at: tried.append(at) or original(self, at))
    stream = read_stream(SMALL.pack() + pattern * (200_000 // len(pattern)))
    assert stream.segments == () and stream.problems
    assert len(tried) < 200_000 // 16 + 1000


def test_many_heads_that_claim_much_are_bounded_work(monkeypatch):
    from swathpack.edge.stream import short

    checked, original = [], short.short_holds
    monkeypatch.setattr(
        short, "short_holds", lambda d, f, s: checked.append(f.end - f.segment.offset) or original(d, f, s)
    )
    body = (bytes([SHORT_SYNC, 192, 0xFF, 0x07]) + bytes(12)) * 20_000
    read_stream(SMALL.pack() + body)
    assert sum(checked) < 20 * len(body) + 2 * 65536
