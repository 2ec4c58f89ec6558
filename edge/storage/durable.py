"""Files and names that survive a loss of power. Standard library only: the installer runs before anything is installed.

A file's bytes are safe after its own fsync, its name after that of its folder (POSIX promises neither from the other;
Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014).
"""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put `data` in place of what is at `path`: at any instruction that is the old file or the new one. Raises OSError."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)  # its mode may be another
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(handle, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(handle)
    replace_durably(part, path)


def replace_durably(part: Path, path: Path) -> None:
    """Rename, and make both names durable. What `part` holds must be synced already. Raises OSError."""
    part.replace(path)
    sync_folder(path.parent)
    if part.parent != path.parent:
        sync_folder(part.parent)


def make_folder(path: Path) -> None:
    """A folder, with those above it, all of their names durable. Raises OSError."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
    path.mkdir(exist_ok=True)  # raises where it is no folder


def sync_tree(path: Path) -> None:
    """Make every file and every name below a folder durable, the folder's own names last. Raises OSError."""
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            if not os.path.islink(os.path.join(folder, name)):
                _sync_file(os.path.join(folder, name))
        sync_folder(Path(folder))


def _sync_file(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
