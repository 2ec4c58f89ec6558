"""Scenario files: defaults, messages, what was run written out, and the faults drawn from a seed."""

import pytest

from swathpack.edge.downlink.budget import parse_time
from swathpack.hil_tests.campaigns.injections import make_schedule
from swathpack.hil_tests.scenario.catalogue import CATALOGUE
from swathpack.hil_tests.scenario.read import FOLDER, parse_scenario, read_scenario, to_toml
from swathpack.hil_tests.simulation.orbit import find_passes
from swathpack.tools.errors import UserError

pytest.importorskip("skyfield")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dys = 3", "dys: no such key; did you mean days"),
        ("days = -1", "days: expected 0.01 to 400, found -1"),
        ("days = true", "days: expected a number, found True"),
        ("seed = 1.5", "seed: expected a whole number"),
        ("start = 'soon'", "start: expected a UTC time"),
        ("passes = 3", "passes: expected a table"),
        ("[passes]\nshare = 2", "passes.share: expected 1e-06 to 1, found 2"),
        ("[board]\ntile = 100", "board.tile: expected a multiple of 64"),
        ("[link]\nloss_high = 0.5", "link: expected loss"),
        ("[[fault]]\nkind = 'kil'", "fault 1.kind: expected one of .*did you mean kill"),
        ("[[fault]]\nkind = 'kill'\n[[fault]]\nkind = 'kill'", "each kind once"),
        ("[fault]\nkind = 'kill'", r"expected \[\[fault\]\] tables"),
        ("days = ", "line 1|Invalid value"),
    ],
)
def test_messages_name_the_key(text, message):
    with pytest.raises(UserError, match=message):
        parse_scenario(text)


def test_unknown_scenarios_list_the_shipped_ones():
    with pytest.raises(UserError, match="quick, standard"):
        read_scenario("nonsense")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_scenarios_read_and_write_themselves(path):
    scenario = read_scenario(path.stem)
    assert parse_scenario(to_toml(scenario)) == scenario
    assert scenario.description


def test_the_standard_campaign_has_every_class_at_least_five_times():
    scenario = read_scenario("standard")
    counts = {fault.kind: fault.count for fault in scenario.fault}
    assert counts.keys() == CATALOGUE.keys() and min(counts.values()) >= 5
    assert scenario.days >= 30 and scenario.require.passes >= 40 and scenario.require.injections == 5


def test_faults_are_drawn_from_the_seed_and_spread():
    scenario = read_scenario("standard", days=10)
    start = parse_time(scenario.start)
    orbit = find_passes(scenario, start)
    assert orbit.check() == [] and len(orbit.passes) >= 15
    first, again = make_schedule(scenario, orbit, start), make_schedule(scenario, orbit, start)
    assert [(i.kind, i.time, i.target) for i in first.injections] == [
        (i.kind, i.time, i.target) for i in again.injections
    ]
    other = make_schedule(read_scenario("standard", days=10, seed=2), orbit, start)
    assert [i.time for i in first.injections] != [i.time for i in other.injections]
    board = [i.time for i in first.of("board")]
    assert min(board) < start + 3 * 86400 and max(board) > start + 8 * 86400
    assert all(start <= shot.time < start + 10 * 86400 for shot in first.shots)
