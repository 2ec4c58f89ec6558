"""A stream's file of which only some tiles are read: from record to record by their heads, then the records that are wanted.

    file = PartFile(path)                          the headers: some 64 bytes a record
    stream = file.stream(wanted={(0, 17)})         tiles by (frame, tile), and what they were coded against

What is read is checked as ever. Where heads do not lead from one to the next to the end, the whole file is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from swathpack.edge.stream import (
    Extension,
    FrameRecord,
    Header,
    Marks,
    Segment,
    Stream,
    StreamError,
    read_segment_in,
    read_stream,
)
from swathpack.edge.stream import records as record_forms
from swathpack.edge.stream.header import unpack_header
from swathpack.edge.stream.quality import PREDICTIVE, is_learned
from swathpack.edge.stream.segment import RECORD_CRC_BYTES, SYNC, payload_of, unpack_front, wire_bytes
from swathpack.edge.stream.short import SHORT_VERSION, head_holds, is_short_sync, is_weak, unpack_short
from swathpack.tools import errors
from swathpack.tools.errors import UserError

HEAD_BYTES = 64  # of a record: no head of a segment is longer
FIRST_BYTES = 1024  # of the file
Place = tuple[int, int]  # frame and tile


@dataclass(frozen=True)
class _Head:
    """A segment without its payload, and where its record lies."""

    segment: Segment
    start: int
    payload_start: int
    end: int


class PartFile:
    """Raises UserError for a file that cannot be read, StreamError for one that is no stream. bytes_read: so far. begun: tiles of
    which no more than the beginning was read, for there was more.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.bytes_read = path, 0
        self.begun = set[Place]()
        self._whole: Stream | None = None
        self._heads: list[_Head] = []
        self._frames: list[FrameRecord] = []
        self._extensions: list[Extension] = []
        try:
            self.size = path.stat().st_size
            with path.open("rb", buffering=0) as file:
                self.header, at = self._header(file)
                try:
                    self._scan(file, at)
                except (StreamError, IndexError):
                    self._read_all()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from error

    def _read(self, file: BinaryIO, at: int, count: int) -> bytes:
        file.seek(at)
        found = file.read(count)
        self.bytes_read += len(found)
        return found

    def _header(self, file: BinaryIO) -> tuple[Header, int]:
        count = FIRST_BYTES
        while True:
            try:
                return unpack_header(self._read(file, 0, count))
            except (StreamError, IndexError) as error:
                if count >= self.size:
                    raise errors.StreamError(str(error)) from error
                count *= 16

    def _scan(self, file: BinaryIO, at: int) -> None:
        binding, seen = self.header.binding, set[Place]()
        if self.header.total_bytes not in (0, self.size):
            raise StreamError("another length")
        while at < self.size:
            head = self._read(file, at, HEAD_BYTES)
            if self.header.version >= SHORT_VERSION and is_short_sync(head[0]):
                short = unpack_short(head, 0, self.header)
                if not (short.weak or short.segment.contexts or head_holds(head, short, binding)):
                    raise StreamError("segment header damaged")
                place, end = (short.segment.frame, short.segment.tile), at + short.end
                if place in seen:
                    raise StreamError("given before")
                seen.add(place)
                self._heads.append(_Head(replace(short.segment, offset=at), at, at + short.start, end))
            elif head[0] == SYNC:
                front, start = unpack_front(head, 0, binding)
                end = at + start + wire_bytes(front, front.payload_bytes) + RECORD_CRC_BYTES
                self._heads.append(_Head(replace(front, offset=at), at, at + start, end))
            else:
                end = self._other(file, at, head)
            if end > self.size:
                raise StreamError("cut")
            at = end

    def _other(self, file: BinaryIO, at: int, head: bytes) -> int:
        _, stop = record_forms.body_bounds(head, 0, self.header.binding)
        record = self._read(file, at, stop + RECORD_CRC_BYTES)
        found = read_stream(self.header.pack(0) + record)
        if found.problems:
            raise StreamError("damaged")
        self._frames += found.frames
        self._extensions += found.extensions
        return at + len(record)

    def _read_all(self) -> None:
        """What the heads do not tell, `read_stream` finds out."""
        self._whole = read_stream(self.path.read_bytes())
        self.bytes_read += self.size

    @property
    def places(self) -> set[Place]:
        """Tiles that the file holds anything of."""
        if self._whole is not None:
            return {(s.frame, s.tile) for s in self._whole.segments}
        return {(h.segment.frame, h.segment.tile) for h in self._heads}

    @property
    def metadata(self) -> Stream:
        """The stream without any tile."""
        return self.stream(())

    def needed(self, wanted: Iterable[Place]) -> set[Place]:
        """The tiles, and those that they were coded against, at any remove."""
        segments = self._whole.segments if self._whole is not None else [h.segment for h in self._heads]
        named: dict[Place, set[Place]] = {}
        for s in segments:
            named.setdefault((s.frame, s.tile), set()).update((c.frame, s.tile) for c in s.contexts)
        needed: set[Place] = set()
        ahead = list(wanted)
        while ahead:
            place = ahead.pop()
            if place in named and place not in needed:
                needed.add(place)
                ahead += named[place]
        return needed

    def stream(self, wanted: Iterable[Place], prefix_bytes: tuple[int, int] | None = None) -> Stream:
        """The stream with those tiles and what they need. prefix_bytes: no more of each payload, of the transform coder's and of
        the learned codec's, unless others need it; what is read of it is then not checked. Of an exact tile all is read: it is
        coded row by row.
        """
        needed = self.needed(wanted)
        if self._whole is not None:
            return replace(self._whole, segments=tuple(s for s in self._whole.segments if (s.frame, s.tile) in needed))
        heads = [h for h in self._heads if (h.segment.frame, h.segment.tile) in needed]
        named = {(c.frame, h.segment.tile) for h in heads for c in h.segment.contexts}
        segments, marks = [], Marks()
        with self.path.open("rb", buffering=0) as file:
            for head in heads:
                learned = is_learned(head.segment.quality_byte)
                place = head.segment.frame, head.segment.tile
                whole = (
                    place in named or learned and bool(head.segment.contexts) or head.segment.quality_byte == PREDICTIVE
                )
                prefix = None if whole or prefix_bytes is None else prefix_bytes[learned]
                segments.append(self._segment(file, head, prefix, marks))
        return Stream(self.header, tuple(self._frames), tuple(segments), tuple(self._extensions), (), self.size)

    def _segment(self, file: BinaryIO, head: _Head, prefix_bytes: int | None, marks: Marks) -> Segment:
        length = head.end - head.start
        if prefix_bytes is not None and head.payload_start - head.start + prefix_bytes < length:
            length = head.payload_start - head.start + prefix_bytes
            self.begun.add((head.segment.frame, head.segment.tile))
            data = self._read(file, head.start, length)
            return replace(
                head.segment, payload=payload_of(head.segment, data, head.payload_start - head.start).payload
            )
        data = self._read(file, head.start, length)
        try:
            return replace(read_segment_in(data, self.header, marks), offset=head.start)
        except StreamError:
            if is_weak(data[0], head.segment):  # its head is as doubtful as all else
                return replace(head.segment, payload=b"", truncated=False, damaged=True)
            start = head.payload_start - head.start
            taken = payload_of(head.segment, data, start)
            kept = taken.payload if is_learned(head.segment.quality_byte) else taken.payload[: taken.confirmed]
            return replace(head.segment, payload=kept, truncated=False, damaged=True)
