"""The container of the family's streams: a header, then one record per frame.

    header  magic `SWTC`, version u8, family u8, flags u8, tokens kept u8, bands u16, frames u16,
            height u32, width u32, model digest 8 bytes, tables digest 4 bytes, CRC-32 of all that
    record  length u32, CRC-32 u32 of header CRC, frame number and body, then the body:
            sigma rule u8, checks u16, guard bytes u32, hyper bytes u32; per check u16; guards; hyper; payload

All numbers are little-endian. Flag 1 says that the probabilities come from a float network: such a stream
decodes where the floats agree with the encoder's within the guards (guards.py). The check of a token is the
low half of the CRC-32 over its table indexes (u16) and symbols (i32): a decoder whose floats strayed farther
meets a check that differs, and refuses the frame by name.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.stream.wire import MODEL_DIGEST_BYTES, TABLES_DIGEST_BYTES

MAGIC = b"SWTC"
VERSION = 1
FLAG_FLOAT = 1
FAMILY_NUMBERS = {"fp": 0, "elic": 1, "tt": 2, "flextec": 3}
_HEADER = struct.Struct(f"<4sBBBBHHII{MODEL_DIGEST_BYTES}s{TABLES_DIGEST_BYTES}s")
_CRC = struct.Struct("<I")
_RECORD = struct.Struct("<II")
_BODY = struct.Struct("<BHII")
MAX_SIDE = 1 << 16
MAX_PIXELS = 1 << 26  # of all frames together, unless more is asked for: a decoder holds features for each


class StreamError(ValueError):
    """A stream that is damaged, cut, of another version or of another model; carries expected and found."""


class MismatchError(StreamError):
    """The decoder's float network disagrees with the encoder's beyond the guards; nothing is decoded."""


@dataclass(frozen=True)
class Header:
    """What every frame of a stream shares."""

    family: str
    keep: int
    bands: int
    frames: int
    height: int
    width: int
    model_digest: bytes
    tables_digest: bytes

    def pack(self) -> bytes:
        """The header's bytes, CRC included."""
        flags = 0 if self.family == "fp" else FLAG_FLOAT
        head = _HEADER.pack(
            MAGIC,
            VERSION,
            FAMILY_NUMBERS[self.family],
            flags,
            self.keep,
            self.bands,
            self.frames,
            self.height,
            self.width,
            self.model_digest,
            self.tables_digest,
        )
        return head + _CRC.pack(zlib.crc32(head))

    @property
    def crc(self) -> int:
        """CRC-32 that ties the records to this header."""
        return zlib.crc32(self.pack())


def unpack_header(data: bytes) -> Header:
    """The header of a stream; StreamError if it is not one of ours or damaged."""
    size = _HEADER.size
    if len(data) < size + _CRC.size or data[:4] != MAGIC:
        raise StreamError(f"expected a stream that starts with {MAGIC!r}, found {bytes(data[:4])!r}")
    if data[4] != VERSION:
        raise StreamError(f"expected stream version {VERSION}, found {data[4]}")
    if zlib.crc32(data[:size]) != _CRC.unpack_from(data, size)[0]:
        raise StreamError("expected an intact stream header, found a CRC that differs")
    _, _, number, _, keep, bands, frames, height, width, model, tables = _HEADER.unpack_from(data)
    names = {number: name for name, number in FAMILY_NUMBERS.items()}
    if number not in names or not 0 < height < MAX_SIDE or not 0 < width < MAX_SIDE:
        raise StreamError(f"expected a known family and size, found {number} and {height}x{width}")
    return Header(names[number], keep, bands, frames, height, width, model, tables)


@dataclass(frozen=True)
class FrameBody:
    """One coded frame. payload: of the range coder. checks, guards: see the module. hyper: the hyperprior's payload."""

    payload: bytes
    checks: tuple[int, ...] = ()
    guards: bytes = b""
    hyper: bytes = b""
    sigma_rule: int = 0

    def pack(self) -> bytes:
        """The body's bytes."""
        head = _BODY.pack(self.sigma_rule, len(self.checks), len(self.guards), len(self.hyper))
        checks = np.array(self.checks, "<u2").tobytes()
        return head + checks + self.guards + self.hyper + self.payload


def _unpack_body(body: bytes, frame: int) -> FrameBody:
    if len(body) < _BODY.size:
        raise StreamError(f"frame {frame}: expected at least {_BODY.size} bytes, found {len(body)}")
    rule, n_checks, n_guards, n_hyper = _BODY.unpack_from(body)
    ends = np.cumsum([_BODY.size, 2 * n_checks, n_guards, n_hyper]).tolist()
    if ends[-1] > len(body):
        raise StreamError(f"frame {frame}: expected at least {ends[-1]} bytes, found {len(body)}")
    checks = np.frombuffer(body[ends[0] : ends[1]], "<u2").tolist()
    return FrameBody(body[ends[3] :], tuple(checks), body[ends[1] : ends[2]], body[ends[2] : ends[3]], rule)


def pack_stream(header: Header, bodies: list[FrameBody]) -> bytes:
    """Header and records as one byte string."""
    parts = [header.pack()]
    for frame, body in enumerate(bodies):
        data = body.pack()
        parts += [_RECORD.pack(len(data), _record_crc(header.crc, frame, data)), data]
    return b"".join(parts)


def unpack_stream(data: bytes) -> tuple[Header, list[FrameBody]]:
    """The inverse of `pack_stream`. Every record is checked before any of it is decoded."""
    header = unpack_header(data)
    at, bodies = _HEADER.size + _CRC.size, []
    for frame in range(header.frames):
        if at + _RECORD.size > len(data):
            raise StreamError(f"expected {header.frames} frames, found an end in frame {frame}")
        length, crc = _RECORD.unpack_from(data, at)
        body = data[at + _RECORD.size : at + _RECORD.size + length]
        if len(body) != length or _record_crc(header.crc, frame, body) != crc:
            raise StreamError(f"frame {frame}: expected {length} intact bytes, found a cut or damaged record")
        bodies.append(_unpack_body(body, frame))
        at += _RECORD.size + length
    if at != len(data):
        raise StreamError(f"expected {at} bytes, found {len(data)}")
    return header, bodies


def _record_crc(header_crc: int, frame: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack("<IH", header_crc, frame)))


def token_check(table_index: NDArray[np.int64], symbols: NDArray[np.int64]) -> int:
    """16 bits over a token's table indexes and symbols."""
    start = zlib.crc32(table_index.astype("<u2").tobytes())
    return zlib.crc32(symbols.astype("<i4").tobytes(), start) & 0xFFFF
