"""Whose passes a board flies when one budget plans several satellites."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.board import make_schedule
from edge.budget import read_budget
from edge.config import ConfigError, parse_mission
from tests.edge.flight import Flight
from tests.tools.plan.test_loop_flight import MISSION, UHF
from tools.cli import main


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
