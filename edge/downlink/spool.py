"""The spool: every accepted frame as a file of its own until the ground holds what was made of it.

A frame is accepted in this order: file written and synced under a temporary name, renamed, folder synced, and
only then its row in the queue. So a row always has its file; a file without a row is a frame that was about
to be accepted, or whose queue was lost, and is accepted again at the next start.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from swathpack.edge.frame import FrameError
from swathpack.edge.sources.acquisition import Acquisition
from swathpack.edge.storage.blockfile import StorageError
from swathpack.edge.storage.durable import make_folder, replace_durably, sync_folder

SUFFIX = ".swf"
_OLD_NAME = re.compile(r".*-[0-9a-f]{8}\.swf")  # names once ended in a CRC-32, which is found twice soon


class SpoolFullError(StorageError):
    """No space left for another frame."""


class Refusal(NamedTuple):
    """A file of the spool that is no frame, and why."""

    name: str
    reason: str


class Spool:
    """Frames in a folder. max_bytes: of one frame. min_free_bytes: space of the disk that the spool leaves."""

    def __init__(self, folder: Path, max_bytes: int, min_free_bytes: int) -> None:
        self.folder, self._max_bytes, self._min_free_bytes = folder, max_bytes, min_free_bytes
        try:
            make_folder(folder)
            for part in folder.glob("*.part"):
                part.unlink()
            self._rename_old()
        except OSError as error:
            raise StorageError(f"spool {folder}: {error.strerror}") from error

    def put(self, acquisition: Acquisition) -> int:
        """Write a frame durably; returns its bytes. Raises SpoolFullError, StorageError."""
        data = acquisition.pack()
        if self.free_bytes() < self._min_free_bytes + len(data):
            raise SpoolFullError(f"spool: {self.free_bytes()} bytes free, {self._min_free_bytes} are kept")
        path = self.path_of(acquisition.name)
        part = path.with_suffix(".part")
        try:
            with open(part, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            replace_durably(part, path)
        except OSError as error:
            part.unlink(missing_ok=True)
            kind = SpoolFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
            raise kind(f"spool: {error.strerror}") from error
        return len(data)

    def get(self, name: str) -> Acquisition:
        """A frame. Raises StorageError when it cannot be read, FrameError when it is damaged or another."""
        found = self._read(self.path_of(name))
        if found.name != name:
            raise FrameError("wire", f"expected frame {name}, found {found.name}")
        return found

    def remove(self, name: str) -> None:
        """Delete a frame; none there is no error."""
        try:
            self.path_of(name).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"spool: {error.strerror}") from error

    def orphans(self, known: set[str]) -> Iterator[Acquisition | Refusal]:
        """Frames in the folder of which the queue knows nothing, one at a time; those that are damaged are deleted,
        those that cannot be read stay, and of both it is told why.
        """
        paths = {self.path_of(name) for name in known}
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if path in paths:
                continue
            try:
                yield self._read(path)
            except FrameError as error:
                path.unlink(missing_ok=True)
                yield Refusal(path.name, f"spool file deleted: {error}")
            except StorageError as error:
                yield Refusal(path.name, str(error))

    def low(self) -> bool:
        """Whether a frame of the largest size would not fit any more."""
        return self.free_bytes() < self._min_free_bytes + self._max_bytes

    def free_bytes(self) -> int:
        """Bytes free on the spool's disk."""
        state = os.statvfs(self.folder)
        return state.f_bavail * state.f_frsize

    def _read(self, path: Path) -> Acquisition:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        return Acquisition.unpack(data, self._max_bytes)

    def _rename_old(self) -> None:
        for path in self.folder.glob(f"*{SUFFIX}"):
            if _OLD_NAME.fullmatch(path.name):
                with contextlib.suppress(FrameError, StorageError):  # `orphans` says what is wrong with it
                    path.replace(self.path_of(self._read(path).name))
        sync_folder(self.folder)

    def path_of(self, name: str) -> Path:
        """A file name for any frame name: readable characters, and a digest that keeps names apart."""
        readable = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name[:80])
        return self.folder / f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:32]}{SUFFIX}"
