"""Where the pixels of a frame come from: memory, or files that are read by rows of tiles."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.frame import Frame
from swathpack.edge.stream import pack_holes, pack_mask


class FrameSource(Protocol):
    """One frame of a series, whose pixels are given tile by tile."""

    @property
    def height(self) -> int:
        """Rows of the common grid."""

    @property
    def width(self) -> int:
        """Columns of the common grid."""

    @property
    def outline(self) -> Frame:
        """A frame of one pixel that has all but the pixels."""

    @property
    def failures(self) -> list[str]:
        """Places that could not be read and stand as invalid, a sentence each, where the caller wanted to go on."""

    def tile(self, window: TileWindow) -> Frame:
        """The pixels of a window; cheap where windows come in the order of their numbers. Raises UserError."""

    def live(self, window: TileWindow) -> bool:
        """Whether any pixel of a window holds data."""

    def masks(self) -> tuple[bytes | None, bytes | None]:
        """Which pixels and which single bands lack data, packed as frame records hold them; None where nothing does."""


class HeldSource:
    """A frame in memory."""

    failures: list[str] = []

    def __init__(self, frame: Frame) -> None:
        self.frame, self.height, self.width = frame, frame.height, frame.width
        self.outline = outline_of(frame)

    def tile(self, window: TileWindow) -> Frame:
        """Views of the frame's arrays."""
        f = self.frame
        holes = window.of(f.holes) if f.holes.size else f.holes
        return replace(f, data=window.of(f.data), valid=window.of(f.valid), holes=holes)

    def live(self, window: TileWindow) -> bool:
        """See FrameSource."""
        return bool(window.of(self.frame.valid).any())

    def masks(self) -> tuple[bytes | None, bytes | None]:
        """See FrameSource."""
        f = self.frame
        return pack_mask(f.valid), pack_holes(f.holes & f.valid) if f.holes.size else None


def outline_of(frame: Frame) -> Frame:
    """A frame of one pixel without data that has all else."""
    data, none = np.zeros((len(frame.bands), 1, 1), np.uint16), np.zeros((0, 0, 0), np.bool_)
    return replace(frame, data=data, valid=np.zeros((1, 1), np.bool_), holes=none)


def source_of(frame: Frame | FrameSource) -> FrameSource:
    """The source itself, or one of a frame in memory."""
    return HeldSource(frame) if isinstance(frame, Frame) else frame
