"""The family's streams inside a `.swp` file."""

import numpy as np
import pytest

from swathpack.codec.terracodec import StreamError, encode_series
from swathpack.codec.terracodec.stream import FrameBody, Header, pack_stream
from swathpack.codec.terracodec.swp import from_swp, to_swp
from swathpack.edge.stream import Header as FileHeader
from swathpack.edge.stream import StreamWriter, read_stream
from tests.codec.terracodec.make_models import imported, smooth_frames

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")


def test_round_trip_and_header() -> None:
    data = encode_series(imported("fp"), smooth_frames(2, 64, 80))
    file = to_swp(data, BANDS, "L2A")
    assert from_swp(file) == data
    stream = read_stream(file)
    assert not stream.problems and not stream.segments
    assert (stream.header.frames, stream.header.height, stream.header.width) == (2, 64, 80)
    assert stream.header.bands == BANDS


def test_long_streams_go_in_pieces() -> None:
    noise = np.random.default_rng(0).bytes(2_500_000)
    header = Header("tt", 16, 12, 1, 64, 64, b"12345678", b"1234")
    data = pack_stream(header, [FrameBody(noise)])
    file = to_swp(data, BANDS)
    assert len(read_stream(file).extensions) == 3 and from_swp(file) == data


def test_damage_other_files_and_wrong_bands_are_refused() -> None:
    data = encode_series(imported("fp"), smooth_frames(1, 64, 64))
    file = bytearray(to_swp(data, BANDS))
    file[-20] ^= 1
    empty = StreamWriter(FileHeader(b"12345678", b"1234", 1, 64, 64, BANDS)).to_bytes()
    for bad in (bytes(file), data, empty):
        with pytest.raises(StreamError, match="expected"):
            from_swp(bad)
    with pytest.raises(StreamError, match="12 band names"):
        to_swp(data, BANDS[:3])
