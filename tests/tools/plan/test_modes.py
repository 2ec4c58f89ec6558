"""The mode that the mission flies is a key of the plan; every output answers how many tiles a promise takes."""

from __future__ import annotations

import csv
import json
import math
import re

import pytest

from swathpack.edge.codec.settings import CodecSettings
from swathpack.tools.cli import main
from swathpack.tools.errors import UserError
from swathpack.tools.plan import page, picture, report
from swathpack.tools.plan.document import presets
from swathpack.tools.plan.inputs import read_plan
from swathpack.tools.plan.model import PLAYED, Outcome, evaluate, rates_of
from swathpack.tools.plan.rate_modes import MODES


def with_codec(write_plan, text: str, days: float = 1) -> Outcome:
    path = write_plan(("days = 2", f"days = {days:g}"), more=f"\n[codec]\n{text}\n")
    return evaluate(read_plan(path))


@pytest.fixture(scope="module")
def lossless(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    from tests.tools.plan.conftest import SMALL

    path = tmp_path_factory.mktemp("lossless") / "lossless.toml"
    path.write_text(SMALL.replace('"small"', '"exact"') + '\n[codec]\nmode = "predictive"\n')
    return evaluate(read_plan(path))


def test_the_modes_are_those_of_a_mission_file() -> None:
    words = CodecSettings.__dataclass_fields__["mode"].metadata["words"]
    assert set(words) <= set(MODES)
    assert read_plan("s-band-cubesat").codec.mode == CodecSettings().mode == "auto"


def test_answers_add_up(small_outcome: Outcome) -> None:
    """No promise puts more tiles on the ground than there are, or than the bytes hold; tighter ones never more than wider."""
    clear = small_outcome.clear_tiles_per_day
    answers = {a.name: a for a in small_outcome.answers}
    for answer in small_outcome.answers:
        assert answer.carried_per_day * answer.tile_bytes == pytest.approx(small_outcome.payload_bytes_per_day)
        assert (answer.tiles_per_day is not None) == (answer.name in PLAYED)
        if answer.tiles_per_day is not None:
            # Easy tiles come with hard ones, but a pass may end among either.
            assert 0 < answer.tiles_per_day <= min(clear, 1.1 * answer.carried_per_day)
    assert answers["lossless"].tiles_per_day <= answers["within 20 DN"].tiles_per_day
    carried = [a.carried_per_day for a in small_outcome.answers if a.max_error is not None]
    assert carried == sorted(carried)


def test_the_mode_that_is_played_is_the_one_that_is_planned(lossless: Outcome, small_outcome: Outcome) -> None:
    """A lossless plan has as many tiles as the answer `lossless` of any plan with the same passes and tiles."""
    answer = {a.name: a.tiles_per_day for a in small_outcome.answers}["lossless"]
    assert lossless.quality.tiles / lossless.plan.days == answer
    assert lossless.quality.rmse_dn_mean == 0 and lossless.quality.psnr_db_mean == math.inf
    assert small_outcome.quality.rmse_dn_mean > 0 and small_outcome.quality.tiles >= lossless.quality.tiles


def test_outputs_of_a_lossless_plan(lossless: Outcome, small_outcome: Outcome, tmp_path) -> None:
    text = report.table(lossless)
    assert "mode predictive, max_error 0" in text and "lossless" in text
    told = report.plan_json(lossless)
    json.dumps(told, allow_nan=False)
    assert told["quality"]["psnr_db_mean"] is None and told["quality"]["rmse_dn_mean"] == 0
    assert told["codec_figures"]["mode"] == "predictive" and told["codec_figures"]["max_error"] == 0
    html = page.render([lossless, small_outcome])
    assert "every value of every tile on the ground is exact" in html and "Every value of every tile is exact" in html
    for word in ("nan", "inf"):
        assert not re.search(rf"(?<![a-z]){word}(?![a-z])", html.lower())
    assert picture.draw(lossless, tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
    both = report.compare_table([small_outcome, lossless])
    assert "lossless, tiles" in both and "RMSE, mean of tiles" in both


def test_every_output_answers(small_outcome: Outcome, write_plan, tmp_path) -> None:
    text, html, told = report.table(small_outcome), page.render([small_outcome]), report.plan_json(small_outcome)
    for answer in small_outcome.answers:
        assert answer.name in text and answer.name in html
    assert {a["name"] for a in told["answers"]} == {a.name for a in small_outcome.answers}
    assert told["clear_tiles_per_day"] == small_outcome.clear_tiles_per_day
    sweep = ["--sweep", "radio.bitrate_mbit_s=0.5:2:0.5", "--days", "1", "--out", str(tmp_path / "out")]
    assert main(["plan", str(write_plan()), *sweep]) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "sweep.csv").read_text().splitlines()))
    for name in PLAYED:
        counts = [float(row[f"{name}, tiles (a day)"]) for row in rows]
        assert counts == sorted(counts) and counts[0] < counts[-1]
    errors = [float(row["RMSE, mean of tiles (DN)"]) for row in rows]
    assert errors == sorted(errors, reverse=True)


