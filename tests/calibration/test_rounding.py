"""Rounding with the error passed on: no worse than it says, and better than to the nearest."""

from __future__ import annotations

import numpy as np

from swathpack.calibration.rounding import Separable, channel_exponents, nearest, shaped
from tests.calibration.made import kernel


def smooth(n: int, correlation: float) -> np.ndarray:
    """Covariance of a first-order process."""
    return (correlation ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))).astype(np.float32)


def error(made: np.ndarray, rounded: np.ndarray, exponent: np.ndarray, c: Separable) -> float:
    """Expected squared error of the coefficients."""
    d = made - rounded * np.exp2(-exponent.astype(float))[:, None, None, None]
    return float(np.einsum("nbyx,bc,yz,xw,nczw->", d, c.bands, c.rows, c.columns, d, optimize=True))


def test_the_expected_error_falls_by_a_lot() -> None:
    made, _ = kernel(8)
    made = made[:, :, ::2, ::2]
    c = Separable(smooth(12, 0.9), smooth(12, 0.95), smooth(12, 0.95))
    exponent = channel_exponents(made)
    plain = nearest(made.reshape(8, -1), exponent).reshape(made.shape)
    assert error(made, shaped(made, exponent, c), exponent, c) < 0.1 * error(made, plain, exponent, c)


def test_without_correlation_it_is_the_nearest() -> None:
    made, _ = kernel(4)
    made = made[:, :, ::4, ::4]
    c = Separable(*(np.eye(n, dtype=np.float32) for n in (12, 6, 6)))
    exponent = channel_exponents(made)
    assert np.array_equal(shaped(made, exponent, c).reshape(4, -1), nearest(made.reshape(4, -1), exponent))


def test_exponents_fill_the_range_without_needless_saturation() -> None:
    made = np.array([[0.5, -0.25], [0.0, 0.0], [1e-3, 1e-3]])
    found = channel_exponents(made)
    assert found[0] == 7 and np.abs(nearest(made, found)).max() <= 127
    assert np.abs(nearest(made, found))[2].max() >= 63


def test_data_without_variance_do_not_break_it() -> None:
    made, _ = kernel(2)
    c = Separable(*(np.zeros((n, n), np.float32) for n in (12, 24, 24)))
    assert np.abs(shaped(made, channel_exponents(made), c)).max() <= 127
