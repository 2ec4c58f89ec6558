"""Masks by range coded edges, in C and in Python: round trips, sizes, bytes that stay, content that no packer wrote, bounded work."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.codec.rangecoder.build import build
from swathpack.edge.stream import (
    FrameRecord,
    StreamError,
    contours_native,
    contours_reference,
    pack_frame,
    pack_mask,
    read_stream,
)
from swathpack.edge.stream.contours import contour_rows, is_contours, pack_contours
from swathpack.edge.stream.edges import edge_rows, pack_edges
from tests.edge.stream_example import header

CODERS = contours_native, contours_reference


@pytest.fixture(scope="module", autouse=True)
def _built():
    if not contours_native.available():
        build()
    assert contours_native.available()


@pytest.fixture(params=CODERS)
def coder(request, monkeypatch):
    """Each of them in the place of whatever is there."""
    monkeypatch.setattr(contours_native, "available", lambda: request.param is contours_native)
    return request.param


def unpacked(packed: bytes, height: int, width: int, rows: int = 7) -> np.ndarray:
    return np.concatenate(list(contour_rows(packed, height, width, rows)))


def discs(height: int, width: int, seed: int, number: int = 6) -> np.ndarray:
    """Invalid in discs, some of which reach beyond the sides."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    valid = np.ones((height, width), bool)
    for row, column, radius in rng.random((number, 3)) * (height, width, width / 4):
        valid &= (y - row) ** 2 + (x - column) ** 2 > radius**2
    return valid


def decoded_by_both(coded: bytes, height: int, width: int, most: int) -> list[np.ndarray | str]:
    """The mask, or what is said of the content; and what no decision had to do with."""
    found = []
    for coder in CODERS:
        decoder = coder.Decoder(coded, width, most)
        try:
            found.append((decoder.rows(height).tolist(), decoder.left))
        except StreamError as error:
            found.append(str(error))
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 1000), st.floats(0, 1))
def test_both_code_noise_alike_and_it_comes_back(height, width, seed, fill):
    valid = np.random.default_rng(seed).random((height, width)) < fill
    coded, other = (coder.encode(valid) for coder in CODERS)
    assert coded == other
    decoder = contours_native.Decoder(coded[0], width, coded[1])
    assert np.array_equal(np.concatenate([decoder.rows(height - height // 2), decoder.rows(height // 2)]), valid)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 1000), st.integers(1, 35), st.integers(1, 70))
def test_both_code_outlines_in_cells_alike_and_they_come_back(height, width, seed, side, rows):
    valid = discs(height, width, seed)
    assert contours_native.encode(valid) == contours_reference.encode(valid)
    valid = valid[::side, ::side].repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    packed = pack_contours(valid)
    assert packed is not None and np.array_equal(unpacked(packed, height, width, rows), valid)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(1, 30), st.integers(1, 30))
def test_both_say_the_same_of_content_that_no_packer_wrote(coded, height, width):
    native, reference = decoded_by_both(coded, height, width, 2000)
    assert native == reference


def test_outlines_take_less_than_half_of_what_deflated_edges_do():
    valid = discs(200, 200, 3, 12)
    packed, edges = pack_contours(valid), pack_edges(valid)
    assert packed is not None and edges is not None and 2 * len(packed) < len(edges)


def test_cells_take_as_much_as_the_mask_of_the_cells():
    valid = discs(60, 60, 4)
    small, large = pack_contours(valid), pack_contours(valid.repeat(6, axis=0).repeat(6, axis=1))
    assert small is not None and large is not None and large[1:] == small[1:] and large[0] - small[0] == 5 << 3


def test_bytes_of_one_mask_stay():
    assert pack_contours(discs(24, 40, 5)) == bytes.fromhex("07030a03c4a6f44c75544279c68310f9a7d36947803d6c8c79")


def test_deflated_content_never_starts_like_them():
    rng = np.random.default_rng(6)
    for share in (0.01, 0.05, 0.99):
        valid = rng.random((40, 50)) < share
        packed, edges, rows = pack_contours(valid), pack_edges(valid), pack_mask(valid)
        assert packed is not None and edges is not None and rows is not None
        assert is_contours(packed) and not is_contours(edges) and not is_contours(rows) and not is_contours(b"")
        assert np.array_equal(np.concatenate(list(edge_rows(packed, 40, 50, 9))), valid)


def test_more_than_the_bits_is_none(coder):
    assert pack_contours(np.random.default_rng(7).random((90, 90)) < 0.5) is None


def test_every_cut_and_other_sizes_are_refused(coder):
    valid = discs(40, 50, 8)
    packed = pack_contours(valid)
    assert packed is not None
    for size in range(1, len(packed)):
        with pytest.raises(StreamError):
            unpacked(packed[:size], 40, 50)
    for wrong in ((20, 50), (400, 50), (40, 20)):
        with pytest.raises(StreamError):
            unpacked(packed, *wrong)
    with pytest.raises(StreamError, match="more bytes"):  # up to three are within the last code value
        unpacked(packed + bytes(4), 40, 50)


def test_damage_gives_a_mask_of_the_size_or_the_same_error_from_both():
    valid = discs(40, 50, 9)
    coded, decisions = contours_native.encode(valid)
    refused = 0
    for place in range(0, 8 * len(coded), 3):
        damaged = bytearray(coded)
        damaged[place // 8] ^= 1 << place % 8
        native, reference = decoded_by_both(bytes(damaged), 40, 50, 2 * decisions)
        assert native == reference
        refused += isinstance(native, str) or native[1] > 0
    assert refused > len(coded)


def test_work_is_bounded():
    for packed in (b"\x07", b"\x07" + b"\xff" * 400, b"\x07" + bytes(40), b"\x07\x00\xff" * 20):
        with pytest.raises(StreamError):
            for rows in contour_rows(packed, 65_535, 60, 64):
                assert len(rows) <= 64
    rows, columns = np.indices((4000, 60))
    assert pack_contours((columns < 9) | (columns > 40)) is not None
    assert (
        pack_contours(columns // 3 % 2 == rows * 0) is None
    )  # twenty straight edges: more decisions than so few bytes may take


def test_a_state_is_large_enough_for_rows_of_edges_alone():
    for width in (1, 2, 5, 64):
        stripes = np.indices((6, width)).sum(0) % 2 == 0
        assert contours_native.encode(stripes) == contours_reference.encode(stripes)


def test_frame_records_hold_them():
    valid = discs(64, 64, 10)
    packed, small = pack_contours(valid), header(times=(), height=64, width=64, frames=2)
    record = FrameRecord(0, "2024-05-01", packed, edges=True)
    stream = read_stream(small.pack() + pack_frame(record, small.binding))
    assert list(stream.frames) == [record] and not stream.problems
    found = stream.validity(1)
    assert found is not None and np.array_equal(found.valid(64, 64), valid)
