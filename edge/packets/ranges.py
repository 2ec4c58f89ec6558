"""Sets of byte ranges: what of a segment is where."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from swathpack.edge.packets.errors import PacketError

Range = tuple[int, int]


class RangeSet:
    """Half-open ranges (start, stop), kept sorted, apart and not empty. Few ranges are expected."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._ranges: list[Range] = []
        for start, stop in ranges:
            self.add(start, stop)

    def __iter__(self):  # type: ignore[no-untyped-def]
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
        before = [r for r in self._ranges if r[1] < start]
        behind = [r for r in self._ranges if r[0] > stop]
        touching = self._ranges[len(before) : len(self._ranges) - len(behind)]
        if touching:
            start, stop = min(start, touching[0][0]), max(stop, touching[-1][1])
        self._ranges = [*before, (start, stop), *behind]

    def remove(self, start: int, stop: int) -> None:
        """Take [start, stop) out."""
        if start >= stop:
            return  # taking nothing out must not cut a range in two
        kept: list[Range] = []
        for a, b in self._ranges:
            kept += [r for r in ((a, min(b, start)), (max(a, stop), b)) if r[0] < r[1]]
        self._ranges = kept

    def missing(self, start: int, stop: int) -> list[Range]:
        """The ranges of [start, stop) that are not in the set."""
        rest = RangeSet([(start, stop)])
        for a, b in self._ranges:
            rest.remove(a, b)
        return rest._ranges

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
