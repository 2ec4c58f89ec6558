"""Regression and spreading: exact where the relation is linear, shrunk where nothing is to be learnt."""

from __future__ import annotations

import numpy as np

from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.inpaint.regression import nearness, regressed, spread

IMAGES = values(60, 70, dates=3, seed=4).astype(np.float32)


def _known(share: float = 0.5) -> np.ndarray:
    return np.indices((60, 70))[1] < 70 * share


def test_a_linear_mixture_is_found() -> None:
    rng = np.random.default_rng(0)
    mix = rng.normal(0, 0.3, (12, 24)) + np.eye(12, 24)
    target = np.einsum("ij,jhw->ihw", mix, np.concatenate(IMAGES[:2])) + 100
    found, used = regressed([IMAGES[0], IMAGES[1]], target.astype(np.float32), _known())
    error = np.sqrt(((found - target)[:, ~_known()] ** 2).mean())
    assert used == 2 and error < 0.05 * target.std()


def test_images_that_say_nothing_are_left_out() -> None:
    target = 1.2 * IMAGES[0] - 50
    noise = np.random.default_rng(1).normal(1000, 500, IMAGES[0].shape).astype(np.float32)
    found, used = regressed([IMAGES[0], noise], target, _known())
    np.testing.assert_allclose(found, target, rtol=1e-3, atol=1)
    assert used == 1


def test_a_guess_must_earn_its_place() -> None:
    rng = np.random.default_rng(5)
    target = IMAGES[0] + rng.normal(0, 60, IMAGES[0].shape).astype(np.float32)
    helpful = target + rng.normal(0, 20, target.shape).astype(np.float32)
    assert regressed([IMAGES[0]], target, _known(), guess=helpful)[1] == 2
    vague = target + rng.normal(0, 900, target.shape).astype(np.float32)
    assert regressed([IMAGES[0]], target, _known(), guess=vague)[1] == 1
    assert regressed([IMAGES[0], helpful], target, _known())[1] == 2


def test_few_pixels_give_the_plain_line() -> None:
    known = np.zeros((60, 70), bool)
    known[:5, :4] = True
    target = 0.8 * IMAGES[0] + 200
    found, _ = regressed(list(IMAGES), target.astype(np.float32), known)
    assert np.sqrt(((found - target) ** 2).mean()) < 30


def test_values_that_are_not_known_are_not_read() -> None:
    target, other = IMAGES[2].copy(), IMAGES[2].copy()
    other[:, ~_known()] = 9999
    for a, b in zip(
        (regressed(list(IMAGES[:2]), target, _known())[0], spread(target, _known())),
        (regressed(list(IMAGES[:2]), other, _known())[0], spread(other, _known())),
    ):
        np.testing.assert_array_equal(a, b)


def test_spread_keeps_a_constant_and_meets_the_border() -> None:
    known = _known(0.5)
    constant = np.full((2, 60, 70), 37, np.float32)
    np.testing.assert_allclose(spread(constant, known), 37, rtol=1e-3)
    ramp = np.broadcast_to(np.arange(60, dtype=np.float32)[None, :, None] * 10, (1, 60, 70))
    beside = spread(ramp, known)[0, :, 35]
    assert np.abs(beside[5:-5] - ramp[0, 5:-5, 35]).max() < 25


def test_near_pixels_count_more() -> None:
    hole = np.zeros((60, 70), bool)
    hole[20:30, 20:30] = True
    weight = nearness(hole)
    assert weight[31, 25] > weight[40, 25] > weight[59, 69] >= 0.1
