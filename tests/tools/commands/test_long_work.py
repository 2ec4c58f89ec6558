"""Long work: killed at any moment and taken up again it gives the bytes of an undisturbed run; nothing half is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from swathpack.tools.cli import main
from swathpack.tools.errors import DONE
from tests.frames import values

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """(2, 3, 600, 520) uint16: nine tiles a date."""
    path = tmp_path_factory.mktemp("cube") / "cube.npz"
    np.savez(
        path,
        data=values(600, 520, 2, 3)[:, :3],
        bands=np.array(["B02", "B03", "B04"]),
        dates=["2026-01-01", "2026-01-06"],
    )
    return path


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "swathpack.tools.cli", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def kill_at_random(words: list[str], journal: Path, seed: int, kills: int = 3) -> None:
    """Kill a run that many times, each at a random moment after its journal has grown."""
    chance = random.Random(seed)
    for _ in range(kills):
        child, size = start(*words), journal.stat().st_size if journal.exists() else 0
        while child.poll() is None and not (journal.exists() and journal.stat().st_size > size + 200):
            time.sleep(0.01)
        time.sleep(chance.random() * 0.4)
        child.kill()
        child.communicate()
    assert not journal.exists() or journal.stat().st_size > 1000  # tiles, not the first line alone


@pytest.mark.parametrize("goal", [["--bytes", "9000"], ["--lossless"]], ids=lambda g: g[0])
def test_a_killed_run_goes_on_to_the_same_bytes(cube: Path, tmp_path: Path, goal: list[str]) -> None:
    whole, broken = tmp_path / "whole.swp", tmp_path / "broken.swp"
    assert main(["compress", str(cube), "-o", str(whole), *goal, "--threads", "1"]) == DONE
    words = ["compress", str(cube), "-o", str(broken), *goal, "--resume", "--threads", "1"]
    kill_at_random(words, tmp_path / "broken.swp.journal", len(goal))
    if not broken.exists():
        assert main(words) == DONE
    assert broken.read_bytes() == whole.read_bytes() and not (tmp_path / "broken.swp.journal").exists()


def test_what_the_journal_has_is_not_made_again(cube: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from swathpack.tools.files import tile_jobs

    made: list[int] = []
    exact = tile_jobs._JOBS["exact"]

    def counted(*arguments: object) -> object:
        made.append(1)
        if len(made) == 7:
            raise KeyboardInterrupt
        return exact(*arguments)

    monkeypatch.setitem(tile_jobs._JOBS, "exact", counted)
    words = ["compress", str(cube), "-o", str(tmp_path / "a.swp"), "--lossless", "--resume", "--threads", "1"]
    assert main(words) == 130 and main(words) == DONE
    assert len(made) == 18 + 1


def test_ctrl_c_leaves_the_journal_of_resume_and_nothing_else(cube: Path, tmp_path: Path) -> None:
    words = [
        "compress",
        str(cube),
        "-o",
        str(tmp_path / "a.swp"),
        "--lossless",
        "--threads",
        "2",
    ]  # few tiles: one process
    for more, left in (["--resume"], ["a.swp.journal"]), ([], []):
        child = start(*words, *more)
        while child.poll() is None and not list(tmp_path.iterdir()):
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        said = child.communicate()[0]
        assert child.returncode == 130 and "Traceback" not in said, said
        assert sorted(p.name for p in tmp_path.iterdir()) == left
        for path in tmp_path.iterdir():
            path.unlink()
