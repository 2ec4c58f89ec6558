"""Passes of a scenario: the planner's orbit, stations and radio, cut down to the share that this payload gets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.downlink.budget import Budget, Pass, format_budget, format_time
from swathpack.edge.downlink.passrun import smallest_pass
from swathpack.hil_tests.scenario.read import Scenario
from swathpack.tools.errors import UserError
from swathpack.tools.plan.sun import sun_position

EARTH_KM = 6371.0
LEAST_BYTES = smallest_pass(signed=True)  # as boards of campaigns sign; a pass of fewer bytes carries nothing
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SimPass:
    """One pass: its row of the budget, and elevation (degrees) and range (km) over time (seconds since 1970)."""

    budget: Pass
    time_s: Array
    elevation_deg: Array
    range_km: Array

    def elevation_at(self, time_s: float) -> float:
        """Elevation, -90 outside the pass."""
        if not self.budget.start_s <= time_s < self.budget.end_s:
            return -90.0
        return float(np.interp(time_s, self.time_s, self.elevation_deg))


@dataclass(frozen=True, eq=False)
class Orbit:
    """All passes in order, and the satellite they belong to (`swathpack.tools.plan.orbit.Satellite`)."""

    passes: tuple[SimPass, ...]
    satellite: object

    def budget(self, name: str, seed: int) -> str:
        """The passes as a `budget.toml` for the board."""
        rows = tuple(p.budget for p in self.passes)
        return format_budget(Budget(name, format_time(rows[0].start_s if rows else 0.0), seed, rows))

    def sunlit(self, time_s: Array) -> NDArray[np.bool_]:
        """(n,) whether the satellite is outside the Earth's shadow, taken as a cylinder."""
        position = self.satellite.positions_km(time_s)  # type: ignore[attr-defined]
        towards = _sun_direction(time_s)
        along = (position * towards).sum(axis=1)
        across = np.linalg.norm(position - along[:, None] * towards, axis=1)
        out: NDArray[np.bool_] = (along > 0) | (across > EARTH_KM)
        return out

    def check(self) -> list[str]:
        """What contradicts geometry: passes that overlap, and ranges that no orbit of this height gives."""
        found = []
        for before, after in zip(self.passes, self.passes[1:]):
            if after.budget.start_s < before.budget.end_s:
                found.append(f"passes {before.budget.id} and {after.budget.id} overlap")
        for one in self.passes:
            # Law of cosines in the triangle Earth's centre, station, satellite gives the orbit's radius back.
            sine = np.sin(np.radians(one.elevation_deg))
            radius = np.sqrt(EARTH_KM**2 + one.range_km**2 + 2 * EARTH_KM * one.range_km * sine)
            truth = np.linalg.norm(self.satellite.positions_km(one.time_s), axis=1)  # type: ignore[attr-defined]
            if np.abs(radius - truth).max() > 30:  # the round Earth is off by up to 21 km at the poles
                found.append(f"pass {one.budget.id}: range and elevation do not fit the orbit")
        return found


def _sun_direction(time_s: Array) -> Array:
    """(n, 3) unit vectors towards the sun, Earth-fixed."""
    from swathpack.tools.plan.satellite import sidereal_angle

    ascension, declination, _ = (np.radians(part) for part in sun_position(time_s))
    hour = ascension - sidereal_angle(time_s)
    flat = np.cos(declination)
    return np.column_stack([flat * np.cos(hour), flat * np.sin(hour), np.sin(declination)])


def find_passes(scenario: Scenario, start_s: float) -> Orbit:
    """The scenario's passes. Raises UserError when there are none, or the planner's packages are missing."""
    try:
        from swathpack.tools.plan.inputs import read_plan
        from swathpack.tools.plan.passes import all_contacts

        wanted = scenario.passes
        try:
            plan = read_plan(wanted.plan, days=scenario.days, start_s=start_s)
        except UserError as error:
            raise UserError(f"{scenario.name}: passes.plan: {error}") from error
        stations = tuple(s for s in plan.stations if wanted.station in ("", s.name))
        if not stations:
            names = ", ".join(s.name for s in plan.stations)
            raise UserError(f"{scenario.name}: passes.station: expected one of {names}, found {wanted.station!r}")
        contacts = all_contacts(plan.satellites[:1], stations, plan.radio, start_s, start_s + scenario.days * 86400)
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; pip install 'swathpack[plan]'") from error
    high = [c for c in contacts if c.sighting.max_elevation_deg >= wanted.min_elevation_deg]
    best = _best_of_days(_apart(high), wanted.per_day, start_s)
    if not best:
        raise UserError(f"passes: no pass above {wanted.min_elevation_deg:g} degrees in {scenario.days:g} days")
    rows = [_sim_pass(contact, number, wanted.share) for number, contact in enumerate(best, 1)]
    most = max(row.budget.bytes for row in rows)
    if most < LEAST_BYTES:
        raise UserError(
            f"passes.share: expected one that leaves a pass of at least {LEAST_BYTES} bytes, which the smallest packet has; "
            f"found {wanted.share:g}, which leaves {most} of the largest"
        )
    return Orbit(tuple(rows), plan.satellites[0])


def _apart(contacts: list) -> list:  # type: ignore[type-arg]
    """Where two stations see the satellite at once, the higher pass."""
    kept: list = []  # type: ignore[type-arg]
    for contact in contacts:
        if kept and contact.start_s < kept[-1].end_s + 60:
            if contact.sighting.max_elevation_deg > kept[-1].sighting.max_elevation_deg:
                kept[-1] = contact
        else:
            kept.append(contact)
    return kept


def _best_of_days(contacts: list, per_day: int, start_s: float) -> list:  # type: ignore[type-arg]
    days: dict[int, list] = {}  # type: ignore[type-arg]
    for contact in contacts:
        days.setdefault(int((contact.start_s - start_s) // 86400), []).append(contact)
    chosen = [c for day in days.values() for c in sorted(day, key=lambda c: -c.sighting.max_elevation_deg)[:per_day]]
    return sorted(chosen, key=lambda c: c.start_s)


def _sim_pass(contact: object, number: int, share: float) -> SimPass:
    from swathpack.tools.plan.budgets import budget_pass

    row = budget_pass(contact, (0, 0, 0))  # type: ignore[arg-type]
    rates = tuple(round(rate * share, 4) for rate in row.rate_byte_s)
    stops = (*row.rate_at_s[1:], row.duration_s)
    size = int(sum((stop - at) * rate for at, stop, rate in zip(row.rate_at_s, stops, rates)))
    budget = Pass(
        number,
        row.satellite,
        row.station,
        row.start_s,
        row.end_s,
        size,
        row.rate_at_s,
        rates,
        max_elevation_deg=row.max_elevation_deg,
    )
    return SimPass(budget, contact.time_s, contact.elevation_deg, contact.range_km)  # type: ignore[attr-defined]
