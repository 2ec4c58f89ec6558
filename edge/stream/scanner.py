"""One pass over the records of a file that may be damaged anywhere.

Records stand one after another. Where one should start and does not check, the next byte is looked for at which a whole record
checks out. Of a record with 16 bits of check that was found so, and not where one was due, a whole one must also follow, or
the file's end: else noise would pass for a record once in some 2^17 places.

Work is bounded: a record's content is only read when its length field has checked or is below 1,024 bytes, and all places and
contents that fail may together cost 16 units per byte of the file: one for each byte of content checked in vain, 256 for
each place tried in vain.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace

from swathpack.edge.stream import records, segment, short
from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.header import Header
from swathpack.edge.stream.quality import is_learned
from swathpack.edge.stream.records import Extension, FrameRecord
from swathpack.edge.stream.segment import RECORD_CRC_BYTES, Segment

Record = Segment | FrameRecord | Extension

_SYNC = re.compile(rb"[\xe1-\xe3]")
_SYNC_SHORT = re.compile(rb"[\x18-\x1f\xe1-\xe3]")
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


class ProblemList:
    """Problems as they are found: the first MAX_PROBLEMS by name, the others counted."""

    def __init__(self) -> None:
        self.named: list[Problem] = []
        self._more, self._last = 0, 0

    def add(self, problem: Problem) -> None:
        """Name it, or count it."""
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


class Broken(Exception):  # noqa: N818 - internal signal
    """A record that cannot be used; `end` is where it ends, if its length can be trusted, else `claim` where it says so.

    part: a segment whose head is sound; its payload starts at `start`.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        end: int | None = None,
        part: Segment | None = None,
        start: int = 0,
        claim: int | None = None,
    ) -> None:
        super().__init__(message)
        self.kind, self.message, self.end, self.part, self.start, self.claim = kind, message, end, part, start, claim


class Orphan(Broken):
    """A record that cannot be checked, since what it was coded against is not here."""


@dataclass
class _Part:
    """A segment that is not whole, where its payload starts, and which problem names it."""

    segment: Segment
    start: int
    problem: int


