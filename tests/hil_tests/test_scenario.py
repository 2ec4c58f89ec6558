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
        ("dys = 3", "dys: no such key; did you mean 'days'"),
        ("days = -1", "days: expected 0.01 to 400, found -1"),
        ("days = true", "days: expected a number from 0.01 to 400, found True"),
        ("seed = 1.5", "seed: expected a whole number"),
        ("start = 'soon'", "start: expected a UTC time"),
        ("passes = 3", "passes: expected a table"),
        ("[passes]\nshare = 2", "passes.share: expected 1e-06 to 1, found 2"),
        ("[board]\ntile = 100", "board.tile: expected a multiple of 64"),
        ("[link]\nloss_high = 0.5", "link: expected loss"),
        ("[[fault]]\nkind = 'kil'", "fault 1.kind: expected one of .*did you mean 'kill'"),
        ("[[fault]]\nkind = 'kill'\n[[fault]]\nkind = 'kill'", "each kind once"),
        ("[fault]\nkind = 'kill'", r"expected \[\[fault\]\] tables"),
        ("days = ", "line 1|Invalid value"),
        ("", "expected a scenario, found no key"),
        ("# nothing", "expected a scenario, found no key"),
        ("'' = 3", "'': no such key; known"),
        ("name = ''", "name: expected a text that is not empty"),
        ("name = '../x'", "name: expected a name that can be a folder's, found '../x'"),
        ("name = '..'", "name: expected a name that can be a folder's"),
        ("[passes]\nplan = ''", "passes.plan: expected a text that is not empty"),
        ("[board]\nengine = ''", "board.engine: expected a text that is not empty"),
        ("[board]\nengine = 'onnxruntme'", "board.engine: expected auto or names of"),
        ("[[fault]]", "fault 1.kind: expected one of .*, found none"),
        ("[[fault]]\ncount = 2", "fault 1.kind: expected one of .*, found none"),
        ("[[fault]]\nkind = ''", "fault 1.kind: expected a text that is not empty"),
        ("[[fault]]\nkind = 'kill'\nat_h = 3", "fault 1.at_h: expected a list"),
        ("[[fault]]\nkind = 'kill'\nat_h = []", "fault 1.at_h: expected a list of 1 to"),
        ("[[fault]]\nkind = 'kill'\nat_h = ['x']", "fault 1.at_h: expected a number"),
        ("[[fault]]\nkind = 'kill'\nat_h = [-1]", "fault 1.at_h: expected 0 to 9600"),
        (
            "days = 1\n[[fault]]\nkind = 'kill'\nat_h = [3, 24]",
            "fault 1.at_h: expected less than the campaign's 24 hours",
        ),
        ("[[fault]]\nkind = 'kill'\nat_h = [3, 4]\ncount = 3", "fault 1.count: expected 2"),
        ("[[fault]]\nkind = 'kill'\nhours = 2", "fault 1.hours: expected none, for kill has none, found 2"),
        (
            "[[fault]]\nkind = 'clouds'\n[[fault]]\nkind = 'nan_frame'\nstrength = 0.5",
            "fault 2.strength: expected none",
        ),
        ("[board]\nq = 20\nmax_error = 0", "board.q: expected without board.max_error"),
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


def test_what_was_run_is_written_out_whatever_it_says():
    text = """description = 'says "hi" \\\\ \u00e9'\n[[fault]]\nkind = 'heat'\nat_h = [3, 30.5]\nhours = 2\n"""
    scenario = parse_scenario(text)
    assert parse_scenario(to_toml(scenario)) == scenario and scenario.fault[0].count == 2


def test_faults_at_given_times():
    text = "days = 4\n[sensor]\nevery_h = 6\n" + "".join(
        f"[[fault]]\nkind = '{kind}'\nat_h = [30.25, 50]\n" for kind in ("heat", "clouds", "fade", "report_lost")
    )
    scenario = parse_scenario(text + "[[fault]]\nkind = 'kill'\ncount = 3\n")
    start = parse_time(scenario.start)
    orbit = find_passes(scenario, start)
    schedule = make_schedule(scenario, orbit, start)
    times = {kind: [i.time - start for i in schedule.injections if i.kind == kind] for kind in CATALOGUE}
    wanted = [30.25 * 3600, 50 * 3600]
    assert times["heat"] == wanted and len(times["kill"]) == 3
    assert [i.until - i.time for i in schedule.injections if i.kind == "heat"] == [5 * 3600] * 2
    shots, passes = [s.time - start for s in schedule.shots], [p.budget.start_s - start for p in orbit.passes]
    assert times["clouds"] == [min(t for t in shots if t >= w) for w in wanted]
    assert times["fade"] == times["report_lost"] == [min(t for t in passes if t >= w) for w in wanted]
    assert sum(("clouds", CATALOGUE["clouds"].strength) in shot.wrongs for shot in schedule.shots) == 2
    assert len({i.number for i in schedule.injections}) == len(schedule.injections)
    # Those that are drawn stay where they are without the others.
    alone = make_schedule(
        parse_scenario("days = 4\n[sensor]\nevery_h = 6\n[[fault]]\nkind = 'kill'\ncount = 3\n"), orbit, start
    )
    assert [i.time for i in alone.injections] == [i.time for i in schedule.injections if i.kind == "kill"]


@pytest.mark.parametrize("kind", ["clouds", "fade"])
def test_a_time_after_the_last_frame_or_pass_is_refused(kind):
    scenario = parse_scenario(f"days = 1\n[[fault]]\nkind = '{kind}'\nat_h = [23.99]\n")
    start = parse_time(scenario.start)
    with pytest.raises(UserError, match=f"fault {kind}: at_h: expected a .* from hour 23.99 on, the last is at"):
        make_schedule(scenario, find_passes(scenario, start), start)


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
