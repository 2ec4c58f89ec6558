"""What was made of tiles and is wanted again: in memory while there is room, in a scratch file beyond that.

    shelf = Shelf(folder)
    kept = shelf.put(coded)            kept.get() gives it back, from wherever it is by then

So memory does not grow with the number of tiles and dates. The file has no name: it is gone with the process, however that
ends. Room of things that nobody keeps any more is used again. What was put must not be changed.
"""

from __future__ import annotations

import pickle
import tempfile
import weakref
import zlib
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import numpy as np

from swathpack.tools.errors import UserError

MEMORY_BYTES = 1 << 27
PAGE = 1 << 12
SAMPLE = 1 << 15  # bytes that tell whether it is worth deflating all: latents are mostly zeros, payloads are noise

T = TypeVar("T")


class Kept(Generic[T]):
    """A thing on a shelf, there as long as this is."""

    __slots__ = ("__weakref__", "_length", "_room", "_shelf", "_start", "_thing", "_weight")

    def __init__(self, shelf: Shelf, thing: T) -> None:
        self._shelf, self._weight = shelf, weight_of(thing)
        self._thing: list[T] = [thing]  # empty while it is in the file alone
        self._start, self._length, self._room = -1, 0, 0

    def get(self) -> T:
        """The thing. Raises UserError where the scratch file cannot be read or written."""
        if not self._thing:
            self._thing = [self._shelf._read(self._start, self._length)]
        self._shelf._hold(self)
        return self._thing[0]

    def __del__(self) -> None:
        self._shelf._drop(self)


class Shelf:
    """folder: for the scratch file. memory_bytes: of what is in memory, about."""

    def __init__(self, folder: Path | None = None, memory_bytes: int = MEMORY_BYTES) -> None:
        self._folder, self._left = folder, memory_bytes
        self._here: OrderedDict[int, weakref.ref[Kept[Any]]] = OrderedDict()  # the one longest not asked for first
        self._free: defaultdict[int, list[int]] = defaultdict(list)  # by bytes: where that many are free
        self._file: IO[bytes] | None = None
        self.file_bytes = 0

    def put(self, thing: T) -> Kept[T]:
        """Keep a thing. Raises UserError where the disk is full."""
        kept = Kept(self, thing)
        self._hold(kept)
        return kept

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _hold(self, kept: Kept[Any]) -> None:
        """It is in memory and was just asked for; what it leaves no room for goes to the file."""
        if id(kept) in self._here:
            self._here.move_to_end(id(kept))
            return
        self._here[id(kept)] = weakref.ref(kept)
        self._left -= kept._weight
        while self._left < 0 and len(self._here) > 1:
            oldest = self._here[next(iter(self._here))]()
            if oldest is not None:
                self._spill(oldest)

    def _spill(self, kept: Kept[Any]) -> None:
        if kept._start < 0:
            packed = _packed(kept._thing[0])
            kept._length, kept._room = len(packed), _room_for(len(packed))
            kept._start = self._write(packed, kept._room)
        kept._thing = []
        del self._here[id(kept)]
        self._left += kept._weight

    def _drop(self, kept: Kept[Any]) -> None:
        if self._here.pop(id(kept), None) is not None:
            self._left += kept._weight
        if kept._start >= 0:
            self._free[kept._room].append(kept._start)

    def _write(self, packed: bytes, room: int) -> int:
        free = self._free[room]
        start = free.pop() if free else self.file_bytes
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - `close` does
            self._file.seek(start)
            self._file.write(packed)
            self._file.flush()
        except OSError as error:
            raise UserError(f"cannot write a scratch file: {error.strerror or error}") from error
        self.file_bytes = max(self.file_bytes, start + room)
        return start

    def _read(self, start: int, length: int) -> Any:
        assert self._file is not None
        try:
            self._file.seek(start)
            packed = self._file.read(length)
        except OSError as error:
            raise UserError(f"cannot read a scratch file: {error.strerror or error}") from error
        # Nobody else can write to a file without a name.
        return pickle.loads(zlib.decompress(packed[1:]) if packed[:1] == b"z" else memoryview(packed)[1:])


def weight_of(thing: Any) -> int:
    """Bytes that a thing takes in memory, about."""
    if isinstance(thing, np.ndarray):
        return thing.nbytes + 128
    if isinstance(thing, (bytes, str)):
        return len(thing) + 64
    if isinstance(thing, (tuple, list)):
        return 64 + sum(weight_of(part) for part in thing)
    if hasattr(thing, "__dict__"):
        return 64 + sum(weight_of(part) for part in vars(thing).values())
    return 32


def _packed(thing: Any) -> bytes:
    """A letter and what it says: deflated (z) or not (p)."""
    packed = pickle.dumps(thing, protocol=5)
    middle = packed[len(packed) // 2 :][:SAMPLE]
    if len(zlib.compress(middle, 1)) < len(middle) // 2:
        return b"z" + zlib.compress(packed, 1)
    return b"p" + packed


def _room_for(length: int) -> int:
    """Room in the file, in few different sizes, so that what becomes free fits again: an eighth more at the most, or a page."""
    step = max(PAGE, 1 << max(length.bit_length() - 4, 0))
    return -(-length // step) * step
