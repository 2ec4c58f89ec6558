"""What the board tells the flashing machine: JSON lines, also kept in a log on the board."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

KEPT_BYTES = 4 << 20


class Reporter:
    """Writes one object per step. The connection may go at any time: the log goes on without it."""

    def __init__(self, log: Path | None = None) -> None:
        self._log, self._connected = log, True

    def say(self, step: str, state: str, text: str, **more: Any) -> None:
        """state: begin, progress, done, note, refused or failed."""
        line = json.dumps({"step": step, "state": state, "text": text, **more})
        if self._log is not None and state != "progress":
            self._keep(line)
        if not self._connected:
            return
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except OSError:
            self._connected = False

    def _keep(self, line: str) -> None:
        assert self._log is not None
        self._log.parent.mkdir(parents=True, exist_ok=True)
        if self._log.exists() and self._log.stat().st_size > KEPT_BYTES:
            self._log.replace(self._log.with_suffix(".old"))
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._log.open("a") as out:
            out.write(f'{{"time": "{stamp}", {line[1:]}\n')
