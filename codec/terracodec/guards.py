"""The guard list on the wire: sorted positions, each with one side bit, as Rice-coded gaps.

Bits, most significant first: for each entry the gap to the previous position minus one as a Rice code
(quotient in unary, ones then a zero; `order` low bits), then the side. Positions are spread evenly, so gaps
are geometric and a Rice code is within a few percent of their entropy.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

HEAD = struct.Struct("<HB")  # entries, Rice order
MAX_ENTRIES = 0xFFFF
MAX_ORDER = 40
MAX_POSITION = 1 << 48


class GuardError(ValueError):
    """A guard list that cannot be written or read; carries expected and found."""


def pack_guards(positions: NDArray[np.int64], sides: NDArray[np.bool_]) -> bytes:
    """positions (n,) int64 strictly increasing, sides (n,) bool -> bytes."""
    if positions.size > MAX_ENTRIES:
        raise GuardError(f"expected at most {MAX_ENTRIES} guarded values in a frame, found {positions.size}")
    if positions.size == 0:
        return HEAD.pack(0, 0)
    gaps = np.diff(positions, prepend=-1) - 1
    order = max(0, int(np.log2(max(1.0, float(gaps.mean())))))
    bits: list[int] = []
    for gap, side in zip(gaps.tolist(), sides.tolist()):
        bits += [1] * (gap >> order) + [0]
        bits += [(gap >> bit) & 1 for bit in range(order - 1, -1, -1)] + [int(side)]
    return HEAD.pack(positions.size, order) + np.packbits(np.array(bits, np.uint8)).tobytes()


def unpack_guards(data: bytes) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The inverse of `pack_guards`; raises GuardError on a list that ends early or goes on for ever."""
    if len(data) < HEAD.size:
        raise GuardError(f"expected at least {HEAD.size} bytes of guards, found {len(data)}")
    count, order = HEAD.unpack_from(data)
    if order > MAX_ORDER:
        raise GuardError(f"expected a Rice order of at most {MAX_ORDER}, found {order}")
    bits = np.unpackbits(np.frombuffer(data, np.uint8, offset=HEAD.size)).tobytes() + b"\0"
    positions, sides = np.empty(count, np.int64), np.empty(count, np.bool_)
    last, at = -1, 0
    for index in range(count):
        gap, at = _rice(bits, at, order)
        last += gap + 1
        if at >= len(bits) or last >= MAX_POSITION:
            raise GuardError(f"expected {count} guards, found a list that ends early")
        positions[index], sides[index] = last, bits[at]
        at += 1
    return positions, sides


def _rice(bits: bytes, at: int, order: int) -> tuple[int, int]:
    """(number, where it ends) from bits, one a byte; beyond their end it is too large."""
    end = bits.find(b"\0", at)
    if end < 0:
        return MAX_POSITION, at
    low = 0
    for bit in bits[end + 1 : end + 1 + order]:
        low = 2 * low + bit
    return ((end - at) << order) + low, end + 1 + order
