"""Whole campaigns: the shipped quick one twice with the same digest, a board that lies caught, the standard one (slow)."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swathpack.hil_tests.boards.launch import launcher
from swathpack.hil_tests.command import in_its_place
from swathpack.hil_tests.report.write import run_and_report
from swathpack.hil_tests.scenario.read import parse_scenario, read_scenario
from swathpack.tools.cli import main
from swathpack.tools.errors import REFUSED, UserError

pytestmark = pytest.mark.long

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


def test_a_campaign_with_a_guarantee_brings_every_count_back(tmp_path):
    text = TINY.replace("canary_s", "max_error = 0\ncanary_s").replace("share = 0.0002", "share = 0.02")
    scenario = parse_scenario(text.replace("psnr_db = 30", "psnr_db = 100") + FAULTS, "tiny")
    found, said = run_and_report(scenario, "local", tmp_path, None)
    assert all(v.good for v in found), said
    summary = json.loads((tmp_path / "campaign.json").read_text())
    assert summary["tile_frames"] == summary["complete"] > 0


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


def test_check_says_what_would_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.toml").write_text(TINY + '[[fault]]\nkind = "heat"\nat_h = [2.5, 4]\n')
    assert main(["hil", "my.toml", "--check"]) == 0
    told = capsys.readouterr().out
    assert "my: good; 0.35 days" in told and "passes: 1, frames: 2, places: 1, faults: 2" in told
    assert "heat                   2  at hour 2.50, 4.00" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.toml"]


def test_ctrl_c_leaves_a_report_of_what_ran(tmp_path):
    """The first one ends the run where it is; the board, in a session of its own, is stopped by the campaign."""
    scenario = tmp_path / "long.toml"
    scenario.write_text(TINY.replace("days = 0.35", "days = 30").replace("every_h = 3", "every_h = 1"))
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "swathpack.tools.cli", "hil", str(scenario), "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    for _ in range(600):
        if list((out / "board").glob("state/log/events.jsonl")):
            break
        time.sleep(0.1)
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGINT)
    told, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and "Ran to its end: stopped by hand on day" in told
    summary = json.loads((out / "campaign.json").read_text())
    assert 0 <= summary["days"] < 30 and not summary["good"] and summary["stopped"] and summary["crashes"] == []
    assert "stopped by hand" in (out / "report.html").read_text() and (out / "scenario.toml").exists()


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()]
)
@pytest.mark.parametrize("before", [True, False])
def test_an_earlier_campaign_stays_until_there_is_a_new_one(tmp_path, failure, before):
    folder = tmp_path / "out"
    if before:
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "report.html").write_text("old")
    with pytest.raises(UserError if isinstance(failure, OSError) else type(failure)), in_its_place(folder):
        (folder / "half").write_text("half")
        raise failure
    assert folder.exists() == before and [p.name for p in tmp_path.iterdir()] == ["out"] * before
    assert not before or (folder / "deep" / "report.html").read_text() == "old"
    with in_its_place(folder):
        (folder / "report.html").write_text("new")
    assert sorted(p.name for p in folder.iterdir()) == ["board.log", "report.html"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_full_disk_during_a_campaign(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "board.log").write_text("old")
    (tmp_path / "tiny.toml").write_text(TINY)
    limit = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); from swathpack.tools.cli import main; "
    limit += "sys.exit(main(['hil', 'tiny.toml', '--out', 'out']))"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", limit], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["board.log"]
    assert (tmp_path / "out" / "board.log").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "tiny.toml"]


@pytest.mark.slow
def test_the_standard_campaign(tmp_path):
    found, text = run_and_report(read_scenario("standard"), "local", tmp_path, None)
    assert all(v.good for v in found), text


def test_the_command_refuses_what_it_cannot_do(tmp_path, capsys):
    (tmp_path / "mine.txt").touch()
    assert main(["hil", "quick", "--out", str(tmp_path)]) == REFUSED
    assert "no earlier campaign's folder" in capsys.readouterr().err and (tmp_path / "mine.txt").exists()
    assert main(["hil", "nonsense", "--out", str(tmp_path / "x")]) == 1
    assert "shipped: quick, standard" in capsys.readouterr().err
    assert main(["hil"]) == 2
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    (earlier / "board.log").touch()
    (earlier / "report.html").touch()
    (tmp_path / "mars.toml").write_text("[passes]\nstation = 'mars'\n")
    for arguments, message, code in (
        ([str(tmp_path / "mars.toml")], "passes.station: expected one of", 1),
        (["quick", "--data", str(tmp_path)], "--data: the scenario takes synthetic scenes", 1),
        (["standard", "--data", str(tmp_path / "none")], "no cubes in", 1),
        (["quick", "--board", "moon"], "--board: expected local", 2),
        (["quick", "--days", "0"], "--days: expected 0.01 to 400, found 0", 2),
        (["quick", "--days", "nan"], "--days: expected 0.01 to 400, found nan", 2),
        (["quick", "--seed", "-1"], "--seed: expected 0 to 2147483648, found -1", 2),
        (["--list", "--days", "2", "--board", "emulated-orin"], "--days, --board: expected without --list", 2),
    ):
        for more in (["--out", str(earlier)], ["--check"]):
            if "--list" in arguments:
                more = []
            assert main(["hil", *arguments, *more]) == code
            assert message in capsys.readouterr().err and (earlier / "report.html").exists()
    assert main(["hil", "quick", "--check", "--out", str(earlier)]) == 2
    assert "--out: expected without --check" in capsys.readouterr().err
    assert main(["hil", "--list"]) == 0 and "standard" in capsys.readouterr().out
    with pytest.raises(UserError, match="expected local, emulated-orin or ssh"):
        launcher("moon", tmp_path)
