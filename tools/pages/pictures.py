"""Small pictures for pages: colour composites of bands, amplified errors, and PNG files from numpy alone."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.frame import Frame

TRUE_COLOUR = ("B04", "B03", "B02")
FALSE_COLOUR = ("B08", "B04", "B03")  # vegetation shows red
GAMMA = 1.25
BRIGHT = 3.5  # times the median of a band, above its darkest: at most this is shown as white
LEAST_DN = 900.0  # between black and white: noise of an even scene is not blown up to colours

Picture = NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True)
class Stretch:
    """Three bands and the DN that become black and white; taken from one image, used for all it is compared
    with.
    """

    bands: tuple[str, ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, frame: Frame, bands: tuple[str, ...], percent: tuple[float, float] = (0.5, 98.5)) -> Stretch:
        """Percentiles over the valid pixels of each band; clouds may be white, the land between stays
        bright.
        """
        planes = _planes(frame, bands)[:, frame.valid]
        low, high = np.percentile(planes, percent, axis=1)
        land = low + BRIGHT * (np.median(planes, axis=1) - low)
        return cls(bands, low, np.maximum(np.minimum(high, land), low + LEAST_DN))

    def picture(self, frame: Frame) -> Picture:
        """(H, W, 3) uint8; nodata is black."""
        planes = _planes(frame, self.bands)
        scaled = (planes - self.low[:, None, None]) / (self.high - self.low)[:, None, None]
        shown = np.clip(scaled, 0, 1) ** (1 / GAMMA) * 255
        return np.where(frame.valid[..., None], np.rint(shown).astype(np.uint8).transpose(1, 2, 0), 0)

    def error(self, frame: Frame, decoded: Frame, gain: float) -> Picture:
        """Difference of the three bands times `gain` around mid-grey."""
        difference = _planes(decoded, self.bands) - _planes(frame, self.bands)
        shown = 128 + gain * 255 * difference / (self.high - self.low)[:, None, None]
        return np.clip(np.rint(shown), 0, 255).astype(np.uint8).transpose(1, 2, 0)


def _planes(frame: Frame, bands: tuple[str, ...]) -> NDArray[np.float64]:
    return frame.data[[frame.bands.index(b) for b in bands]].astype(np.float64)


def png(picture: Picture) -> bytes:
    """An RGB PNG; every row is stored as its difference from the row above (filter 2 of the PNG standard)."""
    height, width = picture.shape[:2]
    rows = np.diff(picture.reshape(height, -1).astype(np.int16), axis=0, prepend=0).astype(np.uint8)
    filtered = np.concatenate([np.full((height, 1), 2, np.uint8), rows], axis=1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def data_uri(picture: Picture) -> str:
    """The picture as the value of an HTML src attribute."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode()
