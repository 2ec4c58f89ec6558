"""Verdicts and reports from records that were made by hand: what is wrong must be named, in all three files."""

import json
import math
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from swathpack.edge.codec.protocol import TileKey
from swathpack.hil_tests.campaigns.injections import Injection
from swathpack.hil_tests.campaigns.record import Life, PassRecord, Record
from swathpack.hil_tests.campaigns.verdict import fault_table, verdicts
from swathpack.hil_tests.report import outputs
from swathpack.hil_tests.report.page import render
from swathpack.hil_tests.scenario.catalogue import CATALOGUE
from swathpack.hil_tests.scenario.read import parse_scenario
from swathpack.hil_tests.simulation.truth import WrongImage
from swathpack.tools.pages.pictures import data_uri

START, DAY = 1_796_083_200.0, 86400.0


def made_record(days=6):
    """A record with one fault of every kind, a pass every twelve hours and two places."""
    record = Record("hand-made", "local", 5, days, "nothing real", ["first place", "second <place>"])
    for n, kind in enumerate(CATALOGUE):
        time = START + (n + 1) * days * DAY / (len(CATALOGUE) + 2)
        i = Injection(n, kind, 1.0, time, time + 3600, 1, injected=True)
        if CATALOGUE[kind].told:
            i.tell(time + 20, "an event")
        i.recover(time + 7200, "all is well")
        record.injections.append(i)
    for n in range(2 * days):
        at = START + n * DAY / 2 + 1000
        record.passes.append(
            PassRecord(
                n + 1,
                at,
                at + 500,
                40 + n,
                30_000,
                sent=20_000 + 700 * n,
                packets=40 + n,
                arrived=19_000,
                lost=2,
                queue=25_000,
            )
        )
    for n in range(days * 96):
        wave = math.sin(n / 9)
        record.samples.append(
            {
                "t": START + n * 900,
                "work": n % 5,
                "tiles": n % 30,
                "queue_bytes": 9000 + 8000 * wave,
                "context": n // 10,
                "share": 1.0,
                "temperature_c": 25 + 12 * wave,
                "power_w": 4 + wave,
                "charge": 0.8 + 0.1 * wave,
            }
        )
    for n in range(days * 4):
        record.quality.append(
            {
                "t": START + n * DAY / 4 + 40_000,
                "tile": (n % 2) << 16,
                "time": int(START + n * DAY / 4),
                "layers": 16,
                "psnr": 38 + n % 3,
            }
        )
    record.lives = [Life(START, START + DAY, -9), Life(START + DAY + 20)]
    record.tile_frames = record.complete = days * 4
    record.books, record.link = {"load_wh": 100.0}, {"bytes sent": 1000}
    ramp = (np.arange(64 * 32 * 3) % 255).astype(np.uint8).reshape(64, 32, 3)
    record.pictures = [{"before": data_uri(ramp), "after": data_uri(ramp), "title": "as it is", "text": "41 dB"}] * 4
    record.note(START, "board", "started")
    return record


SCENARIO = parse_scenario("days = 6\n[require]\ndays = 6\npasses = 10\ninjections = 1\npsnr_db = 30")


def test_a_good_record_meets_everything():
    record = made_record()
    assert [v.name for v in verdicts(record, SCENARIO) if not v.good] == []
    assert all(row.good for row in fault_table(record)) and len(fault_table(record)) == len(CATALOGUE)


def break_missing(record):
    record.missing = ["tile 3 at 5: 4 of 16 layers"]


def break_wrong(record):
    record.wrong = [WrongImage(TileKey(3, 5), 16, START, "the undisturbed codec")]


def break_told(record):
    record.injections[-1].told_at = 0.0


def break_over(record):
    record.injections[0].recovered_at = 0.0


def break_few(record):
    record.injections[3].injected = False


def break_budget(record):
    record.over_budget = ["pass 3: 31 of 30 bytes"]


def break_quality(record):
    for row in record.quality:
        row["psnr"] = 20.0


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        (break_missing, "Nothing lost"),
        (break_wrong, "No wrong image"),
        (break_told, "Every fault is noticed"),
        (break_over, "Every fault is over in the end"),
        (break_few, "Every fault class injected"),
        (break_budget, "No budget exceeded"),
        (break_quality, "Image quality in the end"),
    ],
)
def test_what_is_wrong_is_named_everywhere(harm, name, tmp_path):
    record = made_record()
    harm(record)
    found = verdicts(record, SCENARIO)
    assert [v.name for v in found if not v.good] == [name]
    outputs.write(record, SCENARIO, found, tmp_path)
    summary = json.loads((tmp_path / "campaign.json").read_text())
    assert summary["good"] is False and summary["digest"] == record.digest()
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert name in failed and int(suite.get("failures")) == len(failed) and int(suite.get("tests")) == len(suite)
    assert "1 of 12 requirements not met" in render(record, SCENARIO, found)
    assert f"BAD  {name}" in outputs.table(record, found)


def test_the_page_is_whole_and_loads_nothing():
    record = made_record()
    page = render(record, SCENARIO, verdicts(record, SCENARIO))
    assert "All requirements met" in page and "second &lt;place&gt;" in page and "second <place>" not in page
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")
    assert page.count("<svg") == page.count("</svg>") >= 10 and record.digest() in page
    assert all(kind.replace("_", " ") in page for kind in CATALOGUE)


def test_the_digest_tells_any_change_of_the_log():
    one, other = made_record(), made_record()
    assert one.digest() == other.digest()
    other.note(START + 1, "event", "clock_jump", seconds=3.0)
    assert one.digest() != other.digest()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium here")
def test_the_page_in_a_browser(tmp_path):
    record = made_record()
    (tmp_path / "report.html").write_text(render(record, SCENARIO, verdicts(record, SCENARIO)))
    shot = tmp_path / "report.png"
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--window-size=1180,4200",
        f"--screenshot={shot}",
        f"file://{tmp_path}/report.html",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    assert shot.stat().st_size > 50_000
