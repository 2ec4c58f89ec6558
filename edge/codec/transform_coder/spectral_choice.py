"""Which spectral bases a tile gets: second moments of its levels, how far its bytes go, zones and precision. Of the encoder alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder.layout import Pyramid
from swathpack.edge.codec.transform_coder.sparse import Blocks
from swathpack.edge.codec.transform_coder.spectral import (
    ANGLE_BITS,
    MOST_ZONES,
    Coefficients,
    Matrix,
    Spectrum,
    Zone,
    angles_of,
    basis_of,
    least_zones,
    zone_columns,
)

Place = tuple[int, int, int]  # first and last column of a zone, its bands
PROBED_BITS = 7  # an angle, while zones are counted
FIRST_ROUNDS, MORE_ROUNDS = 4, 4  # of turning: of every zone that may be, and of those that are chosen


def expected_bits(variances: Matrix, counts: Matrix, noise: float) -> float:
    """Rate of Gaussian components at a squared error of `noise` each: sum of n / 2 log2(variance / noise), if positive."""
    return float((counts * 0.5 * np.log2(np.maximum(variances / noise, 1.0))).sum())


@dataclass(frozen=True)
class Aim:
    """A length that a payload may be cut to, and the squared error a coefficient that goes with it."""

    bits: float
    noise: float


@dataclass(frozen=True, eq=False)
class Moments:
    """Second moments (B, B) of the bands in every level of a raster, finest first and LL with the last, and the counts."""

    pyramid: Pyramid
    sums: list[Matrix]
    spans: list[tuple[int, int]]

    @classmethod
    def of(cls, bands: Coefficients, pyramid: Pyramid) -> Moments:
        """From coefficients (B, N)."""
        spans = [(start, stop) for start, stop, _ in zone_columns(pyramid, pyramid.levels + 1)][::-1]
        parts = [bands[:, start:stop].astype(np.float64) for start, stop in spans]
        return cls(pyramid, [part @ part.T for part in parts], spans)

    def zone(self, start: int, stop: int, size: int) -> Matrix:
        """Sum over the levels within columns [start, stop)."""
        inside = [s for s, (a, b) in zip(self.sums, self.spans) if start <= a and b <= stop]
        return np.asarray(np.sum(inside, axis=0)[:size, :size])


def vectors_of(moment: Matrix) -> Matrix:
    """Eigenvectors as columns, largest eigenvalue first, each with its largest entry positive; of the encoder alone."""
    return in_order(np.linalg.eigh(moment)[1][:, ::-1], moment)


def in_order(basis: Matrix, moment: Matrix) -> Matrix:
    """Its columns as `vectors_of` has them: largest sum of squares first, each with its largest entry positive."""
    basis = basis[:, np.argsort(-((moment @ basis) * basis).sum(axis=0), kind="stable")]
    peaks = basis[np.abs(basis).argmax(axis=0), np.arange(len(basis))]
    return np.asarray(basis * np.where(peaks < 0, -1.0, 1.0))


def basis_at(noise: float, moments: Moments, blocks: Blocks) -> Matrix:
    """One basis (B, B) for all levels at a squared error of `noise` each, in no order."""
    every = moments.zone(0, moments.pyramid.height * moments.pyramid.width, moments.pyramid.all)
    return blocks.turned(vectors_of(every), np.array([noise]), np.ones(1), FIRST_ROUNDS)


@dataclass(eq=False)
class _Bases:
    """A raster's bases and what they are expected to take, each made once: the finest zones of several counts are the same."""

    moments: Moments
    blocks: Blocks
    noises: NDArray[np.float64]
    lengths: NDArray[np.float64]
    turned: dict[Place, Matrix] = field(default_factory=dict)
    zones: dict[tuple[Place, int], tuple[Zone, tuple[int, ...]]] = field(default_factory=dict)
    taken: dict[Zone, NDArray[np.float64]] = field(default_factory=dict)

    def spectrum(self, zones: int, bits: int) -> Spectrum:
        """The raster's own, with angles of `bits` bits."""
        found = [self._zone(place, bits) for place in zone_columns(self.moments.pyramid, zones)]
        return Spectrum(tuple(zone for zone, _ in found), tuple(angles for _, angles in found), bits)

    def cost(self, spectrum: Spectrum) -> float:
        """Expected bits over the length that is aimed at, angles counted, sum over the aims."""
        bits = np.full(len(self.noises), float(spectrum.bits * sum(map(len, spectrum.angles))))
        for zone in spectrum.zones:
            if zone not in self.taken:
                self.taken[zone] = self.blocks.within(zone.start, zone.stop).bits(zone.basis, self.noises)
            bits += self.taken[zone]
        return float((bits / self.lengths).sum())

    def turn_further(self, zones: int) -> None:
        """Before precisions are weighed."""
        for place in zone_columns(self.moments.pyramid, zones):
            self.turned[place] = self._turned(place, self._basis(place), MORE_ROUNDS)
        self.zones.clear()

    def _zone(self, place: Place, bits: int) -> tuple[Zone, tuple[int, ...]]:
        if (place, bits) not in self.zones:
            angles = tuple(angles_of(self._basis(place), bits))
            self.zones[place, bits] = Zone(*place, basis_of(angles, place[2], bits)), angles
        return self.zones[place, bits]

    def _basis(self, place: Place) -> Matrix:
        if place not in self.turned:
            self.turned[place] = self._turned(place, vectors_of(self.moments.zone(*place)), FIRST_ROUNDS)
        return self.turned[place]

    def _turned(self, place: Place, basis: Matrix, rounds: int) -> Matrix:
        worth = self.lengths[0] / self.lengths
        found = self.blocks.within(*place[:2]).turned(basis, self.noises, worth, rounds)
        return in_order(found, self.moments.zone(*place))


def choose_spectrum(moments: Moments, blocks: Blocks, aims: Sequence[Aim], usual: Sequence[Spectrum]) -> Spectrum:
    """Zones and precision that expect the fewest bits, bases counted, on the mean of several aims; usual: bases that go without
    saying. Of two bands and more.
    """
    bases = _Bases(moments, blocks, np.array([aim.noise for aim in aims]), np.array([aim.bits for aim in aims]))
    counts = range(least_zones(moments.pyramid), min(MOST_ZONES, moments.pyramid.levels + 1) + 1)
    zones = min(counts, key=lambda count: bases.cost(bases.spectrum(count, PROBED_BITS)))
    bases.turn_further(zones)
    return min([*(bases.spectrum(zones, bits) for bits in ANGLE_BITS), *usual], key=bases.cost)
