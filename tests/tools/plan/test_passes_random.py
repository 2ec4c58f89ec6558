"""Random orbits, stations, masks and spans against SGP4 sampled every second, spans within a pass included."""

from __future__ import annotations

import random

import numpy as np
import pytest

from swathpack.edge.downlink.budget import parse_time
from swathpack.tools.plan.orbit import read_satellite
from swathpack.tools.plan.passes import find_sightings
from swathpack.tools.plan.satellite import Satellite
from swathpack.tools.plan.schema import Section
from tests.tools.plan.test_passes import BruteForce, station

START = parse_time("2026-12-01T00:00:00Z")
EDGE_S = 1.0  # rise and set may be this far from the sample's


def random_case(seed: int) -> tuple[Satellite, object, float, float]:
    """A satellite, a station, a span (s since 1970): whole days, hours, or one that starts or ends in a pass."""
    rng = random.Random(seed)
    elements = {
        "altitude_km": rng.uniform(250, 1800),
        "inclination_deg": rng.uniform(20, 160),
        "raan_deg": rng.uniform(0, 360),
        "eccentricity": rng.choice([0.0001, rng.uniform(0, 0.01)]),
        "arg_perigee_deg": rng.uniform(0, 360),
        "mean_anomaly_deg": rng.uniform(0, 360),
    }
    satellite = read_satellite(Section({"name": "one", "elements": elements}, "satellite"), None, START)  # type: ignore[arg-type]
    mask = rng.choice([0.0, 5.0, 10.0, rng.uniform(20, 80)])
    place = station(rng.uniform(-85, 85), rng.uniform(-180, 180), mask)
    begin = START + rng.uniform(0, 86400)
    end = begin + rng.choice([rng.uniform(600, 7200), 43200.0])
    inside = find_sightings(satellite, place, begin, end)
    if inside and rng.random() < 0.5:
        middle = rng.choice(inside)
        cut = rng.uniform(middle.rise_s, middle.set_s)
        begin, end = rng.choice([(begin, max(cut, begin + 60)), (min(cut, end - 60), end)])
    return satellite, place, begin, end


def disagreement_s(case: tuple[Satellite, object, float, float]) -> tuple[int, float]:
    """Passes found, and the longest stretch in which the sample and the passes say different things (s)."""
    satellite, place, begin, end = case
    found = find_sightings(satellite, place, begin, end)
    times = np.arange(begin, end, 1.0)
    truth = BruteForce(satellite.record, place, begin)
    elevation = truth.elevation(times)
    up = elevation >= place.min_elevation_deg
    inside = np.zeros(len(times), bool)
    for one in found:
        assert begin - 0.002 <= one.rise_s < one.set_s <= end + 0.002
        assert one.rise_s <= one.top_s <= one.set_s
        inside |= (times >= one.rise_s) & (times <= one.set_s)
        within = elevation[(times >= one.rise_s) & (times <= one.set_s)]
        assert one.max_elevation_deg == pytest.approx(truth.elevation(one.top_s)[0], abs=0.02)
        assert one.max_elevation_deg >= within.max(initial=-90) - 0.02
    near = np.abs(elevation - place.min_elevation_deg) < 0.01  # what grazes may be seen by one and not the other
    wrong = (up != inside) & ~near
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wrong, [False]])))
    return len(found), float(max((edges[1::2] - edges[::2]), default=0))


@pytest.mark.parametrize("batch", range(4))
def test_random_passes(batch: int) -> None:
    rows = [disagreement_s(random_case(seed)) for seed in range(12 * batch, 12 * batch + 12)]
    assert sum(row[0] for row in rows) >= 10
    assert max(row[1] for row in rows) <= EDGE_S


def test_a_span_within_a_pass() -> None:
    """No rise, no set and no top in it."""
    satellite, place, begin, end = random_case(1149)
    assert [(one.rise_s, one.set_s) for one in find_sightings(satellite, place, begin, end)] == [(begin, end)]


@pytest.mark.slow
def test_more_random_passes() -> None:
    rows = [disagreement_s(random_case(seed)) for seed in range(1000, 1354)]
    assert max(row[1] for row in rows) <= EDGE_S
    print(f"{len(rows)} cases, {sum(row[0] for row in rows)} passes")
