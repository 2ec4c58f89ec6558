"""Small versions of the campaigns; the full ones are marked slow."""

import pytest

from tests.edge.campaign import budgets, disk, erasure, fuzz, kill, loss, rate, soak


def check_kill(result):
    assert not (result.over_budget or result.wrong or result.lost_frames or result.crashes)
    assert not (result.against_unknown or result.incomplete)
    assert result.doing["tiles waiting to be coded"] > 0, "a campaign that kills an idle loop shows nothing"


def check_disk(result):
    assert not (result.wrong or result.lost or result.failed_starts or result.waiting)
    assert result.complete_before < result.judged, "something must have been left to lose"


@pytest.mark.parametrize("passes", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_budgets(tmp_path, passes):
    results = budgets.campaign(tmp_path, passes)
    assert [r for r in results if not r.good] == []
    assert any(r.left for r in results) and any(r.changed for r in results)


def test_loss_small(tmp_path):
    results = loss.campaign(tmp_path, tiles=4, budget=6000, losses=(0.2,))
    assert all(r.wrong == 0 and r.lost > 0 for r in results)
    assert all(r.inter > 0 for r in results)


@pytest.mark.slow
def test_loss(tmp_path):
    results = loss.campaign(tmp_path, tiles=40, budget=60_000)
    assert all(r.wrong == 0 for r in results)
    assert all(r.inter >= 0.9 * 8 * 40 for r in results if r.loss <= 0.05), "no stall"


@pytest.mark.slow
@pytest.mark.parametrize("kills", [12, 300])
def test_kill(tmp_path, kills):
    check_kill(kill.campaign(tmp_path, kills))


@pytest.mark.parametrize("cases", [6, pytest.param(150, marks=pytest.mark.slow)])
def test_disk(tmp_path, cases):
    check_disk(disk.campaign(tmp_path, cases))


@pytest.mark.slow
def test_full_disk(tmp_path):
    text, good = disk.full_disk(tmp_path)
    assert good, text


def test_fuzz_small():
    found, _, _ = fuzz.campaign(2.0, most=400)
    assert [t.failures for t in found if t.failures] == []
    assert all(t.runs > 100 for t in found)


@pytest.mark.slow
def test_fuzz():
    found, before, after = fuzz.campaign(420.0)
    assert [t.failures for t in found if t.failures] == [] and after < before + 10


def test_erasure_repairs_and_never_wrongly():
    rows = erasure.campaign(800, ("cauchy",), losses=(0.05,), shapes=((40, 8),))
    assert sum(r.wrong for r in rows) == 0
    random_losses = next(r for r in rows if not r.bursts)
    assert random_losses.missing_after < 0.1 * random_losses.missing_before


def test_rate_control_saves_bytes(tmp_path):
    tables = rate.fake_tables(tmp_path, 40)
    budget = int(tables.costs[:, -1].sum() * 0.3)
    error = rate.total_error(tables, rate.ours(tables, budget))
    assert rate.bytes_at_error(tables, rate.uniform, error) > 1.1 * budget
    assert rate.bytes_at_error(tables, rate.greedy, error) >= 0.999 * rate.bytes_at_error(tables, rate.ours, error)


def test_soak_small(tmp_path):
    result = soak.campaign(tmp_path, 128, "fake", ground=True)
    assert result.tiles == 128 and not result.counts.get("stage_failed")


@pytest.mark.slow
def test_soak(tmp_path):
    result = soak.campaign(tmp_path, 10_000, "fake", ground=True)
    assert result.tiles >= 10_000 and soak.growth_mb(result.rss_mb) < 20
