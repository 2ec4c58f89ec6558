"""How often the board has started, kept in a file of its own in two copies.

Segment numbers start from this count, so it must never go back: it is written and synced before anything else
happens, apart from the queue's database, and the copy that is not the newest is the one overwritten. When one
copy is damaged it may have been the newest, and a count is left out.

    copy     32 bytes at 0 and at 4096: magic "SWPB", boots u32, store u16, two spare bytes, CRC-32 of all
    before
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from swathpack.edge.storage.blockfile import BlockFile

_COPY = struct.Struct("<4sIHH")
_SIZE = 32
_PLACES = (0, 4096)
MAX_BOOTS = 4095  # then the numbers would repeat, and a new store begins


@dataclass(frozen=True)
class Boot:
    """boots: this start's count, from 1. store: 16 random bits naming the life of the segment numbers."""

    boots: int
    store: int


def next_boot(path: Path) -> Boot:
    """Count this start durably. Raises StorageError.

    A file that is not there, or of which both copies are damaged, begins a new store.
    """
    file = BlockFile(path, _PLACES[1] + _SIZE)
    try:
        copies = [_unpack(file.read(place, _SIZE)) for place in _PLACES]
        last = max((copy for copy in copies if copy), key=lambda copy: copy.boots, default=None)
        step = 1 if all(copies) else 2
        if last is None or last.boots + step > MAX_BOOTS:
            boot = Boot(1, int.from_bytes(os.urandom(2), "big"))
        else:
            boot = Boot(last.boots + step, last.store)
        # Over the copy that is damaged or older, so one whole copy of the last count is there at any instruction;
        # with both damaged, or a new store, over both.
        older = copies.index(last) ^ 1 if last is not None else 0
        for place in _PLACES if boot.boots == 1 else (_PLACES[older],):
            file.write(place, _pack(boot))
        file.sync()
    finally:
        file.close()
    return boot


def begin_store(path: Path, boot: Boot) -> Boot:
    """Give this start's segment numbers a new life: reports on those before mean nothing any more. Raises StorageError."""
    return _write_both(path, Boot(boot.boots, (boot.store + 1) & 0xFFFF))


def raise_count(path: Path, boot: Boot, boots: int) -> Boot:
    """Count this start as a later one: both copies were lost, and numbers of lower counts are still in the queue.
    Raises StorageError.
    """
    return _write_both(path, Boot(boots, boot.store))


def _write_both(path: Path, boot: Boot) -> Boot:
    file = BlockFile(path, _PLACES[1] + _SIZE)
    try:
        for place in _PLACES:  # over both: the older copy names what is over
            file.write(place, _pack(boot))
            file.sync()
    finally:
        file.close()
    return boot


def _pack(boot: Boot) -> bytes:
    body = _COPY.pack(b"SWPB", boot.boots, boot.store, 0)
    return (body + struct.pack("<I", zlib.crc32(body))).ljust(_SIZE, b"\0")


def _unpack(data: bytes) -> Boot | None:
    body, crc = data[: _COPY.size], data[_COPY.size : _COPY.size + 4]
    if struct.unpack("<I", crc)[0] != zlib.crc32(body) or body[:4] != b"SWPB":
        return None
    _, boots, store, _ = _COPY.unpack(body)
    return Boot(boots, store)
