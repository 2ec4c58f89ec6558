"""Which pixels of a frame hold data, unpacked by rows of tiles: what a mask claims takes no memory."""

from __future__ import annotations

from collections.abc import Container, Iterator

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.stream import FrameRecord, Header, Stream, StreamError
from swathpack.edge.stream.masks import hole_rows


class ValidRows:
    """What is valid of a frame, unpacked by rows of tiles as they are asked for, from the top."""

    def __init__(self, record: FrameRecord | None, header: Header) -> None:
        self._record = record if record is not None and record.mask is not None else None
        self._header, self._next = header, 0
        self._rows: Iterator[NDArray[np.bool_]] = iter(())
        self._row = np.zeros((0, 0), np.bool_)
        self._start()

    def _start(self) -> None:
        h = self._header
        if self._record is not None:
            self._rows = self._record.valid_rows(h.height, h.width, h.tile_size)
        self._next = 0

    def forget(self) -> None:
        """Take everything as valid."""
        self._record = None

    def tiles(self) -> NDArray[np.bool_] | None:
        """(n,) bool, tiles in which anything is valid; None for all. Raises StreamError if the mask does not fit."""
        if self._record is None:
            return None
        starts = np.arange(0, self._header.width, self._header.tile_size)
        found = np.concatenate([np.logical_or.reduceat(row.any(axis=0), starts) for row in self._rows])
        self._start()
        return found

    def of(self, window: TileWindow) -> NDArray[np.bool_]:
        """(h, w) bool of a window; windows in the order of their numbers."""
        if self._record is None:
            return np.ones((window.height, window.width), np.bool_)
        while self._next <= window.top // self._header.tile_size:
            self._row, self._next = next(self._rows), self._next + 1
        return self._row[:, window.left : window.left + window.width]


class HoleRows:
    """Where single bands of a frame lack data, unpacked by rows of tiles as they are asked for, from the top."""

    def __init__(self, record: FrameRecord | None, header: Header) -> None:
        h, self._header, self._next = header, header, 0
        packed = None if record is None else record.holes
        self._rows = None if packed is None else hole_rows(packed, len(h.bands), h.height, h.width, h.tile_size)
        self._row = np.zeros((0, 0, 0), np.bool_)

    def forget(self) -> None:
        """Take every band as there."""
        self._rows = None

    def of(self, window: TileWindow) -> NDArray[np.bool_]:
        """(C, h, w) bool of a window, empty without holes; windows in the order of their numbers. Raises StreamError."""
        if self._rows is None:
            return np.zeros((0, 0, 0), np.bool_)
        while self._next <= window.top // self._header.tile_size:
            self._row, self._next = next(self._rows), self._next + 1
        return self._row[:, :, window.left : window.left + window.width]


class EmptyFrames:
    """Which frames a stream says to hold no data. doubtful: (T,) bool, frames of which that is uncertain."""

    def __init__(self, stream: Stream, doubtful: NDArray[np.bool_]) -> None:
        self._stream, self._doubtful = stream, doubtful
        self._record: FrameRecord | None = None  # asked for last: many frames may share one
        self._tiles: NDArray[np.bool_] | None = None

    def said(self, index: int, only: Container[int] | None = None) -> bool:
        """Whether frame `index` has no pixel with data, or none in the tiles `only`."""
        record = self._stream.validity(index)
        if record is None or self._doubtful[index]:
            return False
        if record is not self._record:
            self._record, self._tiles = record, self._unpacked(record)
        return self._tiles is not None and not any(only is None or int(t) in only for t in np.flatnonzero(self._tiles))

    def _unpacked(self, record: FrameRecord) -> NDArray[np.bool_] | None:
        try:
            return ValidRows(record, self._stream.header).tiles()
        except StreamError:  # the mask does not fit: nothing is said
            return None
