"""The whole calculation: passes, schedule, imaging, flow, energy, and what weather and luck make of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.downlink.budget import Budget
from swathpack.edge.downlink.passrun import smallest_pass
from swathpack.tools.errors import UserError
from swathpack.tools.plan.budgets import make_budget, spread_of_passes
from swathpack.tools.plan.flow import Flow, FlowResult, PassBudget
from swathpack.tools.plan.imaging import Capture, find_captures
from swathpack.tools.plan.inputs import Plan
from swathpack.tools.plan.passes import Contact, all_contacts
from swathpack.tools.plan.rate_table import RateTable, rmse_dn
from swathpack.tools.plan.rates import load_rates
from swathpack.tools.plan.schedule import Schedule, make_schedule
from swathpack.tools.plan.uncertainty import Draws, Spread, draw, spread

MOST_EIRP_DBW = {"UHF": 25.0, "S": 30.0}  # far above what low orbit needs: a number in dBm
PLAYED = ("lossless", "within 20 DN", "RMSE at most 20 DN")  # promises that are played through all passes
REPLAYS = 11  # an odd number whose second and second-last are the P10 and P90

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Quality:
    """What reached the ground, overall or of one area: PSNR in dB (mean over tiles, infinite where all are exact), RMSE in
    DN (mean over tiles; nine tenths are at most `p90`), latency in hours.
    """

    tiles: int
    psnr_db_mean: float
    psnr_db_p10: float
    psnr_db_p50: float
    psnr_db_p90: float
    rmse_dn_mean: float
    rmse_dn_p90: float
    layers_mean: float
    latency_h_p50: float
    latency_h_p90: float


@dataclass(frozen=True)
class Energy:
    """Watt-hours per satellite over the planned time, and the worst orbit of any satellite."""

    imaging_wh: float
    coding_wh: float
    radio_wh: float
    worst_orbit_wh: float
    orbits: int

    @property
    def total_wh(self) -> float:
        """Imaging, coding and radio together."""
        return self.imaging_wh + self.coding_wh + self.radio_wh


@dataclass(frozen=True)
class Answer:
    """What the same passes make of the same tiles when each is to keep a promise. tile_bytes: mean of tiles. carried_per_day:
    tiles that all bytes would hold, whatever the camera takes; tiles_per_day: on the ground, None where not played through.
    """

    name: str
    mode: str
    max_error: int | None
    rmse_dn: float | None
    tile_bytes: int
    carried_per_day: float
    tiles_per_day: float | None


@dataclass(frozen=True)
class Outcome:
    """Everything that the reports show. `pass_spread` is (P10, P50, P90) bytes by pass number."""

    plan: Plan
    rates: RateTable
    warnings: list[str]
    schedule: Schedule
    captures: list[Capture]
    flows: dict[str, FlowResult]
    quality: Quality
    by_area: dict[str, Quality]
    energy: dict[str, Energy]
    pass_spread: dict[int, tuple[int, int, int]]
    spreads: dict[str, Spread]
    budget: Budget
    answers: tuple[Answer, ...] = ()

    def total(self, name: str) -> int:
        """A FlowResult count summed over the satellites."""
        return int(sum(getattr(flow, name) for flow in self.flows.values()))

    @property
    def payload_bytes_per_day(self) -> float:
        """Bytes of coded image that the budgets carry in a day, clear sky."""
        return self.total("budget_bytes") / self.plan.days

    @property
    def clear_tiles_per_day(self) -> float:
        """Tiles that are there to be sent: captured, and not left out for cloud."""
        return (self.total("captured_tiles") - self.total("cloudy_tiles")) / self.plan.days

    @property
    def raw_tiles_per_day(self) -> float:
        """Tiles without any compression that the same budgets would carry."""
        return self.payload_bytes_per_day / self.plan.imager.raw_tile_bytes


def rates_of(plan: Plan) -> tuple[RateTable, list[str]]:
    """The rates of what the plan's board flies, and warnings. Raises UserError."""
    codec = plan.codec
    bands, exact = plan.imager.bands, codec.max_error or 0
    try:
        return load_rates(codec.table, codec.board, codec.power_mode, bands, codec.flown, exact)
    except UserError as error:
        raise UserError(f"{plan.codec_file}: {error}" if plan.codec_file else str(error)) from error


