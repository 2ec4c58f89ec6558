"""The station schedule: never a conflict, never worse than greedy, best where it can be counted out."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from swathpack.tools.plan.inputs import read_plan
from swathpack.tools.plan.passes import Contact, Sighting
from swathpack.tools.plan.schedule import make_schedule

PLAN = read_plan("x-band-smallsat")
START = PLAN.start_s


def contact(
    number: int, satellite: str, station: str, begin: float, end: float, rate: float = 1e6, **station_values
) -> Contact:
    steps = np.arange(begin, end, 10.0)
    length = np.minimum(10.0, end - steps)
    place = replace(PLAN.stations[0], name=station, **{"setup_s": 60.0, "antennas": 1, **station_values})
    return Contact(
        number,
        replace(PLAN.satellites[0], name=satellite),
        place,
        Sighting(begin, end, begin, 30.0),
        round(START + begin, 3),
        round(START + end, 3),
        START + steps + length / 2,
        length,
        np.full(len(steps), 30.0),
        np.zeros(len(steps)),
        np.full(len(steps), 1000.0),
        np.full(len(steps), rate),
    )


def conflicts(chosen: tuple[Contact, ...]) -> int:
    """Pairs that may not be held together, counted directly (for one antenna everywhere)."""
    found = 0
    for a, b in itertools.combinations(sorted(chosen, key=lambda c: c.start_s), 2):
        if a.satellite.name == b.satellite.name and b.start_s < a.end_s - 1e-6:
            found += 1
        if a.station.name == b.station.name and b.start_s - b.station.setup_s < a.end_s - 1e-6:
            found += 1
    return found


def random_contacts(seed: int, count: int) -> list[Contact]:
    random = np.random.default_rng(seed)
    found = []
    for number in range(1, count + 1):
        begin = round(float(random.uniform(0, 4000)), 3)  # whole milliseconds, as all contacts
        found.append(
            contact(
                number,
                f"s{random.integers(3)}",
                f"g{random.integers(3)}",
                begin,
                round(begin + float(random.uniform(200, 700)), 3),
                float(random.uniform(0.5e6, 2e6)),
            )
        )
    # One satellite cannot pass twice over one station at once.
    kept: list[Contact] = []
    for c in found:
        if not any(
            c.satellite.name == k.satellite.name
            and c.station.name == k.station.name
            and c.start_s < k.end_s
            and k.start_s < c.end_s
            for k in kept
        ):
            kept.append(c)
    return kept


@pytest.mark.parametrize("seed", range(6))
def test_no_conflict_and_not_worse_than_greedy(seed: int) -> None:
    contacts = random_contacts(seed, 40)
    schedule = make_schedule(contacts, 60.0)
    assert conflicts(schedule.contacts) == 0
    assert schedule.proven
    assert schedule.optimal_value >= schedule.greedy_value - 1e-9
    assert len({c.number for c in schedule.contacts}) == len(schedule.contacts)


@pytest.mark.parametrize("seed", range(6))
def test_at_least_the_best_set_of_whole_passes(seed: int) -> None:
    contacts = random_contacts(100 + seed, 11)
    best = max(
        sum(c.bytes for c in chosen)
        for size in range(len(contacts) + 1)
        for chosen in itertools.combinations(contacts, size)
        if conflicts(chosen) == 0
    )
    assert make_schedule(contacts, 60.0).optimal_bytes >= best * (1 - 2e-4)


def test_beats_greedy_where_greedy_is_wrong() -> None:
    """A long pass in the middle blocks two that together carry more (no room to cut)."""
    contacts = [
        contact(1, "a", "g", 0, 500),
        contact(2, "b", "g", 400, 1000, 1.0e6),
        contact(3, "c", "g", 900, 1400),
    ]
    schedule = make_schedule(contacts, 480.0)
    assert [c.number for c in schedule.contacts] == [1, 3]
    assert schedule.optimal_bytes > schedule.greedy_bytes


def test_cuts_a_pass_at_the_other_ones_edge() -> None:
    contacts = [contact(1, "a", "g", 0, 600), contact(2, "b", "g", 500, 1100, 2e6)]
    schedule = make_schedule(contacts, 60.0)
    assert [c.number for c in schedule.contacts] == [1, 2]
    assert schedule.contacts[0].end_s == pytest.approx(START + 500 - 60)
    assert schedule.optimal_bytes == pytest.approx(440e6 + 1200e6, rel=1e-6)


def test_antennas_and_one_transmitter() -> None:
    two = [contact(n, f"s{n}", "g", 0, 600, antennas=2) for n in (1, 2, 3)]
    assert len(make_schedule(two, 590.0).contacts) == 2
    same = [contact(1, "s", "g1", 0, 600), contact(2, "s", "g2", 0, 600)]
    assert len(make_schedule(same, 590.0).contacts) == 1


def test_cost_limit_and_worth() -> None:
    contacts = [
        contact(n, "s", "g", n * 1000.0, n * 1000.0 + 600, rate=n * 1e6, cost_per_minute=1.0) for n in range(1, 6)
    ]
    limited = make_schedule(contacts, 60.0, cost_limit_per_day=25.0)
    assert [c.number for c in limited.contacts] == [4, 5]
    assert sum(c.cost for c in limited.contacts) <= 25.0
    worth = make_schedule(contacts, 60.0, gbyte_value=5.0)  # 10 a pass against 3, 6, 9, 12, 15
    assert [c.number for c in worth.contacts] == [4, 5]


def test_nothing_to_do() -> None:
    assert make_schedule([], 60.0).contacts == ()
