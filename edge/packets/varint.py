"""Variable-length integers, 7 bits a byte, least significant first (LEB128), with limits on what is read."""

from __future__ import annotations

from swathpack.edge.packets.errors import PacketError

MAX_BYTES = 10  # 70 bits: any 64-bit number


def write_varint(value: int) -> bytes:
    """An unsigned number, 1 byte below 128. Raises PacketError when it is negative or beyond 64 bits."""
    if not 0 <= value < 1 << 64:
        raise PacketError(f"expected a number of 0 to 64 bits, found {value}")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint_bytes(value: int) -> int:
    """How many bytes `write_varint` needs for it."""
    return max(-(-value.bit_length() // 7), 1)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and the offset behind it. Raises PacketError when it is cut or longer than 64 bits."""
    value = shift = 0
    for i in range(at, min(at + MAX_BYTES, len(data))):
        value |= (data[i] & 0x7F) << shift
        if data[i] < 0x80:
            if value >= 1 << 64:
                break
            return value, i + 1
        shift += 7
    raise PacketError(f"expected a whole number at byte {at} of {len(data)}")


def zigzag(value: int) -> int:
    """Signed to unsigned, small magnitudes staying small: 0, -1, 1, -2 -> 0, 1, 2, 3."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(value: int) -> int:
    """The inverse of `zigzag`."""
    return value >> 1 if not value & 1 else -((value + 1) >> 1)
