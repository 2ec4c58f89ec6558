"""What a plan prints agrees with itself: sums, orders, and the tables of docs/plan.md."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from swathpack.tools.plan.inputs import read_plan
from swathpack.tools.plan.model import Outcome, evaluate
from swathpack.tools.plan.rate_modes import layer_names, read_sets
from swathpack.tools.plan.rate_table import Effort, rmse_dn
from swathpack.tools.plan.rates import MEASURED_TABLE
from swathpack.tools.plan.report import ladder, pass_rows, table

ROOT = Path(__file__).resolve().parents[3]
MODES = ('mode = "auto"', 'mode = "transform"', 'mode = "learned"', "max_error = 0", "max_error = 20")


@pytest.fixture(scope="module", params=MODES)
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    path = tmp_path_factory.mktemp("plan") / "p.toml"
    path.write_text(
        f'extends = "s-band-cubesat"\nname = "p"\ndays = 1\n[uncertainty]\nsamples = 40\n[codec]\n{request.param}\n'
    )
    return evaluate(read_plan(path))


def test_sums(outcome: Outcome) -> None:
    for flow in outcome.flows.values():
        assert flow.sent_bytes + flow.spare_bytes + flow.unused_bytes == flow.budget_bytes
        gone = flow.cloudy_tiles + flow.dropped_old + flow.dropped_full + flow.waiting_tiles
        assert flow.captured_tiles == flow.sent_tiles + gone
        assert sum(flow.pass_bytes.values()) == flow.sent_bytes and sum(flow.pass_tiles.values()) == flow.sent_tiles
    assert sum(area.tiles for area in outcome.by_area.values()) == outcome.quality.tiles


def test_orders(outcome: Outcome) -> None:
    for spread in outcome.spreads.values():
        assert spread.p10 <= spread.p50 <= spread.p90
    q = outcome.quality
    assert q.psnr_db_p10 <= q.psnr_db_p50 <= q.psnr_db_p90 and q.latency_h_p50 <= q.latency_h_p90
    for row in pass_rows(outcome):
        assert row["bytes_p10"] <= row["bytes_p50"] <= row["bytes_p90"] and row["image_bytes_used"] <= row["bytes"]
    rows = ladder(outcome)
    for less, more in zip(rows, rows[1:]):
        assert less["tile_bytes"] <= more["tile_bytes"] and less["psnr_db_mean"] <= more["psnr_db_mean"]
    for row in rows:
        assert row["psnr_db_p10"] <= row["psnr_db_mean"] <= row["psnr_db_p90"]
    for answer in outcome.answers:
        if answer.tiles_per_day is not None:
            assert answer.tiles_per_day <= min(outcome.clear_tiles_per_day, 1.02 * answer.carried_per_day)


def test_what_is_of_a_clear_sky_is_said_to_be(outcome: Outcome) -> None:
    """A latency below its own P10 was printed: the one without missed passes, the other with them."""
    text = table(outcome)
    assert text.index("clear sky, every pass held") < text.index("latency") < text.index("with rain, missed passes")
    left = [said for said in outcome.warnings if "is left" in said]
    exact = outcome.plan.codec.max_error == 0
    assert all(("lossless coding would take it" not in said) == exact for said in left), left


def test_the_table_of_the_docs_is_what_the_planner_prints() -> None:
    sets = {len(s.bands): s for s in read_sets(json.loads(MEASURED_TABLE.read_text()))}
    text = (ROOT / "docs" / "plan.md").read_text()
    rows = re.findall(
        r"^\| (\d+) \([^|]*\) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) DN \| ([\d.]+), ([\d.]+) dB \|$", text, re.M
    )
    assert [int(row[0]) for row in rows] == sorted(sets)
    for count, *told in rows:
        found = sets[int(count)]
        names = layer_names(found.transform)
        made = found.transform.table("transform", names, "", True, Effort(1.0, 1.0, ""))
        errors = found.predictive.first.tolist()
        right = [
            found.predictive.bppb[0][errors.index(0)],
            found.predictive.bppb[0][errors.index(20)],
            rmse_dn(made.psnr_db[1, names.index("13 layers")]),
            found.transform.bppb[0][-1],
            found.transform.psnr_db[0][-1],
        ]
        for said, value in zip(told, right):
            assert float(said) == pytest.approx(float(value), abs=0.6 * 10 ** -len(said.partition(".")[2])), count
