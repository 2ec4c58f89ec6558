"""Spectral bases: Karhunen-Loeve transforms over the bands, one per zone of levels, as angles in few bits.

A basis is a product of plane rotations (Givens), so that however coarse its angles are it stays orthonormal and an
error in a component is the same error in the bands. Zones: the finest levels have bases of their own where that saves
more bits than the angles take, because bands of different resolution go together differently at each scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import native
from swathpack.edge.codec.transform_coder.exact import eigenvectors, turn_of, turns
from swathpack.edge.codec.transform_coder.header import BitReader, BitWriter
from swathpack.edge.codec.transform_coder.layout import Pyramid

Matrix = NDArray[np.float64]
Coefficients = NDArray[np.float32]

ANGLE_BITS = (5, 7, 9, 11)
MOST_ZONES = 4


def angles_of(basis: Matrix, bits: int) -> list[int]:
    """Rotations of an orthonormal basis (C, C), columns its vectors, each in [-2^(bits-1), 2^(bits-1)).

    Column by column: its entries below the diagonal are turned away, with the angles as they will be known.
    """
    if native.available():
        return [int(angle) for angle in native.spectral_angles(basis, turns(bits))]
    rest, angles = basis.tolist(), []
    size = len(basis)
    for j in range(size - 1):
        if rest[j][j] < 0:  # a vector's sign is free: every angle is within a quarter turn
            for row in rest:
                row[j] = -row[j]
        for i in range(j + 1, size):
            angle = _nearest_angle(rest[j][j], rest[i][j], bits)
            angles.append(angle)
            _turn(rest, j, i, -angle, bits)
    return angles


def _nearest_angle(x: float, y: float, bits: int) -> int:
    """Of the point (x, y), x not below 0; half way between two as spectral.c has it, so no machine's arc tangent decides."""
    low, high = -(1 << bits - 1), 1 << bits - 1
    if x == 0 and y == 0:
        return 0

    def beyond(angle: int) -> float:
        c, s = turn_of(angle, bits)
        return y * c - x * s

    last = high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if beyond(middle) >= 0 else (low, middle)
    return high if high < last and -beyond(high) < beyond(low) else low


def basis_of(angles: Sequence[int], size: int, bits: int) -> Matrix:
    """The basis (size, size) of its angles, not to be written to."""
    return _basis_of(tuple(angles), size, bits)


@lru_cache(maxsize=256)  # the head of one tile is read several times
def _basis_of(angles: tuple[int, ...], size: int, bits: int) -> Matrix:
    if native.available():
        found = native.spectral_basis(angles, size, turns(bits))
    else:
        rows = np.eye(size).tolist()
        pairs = [(j, i) for j in range(size - 1) for i in range(j + 1, size)]
        for (j, i), angle in zip(reversed(pairs), reversed(angles)):
            _turn(rows, j, i, angle, bits)
        found = np.array(rows)
    found.flags.writeable = False
    return found


def _turn(rows: list[list[float]], j: int, i: int, angle: int, bits: int) -> None:
    """Rotates rows j and i in place."""
    c, s = turn_of(angle, bits)
    a, b = rows[j], rows[i]
    rows[j] = [c * x - s * y for x, y in zip(a, b)]
    rows[i] = [s * x + c * y for x, y in zip(a, b)]


