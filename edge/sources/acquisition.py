"""An acquisition: a frame with its name, time and place; its form on sockets, in the ring and in the spool.

    magic    4   "SWFR"
    version  1   1
    header   4   length of the JSON that follows, big-endian
    JSON         name, time, place, weight, urgency, bands, level, boa_offset, grid, shape; samples, where they are not uint16
                 DN: {"dtype": "uint8", "int8" or "int16", "nodata": number}
    data         uint16 little-endian, (C, H, W): the values, of int8 and int16 plus 128 or 32,768
    valid        one bit per pixel, row by row, high bit first
    CRC-32   4   of all before, big-endian

The version is before everything that may change; nothing is executed or unpickled; every length is bounded
before memory is taken for it.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from swathpack.edge.codec.plain import MAX_BANDS
from swathpack.edge.frame import Frame, FrameError
from swathpack.edge.radiometry import PLAIN, Radiometry

_HEAD = struct.Struct(">4sBI")
_MAGIC, _VERSION = b"SWFR", 1
MAX_HEADER_BYTES = 65536
MAX_NAME = 120
MAX_BAND_NAME = 32  # bytes of UTF-8
MAX_PLACE = 1 << 26
_TIME_LIMIT = 1 << 40
SAMPLES = ("uint16", "uint8", "int8", "int16")


class SourceError(Exception):
    """A source cannot be opened or read; the message names it."""


@dataclass(frozen=True, eq=False)
class Acquisition:
    """One frame as it came in.

    name: unique, for events and the spool. time: seconds since 1970-01-01 UTC. place: 0 .. 2^26 - 1, the same
    for all acquisitions of the same ground. weight: how much its errors matter. urgency: 1 goes before all
    else. Raises FrameError for values out of range.
    """

    name: str
    time: int
    place: int
    frame: Frame
    weight: float = 1.0
    urgency: int = 0

    def __post_init__(self) -> None:
        good = 0 < len(self.name) <= MAX_NAME and self.name.isprintable()
        if not (good and abs(self.time) < _TIME_LIMIT and 0 <= self.place < MAX_PLACE):
            raise FrameError(
                "values",
                f"expected a name of at most {MAX_NAME} characters, a time and a place below {MAX_PLACE}, "
                f"found {self.name[:40]!r}, {self.time}, {self.place}",
            )
        if not (0 <= self.weight <= 1e6 and 0 <= self.urgency <= 9):
            found = f"{self.weight}, {self.urgency}"
            raise FrameError("values", f"expected weight 0 to 1e6 and urgency 0 to 9, found {found}")
        _check_flyable(self.frame)

    def pack(self) -> bytes:
        """The message in which a sensor hands it over, checksum last."""
        frame = self.frame
        header = json.dumps(
            {
                "name": self.name,
                "time": self.time,
                "place": self.place,
                "weight": self.weight,
                "urgency": self.urgency,
                "bands": frame.bands,
                "level": frame.level,
                "boa_offset": frame.boa_offset,
                "grid": frame.grid,
                "shape": frame.data.shape,
            }
            | _said_samples(frame.radiometry)
        ).encode()
        body = _HEAD.pack(_MAGIC, _VERSION, len(header)) + header
        body += np.ascontiguousarray(frame.data, "<u2").tobytes() + np.packbits(frame.valid).tobytes()
        return body + struct.pack(">I", zlib.crc32(body))

    @classmethod
    def unpack(cls, data: bytes | bytearray, max_bytes: int) -> Acquisition:
        """The acquisition. Raises FrameError with reason `wire` when the bytes are not whole or not ours."""
        if len(data) > max_bytes or len(data) < _HEAD.size + 4:
            raise FrameError("wire", f"expected a message of at most {max_bytes} bytes, found {len(data)}")
        if zlib.crc32(memoryview(data)[:-4]) != struct.unpack(">I", data[-4:])[0]:
            raise FrameError("wire", "the message's checksum differs")
        magic, version, size = _HEAD.unpack_from(data)
        if magic != _MAGIC or version != _VERSION or size > min(MAX_HEADER_BYTES, len(data)):
            raise FrameError("wire", f"expected a message of version {_VERSION}, found {data[:5].hex()}")
        header = _header(data[_HEAD.size : _HEAD.size + size])
        return _build(header, data, _HEAD.size + size)


class FrameSource(Protocol):
    """A source of frames; never blocks."""

    def poll(self) -> Offer | None:
        """The next frame, a refusal, or None when nothing is there now. Raises SourceError."""

    def done(self, offer: Offer) -> None:
        """The offer was accepted durably or refused for good: it need not be offered again."""

    def close(self) -> None:
        """Give resources back."""


@dataclass(frozen=True, eq=False)
class Offer:
    """What a source found: an acquisition, or why there is none (`refused`). token: the source's own mark. undated: nobody
    said when it was taken, so its time is that of its file.
    """

    name: str
    acquisition: Acquisition | None
    refused: str = ""
    token: object = None
    undated: bool = False


def samples_of(dtype: str, nodata: float = 0.0) -> Radiometry:
    """What the counts of a sensor's whole numbers are: its values, plus what makes the least of the type 0. Raises FrameError."""
    if dtype not in SAMPLES:
        raise FrameError("values", f"samples: expected one of {', '.join(SAMPLES)}, found {dtype[:40]!r}")
    shift = -int(np.iinfo(dtype).min)
    return Radiometry(dtype, 1.0, shift, nodata, 1.0, float(shift))


