"""Signed packets that somebody sends once more: what of them still counts.

A signature says who made a packet, not when it was heard. What is sent again word for word says nothing at all; what was
made for a pass before the newest one that was heard says nothing of this pass: pieces of it are facts and stay, its events,
telemetry, parity and place in the count of packets do not. A pass file that starts with such a packet is still the newest
pass's.
"""

from __future__ import annotations

from enum import Enum

from swathpack.edge.packets.security import MAC_BYTES
from swathpack.edge.packets.space_packet import SpacePacket


class Heard(Enum):
    """How a signed packet stands to those before it."""

    NEW = "of the newest pass"
    NEWER = "the first of a newer pass"
    OLDER = "of a pass before the newest"
    REPEATED = "heard before"


class ReplayWatch:
    """Takes the signed packets of one receiver in the order in which they came. newest: of the newest pass, the first."""

    def __init__(self) -> None:
        self.newest: SpacePacket | None = None
        self._tags: set[bytes] = set()  # of the newest pass, 12 bytes a packet

    def take(self, packet: SpacePacket) -> Heard:
        """packet: as it came, its signature checked."""
        if self.newest is not None and packet.pass_number < self.newest.pass_number:
            return Heard.OLDER
        newer = self.newest is None or packet.pass_number > self.newest.pass_number
        if newer:
            self.newest = packet
            self._tags.clear()
        tag = packet.payload[-MAC_BYTES:]
        if tag in self._tags:
            return Heard.REPEATED
        self._tags.add(tag)
        return Heard.NEWER if newer else Heard.NEW
