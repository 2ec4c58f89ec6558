"""A board over the system's ssh: a real kit, or the emulated one."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from swathpack.hil_tests.boards import BoardError

SSH_FAILED = 255
COPY_LIMIT_S = 600.0
# The flashed slot's environment: the board flies what `swathpack flash` has put there.
SLOT = "/opt/swathpack/current"


class SshProcess:
    """`swathpack.hil_tests.boards.RemoteProcess`; it leads a group on the board and outlives the connection."""

    def __init__(self, board: SshBoard, argv: Sequence[str], environment: dict[str, str], tag: str) -> None:
        self._board, self._tag = board, f"{board.home}/.run/{tag}"
        program = f"{_exports(environment)} {shlex.join(argv)} > {self._tag}.out 2>&1"
        inner = f"echo $$ > {self._tag}.pid; {program}; echo $? > {self._tag}.status"
        outer = f"mkdir -p {board.home}/.run; cd {board.home}; setsid sh -c {shlex.quote(inner)} < /dev/null > /dev/null 2>&1 &"
        board.shell(outer + f" while ! [ -s {self._tag}.pid ]; do sleep 0.05; done", 60.0)

    def poll(self) -> int | None:
        told = self._board.shell(
            f"cat {self._tag}.status 2>/dev/null || kill -0 -$(cat {self._tag}.pid) 2>/dev/null "
            "&& echo runs || echo gone",
            60.0,
        ).stdout.split()
        if told and told[0].isdecimal():
            status = int(told[0])
            return 128 - status if status > 128 else status  # the shell's way to say "signal N"
        return None if told and told[0] == "runs" else -9

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self._tag, timeout)
            time.sleep(0.2)
        return status

    def kill(self, number: int) -> None:
        self._board.shell(f"kill -{number} -$(cat {self._tag}.pid) 2>/dev/null; true", 60.0)

    def output(self) -> str:
        return self._board.shell(f"cat {self._tag}.out", 60.0).stdout


class SshBoard:
    """`swathpack.hil_tests.boards.Board` over ssh. options: of ssh, before the target; python and environment: of programs."""

    stand_ins: tuple[str, ...] = ()

    def __init__(
        self,
        target: str,
        options: Sequence[str] = (),
        name: str = "",
        python: str = "python3",
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name, self.target, self.options, self.python = name or f"ssh:{target}", target, tuple(options), python
        path = f"{SLOT}/runtime:{SLOT}/site"
        self._environment = {"PYTHONPATH": path} if environment is None else environment
        self._control = tempfile.TemporaryDirectory(prefix="sp-")
        self._started: list[SshProcess] = []
        self.home = ""
        where = self.shell(f"d=$HOME/swathpack-hil/{uuid.uuid4().hex[:12]}; mkdir -p $d && echo $d", 60.0)
        self.home = where.stdout.strip()
        if not self.home:
            raise BoardError(f"{target}: {where.stderr.strip() or 'no answer'}")

    def put(self, local: Path, remote: str) -> None:
        target = self._path(remote)
        if local.is_dir():
            command, source = f"mkdir -p {target} && tar -x -C {target}", ["tar", "-c", "-C", str(local), "."]
            with subprocess.Popen(source, stdout=subprocess.PIPE) as archive:
                done = subprocess.run(
                    [*self.ssh(), command],
                    stdin=archive.stdout,
                    capture_output=True,
                    text=True,
                    timeout=COPY_LIMIT_S,
                    check=False,
                )
        else:
            command = f"mkdir -p $(dirname {target}) && cat > {target}"
            with local.open("rb") as content:
                done = subprocess.run(
                    [*self.ssh(), command],
                    stdin=content,
                    capture_output=True,
                    text=True,
                    timeout=COPY_LIMIT_S,
                    check=False,
                )
        _must(done, f"{local} to {remote}")

    def get(self, remote: str, local: Path) -> None:
        source = self._path(remote)
        local.parent.mkdir(parents=True, exist_ok=True)
        if self.shell(f"test -d {source}", 60.0).returncode == 0:
            local.mkdir(exist_ok=True)
            with subprocess.Popen([*self.ssh(), f"tar -c -C {source} ."], stdout=subprocess.PIPE) as archive:
                done = subprocess.run(
                    ["tar", "-x", "-C", str(local)],
                    stdin=archive.stdout,
                    capture_output=True,
                    text=True,
                    timeout=COPY_LIMIT_S,
                    check=False,
                )
        else:
            with local.open("wb") as out:
                done = subprocess.run(
                    [*self.ssh(), f"cat {source}"],
                    stdout=out,
                    stderr=subprocess.PIPE,
                    text=True,
                    timeout=COPY_LIMIT_S,
                    check=False,
                )
        _must(done, f"{remote} to {local}")

    def run(
        self, argv: Sequence[str], timeout: float, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        exports = _exports({**self._environment, **(environment or {})})
        return self.shell(f"cd {self.home}; {exports} {shlex.join(argv)}", timeout)

    def start(self, argv: Sequence[str], environment: dict[str, str] | None = None) -> SshProcess:
        process = SshProcess(self, argv, {**self._environment, **(environment or {})}, str(len(self._started)))
        self._started.append(process)
        return process

    def shell(self, command: str, timeout: float) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the board; raises BoardError when it cannot be reached."""
        done = subprocess.run(
            [*self.ssh(), command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        if done.returncode == SSH_FAILED:
            raise BoardError(f"{self.target}: {done.stderr.strip() or 'ssh failed'}")
        return done

    def ssh(self) -> list[str]:
        """The command before what runs on the board."""
        shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={self._control.name}/c", "-o", "ControlPersist=60"]
        return ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", *shared, *self.options, "--", self.target]

    def close(self) -> None:
        if self.home:
            for process in self._started:
                process.kill(9)
            with contextlib.suppress(BoardError, subprocess.TimeoutExpired):
                self.shell(f"rm -rf {self.home}", 120.0)
            self.home = ""
            subprocess.run([*self.ssh()[:-2], "-O", "exit", "--", self.target], capture_output=True, check=False)
            self._control.cleanup()

    def __enter__(self) -> SshBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _path(self, remote: str) -> str:
        return shlex.quote(os.path.join(self.home, remote))


def _exports(environment: dict[str, str]) -> str:
    return "env " + " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())


def _must(done: subprocess.CompletedProcess[str], what: str) -> None:
    if done.returncode:
        raise BoardError(f"copying {what}: {done.stderr.strip()[:300]}")


def open_here(target: str) -> SshBoard:
    """A kit that `swathpack flash` has been to."""
    board = SshBoard(target)
    if board.run([board.python, "-c", "import swathpack.edge, numpy, onnxruntime"], 120.0).returncode:
        board.close()
        raise BoardError(f"{target}: no flight software there; swathpack flash puts it there")
    return board
