"""The adaptive binary range coder (bits.h) in Python integers, one class for both directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from swathpack.edge.codec.predictive.interface import PredictiveError

MASK64 = (1 << 64) - 1
MAX_RAW_BITS = 16
NUMBER_BITS = 24
ADAPTATION = (2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, *[5] * 12, *[6] * 8, 7)  # 2^-rate by how many bits were seen


class PayloadEnded(Exception):  # noqa: N818 - an expected end, not a fault
    """Some continuation of the payload would decode otherwise."""


def refuse_unless(good: bool) -> None:
    """PredictiveError for what no encoder writes."""
    if not good:
        raise PredictiveError("corrupt payload: it holds what no encoder writes")


@dataclass
class Bit:
    """Probability of a 1 in 1/65536, and how many bits have shaped it."""

    one: int = 32768
    seen: int = 0

    def learn(self, bit: int) -> None:
        """Move towards the bit that came, ever less as more have come."""
        rate = ADAPTATION[self.seen]
        self.one += (65535 - self.one) >> rate if bit else -(self.one >> rate)
        self.seen = min(self.seen + 1, len(ADAPTATION) - 1)


class Mark(NamedTuple):
    """An encoder's state at the end of a layer."""

    range: int
    lower: int
    at: int

    @property
    def settled(self) -> int:
        """Bits."""
        return 8 * self.at + 64 - self.range.bit_length()


class Coder:
    """Encodes when made without a payload, else decodes; every method returns the value that is coded."""

    def __init__(self, payload: bytes | None = None) -> None:
        self.encoding = payload is None
        self.data = bytearray(payload or b"")
        self.range = MASK64
        self.lower = 0  # encoder: low end of the interval; decoder: the point's distance from it
        self.unknown = 0  # decoder: mask of the point's bits that the payload does not cover
        self.at = 0
        if not self.encoding:
            self._take_word()
            self._take_word()
            self.range = MASK64

    def _take_word(self) -> None:
        piece = bytes(self.data[self.at : self.at + 4])
        self.at += len(piece)
        self.lower = (self.lower << 32 | int.from_bytes(piece.ljust(4, b"\0"), "big")) & MASK64
        self.unknown = (self.unknown << 32 | 0xFFFFFFFF >> 8 * len(piece)) & MASK64
        self.range = self.range << 32 & MASK64

    def _put_word(self) -> None:
        self.data += (self.lower >> 32).to_bytes(4, "big")
        self.at = len(self.data)
        self.lower = self.lower << 32 & MASK64
        self.range <<= 32

    def _add(self, amount: int) -> None:
        self.lower += amount
        if self.lower > MASK64:
            self.lower &= MASK64
            whole = int.from_bytes(self.data, "big") + 1
            self.data[:] = whole.to_bytes(len(self.data), "big")

    def _narrow(self, left: int, width: int) -> None:
        if self.encoding:
            self._add(left)
        else:
            self.lower = (self.lower - left) & MASK64
            if self.unknown and (self.unknown >= width or self.lower >= width - self.unknown):
                raise PayloadEnded
        self.range = width
        if width < 1 << 32:
            (self._put_word if self.encoding else self._take_word)()

    def bit(self, model: Bit, bit: int = 0) -> int:
        """One bit by its model, which learns from it."""
        bound = (self.range >> 16) * model.one
        if not self.encoding:
            bit = int(self.lower < bound)
        self._narrow(*((0, bound) if bit else (bound, self.range - bound)))
        model.learn(bit)
        return bit

    def raw(self, n: int, value: int = 0) -> int:
        """n equally likely bits, at most MAX_RAW_BITS."""
        if n == 0:
            return 0
        width = self.range >> n
        if not self.encoding:
            value = min(self.lower // width, (1 << n) - 1)
        self._narrow(value * width, width)
        return value

    def number(self, models: list[Bit], value: int = 0) -> int:
        """0 to 2^24 - 2 as Elias gamma of value + 1, its length in adaptive bits."""
        top = (value + 1).bit_length() - 1
        length = 0
        while length < NUMBER_BITS - 1 and self.bit(models[length], int(length < top)):
            length += 1
        low = value + 1 & (1 << length) - 1
        high_bits = max(0, length - MAX_RAW_BITS)
        high = self.raw(high_bits, low >> MAX_RAW_BITS)
        rest = self.raw(length - high_bits, low & 0xFFFF)
        return (1 << length | high << length - high_bits | rest) - 1

    def signed(self, models: list[Bit], value: int = 0) -> int:
        """Zigzag: 0, -1, 1, -2, ..."""
        v = self.number(models, 2 * -(value + 1) + 1 if value < 0 else 2 * value)
        return -(v >> 1) - 1 if v & 1 else v >> 1

    def limited(self, models: list[Bit], value: int, limit: int) -> int:
        """A number that must not exceed limit."""
        value = self.number(models, value)
        refuse_unless(value <= limit)
        return value

    def mark(self) -> Mark:
        """Where the encoder stands now."""
        return Mark(self.range, self.lower, self.at)

    def finish(self) -> bytes:
        """Closes the run with the fewest bytes after which every continuation stays in the interval."""
        for n in range(1, 9):
            unit = 1 << 64 - 8 * n
            up = -self.lower & unit - 1
            if up + unit <= self.range:
                self._add(up)
                self.data += self.lower.to_bytes(8, "big")[:n]
                break
        return bytes(self.data)


def prefix(mark: Mark, payload: bytes) -> int:
    """Least length of a prefix of the payload that holds everything up to a mark."""
    for n in range(1, 9):
        piece = payload[mark.at : mark.at + n].ljust(8, b"\0")
        unknown, inside = MASK64 >> 8 * n, (int.from_bytes(piece, "big") - mark.lower) & MASK64
        if inside < mark.range and unknown < mark.range - inside:
            return min(mark.at + n, len(payload))
    return len(payload)


def numbers() -> list[Bit]:
    """Fresh models of one kind of number."""
    return [Bit() for _ in range(NUMBER_BITS)]
