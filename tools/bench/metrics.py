"""Image quality and rate metrics, the same for every codec.

Images are (C, H, W) digital numbers (reflectance x 10,000). `valid` is an (H, W) bool mask; pixels outside it
count nowhere. PSNR has peak 10,000 on DN, without offset and without clipping, its squared error averaged
over all bands of a frame; over frames it is averaged in dB. Only numpy is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

PEAK = 10_000.0
PSNR_CAP = 100.0  # dB; what an exact frame counts in a mean (an infinite one would hide all others)
SSIM_SIGMA, SSIM_RADIUS = 1.5, 5
BD_MIN_OVERLAP_DB = 0.5
BD_SAMPLES = 2001

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class MetricError(ValueError):
    """Images or curves that cannot be compared."""


def _pair(reference: ArrayLike, decoded: ArrayLike, valid: Mask | None) -> tuple[Array, Array, Mask]:
    a, b = np.asarray(reference, np.float64), np.asarray(decoded, np.float64)
    if a.shape != b.shape or a.ndim != 3:
        raise MetricError(f"expected two (C, H, W) images of one shape, found {a.shape} and {b.shape}")
    mask = np.ones(a.shape[1:], bool) if valid is None else valid
    if mask.shape != a.shape[1:]:
        raise MetricError(f"expected a mask {a.shape[1:]}, found {mask.shape}")
    return a, b, mask


def mse(reference: ArrayLike, decoded: ArrayLike, valid: Mask | None = None) -> float:
    """Mean squared error in DN^2 over all bands of the valid pixels; nan without any."""
    a, b, mask = _pair(reference, decoded, valid)
    return float(np.mean((a - b)[:, mask] ** 2)) if mask.any() else float("nan")


def mse_to_psnr(error: float) -> float:
    """dB for a squared error in DN^2; inf for 0."""
    return float("inf") if error == 0 else float(10 * np.log10(PEAK**2 / error))


def psnr(reference: ArrayLike, decoded: ArrayLike, valid: Mask | None = None) -> float:
    """dB, peak 10,000; inf for equal images, nan without valid pixels."""
    return mse_to_psnr(mse(reference, decoded, valid))


def mean_psnr(values: Iterable[float]) -> float:
    """Mean of per-frame dB; an infinite one counts as 100 dB, one without valid pixels (nan) not."""
    finite = [min(v, PSNR_CAP) for v in values if not np.isnan(v)]
    return float(np.mean(finite)) if finite else float("nan")


def bppb(byte_count: float, shape: Sequence[int]) -> float:
    """Bits per pixel and band of `byte_count` bytes for an array of `shape` ((C, H, W) or (T, C, H, W))."""
    return 8.0 * byte_count / float(np.prod(shape))


def _window() -> Array:
    taps = np.exp(-0.5 * (np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1) / SSIM_SIGMA) ** 2)
    out: Array = taps / taps.sum()
    return out


def _blur(x: Array) -> Array:
    """Separable Gaussian over the last two axes, windows inside the image only."""
    taps, size = _window(), 2 * SSIM_RADIUS
    rows = sum(w * x[..., i : x.shape[-2] - size + i, :] for i, w in enumerate(taps))
    out: Array = sum(w * rows[..., i : x.shape[-1] - size + i] for i, w in enumerate(taps))
    return out


def ssim(reference: ArrayLike, decoded: ArrayLike, valid: Mask | None = None, data_range: float = PEAK) -> float:
    """Structural similarity, mean over bands and valid window centres (Wang et al. 2004, section III).

    11 x 11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, windows inside the image; images under 11
    pixels are mirrored outwards. Invalid pixels take the reference's value in both images.
    """
    a, b, mask = _pair(reference, decoded, valid)
    b = np.where(mask, b, a)
    grow = [max(0, 2 * SSIM_RADIUS + 1 - side + 1) // 2 for side in a.shape[1:]]
    if any(grow):
        margin = [(g, g) for g in grow]
        a, b = (np.pad(x, ((0, 0), *margin), "symmetric") for x in (a, b))
        mask = np.pad(mask, margin, "symmetric")
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    index = (2 * mean_a * mean_b + c1) * (2 * covariance + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    centre = mask[SSIM_RADIUS:-SSIM_RADIUS, SSIM_RADIUS:-SSIM_RADIUS]
    return float(index[:, centre].mean()) if centre.any() else float("nan")


def spectral_angle(reference: ArrayLike, decoded: ArrayLike, valid: Mask | None = None) -> float:
    """Mean angle in degrees between the spectra of valid pixels (Kruse et al. 1993).

    Two zero spectra are 0 apart, a zero and a non-zero one 90.
    """
    a, b, mask = _pair(reference, decoded, valid)
    if not mask.any():
        return float("nan")
    a, b = a[:, mask], b[:, mask]
    norm_a, norm_b = np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0)
    # The half-angle form keeps its digits where the spectra nearly agree; arccos does not.
    unit_a, unit_b = a / np.maximum(norm_a, 1e-12), b / np.maximum(norm_b, 1e-12)
    angle = 2 * np.arctan2(np.linalg.norm(unit_a - unit_b, axis=0), np.linalg.norm(unit_a + unit_b, axis=0))
    angle = np.where((norm_a == 0) | (norm_b == 0), np.where(norm_a == norm_b, 0, np.pi / 2), angle)
    return float(np.degrees(angle).mean())


def normalised_difference(image: ArrayLike, bands: Sequence[str], first: str, second: str) -> Array:
    """(first - second) / (first + second) per pixel, 0 where both are 0."""
    data, names = np.asarray(image, np.float64), list(bands)
    a, b = data[names.index(first)], data[names.index(second)]
    out: Array = (a - b) / np.where(a + b == 0, 1, a + b)
    return out


def ndvi(image: ArrayLike, bands: Sequence[str]) -> Array:
    """Vegetation index of B08 and B04 (Rouse et al. 1974)."""
    return normalised_difference(image, bands, "B08", "B04")


def ndwi(image: ArrayLike, bands: Sequence[str]) -> Array:
    """Water index of B03 and B08 (McFeeters 1996)."""
    return normalised_difference(image, bands, "B03", "B08")


def index_errors(
    reference: ArrayLike, decoded: ArrayLike, bands: Sequence[str], valid: Mask | None = None
) -> dict[str, float]:
    """Mean absolute error of NDVI and NDWI; share of valid pixels whose water mask (NDWI > 0) agrees."""
    a, b, mask = _pair(reference, decoded, valid)
    water_a, water_b = ndwi(a, bands)[mask], ndwi(b, bands)[mask]
    return {
        "ndvi_mae": float(np.abs(ndvi(a, bands) - ndvi(b, bands))[mask].mean()),
        "ndwi_mae": float(np.abs(water_a - water_b).mean()),
        "water_agreement": float(((water_a > 0) == (water_b > 0)).mean()),
    }


def pchip(x: Array, y: Array, at: Array) -> Array:
    """Monotone piecewise-cubic Hermite interpolation (Fritsch and Butland 1984), x strictly increasing."""
    if len(x) == 2:
        return np.interp(at, x, y)
    step, slope = np.diff(x), np.diff(y) / np.diff(x)
    tangent = np.zeros_like(y)
    same = slope[:-1] * slope[1:] > 0
    left, right = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        harmonic = (left + right) / (left / slope[:-1] + right / slope[1:])
    tangent[1:-1] = np.where(same, harmonic, 0)
    tangent[0] = _end_tangent(step[0], step[1], slope[0], slope[1])
    tangent[-1] = _end_tangent(step[-1], step[-2], slope[-1], slope[-2])
    i = np.clip(np.searchsorted(x, at) - 1, 0, len(step) - 1)
    t = (at - x[i]) / step[i]
    return (
        y[i] * (1 + 2 * t) * (1 - t) ** 2
        + tangent[i] * step[i] * t * (1 - t) ** 2
        + y[i + 1] * t**2 * (3 - 2 * t)
        + tangent[i + 1] * step[i] * t**2 * (t - 1)
    )


def _end_tangent(near: float, far: float, slope: float, next_slope: float) -> float:
    tangent = ((2 * near + far) * slope - near * next_slope) / (near + far)
    if tangent * slope <= 0:
        return 0.0
    return 3 * slope if slope * next_slope <= 0 and abs(tangent) > 3 * abs(slope) else tangent


@dataclass(frozen=True)
class Curve:
    """A rate-distortion curve: rate in bppb and quality (dB), both strictly increasing, (n,) float64."""

    rate: Array
    quality: Array

    @classmethod
    def of(cls, rate: ArrayLike, quality: ArrayLike) -> Curve:
        """The points that no other beats (lower rate at no less quality), by rising rate; inf dB left out."""
        rates, qualities = np.asarray(rate, float).tolist(), np.asarray(quality, float).tolist()
        points = sorted((r, -q) for r, q in zip(rates, qualities) if np.isfinite(q) and r > 0)
        kept: list[tuple[float, float]] = []
        for r, negative in points:
            if not kept or -negative > kept[-1][1]:
                kept.append((r, -negative))
        return cls(np.array([k[0] for k in kept]), np.array([k[1] for k in kept]))

    def quality_at(self, rate: float) -> float:
        """Quality at a rate, cubic in log rate; nan outside the curve (nothing is extrapolated)."""
        if len(self.rate) < 2 or not self.rate[0] <= rate <= self.rate[-1]:
            return float("nan")
        return float(pchip(np.log(self.rate), self.quality, np.array([np.log(rate)]))[0])

    def within(self, low: float, high: float) -> Curve:
        """The part of the curve between two rates, its ends interpolated."""
        if len(self.rate) < 2:
            return self
        low, high = max(low, float(self.rate[0])), min(high, float(self.rate[-1]))
        inside = (self.rate > low) & (self.rate < high)
        rate = np.array([low, *self.rate[inside], high])
        if low >= high:
            return Curve.of([], [])
        return Curve.of(rate, pchip(np.log(self.rate), self.quality, np.log(rate)))


def _mean_gap(x_a: Array, y_a: Array, x_b: Array, y_b: Array, least: float) -> float:
    """Mean of y_b(x) - y_a(x) over the x that both curves cover; nan if that is narrower than `least`."""
    if min(len(x_a), len(x_b)) < 2:
        return float("nan")
    low, high = max(x_a[0], x_b[0]), min(x_a[-1], x_b[-1])
    if high - low < least:
        return float("nan")
    at = np.linspace(low, high, BD_SAMPLES)
    gap = pchip(x_b, y_b, at) - pchip(x_a, y_a, at)
    return float((gap[:-1] + gap[1:]).mean() / 2)


def bd_rate(anchor: Curve, test: Curve) -> float:
    """Mean change of rate in per cent at equal quality, negative when `test` needs less (Bjontegaard 2001).

    Log rate is a monotone piecewise cubic of quality, averaged over the qualities that both curves reach and
    nowhere else; nan where that overlap is under 0.5 dB.
    """
    gap = _mean_gap(anchor.quality, np.log(anchor.rate), test.quality, np.log(test.rate), BD_MIN_OVERLAP_DB)
    return float((np.exp(gap) - 1) * 100)


def bd_psnr(anchor: Curve, test: Curve) -> float:
    """Mean change of quality in dB at equal rate over the rates that both curves cover; nan if under 5 %."""
    least = float(np.log(1.05))
    return _mean_gap(np.log(anchor.rate), anchor.quality, np.log(test.rate), test.quality, least)
