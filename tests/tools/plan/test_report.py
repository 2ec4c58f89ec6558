"""The command's output: the table, the files, and a page that needs nothing else."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from types import SimpleNamespace

import pytest

from swathpack.tools.cli import main
from swathpack.tools.pages.svg import ticks
from swathpack.tools.plan import charts, page
from swathpack.tools.plan.model import plan_warnings
from swathpack.tools.plan.report import change, compare_table, headline, ladder, number, passes_csv, plan_json, table


def test_command_writes_everything(write_plan, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["plan", str(write_plan()), "--days", "1", "--out", str(out), "--png"]) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "budget.toml",
        "passes.csv",
        "plan.html",
        "plan.json",
        "plan.png",
    ]
    assert "tiles on the ground" in capsys.readouterr().out
    document = json.loads((out / "plan.json").read_text())
    assert document["days"] == 1 and document["schema"] == "swathpack-plan-1"
    assert (out / "plan.png").read_bytes().startswith(b"\x89PNG")


def test_page_is_self_contained(small_outcome) -> None:
    html = page.render([small_outcome, small_outcome])
    assert "<script" not in html and "@import" not in html and "<link" not in html
    assert not re.search(r"(src|href)=|url\(", html)
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan", "", html.lower())
    for svg in re.findall(r"<svg.*?</svg>", html, flags=re.S):
        ElementTree.fromstring(svg)
    assert html.count("What if") == 1 and "What if" not in page.render([small_outcome])


def test_hostile_names_are_escaped(small_outcome) -> None:
    hostile = replace(small_outcome, plan=replace(small_outcome.plan, name="<img src=x>", description='"&<b>'))
    html = page.render([hostile])
    assert "<img" not in html and "<b>" not in html.replace("<div><b>", "")


def test_numbers_agree_everywhere(small_outcome) -> None:
    rows = list(csv.DictReader(passes_csv(small_outcome).splitlines()))
    assert sum(int(row["bytes"]) for row in rows) == small_outcome.schedule.optimal_bytes
    assert sum(int(row["image_bytes_used"]) for row in rows) == small_outcome.total("sent_bytes")
    assert sum(int(row["tiles"]) for row in rows) == small_outcome.quality.tiles
    document = plan_json(small_outcome)
    assert sum(q["tiles"] for q in document["areas"].values()) == small_outcome.quality.tiles
    json.dumps(document, allow_nan=False)
    for row in ladder(small_outcome):
        assert row["tiles_per_day"] * row["tile_bytes"] == pytest.approx(small_outcome.payload_bytes_per_day)
    assert small_outcome.raw_tiles_per_day * 256 * 256 * 12 * 12 / 8 == pytest.approx(
        small_outcome.payload_bytes_per_day
    )


def test_tables(small_outcome) -> None:
    text = table(small_outcome)
    assert all(what in text for what, _, _ in headline(small_outcome))
    both = compare_table([small_outcome, small_outcome])
    assert "+0 %" in both and "+0.0" in both
    assert change(10, 12, "a day") == "+20 %" and change(40.0, 41.5, "dB") == "+1.5" and change(0, 1, "x") == ""
    assert [number(v) for v in (1234.5, 12.34, 1.234, float("nan"))] == ["1,234", "12.3", "1.23", "-"]


def test_ticks_and_coastline() -> None:
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert all(low <= v <= high for low, high in ((3.2, 3.9), (-5, 1e6)) for v in ticks(low, high))
    rings = charts.coastline()
    assert len(rings) > 100 and all(abs(x) <= 180 and abs(y) <= 90 for ring in rings for x, y in ring)
    for piece in (p for ring in rings for p in charts.both_sides(ring)):
        jumps = [abs(a[0] - b[0]) for a, b in zip(piece, piece[1:])]
        assert max(jumps) < 180 or min(y for _, y in piece) <= -85


def test_a_plan_without_areas_or_contacts(write_plan, capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    path = write_plan(("eirp_dbw = 6.0", "eirp_dbw = -40.0"))
    assert main(["plan", str(path), "--out", str(tmp_path / "o"), "--png"]) == 0
    assert "no usable pass" in capsys.readouterr().out
    text = path.read_text()
    path.write_text(text[: text.index("[[area]]")] + text[text.index("[uncertainty]") :])
    assert main(["plan", str(path), "--out", str(tmp_path / "o2")]) == 0


def test_passes_that_carry_no_packet_are_warned_of(small_outcome) -> None:
    station = small_outcome.plan.stations[0]
    contacts = tuple(SimpleNamespace(bytes=size, station=station) for size in (39, 40, 8))
    found = plan_warnings(small_outcome.plan, replace(small_outcome.schedule, contacts=contacts), [])
    assert not any("carry nothing" in text for text in small_outcome.warnings)
    assert "2 of 3 passes carry nothing: of fewer bytes than the smallest packet, 40 (one that is signed: 54)" in found


def test_a_warning_says_which_of_two_plans_it_is_about(small_outcome) -> None:
    other = replace(small_outcome, plan=replace(small_outcome.plan, name="other"), warnings=["too dark", "shared"])
    html = page.render([replace(small_outcome, warnings=["shared"]), other])
    assert "<li>other: too dark</li>" in html and "<li>shared</li>" in html
