"""Whole campaigns: the shipped quick one twice with the same digest, a board that lies caught, the standard one (slow)."""

import json

import pytest

from swathpack.hil_tests.boards.launch import launcher
from swathpack.hil_tests.report.write import run_and_report
from swathpack.hil_tests.scenario.read import parse_scenario, read_scenario
from swathpack.tools.cli import main
from swathpack.tools.errors import UserError

pytest.importorskip("skyfield")
TINY = """
days = 0.35
seed = 7
[passes]
station = "tromso"
min_elevation_deg = 5
per_day = 1
share = 0.0002
[sensor]
data = "synthetic"
places = 1
every_h = 3
height = 64
[board]
canary_s = 86400
[require]
days = 0.3
passes = 1
injections = 1
psnr_db = 30
"""
FAULTS = "".join(f'[[fault]]\nkind = "{kind}"\ncount = 1\n' for kind in ("power_cut", "wrong_shape"))


def test_a_small_campaign_meets_its_requirements(tmp_path):
    scenario = parse_scenario(TINY + FAULTS, "tiny")
    found, text = run_and_report(scenario, "local", tmp_path, None)
    assert all(v.good for v in found), text
    summary = json.loads((tmp_path / "campaign.json").read_text())
    assert summary["good"] and summary["lives"][0]["ended"] == -9
    assert summary["tile_frames"] == summary["complete"] > 0
    assert {row["kind"]: row["injected"] for row in summary["faults"]} == {"power_cut": 1, "wrong_shape": 1}
    assert "All requirements met" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "kinds", [("flip_context", "flip_code", "flip_engine", "flip_tables"), ("kill", "brownout", "disk_full")]
)
def test_runs_are_repeated_to_the_byte(tmp_path, kinds):
    text = TINY + "".join(f'[[fault]]\nkind = "{kind}"\ncount = 1\n' for kind in kinds)
    digests = []
    for turn in range(2):
        folder = tmp_path / str(turn)
        folder.mkdir()
        run_and_report(parse_scenario(text.replace("days = 0.35", "days = 1.2"), "again"), "local", folder, None)
        digests.append(json.loads((folder / "campaign.json").read_text())["digest"])
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_the_standard_campaign(tmp_path):
    found, text = run_and_report(read_scenario("standard"), "local", tmp_path, None)
    assert all(v.good for v in found), text


def test_the_command_refuses_what_it_cannot_do(tmp_path, capsys):
    (tmp_path / "mine.txt").touch()
    assert main(["hil", "quick", "--out", str(tmp_path)]) == 1
    assert "no earlier campaign's folder" in capsys.readouterr().err and (tmp_path / "mine.txt").exists()
    assert main(["hil", "nonsense", "--out", str(tmp_path / "x")]) == 1
    assert "shipped: quick, standard" in capsys.readouterr().err
    assert main(["hil"]) == 1
    assert main(["hil", "--list"]) == 0 and "standard" in capsys.readouterr().out
    with pytest.raises(UserError, match="expected local, emulated-orin or ssh"):
        launcher("moon", tmp_path)
