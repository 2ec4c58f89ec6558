"""Numbers as bits: what stands before the coefficients of a payload."""

from __future__ import annotations


class BitsEnded(Exception):  # noqa: N818 - an expected end, not a fault
    """The payload ends inside the header."""


class BitWriter:
    """Collects bits, high first."""

    def __init__(self) -> None:
        self._value, self._count = 0, 0

    def put(self, value: int, bits: int) -> None:
        """`value` in `bits` bits."""
        if not 0 <= value < 1 << bits:
            raise ValueError(f"expected a value of {bits} bits, found {value}")
        self._value, self._count = self._value << bits | int(value), self._count + bits

    def put_signed(self, value: int, order: int) -> None:
        """A signed number as Exp-Golomb code of its zigzag form (0, -1, 1, -2, ...), small ones in 1 + order bits."""
        raised = (2 * value if value >= 0 else -2 * value - 1) + (1 << order)
        length = raised.bit_length() - 1
        self.put(((1 << (length - order)) - 1) << 1, length - order + 1)
        self.put(raised - (1 << length), length)

    def __len__(self) -> int:
        return self._count

    def bytes(self) -> bytes:
        """The bits, filled up with zeros to whole bytes."""
        left = -self._count % 8
        return (self._value << left).to_bytes((self._count + left) // 8, "big")


class BitReader:
    """Takes them out again. Raises BitsEnded."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def get(self, bits: int) -> int:
        """`bits` bits as a number."""
        start, self._at = self._at, self._at + bits
        if self._at > 8 * len(self._data):
            raise BitsEnded
        value = int.from_bytes(self._data[start >> 3 : self._at + 7 >> 3], "big")
        return value >> (-self._at % 8) & ((1 << bits) - 1)

    def get_signed(self, order: int) -> int:
        """As BitWriter.put_signed. Numbers beyond 40 bits end the header: no encoder writes them."""
        length = order
        while self.get(1):
            length += 1
            if length > 40:
                raise BitsEnded
        folded = (1 << length) + self.get(length) - (1 << order)
        return folded >> 1 if folded % 2 == 0 else -(folded + 1 >> 1)

    @property
    def bytes_read(self) -> int:
        """Whole bytes that the bits so far took."""
        return -(-self._at // 8)