def _said_samples(radiometry: Radiometry) -> dict[str, Any]:
    if radiometry == PLAIN:
        return {}
    return {"samples": {"dtype": radiometry.dtype, "nodata": radiometry.nodata}}


def _samples(header: dict[str, Any]) -> Radiometry:
    said = header.get("samples")
    if said is None:
        return PLAIN
    if not isinstance(said, dict):
        raise FrameError("wire", f"samples: expected an object, found {type(said).__name__}")
    return samples_of(str(said["dtype"]), float(said.get("nodata", 0)))


def _check_flyable(frame: Frame) -> None:
    """On board a frame has whole numbers of at most 16 bits, and no more bands or longer names than a segment that flies alone may
    say: wire form and flight codec hold no more.
    """
    longest = max(len(name.encode()) for name in frame.bands)
    if len(frame.bands) > MAX_BANDS or longest > MAX_BAND_NAME:
        raise FrameError(
            "bands",
            f"expected at most {MAX_BANDS} bands with names of at most {MAX_BAND_NAME} bytes, found {len(frame.bands)}, "
            f"the longest of {longest} bytes",
        )
    radiometry = frame.radiometry
    if frame.holes.any() or radiometry != samples_of(radiometry.dtype, radiometry.nodata):
        raise FrameError(
            "values", f"expected whole numbers of at most 16 bits with all bands at every pixel, found {radiometry}"
        )


def offer(name: str, data: bytes | bytearray, max_bytes: int, token: object = None) -> Offer:
    """An offer from wire bytes; anything wrong with them becomes a refusal."""
    try:
        acquisition = Acquisition.unpack(data, max_bytes)
    except FrameError as error:
        return Offer(name, None, str(error), token)
    return Offer(acquisition.name, acquisition, token=token)


def _header(raw: bytes | bytearray) -> dict[str, Any]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise FrameError("wire", f"the header is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise FrameError("wire", f"expected a JSON object, found {type(header).__name__}")
    return header


def _build(header: dict[str, Any], data: bytes | bytearray, at: int) -> Acquisition:
    try:
        channels, height, width = (int(n) for n in header["shape"])
        count, pixels = channels * height * width, height * width
        if min(channels, height, width) < 1 or at + 2 * count + -(-pixels // 8) + 4 != len(data):
            found = len(data) - at - 4
            raise FrameError("wire", f"expected data of shape {header['shape']}, found {found} bytes")
        values = np.frombuffer(data, "<u2", count, at).reshape(channels, height, width).astype(np.uint16)
        bits = np.frombuffer(data, np.uint8, -(-pixels // 8), at + 2 * count)
        valid = np.unpackbits(bits, count=pixels).reshape(height, width).astype(bool)
        frame = Frame(
            values,
            tuple(str(b) for b in header["bands"]),
            None,
            valid,
            str(header["level"]),
            bool(header["boa_offset"]),
            tuple(int(f) for f in header["grid"]),
            _samples(header),
        )
        return Acquisition(
            str(header["name"]),
            int(header["time"]),
            int(header["place"]),
            frame,
            float(header["weight"]),
            int(header["urgency"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, FrameError):
            raise
        raise FrameError("wire", f"the header is not complete: {error!r}") from error


def place_of(text: str) -> int:
    """A place number for a place that has only a name. Two names may meet; that costs bytes, never a wrong
    image.
    """
    return zlib.crc32(text.encode()) % MAX_PLACE
