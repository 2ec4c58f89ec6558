"""Packets of the downlink that say who sent them: an option, `[downlink] key_file`.

The fields are those of the Space Data Link Security protocol (CCSDS 355.0-B-2, sections 2.3 and 4.1) for a service of
authentication alone, here within the packet, so that they reach whoever decodes and any link below may be used:

    security header   2 bytes   security parameter index: the slot of the key (`swathpack.edge.packets.link_keys`)
    data              n bytes   the payload that the packet would have without
    security trailer  12 bytes  HMAC-SHA-256 over the packet's headers, the security header and the data, cut (RFC 2104)

No initialisation vector, since nothing is encrypted, and no sequence number of its own: the headers that are signed name the
queue's life, the pass and the packet's count, and pieces of a segment are facts, so that what is sent once more says nothing
new. The key of this direction is derived from the slot's secret: no report's tag is ever that of a packet.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace

from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.link_keys import LinkKey
from swathpack.edge.packets.space_packet import SpacePacket

_INDEX = struct.Struct(">H")
MAC_BYTES = 12
SECURITY_BYTES = _INDEX.size + MAC_BYTES
_DOWNLINK = b"swathpack downlink 1"


class ForgedPacketError(PacketError):
    """A packet that none of the known keys has signed."""


@dataclass(frozen=True)
class PacketSigner:
    """Signs what goes down. key: a slot and its secret, shared with the ground."""

    key: LinkKey

    def sign(self, packet: SpacePacket) -> SpacePacket:
        """The packet with security header and trailer. Raises PacketError when it becomes too large."""
        index = _INDEX.pack(self.key.slot)
        bare = replace(packet, payload=index + packet.payload + bytes(MAC_BYTES), secured=True)
        return replace(bare, payload=index + packet.payload + _mac(self.key.secret, bare))


def check_signed(packet: SpacePacket, keys: Mapping[int, bytes]) -> SpacePacket:
    """The packet as it was before it was signed. keys: secrets by slot. Raises ForgedPacketError."""
    if not packet.secured:
        raise ForgedPacketError("expected a signed packet, found one that nobody signed")
    bare = without_security(packet)
    index = _INDEX.unpack_from(packet.payload)[0]
    if index not in keys:
        raise ForgedPacketError(f"expected a packet signed by key {_names(keys)}, found key {index}")
    if not hmac.compare_digest(_mac(keys[index], packet), packet.payload[-MAC_BYTES:]):
        raise ForgedPacketError(f"the tag is not the one of key {index}")
    return bare


def opened(packet: SpacePacket, keys: Mapping[int, bytes] | None, required: bool) -> SpacePacket:
    """The packet without its signature, which is checked where keys are known. required: refuse one that has none.

    Raises ForgedPacketError.
    """
    if keys is not None and (packet.secured or required):
        return check_signed(packet, keys)
    return without_security(packet)


def without_security(packet: SpacePacket) -> SpacePacket:
    """The packet without what was added to sign it, which is not looked at. Raises ForgedPacketError."""
    if not packet.secured:
        return packet
    if len(packet.payload) < SECURITY_BYTES:
        raise ForgedPacketError(f"expected {SECURITY_BYTES} bytes of security fields, found {len(packet.payload)}")
    return replace(packet, payload=packet.payload[_INDEX.size : -MAC_BYTES], secured=False)


def _mac(secret: bytes, packet: SpacePacket) -> bytes:
    key = hmac.digest(secret, _DOWNLINK, "sha256")
    return hmac.digest(key, packet.front() + packet.payload[:-MAC_BYTES], "sha256")[:MAC_BYTES]


def _names(keys: Mapping[int, bytes]) -> str:
    return " or ".join(map(str, sorted(keys)))