def evaluate(plan: Plan) -> Outcome:
    """Work the plan out. Raises UserError when nothing can be planned."""
    rates, warnings = rates_of(plan)
    try:
        contacts = all_contacts(plan.satellites, plan.stations, plan.radio, plan.start_s, plan.end_s)
        captures = find_captures(plan)
    except ArithmeticError as error:
        raise UserError(f"propagation failed: {error}") from None
    schedule = make_schedule(contacts, plan.radio.min_pass_s, plan.gbyte_value, plan.cost_limit_per_day)
    warnings += plan_warnings(plan, schedule, captures)
    clear = np.array([contact.bytes for contact in schedule.contacts], float)
    expected_cloud = np.array([capture.cloud for capture in captures])
    flows = _run_flows(plan, rates, schedule.contacts, captures, clear, expected_cloud)
    draws = draw(plan, schedule.contacts, captures)
    sent = [item for flow in flows.values() for item in flow.sent]
    energy = {
        satellite.name: _energy(plan, rates, satellite.name, schedule.contacts, captures, flows)
        for satellite in plan.satellites
    }
    warnings += _energy_warnings(plan, energy, flows) + _left_warnings(plan, rates, flows)
    spread_by_pass = spread_of_passes(schedule.contacts, draws)
    return Outcome(
        plan,
        rates,
        warnings,
        schedule,
        captures,
        flows,
        _quality(rates, captures, sent),
        {
            area.name: _quality(rates, captures, [s for s in sent if captures[s.batch.capture].area.name == area.name])
            for area in plan.areas
        },
        energy,
        spread_by_pass,
        _spreads(plan, rates, schedule.contacts, captures, draws),
        make_budget(plan, schedule.contacts, spread_by_pass),
        _answers(plan, rates, schedule.contacts, captures, (clear, expected_cloud), flows),
    )


def _answers(
    plan: Plan,
    rates: RateTable,
    contacts: tuple[Contact, ...],
    captures: list[Capture],
    expected: tuple[Array, Array],
    flows: dict[str, FlowResult],
) -> tuple[Answer, ...]:
    """Every promise by its bytes; those of PLAYED through all passes, at the bytes and cloud that are expected."""
    carried, found = sum(flow.budget_bytes for flow in flows.values()) / plan.days, []
    for service in rates.services:
        size = int(service.table.tile_bytes(plan.imager.tile_px, len(plan.imager.bands))[-1])
        tiles = None
        if service.name in PLAYED:
            played = _run_flows(plan, service.table, contacts, captures, *expected)
            tiles = sum(flow.sent_tiles for flow in played.values()) / plan.days
        mode = service.table.mode
        found.append(Answer(service.name, mode, service.max_error, service.rmse, size, carried / size, tiles))
    return tuple(found)


def plan_warnings(plan: Plan, schedule: Schedule, captures: list[Capture]) -> list[str]:
    """What is odd about a plan before anything is coded or sent."""
    found = []
    if not schedule.contacts:
        found.append(
            "no usable pass: the link never closes with its margin, or no station sees a satellite for "
            f"{plan.radio.min_pass_s:g} s"
        )
    small = sum(contact.bytes < smallest_pass(signed=False) for contact in schedule.contacts)
    if small:
        found.append(
            f"{small} of {len(schedule.contacts)} passes carry nothing: of fewer bytes than the smallest packet, "
            f"{smallest_pass(signed=False)} (one that is signed: {smallest_pass(signed=True)})"
        )
    if not plan.areas:
        found.append("no [[area]]: nothing is imaged")
    if plan.imager.duty_cycle_percent < 1:
        found.append(f"duty_cycle_percent {plan.imager.duty_cycle_percent:g} is taken as per cent, not as a share")
    if plan.radio.eirp_dbw > MOST_EIRP_DBW.get(plan.radio.band, np.inf):
        found.append(f"an EIRP of {plan.radio.eirp_dbw:g} dBW is very high in this band; is it dBm?")
    imaged = {capture.area.name for capture in captures}
    found += [
        f"area {area.name!r} is never imaged (no daylight overpass within the swath)"
        for area in plan.areas
        if area.name not in imaged
    ]
    used = {contact.station.name for contact in schedule.contacts}
    found += [f"station {station.name!r} gets no contact" for station in plan.stations if station.name not in used]
    carried = sum(contact.bytes for contact in schedule.contacts) * plan.radio.packet_efficiency
    clear = sum(c.tiles * (1 - c.cloud if plan.codec.drop_cloudy else 1) for c in captures)
    if captures and clear * plan.imager.raw_tile_bytes < carried:
        found.append("the downlink could carry every tile uncompressed: image more, or take fewer passes")
    if not schedule.proven:
        found.append("the station schedule is the best found in time, not proven optimal")
    return found


