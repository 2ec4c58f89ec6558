"""The encoder's choice of an earlier date, its gains and blocks: by estimated bits at the error that is aimed at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder.beside import Earlier
from swathpack.edge.codec.transform_coder.header import BitWriter
from swathpack.edge.codec.transform_coder.layout import Pyramid
from swathpack.edge.codec.transform_coder.prediction import (
    MAX_GAIN,
    WHOLE,
    Coefficients,
    Gains,
    Prediction,
    bands_of,
    block_shape,
    columns_of,
    expected_gain,
    quarters,
    write_prediction,
)
from swathpack.edge.codec.transform_coder.rasters import Raster
from swathpack.edge.codec.transform_coder.shaped import RasterShape
from swathpack.edge.codec.transform_coder.shift import STILL, Shift

TRIED = 2  # dates that are looked at closely
ROUNDS = 2
LEAST_SAVED = 0.002  # of the bits aimed at; below that gains are not tried
MUCH_SAVED = 0.02  # of them; below that the tile is coded without gains, too
Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Side:
    """One raster of the tile to code: its coefficients (B, N), a basis (B, B) that about decorrelates them, and how the valid
    cells lie, where they alone are split.
    """

    raster: Raster
    pyramid: Pyramid
    bands: Coefficients
    basis: NDArray[np.float32]
    shape: RasterShape | None = None

    @classmethod
    def of(cls, raster: Raster, pyramid: Pyramid, bands: Coefficients, shape: RasterShape | None = None) -> Side:
        """With the eigenvectors of the bands' second moments."""
        return cls(raster, pyramid, bands, np.linalg.eigh(bands @ bands.T)[1].astype(np.float32), shape)


@dataclass(frozen=True, eq=False)
class Chosen:
    """number: of the date among those given. saved: bits, estimated. parts: what each raster is predicted to be; None, as is the
    prediction, where the date stands beside the tile alone.
    """

    number: int
    saved: float
    prediction: Prediction | None
    parts: list[Coefficients] | None
    earlier: Earlier


def choose(
    sides: Sequence[Side],
    count: int,
    earlier_at: Callable[[int, Shift], Earlier],
    shift_of: Callable[[int], Shift],
    shape: tuple[int, int],
    noise: float,
    bits: float,
) -> list[Chosen]:
    """Of `count` dates the one that saves most at a squared error of `noise` a coefficient, unless none saves LEAST_SAVED of
    `bits`; and where none saves MUCH_SAVED, the most alike without gains. By the number of a date: earlier_at: it as it is moved;
    shift_of: how far it is to be moved.
    """

    def at(number: int, shift: Shift) -> _Date:
        earlier = earlier_at(number, shift)
        return _Date(number, earlier, [_Fit(s, y, block_shape(*shape), noise) for s, y in zip(sides, earlier.bands)])

    ranked = sorted((at(number, STILL) for number in range(count)), key=_Date.order)[:TRIED]
    for place, date in enumerate(ranked):
        if (shift := shift_of(date.number)) != STILL:
            ranked[place] = min(date, at(date.number, shift), key=_Date.order)
    ranked.sort(key=_Date.order)
    found = [_weighed(date, shape) for date in ranked if date.promise > 0]
    best = max(found, key=lambda c: c.saved, default=None)
    if best is not None and best.saved > MUCH_SAVED * bits:
        return [best]
    beside = [Chosen(d.number, 0.0, None, None, d.earlier) for d in ranked[:1] if any(f.date.any() for f in d.fits)]
    return [best, *beside] if best is not None and best.saved > LEAST_SAVED * bits else beside


