"""Whose passes a board flies when one budget plans several satellites."""

from __future__ import annotations

from pathlib import Path

import pytest

from swathpack.edge.config import ConfigError, parse_mission
from swathpack.edge.downlink.budget import read_budget
from swathpack.edge.outside import make_schedule
from swathpack.hil_tests.simulation.flight import Flight
from swathpack.tools.cli import main
from tests.tools.plan.test_loop_flight import MISSION, UHF


def test_the_next_plan_counts_from_one_again_and_is_flown_all_the_same(write_plan, tmp_path: Path) -> None:
    def load(start: str):
        swaps = (*UHF, ("days = 2", "days = 0.5"), ("2026-12-01T00:00:00Z", start))
        assert main(["plan", str(write_plan(*swaps)), "--out", str(tmp_path / "plan"), "--force"]) == 0
        passes = read_budget(tmp_path / "plan" / "budget.toml").passes
        return passes, make_schedule(flight.mission, flight.clock, flight.board.queue)

    def number(schedule, contact) -> int:
        flight.clock.jump_wall(contact.start_s + 1 - flight.clock.wall())
        return schedule.current().number

    flight = Flight(tmp_path, frames=0, text=MISSION)
    passes, schedule = load("2026-12-01T00:00:00Z")
    assert [number(schedule, one) for one in passes] == [one.id for one in passes]
    for one in passes[:2]:
        flight.board.queue.passes.begin(one.id, one.bytes)
        flight.board.queue.passes.end(one.id, one.bytes)
    again, schedule = load("2026-12-01T00:00:00Z")
    assert [number(schedule, one) for one in again] == [one.id for one in passes], "the same plan after a restart"
    later, schedule = load("2026-12-08T00:00:00Z")
    assert later[0].id == passes[0].id
    assert [number(schedule, one) for one in later] == [passes[1].id + 1 + n for n in range(len(later))]
    flight.board.close()


def test_a_board_flies_its_own_passes_only(write_plan, tmp_path: Path) -> None:
    """A budget of two satellites: without a name there is no schedule, with one no pass of the other."""
    two = '\n[[satellite]]\nname = "two"\nelements = { altitude_km = 510, sun_synchronous = true, ltan_hours = 14 }\n'
    path = write_plan(*UHF, ("days = 2", "days = 0.5"), more=two)
    assert main(["plan", str(path), "--out", str(tmp_path / "plan")]) == 0
    assert len(read_budget(tmp_path / "plan" / "budget.toml").satellites()) == 2
    flight = Flight(tmp_path, frames=0, text=MISSION)
    with pytest.raises(ConfigError, match="passes.satellite: expected one of one, two"):
        make_schedule(flight.mission, flight.clock, flight.board.queue)
    named = parse_mission(MISSION.replace("paced = true", 'paced = true\nsatellite = "two"'), tmp_path)
    schedule = make_schedule(named, flight.clock, flight.board.queue)
    for contact in read_budget(tmp_path / "plan" / "budget.toml").passes:
        flight.clock.jump_wall(contact.start_s + 1 - flight.clock.wall())
        now = schedule.current()
        if contact.satellite == "two":
            assert now is not None and now.number == contact.id
        else:
            assert now is None or now.number != contact.id
    flight.board.close()
