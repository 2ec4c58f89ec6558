"""`swathpack plan`: --check, --init, --compare with many, --sweep; and that the summaries count what is there."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from swathpack.tools.cli import main
from swathpack.tools.errors import REFUSED, USAGE, UsageError
from swathpack.tools.plan import page
from swathpack.tools.plan.document import TEMPLATE, presets
from swathpack.tools.plan.inputs import read_plan
from swathpack.tools.plan.report import table
from swathpack.tools.plan.sweep import parse_sweep


@pytest.mark.parametrize("name", presets())
def test_check_of_every_preset(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", name, "--check", "--days", "2"]) == 0
    assert capsys.readouterr().out.startswith(f"{name}: good; ")


def test_check_takes_all_presets_or_those_named(write_plan, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--check", "--days", "1"]) == 0
    assert re.findall(r"^(\S+): good;", capsys.readouterr().out, re.M) == presets()
    assert main(["plan", "s-band-cubesat", str(write_plan()), "--check", "--days", "1"]) == 0
    told = capsys.readouterr().out
    assert "1 satellite, 2 stations, 7 areas, 1 day" in told and "small: good; 1 satellite, 1 station, 2 areas" in told
    assert main(["plan", str(write_plan(("days = 2", "days = -2"))), "--check"]) == 1
    assert "days: expected" in capsys.readouterr().err


def test_what_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, write_plan, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for more in ([], ["--sweep", "radio.margin_db=1:2:1"]):
        assert main(["plan", str(write_plan()), "--out", str(tmp_path / "file"), *more]) == REFUSED
        told = capsys.readouterr()
        assert "file is a file: expected a folder" in told.err and not told.out
    assert main(["plan", str(write_plan()), "--check", "--out", "x", "--no-files"]) == USAGE
    assert "--out, --no-files: expected without --check" in capsys.readouterr().err


def test_init_writes_a_plan_that_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    assert main(["plan", "--init", str(path)]) == 0
    assert main(["plan", str(path), "--check"]) == 0
    before = path.read_bytes()
    assert main(["plan", "--init", str(path)]) == REFUSED
    assert "exists: give another name" in capsys.readouterr().err and path.read_bytes() == before


def test_what_the_template_has_as_comments_are_the_defaults(tmp_path: Path) -> None:
    """Every `# key = value` line taken in: known keys, and (but for the catalogue's station and the bands) the same plan."""
    text = (TEMPLATE).read_text()
    full = re.sub(r"^# (?!extends|bands)([a-z_]+ = )", r"\1", text, flags=re.M)
    assert full.count("\n# ") < 16 and full != text
    plans = []
    for name, content in (("a", text), ("b", full)):
        (tmp_path / f"{name}.toml").write_text(content)
        plans.append(read_plan(tmp_path / f"{name}.toml"))
    bare, whole = plans
    for field in (
        "radio",
        "imager",
        "codec",
        "storage_gbyte",
        "energy_wh_per_orbit",
        "gbyte_value",
        "cost_limit_per_day",
        "uncertainty",
        "days",
        "seed",
    ):
        a, b = getattr(bare, field), getattr(whole, field)
        if field == "radio":
            assert b.g_over_t_dbk == 10  # the one that has no default
            b = type(b)(**{**b.__dict__, "g_over_t_dbk": None})
        assert a == b, field
    one, other = (plan.stations[1] for plan in plans)
    assert {**one.__dict__, "horizon_mask": (), "hours_utc": ()} == {
        **other.__dict__,
        "horizon_mask": (),
        "hours_utc": (),
    }


def test_many_plans_side_by_side(write_plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write_plan()
    others = []
    for name, rate in (("fast", 2), ("faster", 4)):
        others.append(str(tmp_path / f"{name}.toml"))
        Path(others[-1]).write_text(f'extends = "{first}"\nname = "{name}"\n[radio]\nbitrate_mbit_s = {rate}\n')
    out = tmp_path / "out"
    assert main(["plan", str(first), "--days", "1", "--compare", *others, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    row = [line for line in told.splitlines() if "downlink, clear sky" in line][-1]
    assert "+100 %" in row and "+300 %" in row
    assert (out / "fast/budget.toml").is_file() and (out / "faster/budget.toml").is_file()
    html = (out / "plan.html").read_text()
    assert html.count("<h3>") == 3 and "+300 %" in html
    assert main(["plan", str(first), "--compare", str(first), "--no-files"]) == 2
    assert "names of their own" in capsys.readouterr().err
    assert main(["plan", str(first), others[0], "--no-files"]) == 2
    assert "--compare sets others beside it" in capsys.readouterr().err


def test_a_sweep(write_plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    sweep = ["--sweep", "radio.bitrate_mbit_s=0.5:1.5:0.5"]
    assert main(["plan", str(write_plan()), "--days", "1", *sweep, "--out", str(out)]) == 0
    rows = list(csv.DictReader((out / "sweep.csv").read_text().splitlines()))
    assert [row["radio.bitrate_mbit_s"] for row in rows] == ["0.5", "1.0", "1.5"]
    bytes_a_day = [float(row["downlink, clear sky (GB a day)"]) for row in rows]
    assert bytes_a_day[1] == pytest.approx(2 * bytes_a_day[0], rel=1e-3) and bytes_a_day[2] > bytes_a_day[1]
    html = (out / "sweep.html").read_text()
    charts = re.findall(r"<svg.*?</svg>", html, flags=re.S)
    assert len(charts) == 20 and not re.search(r"(src|href)=|url\(|<script", html)
    for chart in charts:
        assert len(ElementTree.fromstring(chart).findall("circle")) == 3
    assert "radio.bitrate_mbit_s" in capsys.readouterr().out
    for bad in ("radio.bitrate_mbit_s", "x=1:2", "x=1:2:0", "x=2:1:1", "x=a:b:c", "=1:2:1", "x=0:1000:1", "x=nan:1:1"):
        with pytest.raises(UsageError, match="--sweep: expected"):
            parse_sweep(bad)
    assert main(["plan", str(write_plan()), "--sweep", "radio.margin_db=1:50:7", "--no-files"]) == 1
    assert "margin_db: expected 0 to 20" in capsys.readouterr().err


def test_sweep_values_are_what_was_written() -> None:
    assert parse_sweep("k=0.1:0.5:0.1") == ("k", [0.1, 0.2, 0.3, 0.4, 0.5])
    key, values = parse_sweep("radio.packet_bytes=512:2048:512")
    assert values == [512, 1024, 1536, 2048] and all(isinstance(v, int) for v in values)


def test_summaries_count_what_the_plan_has(small_outcome, capsys: pytest.CaptureFixture[str]) -> None:
    assert "1 satellite, 1 station, 2 areas, 2 days" in table(small_outcome)
    html = page.render([small_outcome])
    assert "1 satellite, 1 station, 2 areas, 2 days" in html
    count = len(small_outcome.schedule.contacts)
    assert f"The first {min(12, count)} of {count} passes." in html
    assert table(small_outcome).startswith("small\n") and "<p class='sub'>2026" in html  # it has no description
    assert main(["plan", "--presets"]) == 0
    told = capsys.readouterr().out
    for name in presets():
        plan = read_plan(name)
        stations, areas = len(plan.stations), len(plan.areas)
        counts = f"{len(plan.satellites)} satellites?, {stations} stations, {areas} areas, {plan.days:g} days"
        assert re.search(rf"{name} .*\({counts}\)", told)
        assert not re.search(r"\b(one|two|three|four|ten|\d+) (station|satellite|day|smallsat)", plan.description, re.I)


def test_nothing_that_is_there_is_lost(
    write_plan, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    """Files of an earlier plan need --force, a plan that is read never is written over, and a failure leaves all as it was."""
    plan, out = write_plan(), tmp_path / "out"
    words = ["plan", str(plan), "--days", "1", "--out"]
    assert main([*words, str(out)]) == 0
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert main([*words, str(out), "--seed", "9"]) == REFUSED
    assert "budget.toml exists" in capsys.readouterr().err
    (tmp_path / "here").mkdir()
    mine = tmp_path / "here/budget.toml"  # a plan file under the name of one that is written
    mine.write_bytes(plan.read_bytes())
    assert main(["plan", str(mine), "--days", "1", "--out", str(mine.parent), "--force"]) == REFUSED
    assert "is an input" in capsys.readouterr().err and mine.read_bytes() == plan.read_bytes()

    def full(outcomes: object) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(page, "render", full)
        assert main([*words, str(out), "--seed", "9", "--force"]) == 1
    assert "No space left" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert main([*words, str(out), "--seed", "9", "--force"]) == 0
    assert (out / "budget.toml").read_bytes() != first["budget.toml"]


def test_a_malformed_sweep_is_usage(write_plan, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong whatever the plan says, so code 2 as docs/commands.md has it; it was 1."""
    assert main(["plan", str(write_plan()), "--sweep", "radio.margin_db=3:1:1", "--no-files"]) == USAGE
    assert "--sweep: expected" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["max_error = 70", 'board = "abacus"', 'power_mode = "1W"'])
def test_what_the_rates_refuse_begins_with_the_file(write_plan, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every message of a plan begins with the file of its key."""
    path = write_plan(more=f"\n[codec]\n{key}\n") if "[codec]" not in write_plan().read_text() else None
    path = path or write_plan(("[codec]", f"[codec]\n{key}"))
    assert main(["plan", str(path), "--check"]) == 1
    said = capsys.readouterr().err
    assert f"plan: plan.toml: [codec] {key.split()[0]}: " in said, said
