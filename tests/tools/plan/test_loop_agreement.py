"""Whatever the planner writes as budget.toml the flight runtime takes: every preset, any days, random plans."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import swathpack.edge.__main__ as runtime
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.downlink.budget import Budget, format_budget, parse_budget
from swathpack.tools.plan.budgets import make_budget
from swathpack.tools.plan.inputs import PRESETS, Plan, read_plan
from swathpack.tools.plan.passes import Contact, all_contacts
from swathpack.tools.plan.schedule import make_schedule

NAMES = sorted(p.stem for p in PRESETS.glob("*.toml") if p.stem != "stations")
SLOW = pytest.mark.slow
DAYS = (1, pytest.param(2, marks=SLOW), 3, pytest.param(5, marks=SLOW), 10, pytest.param(30, marks=SLOW))


def planned(plan: Plan) -> tuple[Budget, tuple[Contact, ...]]:
    """The budget and the contacts that it was made from, without imaging and quality."""
    contacts = all_contacts(plan.satellites, plan.stations, plan.radio, plan.start_s, plan.end_s)
    schedule = make_schedule(contacts, plan.radio.min_pass_s, plan.gbyte_value, plan.cost_limit_per_day)
    chosen = schedule.contacts
    return make_budget(plan, chosen, {c.number: (0, c.bytes, c.bytes) for c in chosen}), chosen


def check_agreement(plan: Plan) -> int:
    """The board's reading of the file is the plan, for all satellites and each; returns the passes."""
    budget, contacts = planned(plan)
    read = parse_budget(format_budget(budget))
    assert read == budget
    assert read.satellites() == sorted(s.name for s in plan.satellites)
    assert sum(len(read.for_satellite(s.name).passes) for s in plan.satellites) == len(contacts)
    by_number = {c.number: c for c in contacts}
    for one in read.passes:
        contact = by_number[one.id]
        assert (one.start_s, one.end_s, one.bytes) == (contact.start_s, contact.end_s, contact.bytes)
        assert plan.start_s <= one.start_s < one.end_s <= plan.end_s
        assert one.end_s - one.start_s >= plan.radio.min_pass_s - 0.001
        assert one.capacity(one.start_s, one.end_s) == pytest.approx(one.bytes, rel=1e-4, abs=1)
        assert contact.step_s.sum() == pytest.approx(one.duration_s, abs=1e-5)
    _check_antennas(plan, contacts)
    return len(read.passes)


def _check_antennas(plan: Plan, contacts: tuple[Contact, ...]) -> None:
    """Exact on the milliseconds: one transmitter a satellite, `antennas` a station with its setup between."""
    for station in plan.stations:
        mine = sorted((c.start_s, c.end_s) for c in contacts if c.station.name == station.name)
        for at, (start, _) in enumerate(mine):
            near = mine[max(0, at - 20) : at + 1]  # none is longer than the twenty before it together
            held = sum(b > start - station.setup_s + 1e-5 for _, b in near)
            assert held <= station.antennas
    for satellite in plan.satellites:
        spans = sorted((c.start_s, c.end_s) for c in contacts if c.satellite.name == satellite.name)
        assert all(one[1] <= other[0] for one, other in zip(spans, spans[1:]))


@pytest.mark.long
@pytest.mark.parametrize("days", DAYS)
@pytest.mark.parametrize("name", NAMES)
def test_presets(name: str, days: int) -> None:
    assert check_agreement(read_plan(name, days=days)) > days


@pytest.fixture(scope="module")
def model() -> EdgeModel:
    return EdgeModel()


@pytest.mark.parametrize("name", NAMES)
def test_the_runtime_takes_the_file(name: str, tmp_path: Path, model: EdgeModel, monkeypatch, capsys) -> None:
    """`python -m swathpack.edge --config --check`, all of it but loading the model again."""
    monkeypatch.setattr(runtime, "open_model", lambda mission: model)
    plan = read_plan(name, days=2)
    (tmp_path / "budget.toml").write_text(format_budget(planned(plan)[0]), encoding="utf-8")
    for satellite in plan.satellites:
        text = (
            f'[passes]\nbudget = "budget.toml"\nsatellite = {json.dumps(satellite.name)}\n[uplink]\ninsecure = true\n'
        )
        (tmp_path / "mission.toml").write_text(text, encoding="utf-8")
        assert runtime.main(["--config", str(tmp_path / "mission.toml"), "--check"]) == 0, capsys.readouterr().err


