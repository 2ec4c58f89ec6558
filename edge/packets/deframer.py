"""From a stream of bytes to packets, whatever lies between them; and what the sequence counts say is missing.

No input/output here: `feed` takes what arrived and returns the packets in it. Damage costs the damaged packet
only: the search goes on one byte behind its start. Work and memory are bounded for any input: the buffer
never holds more than one packet of `max_packet_bytes` plus what one `feed` brought, and a false start costs
one checksum over at most that many bytes, at most every 8 bytes (the header pattern cannot overlap itself).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.space_packet import (
    MARK,
    OVERHEAD_BYTES,
    SECURED_MARK,
    SEQUENCE_MODULUS,
    Apid,
    SpacePacket,
    packet_size,
)

# Primary header with our APIDs (telemetry or command), whole packets only, and our mark behind it.
_MARKS = b"|".join(map(re.escape, (MARK, SECURED_MARK)))
_APIDS = re.escape(bytes(apid & 0xFF for apid in Apid))
_START = re.compile(b"[\x0b\x1b][" + _APIDS + b"][\xc0-\xff]...(?:" + _MARKS + b")", re.DOTALL)
_HEADER_BYTES = 8


@dataclass
class DeframerCounts:
    """What became of the bytes so far."""

    packets: int = 0
    damaged: int = 0
    garbage_bytes: int = 0


class Deframer:
    """Finds packets in a byte stream. `max_packet_bytes` bounds what a header may claim."""

    def __init__(self, max_packet_bytes: int = 65542) -> None:
        self.counts = DeframerCounts()
        self._max = max_packet_bytes
        self._buffer = bytearray()

    @property
    def held_bytes(self) -> int:
        """What waits for the rest of a packet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[SpacePacket]:
        """Packets completed by these bytes, in the order of their arrival."""
        self._buffer += data
        return self._scan(final=False)

    def flush(self) -> list[SpacePacket]:
        """The stream has ended: packets hidden behind a header that promised more than came."""
        return self._scan(final=True)

    def _scan(self, final: bool) -> list[SpacePacket]:
        found: list[SpacePacket] = []
        buffer, at = self._buffer, 0
        while True:
            match = _START.search(buffer, at)
            start = match.start() if match else self._tail_start(at, final)
            self.counts.garbage_bytes += start - at
            at = start
            if match is None:
                break
            size = packet_size(bytes(buffer[at : at + 6]))
            if OVERHEAD_BYTES <= size <= self._max and at + size > len(buffer) and not final:
                break
            at += self._take(bytes(buffer[at : at + size]), size, found)
        del buffer[:at]
        return found

    def _take(self, data: bytes, size: int, found: list[SpacePacket]) -> int:
        """Parse one candidate; returns how many bytes are done with."""
        try:
            if size > self._max:
                raise PacketError(f"expected at most {self._max} bytes, found {size}")
            found.append(SpacePacket.unpack(data))
        except PacketError:
            self.counts.damaged += 1
            self.counts.garbage_bytes += 1
            return 1
        self.counts.packets += 1
        return size

    def _tail_start(self, at: int, final: bool) -> int:
        """Where a header that is cut by the end of the buffer could start."""
        return len(self._buffer) if final else max(at, len(self._buffer) - _HEADER_BYTES + 1)


@dataclass
class SequenceCheck:
    """Counts losses, repeats and late packets per APID from the 14-bit sequence counts."""

    lost: Counter[int] = field(default_factory=Counter)
    repeated: Counter[int] = field(default_factory=Counter)
    _next: dict[int, int] = field(default_factory=dict)
    _missing: dict[int, set[int]] = field(default_factory=dict)

    def next_pass(self) -> None:
        """Another pass begins: between its packets and those before it nothing is missing."""
        self._next.clear()

    def note(self, packet: SpacePacket) -> None:
        """Take one packet into account. Steps of half the range or more count as packets from the past."""
        expected = self._next.get(packet.apid, packet.sequence)
        step = (packet.sequence - expected) % SEQUENCE_MODULUS
        missing = self._missing.setdefault(packet.apid, set())
        if step < SEQUENCE_MODULUS // 2:
            missing.update((expected + i) % SEQUENCE_MODULUS for i in range(step))
            missing.discard(packet.sequence)
            self._next[packet.apid] = (packet.sequence + 1) % SEQUENCE_MODULUS
        elif packet.sequence in missing:
            missing.remove(packet.sequence)
        else:
            self.repeated[packet.apid] += 1
        self.lost[packet.apid] = len(missing)
