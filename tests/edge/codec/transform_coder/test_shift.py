"""An earlier date moved by parts of a pixel: the same integers everywhere, found again to an eighth, and worth its two bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder import (
    TransformCoderError,
    counts_of,
    decode_tile,
    encode_against,
    encode_tile,
    is_predicted,
    native,
    refine_payload,
)
from swathpack.edge.codec.transform_coder.alignment import LAGS, RANGE, Aligner, liveliest
from swathpack.edge.codec.transform_coder.head import expected_of, write_head
from swathpack.edge.codec.transform_coder.header import BitWriter
from swathpack.edge.codec.transform_coder.shift import FILTERS, MARGIN, REACH, in_cells, moved
from tests.edge.codec.transform_coder.damage import assert_decoded_or_refused
from tests.edge.codec.transform_coder.heads import head_of

FOUR = ("B02", "B03", "B04", "B08")
Counts = NDArray[np.uint16]


def ground(down: float, right: float, side: int = 96, bands: int = 4, seed: int = 1) -> NDArray[np.float64]:
    """(bands, side, side) of a smooth place, sampled so far from its origin."""
    rng = np.random.default_rng(seed)
    y, x = np.arange(side)[:, None] + down, np.arange(side)[None, :] + right
    total = np.zeros((bands, side, side))
    for _ in range(60):
        fy, fx, phase = rng.uniform(-1.6, 1.6), rng.uniform(-1.6, 1.6), rng.uniform(0, 6.28)
        total += rng.uniform(20, 90, (bands, 1, 1)) * np.cos(fy * y + fx * x + phase)
    return 3000 + total


def counts(*args: float, **more: int) -> Counts:
    return np.rint(ground(*args, **more)).astype(np.uint16)


# ------------------------------------------------------------------------------------------------- what is moved


def test_filters_add_up_and_mirror_each_other():
    assert FILTERS.shape == (16, 8) and (FILTERS.sum(axis=1) == 128).all()
    for phase in range(1, 16):
        assert FILTERS[phase].tolist() == FILTERS[16 - phase][::-1].tolist()


def test_a_kaiser_window_of_the_sinc_gives_the_filters():
    for phase in range(16):
        at = np.arange(-3, 5) - phase / 16
        taps = np.sinc(at) * np.i0(3.5 * np.sqrt(np.maximum(1 - (at / 4) ** 2, 0)))
        assert np.abs(128 * taps / taps.sum() - FILTERS[phase]).max() < 0.75


@pytest.mark.parametrize(
    ("eighths", "factor", "cells"),
    [
        (0, 1, (0, 0)),
        (1, 1, (0, 2)),
        (-1, 1, (-1, 14)),
        (8, 1, (1, 0)),
        (8, 2, (0, 8)),
        (-3, 2, (-1, 13)),
        (8, 6, (0, 3)),
    ],
)
def test_shifts_in_cells_of_several_pixels(eighths, factor, cells):
    assert in_cells(eighths, factor) == cells


def found_shift(tile, valid, factor, noise, date):
    """Shift and bits saved, of a date by its planes."""
    aligner = Aligner.of(tile.astype(np.float32), valid, factor)
    assert aligner is not None
    return aligner.shift_of(aligner.told(date.astype(np.float32)), noise)


def test_both_looks_compare_a_date_once(monkeypatch):
    """One that saves so much that a second look is taken, at a smaller error."""
    asked = []
    told, shift_of = Aligner.told, Aligner.shift_of
    monkeypatch.setattr(Aligner, "told", lambda self, planes: asked.append("told") or told(self, planes))
    monkeypatch.setattr(Aligner, "shift_of", lambda self, *rest: asked.append(rest[1]) or shift_of(self, *rest))
    tile, date = counts(4 / 8, -3 / 8), counts(0, 0)
    encode_against(encode_tile(tile, max_bytes=3000, aim_bytes=3000), tile, None, None, 3000, [date])
    noises = [each for each in asked if each != "told"]
    assert asked.count("told") == 1 and len(noises) == 2 and noises[1] < noises[0]


@pytest.mark.parametrize("shift", [(3, -5), (0, 4), (-16, 8), (31, -31)])
def test_a_moved_place_is_the_place_sampled_there(shift):
    found = moved(counts(0, 0).astype(np.int64), 1, shift)
    there = ground(shift[0] / 8, shift[1] / 8)
    inside = np.s_[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    error = (found - there)[inside] / there.std()
    assert np.abs(error).max() < 0.1 and np.sqrt(np.square(error).mean()) < 0.02


def test_whole_cells_are_moved_exactly_and_go_on_at_the_edge():
    cells = counts(0, 0, side=40).astype(np.int64)
    found = moved(cells, 1, (16, -8))
    rows, columns = np.clip(np.arange(40) + 2, 0, 39), np.clip(np.arange(40) - 1, 0, 39)
    assert np.array_equal(found, cells[:, rows[:, None], columns])


@pytest.mark.parametrize("factor", [1, 2, 6])
def test_the_largest_counts_do_not_overflow(factor):
    rng = np.random.default_rng(2)
    cells = 65535 * factor**2 * rng.integers(0, 2, (1, 30, 30)).astype(np.int64)
    found = moved(cells, factor, (27, -29))
    assert np.abs(found).max() < 65535 * 3.2
    slow = cells[0].astype(object) * 16 // factor**2
    for axis, eighths in ((0, 27), (1, -29)):
        whole, phase = in_cells(eighths, factor)
        slow = np.apply_along_axis(_row, axis, slow, whole, phase)
    assert np.array_equal(found[0], (slow.astype(np.float64) / 16).astype(np.float32))


def _row(row: NDArray[np.object_], whole: int, phase: int) -> NDArray[np.object_]:
    """The same with integers of any size."""
    taps, last = [int(t) for t in FILTERS[phase]], len(row) - 1
    found = [sum(t * row[min(max(i + whole + k - 3, 0), last)] for k, t in enumerate(taps)) for i in range(len(row))]
    return np.array([(value + 64) >> 7 for value in found], object)


def test_what_is_moved_is_pinned():
    cells = (np.add.outer(np.arange(40) ** 2 % 311, np.arange(50) * 7 % 97) * 37).astype(np.int64)[None]
    assert moved(cells, 2, (5, -11))[0, ::13, ::17].tolist() == PINNED


PINNED = [
    [-3.9375, 138.5625, 363.125],
    [1633.5625, 1776.0625, 2000.625],
    [779.8125, 922.3125, 1146.875],
    [2630.0, 2772.5, 2997.0625],
]


# ------------------------------------------------------------------------------------------------- how it is found


@pytest.mark.parametrize("shift", [(3, -5), (0, 4), (-12, 9), (1, 0), (RANGE, -RANGE)])
def test_a_shift_is_found_to_an_eighth(shift):
    tile, date = counts(shift[0] / 8, shift[1] / 8), counts(0, 0)
    found, saved = found_shift(
        tile, np.ones((96, 96), np.bool_), 1, 25.0, date.astype(np.float32) * np.float32(0.7) + 300
    )
    assert found == shift and saved > 100


def test_cells_of_two_pixels_are_shifted_half_as_far():
    tile, date = counts(2 / 8, -3 / 8), counts(0, 0)  # a cell is two pixels
    assert found_shift(tile, np.ones((96, 96), np.bool_), 2, 25.0, date)[0] == (4, -6)


def test_clouds_over_the_tile_do_not_pull():
    tile, date = counts(4 / 8, 2 / 8), counts(0, 0)
    valid = np.ones((96, 96), np.bool_)
    valid[20:50, 30:70] = False
    tile[:, ~valid] = 9000
    assert found_shift(tile, valid, 1, 25.0, date)[0] == (4, 2)


@pytest.mark.parametrize("shift", [(4, 2), (-4, 3), (-1, -2)])
def test_calm_places_that_the_tile_lacks_do_not_pull(shift):
    """Then a date has less fine structure on the whole than where it is compared, and several shifts seem to tell all there is."""
    tile, date = counts(shift[0] / 8, shift[1] / 8), counts(0, 0)
    valid = np.ones((96, 96), np.bool_)
    valid[:, 60:] = False
    tile[:, ~valid], date[:, ~valid] = 3000, 3000
    assert found_shift(tile, valid, 1, 25.0, date)[0] == shift


def test_where_nothing_is_alike_nothing_is_moved():
    rng = np.random.default_rng(3)
    tile, date = rng.normal(2000, 90, (2, 2, 80, 80)).astype(np.float32)
    assert found_shift(tile, np.ones((80, 80), np.bool_), 1, 100.0, date) == ((0, 0), 0.0)
    assert found_shift(date, np.ones((80, 80), np.bool_), 1, 100.0, date) == ((0, 0), 0.0)


def test_too_little_to_see_is_not_aligned():
    assert Aligner.of(np.zeros((1, 20, 90), np.float32), np.ones((20, 90), np.bool_), 1) is None
    few = np.zeros((90, 90), np.bool_)
    few[: LAGS + 9, : LAGS + 9] = True
    assert Aligner.of(np.zeros((1, 90, 90), np.float32), few, 1) is None
    flat, date = np.full((1, 90, 90), 7), np.full((1, 90, 90), 9)
    assert found_shift(flat, np.ones((90, 90), np.bool_), 1, 0.0, date)[0] == (0, 0)


def test_the_liveliest_bands_come_first():
    planes = ground(0, 0, bands=3) * np.array([1, 9, 3])[:, None, None]
    assert liveliest(planes.astype(np.float32), 2) == [1, 2]


# ------------------------------------------------------------------------------------------------- what is coded


@pytest.mark.parametrize("names", [FOUR, BANDS, ("B08",)], ids=len)
def test_a_moved_date_saves_what_a_still_one_would(names, monkeypatch):
    date, size = counts(0, 0, bands=len(names)), len(names) * 96 * 96 // 8
    tile = counts(4 / 8, -3 / 8, bands=len(names))
    alone = encode_tile(tile, names=names, max_bytes=size, aim_bytes=size)
    coded = encode_against(alone, tile, None, names, size, [date])
    assert (
        coded.reference == 0
        and is_predicted(coded.payload)
        and head_of(coded.payload, tile.shape, names).shift == (4, -3)
    )
    drawn = decode_tile(coded.payload, tile.shape, names, date)
    monkeypatch.setattr("swathpack.edge.codec.transform_coder.alignment.LEAST_BITS", 1e9)
    still = encode_against(alone, tile, None, names, size, [date])
    before = decode_tile(still.payload, tile.shape, names, None if still.reference is None else date)
    assert np.square(drawn.samples - tile).mean() < 0.7 * np.square(before.samples - tile).mean()


def test_bands_of_coarser_cells_are_moved_with_the_others():
    def place(*at: float) -> Counts:
        fine, coarse = counts(*at, bands=2), ground(*at, bands=2, seed=4)
        cells = coarse.reshape(2, 48, 2, 48, 2).mean((2, 4)).repeat(2, 1).repeat(2, 2)
        return np.concatenate([fine, np.rint(cells).astype(np.uint16)])

    names, tile, date = ("B03", "B08", "B11", "B12"), place(0.5, -0.25), place(0, 0)
    alone = encode_tile(tile, names=names, max_bytes=9000, aim_bytes=9000)
    coded = encode_against(alone, tile, None, names, 9000, [date])
    head = head_of(coded.payload, tile.shape, names)
    assert head.shift == (4, -2) and any(part.raster.half or part.raster.grid.factor > 1 for part in head.parts)
    error = np.square(decode_tile(coded.payload, tile.shape, names, date).samples - tile).mean((1, 2))
    before = np.square(decode_tile(alone.payload, tile.shape, names).samples - tile).mean((1, 2))
    assert (error < 0.7 * before).all()


def test_the_head_says_how_far():
    date, tile = counts(0, 0), counts(4 / 8, -3 / 8)
    alone = encode_tile(tile, names=FOUR, max_bytes=4000, aim_bytes=4000)
    payload = encode_against(alone, tile, None, FOUR, 4000, [date]).payload
    head = head_of(payload, tile.shape, FOUR)
    known = replace(head, date_means=(0,) * 4)
    for shift in ((REACH, -REACH), (0, 1), (-8, 0)):
        written = write_head(replace(known, shift=shift), 4, expected_of(FOUR, 4))
        assert head_of(written, tile.shape, FOUR).shift == shift and is_predicted(written)
    still = write_head(replace(known, shift=(0, 0)), 4, expected_of(FOUR, 4))
    assert head_of(still, tile.shape, FOUR).shift == (0, 0)
    assert 1 <= len(write_head(known, 4, expected_of(FOUR, 4))) - len(still) <= 3


@pytest.mark.parametrize("said", [(REACH, REACH), (2 * REACH + 1, 0)], ids=["still", "too far"])
def test_what_no_encoder_writes_is_refused(said):
    out = BitWriter()
    for value, bits in ((32 + 7, 6), (24, 5), (16, 5), (said[0], 6), (said[1], 6), (8, 4), (0, 60)):
        out.put(value, bits)
    with pytest.raises(TransformCoderError, match="an earlier date moved by"):
        decode_tile(out.bytes(), (4, 96, 96), FOUR, counts(0, 0))


@pytest.mark.skipif(not native.available(), reason="the C library is not built")
def test_refined_payloads_keep_the_shift_and_the_twin_draws_them_alike(monkeypatch):
    date, tile = counts(0, 0), counts(4 / 8, -3 / 8)
    alone = encode_tile(tile, names=FOUR, max_bytes=3000, aim_bytes=3000)
    coded = encode_against(alone, tile, None, FOUR, 3000, [date])
    refined = refine_payload(coded.payload[:1500], tile, np.ones((96, 96), np.bool_), FOUR, date)
    assert refined is not None and head_of(refined, tile.shape, FOUR).shift == (4, -3)
    payloads = coded.payload[:700], refined
    fast = [decode_tile(p, tile.shape, FOUR, date).samples.view(np.int32) for p in payloads]
    monkeypatch.setattr(native, "available", lambda: False)
    for payload, samples in zip(payloads, fast):
        assert np.array_equal(samples, decode_tile(payload, tile.shape, FOUR, date).samples.view(np.int32))


def test_damaged_payloads_decode_to_something_or_are_refused():
    date, tile = counts(0, 0, side=40), counts(4 / 8, -3 / 8, side=40)
    alone = encode_tile(tile, names=FOUR, max_bytes=900, aim_bytes=900)
    coded = encode_against(alone, tile, None, FOUR, 900, [counts_of(date.astype(np.float32))])
    assert head_of(coded.payload, tile.shape, FOUR).shift != (0, 0)
    assert_decoded_or_refused(coded, FOUR, tile, date, 60, 400)