def test_a_wider_error_brings_more_tiles(write_plan, tmp_path) -> None:
    path = write_plan()
    sweep = ["--sweep", "codec.max_error=0:50:25", "--days", "1", "--out", str(tmp_path / "out")]
    assert main(["plan", str(path), *sweep]) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "sweep.csv").read_text().splitlines()))
    tiles = [float(row["tiles on the ground (a day)"]) for row in rows]
    assert tiles == sorted(tiles) and tiles[0] < tiles[-1]


def test_more_downlink_than_lossless_takes_is_unused(write_plan) -> None:
    path = write_plan(("bitrate_mbit_s = 1.0", "bitrate_mbit_s = 400.0"), ("eirp_dbw = 6.0", "eirp_dbw = 30.0"))
    outcome = evaluate(read_plan(path, days=1))
    assert outcome.total("unused_bytes") > 0.5 * outcome.total("budget_bytes")
    told = [w for w in outcome.warnings if "more than lossless coding of all that waits" in w]
    assert len(told) == 1 and told[0].endswith("or fly max_error = 0")
    answers = {a.name: a.tiles_per_day for a in outcome.answers}
    assert answers["lossless"] * outcome.plan.days == outcome.quality.tiles


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('mode = "other"', "mode"),
        ("max_error = 51", "no figures beyond 50 DN"),
        ("max_error = -1", "max_error"),
    ],
)
def test_refuses(write_plan, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        with_codec(write_plan, text)


def test_a_greatest_error_means_the_predictive_coder() -> None:
    """As in a mission file: whatever the mode is, and 0 is lossless."""
    plan = read_plan("s-band-cubesat")
    assert plan.codec.max_error is None and plan.codec.flown == "auto"
    for error in (0, 20):
        changed = read_plan("s-band-cubesat", changes={"codec.max_error": error})
        assert changed.codec.mode == "auto" and changed.codec.flown == "predictive"
        assert rates_of(changed)[0].names[-1] == ("within 20 DN" if error else "lossless")
    assert rates_of(read_plan("s-band-cubesat", changes={"codec.mode": "predictive"}))[0].names[-1] == "lossless"


def test_few_bands_and_the_learned_mode(write_plan, capsys: pytest.CaptureFixture[str]) -> None:
    four = ("gsd_m = 10", 'gsd_m = 10\nbands = ["B02", "B03", "B04", "B08"]')
    assert main(["plan", str(write_plan(four)), "--days", "1", "--check"]) == 0
    assert "rates" not in capsys.readouterr().out
    learned = write_plan(four, more='\n[codec]\nmode = "learned"\n')
    assert main(["plan", str(learned), "--days", "1", "--check"]) == 0
    assert "measured with 12 bands, not with 4" in capsys.readouterr().out


def test_bands_of_any_names(write_plan, capsys: pytest.CaptureFixture[str]) -> None:
    """A board takes them; their number finds the rates, and a warning says whose these are. The learned codec takes none."""
    given = ("gsd_m = 10", 'gsd_m = 10\nbands = ["blue", "green", "red", "NIR-1"]')
    assert main(["plan", str(write_plan(given)), "--days", "1", "--check"]) == 0
    assert "rates of 4 bands are those of B02, B03, B04, B08, not of blue, green, red, NIR-1" in capsys.readouterr().out
    learned = write_plan(given, more='\n[codec]\nmode = "learned"\n')
    assert main(["plan", str(learned), "--days", "1", "--check"]) == 1
    told = capsys.readouterr().err
    assert "[codec] mode: learned codes Sentinel-2's bands alone, found blue, green, red, NIR-1" in told


@pytest.mark.parametrize("days", ["1", pytest.param("5", marks=pytest.mark.slow)])
def test_presets_are_good(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *presets(), "--check", "--days", days]) == 0
    assert capsys.readouterr().out.count(": good; ") == len(presets())
