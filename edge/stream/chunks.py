"""Checks between the chunks of a payload that holds none itself: of tiles coded without the network.

Behind every whole chunk of CHUNK_BYTES of payload stand CHECK_BYTES: the CRC-16 (CCITT) of the chunk, started from the
check before it, the first one from the segment's own CRC-16. So the beginning of a cut or damaged payload is known to be
right to the last check that holds. 2 bytes for 1,024: 0.195 %.
"""

from __future__ import annotations

import binascii
from typing import NamedTuple

CHUNK_BYTES = 1024
CHECK_BYTES = 2


class Taken(NamedTuple):
    """payload: up to the first check that does not hold. confirmed: bytes of it before the last check that does. failed:
    some check does not hold.
    """

    payload: bytes
    confirmed: int
    failed: bool


def checked_bytes(payload_bytes: int) -> int:
    """Length of a payload with its checks."""
    return payload_bytes + CHECK_BYTES * (payload_bytes // CHUNK_BYTES)


def payload_within(room: int) -> int:
    """Bytes of a payload that take at most `room` with their checks, in whole chunks."""
    return room // (CHUNK_BYTES + CHECK_BYTES) * CHUNK_BYTES


def with_checks(payload: bytes, start: int) -> bytes:
    """A payload with its checks; start: the segment's CRC-16."""
    out, check = bytearray(), start
    for at in range(0, len(payload), CHUNK_BYTES):
        chunk = payload[at : at + CHUNK_BYTES]
        out += chunk
        if len(chunk) == CHUNK_BYTES:
            check = binascii.crc_hqx(chunk, check)
            out += check.to_bytes(CHECK_BYTES, "little")
    return bytes(out)


def take_checks(data: bytes, payload_bytes: int, start: int) -> Taken:
    """What a prefix of `with_checks` holds of a payload of so many bytes."""
    out, check, at = bytearray(), start, 0
    while at < len(data) and len(out) < payload_bytes:
        size = min(CHUNK_BYTES, payload_bytes - len(out))
        chunk = data[at : at + size]
        found = data[at + size : at + size + CHECK_BYTES]
        if size < CHUNK_BYTES or len(found) < CHECK_BYTES:
            return Taken(bytes(out) + chunk, len(out), False)
        check = binascii.crc_hqx(chunk, check)
        if int.from_bytes(found, "little") != check:
            return Taken(bytes(out), len(out), True)
        out += chunk
        at += size + CHECK_BYTES
    return Taken(bytes(out), len(out), False)
