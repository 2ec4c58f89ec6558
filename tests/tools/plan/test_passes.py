"""Pass times and elevations against an independent brute-force search."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sgp4.api import Satrec

from swathpack.edge.downlink.budget import parse_time
from swathpack.tools.plan.inputs import read_plan
from swathpack.tools.plan.passes import find_contacts, find_sightings
from swathpack.tools.plan.satellite import Satellite, epoch_s, timescale
from swathpack.tools.plan.stations import Station

ISS = (
    "1 25544U 98067A   19343.69339541  .00001764  00000-0  38792-4 0  9991",
    "2 25544  51.6439 211.2001 0007417  17.6667  85.6398 15.50103472202482",
)


def station(latitude: float, longitude: float, lowest: float = 5.0, **other) -> Station:
    values = {
        "height_m": 200.0,
        "horizon_mask": (),
        "hours_utc": (),
        "cost_per_minute": 0.0,
        "cost_per_pass": 0.0,
        "antennas": 1,
        "setup_s": 60.0,
        "g_over_t_dbk": 20.0,
        "climate": "temperate",
        "miss_probability": 0.0,
    }
    return Station(f"{latitude},{longitude}", latitude, longitude, min_elevation_deg=lowest, **{**values, **other})


class BruteForce:
    """Written apart from the planner: geodetic position, sidereal time and search are this test's own."""

    def __init__(self, record: Satrec, place: Station, reference_s: float) -> None:
        self.record, self.place = record, place
        # The one input taken over: UT1 - UTC, an observed value.
        tt = 2440587.5 + (reference_s + 69.184) / 86400
        self.dut1 = 69.184 - float(timescale().tt_jd(tt).delta_t)
        phi, lam = math.radians(place.latitude_deg), math.radians(place.longitude_deg)
        a, b = 6378.137, 6356.752314245
        n = a * a / math.hypot(a * math.cos(phi), b * math.sin(phi))
        h = place.height_m / 1000
        self.site = np.array(
            [
                (n + h) * math.cos(phi) * math.cos(lam),
                (n + h) * math.cos(phi) * math.sin(lam),
                (n * b * b / a / a + h) * math.sin(phi),
            ]
        )
        self.up = np.array([math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)])

    def elevation(self, time_s: float | np.ndarray) -> np.ndarray:
        time_s = np.atleast_1d(np.asarray(time_s, float))
        jd = np.full(len(time_s), 2440587.5)
        error, teme, _ = self.record.sgp4_array(jd, time_s / 86400)
        assert not error.any()
        # GMST 1982 in degrees (Vallado, Fundamentals of Astrodynamics, eq. 3-47).
        d = (time_s + self.dut1 - 946728000.0) / 86400
        t = d / 36525
        theta = np.radians((280.46061837 + 360.98564736629 * d + 0.000387933 * t * t) % 360)
        x = np.cos(theta) * teme[:, 0] + np.sin(theta) * teme[:, 1]
        y = -np.sin(theta) * teme[:, 0] + np.cos(theta) * teme[:, 1]
        line = np.column_stack([x, y, teme[:, 2]]) - self.site
        return np.degrees(np.pi / 2 - np.arccos(line @ self.up / np.linalg.norm(line, axis=1)))

    def passes(self, start: float, end: float, lowest: float) -> list[tuple[float, float, float]]:
        """(rise, set, maximum elevation): scan at 2 s, then bisection and ternary search."""
        grid = np.arange(start, end, 2.0)
        up = self.elevation(grid) >= lowest
        edges = np.flatnonzero(np.diff(up.astype(int)))
        found, rise = [], None
        for at in edges:
            crossing = self._cross(grid[at], grid[at + 1], lowest)
            if up[at + 1]:
                rise = crossing
            elif rise is not None:
                found.append((rise, crossing, self._top(rise, crossing)))
        return found

    def _cross(self, a: float, b: float, lowest: float) -> float:
        above = bool(self.elevation(a)[0] >= lowest)
        for _ in range(30):
            middle = (a + b) / 2
            if bool(self.elevation(middle)[0] >= lowest) == above:
                a = middle
            else:
                b = middle
        return (a + b) / 2

    def _top(self, a: float, b: float) -> float:
        for _ in range(60):
            one, two = a + (b - a) / 3, b - (b - a) / 3
            if self.elevation(one)[0] < self.elevation(two)[0]:
                a = one
            else:
                b = two
        return float(self.elevation((a + b) / 2)[0])


