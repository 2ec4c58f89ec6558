"""Pieces of segments in the payload of image packets.

Payload: `base` u32 (big-endian), then pieces back to back until its end:

    number   varint, zigzag   segment number minus the one before (the first: minus `base`)
    offset   varint           of the first byte within the segment
    length   varint           of the data
    data

A piece is any range of a segment's bytes, so a packet is filled to its last byte, a cut pass still leaves
prefixes of segments (and any prefix decodes to whole layers), and a lost range is asked for and sent alone.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.space_packet import OVERHEAD_BYTES
from swathpack.edge.packets.varint import read_varint, unzigzag, varint_bytes, write_varint, zigzag
from swathpack.edge.stream.segment import MAX_LONE_BYTES

BASE_BYTES = 4
MIN_SPLIT_BYTES = 24  # a shorter first part is not worth its head
LOOK_AHEAD = 24  # pieces searched for one that fits whole before one is cut in two
MAX_SEGMENT_BYTES = MAX_LONE_BYTES
# Most of a head: number changes by less than 2^20 within a plan, offset and length below 2^24 and 2^16.
HEAD_BYTES = 3 + 4 + 3
SMALLEST_PACKET = OVERHEAD_BYTES + BASE_BYTES + 16


@dataclass(frozen=True)
class Piece:
    """Bytes [offset, offset + len(data)) of segment `number`."""

    number: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Span:
    """A range of a segment that is to be sent: bytes [start, stop) of segment `number`."""

    number: int
    start: int
    stop: int


def pack_pieces(pieces: Iterable[Piece]) -> bytes:
    """Payload of an image packet."""
    out, before = bytearray(), None
    for piece in pieces:
        if before is None:
            out += struct.pack(">I", piece.number & 0xFFFFFFFF)
            before = piece.number
        out += _head(piece.number - before, piece.offset, len(piece.data)) + piece.data
        before = piece.number
    return bytes(out)


def unpack_pieces(payload: bytes) -> list[Piece]:
    """The inverse of `pack_pieces`. Raises PacketError when a length or number does not fit."""
    if len(payload) < BASE_BYTES:
        raise PacketError(f"expected at least {BASE_BYTES} bytes of pieces, found {len(payload)}")
    pieces, at = [], BASE_BYTES
    number = struct.unpack_from(">I", payload)[0]
    while at < len(payload):
        change, at = read_varint(payload, at)
        offset, at = read_varint(payload, at)
        length, at = read_varint(payload, at)
        number += unzigzag(change)
        if not (0 <= number < 1 << 32 and 0 < length <= len(payload) - at and offset + length <= MAX_SEGMENT_BYTES):
            raise PacketError(
                f"expected a piece of at most {len(payload) - at} bytes, found {length} at {offset} of segment {number}"
            )
        pieces.append(Piece(number, offset, bytes(payload[at : at + length])))
        at += length
    return pieces


class PiecePacker:
    """Fills payloads from a list of spans in order of importance.

    Args:
        spans: what to send, most important first.
        read: bytes [start, stop) of a segment; called when the piece is packed. A shorter answer (the segment
            is gone) drops the rest of the span.
    """

    def __init__(self, spans: Iterable[Span], read: Callable[[Span], bytes]) -> None:
        self._spans: Iterator[Span] = iter(spans)
        self._read = read
        self._ahead: deque[Span] = deque()

    def payload(self, room: int, exact: bool = False) -> tuple[bytes, list[Span]]:
        """The next payload of at most `room` bytes and the spans in it; empty when nothing is left or fits.

        exact: the pass ends here, so that the last bytes are filled even with a part not worth its head.
        """
        pieces: list[Piece] = []
        capacity = left = room - BASE_BYTES
        while (span := self._choose(left, capacity, pieces, exact)) is not None:
            data = self._read(span)
            if data:
                pieces.append(Piece(span.number, span.start, data))
                left -= len(_head(self._change(pieces), span.start, len(data))) + len(data)
        spans = [Span(p.number, p.offset, p.offset + len(p.data)) for p in pieces]
        return (pack_pieces(pieces), spans) if pieces else (b"", [])

    def _choose(self, left: int, capacity: int, pieces: list[Piece], exact: bool) -> Span | None:
        """Take the next span; when it does not fit, one behind it that does, or else a part of it.

        A span gives way only when it fits the next packet whole, and only until then: so the order of
        importance is kept to within a packet.
        """
        while len(self._ahead) < LOOK_AHEAD and (span := next(self._spans, None)) is not None:
            self._ahead.append(span)
        if not self._ahead:
            return None
        before = pieces[-1].number if pieces else None
        gives_way = pieces and _head_bytes(self._ahead[0], None) + _length(self._ahead[0]) <= capacity
        for i, span in enumerate(self._ahead if gives_way else list(self._ahead)[:1]):
            if _head_bytes(span, before) + _length(span) <= left:
                del self._ahead[i]
                return span
        span = self._ahead[0]
        part = left - _head_bytes(span, before)
        if part < (MIN_SPLIT_BYTES if pieces and not exact else 1):
            return None
        self._ahead[0] = Span(span.number, span.start + part, span.stop)
        return Span(span.number, span.start, span.start + part)

    @staticmethod
    def _change(pieces: list[Piece]) -> int:
        return pieces[-1].number - pieces[-2].number if len(pieces) > 1 else 0


def _head(change: int, offset: int, length: int) -> bytes:
    return write_varint(zigzag(change)) + write_varint(offset) + write_varint(length)


def _length(span: Span) -> int:
    return span.stop - span.start


def _head_bytes(span: Span, before: int | None) -> int:
    change = 0 if before is None else span.number - before
    return sum(map(varint_bytes, (zigzag(change), span.start, span.stop - span.start)))
