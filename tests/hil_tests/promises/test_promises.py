"""Small versions of the campaigns; the full ones are marked slow."""

import random
import subprocess
from collections import Counter

import pytest

from swathpack.edge.downlink import confirm
from swathpack.edge.packets.ranges import RangeSet
from swathpack.hil_tests.promises import (
    budgets,
    disk,
    erasure,
    forgery,
    fuzz,
    hostile,
    kill,
    loss,
    powercut,
    powercut_parts,
    rate,
    soak,
    splices,
)
from swathpack.hil_tests.promises.__main__ import main as promises_main

pytestmark = pytest.mark.long


@pytest.mark.parametrize("passes", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_budgets(tmp_path, passes):
    results = budgets.campaign(tmp_path, passes)
    assert [r for r in results if not r.good] == []
    assert any(r.left for r in results) and any(r.changed for r in results)


def test_loss_small(tmp_path):
    case = loss.Case(0.2, bursts=True, outage=True)
    (result,) = loss.campaign(tmp_path, "fake", 1, 9000, (case,), real=False)
    assert result.good and result.wrong == 0 and result.lost >= loss.LEAST_LOST and result.inter > 0, loss.report(
        [result]
    )


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["fake", "edge"])
def test_loss(tmp_path, codec):
    results = loss.campaign(tmp_path, codec, 2, 18_000)
    assert all(r.good for r in results), loss.report(results)


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "kills"), [("fake", 40), ("fake", 300), ("edge", 60)])
def test_kill(tmp_path, codec, kills):
    result = kill.campaign(tmp_path / "board", kills, codec)
    assert not (result.broken or result.idle), kill.report(result)


SOME = (("queue", "last page"), ("queue-wal", "cut"), ("context", "superblock"), ("context", "data"), ("spool", "cut"))


def test_disk_small(tmp_path):
    result = disk.campaign(tmp_path, len(SOME), harms=SOME)
    assert not (result.wrong or result.lost or result.unknown or result.silent or result.failed_starts), disk.report(
        result
    )


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["fake", "edge"])
def test_disk(tmp_path, codec):
    result = disk.campaign(tmp_path, 4 * len(disk.HARMS), codec)
    assert result.good, disk.report(result)


@pytest.mark.slow
def test_full_disk(tmp_path):
    text, good = disk.full_disk(tmp_path)
    assert good, text


def test_fuzz_small():
    found, _, _ = fuzz.campaign(2.0, most=400)
    assert [t.failures for t in found if t.failures] == []
    assert all(t.runs > 100 for t in found)


@pytest.mark.slow
def test_fuzz_does_not_grow():
    """Memory over a minute; ten minutes for failures are in tests/fuzz."""
    found, before, after = fuzz.campaign(60.0)
    assert [t.failures for t in found if t.failures] == [] and after < before + 10


def test_forgery_small(tmp_path):
    results = forgery.campaign(tmp_path, 3000)
    assert all(r.good and not r.idle for r in results), forgery.report(results)


def test_the_forgery_campaign_sees_what_it_looks_for(tmp_path, monkeypatch):
    class Believed(RangeSet):
        def common(self, other: RangeSet) -> RangeSet:
            return RangeSet(self)

    true = confirm.claimed_of
    monkeypatch.setattr(confirm, "claimed_of", lambda entry: Believed(true(entry)))
    found = {r.name: r for r in forgery.campaign(tmp_path, 1500)}
    assert not found["with a key"].good and not found["insecure"].good


@pytest.mark.slow
def test_forgery(tmp_path):
    results = forgery.campaign(tmp_path, 1_000_000)
    assert all(r.good and not r.idle for r in results), forgery.report(results)


QUICK = ("boots", "link record", "spool", "files", "link keys")


@pytest.mark.parametrize("names", [QUICK, ("queue",), ("slots",), ("upgrade",), ("ground store",)])
def test_powercut_small(tmp_path, names):
    every = {QUICK: 3, ("queue",): 9, ("slots",): 11, ("upgrade",): 13, ("ground store",): 13}[names]
    results = powercut.campaign(tmp_path, every, names)
    assert {r.name for r in results} == set(names)
    assert not any(r.wrong for r in results), powercut.report(results)


