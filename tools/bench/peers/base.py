"""What every codec in the bench looks like: real bytes out, pixels back from those bytes alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.uint16]  # (T, C, H, W) DN


class PeerError(RuntimeError):
    """A codec that is not installed or that failed; the message names it."""


@dataclass(frozen=True)
class Encoded:
    """Bytes of one series: `frames[t]` in time order, and what they share (headers), spread over the frames."""

    frames: list[bytes]
    shared: bytes = b""
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def frame_bytes(self) -> list[float]:
        """Bytes charged to each frame; they add up to everything that is needed to decode."""
        extra = len(self.shared) / len(self.frames)
        return [len(f) + extra for f in self.frames]

    @property
    def total_bytes(self) -> int:
        """All bytes."""
        return sum(map(len, self.frames)) + len(self.shared)


class Peer(Protocol):
    """A codec with one knob. knobs: its settings from coarse to fine.

    name: in files and caches. label: in tables and charts. version: of codec and options, part of the cache key.
    """

    @property
    def name(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def knobs(self) -> tuple[float, ...]: ...

    def encode(self, series: Series, knob: float) -> Encoded:
        """Raises PeerError."""
        ...

    def decode(self, encoded: Encoded) -> Series:
        """The series again, (T, C, H, W) uint16. Raises PeerError."""
        ...


def pack_mosaic(planes: NDArray[np.uint16], align: int) -> NDArray[np.uint16]:
    """(P, H, W) planes side by side in one image, rows of four, each padded by its edge to a multiple of
    `align`.

    One image per frame instead of P saves P-1 sets of headers, which at these rates is most of the bytes.
    """
    count, height, width = planes.shape
    rows, columns = -(-count // 4), min(count, 4)
    padded = np.pad(planes, ((0, rows * columns - count), (0, -height % align), (0, -width % align)), "edge")
    tiles = padded.reshape(rows, columns, *padded.shape[1:])
    return np.ascontiguousarray(tiles.transpose(0, 2, 1, 3).reshape(rows * padded.shape[1], -1))


def unpack_mosaic(image: NDArray[np.uint16], count: int, height: int, width: int) -> NDArray[np.uint16]:
    """The planes of `pack_mosaic`."""
    rows, columns = -(-count // 4), min(count, 4)
    tiles = image.reshape(rows, image.shape[0] // rows, columns, image.shape[1] // columns).transpose(0, 2, 1, 3)
    return tiles.reshape(rows * columns, *tiles.shape[2:])[:count, :height, :width]