def random_plan(seed: int) -> str:
    """A plan file: orbits, stations near and far from each other, masks, hours, antennas, odd setups and lengths."""
    rng = random.Random(seed)
    second = rng.choice(["00", "07.123456", "59.999"])
    rows = [
        f'name = "plan {seed}"',
        f"seed = {rng.choice([0, 1, 2**63 - 1, rng.randrange(2**63)])}",
        f"days = {rng.choice([0.01, 0.3, 1, 1.23456789, 2])}",
        f'start = "2026-12-{rng.randint(1, 28):02d}T{rng.randint(0, 23):02d}:00:{second}Z"',
    ]
    for at in range(rng.randint(1, 3)):
        node = rng.uniform(0, 360)
        name = rng.choice(["sat", "weiß", 'a "b"']) + str(at)
        rows += [
            "[[satellite]]",
            f"name = {json.dumps(name, ensure_ascii=False)}",
            f"elements = {{ altitude_km = {rng.uniform(300, 1200)}, inclination_deg = {rng.uniform(30, 120)}, "
            f"raan_deg = {node}, mean_anomaly_deg = {rng.uniform(0, 360)} }}",
        ]
    latitude, longitude = rng.uniform(-80, 80), rng.uniform(-180, 175)
    for at in range(rng.randint(1, 5)):
        rows += [
            "[[station]]",
            f'name = "station-{at}"',
            "g_over_t_dbk = 20.0",
            f"latitude_deg = {latitude + rng.uniform(-5, 5) if rng.random() < 0.6 else rng.uniform(-85, 85)}",
            f"longitude_deg = {longitude + rng.uniform(0, 5) if rng.random() < 0.6 else rng.uniform(-180, 180)}",
            f"antennas = {rng.randint(1, 3)}",
            f"setup_s = {rng.choice([0, 60, 30.0004, rng.uniform(0, 300)])}",
            f"min_elevation_deg = {rng.choice([0, 5, rng.uniform(0, 30)])}",
        ]
        if rng.random() < 0.3:
            rows.append("horizon_mask_deg = [[0, 5], [90, 25], [180, 5], [270, 30]]")
        if rng.random() < 0.2:
            rows.append(f"hours_utc = [[{rng.uniform(0, 12)}, {rng.uniform(12, 24)}]]")
    rows += [
        "[radio]",
        'band = "X"',
        "frequency_ghz = 8.2",
        f"eirp_dbw = {rng.uniform(10, 25)}",
        f"min_pass_s = {rng.choice([30, 60, 61.7])}",
        f"acquisition_s = {rng.choice([0, 10, rng.uniform(0, 30)])}",
        rng.choice(["bitrate_mbit_s = 100.0", 'symbol_rate_mbaud = 50.0\nmodcods = "dvb-s2"']),
        "[imager]",
        "swath_km = 50",
        "gsd_m = 10",
    ]
    if rng.random() < 0.3:
        rows += ["[objective]", "gbyte_value = 100", f"cost_limit_per_day = {rng.choice([0, 50])}"]
    return "\n".join(rows) + "\n"


def check_random(seeds: range, folder: Path) -> int:
    found = 0
    for seed in seeds:
        path = folder / "plan.toml"
        path.write_text(random_plan(seed), encoding="utf-8")
        found += check_agreement(read_plan(path))
    return found


@pytest.mark.parametrize("batch", range(4))
def test_random_plans(batch: int, tmp_path: Path) -> None:
    assert check_random(range(15 * batch, 15 * batch + 15), tmp_path) > 50


@pytest.mark.slow
def test_many_random_plans(tmp_path: Path) -> None:
    print(check_random(range(1000, 1500), tmp_path), "passes")


def test_a_satellite_without_a_pass_has_a_budget() -> None:
    budget = parse_budget(format_budget(Budget("p", "", 1, (), ("one", "two"))))
    assert budget.for_satellite("two").passes == ()
