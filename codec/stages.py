"""Folders beside a target in which an output is written, of commands, training and export alike. A run that was killed leaves its own;
the next one to the same target takes it away.

Whoever writes holds a lock on the folder (flock), which ends with the process. A folder is somebody's leaving where its name is
one that is made here, nobody holds it, and it is older than it takes to make a folder and lock it. While a folder takes the place of
another one, the old one is in there: as long as nothing is at the target, it may be all that there is of it, and stays.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

SUFFIX = ".swathpack-part"
OLD = ".old"  # of a folder that steps aside
_RANDOM = 8  # letters that tempfile puts in between
_YOUNG_S = 60.0


class Stage:
    """A new folder beside `target`, held till `close`, which removes it. Raises OSError."""

    def __init__(self, target: Path) -> None:
        sweep(target)
        self.path = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=SUFFIX, dir=target.parent))
        self._held = _hold(self.path)

    def close(self) -> None:
        """Without what is still in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._held is not None:
            os.close(self._held)


def is_special(target: Path) -> bool:
    """Whether a device, a pipe or a socket is there, through links too: a rename would put a file in its place, for everybody."""
    return target.exists() and not target.is_file() and not target.is_dir()


def sweep(target: Path) -> None:
    """Remove what killed runs left beside a target; what cannot be removed stays."""
    start = f".{target.name}."
    try:
        found = [p for p in target.parent.iterdir() if p.name.startswith(start) and p.name.endswith(SUFFIX)]
    except OSError:
        return
    for path in found:
        between = path.name[len(start) : -len(SUFFIX)]
        if len(between) != _RANDOM or "." in between or not _is_left(path):
            continue
        if os.path.lexists(target) or not os.path.lexists(path / (target.name + OLD)):
            shutil.rmtree(path, ignore_errors=True)


def _is_left(path: Path) -> bool:
    """Whether a folder's run is over."""
    try:
        if path.is_symlink() or not path.is_dir() or time.time() - path.stat().st_mtime < _YOUNG_S:
            return False
    except OSError:
        return False
    held = _hold(path)
    if held is None:
        return False
    os.close(held)
    return True


def _hold(path: Path) -> int | None:
    """A lock on a folder, as an open handle; None where somebody has it, or the file system knows none."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
