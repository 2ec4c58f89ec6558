"""The campaign's handle on the board's process: messages to it, everything it says to a listener, its deaths."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hil_tests.launch import Launcher
from hil_tests.wire import Message, Wire, WireError
from tools.errors import UserError

WAIT_S = 30.0


class SimBoard:
    """One board through all its lives. listener: called with every message that it sends.

    alive: the process runs. exit: how the last life ended, -N for signal N, 3 for a restart that it asked for.
    """

    def __init__(self, launcher: Launcher, log: Path, listener: Callable[[Message], None]) -> None:
        self.launcher, self._log, self._listener = launcher, log, listener
        self._process: subprocess.Popen[bytes] | None = None
        self._wire: Wire | None = None
        self.exit: int | None = None
        self.starts = 0

    @property
    def alive(self) -> bool:
        """Whether the process runs as far as is known."""
        return self._wire is not None

    def start(self, settings: dict[str, Any]) -> bool:
        """Begin a life; False when it ended before it was ready. settings: see `hil_tests.worker`."""
        self._process = self.launcher.start(self._log)
        self.starts += 1
        assert self._process.stdin is not None and self._process.stdout is not None
        self._wire = Wire(self._process.stdout.fileno(), self._process.stdin.fileno())
        started = self._exchange({"do": "init", **settings}, b"", "started")
        if started is None and self.exit is not None and self.exit > 0 and self.exit != 3:
            raise UserError(f"the board ended with exit code {self.exit}; the end of {self._log}:\n{self._tail()}")
        return started is not None

    def run(self, until: float, stride: float, readings: dict[str, float]) -> dict[str, Any] | None:
        """Let time go on until then; the board's state, or None when the process ended on the way."""
        return self._exchange({"do": "run", "until": until, "stride": stride, **readings}, b"", "ran")

    def send(self, head: dict[str, Any], body: bytes = b"") -> None:
        """A message without an answer of its own; lost when the board is dead."""
        if self._wire is not None:
            try:
                self._wire.send(head, body)
            except WireError:
                self._end()

    def close(self) -> None:
        """Ask it to stop, and wait."""
        self.send({"do": "stop"})
        if self._wire is not None:
            self._end()

    def _exchange(self, head: dict[str, Any], body: bytes, answer: str) -> dict[str, Any] | None:
        self.send(head, body)
        while self._wire is not None:
            try:
                message = self._wire.receive()
            except WireError:
                self._end()
                break
            self._listener(message)
            if message.head["say"] == answer:
                return message.head
        return None

    def _end(self) -> None:
        """The process is over, or is made to be."""
        process, self._process, self._wire = self._process, None, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self.exit = process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            self.exit = process.wait()

    def _tail(self) -> str:
        try:
            return self._log.read_text(encoding="utf-8", errors="replace")[-600:].strip()
        except OSError:
            return ""
