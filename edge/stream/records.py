"""Frame records (time and validity of a frame) and extension records (georeference, licence, text).

| bytes | field |
|---|---|
| 1 | sync, 0xE2 frame or 0xE3 extension |
| varint | body length |
| 1 | low byte of the CRC-16 (CCITT) of all before, started from the binding's low 16 bits |
| n | body |
| 4 | CRC-32 of all before, started from the binding, little-endian |

Frame body: varint frame index; one byte, bits 0-3 time kind (times.py), bit 4 mask present, bit 5 the frame's BOA
offset is the opposite of the header's, bit 6 holes present, bit 7 zero; the time; with bit 6 varint length of the
mask; the mask; the holes to the end of the body. The mask marks pixels without data, the holes those that lack data
in one band only: each row is XORed with the row above (of the same band), the bits are packed row by row (holes: band
after band), high bit first, and deflated (raw).

Extension body: one byte tag; one byte, 1 if deflated (raw); varint length of the plain content; the content.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.times import Time, pack_time, unpack_time
from swathpack.edge.stream.wire import MAX_VARINT, Cursor, varint

FRAME_SYNC, EXTENSION_SYNC = 0xE2, 0xE3
GEOREFERENCE, SOURCE, LICENCE, ATTRIBUTION, TEXT = 1, 2, 3, 4, 5
MAX_EXTENSION_BYTES = 1 << 20
_MASK_BIT, _OFFSET_BIT, _HOLES_BIT = 0x10, 0x20, 0x40
_CRC_BYTES = 4
_SKIP_BYTES = 1 << 16


@dataclass(frozen=True)
class FrameRecord:
    """Time and validity of one frame; `mask` is in packed form (see pack_mask), None if all valid.

    holes: pixels that lack data in some bands only, packed (see pack_holes), None if there are none. other_offset: the
    frame's BOA offset is the opposite of the header's.
    """

    index: int
    time: Time = None
    mask: bytes | None = None
    offset: int = field(default=0, compare=False)
    holes: bytes | None = None
    other_offset: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.index <= MAX_VARINT // 4:
            raise StreamError(f"frame record: index out of range, found {self.index}")

    def valid(self, height: int, width: int) -> NDArray[np.bool_]:
        """(height, width) bool, True where there is data; StreamError if the mask is not of that size."""
        if self.mask is None:
            return np.ones((height, width), dtype=np.bool_)
        return unpack_mask(self.mask, height, width)

    def valid_rows(self, height: int, width: int, rows: int) -> Iterator[NDArray[np.bool_]]:
        """`valid` by so many rows at a time (see mask_rows)."""
        if self.mask is not None:
            return mask_rows(self.mask, height, width, rows)
        tops = range(0, height, rows)
        return (np.ones((min(rows, height - top), width), np.bool_) for top in tops)


@dataclass(frozen=True)
class Extension:
    """A tagged piece of bytes: GEOREFERENCE (JSON), SOURCE, LICENCE, ATTRIBUTION, TEXT (UTF-8) or others."""

    tag: int
    data: bytes
    offset: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.tag <= 255 or len(self.data) > MAX_EXTENSION_BYTES:
            raise StreamError(
                f"extension: expected tag 0..255 and at most {MAX_EXTENSION_BYTES} bytes, "
                f"found tag {self.tag} and {len(self.data)}"
            )


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def _inflate(data: bytes, size: int) -> bytes:
    """Exactly `size` bytes; longer or shorter content is StreamError, and no more is ever made."""
    unpacker = Inflater(data)
    plain = unpacker.take(size)
    unpacker.done()
    return plain


def pack_mask(valid: NDArray[np.bool_]) -> bytes | None:
    """The packed mask of a (H, W) bool array that is True where there is data; None when all is valid."""
    if valid.ndim != 2 or valid.dtype != np.bool_:
        raise StreamError(f"expected a bool mask (H, W), found {valid.dtype} {valid.shape}")
    if valid.all():
        return None
    missing = ~valid
    missing[1:] ^= ~valid[:-1]
    return deflate(np.packbits(missing).tobytes())


def unpack_mask(mask: bytes, height: int, width: int) -> NDArray[np.bool_]:
    """The inverse of pack_mask."""
    return np.concatenate(list(mask_rows(mask, height, width, max(height, 1))))


def mask_rows(mask: bytes, height: int, width: int, rows: int) -> Iterator[NDArray[np.bool_]]:
    """A packed mask as bool arrays (rows, width) from the top, the last one with what is left; True where there is
    data. No more is unpacked than is asked for. StreamError, at the latest behind the last rows, if it is not of that
    size.
    """
    unpacker = Inflater(mask)
    marks = _MarkedRows(unpacker, 0, width)
    for top in range(0, height, rows):
        yield ~marks.take(min(rows, height - top))
    unpacker.done()


class _MarkedRows:
    """Rows of marks out of deflated bits, each row XORed with the one above; the first starts at bit `skip` (0..7)."""

    def __init__(self, unpacker: Inflater, skip: int, width: int) -> None:
        self._unpacker, self._skip = unpacker, skip
        self._bits, self._above = np.zeros(0, np.uint8), np.zeros(width, np.uint8)

    def take(self, rows: int) -> NDArray[np.bool_]:
        """The next rows (rows, width), True where marked."""
        count = rows * self._above.size
        plain = self._unpacker.take((max(count + self._skip - self._bits.size, 0) + 7) // 8)
        bits = np.concatenate([self._bits, np.unpackbits(np.frombuffer(plain, np.uint8))])[self._skip :]
        steps, self._bits, self._skip = bits[:count].reshape(rows, -1), bits[count:].copy(), 0
        steps[0] ^= self._above
        marked = np.bitwise_xor.accumulate(steps, axis=0)
        self._above = marked[-1].copy()
        flags: NDArray[np.bool_] = marked != 0
        return flags


class Inflater:
    """Raw deflated content piece by piece; a piece that is not there, or more behind the last, is StreamError."""

    def __init__(self, data: bytes) -> None:
        self._unpacker = zlib.decompressobj(-15)
        self._packed = data

    def here(self) -> Inflater:
        """Another one that goes on from here."""
        twin = Inflater(self._packed)
        twin._unpacker = self._unpacker.copy()
        return twin

    def skip(self, size: int) -> None:
        """Pass over `size` bytes."""
        while size:
            size -= len(self.take(min(size, _SKIP_BYTES)))

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        pieces, left = [], size
        while left:
            piece = self._more(left)
            if not piece:
                raise StreamError(f"expected {left} more bytes of deflated content, found its end")
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def done(self) -> None:
        """The content must end here."""
        if self._more(1) or not self._unpacker.eof or self._unpacker.unused_data:
            raise StreamError("expected the end of deflated content, found more")

    def _more(self, most: int) -> bytes:
        try:
            piece = self._unpacker.decompress(self._packed, most)
        except zlib.error as error:
            raise StreamError(f"deflated content damaged: {error}") from error
        self._packed = self._unpacker.unconsumed_tail
        return piece


def pack_holes(holes: NDArray[np.bool_]) -> bytes | None:
    """The packed holes of a (C, H, W) bool array that is True where a band lacks data; None without any."""
    if holes.ndim != 3 or holes.dtype != np.bool_:
        raise StreamError(f"expected bool holes (C, H, W), found {holes.dtype} {holes.shape}")
    if not holes.any():
        return None
    steps = holes.copy()
    steps[:, 1:] ^= holes[:, :-1]
    return deflate(np.packbits(steps).tobytes())


def unpack_holes(holes: bytes, bands: int, height: int, width: int) -> NDArray[np.bool_]:
    """The inverse of pack_holes."""
    return np.concatenate(list(hole_rows(holes, bands, height, width, height)), axis=1)


def hole_rows(holes: bytes, bands: int, height: int, width: int, rows: int) -> Iterator[NDArray[np.bool_]]:
    """Packed holes as bool arrays (bands, rows, width) from the top, the last one with what is left. No more is kept
    than is asked for: every band is unpacked by itself. StreamError before the first rows if they are not of that size.
    """
    unpacker, marks, at = Inflater(holes), [], 0
    for band in range(bands):
        start, skip = divmod(band * height * width, 8)
        unpacker.skip(start - at)
        at = start
        marks.append(_MarkedRows(unpacker.here(), skip, width))
    unpacker.skip((bands * height * width + 7) // 8 - at)
    unpacker.done()
    for top in range(0, height, rows):
        yield np.stack([band.take(min(rows, height - top)) for band in marks])


def pack_frame(record: FrameRecord, binding: int) -> bytes:
    """The bytes of a frame record."""
    kind, time = pack_time(record.time)
    layout = kind | (record.mask is not None) * _MASK_BIT | record.other_offset * _OFFSET_BIT
    mask = record.mask or b""
    if record.holes is not None:
        layout |= _HOLES_BIT
        mask = varint(len(mask)) + mask + record.holes
    body = varint(record.index) + bytes([layout]) + time + mask
    return wrap_record(FRAME_SYNC, body, binding)


def unpack_frame(body: bytes, offset: int = 0) -> FrameRecord:
    """A frame record from its body."""
    cursor = Cursor(body)
    index, layout = cursor.varint(), cursor.byte()
    if layout >> 7:
        raise StreamError(f"frame record: unknown bits {layout:#04x}")
    time = unpack_time(layout & 15, cursor)
    with_mask, with_holes = bool(layout & _MASK_BIT), bool(layout & _HOLES_BIT)
    size = cursor.varint() if with_holes else cursor.end - cursor.at
    mask = cursor.take(size) if with_mask else None
    holes = cursor.take(cursor.end - cursor.at) if with_holes else None
    cursor.done()
    return FrameRecord(index, time, mask, offset, holes, bool(layout & _OFFSET_BIT))


def pack_extension(extension: Extension, binding: int) -> bytes:
    """The bytes of an extension record, deflated if that is shorter."""
    packed = deflate(extension.data)
    deflated = len(packed) < len(extension.data)
    content = packed if deflated else extension.data
    body = bytes([extension.tag, deflated]) + varint(len(extension.data)) + content
    return wrap_record(EXTENSION_SYNC, body, binding)


def unpack_extension(body: bytes, offset: int = 0, limit: int = MAX_EXTENSION_BYTES) -> Extension:
    """An extension record from its body; StreamError when its content is longer than `limit` bytes."""
    cursor = Cursor(body)
    tag, deflated, size = cursor.byte(), cursor.byte(), cursor.varint()
    if deflated > 1 or size > MAX_EXTENSION_BYTES:
        raise StreamError(f"extension: unknown packing {deflated} or too long ({size} bytes)")
    if size > limit:
        raise StreamError(f"extension: its {size} bytes are more than all extensions of a file of this size may hold")
    content = cursor.take(cursor.end - cursor.at)
    data = _inflate(content, size) if deflated else content
    if len(data) != size:
        raise StreamError(f"extension: expected {size} bytes, found {len(data)}")
    return Extension(tag, data, offset)


def wrap_record(sync: int, body: bytes, binding: int) -> bytes:
    front = bytes([sync]) + varint(len(body))
    record = front + bytes([_front_check(front, binding)]) + body
    return record + zlib.crc32(record, binding).to_bytes(_CRC_BYTES, "little")


def _front_check(front: bytes, binding: int) -> int:
    return binascii.crc_hqx(front, binding & 0xFFFF) & 0xFF


def body_bounds(data: bytes, at: int, binding: int) -> tuple[int, int]:
    """(start, stop) of a record's body, the length byte's check verified; stop may lie beyond the data."""
    cursor = Cursor(data, at + 1)
    size = cursor.varint()
    if _front_check(bytes(data[at : cursor.at]), binding) != cursor.byte():
        raise StreamError("record length damaged")
    return cursor.at, cursor.at + size
