"""A segment as far as it arrived: bytes in any order, kept as they are, with room for nothing that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.packets.ranges import RangeSet

OPEN, WAITING, DAMAGED = 0, 1, 2  # states of a segment
PAGE_BYTES = 1024
MAX_RANGES = 8192  # more than a board's losses make of a segment; one more would be somebody's doing


class SparseBytes:
    """Bytes at any offset, in pages that are made when something is written to them."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def __len__(self) -> int:
        """Bytes of memory."""
        return len(self._pages) * PAGE_BYTES

    def write(self, start: int, data: bytes) -> None:
        """Put bytes at an offset."""
        for page, first, stop in _pages(start, start + len(data)):
            at = page * PAGE_BYTES + first - start
            room = self._pages.setdefault(page, bytearray(PAGE_BYTES))
            room[first:stop] = data[at : at + stop - first]

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop), zero where nothing was written."""
        nothing = bytes(PAGE_BYTES)
        return b"".join(bytes(self._pages.get(page, nothing)[a:b]) for page, a, b in _pages(start, stop))


def _pages(start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """(page, first, behind the last byte in it) of [start, stop)."""
    while start < stop:
        page, first = divmod(start, PAGE_BYTES)
        behind = min(PAGE_BYTES, first + stop - start)
        yield page, first, behind
        start += behind - first


@dataclass
class SegmentFacts:
    """What is known of a segment without its bytes.

    layers: decoded so far. since_pass: of its first packet. digest: what the ground reports of the latent that these
    layers gave (`swathpack.edge.packets.report.held_digest`).
    """

    store: int
    number: int
    since_pass: int
    key: TileKey | None = None
    ranges: RangeSet = field(default_factory=RangeSet)
    layers: int = 0
    state: int = OPEN
    digest: bytes = b""


@dataclass
class HeldSegment(SegmentFacts):
    """One segment as far as it arrived."""

    data: SparseBytes = field(default_factory=SparseBytes)

    def put(self, offset: int, data: bytes) -> bool:
        """Take bytes in; False when they contradict bytes that are here already, or are the MAX_RANGES-th piece apart
        (nothing is changed then).
        """
        end = offset + len(data)
        for a, b in self.ranges.within(offset, end):
            if self.data.read(a, b) != data[a - offset : b - offset]:
                return False
        if len(self.ranges) >= MAX_RANGES and not self.ranges.touches(offset, end):
            return False
        self.data.write(offset, data)
        self.ranges.add(offset, end)
        return True

    def merge(self, other: HeldSegment) -> None:
        """Take in what another receiver has of the same segment."""
        for start, stop in other.ranges:
            self.put(start, other.data.read(start, stop))
        self.since_pass = min(self.since_pass, other.since_pass)
        if other.layers > self.layers or self.key is None:
            self.layers, self.digest, self.key, self.state = other.layers, other.digest, other.key, other.state

    @property
    def prefix(self) -> bytes:
        """The bytes from the start without a gap."""
        return self.data.read(0, self.ranges.prefix)

    def pack(self) -> bytes:
        """The bytes that are here, range after range."""
        return b"".join(self.data.read(start, stop) for start, stop in self.ranges)

    def fill(self, packed: bytes, ranges: RangeSet) -> None:
        """The inverse of `pack`. Also takes the form of older stores, with zeros in the gaps."""
        dense = len(packed) != sum(stop - start for start, stop in ranges)
        at = 0
        for start, stop in ranges:
            at = start if dense else at
            self.data.write(start, packed[at : at + stop - start])
            at += stop - start
        self.ranges = ranges
