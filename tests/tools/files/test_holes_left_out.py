"""A frame with clouds cut out as a file: valid pixels alone are coded, come back, and are named where the mask is lost."""

from __future__ import annotations

import numpy as np

from swathpack.edge.codec.transform_coder.head import DATED, DATED_SHAPED, PLANE_BITS, SHAPED, STEP_BITS, TRELLIS
from swathpack.edge.codec.transform_coder.header import BitReader
from swathpack.edge.frame import Frame
from swathpack.edge.stream import read_stream
from swathpack.hil_tests.simulation import made_frames
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from tests.codec_models import shipped
from tests.distortion import FOUR

SIDE = 96


def frames(count: int) -> list[Frame]:
    rows, columns = np.indices((SIDE, SIDE))
    valid = (rows - 30) ** 2 + (columns - 30) ** 2 > 20**2
    data = made_frames.values(SIDE, SIDE, count, 4)[:, :4]
    times = [f"2024-01-{d + 1:02}" for d in range(count)]
    return [Frame(np.where(valid, d, 0).astype(np.uint16), FOUR, t, valid) for d, t in zip(data, times)]


def shaped(payload: bytes) -> bool:
    reader = BitReader(payload)
    reader.get(STEP_BITS)
    kind = reader.get(PLANE_BITS)
    behind = reader.get(PLANE_BITS) if kind == TRELLIS else kind
    dated = kind == TRELLIS and behind < DATED
    return bool(behind & DATED_SHAPED) if dated else behind == SHAPED


def test_the_last_date_leaves_holes_out_and_all_dates_come_back() -> None:
    given = frames(2)
    stream = SeriesEncoder(shipped(), given).at_quality(24)
    segments = read_stream(stream).segments
    assert [shaped(s.payload) for s in segments] == [False, True]
    found = StreamDecoder(shipped(), stream).frames()
    assert not found.problems
    for one, other in zip(given, found.frames):
        assert np.array_equal(one.valid, other.valid)
        error = (other.data.astype(float) - one.data)[:, one.valid]
        assert np.sqrt((error**2).mean()) < 100


def test_where_the_mask_is_lost_its_tile_is_named_and_not_drawn() -> None:
    given = frames(1)
    stream = bytearray(SeriesEncoder(shipped(), given).at_quality(24))
    record = read_stream(bytes(stream)).frames[0]
    stream[record.offset + 6] ^= 0x10
    found = StreamDecoder(shipped(), bytes(stream)).frames()
    assert any("mask of valid pixels" in problem for problem in found.problems)
    assert not found.frames[0].valid.any()
