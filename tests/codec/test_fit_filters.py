"""Filters are fitted to what helps, and kept where it helps elsewhere too."""

from __future__ import annotations

import numpy as np

from swathpack.codec import filters, fit_filters

STEP = 40


def example(number: int, rippled: bool = True) -> fit_filters.Example:
    """Smooth waves, drawn with noise, which the pixels around can mend; or noise itself, which nothing can."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:64, :64]
    a, b = rng.uniform(0.05, 0.2, 2)
    scene = 2000 + 200 * np.sin(a * x + b * y)
    ripples = rng.normal(0, 5, scene.shape)
    original = np.rint(scene if rippled else scene + ripples).astype(np.uint16)
    samples = np.asarray(scene + ripples if rippled else original, np.float32)[None]
    samples = samples if rippled else samples + rng.normal(0, 1, samples.shape).astype(np.float32)
    return fit_filters.Example(str(number), original[None], samples, (STEP,))


def errors(weights: np.ndarray, one: fit_filters.Example) -> tuple[float, float]:
    valid = np.ones(one.original.shape[1:], np.bool_)
    found = filters.filtered(one.samples, valid, one.steps, weights.astype(np.int16))
    before, after = (float(np.square(a - one.original).mean()) for a in (one.samples, found))
    return before, after


def test_what_is_fitted_helps_on_other_places() -> None:
    sums = fit_filters.Squares(4)
    for number in range(12):
        sums.add(example(number), [0])
    weights, gain = fit_filters.fit_filters(sums)
    assert weights.shape == filters.SHAPE and weights.dtype == np.int16
    assert gain > 0.3 * 12
    before, after = errors(weights, example(100))
    assert after < 0.7 * before


def test_of_few_places_nothing_is_learned() -> None:
    sums = fit_filters.Squares(4)
    for number in range(fit_filters.LEAST_PLACES - 1):
        sums.add(example(number), [0])
    weights, gain = fit_filters.fit_filters(sums)
    assert not weights.any() and gain == 0


def test_bands_that_filters_leave_are_no_examples() -> None:
    sums, one = fit_filters.Squares(1), example(1)
    sums.add(fit_filters.Example(one.place, one.original, one.samples, (filters.LEAST_STEP - 1,)), [0])
    coarse = one.samples[:, ::6, ::6].repeat(6, 1).repeat(6, 2)[:, :64, :64]
    sums.add(fit_filters.Example(one.place, one.original, coarse, (STEP,)), [0])
    assert not sums.seen.any()


def test_examples_are_drawn_at_every_rate_that_they_reach() -> None:
    rng = np.random.default_rng(3)
    crop = np.rint(example(5, rippled=False).original + rng.normal(0, 40, (1, 64, 64))).astype(np.uint16)
    found = list(fit_filters.drawn("place", crop, ("B08",), rng))
    assert len(found) == sum(map(len, fit_filters.RATES))
    missed = [float(np.square(one.samples - crop).mean()) for one in found]
    assert missed == sorted(missed, reverse=True)
    assert all(len(one.steps) == 1 for one in found)
