"""Where a campaign's board runs: a process here, one under emulation, or one on another machine over SSH.

    local            this Python, with the simulated disk (`disk.c`) preloaded where a C compiler is
    emulated-orin    Debian's aarch64 Python with real aarch64 wheels, under qemu (see swathpack.hil_tests.boards.emulated_root)
    ssh:user@host    `python3 -m swathpack.hil_tests.boards.worker` in ~/swathpack of that machine

What cannot be simulated on a board is left out of its campaign and said so; nothing is pretended.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import swathpack
from swathpack.hil_tests.simulation import disk
from swathpack.tools.errors import UsageError, UserError

ROOT = Path(swathpack.__file__).resolve().parent.parent
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
REMOTE = "swathpack"


@dataclass(frozen=True)
class Launcher:
    """How to start the board's process; `folder` is where it keeps its state, on its own machine."""

    name: str
    command: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    simulated_disk: bool
    same_machine: bool  # float results are this machine's, so that latents can be compared with our own

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        """A new process, its errors in `log`."""
        with open(log, "ab") as errors:
            return subprocess.Popen(
                [*self.command, "-m", "swathpack.hil_tests.boards.worker", "--folder", self.folder],
                cwd=ROOT,
                stderr=errors,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self.environment,
                start_new_session=True,  # Ctrl-C is for the campaign, which stops the board in its own way
            )


def launcher(board: str, folder: Path) -> Launcher:
    """The launcher of a board by name. folder: for what this machine keeps. Raises UserError."""
    check_board(board)
    environment = os.environ | THREADS | {"PYTHONPATH": str(ROOT)}
    state = str((folder / "board").resolve())
    if board == "local":
        library = disk.build(folder)
        preload = {"LD_PRELOAD": str(library.resolve())} if library else {}
        return Launcher(board, (sys.executable,), state, environment | preload, library is not None, True)
    if board == "emulated-orin":
        return _emulated(folder, state, environment)
    words = " ".join(f"{k}={v}" for k, v in THREADS.items())
    remote = ("ssh", "-o", "BatchMode=yes", "--", board[4:], f"cd {shlex.quote(REMOTE)} && {words} python3")
    return Launcher(board, remote, "hil-board", dict(os.environ), False, False)


def check_board(board: str) -> None:
    """Whether there is a board of this name. Raises UserError."""
    if board not in ("local", "emulated-orin") and not (board.startswith("ssh:") and len(board) > 4):
        raise UsageError(f"--board: expected local, emulated-orin or ssh:user@host, found {board!r}")


def _emulated(folder: Path, state: str, environment: dict[str, str]) -> Launcher:
    from swathpack.hil_tests.boards.emulated_root import EmulationMissing, place_coder, python_under

    try:
        command = python_under("aarch64")
    except EmulationMissing as error:
        raise UserError(str(error)) from error
    place_coder()
    library = disk.build(folder, "aarch64-linux-gnu-gcc") if shutil.which("aarch64-linux-gnu-gcc") else None
    if library is not None:
        at = next(i for i, word in enumerate(command) if word.endswith("qemu-aarch64-static"))
        command[at + 1 : at + 1] = ["-E", f"LD_PRELOAD={library.resolve()}"]
    return Launcher("emulated-orin", tuple(command), state, environment, library is not None, False)
