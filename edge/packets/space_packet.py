"""CCSDS Space Packets as this project sends them (CCSDS 133.0-B-2, section 4.1).

    primary header   6 bytes   version 000, type (0 telemetry, 1 command), secondary header
                               flag 1, APID 11 bits, sequence flags 11 (whole), sequence count
                               14 bits, data length - 1
    secondary header 8 bytes   mark "S", format version 1 (2: the payload is a signed one, `swathpack.edge.packets.security`),
                               store u16, pass u32
    payload          n bytes
    payload CRC      4 bytes   CRC-32 (IEEE 802.3) of all before
    error control    2 bytes   CRC-16 (CCITT, start 0xFFFF) of all before, as in PUS

Two checks: 16 bits let one damaged packet in 65,536 through, and a wrong image is worse than a lost one.
`store` names the life of the board's queue: segment numbers are unique within it.
"""

from __future__ import annotations

import binascii
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from swathpack.edge.packets.errors import PacketError

_HEAD = struct.Struct(">HHH2sHI")
_TAIL = struct.Struct(">IH")
MARK, SECURED_MARK = b"S\x01", b"S\x02"
OVERHEAD_BYTES = _HEAD.size + _TAIL.size
MAX_PACKET_BYTES = 65542  # 16 bits of data length, plus one, plus the primary header
SEQUENCE_MODULUS = 1 << 14
_COMMAND, _SECONDARY = 0x1000, 0x0800


class Apid(IntEnum):
    """Application process: one per class of data, consecutive from the mission's base."""

    IMAGE = 0x320
    PARITY = 0x321
    EVENT = 0x322
    TELEMETRY = 0x323
    REPORT = 0x324


@dataclass(frozen=True)
class SpacePacket:
    """One packet. `sequence` counts packets of its APID modulo 16384; `pass_number` modulo 2^32. secured: the payload has
    the fields of `swathpack.edge.packets.security`.
    """

    apid: int
    sequence: int
    store: int
    pass_number: int
    payload: bytes
    command: bool = False
    secured: bool = False

    def pack(self) -> bytes:
        """All bytes of the packet. Raises PacketError when a field or the payload is too large."""
        body = self.front() + self.payload
        body += struct.pack(">I", zlib.crc32(body))
        return body + struct.pack(">H", binascii.crc_hqx(body, 0xFFFF))

    def front(self) -> bytes:
        """Both headers. Raises PacketError when a field or the payload is too large."""
        size = OVERHEAD_BYTES + len(self.payload)
        if not 0 <= self.apid < 2047 or size > MAX_PACKET_BYTES:
            raise PacketError(
                f"expected APID < 2047 and at most {MAX_PACKET_BYTES} bytes, found {self.apid} and {size}"
            )
        return _HEAD.pack(
            (_COMMAND if self.command else 0) | _SECONDARY | self.apid,
            0xC000 | self.sequence % SEQUENCE_MODULUS,
            size - 7,
            SECURED_MARK if self.secured else MARK,
            self.store & 0xFFFF,
            self.pass_number & 0xFFFFFFFF,
        )

    @classmethod
    def unpack(cls, data: bytes) -> SpacePacket:
        """The packet that `data` is exactly. Raises PacketError for anything else."""
        if not OVERHEAD_BYTES <= len(data) <= MAX_PACKET_BYTES or packet_size(data) != len(data):
            raise PacketError(f"expected one whole packet, found {len(data)} bytes")
        first, second, _, mark, store, pass_number = _HEAD.unpack_from(data)
        if first & 0xE000 or not first & _SECONDARY or second >> 14 != 3 or mark not in (MARK, SECURED_MARK):
            raise PacketError(f"expected a packet of this project, found {data[:8].hex()}")
        crc32, crc16 = _TAIL.unpack_from(data, len(data) - _TAIL.size)
        if binascii.crc_hqx(data[:-2], 0xFFFF) != crc16 or zlib.crc32(data[: -_TAIL.size]) != crc32:
            raise PacketError("checksum differs")
        payload = bytes(data[_HEAD.size : -_TAIL.size])
        command = bool(first & _COMMAND)
        return cls(first & 0x07FF, second & 0x3FFF, store, pass_number, payload, command, mark == SECURED_MARK)


def packet_size(head: bytes) -> int:
    """Bytes of the packet that starts with these at least 6 bytes."""
    return 7 + int.from_bytes(head[4:6], "big")
