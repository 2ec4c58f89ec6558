"""What an earlier date tells of a tile beside what is predicted from it: means, bases, and where there is something to be found.

Season and haze change counts more than structure. So a payload that is coded beside a date says its means as differences from the
date's, may take the bases that decorrelate the date, for which no angle is sent, and its bit planes see the date's own coefficients
on those bases (`Beside`, bitplane.h), with gains or without any. All of it is the same to the last bit on every machine: integers, and
float32 rounded operation by operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder.date_values import Beside
from swathpack.edge.codec.transform_coder.head import Expected, Head, Part
from swathpack.edge.codec.transform_coder.layout import Layout, Pyramid
from swathpack.edge.codec.transform_coder.prediction import Coefficients, Counts, reference_bands
from swathpack.edge.codec.transform_coder.rasters import Raster
from swathpack.edge.codec.transform_coder.shaped import RasterShape
from swathpack.edge.codec.transform_coder.shift import STILL, Shift
from swathpack.edge.codec.transform_coder.spectral import Matrix, default_spectrum
from swathpack.edge.codec.transform_coder.weights import Weights

LARGEST = float(1 << 24)  # of a date's values; twice the largest that a tile's can be
# Coefficients so large, and so many products of two: sums below 2^53, exact in any order.
MOST, COLUMNS = float(1 << 20), 1 << 12


@dataclass(frozen=True, eq=False)
class Earlier:
    """An earlier date on the rasters of a tile. bands: of every raster (B, N) weighted wavelet coefficients; means: (C,) DN.
    shift: how far it is moved.
    """

    bands: tuple[Coefficients, ...]
    means: NDArray[np.float64]
    shift: Shift = STILL

    @classmethod
    def of(
        cls,
        counts: Counts,
        rasters: Sequence[Raster],
        pyramids: Sequence[Pyramid],
        weights: Weights,
        shapes: Sequence[RasterShape] | None,
        shift: Shift = STILL,
    ) -> Earlier:
        """From its counts (C, H, W)."""
        sides = zip(rasters, pyramids, shapes or (None,) * len(rasters))
        bands = tuple(reference_bands(counts, *side[:2], weights, side[2], shift) for side in sides)
        return cls(bands, counts.sum((1, 2), dtype=np.int64) / (counts.shape[1] * counts.shape[2]), shift)

    def mean_units(self, expected: Expected, unit: int) -> tuple[int, ...]:
        """The means as `Head.means` has them."""
        away = (self.means - expected.means().astype(np.float64)) / (1 << unit)
        return tuple(int(a) for a in np.rint(away))

    def covariance(self, number: int) -> Matrix:
        """(B, B) second moments of a raster's coefficients, in whole DN."""
        rows = np.clip(np.rint(self.bands[number]), -MOST, MOST).astype(np.float64)
        total = np.zeros((len(rows), len(rows)))
        for start in range(0, rows.shape[1], COLUMNS):
            part = rows[:, start : start + COLUMNS]
            total += part @ part.T
        return total

    def resolved(self, head: Head, expected: Expected) -> Head:
        """A head with what it leaves for the date to say."""
        means = self.mean_units(expected, head.mean_unit)
        parts = tuple(self._with_basis(part, number) for number, part in enumerate(head.parts))
        return head.with_date(means, parts)

    def _with_basis(self, part: Part, number: int) -> Part:
        if not part.spectrum.of_date:
            return part
        return Part(part.raster, part.pyramid, default_spectrum(part.pyramid, self.covariance(number), of_date=True))

    def beside(self, head: Head, layout: Layout) -> Beside:
        """What the bit planes of a head's tile see of it."""
        factor = np.float32((2.0 if head.fine is None else 1.0) / head.step_dn)
        values, taken = [], []
        for part, bands in zip(head.parts, self.bands):
            scaled = np.rint(part.spectrum.projected(bands) * factor)
            values.append(np.clip(scaled, -LARGEST, LARGEST).astype(np.int32))
            columns = np.zeros(bands.shape[1], np.uint8)
            if head.prediction is not None:
                columns = head.prediction.taken(part.raster, part.pyramid).astype(np.uint8)
            taken.append(np.repeat(columns[None], len(bands), axis=0))
        return Beside(layout.scatter(values), layout.scatter(taken))