@dataclass(frozen=True, eq=False)
class Zone:
    """Columns [start, stop) of a raster's coefficients, the bands (rows) that have them, and their basis."""

    start: int
    stop: int
    size: int
    basis: Matrix


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The zones of one raster, coarsest first; `bits` an angle, 0 for the default basis. of_date: for that of an earlier date,
    whose zones are empty until the date is at hand.
    """

    zones: tuple[Zone, ...]
    angles: tuple[tuple[int, ...], ...]
    bits: int
    of_date: bool = False

    def forward(self, bands: Coefficients) -> Coefficients:
        """(B, N) coefficients of the bands -> of the components, strongest first."""
        out = np.zeros_like(bands)
        for z in self.zones:
            here = np.s_[: z.size, z.start : z.stop]
            out[here] = z.basis.T.astype(np.float32) @ bands[here]
        return out

    def inverse(self, components: Coefficients) -> Coefficients:
        """The way back, the same bits on every machine."""
        return _turned(components, [(z, z.basis) for z in self.zones])

    def projected(self, bands: Coefficients) -> Coefficients:
        """As `forward`, the same bits on every machine."""
        return _turned(bands, [(z, z.basis.T) for z in self.zones])


def _turned(rows: Coefficients, zones: Sequence[tuple[Zone, Matrix]]) -> Coefficients:
    """Matrices times the rows of their zones."""
    out = np.zeros_like(rows)
    for zone, matrix in zones:
        here, basis = np.s_[: zone.size, zone.start : zone.stop], matrix.astype(np.float32)
        if native.available():
            native.spectral_inverse(basis, rows, out, zone.start, zone.stop)
        else:
            out[here] = turned_back(basis, rows[here])
    return out


def turned_back(basis: NDArray[np.float32], components: Coefficients) -> Coefficients:
    """basis (S, S) times components (S, N) as spectral.c has it: products and sums rounded one by one, in rising order."""
    out = np.zeros_like(components)
    for factors, component in zip(basis.T, components):
        out += factors[:, None] * component
    return out


def zone_columns(pyramid: Pyramid, zones: int) -> list[tuple[int, int, int]]:
    """(start, stop, bands) of `zones` zones, coarsest first: the finest levels one each, the others together."""
    firsts = {level: at for kind, level, _, _, at in pyramid.columns() if kind == 1}
    stop, found = pyramid.height * pyramid.width, []
    for level in range(1, min(zones, pyramid.levels + 1)):
        found.append((firsts[level], stop, pyramid.components(level)))
        stop = firsts[level]
    return [(0, stop, pyramid.all), *found[::-1]]


def least_zones(pyramid: Pyramid) -> int:
    """The finest level needs a zone of its own where it has fewer bands."""
    return 2 if pyramid.fine < pyramid.all and pyramid.levels else 1


def lone_spectrum(pyramid: Pyramid) -> Spectrum:
    """The bases of a single band, whatever its coefficients are."""
    zones = [Zone(*place, np.eye(1)) for place in zone_columns(pyramid, least_zones(pyramid))]
    return Spectrum(tuple(zones), ((),) * len(zones), ANGLE_BITS[0])


def default_spectrum(pyramid: Pyramid, covariance: Matrix, of_date: bool = False) -> Spectrum:
    """The bases that go without saying: eigenvectors of a covariance (B, B) of the bands, or of those of an earlier date."""
    columns = zone_columns(pyramid, least_zones(pyramid))
    zones = [Zone(*place, _vectors_of(covariance[: place[2], : place[2]].tobytes(), place[2])) for place in columns]
    return Spectrum(tuple(zones), (), 0, of_date)


@lru_cache(maxsize=64)
def _vectors_of(covariance: bytes, size: int) -> Matrix:
    return eigenvectors(np.frombuffer(covariance, np.float64).reshape(size, size))


def write_spectrum(spectrum: Spectrum, size: int, out: BitWriter, choice: bool = False) -> None:
    """Of `size` bands: whether it is a default, and which where there is a choice; else the number of zones, the precision and all
    angles.
    """
    if size == 1:
        return
    out.put(spectrum.bits > 0, 1)
    if not spectrum.bits:
        if choice:
            out.put(spectrum.of_date, 1)
        return
    out.put(len(spectrum.zones) - 1, 2)
    out.put(ANGLE_BITS.index(spectrum.bits), 2)
    for angle in (a for zone in spectrum.angles for a in zone):
        out.put(angle + (1 << (spectrum.bits - 1)), spectrum.bits)


def read_spectrum(pyramid: Pyramid, default: Matrix | None, bits: BitReader, dated: bool = False) -> Spectrum:
    """As write_spectrum, dated: beside an earlier date. Raises ValueError for what no encoder writes."""
    if pyramid.all == 1:
        return Spectrum(tuple(Zone(*c, np.eye(c[2])) for c in zone_columns(pyramid, least_zones(pyramid))), (), 0)
    if not bits.get(1):
        if dated and (default is None or bits.get(1)):
            return Spectrum((), (), 0, True)
        if default is None:
            raise ValueError("the default basis of unknown bands")
        return default_spectrum(pyramid, default)
    wanted = bits.get(2) + 1
    precision = ANGLE_BITS[bits.get(2)]
    columns = zone_columns(pyramid, wanted)
    if len(columns) != wanted or wanted < least_zones(pyramid):
        raise ValueError(f"{wanted} zones of a raster of {pyramid.levels} levels")
    zones, read, offset = [], [], 1 << (precision - 1)
    for start, stop, size in columns:
        read.append(tuple(bits.get(precision) - offset for _ in range(size * (size - 1) // 2)))
        zones.append(Zone(start, stop, size, basis_of(read[-1], size, precision)))
    return Spectrum(tuple(zones), tuple(read), precision)
