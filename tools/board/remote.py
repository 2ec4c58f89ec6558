"""A board at the other end of the system's ssh: its installer's verbs as calls, with lines as they come."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import swathpack
from swathpack.edge.install.agent import agent_paths

AGENT = "/opt/swathpack/agent"
SSH_FAILED = 255
Say = Callable[[dict[str, Any]], None]


class ConnectionLost(Exception):  # noqa: N818
    """ssh ended before the board's answer was whole; everything done so far is kept."""


class RemoteError(Exception):
    """The board answered, and the answer is no; the message is the board's."""


@dataclass
class Remote:
    """user@host (or an ssh alias), with further options of ssh such as ("-p", "2222")."""

    target: str
    options: tuple[str, ...] = ()
    connect_timeout_s: int = 15
    _sudo: bool | None = field(default=None, init=False)
    _control: tempfile.TemporaryDirectory[str] | None = field(default=None, init=False)

    def __enter__(self) -> Remote:
        # One connection for all commands: the later ones need no new handshake.
        self._control = tempfile.TemporaryDirectory(prefix="sp-")
        return self

    def __exit__(self, *_: object) -> None:
        if self._control is not None:
            subprocess.run([*self._ssh(), "-O", "exit", "--", self.target], capture_output=True, check=False)
            self._control.cleanup()
            self._control = None

    def run(self, command: str, stdin: bytes | None = None, say: Say | None = None) -> list[str]:
        """Run a shell command as root; -> its lines. Lines that are steps go to `say` as they come.

        Raises ConnectionLost, RemoteError.
        """
        argv = [*self._ssh(), "--", self.target, self._as_root(command)]
        with _Feeding(argv, stdin) as process:
            lines = [line for line in process.lines() if not _told(line, say)]
        if process.status == SSH_FAILED:
            raise ConnectionLost(process.errors() or "ssh ended")
        if process.status:
            raise RemoteError(process.errors() or f"status {process.status}: {command[:80]}")
        return lines

    def verb(self, *words: str, stdin: bytes | None = None, say: Say | None = None) -> list[str]:
        """One verb of the board's installer."""
        return self.run(
            f"PYTHONPATH={AGENT} PYTHONDONTWRITEBYTECODE=1 python3 -m swathpack.edge.install {shlex.join(words)}",
            stdin,
            say,
        )

    def ask(self, *words: str) -> Any:
        """A verb that answers with one JSON value. Raises ConnectionLost for anything else."""
        lines = self.verb(*words)
        try:
            return json.loads(lines[-1])
        except (IndexError, ValueError) as error:
            raise ConnectionLost(f"expected an answer to {words[0]}, found {lines[-1:]}") from error

    def _ssh(self) -> list[str]:
        shared = (
            ["-o", "ControlMaster=auto", "-o", f"ControlPath={self._control.name}/c", "-o", "ControlPersist=60"]
            if self._control
            else []
        )
        return [
            ssh_program(),
            "-o",
            "BatchMode=yes",
            "-o",
            f"ConnectTimeout={self.connect_timeout_s}",
            "-o",
            "ServerAliveInterval=5",
            "-o",
            "ServerAliveCountMax=3",
            *shared,
            *self.options,
        ]

    def _as_root(self, command: str) -> str:
        if self._sudo is None:
            self._sudo = self._needs_sudo()
        return f"sudo -n sh -c {shlex.quote(command)}" if self._sudo else command

    def _needs_sudo(self) -> bool:
        argv = [*self._ssh(), "--", self.target, "id -u; sudo -n true 2>/dev/null && echo sudo"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        words = done.stdout.split()
        if done.returncode == SSH_FAILED or not words:
            raise ConnectionLost(done.stderr.strip() or "no answer")
        if words[0] != "0" and "sudo" not in words:
            raise RemoteError(
                f"{self.target} is not root and may not use sudo without a password; on the board: "
                'echo "$USER ALL=(ALL) NOPASSWD: ALL" | sudo tee /etc/sudoers.d/swathpack'
            )
        return words[0] != "0"


class _Feeding:
    """A process that is fed from a thread while its lines are read."""

    def __init__(self, argv: Sequence[str], stdin: bytes | None) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._feeder = threading.Thread(target=self._feed, args=(stdin,), daemon=True) if stdin is not None else None
        self.status = 0

    def __enter__(self) -> _Feeding:
        if self._feeder:
            self._feeder.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._process.kill()
        self.status = self._process.wait()
        if self._feeder:
            self._feeder.join()

    def lines(self) -> Iterator[str]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield line.decode(errors="replace").rstrip("\n")

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()[-500:]

    def _feed(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.close()
        except OSError:
            return  # the other end is gone: its status tells


def _told(line: str, say: Say | None) -> bool:
    """Whether the line is a step of the installer; it has gone to `say`."""
    if say is None or not line.startswith("{"):
        return False
    try:
        told = json.loads(line)
    except ValueError:
        return False
    if not isinstance(told, dict) or "step" not in told:
        return False
    say(told)
    return True


def ssh_program() -> str:
    """The system's ssh, or $SWATHPACK_SSH; raises RemoteError."""
    name = os.environ.get("SWATHPACK_SSH", "ssh")
    found = shutil.which(name)
    if found is None:
        raise RemoteError(f"{name} is not installed: apt install openssh-client")
    return found


def agent_files() -> dict[str, bytes]:
    """The installer's files as they go to a board that has none."""
    package = Path(swathpack.__file__).parent
    return {path.relative_to(package.parent).as_posix(): path.read_bytes() for path in agent_paths(package)}
