"""One runtime per state: the second is told who has it, and a holder that is killed holds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swathpack.edge.board import open_board
from swathpack.edge.clock import ManualClock
from swathpack.edge.config import parse_mission
from swathpack.edge.storage.blockfile import StorageError
from swathpack.edge.storage.lock import FileLock
from swathpack.hil_tests.simulation.flight import MISSION, MODEL

HOLDER = """
import sys, time
from pathlib import Path
from swathpack.edge.storage.lock import FileLock
lock = FileLock(Path(sys.argv[1]), Path(sys.argv[1]).parent, "one runtime per state")
print("held", flush=True)
time.sleep(60)
"""


def test_a_state_that_another_process_uses_is_refused_by_name(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(StorageError, match=f"{tmp_path} is in use by process {holder.pid}: one runtime per state"):
        FileLock(tmp_path / "lock", tmp_path, "one runtime per state")
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    FileLock(tmp_path / "lock", tmp_path, "one runtime per state").close()


def test_two_boards_on_one_state(tmp_path: Path) -> None:
    mission, clock = parse_mission(MISSION, tmp_path), ManualClock()
    board = open_board(mission, clock, MODEL)
    boots = (tmp_path / "state/boots").read_bytes()
    with pytest.raises(StorageError, match=f"in use by process {os.getpid()}"):
        open_board(mission, clock, MODEL)
    assert (tmp_path / "state/boots").read_bytes() == boots, "the second has changed nothing"
    board.close()
    open_board(mission, clock, MODEL).close()


def test_a_start_that_fails_does_not_keep_the_lock(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/spool").write_bytes(b"no folder")
    for _ in range(2):
        with pytest.raises(StorageError, match="spool"):
            open_board(parse_mission(MISSION, tmp_path), ManualClock(), MODEL)
