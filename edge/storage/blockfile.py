"""A preallocated file read and written at offsets; every error of the system becomes one exception."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from swathpack.edge.storage.durable import sync_folder


class StorageError(Exception):
    """The disk refused: message names the file, the operation and the system's reason."""


class Blocks(Protocol):
    """What the context store needs of a file. Tests put a disk that loses power behind it."""

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes at `offset`. Raises StorageError."""

    def write(self, offset: int, data: bytes) -> None:
        """Write all of `data` at `offset`; durable only after `sync`. Raises StorageError."""

    def sync(self) -> None:
        """Return when all that was written is on the medium. Raises StorageError."""

    def close(self) -> None:
        """Give the file back."""


class BlockFile:
    """`Blocks` on a real file of fixed size, allocated in full when it is made (a full disk fails here,
    once).
    """

    def __init__(self, path: Path, size: int) -> None:
        path = Path(path)
        self._path, fresh = path, not path.exists()
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if os.fstat(self._fd).st_size < size:
                os.posix_fallocate(self._fd, 0, size)
            if fresh:
                sync_folder(path.parent)  # what is synced into a file is lost with its name
        except OSError as error:
            raise StorageError(f"{path}: cannot allocate {size} bytes: {error.strerror}") from error

    def read(self, offset: int, size: int) -> bytes:
        parts, missing = [], size
        while missing:
            part = self._call("read", os.pread, missing, offset + size - missing)
            if not part:
                raise StorageError(f"{self._path}: expected {size} bytes at {offset}, {missing} missing")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def write(self, offset: int, data: bytes) -> None:
        done = 0
        while done < len(data):
            done += self._call("write", os.pwrite, data[done:], offset + done)

    def sync(self) -> None:
        self._call("sync", os.fdatasync)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _call(self, what: str, function, *arguments):  # type: ignore[no-untyped-def]
        try:
            return function(self._fd, *arguments)
        except OSError as error:
            raise StorageError(f"{self._path}: {what} failed: {error.strerror}") from error
