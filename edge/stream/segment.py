"""The segment: some layers of one tile of one frame, one range coder run; decodes alone given its contexts.

| bytes | field |
|---|---|
| 1 | sync, 0xE1 |
| varint | frame index |
| varint | tile index, row by row |
| 1 | bits 0-5 quantiser q, 6-7 number of contexts, or 3: a flags byte follows |
| 1 | only after a 3: bits 0-1 number of contexts, 2-3 flags: the base shift 0..3 (`swathpack.edge.codec.base_layer`), bit 4 wide |
| 1 | bits 0-3 number of layers - 1, 4-7 first layer |
| 1 or 2 | bits 0-3 latent width - 1, 4-7 latent height - 1: with the layers, the symbol count; if wide, a byte each |
| per context: 4 | context digest (swathpack.edge.codec.digest.context_digest) |
| 1 | bits 0-3 frames back, 4-7 known layers - 1 |
| varint | only if frames back is 0: frame difference (context - this), signed |
| varint | payload length |
| 2 | CRC-16 (CCITT) of all before, started from the binding's low 16 bits, little-endian |
| n | payload: learned tiles: range coder bytes, with checks between layers (swathpack.edge.codec.rangecoder.checks);
      others: the coder's bytes, with checks between chunks (chunks.py), which the length does not count |
| 4 | CRC-32 of all before, started from the binding, little-endian |

The CRC-16 guards the length: a flipped bit in it must not make a whole segment look like a cut one, whose
payload would then run on into its own check bytes.
"""

from __future__ import annotations

import binascii
import zlib
from dataclasses import dataclass, field

from swathpack.edge.stream.chunks import Taken, checked_bytes, take_checks, with_checks
from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.quality import MAX_SHIFT, PREDICTIVE, TRANSFORM, is_learned, shift_of, step_of
from swathpack.edge.stream.wire import (
    CONTEXT_DIGEST_BYTES,
    MAX_VARINT,
    MODEL_DIGEST_BYTES,
    TABLES_DIGEST_BYTES,
    Cursor,
    signed_varint,
    varint,
)

SYNC = 0xE1
MAX_QUALITY = 63
MAX_LAYERS = 16
MAX_CONTEXTS = 2
MAX_GRID_SIDE = 64  # latent positions a side
NARROW_SIDE = 16  # up to it half a byte says a side
MAX_PAYLOAD = (1 << 31) - 1
HEADER_CRC_BYTES, RECORD_CRC_BYTES = 2, 4
MAX_LONE_BYTES = 1 << 21  # of a segment that flies alone: more than 256 x 256 x 12 16-bit pixels take uncoded
LONE_VERSION = 2  # of the format of segments that fly alone
LONE_READABLE = (1, LONE_VERSION)
_EXTENDED, _WIDE = 3, 1 << 4


