"""Commands run as processes that are slowed, interrupted and killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_SLOWLY = """
import sys, time
from swathpack.tools.cli import main
from swathpack.tools.files import tile_jobs

name = sys.argv[1]
job = tile_jobs._JOBS[name]

def slowly(*arguments):
    time.sleep(0.25)
    return job(*arguments)

tile_jobs._JOBS[name] = slowly
sys.exit(main(sys.argv[2:]))
"""


def start_slowly(job: str, *words: str) -> subprocess.Popen[str]:
    """The command with tiles that take a quarter of a second each: 27 of the transform coder's are otherwise done before a signal
    that is sent when the first file appears has arrived.
    """
    return run([sys.executable, "-c", _SLOWLY, job, *words])


def start(*words: str) -> subprocess.Popen[str]:
    """The command."""
    return run([sys.executable, "-m", "swathpack.tools.cli", *words])


def run(command: list[str]) -> subprocess.Popen[str]:
    """A process that imports this tree."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def kill_at_random(words: list[str], journal: Path, seed: int, kills: int = 2) -> None:
    """Kill a run that many times, each at a random moment after its journal has grown."""
    chance = random.Random(seed)
    for _ in range(kills):
        child, size = start(*words), journal.stat().st_size if journal.exists() else 0
        while child.poll() is None and not (journal.exists() and journal.stat().st_size > size + 200):
            time.sleep(0.01)
        time.sleep(chance.random() * 0.2)
        child.kill()
        child.communicate()
