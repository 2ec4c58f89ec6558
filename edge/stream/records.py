"""Frame records (time and validity of a frame) and extension records (georeference, licence, text).

| bytes | field |
|---|---|
| 1 | sync, 0xE2 frame or 0xE3 extension |
| varint | body length |
| 1 | low byte of the CRC-16 (CCITT) of all before, started from the binding's low 16 bits |
| n | body |
| 4 | CRC-32 of all before, started from the binding, little-endian |

Frame body: varint frame index; one byte, bits 0-3 time kind (times.py), bit 4 mask present, bit 5 the frame's BOA
offset is the opposite of the header's, bit 6 holes present, bit 7 the mask is packed by its edges or, without bits 4 and 6, mask
and holes are those of an earlier frame's record; the time; then, with bit 7 alone, how many frames before (varint); with bit 6
varint length of the mask; the mask; the holes to the end of the body (masks.py, edges.py). From version 3 of the format on a
frame without a record has mask and holes of the frame before; before that, and in the first frame, all is valid. Bit 7 too is
of version 3.

Extension body: one byte tag; one byte, 1 if deflated (raw); varint length of the plain content; the content.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.stream.edges import edge_rows
from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.masks import deflate, inflate, mask_rows
from swathpack.edge.stream.times import Time, pack_time, unpack_time
from swathpack.edge.stream.wire import MAX_VARINT, Cursor, varint

FRAME_SYNC, EXTENSION_SYNC = 0xE2, 0xE3
GEOREFERENCE, TEXT = 1, 5  # 2 to 4 are a source, a licence and an attribution, which nobody writes yet
MAX_EXTENSION_BYTES = 1 << 20
OTHER_VERSION = 3  # of the format, from which on masks stay until another record
_MASK_BIT, _OFFSET_BIT, _HOLES_BIT, _OTHER_BIT = 0x10, 0x20, 0x40, 0x80
_CRC_BYTES = 4


@dataclass(frozen=True)
class FrameRecord:
    """Time and validity of one frame; `mask` is in packed form (see pack_mask, or with `edges` pack_edges), None if all valid.

    holes: pixels that lack data in some bands only, packed (see pack_holes), None if there are none. other_offset: the
    frame's BOA offset is the opposite of the header's. like: mask and holes are those of the record so many frames before, 0 for
    its own.
    """

    index: int
    time: Time = None
    mask: bytes | None = None
    offset: int = field(default=0, compare=False)
    holes: bytes | None = None
    other_offset: bool = False
    edges: bool = False
    like: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.index <= MAX_VARINT // 4:
            raise StreamError(f"frame record: index out of range, found {self.index}")
        if not 0 <= self.like <= self.index or (self.like and (self.mask is not None or self.holes is not None)):
            raise StreamError(f"frame record {self.index}: expected a mask or an earlier frame's, found {self.like}")
        if self.edges and self.mask is None:
            raise StreamError(f"frame record {self.index}: expected a mask with edges, found none")

    def valid(self, height: int, width: int) -> NDArray[np.bool_]:
        """(height, width) bool, True where there is data; StreamError if the mask is not of that size."""
        return np.concatenate(list(self.valid_rows(height, width, max(height, 1))))

    def valid_rows(self, height: int, width: int, rows: int) -> Iterator[NDArray[np.bool_]]:
        """`valid` by so many rows at a time (see mask_rows, edge_rows)."""
        if self.mask is not None:
            return (edge_rows if self.edges else mask_rows)(self.mask, height, width, rows)
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


def pack_frame(record: FrameRecord, binding: int) -> bytes:
    """The bytes of a frame record."""
    kind, time = pack_time(record.time)
    layout = kind | (record.mask is not None) * _MASK_BIT | record.other_offset * _OFFSET_BIT
    layout |= (record.edges or record.like > 0) * _OTHER_BIT
    mask = varint(record.like) if record.like else record.mask or b""
    if record.holes is not None:
        layout |= _HOLES_BIT
        mask = varint(len(mask)) + mask + record.holes
    body = varint(record.index) + bytes([layout]) + time + mask
    return wrap_record(FRAME_SYNC, body, binding)


def unpack_frame(body: bytes, offset: int = 0, version: int = 3) -> FrameRecord:
    """A frame record from its body; version: of the file's format."""
    cursor = Cursor(body)
    index, layout = cursor.varint(), cursor.byte()
    with_mask, with_holes, other = (bool(layout & bit) for bit in (_MASK_BIT, _HOLES_BIT, _OTHER_BIT))
    if other and (version < OTHER_VERSION or (with_holes and not with_mask)):
        raise StreamError(f"frame record: unknown bits {layout:#04x}")
    time = unpack_time(layout & 15, cursor)
    if other and not with_mask:
        like = cursor.varint()
        cursor.done()
        if not like:
            raise StreamError("frame record: names itself as the one with its mask")
        return FrameRecord(index, time, None, offset, None, bool(layout & _OFFSET_BIT), like=like)
    size = cursor.varint() if with_holes else cursor.end - cursor.at
    mask = cursor.take(size) if with_mask else None
    holes = cursor.take(cursor.end - cursor.at) if with_holes else None
    cursor.done()
    return FrameRecord(index, time, mask, offset, holes, bool(layout & _OFFSET_BIT), other)


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
    data = inflate(content, size) if deflated else content
    if len(data) != size:
        raise StreamError(f"extension: expected {size} bytes, found {len(data)}")
    return Extension(tag, data, offset)


def wrap_record(sync: int, body: bytes, binding: int) -> bytes:
    """A record's bytes: sync, length and its check, body, CRC-32 started from the file's binding."""
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
