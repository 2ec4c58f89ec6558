"""Integers on the wire: varints, zigzag, and a reader that cannot leave its buffer.

A varint is little-endian base 128, seven bits per byte, high bit set on all but the last byte, at most six
bytes (values below 2^42), without padding: every value has one spelling.
"""

from __future__ import annotations

from swathpack.edge.stream.errors import StreamError

CONTEXT_DIGEST_BYTES, MODEL_DIGEST_BYTES, TABLES_DIGEST_BYTES = 4, 8, 4  # how much of a SHA-256 names each
MAX_VARINT_BYTES = 6
MAX_VARINT = (1 << (7 * MAX_VARINT_BYTES)) - 1


def varint(value: int) -> bytes:
    """The varint of 0 <= value < 2^42."""
    if not 0 <= value <= MAX_VARINT:
        raise StreamError(f"expected 0..{MAX_VARINT}, found {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed_varint(value: int) -> bytes:
    """Zigzag (0, -1, 1, -2, ... as 0, 1, 2, 3, ...) then varint; |value| < 2^41."""
    return varint(value * 2 if value >= 0 else -value * 2 - 1)


class Cursor:
    """Reads forward through `data[at:end]`; StreamError instead of reading past the end."""

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data, self.at = data, at
        self.end = len(data) if end is None else min(end, len(data))

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        if n > self.end - self.at:
            raise StreamError(f"expected {n} more bytes at offset {self.at}, found {self.end - self.at}")
        piece = bytes(self.data[self.at : self.at + n])
        self.at += n
        return piece

    def byte(self) -> int:
        """The next one."""
        return self.take(1)[0]

    def little(self, n: int) -> int:
        """An unsigned little-endian integer of n bytes."""
        return int.from_bytes(self.take(n), "little")

    def varint(self) -> int:
        """What `varint` packs."""
        value = 0
        for i in range(MAX_VARINT_BYTES):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                if byte == 0 and i > 0:
                    break
                return value
        raise StreamError(f"malformed varint before offset {self.at}")

    def signed(self) -> int:
        """What `signed_varint` packs."""
        value = self.varint()
        return -(value + 1) // 2 if value & 1 else value // 2

    def text(self) -> str:
        """Varint byte count, then UTF-8."""
        raw = self.take(self.varint())
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise StreamError(f"text is not UTF-8 at offset {self.at}: {error.reason}") from error

    def done(self) -> None:
        """StreamError if bytes are left over."""
        if self.at != self.end:
            raise StreamError(f"{self.end - self.at} unexpected bytes at offset {self.at}")


def text_bytes(text: str) -> bytes:
    """Varint byte count, then UTF-8 (the inverse of Cursor.text)."""
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise StreamError(f"text cannot be written as UTF-8: {error.reason}") from error
    return varint(len(raw)) + raw