@dataclass(frozen=True, slots=True)
class ContextRef:
    """A context of a segment: the same tile in `frame`, known to its first `layers` layers. digest: empty where the file
    holds it whole and the segment's own check vouches for that (`short`).
    """

    frame: int
    layers: int
    digest: bytes = b""

    def __post_init__(self) -> None:
        if not (0 <= self.frame <= MAX_VARINT // 4 and 1 <= self.layers <= MAX_LAYERS):
            raise StreamError(f"context: frame or layers out of range, found {self.frame}, {self.layers}")
        if self.digest and len(self.digest) != CONTEXT_DIGEST_BYTES:
            raise StreamError(f"expected {CONTEXT_DIGEST_BYTES} digest bytes, found {len(self.digest)}")


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment. StreamError from the constructor if a field is out of range.

    quality: quantiser index 0..63. flags: base shift 0..3; with 3 there, 62 and 63 name tiles without the network
    (swathpack.edge.codec.plain). grid_h, grid_w: latent positions, 1..64. payload: coder's bytes, most important layer
    first. payload_bytes: its length as the record says. truncated: the file ended inside, and `payload` is the part that is
    there. damaged: the record's CRC does not hold, or another record starts inside; `payload` is what lies up to there. Of
    either kind only the layers count that the payload's own checks confirm. offset: where the record starts.
    """

    frame: int
    tile: int
    quality: int
    layer_start: int
    layer_count: int
    grid_h: int
    grid_w: int
    contexts: tuple[ContextRef, ...] = ()
    flags: int = 0
    payload: bytes = b""
    truncated: bool = False
    damaged: bool = False
    payload_bytes: int = -1
    offset: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if self.payload_bytes < 0:
            object.__setattr__(self, "payload_bytes", len(self.payload))
        _check(self)

    @classmethod
    def empty(
        cls,
        place: tuple[int, int],
        quality: int,
        layers: tuple[int, int],
        size: tuple[int, int],
        refs: tuple[ContextRef, ...] = (),
    ) -> Segment:
        """One without its payload. place: frame and tile. quality: its byte. layers: [start, stop). size: rows and columns of
        latent positions.
        """
        start, stop = layers
        return cls(*place, step_of(quality), start, stop - start, *size, refs, flags=shift_of(quality))

    @property
    def sound(self) -> bool:
        """Whether the record's CRC vouches for the payload."""
        return not (self.truncated or self.damaged)

    @property
    def quality_byte(self) -> int:
        """Step index and base shift in one, as `swathpack.edge.codec.base_layer` has it."""
        return self.quality | self.flags << 6

    @property
    def layer_stop(self) -> int:
        """The first layer behind those that it holds."""
        return self.layer_start + self.layer_count

    def symbols(self, layer_channels: int = 32) -> int:
        """How many symbols a whole payload holds."""
        return self.layer_count * layer_channels * self.grid_h * self.grid_w

    @property
    def name(self) -> str:
        """For messages: `frame 3, tile 0, layers 0-7`."""
        return f"frame {self.frame}, tile {self.tile}, layers {self.layer_start}-{self.layer_stop - 1}"


def _check(segment: Segment) -> None:
    side = range(1, MAX_GRID_SIDE + 1)
    limits = (
        ("frame", 0 <= segment.frame <= MAX_VARINT // 4, segment.frame),
        ("tile", 0 <= segment.tile <= MAX_VARINT, segment.tile),
        ("quality", 0 <= segment.quality <= MAX_QUALITY, segment.quality),
        ("flags", 0 <= segment.flags <= MAX_SHIFT, segment.flags),
        ("quality byte", _is_quality(segment.quality_byte), segment.quality_byte),
        ("first layer", 0 <= segment.layer_start < MAX_LAYERS, segment.layer_start),
        ("layers", 1 <= segment.layer_count <= MAX_LAYERS - segment.layer_start, segment.layer_count),
        ("latent height", segment.grid_h in side, segment.grid_h),
        ("latent width", segment.grid_w in side, segment.grid_w),
        ("contexts", len(segment.contexts) <= MAX_CONTEXTS, len(segment.contexts)),
        ("payload bytes", segment.payload_bytes <= MAX_PAYLOAD, segment.payload_bytes),
    )
    for name, good, found in limits:
        if not good:
            raise StreamError(f"segment: {name} out of range, found {found}")


def _is_quality(quality: int) -> bool:
    return is_learned(quality) or quality in (TRANSFORM, PREDICTIVE)


def lone_binding(model_digest: bytes, tables_digest: bytes, version: int = LONE_VERSION) -> int:
    """The binding of segments that fly alone, without a file header: CRC-32 of version (not for 1) and both digests."""
    found = (len(model_digest), len(tables_digest))
    if found != (MODEL_DIGEST_BYTES, TABLES_DIGEST_BYTES):
        raise StreamError(f"expected digests of 8 and 4 bytes, found {found[0]} and {found[1]}")
    return zlib.crc32((bytes([version]) if version > 1 else b"") + model_digest + tables_digest)


def _front(segment: Segment, payload_bytes: int) -> bytes:
    """Everything up to the CRC-16."""
    n = len(segment.contexts)
    quality, wide = bytes([segment.quality | n << 6]), max(segment.grid_h, segment.grid_w) > NARROW_SIDE
    if segment.flags or wide:
        quality = bytes([segment.quality | _EXTENDED << 6, n | segment.flags << 2 | _WIDE * wide])
    layers = segment.layer_start << 4 | segment.layer_count - 1
    sides = segment.grid_w - 1, segment.grid_h - 1
    grid = bytes(sides) if wide else bytes([sides[0] | sides[1] << 4])
    contexts = b"".join(_pack_context(segment.frame, context) for context in segment.contexts)
    ids = bytes([SYNC]) + varint(segment.frame) + varint(segment.tile)
    return ids + quality + bytes([layers]) + grid + contexts + varint(payload_bytes)


def _pack_context(frame: int, context: ContextRef) -> bytes:
    back = frame - context.frame
    near = 1 <= back <= 15
    if not context.digest:
        raise StreamError(f"frame {context.frame} as context: expected its digest, found none")
    place = (context.layers - 1) << 4 | (back if near else 0)
    return context.digest + bytes([place]) + (b"" if near else signed_varint(-back))


def pack_segment(segment: Segment, binding: int) -> bytes:
    """The record's bytes; binding: the file header's, or lone_binding for a segment that flies alone."""
    if not segment.sound:
        raise StreamError(f"a cut or damaged segment cannot be written ({segment.name})")
    front = _front(segment, len(segment.payload))
    check = binascii.crc_hqx(front, binding & 0xFFFF)
    payload = segment.payload if is_learned(segment.quality_byte) else with_checks(segment.payload, check)
    body = front + check.to_bytes(HEADER_CRC_BYTES, "little") + payload
    return body + zlib.crc32(body, binding).to_bytes(RECORD_CRC_BYTES, "little")


def segment_overhead_bytes(segment: Segment, payload_bytes: int) -> int:
    """Exact bytes of the record around a payload of that length (the segment's own payload is ignored)."""
    checks = wire_bytes(segment, payload_bytes) - payload_bytes
    return len(_front(segment, payload_bytes)) + HEADER_CRC_BYTES + checks + RECORD_CRC_BYTES


def wire_bytes(segment: Segment, payload_bytes: int) -> int:
    """Bytes that a payload of that length takes in the record: learned ones hold their checks, others have them added."""
    return payload_bytes if is_learned(segment.quality_byte) else checked_bytes(payload_bytes)


def payload_of(segment: Segment, data: bytes, start: int) -> Taken:
    """The payload of a record as far as `data` holds it, from `start` on. Of a learned one nothing is confirmed here."""
    wire = data[start : start + wire_bytes(segment, segment.payload_bytes)]
    if is_learned(segment.quality_byte):
        return Taken(wire, 0, False)
    check = int.from_bytes(data[start - HEADER_CRC_BYTES : start], "little")
    return take_checks(wire, segment.payload_bytes, check)


def unpack_front(data: bytes, at: int, binding: int) -> tuple[Segment, int]:
    """(segment without payload, where the payload starts), the CRC-16 checked."""
    cursor = Cursor(data, at + 1)
    frame, tile, quality = cursor.varint(), cursor.varint(), cursor.byte()
    n, flags, wide = quality >> 6, 0, 0
    if n == _EXTENDED:
        extra = cursor.byte()
        n, flags, wide = extra & 3, (extra & ~_WIDE) >> 2, extra & _WIDE
        if n > MAX_CONTEXTS or extra < 1 << 2:
            raise StreamError(f"segment: malformed flags byte {extra:#04x}")
    layers, grid = cursor.byte(), cursor.byte()
    columns, rows = (grid, cursor.byte()) if wide else (grid & 15, grid >> 4)
    if wide and max(rows, columns) < NARROW_SIDE:
        raise StreamError(f"segment: sides of {rows + 1} and {columns + 1} in a byte each")
    contexts = [_unpack_context(frame, cursor) for _ in range(n)]
    payload_bytes = cursor.varint()
    expected = binascii.crc_hqx(data[at : cursor.at], binding & 0xFFFF)
    if cursor.little(HEADER_CRC_BYTES) != expected:
        raise StreamError("segment header damaged")
    segment = Segment(
        frame=frame,
        tile=tile,
        quality=quality & 63,
        layer_start=layers >> 4,
        layer_count=(layers & 15) + 1,
        grid_h=rows + 1,
        grid_w=columns + 1,
        contexts=tuple(ContextRef(*context) for context in contexts),
        flags=flags,
        payload_bytes=payload_bytes,
        truncated=True,
        offset=at,
    )
    return segment, cursor.at


def _unpack_context(frame: int, cursor: Cursor) -> tuple[int, int, bytes]:
    digest, place = cursor.take(CONTEXT_DIGEST_BYTES), cursor.byte()
    back = place & 15
    return (frame - back if back else frame + cursor.signed()), (place >> 4) + 1, digest
