"""What was made of tiles, on disk: so that memory does not grow with the frame, and a run that was stopped can go on.

    store = TileStore()                        a file without a name, gone with the run
    store = TileStore(path, fingerprint)       a journal: what an earlier run of the same fingerprint made is there again
    store.put("plain 0 17", payload=..., sizes=...)      store.get("plain 0 17")["payload"]

A record is 4 bytes of length, 4 of CRC-32, then JSON of the key and of the fields, and their bytes. A journal that ends within
a record (the power went) ends before it. Nothing in it is executed.
"""

from __future__ import annotations

import fcntl
import json
import tempfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from swathpack.tools.errors import RefusedError, UserError

_HEAD = 8
_FIRST = b'{"fingerprint": '  # behind the head and 4 bytes, of every journal
MEMORY_BYTES = 1 << 25  # of a store without a name, before it goes to the disk


class TileStore:
    """Fields (bytes, numbers, texts, arrays) by key. A key that is put again takes its new fields. Raises UserError where the
    disk is full, RefusedError for a journal that another run writes to, and without `force` for a file that is no journal.
    """

    def __init__(
        self, path: Path | None = None, fingerprint: str = "", folder: Path | None = None, force: bool = False
    ) -> None:
        self.path, self._places, self._end = path, dict[str, int](), 0
        self._file: IO[bytes] = (
            tempfile.SpooledTemporaryFile(MEMORY_BYTES, dir=None if folder is None else str(folder))  # noqa: SIM115 - `close` does
            if path is None
            else self._opened(path)
        )
        if path is not None:
            self._claim(path, force)
            self._recover(fingerprint)

    def _opened(self, path: Path) -> IO[bytes]:
        try:
            return path.open("r+b" if path.exists() else "w+b")
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error

    def _claim(self, path: Path, force: bool) -> None:
        """Two runs that write to one journal would mix what they made; other files are somebody's."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RefusedError(
                f"{path} is the journal of a run that goes on: wait for it, or give another output"
            ) from error
        except OSError:  # a file system that knows no locks
            pass
        begin = self._file.read(_HEAD + 4 + len(_FIRST))
        ours = begin[_HEAD + 4 :] == _FIRST[: max(len(begin) - _HEAD - 4, 0)] or not any(begin)
        if not (ours or force):
            raise RefusedError(f"{path} exists and is no journal: give another output, or --force to replace it")

    def _recover(self, fingerprint: str) -> None:
        """Find what is there; start anew where it is another run's."""
        while (head := self._read_at(self._end)) is not None:
            size, item = head
            if self._end == 0 and item.get("fingerprint") != fingerprint:
                break
            if "key" in item:
                self._places[item["key"]] = self._end
            self._end += size
        self._file.truncate(self._end)
        if self._end == 0:
            self._append({"fingerprint": fingerprint}, [])

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    @property
    def kept(self) -> bool:
        """Whether a later run finds what is put here."""
        return self.path is not None

    def put(self, key: str, **fields: Any) -> None:
        """Keep the fields of a key."""
        blobs, told = [], {}
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                told[name] = [value.dtype.str, list(value.shape)]
                blobs.append(np.ascontiguousarray(value).tobytes())
            elif isinstance(value, bytes):
                told[name] = ["bytes", len(value)]
                blobs.append(value)
            else:
                told[name] = value.item() if isinstance(value, np.generic) else value
        self._places[key] = self._append({"key": key, "fields": told}, blobs)

    def _append(self, item: dict[str, Any], blobs: list[bytes]) -> int:
        text = json.dumps(item).encode()
        body = len(text).to_bytes(4, "little") + text + b"".join(blobs)
        at = self._end
        try:
            self._file.seek(at)
            self._file.write(len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body)
            self._file.flush()
        except OSError as error:
            raise UserError(f"cannot write {self.path or 'a scratch file'}: {error.strerror or error}") from error
        self._end += _HEAD + len(body)
        return at

    def get(self, key: str) -> dict[str, Any]:
        """The fields of a key that is there."""
        found = self._read_at(self._places[key])
        if found is None:
            raise UserError(f"{self.path or 'a scratch file'}: damaged while it was in use")
        item, at, out = found[1], 0, {}
        for name, value in item["fields"].items():
            if not isinstance(value, list):
                out[name] = value
            elif value[0] == "bytes":
                out[name], at = item["body"][at : at + value[1]], at + value[1]
            else:
                size = int(np.prod(value[1], dtype=np.int64)) * np.dtype(value[0]).itemsize
                out[name] = np.frombuffer(item["body"][at : at + size], value[0]).reshape(value[1])
                at += size
        return out

    def _read_at(self, at: int) -> tuple[int, dict[str, Any]] | None:
        """(length, JSON with the bytes behind it as `body`) of the record there; None where none is whole."""
        self._file.seek(at)
        head = self._file.read(_HEAD)
        size = int.from_bytes(head[:4], "little")
        body = self._file.read(size) if len(head) == _HEAD else b""
        if not size or len(body) < size or zlib.crc32(body) != int.from_bytes(head[4:], "little"):
            return None
        stop = 4 + int.from_bytes(body[:4], "little")
        try:
            item = json.loads(body[4:stop])
        except ValueError:
            return None
        return _HEAD + size, item | {"body": body[stop:]}

    def close(self, done: bool = False) -> None:
        """Let the file go; done: a journal is of no more use."""
        self._file.close()
        if done and self.path is not None:
            self.path.unlink(missing_ok=True)
