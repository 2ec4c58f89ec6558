"""Imaging: when the camera passes over the areas of interest in daylight, and how many tiles that gives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from swathpack.tools.plan.areas import EARTH_RADIUS_KM, KM_PER_DEG, Area, contains
from swathpack.tools.plan.inputs import Imager, Plan
from swathpack.tools.plan.orbit import ground_track
from swathpack.tools.plan.satellite import Satellite
from swathpack.tools.plan.sun import sun_elevation_deg

COARSE_STEP_S = 20.0
FINE_STEP_S = 1.0
REACH_KM = 160.0  # ground track of one coarse step, with room
CELLS_PER_SWATH = 6
SAMPLES_ACROSS = 12
PLACE_KM = 8.0  # smallest place for revisits: the track moves 7 km in a step

Array = NDArray[np.float64]
# Step of the path, number of the place, and its area (km2).
Seen = tuple[NDArray[np.int64], NDArray[np.int64], Array]


@dataclass(frozen=True)
class Capture:
    """One overpass of one area; `tiles` before the cloud screen, `cloud` the month's mean fraction."""

    satellite: str
    area: Area = field(repr=False)
    start_s: float
    end_s: float
    area_km2: float
    tiles: int
    cloud: float
    sun_elevation_deg: float


@dataclass(frozen=True)
class _Overpass:
    """Pieces of ground seen in one overpass: when, which (a lasting number), and how much (km2)."""

    satellite: Satellite
    area: Area
    moment: Array
    place: NDArray[np.int64]
    km2: Array

    def only(self, rows: NDArray[np.bool_]) -> _Overpass:
        return replace(self, moment=self.moment[rows], place=self.place[rows], km2=self.km2[rows])


def find_captures(plan: Plan) -> list[Capture]:
    """Every overpass in daylight that revisit rules and the duty cycle allow, in order of time."""
    times = np.arange(plan.start_s, plan.end_s, COARSE_STEP_S)
    found: list[_Overpass] = []
    for satellite in plan.satellites if plan.areas else ():
        track = _track(satellite, times)
        sunlit = _sunlit(plan.imager, times, track)
        for area in plan.areas:
            found += _overpasses(satellite, area, plan.imager, times, track, sunlit)
    found.sort(key=lambda overpass: float(overpass.moment.min()))
    last_seen: dict[tuple[str, int], float] = {}
    captures = []
    for overpass in found:
        due = _due(overpass, last_seen) if overpass.area.revisit_days else overpass
        if len(due.moment):
            captures.append(_capture(plan.imager, due))
    return _within_duty_cycle(plan, captures)


def _due(overpass: _Overpass, last_seen: dict[tuple[str, int], float]) -> _Overpass:
    """Only places not imaged within the revisit time; notes them as imaged now."""
    name, now = overpass.area.name, float(overpass.moment.min())
    places, which = np.unique(overpass.place, return_inverse=True)
    since = now - np.array([last_seen.get((name, int(place)), -np.inf) for place in places])
    due = since >= overpass.area.revisit_days * 86400
    last_seen.update({(name, int(place)): now for place in places[due]})
    return overpass.only(due[which])


def _capture(imager: Imager, seen: _Overpass) -> Capture:
    start, end = float(seen.moment.min()) - FINE_STEP_S / 2, float(seen.moment.max()) + FINE_STEP_S / 2
    covered = float(seen.km2.sum())
    middle = np.array([(start + end) / 2])
    latitude, longitude = ground_track(seen.satellite.positions_km(middle))
    month = int(np.datetime64(int(start), "s").astype("datetime64[M]").astype(int)) % 12
    return Capture(
        seen.satellite.name,
        seen.area,
        start,
        end,
        covered,
        max(1, round(covered / imager.tile_km2)),
        seen.area.cloud[month],
        float(sun_elevation_deg(middle, latitude, longitude)[0]),
    )


def _sunlit(imager: Imager, times: Array, track: Array) -> NDArray[np.bool_]:
    """Whether the sun stands high enough at the sub-satellite points."""
    latitude, longitude = _degrees(track)
    return sun_elevation_deg(times, latitude, longitude) >= imager.min_sun_elevation_deg