def compare(satellite: Satellite, place: Station, start: float, days: float) -> tuple[int, float, float, int]:
    """Passes compared, worst time difference (s), worst elevation difference (deg), grazing passes."""
    end = start + days * 86400
    truth = BruteForce(satellite.record, place, start).passes(start, end, place.min_elevation_deg)
    found = [s for s in find_sightings(satellite, place, start, end) if s.rise_s > start and s.set_s < end]
    assert len(found) == len(truth)
    times = [max(abs(s.rise_s - rise), abs(s.set_s - fall)) for s, (rise, fall, _) in zip(found, truth)]
    tops = [abs(s.max_elevation_deg - top) for s, (_, _, top) in zip(found, truth)]
    grazing = sum(top - place.min_elevation_deg < 1.0 for _, _, top in truth)
    return len(truth), max(times), max(tops), grazing


def test_100_passes_against_brute_force() -> None:
    iss = Satrec.twoline2rv(*ISS)
    cases = [
        (Satellite("iss", iss, "tle"), place, epoch_s(iss), 5.0)
        for place in (station(48.1, 11.6), station(51.3, -0.5, 10.0), station(1.35, 103.8, 0.0))
    ]
    polar = read_plan("s-band-cubesat").satellites[0]
    start = parse_time("2026-12-01T00:00:00Z")
    cases += [(polar, place, start, 2.5) for place in (station(78.2, 15.4), station(-33.9, 18.6, 5.0))]
    rows = [compare(*case) for case in cases]
    total, worst_s, worst_deg = sum(r[0] for r in rows), max(r[1] for r in rows), max(r[2] for r in rows)
    grazing = sum(r[3] for r in rows)
    print(f"{total} passes, {grazing} grazing: worst {worst_s:.3f} s, {worst_deg:.4f} deg")
    assert total >= 100
    assert grazing >= 5
    assert worst_s < 1.0
    assert worst_deg < 0.1


def test_a_pass_that_barely_clears_the_mask() -> None:
    """Raise the mask to just below a known maximum: the pass stays, short; just above: it is gone."""
    satellite = read_plan("s-band-cubesat").satellites[0]
    start = parse_time("2026-12-01T00:00:00Z")
    top = find_sightings(satellite, station(48.1, 11.6), start, start + 86400)[0]
    window = (top.rise_s - 60, top.set_s + 60)
    grazed = find_sightings(satellite, station(48.1, 11.6, top.max_elevation_deg - 0.01), *window)
    assert len(grazed) == 1 and grazed[0].set_s - grazed[0].rise_s < 60
    truth = BruteForce(satellite.record, station(48.1, 11.6), start).passes(*window, top.max_elevation_deg - 0.01)
    assert grazed[0].rise_s == pytest.approx(truth[0][0], abs=1.0)
    assert find_sightings(satellite, station(48.1, 11.6, top.max_elevation_deg + 0.01), *window) == []


def test_a_pass_under_way_at_the_edges_is_clipped() -> None:
    satellite = read_plan("s-band-cubesat").satellites[0]
    place, start = station(69.7, 18.9), parse_time("2026-12-01T00:00:00Z")
    whole = find_sightings(satellite, place, start, start + 86400)[1]
    middle = (whole.rise_s + whole.set_s) / 2
    late = find_sightings(satellite, place, middle, whole.set_s + 600)[0]
    early = find_sightings(satellite, place, whole.rise_s - 600, middle)[-1]
    assert late.rise_s == middle and late.set_s == pytest.approx(whole.set_s, abs=0.5)
    assert early.set_s == middle and early.rise_s == pytest.approx(whole.rise_s, abs=0.5)


def test_horizon_mask_and_hours_cut_contacts() -> None:
    plan = read_plan("s-band-cubesat")
    satellite, start = plan.satellites[0], plan.start_s
    free = find_contacts(satellite, station(48.1, 11.6), plan.radio, start, start + 3 * 86400)
    walled = station(48.1, 11.6, horizon_mask=((0.0, 5.0), (89.0, 5.0), (90.0, 40.0), (270.0, 40.0), (271.0, 5.0)))
    cut = find_contacts(satellite, walled, plan.radio, start, start + 3 * 86400)
    assert 0 < sum(c.bytes for c in cut) < sum(c.bytes for c in free)
    for contact in cut:
        assert (contact.elevation_deg >= walled.floor_deg(contact.azimuth_deg)).all()
    night = find_contacts(
        satellite, station(48.1, 11.6, hours_utc=((18.0, 6.0),)), plan.radio, start, start + 3 * 86400
    )
    hours = np.concatenate([c.time_s for c in night]) % 86400 / 3600
    assert len(hours) and ((hours >= 18) | (hours < 6)).all()


def test_parts_keep_the_bytes() -> None:
    plan = read_plan("x-band-smallsat")
    contact = max(
        find_contacts(plan.satellites[0], plan.stations[0], plan.radio, plan.start_s, plan.start_s + 86400),
        key=lambda c: c.bytes,
    )
    middle = contact.start_s + 123.4
    halves = contact.part(contact.start_s, middle), contact.part(middle, contact.end_s)
    assert sum(half.bytes for half in halves) == pytest.approx(contact.bytes, abs=2)
    assert halves[0].end_s == halves[1].start_s == middle
