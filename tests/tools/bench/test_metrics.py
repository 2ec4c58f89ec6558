"""Metrics against closed forms, scipy and known properties."""

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter

from swathpack.tools.bench import metrics
from swathpack.tools.bench.metrics import Curve, bd_psnr, bd_rate

BANDS = ("B03", "B04", "B08")


def image(seed=0, shape=(3, 40, 50)):
    return np.random.default_rng(seed).uniform(100, 5000, shape)


def test_psnr_of_a_constant_error():
    a = image()
    assert metrics.psnr(a, a + 100) == pytest.approx(40.0)
    assert metrics.psnr(a, a) == np.inf
    assert metrics.psnr(np.full((1, 2, 2), 30_000), np.full((1, 2, 2), 20_000)) == pytest.approx(0.0)


def test_masked_pixels_count_nowhere():
    a, b = image(), image() + 10.0
    valid = np.ones((40, 50), bool)
    valid[10:20, 5:9] = False
    b[:, ~valid] = 65535
    clean = image() + 10.0
    assert metrics.psnr(a, b, valid) == pytest.approx(metrics.psnr(a, clean))
    assert metrics.ssim(a, b, valid) > 0.999
    assert metrics.spectral_angle(a, b, valid) < 1
    assert np.isnan(metrics.psnr(a, b, np.zeros((40, 50), bool)))


def test_mean_psnr_caps_exact_frames_and_skips_empty_ones():
    assert metrics.mean_psnr([40, np.inf, np.nan]) == 70.0
    assert np.isnan(metrics.mean_psnr([np.nan]))


def test_bppb():
    assert metrics.bppb(120, (12, 10, 8)) == 1.0


def test_ssim_agrees_with_scipy_filters():
    a, b = image(1), image(1) + np.random.default_rng(2).normal(0, 300, (3, 40, 50))

    def blur(x):
        return gaussian_filter(x, (0, 1.5, 1.5), truncate=3.5)[:, 5:-5, 5:-5]

    ma, mb = blur(a), blur(b)
    va, vb, c = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
    expected = ((2 * ma * mb + 1e4) * (2 * c + 9e4) / ((ma**2 + mb**2 + 1e4) * (va + vb + 9e4))).mean()
    assert metrics.ssim(a, b) == pytest.approx(expected, rel=1e-9)
    assert metrics.ssim(a, a) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(2, 3, 3), (2, 11, 11), (2, 10, 40), (1, 1, 1)])
def test_ssim_of_small_images(shape):
    a = image(shape=shape)
    assert metrics.ssim(a, a) == pytest.approx(1.0)
    assert metrics.ssim(a, a[:, ::-1] * 0.5) < 1


def test_spectral_angle():
    a = np.zeros((2, 1, 4))
    b = np.zeros((2, 1, 4))
    a[:, 0] = [[1, 1, 0, 0], [0, 0, 0, 0]]
    b[:, 0] = [[1, 0, 0, 5], [1, 3, 0, 0]]
    assert metrics.spectral_angle(a, b) == pytest.approx((45 + 90 + 0 + 90) / 4)
    x = image()
    assert metrics.spectral_angle(x, 3 * x) < 1e-5


def test_index_errors():
    a = image()
    same = metrics.index_errors(a, a, BANDS)
    assert same == {"ndvi_mae": 0, "ndwi_mae": 0, "water_agreement": 1}
    swapped = metrics.index_errors(a, a[[2, 1, 0]], BANDS)
    assert swapped["water_agreement"] == 0 and swapped["ndwi_mae"] > 0.1


def test_pchip_is_scipys():
    rng = np.random.default_rng(5)
    for n in (2, 3, 4, 9):
        x, y = np.sort(rng.uniform(0, 9, n)), rng.normal(0, 3, n)
        at = np.linspace(x[0], x[-1], 77)
        assert np.allclose(metrics.pchip(x, y, at), PchipInterpolator(x, y)(at))


def log_curve(factor=1.0, gain=0.0, rates=(0.01, 0.03, 0.1, 0.2, 0.5)):
    rate = np.array(rates)
    return Curve.of(rate * factor, 40 + gain + 6 * np.log2(rate))


def test_bd_rate_of_shifted_curves():
    assert bd_rate(log_curve(), log_curve(0.6)) == pytest.approx(-40.0, abs=0.1)
    assert bd_rate(log_curve(0.6), log_curve()) == pytest.approx(100 / 0.6 - 100, abs=0.3)
    assert bd_psnr(log_curve(), log_curve(gain=1.5)) == pytest.approx(1.5, abs=1e-6)
    assert bd_rate(log_curve(), log_curve()) == pytest.approx(0)


def test_bd_rate_says_nothing_without_overlap():
    assert np.isnan(bd_rate(log_curve(), log_curve(gain=60)))
    assert np.isnan(bd_psnr(log_curve(), log_curve(1000)))
    assert np.isnan(bd_rate(log_curve(), Curve.of([0.1], [40])))


def test_curve_keeps_the_front_only():
    curve = Curve.of([0.2, 0.1, 0.3, 0.4, 0.1], [41, 40, 40.5, np.inf, 39])
    assert curve.rate.tolist() == [0.1, 0.2] and curve.quality.tolist() == [40, 41]
    assert np.isnan(curve.quality_at(0.05)) and np.isnan(curve.quality_at(0.5))
    assert curve.quality_at(0.1 * 2**0.5) == pytest.approx(40.5)


def test_curve_within_a_rate_window():
    part = log_curve().within(0.02, 0.15)
    assert part.rate[0] == pytest.approx(0.02) and part.rate[-1] == pytest.approx(0.15)
    assert part.quality[0] == pytest.approx(40 + 6 * np.log2(0.02), abs=0.05)
    assert len(log_curve().within(0.6, 0.9).rate) == 0


def test_shapes_must_agree():
    with pytest.raises(metrics.MetricError, match="one shape"):
        metrics.psnr(image(), image()[:2])
