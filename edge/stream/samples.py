"""How counts stand to values and to the codec's DN, on the wire (`swathpack.edge.radiometry`).

| bytes | field |
|---|---|
| 1 | bits 0-3 type of the files (0 uint16, 1 uint8, 2 int8, 3 int16, 4 uint32, 5 int32, 6 uint64, 7 int64, 8 float16,
      9 float32, 10 float64), bit 4 scale given, 5 nodata given, 6 gain and zero given, 7 zero |
| signed varint | shift |
| 8 | only if given: scale, IEEE 754 little-endian |
| 8 | only if given: nodata, IEEE 754 little-endian |
| 16 | only if given: gain and zero, IEEE 754 little-endian |
"""

from __future__ import annotations

import struct

from swathpack.edge.radiometry import DTYPES, PLAIN, Radiometry, RadiometryError
from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.wire import Cursor, signed_varint

_TYPE, _SCALE, _NODATA, _GAIN = 0x0F, 0x10, 0x20, 0x40


def pack_radiometry(radiometry: Radiometry) -> bytes:
    """Nothing for plain uint16 DN with 0 as nodata."""
    if radiometry == PLAIN:
        return b""
    parts = (
        (_SCALE, (radiometry.scale,), (1.0,)),
        (_NODATA, (radiometry.nodata,), (0.0,)),
        (_GAIN, (radiometry.gain, radiometry.zero), (1.0, 0.0)),
    )
    given = [(bit, numbers) for bit, numbers, usual in parts if numbers != usual]
    layout = DTYPES.index(radiometry.dtype) | sum(bit for bit, _ in given)
    body = b"".join(struct.pack(f"<{len(numbers)}d", *numbers) for _, numbers in given)
    return bytes([layout]) + signed_varint(radiometry.shift) + body


def unpack_radiometry(core: Cursor) -> Radiometry:
    """The inverse of pack_radiometry, for other than plain ones."""
    layout, shift = core.byte(), core.signed()
    if layout & 0x80 or layout & _TYPE >= len(DTYPES):
        raise StreamError(f"file header has unknown sample type {layout:#04x}")
    scale = _doubles(core, 1)[0] if layout & _SCALE else 1.0
    nodata = _doubles(core, 1)[0] if layout & _NODATA else 0.0
    gain, zero = _doubles(core, 2) if layout & _GAIN else (1.0, 0.0)
    try:
        return Radiometry(DTYPES[layout & _TYPE], scale, shift, nodata, gain, zero)
    except RadiometryError as error:
        raise StreamError(f"file header: {error}") from error


def _doubles(core: Cursor, count: int) -> tuple[float, ...]:
    return struct.unpack(f"<{count}d", core.take(8 * count))
