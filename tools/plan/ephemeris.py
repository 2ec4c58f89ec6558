"""A satellite given by its ephemeris: states interpolated as the message says, turned to the Earth, searched for passes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.downlink.budget import format_time
from swathpack.tools.plan.oem import FIXED, Segment, read_oem
from swathpack.tools.plan.satellite import MU_KM3_S2, Satellite, sidereal_angle, terrestrial_jd, timescale
from swathpack.tools.plan.stations import Station

EARTH_RATE_RAD_S = 7.292115e-5
SCAN_S = 20.0  # of the search for passes: shorter than half of any rise from horizon to horizon
CROSSING_S = 1e-4
GOLDEN = (math.sqrt(5) - 1) / 2
BLOCK = 20_000  # times interpolated at once

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TabulatedSatellite(Satellite):
    """See the module. `record` is None: there are no elements."""

    segments: tuple[Segment, ...] = ()

    def period_s(self) -> float:
        """Of the osculating orbit at the first usable state."""
        axis, _ = self._osculating()
        return 2 * math.pi * math.sqrt(axis**3 / MU_KM3_S2)

    def eccentricity(self) -> float:
        """Of the same orbit."""
        return self._osculating()[1]

    def origin(self) -> str:
        """Source, frame and span in words."""
        first, last = self.segments[0], self.segments[-1]
        return f"{self.source}, {first.frame}, {format_time(first.usable_s[0])} to {format_time(last.usable_s[1])}"

    def _osculating(self) -> tuple[float, float]:
        """Semi-major axis (km) and eccentricity."""
        segment = self.segments[0]
        place, speed = segment.state[0, :3], segment.state[0, 3:]
        if FIXED.fullmatch(segment.frame):
            speed = speed + np.cross([0.0, 0.0, EARTH_RATE_RAD_S], place)
        distance = float(np.linalg.norm(place))
        axis = 1 / (2 / distance - float(speed @ speed) / MU_KM3_S2)
        vector = np.cross(speed, np.cross(place, speed)) / MU_KM3_S2 - place / distance
        return axis, float(np.linalg.norm(vector))

    def positions_km(self, time_s: Array) -> Array:
        """(n, 3) Earth-fixed positions at (n,) seconds since 1970 UTC. Raises ArithmeticError outside the ephemeris."""
        time_s = np.asarray(time_s, float)
        found = np.full((len(time_s), 3), np.nan)
        for segment in self.segments:
            low, high = segment.usable_s
            rows = np.flatnonzero((time_s >= low - 1e-3) & (time_s <= high + 1e-3))
            for block in np.array_split(rows, max(1, len(rows) // BLOCK)):
                if len(block):
                    found[block] = to_earth_fixed(segment.frame, interpolate(segment, time_s[block]), time_s[block])
        if np.isnan(found).any():
            at = float(time_s[int(np.flatnonzero(np.isnan(found).any(axis=1))[0])])
            raise ArithmeticError(f"{self.name}: {self.origin()} does not hold {format_time(at)}")
        return found

    def events(self, station: Station, lowest_deg: float, start_s: float, end_s: float) -> tuple[Array, list[int]]:
        """Rises (0), tops (1) and sets (2) in order, as Skyfield's `find_events` gives them."""
        grid = np.linspace(start_s, end_s, max(3, math.ceil((end_s - start_s) / SCAN_S) + 1))

        def height(times: Array) -> Array:
            return station.look(self.positions_km(times))[0] - lowest_deg

        heights = height(grid)
        inner = np.flatnonzero((heights[1:-1] > heights[:-2]) & (heights[1:-1] >= heights[2:])) + 1
        tops = _maximum(height, grid[inner - 1], grid[inner + 1]) if len(inner) else np.zeros(0)
        points = np.unique(np.concatenate([grid, tops]))
        up = height(points) >= 0
        edges = np.flatnonzero(up[1:] != up[:-1])
        crossings = _crossing(height, points[edges], points[edges + 1], up[edges]) if len(edges) else np.zeros(0)
        rows = [(float(t), 2 if was_up else 0) for t, was_up in zip(crossings, up[edges])]
        rows += [(float(t), 1) for t in tops if up[np.searchsorted(points, t)]]
        rows.sort()
        return np.array([time for time, _ in rows]), [kind for _, kind in rows]


