"""The campaign's handle on the board's process: messages to it, everything it says to a listener, its deaths."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swathpack.hil_tests.boards.launch import Launcher
from swathpack.hil_tests.boards.wire import Message, Wire, WireError
from swathpack.tools.errors import UserError

WAIT_S, RESTART = 30.0, 3


class SimBoard:
    """One board through all its lives. listener: called with every message that it sends.

    alive: the board runs. exit: how the last life ended, -N for signal N, 3 for a restart that it asked for.
    """

    def __init__(self, launcher: Launcher, log: Path, listener: Callable[[Message], None]) -> None:
        self.launcher, self._log, self._listener = launcher, log, listener
        self._process: subprocess.Popen[bytes] | None = None
        self._wire: Wire | None = None
        self.exit: int | None = None
        self.alive = False

    def start(self, settings: dict[str, Any]) -> bool:
        """Begin a life; False when it ended before it was ready. settings: see `swathpack.hil_tests.boards.worker`."""
        if self._process is None:
            self._process = self.launcher.start(self._log)
            assert self._process.stdin is not None and self._process.stdout is not None
            self._wire = Wire(self._process.stdout.fileno(), self._process.stdin.fileno())
        self.alive = True
        started = self._exchange({"do": "init", **settings}, "started")
        if started is None and self.exit is not None and self.exit > 0 and self.exit != RESTART:
            raise UserError(f"the board ended with exit code {self.exit}; the end of {self._log}:\n{self._tail()}")
        return started is not None

    def run(self, until: float, stride: float, readings: dict[str, float]) -> dict[str, Any] | None:
        """Let time go on until then; the board's state, or None when the life ended on the way."""
        return self._exchange({"do": "run", "until": until, "stride": stride, **readings}, "ran")

    def send(self, head: dict[str, Any], body: bytes = b"") -> None:
        """A message without an answer of its own; lost when the board is dead. Raises UserError."""
        if self.alive and self._wire is not None:
            try:
                self._wire.send(head, body)
            except WireError as error:
                raise self._gone(error) from error

    def close(self) -> None:
        """Ask it to stop, and wait."""
        process, wire = self._process, self._wire
        if process is None or wire is None:
            return
        try:
            if self.alive:
                self._exchange({"do": "stop"}, "ended")
            wire.send({"do": "end"})
        except (UserError, WireError):
            process.kill()
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = self._wire = None

    def _exchange(self, head: dict[str, Any], answer: str) -> dict[str, Any] | None:
        """Send, and listen until the answer or the end of the life."""
        self.send(head)
        while self.alive and self._wire is not None:
            try:
                message = self._wire.receive()
            except WireError as error:
                raise self._gone(error) from error
            if message.head["say"] == "ended":
                self.alive, self.exit = False, int(message.head["status"])
                return None
            self._listener(message)
            if message.head["say"] == answer:
                return message.head
        return None

    def _gone(self, error: WireError) -> UserError:
        self.alive = False
        return UserError(f"the board's machine: {error}; the end of {self._log}:\n{self._tail()}")

    def _tail(self) -> str:
        try:
            return self._log.read_text(encoding="utf-8", errors="replace")[-600:].strip()
        except OSError:
            return ""