def _overpasses(
    satellite: Satellite, area: Area, imager: Imager, times: Array, track: Array, sunlit: NDArray[np.bool_]
) -> list[_Overpass]:
    """What is seen of the area in daylight, one entry per stretch of track near it."""
    cells = unit_vectors(area.cells[:, 1], area.cells[:, 0])
    middle = cells.mean(axis=0)
    middle /= np.linalg.norm(middle)
    radius_km = EARTH_RADIUS_KM * float(np.arccos(np.clip(cells @ middle, -1, 1)).max())
    reach = min((radius_km + imager.swath_km / 2 + REACH_KM) / EARTH_RADIUS_KM, np.pi)
    near = sunlit & (track @ middle > np.cos(reach))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], near, [False]])))
    # Cells serve while they are small against the swath; larger areas are sampled from the swath itself.
    by_cell = area.cell_km2**0.5 <= imager.swath_km / CELLS_PER_SWATH
    found = []
    for first, last in zip(edges[::2], edges[1::2]):
        fine = np.arange(times[first] - COARSE_STEP_S, times[last - 1] + COARSE_STEP_S, FINE_STEP_S)
        fine = fine[(fine >= times[0]) & (fine <= times[-1] + COARSE_STEP_S)]
        if len(fine) < 3:
            continue
        path = _track(satellite, fine)
        seen = _seen_cells(area, cells, path, imager) if by_cell else _seen_samples(area, path, imager)
        at, place, km2 = seen
        bright = _sunlit(imager, fine, path)[at]
        if bright.any():
            found.append(_Overpass(satellite, area, fine[at], place, km2).only(bright))
    return found


def _seen_cells(area: Area, cells: Array, path: Array, imager: Imager) -> Seen:
    """Cells whose closest approach lies inside the path and within half a swath of it."""
    nearest = (cells @ path.T).argmax(axis=1)
    index = np.flatnonzero((nearest > 0) & (nearest < len(path) - 1))
    at = nearest[index]
    # Distance from the great circle of the track, not from its nearest sample.
    cross = np.arcsin(np.clip((_across(path)[at] * cells[index]).sum(axis=1), -1, 1))
    hit = np.abs(cross) * EARTH_RADIUS_KM <= imager.swath_km / 2
    return at[hit], index[hit], np.full(int(hit.sum()), area.cell_km2)


def _seen_samples(area: Area, path: Array, imager: Imager) -> Seen:
    """Points across the swath at every step of the path that lie inside the area."""
    offsets = ((np.arange(SAMPLES_ACROSS) + 0.5) / SAMPLES_ACROSS - 0.5) * imager.swath_km / EARTH_RADIUS_KM
    points = path[:, None] * np.cos(offsets)[:, None] + _across(path)[:, None] * np.sin(offsets)[:, None]
    latitude, longitude = _degrees(points.reshape(-1, 3))
    inside = contains(area.rings, np.column_stack([longitude, latitude]))
    at = np.repeat(np.arange(len(path)), SAMPLES_ACROSS)
    step_km = EARTH_RADIUS_KM * np.linalg.norm(np.gradient(path, axis=0), axis=1)
    km2 = step_km[at] * imager.swath_km / SAMPLES_ACROSS
    grid = max(imager.swath_km / CELLS_PER_SWATH, PLACE_KM) / KM_PER_DEG
    row = np.floor((latitude + 90) / grid)
    column = np.floor((longitude + 180) * np.cos(np.radians(row * grid - 90)) / grid)
    return at[inside], (row * 100_000 + column).astype(np.int64)[inside], km2[inside]


def _across(path: Array) -> Array:
    """(n, 3) unit vectors to the side of the track."""
    side = np.cross(path, np.gradient(path, axis=0))
    out: Array = side / np.linalg.norm(side, axis=1, keepdims=True)
    return out


def _degrees(vectors: Array) -> tuple[Array, Array]:
    """Latitude and longitude of unit vectors."""
    return np.degrees(np.arcsin(np.clip(vectors[:, 2], -1, 1))), np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0]))


def _track(satellite: Satellite, times: Array) -> Array:
    latitude, longitude = ground_track(satellite.positions_km(times))
    return unit_vectors(latitude, longitude)


def unit_vectors(latitude_deg: Array, longitude_deg: Array) -> Array:
    """(n, 3) unit vectors on the sphere."""
    latitude, longitude = np.radians(latitude_deg), np.radians(longitude_deg)
    return np.column_stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    )


def _within_duty_cycle(plan: Plan, captures: list[Capture]) -> list[Capture]:
    """Give each orbit's camera time by priority; the last capture that fits is cut short."""
    period = {satellite.name: satellite.period_s() for satellite in plan.satellites}
    left: dict[tuple[str, int], float] = {}
    kept = []
    for capture in sorted(captures, key=lambda c: (-c.area.priority, c.start_s)):
        orbit = (capture.satellite, int((capture.start_s - plan.start_s) // period[capture.satellite]))
        allowed = left.setdefault(orbit, period[capture.satellite] * plan.imager.duty_cycle_percent / 100)
        used = min(capture.end_s - capture.start_s, allowed)
        left[orbit] = allowed - used
        share = used / (capture.end_s - capture.start_s)
        if round(capture.tiles * share) >= 1:
            kept.append(
                replace(
                    capture,
                    end_s=capture.start_s + used,
                    area_km2=capture.area_km2 * share,
                    tiles=round(capture.tiles * share),
                )
            )
    return sorted(kept, key=lambda c: (c.start_s, c.satellite, c.area.name))
