"""Decoded frames of a series: in memory while they are small, in a scratch file where they are not.

A sequence of frames for the writers. What takes memory is what was decoded: a frame of which nothing came is made when it
is asked for, and a large one can be read strip by strip (`strips`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.frame import Frame

MEMORY_BYTES = 1 << 27
STRIP_BYTES = 1 << 20
ROW_STEP = 6  # strips start where every grid of Sentinel-2 does


@dataclass
class _Entry:
    """A frame's outline and its pixels: arrays, or where they start in the scratch file, or nothing. Holes only where
    single bands lack data. nodata: nothing, and nothing is missing.
    """

    outline: Frame
    data: NDArray[np.uint16] | None = None
    valid: NDArray[np.bool_] | None = None
    holes: NDArray[np.bool_] | None = None
    start: int = -1
    holes_start: int = -1
    nodata: bool = False


class FrameStore(Sequence[Frame]):
    """Frames of one size, filled tile by tile. folder: for the scratch file, which has no name there."""

    def __init__(self, height: int, width: int, folder: Path, memory_bytes: int = MEMORY_BYTES) -> None:
        self.height, self.width = height, width
        self._folder, self._left = folder, memory_bytes
        self._entries: list[_Entry] = []
        self._scratch: IO[bytes] | None = None
        self._end = 0

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    def close(self) -> None:
        """Let the scratch file go."""
        if self._scratch is not None:
            self._scratch.close()

    def begin(self, outline: Frame) -> None:
        """The next frame: all but its pixels."""
        self._entries.append(_Entry(outline))

    def settle(self) -> None:
        """Nothing of the frame begun last is missing: if nothing came of it, it holds no data."""
        self._entries[-1].nodata = not self.has_data(-1)

    def put(self, window: TileWindow, tile: Frame) -> None:
        """A tile of the frame begun last."""
        entry = self._entries[-1]
        if entry.data is None and entry.start < 0:
            self._make_room(entry)
        if tile.holes.size:
            self._put_holes(entry, window, tile)
        if entry.data is not None and entry.valid is not None:
            window.of(entry.data)[:] = tile.data
            window.of(entry.valid)[:] = tile.valid
            return
        for band in range(len(tile.data)):
            self._write(entry.start + 2 * self._plane * band, 2, window, tile.data[band])
        self._write(entry.start + 2 * self._plane * len(tile.data), 1, window, tile.valid)

    def _put_holes(self, entry: _Entry, window: TileWindow, tile: Frame) -> None:
        size = self._plane * len(tile.data)
        if entry.holes is None and entry.holes_start < 0:
            if size <= self._left:
                self._left -= size
                entry.holes = np.zeros((len(tile.data), self.height, self.width), np.bool_)
            else:
                entry.holes_start = self._scratch_room(size)
        if entry.holes is not None:
            window.of(entry.holes)[:] = tile.holes
            return
        for band, holes in enumerate(tile.holes):
            self._write(entry.holes_start + self._plane * band, 1, window, holes)

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Frame: ...

    @overload
    def __getitem__(self, index: slice) -> list[Frame]: ...

    def __getitem__(self, index: int | slice) -> Frame | list[Frame]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        entry = self._entries[index]
        return self._part(entry, range(len(entry.outline.bands)), 0, self.height)

    def has_data(self, index: int) -> bool:
        """Whether anything came of a frame."""
        entry = self._entries[index]
        return entry.data is not None or entry.start >= 0

    def is_known(self, index: int) -> bool:
        """Whether anything came of a frame, or that it holds no data."""
        return self._entries[index].nodata or self.has_data(index)

    def outline(self, index: int) -> Frame:
        """A frame of one pixel that has all but the pixels of frame `index`."""
        return self._entries[index].outline

    def part(self, index: int, bands: Sequence[int], top: int, stop: int) -> Frame:
        """Rows [top, stop) of some bands of a frame."""
        return self._part(self._entries[index], bands, top, stop)

    def strips(self, index: int, band: int) -> Iterator[Frame]:
        """One band of a frame from the top, rows in multiples of ROW_STEP."""
        rows = max(STRIP_BYTES // (2 * self.width) // ROW_STEP, 1) * ROW_STEP
        for top in range(0, self.height, rows):
            yield self._part(self._entries[index], [band], top, min(top + rows, self.height))

    @property
    def _plane(self) -> int:
        return self.height * self.width

    def _make_room(self, entry: _Entry) -> None:
        bands = len(entry.outline.bands)
        size = self._plane * (2 * bands + 1)
        if size <= self._left:
            self._left -= size
            entry.data = np.zeros((bands, self.height, self.width), np.uint16)
            entry.valid = np.zeros((self.height, self.width), np.bool_)
            return
        entry.start = self._scratch_room(size)

    def _scratch_room(self, size: int) -> int:
        """Where so many bytes start in the scratch file. What is not written to takes no room on the disk and reads as 0."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - `close` does
        start, self._end = self._end, self._end + size
        self._scratch.truncate(self._end)
        return start

    def _write(self, start: int, item: int, window: TileWindow, plane: NDArray[Any]) -> None:
        assert self._scratch is not None
        for row, values in enumerate(plane):
            self._scratch.seek(start + item * ((window.top + row) * self.width + window.left))
            self._scratch.write(np.ascontiguousarray(values).data)

    def _part(self, entry: _Entry, bands: Sequence[int], top: int, stop: int) -> Frame:
        """Rows [top, stop) of some bands."""
        rows = slice(top, stop)
        if entry.data is not None and entry.valid is not None:
            data, valid = entry.data[list(bands), rows], entry.valid[rows]
        elif entry.start < 0:
            data = np.zeros((len(bands), stop - top, self.width), np.uint16)
            valid = np.zeros((stop - top, self.width), np.bool_)
        else:
            data = np.stack([self._read(entry.start + 2 * self._plane * b, np.dtype(np.uint16), rows) for b in bands])
            valid = self._read(entry.start + 2 * self._plane * len(entry.outline.bands), np.dtype(np.bool_), rows)
        o = entry.outline
        names, grid = tuple(o.bands[b] for b in bands), tuple(o.grid[b] for b in bands)
        nm = tuple(o.wavelengths[b] for b in bands)
        holes = self._holes(entry, bands, rows)
        return replace(o, data=data, valid=valid, bands=names, grid=grid, wavelengths=nm, holes=holes)

    def _holes(self, entry: _Entry, bands: Sequence[int], rows: slice) -> NDArray[np.bool_]:
        if entry.holes is not None:
            return entry.holes[list(bands), rows]
        if entry.holes_start < 0:
            return np.zeros((0, 0, 0), np.bool_)
        return np.stack([self._read(entry.holes_start + self._plane * b, np.dtype(np.bool_), rows) for b in bands])

    def _read(self, start: int, dtype: np.dtype[Any], rows: slice) -> NDArray[Any]:
        assert self._scratch is not None
        self._scratch.seek(start + dtype.itemsize * rows.start * self.width)
        count = (rows.stop - rows.start) * self.width
        data = self._scratch.read(count * dtype.itemsize)
        return np.frombuffer(data, dtype).reshape(-1, self.width)


