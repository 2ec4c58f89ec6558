"""The simulated disk of a board: `disk.c` preloaded into its process counts, kills, fills up and journals.

`build` compiles it (CC, or cc, gcc, clang); `Disk` is the handle inside the board's process; `lose_power` runs after a
kill and takes back what had not been synced: any subset of the unsynced sectors, renames, creations and unlinks, as a
disk that was cut off may leave them (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014, section 3).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("disk.c")
FLAGS = ("-std=gnu11", "-O2", "-shared", "-fPIC")
SECTOR = 512
_RECORD = struct.Struct("=IIIIQQ")


def build(folder: Path, compiler: str = "") -> Path | None:
    """The compiled library in `folder`, or None where there is no C compiler. compiler: for another machine."""
    found = compiler or next((c for c in (os.environ.get("CC", ""), "cc", "gcc", "clang") if c and shutil.which(c)), "")
    if not found:
        return None
    target = folder / f"disk-{Path(found).name}.so"
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([found, *FLAGS, "-o", str(target), str(SOURCE), "-ldl"], capture_output=True, text=True)
    return target if done.returncode == 0 else None


class Disk:
    """The preloaded library seen from the board's process; `there` is False without it, and nothing happens then."""

    def __init__(self, root: Path) -> None:
        library = ctypes.CDLL(None)
        self.there = hasattr(library, "hil_disk_begin")
        if self.there:
            library.hil_disk_free.argtypes = [ctypes.c_longlong]
            library.hil_disk_left.restype = ctypes.c_longlong
            library.hil_disk_syncs.restype = library.hil_disk_operations.restype = ctypes.c_long
            library.hil_disk_begin(str(root.resolve()).encode())
        self._library = library
        self._root = root

    def arm(self, operations: int, torn: bool, journal: Path | None) -> None:
        """Kill the process at the operation that many from now; with a journal, remember what is not synced."""
        if not self.there:
            raise OSError("no simulated disk on this board: a C compiler and LD_PRELOAD are needed")
        keep = Path(f"{journal}.kept")
        if journal is not None:
            keep.mkdir(exist_ok=True)
        name = str(journal).encode() if journal else b""
        self._library.hil_disk_arm(ctypes.c_long(operations), int(torn), name, str(keep).encode())

    def tick(self) -> None:
        """A moment outside the disk at which the process may be killed as well."""
        if self.there:
            self._library.hil_disk_tick()

    def limit(self, free_bytes: int) -> None:
        """Room left on the disk from now on; -1 for no limit."""
        if self.there:
            self._library.hil_disk_free(free_bytes)

    @property
    def left(self) -> int:
        """Bytes left under the limit; -1 without one."""
        return int(self._library.hil_disk_left()) if self.there else -1

    @property
    def syncs(self) -> int:
        """Syncs since the process began, 0 where no disk is simulated."""
        return int(self._library.hil_disk_syncs()) if self.there else 0

    @property
    def operations(self) -> int:
        """Writes, syncs, renames, unlinks and creations so far."""
        return int(self._library.hil_disk_operations()) if self.there else 0


@dataclass
class _Change:
    """One operation of the journal. kind: W write, R rename, U removal, C creation, M and V of a folder.

    path, other: names at that time. now: what the thing is called since, after the renames that came later.
    """

    kind: str
    path: str
    other: str
    offset: int
    old_size: int
    size: int
    before: bytes
    now: str = ""
    durable: bool = False


def _read(journal: Path) -> list[_Change]:
    """The journal, with what later syncs made durable marked so."""
    data, at, extent = journal.read_bytes(), 0, 0
    changes: list[_Change] = []
    while at + _RECORD.size <= len(data):
        kind, path, other, size, offset, old = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        parts = [data[at : at + path], data[at + path : at + path + other], data[at + path + other :][:size]]
        at += path + other + size
        if at > len(data):
            break  # the kill came in the middle of a record: its operation did not happen
        name, mark = parts[0].decode(), chr(kind)
        if mark == "L":
            extent = offset
        elif mark in "SDY":
            _mark_durable(changes, mark, name)
        else:
            to = parts[1].decode()
            for change in changes if mark == "R" else ():
                change.now = _moved(change.now, name, to)
            changes.append(_Change(mark, name, to, offset, old, extent, parts[2], to or name))
    return changes


