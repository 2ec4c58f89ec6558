"""Ballast: space on disk that is held so that it can be let go when the disk is full.

Sending a pass and acting on a report take a little space before they give any back. On a disk full to the last
byte neither is possible, and nothing would ever get better. So a file of fixed size is allocated at the start and
deleted when the queue finds the disk full, or a start does: opening a queue takes some 40 kB. While it is gone no frame is
taken and no tile is coded; passes and reports go on, retention makes room, and the ballast is allocated again as soon as
there is space for it twice over.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class Ballast:
    """`size` bytes at `path`; no ballast when size is 0. `intact` says whether it is held."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size
        self.intact = size == 0
        self.hold()

    def hold(self) -> bool:
        """Allocate it if there is room for it twice over; returns whether it is held now."""
        if not self.intact and self._free() >= 2 * self._size:
            try:
                handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                try:
                    os.posix_fallocate(handle, 0, self._size)
                finally:
                    os.close(handle)
                self.intact = True
            except OSError:
                self.release()
        return self.intact

    def lacking(self) -> int:
        """Bytes that must become free before `hold` can allocate it."""
        return 0 if self.intact else max(2 * self._size - self._free(), 0)

    def release(self) -> None:
        """Let the space go."""
        if self._size:
            self.intact = False
            self._path.unlink(missing_ok=True)

    def _free(self) -> int:
        return _free(self._path)


def make_way(path: Path, size: int) -> None:
    """Before the first file of a start is opened: let the ballast of the run before go where `Ballast` could not hold it."""
    with contextlib.suppress(OSError):
        if path.exists() and _free(path) < 2 * size:
            path.unlink()


def _free(path: Path) -> int:
    """Free space, an old ballast file at `path` counted as free."""
    state = os.statvfs(path.parent)
    held = path.stat().st_blocks * 512 if path.exists() else 0
    return state.f_bavail * state.f_frsize + held
