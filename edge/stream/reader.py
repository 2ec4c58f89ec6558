"""Read a stream that may be cut at any byte, damaged anywhere or hostile.

What is sound comes out, the rest is named. How records are found: scanner.py.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from swathpack.edge.stream import segment
from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.header import Header, unpack_header
from swathpack.edge.stream.records import OTHER_VERSION, Extension, FrameRecord
from swathpack.edge.stream.scanner import Broken, Problem, ProblemList, Record, Scanner
from swathpack.edge.stream.segment import Segment
from swathpack.edge.stream.short import Marks
from swathpack.edge.stream.times import Time, as_text


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

    def validity(self, frame: int) -> FrameRecord | None:
        """The record that holds a frame's mask and holes, None where all is valid."""
        found = self._records.get(frame)
        if self.header.version < OTHER_VERSION:
            return found
        if found is None:
            at = bisect_right(self._recorded, frame) - 1
            found = self._records[self._recorded[at]] if at >= 0 else None
        return self._records.get(found.index - found.like) if found is not None and found.like else found

    @cached_property
    def _records(self) -> dict[int, FrameRecord]:
        return {record.index: record for record in self.frames}

    @cached_property
    def _recorded(self) -> list[int]:
        return sorted(self._records)

    @cached_property
    def _times(self) -> dict[int, Time]:
        return {record.index: record.time for record in self.frames}


def read_stream(data: bytes) -> Stream:
    """Read a whole file. StreamError only when the file header is unusable; all else is in `problems`."""
    data = bytes(data)
    header, at = unpack_header(data)
    scanner = Scanner(data, at, header.binding, header)
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
    except Broken as broken:
        raise StreamError(broken.message) from broken
    if end != len(data):
        raise StreamError(f"expected a segment of {end} bytes, found {len(data)}")
    if max(record.grid_h, record.grid_w) > segment.NARROW_SIDE:
        raise StreamError(
            f"expected at most {segment.NARROW_SIDE} latent positions a side, found {record.grid_h} x {record.grid_w}"
        )
    return record


def read_segment_in(data: bytes, header: Header, marks: Marks) -> Segment:
    """One whole segment of a file, whose mark is added to those of the records before it that were read, else StreamError."""
    scanner = Scanner(data, 0, header.binding, header)
    scanner.marks = marks
    try:
        record, end = scanner.accepted(0, sure=True)
    except Broken as broken:
        raise StreamError(broken.message) from broken
    if not isinstance(record, Segment) or end != len(data):
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
