"""Read a stream that may be cut at any byte, damaged anywhere or hostile.

What is sound comes out, the rest is named.

Records stand one after another. Where one should start and does not check, the reader looks for the next byte
at which a whole record checks out. Work is bounded: a record's content is only read when its length field
has checked, and all places and contents that fail may together cost 16 units per byte of the file: one for
each byte of content checked in vain, 256 for each place tried in vain.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from functools import cached_property

from swathpack.edge.stream import records, segment
from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.header import Header, unpack_header
from swathpack.edge.stream.quality import is_learned
from swathpack.edge.stream.records import Extension, FrameRecord
from swathpack.edge.stream.segment import RECORD_CRC_BYTES, Segment
from swathpack.edge.stream.times import Time, as_text

Record = Segment | FrameRecord | Extension

_SYNC = re.compile(bytes([0x5B, segment.SYNC, records.FRAME_SYNC, records.EXTENSION_SYNC, 0x5D]))
_TRY_COST = 256
_KINDS = {segment.SYNC: "segment", records.FRAME_SYNC: "frame", records.EXTENSION_SYNC: "extension"}


MAX_PROBLEMS = 4096  # named; what is beyond is counted
MAX_CONTENT_BYTES = 1 << 24  # of extensions, unpacked; and twice the file's size more


@dataclass(frozen=True, slots=True)
class Problem:
    """Something missing or wrong. kind: damaged, truncated, duplicate, foreign, short, long, hostile."""

    offset: int
    kind: str
    message: str


@dataclass(frozen=True)
class Stream:
    """What a file holds. `problems` is empty exactly when the file is whole and sound.

    frames: frame records in file order (not every frame needs one). segments: in file order; at most the last one is
    truncated, and those that are damaged are among them as far as their heads are sound. size: bytes read.
    """

    header: Header
    frames: tuple[FrameRecord, ...]
    segments: tuple[Segment, ...]
    extensions: tuple[Extension, ...]
    problems: tuple[Problem, ...]
    size: int

    def time(self, frame: int) -> Time:
        """The time of a frame, from its frame record or the header; None if unknown."""
        found = self._times.get(frame)
        if found is not None:
            return found
        return self.header.times[frame] if self.header.times else None

    def date(self, frame: int) -> str | None:
        """The same as text, which is what a `swathpack.edge.frame.Frame` has."""
        return as_text(self.time(frame))

    @cached_property
    def _times(self) -> dict[int, Time]:
        return {record.index: record.time for record in self.frames}


class ProblemList:
    """Problems as they are found: the first MAX_PROBLEMS by name, the others counted."""

    def __init__(self) -> None:
        self.named: list[Problem] = []
        self._more, self._last = 0, 0

    def add(self, problem: Problem) -> None:
        if len(self.named) < MAX_PROBLEMS:
            self.named.append(problem)
        else:
            self._more, self._last = self._more + 1, problem.offset

    def put(self, index: int, problem: Problem) -> None:
        """Say it better than `named[index]` did."""
        if index < len(self.named):
            self.named[index] = problem

    def all(self) -> list[Problem]:
        """Those named, and one for all others."""
        if not self._more:
            return self.named
        return [*self.named, Problem(self._last, "hostile", f"{self._more} more problems up to here")]


class _Broken(Exception):  # noqa: N818 - internal signal
    """A record that cannot be used; `end` is where it claims to end, if its length can be trusted.

    part: a segment whose head is sound; its payload starts at `start`.
    """

    def __init__(
        self, kind: str, message: str, end: int | None = None, part: Segment | None = None, start: int = 0
    ) -> None:
        super().__init__(message)
        self.kind, self.message, self.end, self.part, self.start = kind, message, end, part, start


@dataclass
class _Part:
    """A segment that is not whole, where its payload starts, and which problem names it."""

    segment: Segment
    start: int
    problem: int


class Scanner:
    """One pass over the records of a file. `parts`: segments that are not whole, each where a record was due."""

    def __init__(self, data: bytes, at: int, binding: int) -> None:
        self.data, self.at, self.binding = data, at, binding
        self.budget = 16 * len(data) + (1 << 16)
        self.content = 2 * len(data) + MAX_CONTENT_BYTES  # that extensions may yet unpack to
        self.records: list[Record] = []
        self.parts: list[_Part] = []
        self.problems = ProblemList()

    def scan(self) -> None:
        due: int | None = self.at  # where a record must start, if known
        while self.at < len(self.data):
            try:
                record, end = self.record(self.at)
            except _Broken as broken:
                self.budget -= _TRY_COST
                if self.at == due:
                    due = broken.end
                    self._note(broken)
                if not self._seek():
                    return
                continue
            self._clip(self.at)
            self.records.append(record)
            self.at = due = end

    def _note(self, broken: _Broken) -> None:
        if broken.part is not None:
            self.parts.append(_Part(broken.part, broken.start, len(self.problems.named)))
        self.problems.add(Problem(self.at, broken.kind, broken.message))

    def _clip(self, at: int) -> None:
        """A sound record starts here: a segment that seemed to reach further has lost bytes."""
        if not self.parts:
            return
        last = self.parts[-1]
        part, kept = last.segment, last.segment.payload[: max(at - last.start, 0)]
        if part.truncated or len(kept) < len(part.payload):
            last.segment = replace(part, payload=kept, truncated=False, damaged=True)
            message = f"{part.name}: payload damaged, at most {len(kept)} of {part.payload_bytes} bytes are here"
            self.problems.put(last.problem, Problem(part.offset, "damaged", message))

    def _seek(self) -> bool:
        """Move to the next byte that may start a record; False at the end or when the work is used up."""
        if self.budget <= 0:
            message = "too much damage: the rest of the file was not read"
            self.problems.add(Problem(self.at, "hostile", message))
            return False
        found = _SYNC.search(self.data, self.at + 1)
        self.at = found.start() if found else len(self.data)
        return found is not None

    def record(self, at: int) -> tuple[Record, int]:
        kind = _KINDS.get(self.data[at])
        if kind is None:
            raise _Broken("damaged", f"no record at offset {at}")
        try:
            return self._segment(at) if kind == "segment" else self._other(at)
        except StreamError as error:
            raise _Broken("damaged", f"{kind} record at offset {at}: {error}") from error

    def _segment(self, at: int) -> tuple[Segment, int]:
        front, start = segment.unpack_front(self.data, at, self.binding)
        stop = start + segment.wire_bytes(front, front.payload_bytes)
        end = stop + RECORD_CRC_BYTES
        taken = segment.payload_of(front, self.data, start)
        whole = end <= len(self.data) and self.crc_holds(at, stop)
        if whole:
            return replace(front, payload=taken.payload, truncated=False), end
        # What no CRC vouches for: all of it where checks within may yet confirm some, else what is confirmed.
        kept = taken.payload if is_learned(front.quality_byte) else taken.payload[: taken.confirmed]
        if end > len(self.data):
            message = f"{front.name}: cut, {len(taken.payload)} of {front.payload_bytes} payload bytes"
            raise _Broken("truncated", message, end, replace(front, payload=kept), start)
        part = replace(front, payload=kept, truncated=False, damaged=True)
        raise _Broken("damaged", f"{front.name}: payload damaged", end, part, start)

    def _other(self, at: int) -> tuple[FrameRecord | Extension, int]:
        start, stop = records.body_bounds(self.data, at, self.binding)
        kind, end = _KINDS[self.data[at]], stop + RECORD_CRC_BYTES
        if end > len(self.data):
            raise _Broken("truncated", f"{kind} record at offset {at}: cut", end)
        if not self.crc_holds(at, stop):
            raise _Broken("damaged", f"{kind} record at offset {at}: content damaged", end)
        body = self.data[start:stop]
        if kind == "frame":
            return records.unpack_frame(body, at), end
        extension = records.unpack_extension(body, at, self.content)
        self.content -= len(extension.data)
        return extension, end

    def crc_holds(self, at: int, stop: int) -> bool:
        if self.budget <= 0:
            return False
        expected = int.from_bytes(self.data[stop : stop + RECORD_CRC_BYTES], "little")
        if zlib.crc32(memoryview(self.data)[at:stop], self.binding) == expected:
            return True
        self.budget -= stop - at
        return False


def read_stream(data: bytes) -> Stream:
    """Read a whole file. StreamError only when the file header is unusable; all else is in `problems`."""
    data = bytes(data)
    header, at = unpack_header(data)
    scanner = Scanner(data, at, header.binding)
    scanner.scan()
    problems = _length_problems(header, len(data)) + scanner.problems.all()
    sifted = _Sieve(header)
    # Whole records first: what a damaged one claims to be must not take a whole one's place.
    for record in [*scanner.records, *(part.segment for part in scanner.parts)]:
        sifted.add(record)
    return Stream(
        header=header,
        frames=tuple(sifted.frames),
        segments=tuple(sorted(sifted.segments, key=lambda s: s.offset)),
        extensions=tuple(sifted.extensions),
        problems=tuple(problems + sifted.problems.all()),
        size=len(data),
    )


def read_segment(data: bytes, binding: int) -> Segment:
    """One segment that flew alone: the record must be whole and nothing may follow it, else StreamError."""
    data = bytes(data)
    if not data or data[0] != segment.SYNC:
        raise StreamError(f"expected a segment record, found {data[:1].hex() or 'nothing'}")
    try:
        record, end = Scanner(data, 0, binding)._segment(0)
    except _Broken as broken:
        raise StreamError(broken.message) from broken
    if end != len(data):
        raise StreamError(f"expected a segment of {end} bytes, found {len(data)}")
    return record


def _length_problems(header: Header, size: int) -> list[Problem]:
    if header.total_bytes in (0, size):
        return []
    kind = "short" if size < header.total_bytes else "long"
    return [Problem(size, kind, f"expected a file of {header.total_bytes} bytes, found {size}")]


class _Sieve:
    """Sorts records by type and drops those that contradict the header or an earlier record."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.frames: list[FrameRecord] = []
        self.segments: list[Segment] = []
        self.extensions: list[Extension] = []
        self.problems = ProblemList()
        self._layers: dict[tuple[int, int], int] = {}
        self._frames: set[int] = set()

    def add(self, record: Record) -> None:
        if isinstance(record, Extension):
            self.extensions.append(record)
        elif isinstance(record, FrameRecord):
            self._add_frame(record)
        else:
            self._add_segment(record)

    def _add_frame(self, record: FrameRecord) -> None:
        if record.index >= self.header.frames:
            self._drop(record.offset, "foreign", f"record of frame {record.index} of {self.header.frames}")
        elif record.index in self._frames:
            self._drop(record.offset, "duplicate", f"second record of frame {record.index}")
        else:
            self._frames.add(record.index)
            self.frames.append(record)

    def _add_segment(self, record: Segment) -> None:
        layers = (1 << record.layer_stop) - (1 << record.layer_start)
        place = (record.frame, record.tile)
        if not self._belongs(record):
            self._drop(record.offset, "foreign", f"{record.name}: does not fit the file header")
        elif self._layers.get(place, 0) & layers:
            self._drop(record.offset, "duplicate", f"{record.name}: layers given before")
        else:
            self._layers[place] = self._layers.get(place, 0) | layers
            self.segments.append(record)

    def _belongs(self, record: Segment) -> bool:
        side = self.header.tile_size // 16
        frames = [record.frame, *(context.frame for context in record.contexts)]
        return (
            all(frame < self.header.frames for frame in frames)
            and frames[0] not in frames[1:]
            and record.tile < self.header.n_tiles
            and record.grid_h <= side
            and record.grid_w <= side
        )

    def _drop(self, offset: int, kind: str, message: str) -> None:
        self.problems.add(Problem(offset, kind, message))
