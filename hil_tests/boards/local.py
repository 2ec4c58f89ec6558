"""This machine as a board: processes in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import swathpack
from swathpack.edge.spoken import reason
from swathpack.hil_tests.boards import BoardError

REPOSITORY = Path(swathpack.__file__).resolve().parent.parent


class LocalProcess:
    """`swathpack.hil_tests.boards.RemoteProcess` on this machine; the process leads a group of its own."""

    def __init__(self, argv: Sequence[str], home: str, environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                list(argv),
                cwd=home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self, timeout: float) -> int:
        return self._process.wait(timeout)

    def kill(self, number: int) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def output(self) -> str:
        return self._log.read_text(errors="replace")


class LocalBoard:
    """`swathpack.hil_tests.boards.Board` on this machine. `edge` imports from this repository."""

    name = "local"
    python = sys.executable
    stand_ins: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="swathpack-board-")
        self.home = os.path.join(self._folder, "home")
        os.mkdir(self.home)
        self._started: list[LocalProcess] = []

    def put(self, local: Path, remote: str) -> None:
        _copy(local, Path(self.home, remote))

    def get(self, remote: str, local: Path) -> None:
        _copy(Path(self.home, remote), local)

    def run(
        self, argv: Sequence[str], timeout: float, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            list(argv),
            cwd=self.home,
            env=self._environment(environment),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, argv: Sequence[str], environment: dict[str, str] | None = None) -> LocalProcess:
        log = Path(self._folder, f"{len(self._started)}.log")
        process = LocalProcess(argv, self.home, self._environment(environment), log)
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            process.kill(signal.SIGKILL)
            process.wait(10.0)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> LocalBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _environment(self, more: dict[str, str] | None) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(REPOSITORY), **(more or {})}


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)
    except OSError as error:
        raise BoardError(f"copying {source} to {target}: {reason(error)}") from error


def open_here(_: str) -> LocalBoard:
    """The board `local`."""
    return LocalBoard()
