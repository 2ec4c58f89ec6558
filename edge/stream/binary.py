"""The adaptive binary range coder with mixing, and its tables: binary_coder.h in slow Python, and what codes
masks (contours.py).

Python's integers do what the C side does in 32 and 64 bits; right shifts of negative numbers round down on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass

FULL_RANGE = 0xFFFFFFFF
STRETCH_LIMIT = 2047
WEIGHT_LIMIT = 8 * 16384

# 65536 / (1 + exp(-(i - 32) * 64 / 170))
SQUASH_KNOTS = (
    *(0, 1, 1, 1, 2, 3, 4, 5, 8, 11, 17, 24, 35, 51, 75, 109, 158, 230, 335, 487, 708, 1026),
    *(1484, 2141, 3073, 4384, 6199, 8659, 11898, 16008, 20983, 26672, 32768, 38864, 44553, 49528),
    *(53638, 56877, 59337, 61152, 62463, 63395, 64052, 64510, 64828, 65049, 65201, 65306, 65378),
    *(65427, 65461, 65485, 65501, 65512, 65519, 65525, 65528, 65531, 65532, 65533, 65534, 65535, 65535, 65535, 65536),
)


def _squash_table() -> list[int]:
    found = []
    for i in range(4096):
        a, b = SQUASH_KNOTS[i >> 6], SQUASH_KNOTS[(i >> 6) + 1]
        found.append(min(max(a + (b - a) * (i & 63) // 64, 16), 65520))
    return found


def _stretch_table(squash: list[int]) -> list[int]:
    found: list[int] = []
    for x, p in enumerate(squash):
        found += [x - 2048] * ((p >> 4) + 1 - len(found))
    return found + [STRETCH_LIMIT] * (4096 - len(found))


SQUASH = _squash_table()
STRETCH = _stretch_table(SQUASH)
RATE = [327680 // (10 * n + 16) for n in range(256)]


@dataclass(frozen=True)
class Mark:
    """A place in an encoder's stream."""

    low: int
    range: int
    position: int


class RangeEncoder:
    """Writes decisions; `out` is final but for what `finish` adds."""

    decoding, settled = False, True

    def __init__(self) -> None:
        self.out = bytearray()
        self._low, self._range, self._cache, self._pending, self.position = 0, FULL_RANGE, -1, 0, 0

    def bit(self, bit: int, p: int) -> int:
        """One decision, a one with probability p / 65536."""
        bound = (self._range >> 16) * p
        if bit:
            self._range = bound
        else:
            self._low += bound
            self._range -= bound
        while self._range < 1 << 24:
            self._range <<= 8
            self._shift()
        return bit

    def _shift(self) -> None:
        if self._low < 0xFF000000 or self._low >> 32:
            self._release(self._low >> 32)
            self._cache = self._low >> 24 & 0xFF
        else:
            self._pending += 1
        self.position += 1
        self._low = (self._low & 0x00FFFFFF) << 8

    def _release(self, carry: int) -> None:
        if self._cache >= 0:
            self.out.append(self._cache + carry & 0xFF)
        self.out += bytes([0xFF + carry & 0xFF]) * self._pending
        self._pending = 0

    def mark(self) -> Mark:
        """Where the stream stands."""
        return Mark(self._low & FULL_RANGE, self._range, self.position)

    def finish(self) -> bytes:
        """The stream, ended in the fewest bytes."""
        for count in range(1, 5):
            unit = 1 << (32 - 8 * count)
            value = -(-self._low // unit) * unit
            if value + unit <= self._low + self._range:
                self._low = value
                for _ in range(count):
                    self._shift()
                break
        self._release(0)
        return bytes(self.out)


def settled_size(stream: bytes, mark: Mark) -> int:
    """The fewest bytes of a finished stream that settle everything before the mark."""
    if mark == Mark(0, FULL_RANGE, 0):
        return 0
    window = stream[mark.position : mark.position + 4].ljust(4, b"\0")
    for count in range(4):
        known = int.from_bytes(window[:count].ljust(4, b"\0"), "big")
        rest = (1 << (32 - 8 * count)) - 1
        above = (int.from_bytes(window, "big") - mark.low) % (1 << 32) - (int.from_bytes(window, "big") - known)
        if above >= 0 and above + rest < mark.range:
            return min(mark.position + count, len(stream))
    return min(mark.position + 4, len(stream))


class RangeDecoder:
    """Reads them again; `settled` is false once a decision depends on bytes that are missing."""

    decoding = True

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._range, self._code, self._slack, self.position, self.settled = FULL_RANGE, 0, 0, 0, True
        for _ in range(4):
            self._take()

    @property
    def left(self) -> int:
        """Bytes that no decision so far has to do with."""
        return max(len(self._data) - self.position - 4, 0)

    def _take(self) -> None:
        self._code, self._slack = self._code << 8, self._slack << 8
        if self._at < len(self._data):
            self._code |= self._data[self._at]
            self._at += 1
        else:
            self._slack |= 0xFF

    def bit(self, _: int, p: int) -> int:
        """One decision."""
        bound = (self._range >> 16) * p
        bit = int(self._code < bound)
        if bit and self._code + self._slack >= bound:
            self.settled = False
        if bit:
            self._range = bound
        else:
            self._code -= bound
            self._range -= bound
        while self._range < 1 << 24:
            self._range <<= 8
            self.position += 1
            self._take()
        return bit


def update(state: list[int], bit: int, limit: int) -> None:
    """A state [probability, count] after a decision."""
    state[0] += ((65535 if bit else 0) - state[0]) * RATE[state[1]] >> 15
    state[1] += state[1] < limit


def mixed_bit(
    coder: RangeEncoder | RangeDecoder, bit: int, states: list[list[int]], weights: list[int], limit: int, shift: int
) -> int:
    """One decision with mixed states; weights: the set's, of which the first len(states) count."""
    odds = [STRETCH[state[0] >> 4] for state in states]
    dot = sum(o * w for o, w in zip(odds, weights)) >> 14
    p = SQUASH[min(max(dot, -STRETCH_LIMIT), STRETCH_LIMIT) + 2048]
    bit = coder.bit(bit, p)
    error = (65536 if bit else 0) - p
    for i, (o, state) in enumerate(zip(odds, states)):
        step = o * error + (1 << (shift - 1)) >> shift
        weights[i] = min(max(weights[i] + step, -WEIGHT_LIMIT), WEIGHT_LIMIT)
        update(state, bit, limit)
    return bit
