"""The choices of a range on histograms whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.calibration.ranges import (
    all_choices,
    by_entropy,
    by_percentile,
    by_squared_error,
    divergence,
    exponent_for,
    histogram,
)


def shares(*parts: tuple[float, float, float]) -> np.ndarray:
    """Parts (share, from DN, to DN), each flat."""
    rng = np.random.default_rng(0)
    return histogram([np.concatenate([rng.uniform(a, b, int(s * 100000)) for s, a, b in parts])])


def test_exponents_reach_their_threshold() -> None:
    assert [exponent_for(t) for t in (255, 256, 16320, 16321, 1e9)] == [0, 1, 6, 7, 8]


def test_percentiles() -> None:
    made = shares((0.9, 0, 1000), (0.1, 15000, 16000))
    assert by_percentile(made, 89).threshold == pytest.approx(990, abs=17)
    assert by_percentile(made, 89).exponent == 2 and by_percentile(made, 100).exponent == 6


def test_squared_error_weighs_rare_bright_pixels_against_fine_steps() -> None:
    assert by_squared_error(shares((1.0, 0, 1000))).exponent == 2
    assert by_squared_error(shares((0.99, 0, 1000), (0.01, 15000, 16000))).exponent == 6


def test_entropy_sees_mass_that_would_pile_up_at_the_end() -> None:
    made = shares((0.7, 0, 4000), (0.3, 4000, 16000))
    assert divergence(made, 4) > divergence(made, 6)
    assert by_entropy(made).exponent == 6


def test_tiles_count_alike_and_every_rule_answers() -> None:
    made = histogram([np.zeros((12, 8, 8)), np.full((12, 80, 80), 999.0)])
    assert made[0] == made[999 // 16] == 0.5
    assert len({c.rule for c in all_choices(made)}) == 6
