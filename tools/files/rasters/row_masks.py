"""Masks of a frame, gathered by rows from the top: packed as frame records hold them, though never there at once."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.stream.masks import deflate_all

Bits = NDArray[np.bool_]


@dataclass
class RowMasks:
    """Packed bits of what changes from row to row, of a frame of `bands`; rows come in multiples of 8 until the last."""

    bands: int
    _missing: list[bytes] = field(default_factory=list)
    _holes: list[list[bytes]] = field(default_factory=list)
    _any_missing: bool = False
    _any_holes: bool = False
    _above: list[Bits | None] = field(default_factory=list)

    def take(self, valid: Bits, holes: Sequence[Bits | None]) -> None:
        """The next rows (h, W): where there are data, and by band where it alone lacks them (None: nowhere)."""
        if not self._above:
            self._above, self._holes = [None] * (self.bands + 1), [[] for _ in range(self.bands)]
        self._any_missing |= not valid.all()
        self._missing.append(self._steps(0, ~valid))
        for i, hole in enumerate(holes):
            self._any_holes |= hole is not None and bool(hole.any())
            self._holes[i].append(self._steps(i + 1, np.zeros_like(valid) if hole is None else hole))

    def _steps(self, which: int, marks: Bits) -> bytes:
        above, steps = self._above[which], marks.copy()
        steps[1:] ^= marks[:-1]
        if above is not None:
            steps[0] ^= above
        self._above[which] = marks[-1].copy()
        return zlib.compress(np.packbits(steps).tobytes(), 1)

    def packed(self, pixels: int) -> tuple[bytes | None, bytes | None]:
        """As `swathpack.edge.stream.pack_mask` and `pack_holes` pack them, of a frame of so many pixels."""
        mask = deflate_all(map(zlib.decompress, self._missing)) if self._any_missing else None
        return mask, deflate_all(_joined_bits(self._holes, pixels)) if self._any_holes else None


def _joined_bits(bands: Sequence[Sequence[bytes]], bits: int) -> Iterator[bytes]:
    """Packed bits of bands one behind another without a gap, in parts."""
    carried = np.zeros(0, np.uint8)
    for band in bands:
        left = bits
        for part in band:
            own = np.unpackbits(np.frombuffer(zlib.decompress(part), np.uint8))[:left]
            left -= len(own)
            every = np.concatenate([carried, own])
            whole = len(every) // 8 * 8
            yield np.packbits(every[:whole]).tobytes()
            carried = every[whole:]
    yield np.packbits(carried).tobytes()
