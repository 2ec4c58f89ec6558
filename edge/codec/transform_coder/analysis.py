"""The encoder's half before the bit planes: pixels to coefficients on the best bases, alone or against an earlier date."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import bitplane, shaped
from swathpack.edge.codec.transform_coder.alignment import Aligner, liveliest
from swathpack.edge.codec.transform_coder.beside import Earlier
from swathpack.edge.codec.transform_coder.choice import Chosen, Side, choose
from swathpack.edge.codec.transform_coder.fill import fill_smoothly
from swathpack.edge.codec.transform_coder.head import (
    Expected,
    Head,
    Part,
    choose_means,
    dequantised,
    pyramid_of,
    step_of,
)
from swathpack.edge.codec.transform_coder.layout import Pyramid
from swathpack.edge.codec.transform_coder.prediction import Counts, cells_of
from swathpack.edge.codec.transform_coder.rasters import Grid, Raster, find_rasters
from swathpack.edge.codec.transform_coder.shaped import RasterShape, Shape, check_of, shapes_of
from swathpack.edge.codec.transform_coder.shift import STILL, Shift
from swathpack.edge.codec.transform_coder.sparse import Blocks
from swathpack.edge.codec.transform_coder.spectral import Spectrum, default_spectrum, lone_spectrum
from swathpack.edge.codec.transform_coder.spectral_choice import Aim, Moments, basis_at, choose_spectrum, expected_bits
from swathpack.edge.codec.transform_coder.synthesis import add_bands
from swathpack.edge.codec.transform_coder.weights import Weights

# Times the bytes aimed at, which bases are chosen for: an embedded payload serves several (docs/transform_coder.md).
AIM_SHARES = (0.5, 1.0, 2.0, 4.0, 8.0)
FAR_SHARES = (64.0,)  # besides, of payloads that go on so far, for all of it may be sent in the end
FRACTION = 1 << bitplane.FRACTION
LARGEST = (1 << bitplane.MAX_PLANES) * FRACTION - 1

LOWER = 0.5  # of the error without a date, below which what a date gives is chosen once more
ALIGNED = 2  # bands by which earlier dates are aligned
PROJECTIONS = 2
KEPT = 3.0  # coefficients so much larger than the error that is aimed at

Bands = list[NDArray[np.float32]]
Bases = Literal["any", "own", "date"]  # a tile's own or any that goes without saying, its own alone, the earlier date's


@dataclass(frozen=True, eq=False)
class Analysis:
    """A tile (C, H, W) on its rasters, without its means, weighted: `bands` are (B, N) wavelet coefficients a raster. shapes: of
    the rasters, where the valid pixels alone are split.
    """

    centred: NDArray[np.float32]
    valid: NDArray[np.bool_]
    expected: Expected
    unit: int
    means: tuple[int, ...]
    rasters: tuple[Raster, ...]
    pyramids: tuple[Pyramid, ...]
    bands: Bands
    weights: Weights
    shapes: tuple[RasterShape, ...] | None = None

    @classmethod
    def of(
        cls,
        samples: NDArray[np.float32],
        valid: NDArray[np.bool_],
        expected: Expected,
        weights: Weights,
        aim: int | None = None,
        shaped: bool = False,
    ) -> Analysis:
        """Means, rasters and coefficients; pixels that are not valid as they cost least, at `aim` bytes if that is said, or left
        out: shaped.
        """
        unit, means = choose_means(samples, valid, expected)
        centred = (samples - dequantised(means, unit, expected)[:, None, None]) * weights.factors
        rasters = find_rasters(samples, valid) if valid.any() else (Raster.plain(len(samples)),)
        pyramids = tuple(pyramid_of(raster, *valid.shape) for raster in rasters)
        holes = not valid.all() and bool(valid.any())
        shapes = shapes_of(rasters, pyramids, valid) if shaped and holes else None
        bands = [_subbands(centred, valid, *each) for each in zip(rasters, pyramids, shapes or (None,) * len(rasters))]
        found = cls(centred, valid, expected, unit, means, rasters, pyramids, bands, weights, shapes)
        return found if aim is None else found.filled(aim)

    def filled(self, aim: int) -> Analysis:
        """With what costs least at `aim` bytes in the place of pixels that are not valid, unless they are left out."""
        whole = self.valid.all() or not self.valid.any() or self.shapes is not None
        return self if whole else replace(self, bands=self._projected(aim))

    def _projected(self, aim: int) -> Bands:
        """The coefficients with what stands in for invalid pixels projected in turns onto the large coefficients and the valid
        pixels (Papoulis 1975 and Gerchberg 1974, with the threshold of Guleryuz, "Nonlinear approximation based image
        recovery", 2006).
        """
        bands, every = self.bands, np.ones_like(self.valid)
        moments = [Moments.of(*each) for each in zip(bands, self.pyramids)]
        noise = _noise_at(moments, 8.0 * aim)
        least = np.float32(KEPT * noise**0.5)
        blocks = [Blocks.of(*each) for each in zip(bands, self.pyramids)]
        bases = [basis_at(noise, *each).astype(np.float32) for each in zip(moments, blocks)]
        for _ in range(PROJECTIONS):
            pixels = np.zeros_like(self.centred)
            for raster, pyramid, rows, basis in zip(self.rasters, self.pyramids, bands, bases):
                components = basis.T @ rows
                components[np.abs(components) < least] = 0
                add_bands(pixels, raster, pyramid, basis @ components)
            pixels = np.where(self.valid, self.centred, pixels)
            bands = [_subbands(pixels, every, *each) for each in zip(self.rasters, self.pyramids)]
        return bands

    def against(self, dates: Sequence[Counts], aim: int) -> list[Chosen]:
        """What is worth a coding at `aim` bytes of earlier dates."""
        bits, shape = 8.0 * aim, (self.valid.shape[0], self.valid.shape[1])
        shapes = self.shapes or (None,) * len(self.rasters)
        sides = [Side.of(*each) for each in zip(self.rasters, self.pyramids, self.bands, shapes)]

        @cache  # both looks see the same dates
        def earlier_at(number: int, shift: Shift) -> Earlier:
            return Earlier.of(dates[number], self.rasters, self.pyramids, self.weights, self.shapes, shift)

        shift_at = self._shift_finder(dates)

        def at(noise: float) -> list[Chosen]:
            return choose(sides, len(dates), earlier_at, lambda number: shift_at(number, noise), shape, noise, bits)

        alone = self._noise(self.bands, bits)
        found = at(alone)
        parts = found[0].parts if found else None
        if parts is None:
            return found
        left = self._noise([rows - part for rows, part in zip(self.bands, parts)], bits)
        return [*found, *at(left)] if left < LOWER * alone else found

    def _noise(self, bands: Bands, bits: float) -> float:
        return _noise_at([Moments.of(*each) for each in zip(bands, self.pyramids)], bits)

    def _shift_finder(self, dates: Sequence[Counts]) -> Callable[[int, float], Shift]:
        """How far dates, by their numbers, are to be moved at a squared error, by the liveliest bands of the finest raster. Each
        is compared once.
        """
        raster = min(self.rasters, key=lambda r: r.grid.factor)
        cells, known = raster.grid.means(self.centred[list(raster.bands)], self.valid)
        taken = liveliest(cells, ALIGNED)
        factor, bands = raster.grid.factor, tuple(raster.bands[n] for n in taken)
        aligner = Aligner.of(cells[taken], known, factor)
        scale = self.weights.factors.ravel()[list(bands), None, None]
        if aligner is None:
            return lambda number, noise: STILL

        @cache
        def told(number: int) -> NDArray[np.float64]:
            return aligner.told(cells_of(dates[number], bands, raster.grid) * scale)

        return lambda number, noise: aligner.shift_of(told(number), noise / factor**2)[0]

    def coefficients(
        self, step: int, aim: int, chosen: Chosen | None, bases: Bases = "any", far: bool = False
    ) -> tuple[Head, list[NDArray[np.int32]]]:
        """The head and the coefficients of every raster in 1 / FRACTION of the step. far: much more than `aim` may be sent."""
        bands = self.bands if chosen is None or chosen.parts is None else self.without(chosen.parts)
        spectra = self._spectra(bands, aim, None if chosen is None else chosen.earlier, bases, far)
        components = [spectrum.forward(rows) for spectrum, rows in zip(spectra, bands)]
        largest = max(float(np.abs(c).max()) for c in components)
        while largest * FRACTION / step_of(step) > LARGEST:
            step += 1
        matrices = [(c * np.float32(FRACTION / step_of(step))).astype(np.int32) for c in components]
        planes = max(int(np.abs(m).max()) for m in matrices) // FRACTION
        parts = tuple(Part(*each) for each in zip(self.rasters, self.pyramids, spectra))
        prediction = None if chosen is None else chosen.prediction
        known = self.unit, self.means, self.weights, parts, prediction
        check = None if self.shapes is None else check_of(self.valid)
        head = Head(step, planes.bit_length(), *known, check=check)
        if chosen is not None:
            means, shift = chosen.earlier.mean_units(self.expected, self.unit), chosen.earlier.shift
            head = replace(head, dated=True, date_means=means, shift=shift)
        return head, matrices

    def _spectra(self, bands: Bands, aim: int, earlier: Earlier | None, bases: Bases, far: bool) -> list[Spectrum]:
        """Bases of every raster for about `aim` bytes. Single bands have but one, for which nothing is weighed."""
        if all(pyramid.all == 1 for pyramid in self.pyramids):
            return [lone_spectrum(pyramid) for pyramid in self.pyramids]
        moments = [Moments.of(*each) for each in zip(bands, self.pyramids)]
        shares = AIM_SHARES + FAR_SHARES if far else AIM_SHARES
        aims = [Aim(8.0 * aim * share, _noise_at(moments, 8.0 * aim * share)) for share in shares]
        usual = [self._usual(number, earlier, bases) for number in range(len(moments))]
        if bases == "date":
            return [each[0] for each in usual]
        found = zip(self.pyramids, bands, moments, usual)
        return [
            lone_spectrum(p) if p.all == 1 else choose_spectrum(m, Blocks.of(rows, p), aims, each)
            for p, rows, m, each in found
        ]

    def _usual(self, number: int, earlier: Earlier | None, bases: Bases) -> list[Spectrum]:
        """The bases of a raster that go without saying, of those that may be taken."""
        found, pyramid = [], self.pyramids[number]
        covariance = self.expected.covariance_of(self.rasters[number], self.weights)
        if earlier is not None and bases != "own":
            found.append(default_spectrum(pyramid, earlier.covariance(number), of_date=True))
        if covariance is not None and bases == "any":
            found.append(default_spectrum(pyramid, covariance))
        return found

    def without(self, predicted: Bands) -> Bands:
        """What the prediction leaves; where pixels are not valid, it leaves what costs least."""
        if self.valid.all() or self.shapes is not None:
            return [rows - part for rows, part in zip(self.bands, predicted)]
        pixels = np.zeros_like(self.centred)
        for raster, pyramid, part in zip(self.rasters, self.pyramids, predicted):
            add_bands(pixels, raster, pyramid, part)
        left = fill_smoothly(self.centred - pixels, self.valid)
        return [_subbands(left, self.valid, *each) for each in zip(self.rasters, self.pyramids)]


def _subbands(
    pixels: NDArray[np.float32],
    valid: NDArray[np.bool_],
    raster: Raster,
    pyramid: Pyramid,
    shape: RasterShape | None = None,
) -> NDArray[np.float32]:
    """(B, N) wavelet coefficients of a raster's bands, weighted by the pixels that a cell stands for."""
    out = np.zeros((pyramid.all, pyramid.height * pyramid.width), np.float32)
    fine = pixels[list(raster.bands)], valid, raster.grid
    out[: pyramid.fine] = _split(*fine, pyramid.levels, shape.fine if shape else None)
    if raster.half:
        half = pixels[list(raster.half)], valid, raster.half_grid
        found = _split(*half, pyramid.levels - 1, shape.half if shape else None)
        out[pyramid.fine :, : found.shape[1]] = found
    return out


def _split(
    pixels: NDArray[np.float32], valid: NDArray[np.bool_], grid: Grid, levels: int, shape: Shape | None
) -> NDArray[np.float32]:
    """Of the bands on one grid."""
    cells = grid.cells(pixels, valid) if shape is None else grid.means(pixels, valid)[0]
    return shaped.split(cells, levels, shape) * np.float32(grid.factor)


def _noise_at(moments: Sequence[Moments], bits: float) -> float:
    """Squared error a coefficient at which ideal bases of every level would take so many bits (reverse water-filling)."""
    variances, counts = [], []
    for moment in moments:
        for total, (start, stop) in zip(moment.sums, moment.spans):
            values = np.linalg.eigvalsh(total) / (stop - start)
            variances.append(values)
            counts.append(np.full(len(values), float(stop - start)))
    every, number = np.maximum(np.concatenate(variances), 1e-9), np.concatenate(counts)
    low, high = -6.0, float(np.log2(every.max())) + 1
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if expected_bits(every, number, 2.0**middle) > bits else (low, middle)
    return float(2.0**high)
