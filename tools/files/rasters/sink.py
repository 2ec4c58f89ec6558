"""A file for HDF5 to write to that never fails it: the library does not survive a full disk (it ends the process)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any


class Sink(io.RawIOBase):
    """A new file at `path`, to be read and written anywhere. What the disk refuses is kept in memory, so that what was
    written reads back; `check` raises the first refusal.
    """

    def __init__(self, path: Path) -> None:
        self.file = path.open("w+b", buffering=0)
        self._kept: list[tuple[int, bytes]] = []
        self._at = self._end = 0
        self._failure: OSError | None = None

    def check(self) -> None:
        """Raises the OSError that a write met with."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        self.file.close()
        super().close()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def truncate(self, size: int | None = None) -> int:
        self._end = self._at if size is None else size
        try:
            self.file.truncate(self._end)
        except OSError as error:
            self._failure = self._failure or error
        return self._end

    def write(self, data: Any) -> int:
        content = bytes(data)
        try:
            if self._failure is None:
                self._write(content)
        except OSError as error:
            self._failure = error
        if self._failure is not None:
            self._kept.append((self._at, content))
        self._at += len(content)
        self._end = max(self._end, self._at)
        return len(content)

    def _write(self, content: bytes) -> None:
        self.file.seek(self._at)
        done = 0
        while done < len(content):  # a disk that gets full takes a part, and refuses the next
            done += self.file.write(content[done:])

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._end - self._at))
        self.file.seek(self._at)
        found = bytearray(self.file.read(count).ljust(count, b"\0"))
        for start, content in self._kept:
            low, high = max(start, self._at), min(start + len(content), self._at + count)
            if low < high:
                found[low - self._at : high - self._at] = content[low - start : high - start]
        view[:count] = found
        self._at += count
        return count