def _left_warnings(plan: Plan, rates: RateTable, flows: dict[str, FlowResult]) -> list[str]:
    """Bytes left over although the tiles went down: beyond lossless the downlink is too large, else the mode is the limit."""
    total = max(sum(flow.budget_bytes for flow in flows.values()), 1)
    unused, spare = (sum(getattr(f, n) for f in flows.values()) / total for n in ("unused_bytes", "spare_bytes"))
    lossless, found = rates.mode == "predictive" and not plan.codec.max_error, []
    if unused >= 0.2 and any(flow.sent_tiles for flow in flows.values()):
        found.append(
            f"{100 * unused:.0f} % of the downlink is unused, more than lossless coding of all that waits would take: "
            f"image more, or take fewer passes{'' if lossless else ', or fly max_error = 0'}"
        )
    if spare >= 0.05 and lossless:
        found.append(
            f"{100 * spare:.0f} % of the downlink is left at the ends of passes, where no whole batch of tiles fits"
        )
    elif spare >= 0.05:
        what = rates.names[-1] if rates.mode == "predictive" else f"mode {plan.codec.mode}"
        found.append(
            f"{100 * spare:.0f} % of the downlink is left by {what}, which has no more to send of the tiles that wait, or "
            "none that fits; lossless coding would take it"
        )
    return found


def _energy_warnings(plan: Plan, energy: dict[str, Energy], flows: dict[str, FlowResult]) -> list[str]:
    found = []
    for name, used in energy.items():
        if 0 < plan.energy_wh_per_orbit < used.worst_orbit_wh:
            found.append(
                f"{name}: the worst orbit needs {used.worst_orbit_wh:.1f} Wh, the budget is "
                f"{plan.energy_wh_per_orbit:g} Wh"
            )
        if flows[name].coding_s > plan.days * 86400:
            found.append(
                f"{name}: coding takes {flows[name].coding_s / 86400 / plan.days:.1f} times the time there "
                f"is; choose a faster power_mode or image less"
            )
        if flows[name].dropped_full:
            found.append(f"{name}: {flows[name].dropped_full} tiles are lost because storage is full")
    return found


def _run_flows(
    plan: Plan,
    rates: RateTable,
    contacts: tuple[Contact, ...],
    captures: list[Capture],
    pass_bytes: Array,
    cloud: Array,
) -> dict[str, FlowResult]:
    """Every satellite's flow with these Space Packet bytes per contact and this cloud per capture."""
    results, flow = {}, Flow(plan, rates)
    for satellite in plan.satellites:
        mine = [at for at, capture in enumerate(captures) if capture.satellite == satellite.name]
        passes = [
            PassBudget(c.number, c.start_s, c.end_s, int(size * plan.radio.packet_efficiency))
            for c, size in zip(contacts, pass_bytes)
            if c.satellite.name == satellite.name
        ]
        result = flow.run([captures[at] for at in mine], passes, cloud[mine])
        for item in result.sent:  # local capture numbers to global ones; batches are shared by nothing else
            item.batch.capture = mine[item.batch.capture]
        results[satellite.name] = result
    return results


