"""Somebody who hears a signed downlink and sends to the ground in the board's name, without a key.

`intrude` mixes what such a one can make into the packets of a pass: true packets without a signature and with other bytes in
them, signed with another key, with a bit changed, moved to another pass, and true ones sent once more. Checksums are right in
all of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.link_keys import LinkKey
from swathpack.edge.packets.pieces import pack_pieces, unpack_pieces
from swathpack.edge.packets.security import PacketSigner, without_security
from swathpack.edge.packets.space_packet import Apid, SpacePacket

HEARD = 400  # packets that an attacker remembers


@dataclass
class Intrusion:
    """Packets of a pass with others among them. forged, replayed: how many of each the ground must count."""

    packets: list[bytes]
    forged: int = 0
    replayed: int = 0


@dataclass
class Attacker:
    """Remembers what was heard on the link; makes up the rest."""

    rng: random.Random
    heard: list[SpacePacket] = field(default_factory=list)

    def listen(self, packets: list[bytes]) -> list[SpacePacket]:
        """The image packets of a pass that arrived whole, from now on known."""
        found = []
        for data in packets:
            try:
                packet = SpacePacket.unpack(data)
            except PacketError:
                continue
            if packet.secured and packet.apid == Apid.IMAGE:
                found.append(packet)
        self.heard = [*self.heard, *found][-HEARD:]
        return found

    def intrude(self, packets: list[bytes], each: int) -> Intrusion:
        """So many packets of every kind, put in before and between the true ones."""
        before, mine = list(self.heard), self.listen(packets)
        if not mine:
            return Intrusion(packets)
        older = [packet for packet in before if packet.pass_number < mine[0].pass_number]
        forged = [make(self.rng, self.rng.choice(mine)).pack() for make in FORGERIES for _ in range(each)]
        mixed = list(packets)
        for data in forged:  # a false piece that comes first would keep the true one out
            mixed.insert(self.rng.randrange(len(mixed) + 1), data)
        # A replay is one only behind what it repeats, or behind a packet of a newer pass.
        again = [p.pack() for p in self.rng.choices(mine, k=each) + self.rng.choices(older, k=each if older else 0)]
        behind = mixed.index(mine[-1].pack()) + 1
        mixed[behind:behind] = again
        return Intrusion(mixed, len(forged), len(again))


def _other_bytes(rng: random.Random, packet: SpacePacket) -> SpacePacket:
    """What it says, unsigned, of the same places, with other bytes."""
    pieces = unpack_pieces(without_security(packet).payload)
    changed = [replace(p, data=bytes(255 - byte for byte in p.data)) for p in pieces]
    return replace(packet, payload=pack_pieces(changed), secured=False)


def _own_key(rng: random.Random, packet: SpacePacket) -> SpacePacket:
    """The same, signed by a key of the attacker's in the slot of the true one or in another."""
    slot = int.from_bytes(packet.payload[:2], "big")
    key = LinkKey(rng.choice((slot, slot + 1)), rng.randbytes(32))
    return PacketSigner(key).sign(_other_bytes(rng, packet))


def _flipped(rng: random.Random, packet: SpacePacket) -> SpacePacket:
    payload = bytearray(packet.payload)
    payload[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
    return replace(packet, payload=bytes(payload))


def _moved(rng: random.Random, packet: SpacePacket) -> SpacePacket:
    """Its signature under other headers: another pass, another life of the board's queue, another count."""
    kind = rng.randrange(3)
    if kind == 0:
        return replace(packet, pass_number=packet.pass_number + 1)
    return replace(packet, store=packet.store ^ 1) if kind == 1 else replace(packet, sequence=packet.sequence ^ 0x1000)


FORGERIES: tuple[Callable[[random.Random, SpacePacket], SpacePacket], ...] = (_other_bytes, _own_key, _flipped, _moved)