class Dates(Sequence[Frame]):
    """Some frames of a store, made when they are asked for."""

    def __init__(self, store: FrameStore, indexes: Sequence[int]) -> None:
        self._store, self._indexes = store, indexes

    def __len__(self) -> int:
        return len(self._indexes)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._store.size

    def outline(self, index: int) -> Frame:
        """See FrameStore."""
        return self._store.outline(self._indexes[index])

    def part(self, index: int, bands: Sequence[int], top: int, stop: int) -> Frame:
        """See FrameStore."""
        return self._store.part(self._indexes[index], bands, top, stop)

    @overload
    def __getitem__(self, index: int) -> Frame: ...

    @overload
    def __getitem__(self, index: slice) -> list[Frame]: ...

    def __getitem__(self, index: int | slice) -> Frame | list[Frame]:
        if isinstance(index, slice):
            return [self._store[i] for i in self._indexes[index]]
        return self._store[self._indexes[index]]


def strips(frames: Sequence[Frame], index: int, band: str) -> Iterator[Frame]:
    """One band of a frame of any sequence, from the top: a `FrameStore` gives strips, any other the whole."""
    if isinstance(frames, FrameStore):
        return frames.strips(index, frames.outline(index).bands.index(band))
    return iter((frames[index].select((band,)),))
