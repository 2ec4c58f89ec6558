"""One process per state: a lock that the system takes back when its holder ends, however it ends (flock(2))."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from swathpack.edge.storage.blockfile import StorageError


class FileLock:
    """Held from here until `close` or the end of the process, however it comes (flock(2)). Raises StorageError when another
    process, or this one, holds it already; guarded, rule: what it keeps others from, and why, for that message.

    The file at `path` is made and stays; it holds the holder's process id, for the message alone.
    """

    def __init__(self, path: Path, guarded: Path, rule: str) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise StorageError(f"{guarded} is in use by process {holder}: {rule}") from error
        except OSError as error:
            os.close(self._fd)
            raise StorageError(f"{path}: cannot lock: {error.strerror}") from error
        with contextlib.suppress(OSError):  # a full disk must not keep the runtime from starting
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Let go of it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
