"""Records of frames: none where a frame is as the one before; what is lost is named for all that relied on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swathpack.edge.frame import Frame
from swathpack.edge.stream import read_stream
from swathpack.hil_tests.simulation.made_frames import series
from swathpack.tools.files.decode_report import Decoded
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.frame_records import FrameRecords
from swathpack.tools.files.sources import source_of
from tests.codec_models import shipped


def masked(pattern: str) -> list[Frame]:
    """24 x 32 dates of two bands; of each letter one mask, `.` for none."""
    y, x = np.mgrid[:24, :32]
    out = []
    for frame, letter in zip(series(24, 32, len(pattern), seed=2), pattern):
        valid = np.ones((24, 32), bool) if letter == "." else x + y // 5 > 5 * (ord(letter) - 64)
        frame = frame.select(frame.bands[:2])
        out.append(replace(frame, valid=valid, data=np.where(valid, frame.data, 0).astype(np.uint16)))
    return out


def coded(frames: list[Frame], intra_every: int = 0) -> bytes:
    return SeriesEncoder(shipped(), frames, mode="transform", intra_every=intra_every).in_total(300 * len(frames))


def decoded(data: bytes) -> Decoded:
    return StreamDecoder(shipped(), data).frames()


def records(pattern: str) -> list[tuple[int, bool, int]]:
    """Index, whether with a mask, and the frame of its mask."""
    return [(r.index, r.mask is not None, r.index - r.like) for r in read_stream(coded(masked(pattern), 1)).frames]


@pytest.mark.long
def test_a_mask_is_said_where_it_changes_and_once() -> None:
    assert records("....") == []
    assert records("AAAA") == [(0, True, 0)]
    assert records(".AA.") == [(1, True, 1), (3, False, 3)]
    assert records("ABABA") == [(0, True, 0), (1, True, 1), (2, False, 0), (3, False, 1), (4, False, 0)]
    assert records("A.A.") == [(0, True, 0), (1, False, 1), (2, False, 0), (3, False, 3)]


@pytest.mark.long
def test_all_masks_come_back() -> None:
    for pattern, intra_every in (("AAAA", 1), (".AA.", 1), ("ABAB", 1), ("A.AB", 0)):
        frames = masked(pattern)
        found = decoded(coded(frames, intra_every))
        assert not found.problems
        for before, after in zip(frames, found.frames):
            np.testing.assert_array_equal(after.valid, before.valid)


def test_holes_stay_and_come_back_too() -> None:
    frames = masked("....")
    for n in (1, 2):
        holes = np.zeros(frames[n].data.shape, bool)
        holes[1, 5:9, 7:30] = True
        frames[n] = replace(frames[n], holes=holes, data=np.where(holes, 0, frames[n].data).astype(np.uint16))
    data = coded(frames)
    assert [(r.index, r.holes is not None) for r in read_stream(data).frames] == [(1, True), (3, False)]
    for before, after in zip(frames, decoded(data).frames):
        assert bool(after.holes.size and after.holes.any()) == bool(before.holes.size)


def test_another_offset_and_times_keep_the_mask() -> None:
    frames = masked("AAA")
    frames[1] = replace(frames[1], boa_offset=not frames[1].boa_offset)
    data = coded(frames)
    assert [(r.index, r.like, r.other_offset) for r in read_stream(data).frames] == [(0, 0, False), (1, 1, True)]
    found = decoded(data)
    assert not found.problems and all((f.valid == frames[0].valid).all() for f in found.frames)
    assert [f.boa_offset for f in found.frames] == [f.boa_offset for f in frames]


def test_bytes_of_records_are_known_before() -> None:
    frames = masked("AB.A")
    encoder = SeriesEncoder(shipped(), frames, mode="transform")
    found = FrameRecords([source_of(frame) for frame in frames], encoder.header)
    data = encoder.in_total(1000)
    starts = sorted([r.offset for r in read_stream(data).frames] + [s.offset for s in read_stream(data).segments])
    for record in read_stream(data).frames:
        assert found.bytes_of(record.index) == next(at for at in starts if at > record.offset) - record.offset


def test_a_lost_mask_makes_all_that_rely_on_it_doubtful() -> None:
    data = bytearray(coded(masked("AAB.A")))
    at = read_stream(bytes(data)).frames[0].offset
    data[at + 9] ^= 1
    found = decoded(bytes(data))
    assert [bool(r.problem) for r in found.reports] == [True, True, False, False, True]


def test_damage_of_a_short_segment_is_no_lost_record() -> None:
    data = bytearray(coded(masked("....")))
    segment = read_stream(bytes(data)).segments[1]
    data[segment.offset + 30] ^= 1
    found = decoded(bytes(data))
    assert not any(r.problem for r in found.reports) and found.problems
    data[segment.offset] = 0xE2  # now it may as well have been one
    assert [bool(r.problem) for r in decoded(bytes(data)).reports][1]
