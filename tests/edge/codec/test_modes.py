"""Which mode codes a tile: what it may take, and who wins by images and by expectations."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.modes import (
    BLOCKS_COST,
    Expected,
    Measured,
    Weighing,
    image_error,
    learned_wins,
    tries_learned,
    tries_transform,
)
from swathpack.edge.codec.transform_coder import Weights

SIZES = np.array([0, 100, 200, 400])


@pytest.mark.parametrize(
    "mode, bands, learned, transform",
    [
        ("auto", BANDS, True, True),
        ("auto", BANDS[:9], True, True),
        ("auto", BANDS[:8], False, True),
        ("auto", (*BANDS, "B10"), False, True),
        ("learned", BANDS[:1], True, False),
        ("learned", ("pan",), False, False),
        ("transform", BANDS, False, True),
    ],
)
def test_modes_that_a_tile_may_take(mode: str, bands: tuple[str, ...], learned: bool, transform: bool) -> None:
    assert (tries_learned(mode, bands), tries_transform(mode)) == (learned, transform)
    only = learned and mode == "learned"
    assert tries_learned(mode, bands, 1.0) == only, "at many bits the transform coder wins"
    assert tries_learned(mode, bands, 0.1) == learned and tries_learned(mode, bands, 0.1, "auto") == only


@pytest.mark.parametrize(
    "lead, alone, wins", [(0.01, False, True), (0.0, False, False), (0.09, True, False), (0.11, True, True)]
)
def test_squares_that_are_only_looked_at_must_be_worth_it(lead: float, alone: bool, wins: bool) -> None:
    assert learned_wins(Measured(10.0, 10.0 + lead), alone) == wins
    assert pytest.approx(10**0.03, rel=0.01) == 2**BLOCKS_COST  # 0.3 dB


def test_without_an_image_the_learned_codec_never_wins() -> None:
    assert not learned_wins(Measured(None, 40.0))


def test_expectations_are_compared_at_the_learned_codecs_bytes() -> None:
    falling = 1e6 * 2.0 ** (-SIZES / 50)
    for factor, wins in ((0.9, True), (1.1, False)):
        rivals = Expected((SIZES, factor * falling), (2 * SIZES, 1e6 * 2.0 ** (-2 * SIZES / 50)))
        assert learned_wins(rivals) == wins and rivals.lead == pytest.approx(-np.log2(factor))


@pytest.mark.parametrize(
    "room, wins", [(None, True), (1, True), (400, True), (440, True), (480, False), (10**6, False)]
)
def test_where_more_will_be_spent_than_the_learned_codec_takes_it_must_be_ahead_there(
    room: int | None, wins: bool
) -> None:
    longer = np.array([0, 200, 400, 800])
    ahead = SIZES, 0.5 * 1e6 * 2.0 ** (-SIZES / 50)
    assert learned_wins(Expected(ahead, (longer, 1e6 * 2.0 ** (-longer / 50)), room)) == wins
    behind = SIZES, 2 * 1e6 * 2.0 ** (-SIZES / 50)
    assert not learned_wins(Expected(behind, (longer, 1e6 * 2.0 ** (-longer / 50)), room))


def test_nothing_sent_does_not_count_and_no_error_is_no_infinity() -> None:
    rivals = Expected((SIZES, np.array([1e30, 1, 1, 1])), (SIZES, np.array([0.0, 2, 2, 0])))
    assert rivals.lead == pytest.approx((2 + np.log2(1e-9)) / 3)


def test_heavier_bands_count_once_more_and_invalid_pixels_not_at_all() -> None:
    counts, valid = np.full((2, 4, 4), 50, np.uint16), np.ones((4, 4), np.bool_)
    valid[0] = False
    image = counts.astype(np.float32)
    image[0] += 2
    image[:, 0] = 9999
    assert image_error(image, counts, valid, Weights.equal(2)) == pytest.approx(np.log2(12 * 4))
    assert image_error(image, counts, valid, Weights((2, 0))) == pytest.approx(np.log2(12 * 4 * 4))
    assert image_error(image, counts, valid, Weights((0, 2))) == pytest.approx((np.log2(12 * 4) + np.log2(1e-9)) / 2)


def test_weights_follow_the_bits_a_sample_that_are_aimed_at() -> None:
    """They fall a band after the other, blue first and green last, so that no picture gets worse with more bytes."""
    counts = np.random.default_rng(1).integers(1000, 3000, (12, 40, 50)).astype(np.uint16)
    valid = np.ones((40, 50), np.bool_)
    found = [Weighing.aimed("auto", n, 8000).of(BANDS, counts, valid) for n in range(200, 1040)]
    visible = [w.levels[1:4] for w in found]
    assert {w.levels[:1] + w.levels[4:] for w in found[51:]} == {(0,) * 9}
    assert list(dict.fromkeys(visible)) == [(2, 2, 2), (1, 2, 2), (1, 2, 1), (1, 1, 1), (0, 1, 1), (0, 1, 0), (0, 0, 0)]
    assert visible[50] == (2, 2, 2) != visible[120] and visible[799] == (0, 1, 0) != visible[800]
    assert [sum(w.heaviest) for w in found] == [3] * 800 + [12] * 40 and {w.balance for w in found[51:]} == {1.0}
    assert {Weighing.aimed("visible", n, 8000).of(BANDS, counts, valid) for n in (200, 2000)} == {
        Weights.visible(BANDS, 2)
    }
    assert Weighing.aimed("auto", 400, 8000).of(BANDS[1:4], counts[1:4], valid) == Weights.equal(3)