class _Fit:
    """How one raster follows from one date."""

    def __init__(self, side: Side, date: Coefficients, blocks: tuple[int, int], noise: float) -> None:
        self.side, self.date, self.noise = side, date, noise
        self.levels, self.places = columns_of(side.raster.grid, side.pyramid, blocks)
        self.count = side.pyramid.levels + 1
        self.intra = np.square(side.basis.T @ side.bands) + np.float32(noise)

    def moments(self, on: NDArray[np.bool_] | None = None) -> tuple[Reals, Reals, Reals, Reals]:
        """(B, L) sums of squares of tile and date and of their product, and (L,) columns, in the blocks that are on."""
        x, y, levels = self.side.bands, self.date, self.levels
        if on is not None:
            here = on.reshape(-1)[self.places]
            x, y, levels = x[:, here], y[:, here], levels[here]
        spans = [levels == level for level in range(self.count)]

        def sums(a: Coefficients, b: Coefficients) -> Reals:
            product = a * b
            return np.stack([product[:, span].sum(axis=1, dtype=np.float64) for span in spans], axis=1)

        return sums(x, x), sums(x, y), sums(y, y), np.array([max(span.sum(), 1) for span in spans], np.float64)

    def promise(self) -> float:
        """Bits that the best gains would save if every band stood alone: a rank."""
        xx, xy, yy, n = self.moments()
        left = np.maximum(xx - xy**2 / np.maximum(yy, 1e-9), 0)
        return float((n / 2 * np.log2((xx / n + self.noise) / (left / n + self.noise))).sum())

    def gains(self, on: NDArray[np.bool_]) -> Gains:
        """Eighths for the blocks that are on, each the least-squares one or the one that is expected, by bits."""
        xx, xy, yy, n = self.moments(on)
        nearest = np.clip(np.rint(WHOLE * xy / np.maximum(yy, 1e-9)), -WHOLE, MAX_GAIN // 2).astype(np.int64)
        found = np.zeros_like(nearest)
        for level in range(self.count):
            for band in range(bands_of(self.side.pyramid, level)):
                known = expected_gain(found, band, level)

                def cost(gain: int, band: int = band, level: int = level, known: int = known) -> float:
                    g = gain / WHOLE
                    left = xx[band, level] - 2 * g * xy[band, level] + g * g * yy[band, level]
                    rate = n[level] / 2 * np.log2(max(left, 0.0) / n[level] + self.noise)
                    return float(rate) + 2 * (2 * abs(gain - known) + 1).bit_length()

                found[band, level] = min({int(nearest[band, level]), known}, key=cost)
        return found

    def saved(self, predicted: Coefficients) -> Reals:
        """Bits saved a block."""
        left = np.square(self.side.basis.T @ (self.side.bands - predicted)) + np.float32(self.noise)
        columns = 0.5 * np.log2(self.intra / left).sum(axis=0, dtype=np.float64)
        return np.bincount(self.places, columns, int(self.places.max()) + 1).astype(np.float64)


@dataclass(frozen=True, eq=False)
class _Date:
    """A date that may be taken, and how every raster follows from it."""

    number: int
    earlier: Earlier
    fits: list[_Fit]

    @cached_property
    def promise(self) -> float:
        """Of all rasters."""
        return sum(fit.promise() for fit in self.fits)

    def order(self) -> float:
        """The most promising first."""
        return -self.promise


def _weighed(date: _Date, shape: tuple[int, int]) -> Chosen:
    """Gains and blocks in turns."""
    fits = date.fits
    every = np.ones(block_shape(*shape), np.bool_)
    on = every
    best = -np.inf, Prediction((), every)
    for _ in range(ROUNDS):
        gains = tuple(fit.gains(on) for fit in fits)
        whole = Prediction(gains, every)
        per_block = _per_block(fits, whole, every.size).reshape(every.shape)
        on = _worth(per_block)[1]
        prediction = Prediction(gains, on)
        saved = float(per_block[on].sum()) - _side_bits(prediction, fits)
        best = max(best, (saved, prediction), key=lambda found: found[0])
        if not on.any():
            break
    return Chosen(date.number, best[0], best[1], _parts(fits, best[1]), date.earlier)


def _parts(fits: Sequence[_Fit], prediction: Prediction) -> list[Coefficients]:
    return [prediction.of(n, f.date, f.side.raster, f.side.pyramid) for n, f in enumerate(fits)]


def _per_block(fits: Sequence[_Fit], prediction: Prediction, count: int) -> Reals:
    total = np.zeros(count)
    for fit, part in zip(fits, _parts(fits, prediction)):
        found = fit.saved(part)
        total[: len(found)] += found
    return total


def _side_bits(prediction: Prediction, fits: Sequence[_Fit]) -> int:
    out = BitWriter()
    write_prediction(prediction, tuple(f.side.pyramid for f in fits), out)
    return len(out)


def _worth(saved: Reals) -> tuple[float, NDArray[np.bool_]]:
    """Bits saved by the best quadtree of blocks, its own bits taken off, and the blocks."""
    whole, shape = float(saved.sum()), saved.shape
    alike = max(whole, 0.0) - (2 if saved.size > 1 else 1), np.full(shape, whole > 0)
    if saved.size <= 1:
        return alike
    parts = [_worth(part) for part in quarters(saved)]  # type: ignore[arg-type]
    split = sum(value for value, _ in parts) - 1
    if split <= alike[0]:
        return alike
    on = np.zeros(shape, np.bool_)
    for view, (_, found) in zip(quarters(on), parts):
        view[...] = found
    return split, on
