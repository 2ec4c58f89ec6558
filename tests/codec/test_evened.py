"""What fits ask for beside an edge: the error in lively places, no step in smooth ones."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.codec.evened import RAMP, asked

MISSED = np.random.default_rng(1).normal(0, 20, (5, 16))


def windows(step: float, lively: float) -> np.ndarray:
    """(5, 32): two plains, `step` apart, with noise."""
    noise = np.random.default_rng(2).normal(0, lively, (5, 32))
    return 1000 + noise + np.where(np.arange(32) < 16, 0, step)


def wanted(step: float, lively: float, even: float = 1.0, least: float = 0.1) -> np.ndarray:
    """What is asked for where the error is 20."""
    weights, added = asked(windows(step, lively), MISSED, 1 / 400, even, least)
    return np.asarray(added / weights[:, None])


def test_without_steps_only_the_error_counts() -> None:
    np.testing.assert_allclose(wanted(10, 5, even=0.0), MISSED)


def test_a_step_between_plains_is_taken_away_and_its_slope_is_even() -> None:
    image = windows(10, 0.0)[0].copy()
    image[8:24] += wanted(10, 0.0, even=1e6)[0]
    np.testing.assert_allclose(np.diff(image)[8:23], 10 / 16, rtol=1e-3)


def test_lively_places_keep_what_the_error_asks_for() -> None:
    near, far = (np.abs(wanted(10, lively) - 5 * RAMP).mean() for lively in (0.5, 200))
    assert near < 6 and far > 2 * near
    np.testing.assert_allclose(wanted(10, 200), MISSED, atol=2)


def test_steps_far_below_the_error_count_no_more_the_smaller_they_are() -> None:
    first, second = (asked(windows(step, 0.0), MISSED, 1 / 400, 1.0, 0.1)[0][0] for step in (0.1, 1e-3))
    assert first == pytest.approx(second, rel=1e-3) and second == pytest.approx(11 / 400, rel=1e-6)


def test_the_other_side_is_the_mirrored_one() -> None:
    weights, added = asked(windows(10, 3), MISSED, 1 / 400, 1.0, 0.1)
    back = asked(windows(10, 3)[:, ::-1], MISSED[:, ::-1], 1 / 400, 1.0, 0.1)
    np.testing.assert_allclose(back[0], weights)
    np.testing.assert_allclose(back[1][:, ::-1], added)
