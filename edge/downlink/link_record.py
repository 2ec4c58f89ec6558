"""What of the uplink must never go back: the key slot that signs reports, and the life of the ground's store.

Kept in a file of its own, so that neither a queue nor a context file that is lost brings a retired key or an earlier
ground back. Two copies, always of the same values: the second is written when the first is durable, so at any
instruction one is whole, and damage to one loses nothing.

    copy     32 bytes at 0 and at 4096: magic "SWPL", slot u8 (255 before the first report), three spare bytes, epoch u32,
             CRC-32 of all before
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from swathpack.edge.storage.blockfile import BlockFile

_COPY = struct.Struct("<4sB3xI")
_SIZE = 32
_PLACES = (0, 4096)
_NO_SLOT = 255


class LinkRecord:
    """The record in the file at `path`, made when it is not there. Raises StorageError.

    slot: lowest key slot that may sign, -1 for any. epoch: highest that was followed, 0 before the first. damaged: both
    copies were, and what is here is the beginning again.
    """

    def __init__(self, path: Path) -> None:
        self._file = BlockFile(path, _PLACES[1] + _SIZE)
        raw = [self._file.read(place, _SIZE) for place in _PLACES]
        found = [copy for copy in map(_unpack, raw) if copy is not None]
        self.damaged = not found and any(map(any, raw))
        self.slot, self.epoch = max(found, default=(-1, 0))
        if found and (len(found) < 2 or found[0] != found[1]):
            self._write()

    def follow(self, slot: int, epoch: int) -> None:
        """Note, durably, that a good report came signed with this slot in this epoch. Neither ever goes down."""
        slot, epoch = max(slot, self.slot), max(epoch, self.epoch)
        if (slot, epoch) != (self.slot, self.epoch):
            self.slot, self.epoch = slot, epoch
            self._write()

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def _write(self) -> None:
        body = _COPY.pack(b"SWPL", _NO_SLOT if self.slot < 0 else self.slot, self.epoch)
        copy = (body + struct.pack("<I", zlib.crc32(body))).ljust(_SIZE, b"\0")
        for place in _PLACES:
            self._file.write(place, copy)
            self._file.sync()


def _unpack(data: bytes) -> tuple[int, int] | None:
    body, crc = data[: _COPY.size], data[_COPY.size : _COPY.size + 4]
    if struct.unpack("<I", crc)[0] != zlib.crc32(body) or body[:4] != b"SWPL":
        return None
    _, slot, epoch = _COPY.unpack(body)
    return (-1 if slot == _NO_SLOT else slot, epoch)
