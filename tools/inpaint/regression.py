"""Bringing images of other dates to the repaired one: ridge regression over all their bands, then what it leaves
on clear pixels spread into the hole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.tools.inpaint.sources import MAX_FIT

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # of the standardised features' variance
NOISE_DN = 20.0  # features that vary less than this say nothing
BLOCK = 24  # pixels: cross-validation leaves out squares of this side, since neighbours tell each other's value
FOLDS = 4
GUESS_DEMAND = 0.95  # of the error without the guess: what it must come under
SPREAD = (1.5, 1.75)  # reach and power: weights (1 + (d / reach)^2)^-power, d in pixels
NEAR = (8.0, 1.5)  # the same, for how much a pixel near the hole counts in the fit
FAR_WEIGHT = 0.1  # of the nearest, what the farthest pixel counts at least

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over pixels of products of features and targets: xx (F, F), xy (F, C), yy (the targets' squares)."""

    xx: Doubles
    xy: Doubles
    yy: float

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.xx - other.xx, self.xy - other.xy, self.yy - other.yy)

    def solve(self, features: NDArray[np.int64], penalty: float) -> Doubles:
        """Ridge weights (len(features), C); feature 0 is the constant and goes unpunished."""
        ridge = penalty * self.xx[0, 0] * np.eye(len(features))
        ridge[0, 0] = 1e-9 * self.xx[0, 0] + 1e-9
        weights: Doubles = np.linalg.solve(self.xx[np.ix_(features, features)] + ridge, self.xy[features])
        return weights

    def error(self, features: NDArray[np.int64], weights: Doubles) -> float:
        """Squared error of weights over these pixels."""
        inner = self.xx[np.ix_(features, features)] @ weights
        return float(self.yy - 2 * (weights * self.xy[features]).sum() + (weights * inner).sum())


def regressed(
    images: Sequence[Floats],
    target: Floats,
    known: Mask,
    weight: Floats | None = None,
    guess: Floats | None = None,
) -> tuple[Floats, int]:
    """(C, H, W): per band the line from the first image, plus a ridge regression of what it leaves on all bands of
    the first n images, fitted where `known` (H, W); also n.

    images: (., H, W) each, without holes, the first with the target's bands. weight: (H, W), of pixels in the fit.
    guess: one image more, which must earn its place: it was made from pixels nearer than those in a hole can have.
    The penalty (Hoerl and Kennard 1970, "Ridge regression") and n are those with the least error on blocks left out
    (Roberts et al. 2017, "Cross-validation strategies for data with temporal, spatial, hierarchical or phylogenetic
    structure", Ecography 40).
    """
    images = list(images) if guess is None else [*images, guess]
    bands, flat = target.shape[0], np.concatenate([i.reshape(i.shape[0], -1) for i in images])
    fit = np.flatnonzero(known.ravel())
    fit = fit[:: max(1, fit.size // MAX_FIT)]
    share = np.ones(fit.size) if weight is None else weight.ravel()[fit].astype(np.float64)
    share /= share.sum()
    x, y = flat[:, fit].astype(np.float64), target.reshape(bands, -1)[:, fit].astype(np.float64)
    x_mean, y_mean = x @ share, y @ share
    x, y = x - x_mean[:, None], y - y_mean[:, None]
    variance = (x**2) @ share
    gain = ((x[:bands] * y) @ share) / np.maximum(variance[:bands], 1.0)
    scale = np.sqrt(variance)[:, None] + NOISE_DN
    features = np.concatenate([np.ones((1, fit.size)), x / scale]) * np.sqrt(share)
    rest = (y - gain[:, None] * x[:bands]) * np.sqrt(share)
    folds, ends = _folds(fit, known.shape[1]), np.cumsum([i.shape[0] for i in images])
    moments = [_moments(features[:, folds == f], rest[:, folds == f]) for f in range(FOLDS)]
    demands = np.where((np.arange(len(ends)) == len(ends) - 1) & (guess is not None), GUESS_DEMAND, 1.0)
    chosen, weights = _validated(moments, ends, demands)
    slope = np.zeros((len(flat), bands))
    slope[chosen[1:] - 1] = weights[1:] / scale[chosen[1:] - 1]
    slope[:bands] += np.diag(gain)
    offset = y_mean + weights[0] - slope.T @ x_mean
    out = slope.T.astype(np.float32) @ flat + offset[:, None].astype(np.float32)
    return out.reshape(target.shape), int(np.searchsorted(ends, len(chosen) - 1)) + 1


def _folds(pixels: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    rows, columns = np.divmod(pixels, width)
    folds: NDArray[np.int64] = (rows // BLOCK) % 2 * 2 + (columns // BLOCK) % 2
    return folds


def _moments(x: Doubles, y: Doubles) -> Moments:
    return Moments(x @ x.T, x @ y.T, float((y**2).sum()))


def _validated(
    moments: Sequence[Moments], ends: NDArray[np.int64], demands: Doubles
) -> tuple[NDArray[np.int64], Doubles]:
    """Features (constant first) and weights with the least error on the folds left out; the first ends[n] features
    are taken where they cut the error of fewer to a share of demands[n].
    """
    total = Moments(np.sum([m.xx for m in moments], 0), np.sum([m.xy for m in moments], 0), sum(m.yy for m in moments))
    parts = [m for m in moments if 0 < m.xx[0, 0] < 0.999 * total.xx[0, 0]]
    best, least = (np.arange(1), PENALTIES[-1]), total.yy if parts else np.inf
    for end, demand in zip(ends, demands):
        features = np.arange(end + 1)
        errors = [sum(m.error(features, (total - m).solve(features, p)) for m in parts) for p in PENALTIES]
        if min(errors) < demand * least:
            best, least = (features, PENALTIES[int(np.argmin(errors))]), min(errors)
    return best[0], total.solve(*best)


def spread(residual: Floats, known: Mask) -> Floats:
    """(C, H, W): at every pixel the mean of the known residuals, weighted by inverse distance (Shepard 1968, "A
    two-dimensional interpolation function for irregularly-spaced data"), by FFT.
    """
    weight = np.maximum(_smoothed(known[None].astype(np.float32), SPREAD), 1e-6)
    total = _smoothed(np.where(known, residual, 0), SPREAD)
    out: Floats = (total / weight).astype(np.float32)
    return out


def nearness(hole: Mask) -> Floats:
    """(H, W) weights from FAR_WEIGHT to 1 + FAR_WEIGHT: what lies near the hole says more about it."""
    near = _smoothed(hole[None].astype(np.float32), NEAR)[0]
    out: Floats = (near / max(float(near.max()), 1e-6) + FAR_WEIGHT).astype(np.float32)
    return np.maximum(out, FAR_WEIGHT)


def _smoothed(planes: NDArray[np.floating], kernel: tuple[float, float]) -> Floats:
    """Planes (C, H, W) convolved with (1 + (d / reach)^2)^-power."""
    height, width = planes.shape[1:]
    size = (2 * height, 2 * width)  # twice the image, so that nothing wraps around
    rows, columns = (np.minimum(np.arange(n), n - np.arange(n)) for n in size)
    reach, power = kernel
    taps = np.fft.rfft2((1 + (rows[:, None] ** 2 + columns[None] ** 2) / reach**2) ** -power)
    out = np.empty(planes.shape, np.float32)
    for band, plane in enumerate(planes):
        out[band] = np.fft.irfft2(np.fft.rfft2(plane, size) * taps, size)[:height, :width]
    return out
