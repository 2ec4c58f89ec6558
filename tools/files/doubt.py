"""Which frames of a damaged stream may have lost their record."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Container

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.stream import Header, Stream, StreamError
from swathpack.edge.stream.records import OTHER_VERSION
from swathpack.edge.stream.segment import SYNC, unpack_front
from swathpack.edge.stream.short import SHORT_VERSION, is_short_sync, unpack_short


def doubtful_frames(stream: Stream, data: bytes) -> NDArray[np.bool_]:
    """(T,) bool: frames without a frame record that may have had one: something unreadable lies where it would stand.

    A frame record stands before its frame's segments; most frames have none.
    """
    found = np.zeros(stream.header.frames, np.bool_)
    sound = [(s.offset, s.frame) for s in stream.segments] + [(r.offset, r.index) for r in stream.frames]
    starts = {offset for offset, _ in sound} | {e.offset for e in stream.extensions} | {len(data)}
    starts |= {problem.offset for problem in stream.problems}  # noted where a record was due, or said to be
    sound = [(-1, -1), *sorted(sound), (len(data), stream.header.frames - 1)]
    for problem in stream.problems:
        if problem.kind not in ("damaged", "hostile") or _is_segment(data, problem.offset, stream.header, starts):
            continue
        before, behind = bisect_left(sound, (problem.offset, -1)) - 1, bisect_right(sound, (problem.offset, 1 << 62))
        found[sound[before][1] + 1 : sound[min(behind, len(sound) - 1)][1] + 1] = True
    found[[r.index for r in stream.frames]] = False
    if stream.header.version >= OTHER_VERSION:
        _pass_on(stream, found)
    return found


def _pass_on(stream: Stream, found: NDArray[np.bool_]) -> None:
    """A frame without a record has the mask of the one before, and a record may name another that is lost."""
    records = {r.index: r for r in stream.frames}
    for index in range(len(found)):
        record = records.get(index)
        if record is not None:
            found[index] = record.like > 0 and index - record.like not in records
        elif index and found[index - 1]:
            found[index] = True


def _is_segment(data: bytes, at: int, header: Header, starts: Container[int]) -> bool:
    """Whether a segment stands there, damaged or not. starts: of records, and the file's end: of a short one nothing but
    that it leads to one of these says that its head is true.
    """
    try:
        if header.version >= SHORT_VERSION and is_short_sync(data[at]):
            return unpack_short(data, at, header).end in starts
        unpack_front(data, at, header.binding)
    except (StreamError, IndexError):
        return False
    return data[at] == SYNC