def test_the_power_cut_campaign_sees_what_it_looks_for(tmp_path):
    """A part that renames without a sync, and one that writes over its file, leave neither the old nor the new."""
    results = powercut.campaign(tmp_path, 1, [part.name for part in powercut_parts.CARELESS])
    assert len(results) == 2 and all(r.wrong for r in results), powercut.report(results)


@pytest.mark.slow
def test_powercut(tmp_path):
    results = powercut.campaign(tmp_path, 1)
    assert all(r.good for r in results), powercut.report(results)


def test_a_campaign_too_small_to_show_anything_says_so():
    text = erasure.report(erasure.campaign(2, ("cauchy",), losses=(0.05,), shapes=((40, 8),)))
    assert "no packet was sent in 2 of 2 cases" in text


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


@pytest.mark.parametrize("size", [60, pytest.param(20_000, marks=pytest.mark.slow)])
def test_the_ground_under_fire(tmp_path, size, monkeypatch):
    monkeypatch.setattr(hostile, "A_PROCESS", 40 if size < 100 else hostile.A_PROCESS)
    outcome = hostile.campaign(tmp_path, size)
    assert outcome.good, outcome.text()
    assert outcome.files == outcome.wanted == size and outcome.packets >= size / 2
    assert {"decompress 1", "decompress 3", "inspect 0", "inspect 1", "receive 3"} <= set(outcome.codes)
    assert list(tmp_path.iterdir()) == []


OFTEN = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from swathpack.hil_tests.promises import hostile
hostile.FILES_A_PASS = 30
for so_far in hostile.work(Path(sys.argv[1]), *map(int, sys.argv[2:])):
    print(json.dumps(asdict(so_far)), flush=True)
"""


def test_a_worker_under_fire_that_is_ended_still_tells_what_it_did(tmp_path, monkeypatch, capsys):
    """It is killed by what it runs; what it had told before stays, and is no success. It tells after 30 files, not after 400."""
    monkeypatch.setattr(hostile, "PROGRESS_S", 0.0)
    heard, start = hostile._heard, subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda c, **options: start([c[0], "-c", OFTEN, *c[3:]], **options))

    def kill_after_the_first(run):
        for outcome in heard(run):
            run.kill()
            yield outcome

    monkeypatch.setattr(hostile, "_heard", kill_after_the_first)
    outcome = hostile.campaign(tmp_path, 300)
    assert 0 < outcome.files < outcome.wanted and outcome.cpu_s > 0
    assert not outcome.good and "the process ended with -9" in outcome.failures[0]
    assert f"{outcome.files} of 300 files" in capsys.readouterr().err


def test_the_ground_under_fire_sees_what_it_looks_for(tmp_path, monkeypatch):
    """A traceback, a command that ran out of memory, and an exit code that no command has."""
    under_fire = object.__new__(hostile.Range)
    under_fire.out, under_fire.codes = hostile.Outcome(), Counter()

    def said(code, text=""):
        print(text)
        return code

    def broken(words):
        raise KeyError("a bug")

    for main in (broken, lambda w: said(1, "swathpack: not enough memory"), lambda w: said(70), lambda w: said(1)):
        monkeypatch.setattr("swathpack.tools.cli.main", main)
        under_fire.run("inspect", "x.swp")
    assert len(under_fire.out.failures) == 3 and "KeyError: 'a bug'" in under_fire.out.failures[0]
    assert under_fire.codes == {"inspect 1": 2, "inspect 70": 1}


def test_splices_small():
    found = splices.caught(60, random.Random(1))
    assert [c.wrong for c in found] == [0, 0] and all(c.refused > 20 and c.kept > 50 for c in found)


@pytest.mark.slow
def test_splices(tmp_path):
    text, good = splices.main(tmp_path, 3000, "edge")
    assert good, text


def test_a_folder_is_made_and_no_size_below_one_is_taken(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    for words, text in (
        (["--size", "0"], "at least 1"),
        (["--folder", str(tmp_path / "file")], "file: expected a folder"),
    ):
        monkeypatch.setattr("sys.argv", ["promises", "budgets", *words])
        with pytest.raises(SystemExit) as ended:
            promises_main()
        assert ended.value.code == 2 and text in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["promises", "budgets", "--size", "2", "--folder", str(tmp_path / "new" / "place")])
    promises_main()
    assert (tmp_path / "new" / "place").is_dir() and capsys.readouterr().out
