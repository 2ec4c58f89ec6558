"""Masks and holes by rows are what they are as a whole, and no more is unpacked than is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.stream import StreamError, pack_holes, pack_mask, unpack_holes, unpack_mask
from swathpack.edge.stream import masks as stream_records
from swathpack.edge.stream.masks import hole_rows, mask_rows


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 7, 13), (5, 40, 33), (13, 64, 50)], ids=str)
@pytest.mark.parametrize("rows", [1, 5, 16, 64])
def test_rows_join_to_the_whole(shape, rows):
    flags = np.random.default_rng(2).random(shape) < 0.3
    flags[0, 0, 0] = True
    holes = pack_holes(flags)
    np.testing.assert_array_equal(unpack_holes(holes, *shape), flags)
    np.testing.assert_array_equal(np.concatenate(list(hole_rows(holes, *shape, rows)), axis=1), flags)
    mask = pack_mask(~flags[0])
    np.testing.assert_array_equal(unpack_mask(mask, *shape[1:]), ~flags[0])
    np.testing.assert_array_equal(np.concatenate(list(mask_rows(mask, *shape[1:], rows))), ~flags[0])


@pytest.mark.parametrize("wrong", [(5, 41, 33), (6, 40, 33), (5, 40, 30), (4, 40, 33)])
def test_another_size_is_refused(wrong):
    flags = np.random.default_rng(2).random((5, 40, 33)) < 0.3
    with pytest.raises(StreamError):
        list(hole_rows(pack_holes(flags), *wrong, 16))
    with pytest.raises(StreamError):
        list(mask_rows(pack_mask(flags[0]), *(wrong[1:] if wrong[1:] != (40, 33) else (39, 33)), 16))


def test_damaged_content_is_a_stream_error():
    packed = bytearray(pack_mask(np.random.default_rng(3).random((60, 60)) < 0.5))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(StreamError):
        list(mask_rows(bytes(packed), 60, 60, 16)), list(mask_rows(bytes(packed[:-9]), 60, 60, 16))


@pytest.mark.long
def test_no_more_than_the_rows_is_held(monkeypatch):
    """A mask of 64 million pixels, by 64 rows: the largest array is one of those rows."""
    taken = []
    original = stream_records.Inflater.take
    monkeypatch.setattr(stream_records.Inflater, "take", lambda s, size: taken.append(size) or original(s, size))
    holes = stream_records.deflate(bytes(2 * 8192 * 8192 // 8))
    assert sum(part.size for part in hole_rows(holes, 2, 8192, 8192, 64)) == 2 * 8192 * 8192
    assert max(taken) <= 64 * 8192 // 8 + 1
