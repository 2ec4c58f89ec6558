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
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import datetime, timedelta

from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.wire import Cursor, signed_varint, text_bytes

Time = str | int | float | None

NONE, EPOCH, TEXT, FLOAT = 0, 6, 7, 8
_FORMS = {
    1: ("%Y-%m-%d", timedelta(days=1)),
    2: ("%Y%m%d", timedelta(days=1)),
    3: ("%Y-%m-%dT%H:%M", timedelta(minutes=1)),
    4: ("%Y-%m-%dT%H:%M:%S", timedelta(seconds=1)),
    5: ("%Y-%m-%dT%H:%M:%SZ", timedelta(seconds=1)),
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
    return (moment - _ORIGIN) // unit if moment.strftime(form) == text else None


def _spell(count: int, kind: int) -> str:
    form, unit = _FORMS[kind]
    try:
        return (_ORIGIN + count * unit).strftime(form)
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
    raise StreamError(f"expected time kind 0..{FLOAT}, found {kind}")


def as_text(time: Time) -> str | None:
    """A time as files spell it: text as it is, a number of seconds since 1970 in ISO 8601, UTC, where that has a date for it."""
    if time is None or isinstance(time, str):
        return time
    try:
        return (_ORIGIN + timedelta(seconds=time)).isoformat() + "Z"
    except (OverflowError, ValueError):
        return str(time)


def pack_times(times: Sequence[Time]) -> tuple[int, bytes]:
    """(kind, bytes) of a whole series, the first number absolute and the others as differences.

    Kind 0 and no bytes when the times are not all of one numbered kind: they go into frame records then.
    """
    numbers = [_numbered(time) for time in times]
    kinds = {number[0] if number else NONE for number in numbers}
    if len(kinds) != 1 or NONE in kinds:
        return NONE, b""
    counts = [number[1] for number in numbers if number]
    steps = [b - a for a, b in zip([0, *counts], counts)]
    return kinds.pop(), b"".join(signed_varint(step) for step in steps)


def unpack_times(kind: int, n: int, cursor: Cursor) -> tuple[Time, ...]:
    """n times of a kind; the inverse of pack_times (kind not 0)."""
    count, times = 0, []
    for _ in range(n):
        count += cursor.signed()
        times.append(count if kind == EPOCH else _spell(count, kind))
    return tuple(times)


def series_kind(kind: int) -> bool:
    """True for the kinds a file header may use for its series."""
    return kind in _FORMS or kind == EPOCH
