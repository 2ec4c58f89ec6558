"""Boards that a scenario or a flash runs on, behind one small interface.

    with open_board("local") as board:                    this machine, a process
    with open_board("emulated-orin") as board:            aarch64 under qemu, reached over a real sshd
    with open_board("ssh:user@orin.local") as board:      a Jetson Orin kit

    board.put(Path("mission.toml"), "work/mission.toml")
    process = board.start([board.python, "-m", "swathpack.edge", "--config", "work/mission.toml"])
    process.kill(signal.SIGKILL)

Remote paths are texts; those that do not start with / are under `board.home`, which exists and is empty at the
start (`ssh`: a fresh folder under ~/swathpack-hil) and is gone after `close`. Programs start in `board.home`.
"""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

NAMES = ("local", "emulated-orin", "ssh:USER@HOST")
MODULES = {"local": "local", "emulated-orin": "emulated", "ssh": "ssh"}


class BoardError(Exception):
    """A board that cannot be opened or reached; the message says what is missing and which command brings it."""


class RemoteProcess(Protocol):
    """A program that runs on a board."""

    def poll(self) -> int | None:
        """Its exit status, or None while it runs; -N when signal N ended it. A power cut is kill(SIGKILL)."""

    def wait(self, timeout: float) -> int:
        """As poll, waiting for its end; raises subprocess.TimeoutExpired."""

    def kill(self, number: int) -> None:
        """Send a signal to it and to what it started; nothing happens when it has ended."""

    def output(self) -> str:
        """What it has written so far, standard output and standard error together."""


class Board(Protocol):
    """A machine that runs the flight software.

    name: for reports. home: its working folder, an absolute path on the board. python: of the flight software's
    environment (numpy and onnxruntime import). stand_ins: parts of the board that are imitated, for reports.
    """

    name: str
    home: str
    python: str
    stand_ins: tuple[str, ...]

    def put(self, local: Path, remote: str) -> None:
        """Copy a file or a folder to the board; folders above are made. Raises BoardError."""

    def get(self, remote: str, local: Path) -> None:
        """Copy a file or a folder from the board. Raises BoardError."""

    def run(
        self, argv: Sequence[str], timeout: float, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end in `home`; raises subprocess.TimeoutExpired. The status is not checked."""

    def start(self, argv: Sequence[str], environment: dict[str, str] | None = None) -> RemoteProcess:
        """Start a program in `home` and come back at once."""

    def close(self) -> None:
        """End what was started and remove `home`; may be called twice."""

    def __enter__(self) -> Board: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_board(name: str) -> Board:
    """The board of that name (see NAMES), ready for use; raises BoardError."""
    kind, _, target = name.partition(":")
    if kind not in MODULES or (kind == "ssh") != bool(target):
        raise BoardError(f"expected a board of {', '.join(NAMES)}, found {name}")
    module = importlib.import_module(f"swathpack.hil_tests.boards.{MODULES[kind]}")
    board: Board = module.open_here(target)
    return board
