"""Lines of JSON on disk within a bound: when a file is full it becomes `.1` and a new one begins."""

from __future__ import annotations

import os
from pathlib import Path


class JsonLines:
    """Appends lines to a file of at most max_bytes, and keeps one older one. Raises OSError."""

    def __init__(self, path: Path, max_bytes: int = 1 << 24) -> None:
        self._path, self._max_bytes = path, max_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed in close()

    def write(self, line: str) -> None:
        """One line; in the system's hands on return, so that a crash of this process does not lose it."""
        if self._file.tell() + len(line) > self._max_bytes:
            self._file.close()
            os.replace(self._path, self._path.with_suffix(self._path.suffix + ".1"))
            self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115
        self._file.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
