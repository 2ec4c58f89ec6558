"""Sets of byte ranges: what of a segment is where."""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from swathpack.edge.packets.errors import PacketError

Range = tuple[int, int]


class RangeSet:
    """Half-open ranges (start, stop), kept sorted, apart and not empty.

    What is asked or changed costs the ranges it touches and, for a change, moving those behind them.
    """

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._ranges: list[Range] = []
        for start, stop in ranges:
            self.add(start, stop)

    def __iter__(self) -> Iterator[Range]:
        return iter(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self._ranges == other._ranges

    def __repr__(self) -> str:
        return f"RangeSet({self._ranges})"

    @property
    def prefix(self) -> int:
        """Bytes from 0 on without a gap."""
        return self._ranges[0][1] if self._ranges and self._ranges[0][0] == 0 else 0

    def add(self, start: int, stop: int) -> None:
        """Unite with [start, stop)."""
        if start >= stop:
            return
        first, behind = self._touching(start, stop)
        if first < behind:
            start, stop = min(start, self._ranges[first][0]), max(stop, self._ranges[behind - 1][1])
        self._ranges[first:behind] = [(start, stop)]

    def remove(self, start: int, stop: int) -> None:
        """Take [start, stop) out."""
        if start >= stop:
            return  # taking nothing out must not cut a range in two
        first, behind = self._touching(start, stop)
        kept: list[Range] = []
        for a, b in self._ranges[first:behind]:
            kept += [r for r in ((a, min(b, start)), (max(a, stop), b)) if r[0] < r[1]]
        self._ranges[first:behind] = kept

    def missing(self, start: int, stop: int) -> list[Range]:
        """The ranges of [start, stop) that are not in the set."""
        found, at = [], start
        first, behind = self._touching(start, stop)
        for a, b in self._ranges[first:behind]:
            if a > at:
                found.append((at, a))
            at = max(at, b)
        return [*found, (at, stop)] if at < stop else found

    def within(self, start: int, stop: int) -> list[Range]:
        """The ranges of [start, stop) that are in the set."""
        first, behind = self._touching(start, stop)
        cut = [(max(a, start), min(b, stop)) for a, b in self._ranges[first:behind]]
        return [r for r in cut if r[0] < r[1]]

    def touches(self, start: int, stop: int) -> bool:
        """Whether [start, stop) overlaps a range or lies right beside one."""
        first, behind = self._touching(start, stop)
        return first < behind

    def common(self, other: RangeSet) -> RangeSet:
        """The bytes that are in both."""
        found, mine, theirs = RangeSet(), self._ranges, other._ranges
        i = j = 0
        while i < len(mine) and j < len(theirs):
            start, stop = max(mine[i][0], theirs[j][0]), min(mine[i][1], theirs[j][1])
            if start < stop:
                found._ranges.append((start, stop))
            i, j = (i + 1, j) if mine[i][1] < theirs[j][1] else (i, j + 1)
        return found

    def covered(self, stop: int) -> int:
        """Bytes of [0, stop) in the set."""
        return sum(max(min(b, stop) - a, 0) for a, b in self._ranges)

    def pack(self) -> bytes:
        """Little-endian u32 pairs."""
        return b"".join(struct.pack("<II", a, b) for a, b in self._ranges)

    @classmethod
    def unpack(cls, data: bytes) -> RangeSet:
        """The inverse of `pack`. Raises PacketError."""
        if len(data) % 8:
            raise PacketError(f"expected pairs of 4-byte numbers, found {len(data)} bytes")
        return cls(struct.iter_unpack("<II", data))

    def _touching(self, start: int, stop: int) -> tuple[int, int]:
        """Indexes of the ranges that overlap [start, stop) or end where it starts or start where it ends."""
        first = bisect_left(self._ranges, (start, start))
        if first and self._ranges[first - 1][1] >= start:
            first -= 1
        return first, max(bisect_right(self._ranges, (stop, 1 << 62)), first)
