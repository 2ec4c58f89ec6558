"""Frames through a ring in shared memory: the fastest way from a sensor process on the same machine.

    header   64 bytes: magic "SWRG", slots u32, slot_bytes u64, written u64, taken u64
    slot     length u64, message (`Acquisition.pack`), up to slot_bytes

One writer, one reader. The writer fills a slot, then raises `written`; the reader copies the slot out, then
raises `taken`; neither waits for the other. A full ring refuses the frame, and the writer knows. A writer
that dies in the middle of a slot has not raised `written`; should memory be scribbled on, the message's CRC
says so.
"""

from __future__ import annotations

import struct
from multiprocessing import shared_memory

from swathpack.edge.sources.acquisition import Acquisition, Offer, SourceError, offer
from swathpack.edge.spoken import reason

_HEADER = struct.Struct("<4sIQQQ")
_MAGIC = b"SWRG"
_HEADER_BYTES = 64
_WRITTEN_AT, _TAKEN_AT = 16, 24
_COUNT = struct.Struct("<Q")
MAX_SLOTS = 1024


def ring_bytes(slots: int, slot_bytes: int) -> int:
    """Size of the shared memory."""
    return _HEADER_BYTES + slots * (8 + slot_bytes)


def _view(memory: shared_memory.SharedMemory) -> memoryview:
    if memory.buf is None:
        raise SourceError(f"shared memory {memory.name} is closed")
    return memory.buf


class _Ring:
    def __init__(self, memory: shared_memory.SharedMemory) -> None:
        self._memory = memory
        self.view = _view(memory)
        magic, self.slots, self.slot_bytes, _, _ = _HEADER.unpack_from(self.view)
        good = magic == _MAGIC and 1 <= self.slots <= MAX_SLOTS
        if not good or ring_bytes(self.slots, self.slot_bytes) > memory.size:
            raise SourceError(f"shared memory {memory.name}: expected a ring, found {magic!r}")

    def _count(self, at: int) -> int:
        return int(_COUNT.unpack_from(self.view, at)[0])

    def slot_offset(self, count: int) -> int:
        return _HEADER_BYTES + count % int(self.slots) * (8 + int(self.slot_bytes))

    def close(self) -> None:
        self.view = memoryview(b"")
        self._memory.close()


class RingWriter(_Ring):
    """The sensor's side; makes the ring named `name` and removes it when closed."""

    def __init__(self, name: str, slots: int, slot_bytes: int) -> None:
        memory = shared_memory.SharedMemory(name, create=True, size=ring_bytes(slots, slot_bytes))
        _HEADER.pack_into(_view(memory), 0, _MAGIC, slots, slot_bytes, 0, 0)
        super().__init__(memory)

    def push(self, acquisition: Acquisition) -> bool:
        """Hand a frame over; False when the ring is full. Raises SourceError when it is too large for a slot."""
        message = acquisition.pack()
        if len(message) > self.slot_bytes:
            raise SourceError(f"expected a frame of at most {self.slot_bytes} bytes, found {len(message)}")
        written = self._count(_WRITTEN_AT)
        if written - self._count(_TAKEN_AT) >= self.slots:
            return False
        at = self.slot_offset(written)
        _COUNT.pack_into(self.view, at, len(message))
        self.view[at + 8 : at + 8 + len(message)] = message
        _COUNT.pack_into(self.view, _WRITTEN_AT, written + 1)
        return True

    def close(self) -> None:
        """The ring is gone for new readers; who has it open keeps it until it is closed there."""
        super().close()
        self._memory.unlink()


class RingSource(_Ring):
    """The board's side: a `FrameSource` on the ring named `name`. Raises SourceError."""

    def __init__(self, name: str, max_bytes: int = 1 << 30) -> None:
        try:
            memory = shared_memory.SharedMemory(name)
        except (OSError, ValueError) as error:
            raise SourceError(f"shared memory {name}: {reason(error)}") from error
        self._max_bytes = max_bytes
        self._offered = -1
        super().__init__(memory)

    def poll(self) -> Offer | None:
        taken, written = self._count(_TAKEN_AT), self._count(_WRITTEN_AT)
        if taken >= written or taken == self._offered:
            return None
        if written - taken > self.slots:
            # Counters that contradict each other: whatever lies in the ring cannot be trusted.
            self._mark_taken(written)
            return Offer("ring", None, f"expected at most {self.slots} frames, found {written - taken}")
        self._offered = taken
        at = self.slot_offset(taken)
        length = min(self._count(at), self.slot_bytes)
        if length > self._max_bytes:
            found = f"expected a message of at most {self._max_bytes} bytes, found {length}"
            return Offer(f"ring {taken}", None, found, taken)
        return offer(f"ring {taken}", bytes(self.view[at + 8 : at + 8 + length]), self._max_bytes, taken)

    def done(self, offer: Offer) -> None:
        if offer.token == self._offered:
            self._mark_taken(self._offered + 1)

    def _mark_taken(self, count: int) -> None:
        _COUNT.pack_into(self.view, _TAKEN_AT, count)
        self._offered = -1