class Scanner:
    """One pass over the records of a file. `parts`: segments that are not whole, each where a record was due. header: of the
    file; None for segments that fly alone.
    """

    def __init__(self, data: bytes, at: int, binding: int, header: Header | None = None) -> None:
        self.data, self.at, self.binding, self.header = data, at, binding, header
        self._short_header = header if header is not None and header.version >= short.SHORT_VERSION else None
        self._version = records.OTHER_VERSION if header is None else header.version
        self.budget = 16 * len(data) + (1 << 16)
        self.content = 2 * len(data) + MAX_CONTENT_BYTES  # that extensions may yet unpack to
        self.marks = short.Marks()
        self.records: list[Record] = []
        self.parts: list[_Part] = []
        self.problems = ProblemList()
        self._cut: tuple[int, Problem] | None = None  # what to say of the last record if it proves damaged, not cut

    def scan(self) -> None:
        """Find all records and problems, to the file's end or until the work is used up."""
        due: int | None = self.at  # where a record must start, if known
        claim: int | None = None  # where one must start, if the head of the one before is true
        while self.at < len(self.data):
            try:
                record, end = self.accepted(self.at, self.at in (due, claim))
            except Broken as broken:
                self.budget -= _TRY_COST
                if self.at == due or (self.at == claim and (broken.end or broken.claim)):
                    due, claim = broken.end, broken.claim
                    self._note(broken)
                if not self._seek():
                    return
                continue
            self._clip(self.at)
            self.records.append(record)
            self.at = due = end
            claim = None

    def accepted(self, at: int, sure: bool) -> tuple[Record, int]:
        """The record at a place, its mark noted. sure: a record is expected here."""
        record, end = self.record(at)
        if not isinstance(record, Segment):
            return record, end
        before = self.marks.add(record, self._mark(record, at, end))
        if not sure and short.is_weak(self.data[at], record) and not self._followed(end):
            self.marks.put_back(record, before)
            raise Broken("damaged", f"{record.name}: nothing whole stands behind it")
        return record, end

    def _mark(self, record: Segment, at: int, end: int) -> int:
        if self._short_header is None or not short.is_weak(self.data[at], record):
            return int.from_bytes(self.data[end - RECORD_CRC_BYTES : end], "little")  # it is the record's check
        seed = short.seed_of(record, self._short_header, self.marks)
        return short.mark_of(self.data, short.unpack_short(self.data, at, self._short_header), seed)

    def _followed(self, at: int) -> bool:
        """Whether a whole record starts here, or the file ends, or either does so behind orphans."""
        content = self.content
        try:
            while at < len(self.data) and self.budget > 0:
                try:
                    return self.record(at)[1] > at
                except Orphan as orphan:
                    at = orphan.claim or len(self.data)
                self.budget -= _TRY_COST
            return at == len(self.data)
        except Broken:
            self.budget -= _TRY_COST
            return False
        finally:
            self.content = content

    def _note(self, broken: Broken) -> None:
        if broken.part is not None:
            self.parts.append(_Part(broken.part, broken.start, len(self.problems.named)))
        elif broken.kind == "truncated" and broken.claim:
            message = f"{broken.message}, but whole records stand behind it"
            self._cut = len(self.problems.named), Problem(self.at, "damaged", message)
        self.problems.add(Problem(self.at, broken.kind, broken.message))

    def _clip(self, at: int) -> None:
        """A sound record starts here: a segment that seemed to reach further has lost bytes."""
        if self._cut is not None:
            self.problems.put(*self._cut)
            self._cut = None
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
        found = (_SYNC if self._short_header is None else _SYNC_SHORT).search(self.data, self.at + 1)
        self.at = found.start() if found else len(self.data)
        return found is not None

    def record(self, at: int) -> tuple[Record, int]:
        """What stands at a place, whole and checked, and where it ends. Raises Broken."""
        header = self._short_header if short.is_short_sync(self.data[at]) else None
        kind = _KINDS.get(self.data[at]) if header is None else "segment"
        if kind is None:
            raise Broken("damaged", f"no record at offset {at}")
        try:
            if header is not None:
                return self._short(at, header)
            return self._segment(at) if kind == "segment" else self._other(at)
        except StreamError as error:
            raise Broken("damaged", f"{kind} record at offset {at}: {error}") from error

    def _segment(self, at: int) -> tuple[Segment, int]:
        front, start = segment.unpack_front(self.data, at, self.binding)
        stop = start + segment.wire_bytes(front, front.payload_bytes)
        return self._content(front, start, stop, self.binding)

    def _short(self, at: int, header: Header) -> tuple[Segment, int]:
        front = short.unpack_short(self.data, at, header)
        name = front.segment.name
        if front.weak and front.end > len(self.data):
            raise Broken("truncated", f"{name}: cut", claim=front.end)
        try:
            seed = short.seed_of(front.segment, header, self.marks)
        except StreamError as error:
            raise Orphan("damaged", f"{name}: {error}", claim=front.end) from error
        if not front.weak:
            if not short.head_holds(self.data, front, seed):
                raise StreamError("segment header damaged")
            return self._content(front.segment, front.start, front.stop, seed)
        if not self.weak_holds(front, seed):
            raise Broken("damaged", f"{name}: damaged", claim=front.end)
        return replace(front.segment, payload=self.data[front.start : front.stop], truncated=False), front.end

    def _content(self, front: Segment, start: int, stop: int, seed: int) -> tuple[Segment, int]:
        """A segment whose head is sound."""
        at, end = front.offset, stop + RECORD_CRC_BYTES
        taken = segment.payload_of(front, self.data, start)
        whole = end <= len(self.data) and self.crc_holds(at, stop, seed)
        if whole:
            return replace(front, payload=taken.payload, truncated=False), end
        # What no CRC vouches for: all of it where checks within may yet confirm some, else what is confirmed.
        kept = taken.payload if is_learned(front.quality_byte) else taken.payload[: taken.confirmed]
        if end > len(self.data):
            message = f"{front.name}: cut, {len(taken.payload)} of {front.payload_bytes} payload bytes"
            raise Broken("truncated", message, end, replace(front, payload=kept), start)
        part = replace(front, payload=kept, truncated=False, damaged=True)
        raise Broken("damaged", f"{front.name}: payload damaged", end, part, start)

    def _other(self, at: int) -> tuple[FrameRecord | Extension, int]:
        start, stop = records.body_bounds(self.data, at, self.binding)
        kind, end = _KINDS[self.data[at]], stop + RECORD_CRC_BYTES
        if end > len(self.data):
            raise Broken("truncated", f"{kind} record at offset {at}: cut", end)
        if not self.crc_holds(at, stop, self.binding):
            raise Broken("damaged", f"{kind} record at offset {at}: content damaged", end)
        body = self.data[start:stop]
        if kind == "frame":
            return records.unpack_frame(body, at, self._version), end
        extension = records.unpack_extension(body, at, self.content)
        self.content -= len(extension.data)
        return extension, end

    def weak_holds(self, front: short.Front, seed: int) -> bool:
        """Whether the 16 bits of a short record check, as long as there is work left."""
        if self.budget <= 0:
            return False
        if short.short_holds(self.data, front, seed):
            return True
        self.budget -= front.stop - front.segment.offset
        return False

    def crc_holds(self, at: int, stop: int, seed: int) -> bool:
        """Whether the CRC-32 behind a record checks, as long as there is work left."""
        if self.budget <= 0:
            return False
        expected = int.from_bytes(self.data[stop : stop + RECORD_CRC_BYTES], "little")
        if zlib.crc32(memoryview(self.data)[at:stop], seed) == expected:
            return True
        self.budget -= stop - at
        return False
