"""The short segment record of files: a whole tile, coded as most are, in the fewest bytes around its payload.

| bytes | field |
|---|---|
| 1 | bits 3-7 are 00011; bits 0-2 the low three bits of the place, which is frame x tiles a frame + tile |
| P | the place's other bits, little-endian; P is what the file's last place needs, so that no size depends on a neighbour |
| 1 | coding, below |
| 2 | only after coding 209: q; bits 0-3 first context, bits 4-7 second one (0 none), each 1..15 frames back |
| varint | payload length |
| 2 | only for payloads of LONG_BYTES and more: CRC-16 (CCITT) of all before, started from the seed's low 16 bits |
| n | payload, with checks between chunks as in `segment` |
| 2 or 4 | below LONG_BYTES the CRC-16 of all before, else the CRC-32, started from the seed |

| coding | a tile of 16 layers |
|---|---|
| 0..63 | learned, at step q with its usual base, alone |
| 64..127 | the same with the frame before as context |
| 128..191 | the same with the two frames before, the nearer one first |
| 192..207 | transform, alone or coded against the date 1..15 frames back |
| 208 | predictive |
| 209 | learned with other contexts |

Contexts are named by position and known whole. What vouches for them is the seed: the CRC-32, started from the file's binding,
of the *marks* of the records named. A record's mark is the CRC-32 of all of it but its check, started from its own seed, so it
stands for what it was coded against too. A record is sound only where all of these are, and are what they were.

Below LONG_BYTES of payload nothing within would tell how much of a damaged one is good, so the head needs no check of its own.
Anything else, pieces of tiles or other bases, is an E1 record (`segment`), whose own digests name its contexts.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from swathpack.edge.stream.chunks import with_checks
from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.header import Header
from swathpack.edge.stream.quality import PREDICTIVE, STEPS, TRANSFORM, is_learned, quality_of, step_of, usual_shift
from swathpack.edge.stream.segment import (
    HEADER_CRC_BYTES,
    MAX_LAYERS,
    MAX_PAYLOAD,
    RECORD_CRC_BYTES,
    ContextRef,
    Segment,
    pack_segment,
    segment_overhead_bytes,
    wire_bytes,
)
from swathpack.edge.stream.wire import Cursor, varint

SHORT_SYNC = 0x18  # five bits away from all other records' first bytes
SHORT_VERSION = 3  # of the format, from which on files have such records
LONG_BYTES = 1024
SHORT_CHECK_BYTES = 2
LATENT_STRIDE = 16
_TRANSFORM, _PREDICTIVE, _OTHER = 192, 208, 209
_FARTHEST = 15
_USUAL = ((), (1,), (1, 2))  # frames back, in the order of their coding


class Marks:
    """Of a file's sound records, by frame and tile; of a tile in pieces all of them count, and of a layer given twice the first."""

    def __init__(self) -> None:
        self._of: dict[tuple[int, int], tuple[int, int]] = {}  # mark, bits of the layers

    def add(self, segment: Segment, mark: int) -> tuple[int, int]:
        """Note a sound record; returns what `put_back` needs to forget it again."""
        layers = (1 << segment.layer_stop) - (1 << segment.layer_start)
        before, seen = self._of.get((segment.frame, segment.tile), (0, 0))
        if not layers & seen:
            whole = zlib.crc32(mark.to_bytes(4, "little"), before) if seen else mark
            self._of[segment.frame, segment.tile] = whole, layers | seen
        return before, seen

    def put_back(self, segment: Segment, before: tuple[int, int]) -> None:
        """Forget the record noted last."""
        if before[1]:
            self._of[segment.frame, segment.tile] = before
        else:
            self._of.pop((segment.frame, segment.tile), None)

    def of(self, frame: int, tile: int) -> int | None:
        """The mark of a tile, None where nothing of it is sound."""
        found = self._of.get((frame, tile))
        return None if found is None else found[0]


@dataclass(frozen=True, slots=True)
class Front:
    """A record's head: the segment without its payload, where that starts and where the record ends."""

    segment: Segment
    start: int
    end: int

    @property
    def weak(self) -> bool:
        """Whether 16 bits are all that vouch for the record."""
        return self.segment.payload_bytes < LONG_BYTES

    @property
    def stop(self) -> int:
        """Where the record's last check stands."""
        return self.end - (SHORT_CHECK_BYTES if self.weak else RECORD_CRC_BYTES)


