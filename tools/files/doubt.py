"""Which frames of a damaged stream may have lost their record."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.stream import Header, Stream, StreamError
from swathpack.edge.stream.segment import SYNC, unpack_front


def doubtful_frames(stream: Stream, data: bytes) -> NDArray[np.bool_]:
    """(T,) bool: frames without a frame record that may have had one: something unreadable lies where it would stand.

    A frame record stands before its frame's segments; most frames have none.
    """
    found = np.zeros(stream.header.frames, np.bool_)
    sound = [(s.offset, s.frame) for s in stream.segments] + [(r.offset, r.index) for r in stream.frames]
    sound = [(-1, -1), *sorted(sound), (len(data), stream.header.frames - 1)]
    for problem in stream.problems:
        if problem.kind not in ("damaged", "hostile") or _is_segment(data, problem.offset, stream.header):
            continue
        before, behind = bisect_left(sound, (problem.offset, -1)) - 1, bisect_right(sound, (problem.offset, 1 << 62))
        found[sound[before][1] + 1 : sound[min(behind, len(sound) - 1)][1] + 1] = True
    found[[r.index for r in stream.frames]] = False
    return found


def _is_segment(data: bytes, at: int, header: Header) -> bool:
    try:
        unpack_front(data, at, header.binding)
    except (StreamError, IndexError):
        return False
    return data[at] == SYNC