def _quality(rates: RateTable, captures: list[Capture], sent: list) -> Quality:  # type: ignore[type-arg]
    """Statistics over tiles, each batch counting as many times as it has tiles."""
    if not sent:
        return Quality(0, *[float("nan")] * 9)
    tiles = np.array([item.batch.tiles for item in sent], float)
    psnr = np.array([rates.psnr_db[item.batch.kind, item.layers] for item in sent])
    latency = np.array([(item.down_s - item.batch.captured_s) / 3600 for item in sent])
    layers = np.array([item.layers for item in sent], float)
    p10, p50, p90 = weighted_percentiles(psnr, tiles, (10, 50, 90))
    error = rmse_dn(psnr)
    late50, late90 = weighted_percentiles(latency, tiles, (50, 90))
    return Quality(
        int(tiles.sum()),
        float(np.average(psnr, weights=tiles)),
        p10,
        p50,
        p90,
        float(np.average(error, weights=tiles)),
        weighted_percentiles(error, tiles, (90,))[0],
        float(np.average(layers, weights=tiles)),
        late50,
        late90,
    )


def weighted_percentiles(values: Array, weights: Array, percents: tuple[float, ...]) -> list[float]:
    """The smallest value with at least that share of the weight at or below it."""
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    return [
        float(values[order[min(int(np.searchsorted(share, percent / 100 - 1e-12)), len(order) - 1)]])
        for percent in percents
    ]


def _energy(
    plan: Plan,
    rates: RateTable,
    satellite: str,
    contacts: tuple[Contact, ...],
    captures: list[Capture],
    flows: dict[str, FlowResult],
) -> Energy:
    """Camera and radio by their on-time, coding by tile; orbits counted from the plan's start."""
    period = next(s for s in plan.satellites if s.name == satellite).period_s()
    orbits = max(1, int(np.ceil(plan.days * 86400 / period)))
    per_orbit = np.zeros((3, orbits))
    mine = [capture for capture in captures if capture.satellite == satellite]
    coded = flows[satellite].captured_tiles - flows[satellite].cloudy_tiles
    # Clear tiles follow the captures; the joules per tile are those the flow counted.
    per_tile = flows[satellite].coding_j / coded if coded else 0.0
    for capture in mine:
        orbit = min(int((capture.start_s - plan.start_s) // period), orbits - 1)
        screened = round(capture.tiles * capture.cloud) if plan.codec.drop_cloudy else 0
        per_orbit[0, orbit] += (capture.end_s - capture.start_s) * plan.imager.power_w
        per_orbit[1, orbit] += (capture.tiles - screened) * per_tile
    for contact in contacts:
        if contact.satellite.name == satellite:
            orbit = min(int((contact.start_s - plan.start_s) // period), orbits - 1)
            per_orbit[2, orbit] += (contact.end_s - contact.start_s + plan.radio.acquisition_s) * plan.radio.power_w
    imaging, coding, radio = (float(row.sum()) / 3600 for row in per_orbit)
    return Energy(imaging, coding, radio, float(per_orbit.sum(axis=0).max()) / 3600, orbits)


def _spreads(
    plan: Plan, rates: RateTable, contacts: tuple[Contact, ...], captures: list[Capture], draws: Draws
) -> dict[str, Spread]:
    """P10, P50, P90: bytes over all draws; the rest over replays at quantiles of the bytes."""
    totals = draws.pass_bytes.sum(axis=1)
    found = {"gbyte_per_day": spread(totals / 1e9 / plan.days)}
    order = np.argsort(totals, kind="stable")
    rows: dict[str, list[float]] = defaultdict(list)
    for replay in range(REPLAYS):
        number = order[int((replay + 0.5) / REPLAYS * len(order))]
        flows = _run_flows(plan, rates, contacts, captures, draws.pass_bytes[number], draws.cloud[number])
        quality = _quality(rates, captures, [item for flow in flows.values() for item in flow.sent])
        rows["tiles_per_day"].append(quality.tiles / plan.days)
        if quality.tiles:
            rows["psnr_db"].append(quality.psnr_db_mean)
            rows["rmse_dn"].append(quality.rmse_dn_mean)
            rows["latency_h"].append(quality.latency_h_p50)
    found.update({name: spread(np.array(values)) for name, values in rows.items() if np.isfinite(values).all()})
    return found