def _mark_durable(changes: list[_Change], mark: str, name: str) -> None:
    """A sync of a file (S) makes its bytes durable, of a folder (D) the names in it, of everything (Y) all."""
    for change in changes:
        if mark == "S":
            change.durable |= change.kind == "W" and change.now == name
        elif mark == "D":
            change.durable |= change.kind != "W" and os.path.dirname(change.now) == name
        else:
            change.durable = True


def _moved(path: str, old: str, new: str) -> str:
    """What a path is called after a rename of it or of a folder above it."""
    return new + path[len(old) :] if path == old or path.startswith(old + "/") else path


def _carried(path: str, rename: _Change) -> str:
    """What a path is called after the rename of a folder above it."""
    return path if path == rename.path else _moved(path, rename.path, rename.other)


def lose_power(journal: Path, rng: random.Random, keep: float | None = None) -> int:
    """Take back any subset of what was not synced; returns how many operations were touched.

    keep: the share that is not taken back, 1 for a kill with the power on; drawn when it is None.
    """
    if not journal.exists():
        return 0
    keep, undone = rng.choice((0.0, 0.5, 1.0)) if keep is None else keep, 0
    stayed: list[_Change] = []  # renames that were not taken back, the latest first
    for change in reversed(_read(journal)):
        if change.durable or (change.kind != "W" and rng.random() < keep):
            stayed += [change] if change.kind == "R" else []
        else:
            undone += _undo(change, stayed, keep, rng)
    shutil.rmtree(f"{journal}.kept", ignore_errors=True)
    journal.unlink()
    return undone


def _undo(change: _Change, stayed: list[_Change], keep: float, rng: random.Random) -> int:
    path, folder_only = change.path, change.path
    for rename in reversed(stayed):
        path = _moved(path, rename.path, rename.other)
        folder_only = _carried(folder_only, rename)
    if change.kind == "W":
        return _undo_write(change, Path(path), keep, rng)
    if change.kind == "C" and path != folder_only:
        return 0  # renamed since, and the new name stays: so does the file
    with contextlib.suppress(OSError):
        _undo_name(change, Path(folder_only), stayed)
    return 1


def _undo_name(change: _Change, path: Path, stayed: list[_Change]) -> None:
    if change.kind == "C":
        path.unlink()
    elif change.kind == "M":
        shutil.rmtree(path)  # nothing below a folder is found whose own name is lost
    elif change.kind == "V":
        path.mkdir()
    elif change.kind == "U" and change.before:
        os.replace(change.before.decode(), path)
    elif change.kind == "R":
        to = change.other
        for rename in reversed(stayed):
            to = _carried(to, rename)
        os.replace(to, path)
        if change.before:
            os.replace(change.before.decode(), to)


def _undo_write(change: _Change, path: Path, keep: float, rng: random.Random) -> int:
    """Sector by sector: what was there, or zeros where the file has grown; perhaps the old size too."""
    lost = 0
    try:
        with open(path, "r+b") as file:
            for start in range(0, change.size, SECTOR):
                if rng.random() < keep:
                    continue
                end, size = min(start + SECTOR, change.size), os.fstat(file.fileno()).st_size
                old = change.before[start:end].ljust(end - start, b"\0")
                file.seek(change.offset + start)
                grown = max(size, change.old_size)
                file.write(old[: max(grown - change.offset - start, 0)])
                lost = 1
            if lost and keep == 0.0 and change.offset + change.size > change.old_size and rng.random() < 0.5:
                file.truncate(max(change.old_size, 0))
    except OSError:
        return 0
    return lost