def is_weak(first: int, segment: Segment) -> bool:
    """Whether a record that starts with a byte has 16 bits of check."""
    return is_short_sync(first) and segment.payload_bytes < LONG_BYTES


def is_short_sync(byte: int) -> bool:
    """Whether a byte may be a short record's first."""
    return byte & 0xF8 == SHORT_SYNC


def fits_short(segment: Segment, header: Header) -> bool:
    """Whether a file has a short record for such a segment."""
    return (
        header.version >= SHORT_VERSION
        and (segment.layer_start, segment.layer_count) == (0, MAX_LAYERS)
        and all(c.layers == MAX_LAYERS and 1 <= segment.frame - c.frame <= _FARTHEST for c in segment.contexts)
        and (segment.frame < header.frames and segment.tile < header.n_tiles)
        and (segment.grid_h, segment.grid_w) == tile_grid(header, segment.tile)
        and _coding(segment) is not None
    )


def tile_grid(header: Header, tile: int) -> tuple[int, int]:
    """Rows and columns of latent positions that a tile of the file has."""
    rows, columns = header.tile_shape(tile)
    return -(-rows // LATENT_STRIDE), -(-columns // LATENT_STRIDE)


def _back(segment: Segment) -> tuple[int, ...]:
    return tuple(segment.frame - context.frame for context in segment.contexts)


def _coding(segment: Segment) -> bytes | None:
    """The coding byte and what belongs to it, None where there is none."""
    back, quality = _back(segment), segment.quality_byte
    if quality == PREDICTIVE:
        return bytes([_PREDICTIVE]) if not back else None
    if quality == TRANSFORM:
        return bytes([_TRANSFORM + sum(back)]) if len(back) <= 1 else None
    q = step_of(quality)
    if quality != quality_of(q, usual_shift(q)) or len(set(back)) < len(back):
        return None
    if back in _USUAL:
        return bytes([q + STEPS * _USUAL.index(back)])
    return bytes([_OTHER, q, back[0] | (back[1] << 4 if len(back) > 1 else 0)])


def _uncode(cursor: Cursor) -> tuple[int, tuple[int, ...]]:
    """(quality byte, frames back of the contexts)."""
    coding = cursor.byte()
    if coding < _TRANSFORM:
        return quality_of(coding % STEPS, usual_shift(coding % STEPS)), _USUAL[coding // STEPS]
    if coding < _PREDICTIVE:
        return TRANSFORM, ((coding - _TRANSFORM,) if coding > _TRANSFORM else ())
    if coding == _PREDICTIVE:
        return PREDICTIVE, ()
    if coding != _OTHER:
        raise StreamError(f"unknown coding {coding}")
    q, pair = cursor.byte(), cursor.byte()
    back = tuple(n for n in (pair & 15, pair >> 4) if n)
    if q >= STEPS or not pair & 15 or back in _USUAL or len(set(back)) < len(back):
        raise StreamError(f"unknown coding {coding} {q} {pair:#04x}")
    return quality_of(q, usual_shift(q)), back


def _place_bytes(header: Header) -> int:
    return ((header.frames * header.n_tiles - 1) >> 3).bit_length() + 7 >> 3


def _head(segment: Segment, header: Header, payload_bytes: int) -> bytes:
    place, coding = segment.frame * header.n_tiles + segment.tile, _coding(segment)
    if coding is None:
        raise StreamError(f"{segment.name}: there is no short record for it")
    rest = (place >> 3).to_bytes(_place_bytes(header), "little")
    return bytes([SHORT_SYNC | place & 7]) + rest + coding + varint(payload_bytes)


def overhead_in(header: Header | None, segment: Segment, payload_bytes: int) -> int:
    """Exact bytes around a payload of that length in a file; None for a segment that flies alone."""
    if header is None or not fits_short(segment, header):
        return segment_overhead_bytes(segment, payload_bytes)
    checks = SHORT_CHECK_BYTES if payload_bytes < LONG_BYTES else HEADER_CRC_BYTES + RECORD_CRC_BYTES
    return len(_head(segment, header, payload_bytes)) + checks + wire_bytes(segment, payload_bytes) - payload_bytes


def room_in(header: Header | None, segment: Segment, room_bytes: int) -> int:
    """The longest payload whose record fits `room_bytes`; negative when not even an empty one does."""
    most = room_bytes - overhead_in(header, segment, 0)
    if most < 0 or (over := most + overhead_in(header, segment, most) - room_bytes) <= 0:
        return most
    # What is around a payload never shrinks as it grows; so one that is shorter by what is too much fits, and the rest is halved.
    fits, more = max(most - over, -1), most
    while more - fits > 1:
        middle = (fits + more) // 2
        fits, more = (middle, more) if middle + overhead_in(header, segment, middle) <= room_bytes else (fits, middle)
    return fits


def seed_of(segment: Segment, header: Header, marks: Marks) -> int:
    """What a record's checks start from. StreamError where a context's mark is not known."""
    found = []
    for context in segment.contexts:
        mark = marks.of(context.frame, segment.tile)
        if mark is None:
            raise StreamError(f"frame {context.frame}, which it was coded against, is not sound")
        found.append(mark.to_bytes(4, "little"))
    return zlib.crc32(b"".join(found), header.binding)


def pack_in(header: Header, segment: Segment, marks: Marks) -> bytes:
    """The record as a file holds it; marks: of the file's records before, to which this one's is added."""
    if not fits_short(segment, header):
        record = pack_segment(segment, header.binding)
        marks.add(segment, int.from_bytes(record[-RECORD_CRC_BYTES:], "little"))
        return record
    if not segment.sound:
        raise StreamError(f"a cut or damaged segment cannot be written ({segment.name})")
    seed, body = seed_of(segment, header, marks), _head(segment, header, len(segment.payload))
    if len(segment.payload) < LONG_BYTES:
        body += segment.payload
        check = binascii.crc_hqx(body, seed & 0xFFFF).to_bytes(SHORT_CHECK_BYTES, "little")
    else:
        first = binascii.crc_hqx(body, seed & 0xFFFF)
        learned = is_learned(segment.quality_byte)
        body += first.to_bytes(HEADER_CRC_BYTES, "little")
        body += segment.payload if learned else with_checks(segment.payload, first)
        check = zlib.crc32(body, seed).to_bytes(RECORD_CRC_BYTES, "little")
    marks.add(segment, zlib.crc32(body, seed))
    return body + check


def unpack_short(data: bytes, at: int, header: Header) -> Front:
    """A record's head, nothing checked. StreamError if it is none."""
    cursor = Cursor(data, at)
    low = cursor.byte() & 7
    place = low | cursor.little(_place_bytes(header)) << 3
    if place >= header.frames * header.n_tiles:
        raise StreamError(f"place {place} is not in the file")
    frame, tile = divmod(place, header.n_tiles)
    quality, back = _uncode(cursor)
    if max(back, default=0) > frame:
        raise StreamError(f"frame {frame} names one {max(back)} frames before it")
    payload_bytes = cursor.varint()
    if payload_bytes > MAX_PAYLOAD:
        raise StreamError(f"a payload of {payload_bytes} bytes")
    start = cursor.at + (HEADER_CRC_BYTES if payload_bytes >= LONG_BYTES else 0)
    segment = _segment(header, frame, tile, quality, back, payload_bytes, at)
    check = SHORT_CHECK_BYTES if payload_bytes < LONG_BYTES else RECORD_CRC_BYTES
    return Front(segment, start, start + wire_bytes(segment, payload_bytes) + check)


def _segment(
    header: Header, frame: int, tile: int, quality: int, back: Sequence[int], payload_bytes: int, at: int
) -> Segment:
    refs = tuple(ContextRef(frame - n, MAX_LAYERS) for n in back)
    empty = Segment.empty((frame, tile), quality, (0, MAX_LAYERS), tile_grid(header, tile), refs)
    return replace(empty, truncated=True, payload_bytes=payload_bytes, offset=at)


def mark_of(data: bytes, front: Front, seed: int) -> int:
    """The mark of a sound record."""
    return zlib.crc32(memoryview(data)[front.segment.offset : front.stop], seed)


def head_holds(data: bytes, front: Front, seed: int) -> bool:
    """Whether the head of a record that is not weak is sound."""
    at = front.start - HEADER_CRC_BYTES
    found = int.from_bytes(data[at : front.start], "little")
    return binascii.crc_hqx(data[front.segment.offset : at], seed & 0xFFFF) == found


def short_holds(data: bytes, front: Front, seed: int) -> bool:
    """Whether the check of a weak record holds."""
    found = int.from_bytes(data[front.stop : front.end], "little")
    return binascii.crc_hqx(data[front.segment.offset : front.stop], seed & 0xFFFF) == found
