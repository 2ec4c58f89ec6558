"""Acquisition times on the wire: whatever came in comes out letter for letter, usual forms in 1 to 5 bytes.

| kind | value | coded as |
|---|---|---|
| 0 | none | nothing |
| 1 | text YYYY-MM-DD | days since 1970-01-01, signed varint |
| 2 | text YYYYMMDD | days, signed varint |
| 3 | text YYYY-MM-DDTHH:MM | minutes since 1970-01-01T00:00, signed varint |
| 4 | text YYYY-MM-DDTHH:MM:SS | seconds, signed varint |
| 5 | text YYYY-MM-DDTHH:MM:SSZ | seconds, signed varint |
| 6 | integer, epoch seconds | signed varint |
| 7 | other text | varint length, UTF-8 |
| 8 | float, epoch seconds | 8 bytes, IEEE 754 little-endian |
| 9 | text YYYY-MM-DDTHH:MM:SS.mmmZ, 1970 to 2039 | milliseconds since 1970-01-01T00:00, signed varint |

A series of one kind of 1 to 6 or 9 goes as its first number and differences. Any other (kind 15, files of version 3) as one byte and
the value each; of a text as many bytes are left out as it begins with alike to the last text before it: their number (varint),
then length and UTF-8 of the rest.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from datetime import datetime, timedelta

from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.wire import Cursor, signed_varint, text_bytes, varint

Time = str | int | float | None

NONE, EPOCH, TEXT, FLOAT, EACH = 0, 6, 7, 8, 15
OLD_SERIES = (1, 2, 3, 4, 5, EPOCH)  # that headers of versions 1 and 2 may hold
_MILLI = 9
_FORMS = {
    1: ("%Y-%m-%d", timedelta(days=1)),
    2: ("%Y%m%d", timedelta(days=1)),
    3: ("%Y-%m-%dT%H:%M", timedelta(minutes=1)),
    4: ("%Y-%m-%dT%H:%M:%S", timedelta(seconds=1)),
    5: ("%Y-%m-%dT%H:%M:%SZ", timedelta(seconds=1)),
    _MILLI: ("%Y-%m-%dT%H:%M:%S.%fZ", timedelta(milliseconds=1)),
}
_ORIGIN = datetime(1970, 1, 1)
_EPOCH_LIMIT = 1 << 40
MAX_TEXT_BYTES = 256


def _count(text: str, kind: int) -> int | None:
    """Units since 1970 if the text is exactly what the form writes, else None."""
    form, unit = _FORMS[kind]
    try:
        moment = datetime.strptime(text, form)
    except ValueError:
        return None
    count = (moment - _ORIGIN) // unit
    in_range = 0 <= count < 2 * _EPOCH_LIMIT if kind == _MILLI else abs(count) < _EPOCH_LIMIT
    return count if in_range and _text(moment, kind) == text else None


def _text(moment: datetime, kind: int) -> str:
    if kind == _MILLI:
        return moment.isoformat(timespec="milliseconds") + "Z"
    return moment.strftime(_FORMS[kind][0])


def _spell(count: int, kind: int) -> str:
    try:
        return _text(_ORIGIN + count * _FORMS[kind][1], kind)
    except (OverflowError, ValueError) as error:
        raise StreamError(f"time {count} (kind {kind}) is out of range") from error


def _numbered(time: Time) -> tuple[int, int] | None:
    """(kind, number) for times that are one integer on the wire, else None."""
    if isinstance(time, int):
        return (EPOCH, time) if abs(time) < _EPOCH_LIMIT else None
    if isinstance(time, str):
        for kind in _FORMS:
            count = _count(time, kind)
            if count is not None:
                return kind, count
    return None


def pack_time(time: Time) -> tuple[int, bytes]:
    """(kind, bytes) of one time."""
    if time is None:
        return NONE, b""
    number = _numbered(time)
    if number is not None:
        return number[0], signed_varint(number[1])
    if isinstance(time, str):
        text = text_bytes(time)
        if len(text) > MAX_TEXT_BYTES:
            raise StreamError(f"expected a time of at most {MAX_TEXT_BYTES - 2} bytes, found {len(text)}")
        return TEXT, text
    return FLOAT, struct.pack("<d", time)


def unpack_time(kind: int, cursor: Cursor) -> Time:
    """The time of a kind; the inverse of pack_time."""
    if kind == NONE:
        return None
    if kind == TEXT:
        return cursor.text()
    if kind == FLOAT:
        return float(struct.unpack("<d", cursor.take(8))[0])
    if kind == EPOCH:
        return cursor.signed()
    if kind in _FORMS:
        return _spell(cursor.signed(), kind)
    raise StreamError(f"expected time kind 0..{_MILLI}, found {kind}")


def as_text(time: Time) -> str | None:
    """A time as files spell it: text as it is, a number of seconds since 1970 in ISO 8601, UTC, where that has a date for it."""
    if time is None or isinstance(time, str):
        return time
    try:
        return (_ORIGIN + timedelta(seconds=time)).isoformat() + "Z"
    except (OverflowError, ValueError):
        return str(time)


def pack_times(times: Sequence[Time]) -> tuple[int, bytes]:
    """(kind, bytes) of a whole series, the first number absolute and the others as differences; each by itself (EACH) where they
    are not all of one numbered kind. Kind 0 and no bytes without any time.
    """
    numbers = [_numbered(time) for time in times]
    kinds = {number[0] if number else NONE for number in numbers}
    if all(time is None for time in times):
        return NONE, b""
    if len(kinds) != 1 or NONE in kinds:
        return EACH, _pack_each(times)
    counts = [number[1] for number in numbers if number]
    steps = [b - a for a, b in zip([0, *counts], counts)]
    return kinds.pop(), b"".join(signed_varint(step) for step in steps)


def _pack_each(times: Sequence[Time]) -> bytes:
    out, last = bytearray(), b""
    for time in times:
        kind, value = pack_time(time)
        if kind == TEXT and isinstance(time, str):
            text = time.encode("utf-8")
            alike = len(os.path.commonprefix([text, last]))
            value, last = varint(alike) + varint(len(text) - alike) + text[alike:], text
        out += bytes([kind]) + value
    return bytes(out)


def _unpack_each(n: int, cursor: Cursor) -> tuple[Time, ...]:
    times, last = list[Time](), b""
    for _ in range(n):
        kind = cursor.byte()
        if kind != TEXT:
            times.append(unpack_time(kind, cursor))
            continue
        alike = cursor.varint()
        last = last[:alike] + cursor.take(cursor.varint())
        times.append(_utf8(last))
    return tuple(times)


def _utf8(raw: bytes) -> str:
    if len(raw) > MAX_TEXT_BYTES:
        raise StreamError(f"expected a time of at most {MAX_TEXT_BYTES} bytes, found {len(raw)}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StreamError(f"a time is not UTF-8: {error.reason}") from error


def unpack_times(kind: int, n: int, cursor: Cursor) -> tuple[Time, ...]:
    """n times of a kind; the inverse of pack_times (kind not 0)."""
    if kind == EACH:
        return _unpack_each(n, cursor)
    count, times = 0, []
    for _ in range(n):
        count += cursor.signed()
        times.append(count if kind == EPOCH else _spell(count, kind))
    return tuple(times)


def series_kind(kind: int) -> bool:
    """True for the kinds a file header may use for its series."""
    return kind in _FORMS or kind in (EPOCH, EACH)