def _maximum(height, low: Array, high: Array) -> Array:  # type: ignore[no-untyped-def]
    """Where each interval's one maximum lies (golden section)."""
    for _ in range(math.ceil(math.log(CROSSING_S * 100 / SCAN_S) / math.log(GOLDEN))):
        one, two = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        left = height(one) > height(two)
        low, high = np.where(left, low, one), np.where(left, two, high)
    return (low + high) / 2


def _crossing(height, low: Array, high: Array, was_up: NDArray[np.bool_]) -> Array:  # type: ignore[no-untyped-def]
    """Where each interval's one crossing lies (bisection)."""
    while float((high - low).max()) > CROSSING_S:
        middle = (low + high) / 2
        same = (height(middle) >= 0) == was_up
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return (low + high) / 2


def interpolate(segment: Segment, time_s: Array) -> Array:
    """(n, 3) positions (km) in the segment's frame, by the polynomial through the states nearest to each time.

    Lagrange's of degree d goes through d + 1 positions, Hermite's through (d + 1) / 2 positions and velocities.
    """
    count = (segment.degree + 1) // 2 if segment.method == "HERMITE" else segment.degree + 1
    count = min(max(count, 2), len(segment.time_s))
    first = np.searchsorted(segment.time_s, time_s) - (count + 1) // 2
    window = np.clip(first, 0, len(segment.time_s) - count)[:, None] + np.arange(count)
    at = segment.time_s[window]
    origin = at[:, :1]
    span = at[:, -1:] - origin
    nodes, where = (at - origin) / span, (time_s[:, None] - origin) / span
    basis = np.ones_like(nodes)
    slope = np.zeros_like(nodes)  # of each node's polynomial at that node
    for j in range(count):
        for k in range(count):
            if k != j:
                apart = nodes[:, j] - nodes[:, k]
                basis[:, j] *= (where[:, 0] - nodes[:, k]) / apart
                slope[:, j] += 1 / apart
    place = segment.state[window, :3]
    if segment.method != "HERMITE":
        only: Array = np.einsum("nj,njc->nc", basis, place)
        return only
    speed = segment.state[window, 3:] * span[:, :, None]
    away = where - nodes
    square = basis**2
    own = np.einsum("nj,njc->nc", (1 - 2 * away * slope) * square, place)
    out: Array = own + np.einsum("nj,njc->nc", away * square, speed)
    return out


def to_earth_fixed(frame: str, place: Array, time_s: Array) -> Array:
    """(n, 3) positions in an OEM's frame to Earth-fixed ones."""
    if FIXED.fullmatch(frame):
        return place
    if frame == "TEME":
        angle = sidereal_angle(time_s)
        cos, sin = np.cos(angle), np.sin(angle)
        return np.column_stack(
            [cos * place[:, 0] + sin * place[:, 1], cos * place[:, 1] - sin * place[:, 0], place[:, 2]]
        )
    from skyfield.framelib import ICRS_to_J2000, itrs

    if frame in ("EME2000", "J2000"):
        place = place @ ICRS_to_J2000  # the transposed rotation of each row
    turns = itrs.rotation_at(timescale().tt_jd(terrestrial_jd(time_s)))
    out: Array = np.einsum("ijn,nj->ni", turns, place)
    return out


def satellite_from_oem(data: bytes, name: str) -> TabulatedSatellite:
    """The satellite of this name, without regard to case, or the only one. Raises ValueError."""
    segments = read_oem(data)
    objects = sorted({(one.name, one.identity) for one in segments})
    named = [one for one in objects if one[0].casefold() == name.casefold()] or objects
    if len(named) != 1:
        listed = ", ".join(f"{label} ({identity})" for label, identity in named)
        raise ValueError(f"expected one satellite, or one of the name {name!r}, found {len(named)}: {listed}")
    mine = sorted((one for one in segments if (one.name, one.identity) == named[0]), key=lambda one: one.usable_s)
    return TabulatedSatellite(name, None, "oem", "", tuple(mine))
