"""Imaging: when the camera passes over the areas of interest in daylight, and how many tiles that gives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tools.plan.areas import EARTH_RADIUS_KM, Area
from tools.plan.inputs import Imager, Plan
from tools.plan.orbit import Satellite, ground_track
from tools.plan.sun import sun_elevation_deg

COARSE_STEP_S = 20.0
FINE_STEP_S = 1.0
REACH_KM = 160.0  # ground track of one coarse step, with room

Array = NDArray[np.float64]


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


def find_captures(plan: Plan) -> list[Capture]:
    """Every overpass in daylight that revisit rules and the duty cycle allow, in order of time."""
    times = np.arange(plan.start_s, plan.end_s, COARSE_STEP_S)
    passes = []
    for satellite in plan.satellites if plan.areas else ():
        track = _track(satellite, times)
        passes += [
            (start, satellite, area, moment, cells)
            for area in plan.areas
            for start, moment, cells in _overpasses(satellite, area, plan.imager, times, track)
        ]
    passes.sort(key=lambda row: row[0])
    last_seen = {area.name: np.full(len(area.cells), -np.inf) for area in plan.areas}
    captures = []
    for _, satellite, area, moment, cells in passes:
        seen = last_seen[area.name]
        due = moment - seen[cells] >= area.revisit_days * 86400
        if due.any():
            seen[cells[due]] = moment[due]
            captures.append(_capture(plan.imager, satellite, area, moment[due]))
    return _within_duty_cycle(plan, captures)


def _capture(imager: Imager, satellite: Satellite, area: Area, moment: Array) -> Capture:
    start, end = float(moment.min()) - FINE_STEP_S / 2, float(moment.max()) + FINE_STEP_S / 2
    covered = len(moment) * area.cell_km2
    middle = np.array([(start + end) / 2])
    longitude, latitude = area.centre
    month = int(np.datetime64(int(start), "s").astype("datetime64[M]").astype(int)) % 12
    return Capture(
        satellite.name,
        area,
        start,
        end,
        covered,
        max(1, round(covered / imager.tile_km2)),
        area.cloud[month],
        float(sun_elevation_deg(middle, latitude, longitude)[0]),
    )


def _overpasses(
    satellite: Satellite, area: Area, imager: Imager, times: Array, track: Array
) -> list[tuple[float, Array, NDArray[np.int64]]]:
    """(start, time per imaged cell, cell index) of every overpass whose middle has enough sun."""
    cells = unit_vectors(area.cells[:, 1], area.cells[:, 0])
    middle = cells.mean(axis=0)
    middle /= np.linalg.norm(middle)
    radius_km = EARTH_RADIUS_KM * float(np.arccos(np.clip(cells @ middle, -1, 1)).max())
    reach = min((radius_km + imager.swath_km / 2 + REACH_KM) / EARTH_RADIUS_KM, np.pi)
    near = track @ middle > np.cos(reach)
    longitude, latitude = area.centre
    near[near] = sun_elevation_deg(times[near], latitude, longitude) >= imager.min_sun_elevation_deg
    edges = np.flatnonzero(np.diff(np.concatenate([[False], near, [False]])))
    found = []
    for first, last in zip(edges[::2], edges[1::2]):
        fine = np.arange(times[first] - COARSE_STEP_S, times[last - 1] + COARSE_STEP_S, FINE_STEP_S)
        fine = fine[(fine >= times[0]) & (fine <= times[-1] + COARSE_STEP_S)]
        moment, index = _swept(fine, _track(satellite, fine), cells, imager.swath_km / 2)
        if len(index):
            found.append((float(moment.min()), moment, index))
    return found


def _swept(times: Array, track: Array, cells: Array, half_km: float) -> tuple[Array, NDArray[np.int64]]:
    """(time, index) of the cells in the swath: closest approach inside the span and near enough."""
    if len(times) < 3:
        return np.zeros(0), np.zeros(0, np.int64)
    nearest = (cells @ track.T).argmax(axis=1)
    inner = (nearest > 0) & (nearest < len(times) - 1)
    index = np.flatnonzero(inner)
    at = nearest[index]
    along = track[at + 1] - track[at - 1]
    across = np.cross(track[at], along)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    # Distance from the great circle of the track, not from its nearest sample.
    cross_km = EARTH_RADIUS_KM * np.abs(np.arcsin(np.clip((across * cells[index]).sum(axis=1), -1, 1)))
    hit = cross_km <= half_km
    return times[at[hit]], index[hit]


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
