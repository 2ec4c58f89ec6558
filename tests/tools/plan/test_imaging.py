"""The sun, the swath and the duty cycle against what can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swathpack.edge.downlink.budget import parse_time
from swathpack.tools.plan.areas import box_ring, make_area
from swathpack.tools.plan.imaging import find_captures
from swathpack.tools.plan.inputs import read_plan
from swathpack.tools.plan.orbit import ground_track
from swathpack.tools.plan.sun import sun_elevation_deg, sun_position


def test_sun_at_equinox_and_solstice() -> None:
    """2026: equinox March 20, 14:46 UTC; solstice June 21, 08:25 UTC (astronomical almanacs)."""
    equinox, solstice = (np.array([parse_time(t)]) for t in ("2026-03-20T14:46:00Z", "2026-06-21T08:25:00Z"))
    assert sun_position(equinox)[1][0] == pytest.approx(0.0, abs=0.01)
    assert sun_position(solstice)[1][0] == pytest.approx(23.436, abs=0.01)
    # Noon on the equator at the equinox: the equation of time is -7.5 minutes, so 12:07.5 UTC at Greenwich.
    noon = np.array([parse_time("2026-03-20T12:07:30Z")])
    assert sun_elevation_deg(noon, 0.0, 0.0)[0] == pytest.approx(90.0, abs=0.3)
    assert sun_elevation_deg(noon, 0.0, 180.0)[0] == pytest.approx(-90.0, abs=0.3)


def test_sun_synchronous_preset_keeps_its_local_time() -> None:
    """Descending crossings at 10:30 mean solar time, on the first day and after 300 days."""
    plan = read_plan("s-band-cubesat")
    satellite = plan.satellites[0]
    for day in (0, 300):
        times = plan.start_s + day * 86400 + np.arange(0, 6000, 1.0)
        latitude, longitude = ground_track(satellite.positions_km(times))
        at = np.flatnonzero((latitude[:-1] > 0) & (latitude[1:] <= 0))[0]
        local = (times[at] % 86400 / 3600 + longitude[at] / 15) % 24
        assert local == pytest.approx(10.5, abs=0.15)


def plan_with(area, **imager):
    plan = read_plan("s-band-cubesat")
    return replace(plan, areas=(area,), days=2.0, imager=replace(plan.imager, **imager))


def belt(revisit_days: float = 0.0):
    return make_area("belt", [box_ring(-60, -5, 60, 5)], 1.0, revisit_days, (0.2,) * 12)


def test_area_imaged_is_track_times_swath() -> None:
    """Crossing a wide belt of 10 degrees: swath times the track's length inside it."""
    plan = plan_with(belt(), swath_km=100.0, duty_cycle_percent=100.0)
    captures = find_captures(plan)
    track_km = 6371 * np.radians(10) / np.sin(np.radians(97.4))
    whole = [c for c in captures if c.end_s - c.start_s == pytest.approx(track_km / 7.06, rel=0.03)]
    assert len(whole) >= 5  # the others cross the belt's ends
    for capture in whole:
        assert capture.area_km2 == pytest.approx(track_km * 100, rel=0.03)
        assert capture.tiles == round(capture.area_km2 / plan.imager.tile_km2)
    for capture in captures:
        assert capture.sun_elevation_deg > plan.imager.min_sun_elevation_deg - 1
        assert capture.cloud == 0.2


def test_revisit_images_no_cell_twice() -> None:
    plan = replace(plan_with(belt(revisit_days=300), swath_km=600.0, duty_cycle_percent=100.0), days=5.0)
    once = sum(c.area_km2 for c in find_captures(plan))
    twice = sum(c.area_km2 for c in find_captures(replace(plan, areas=(belt(),))))
    assert once <= plan.areas[0].area_km2 * 1.05
    assert twice > once * 1.2


def test_duty_cycle_limits_each_orbit() -> None:
    plan = plan_with(belt(), swath_km=100.0, duty_cycle_percent=1.0)
    period = plan.satellites[0].period_s()
    used: dict[int, float] = {}
    for capture in find_captures(plan):
        orbit = int((capture.start_s - plan.start_s) // period)
        used[orbit] = used.get(orbit, 0.0) + capture.end_s - capture.start_s
    assert used and max(used.values()) <= period * 0.01 + 1e-6


def test_no_daylight_no_image() -> None:
    polar_night = make_area("dark", [box_ring(0, 75, 40, 82)], 1.0, 0.0, (0.0,) * 12)
    assert find_captures(plan_with(polar_night, min_sun_elevation_deg=5.0)) == []


def test_across_the_antimeridian() -> None:
    across = make_area("fiji", [box_ring(170, -20, -170, -10)], 1.0, 0.0, (0.0,) * 12)
    split = [
        make_area(n, [box_ring(*b)], 1.0, 0.0, (0.0,) * 12)
        for n, b in (("w", (170, -20, 180, -10)), ("e", (-180, -20, -170, -10)))
    ]
    assert across.area_km2 == pytest.approx(sum(a.area_km2 for a in split))
    one = sum(c.area_km2 for c in find_captures(plan_with(across, duty_cycle_percent=100.0)))
    two = sum(c.area_km2 for a in split for c in find_captures(plan_with(a, duty_cycle_percent=100.0)))
    assert one > 0 and one == pytest.approx(two, rel=0.15)
