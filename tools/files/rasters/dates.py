"""Acquisition dates: found in names and tags, and put in order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Literal

import numpy as np

_DAY = r"(?:19|20)\d\d-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])"
_NAMED = re.compile(rf"(?<!\d){_DAY}(?:T\d{{4,6}})?(?!\d)")
# Year and day of the year, as in `HLS.L30.T32TQM.2023001T101411.v2.0`.
_ORDINAL = re.compile(r"(?<!\d)((?:19|20)\d\d)(00[1-9]|0[1-9]\d|[12]\d\d|3[0-5]\d|36[0-6])(T\d{4,6})?(?!\d)")
_ISO = re.compile(
    r"(\d{4}(?:-\d\d(?:-\d\d(?:[T ]\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)?)?)?)(?:Z|([+-])(\d\d):?(\d\d))?", re.ASCII
)
_TIFF = "%Y:%m:%d %H:%M:%S"
_FORMS = ("%Y-%m-%d", "%Y%m%d", "%Y-%m-%dT%H:%M", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M", _TIFF)


def date_in(name: str) -> str | None:
    """The first date in a file's name as it stands there; day-of-year dates as YYYY-MM-DD."""
    found, ordinal = _NAMED.search(name), _ORDINAL.search(name)
    if found and not (ordinal and ordinal.start() < found.start()):
        return found.group(0)
    if ordinal is None:
        return None
    day = datetime(int(ordinal.group(1)), 1, 1) + timedelta(days=int(ordinal.group(2)) - 1)
    return day.strftime("%Y-%m-%d")


def moment_of(time: str | None) -> datetime | None:
    """The moment a date's text means, UTC where no zone is given; None for other texts."""
    text = (time or "").strip()
    for form in _FORMS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=timezone.utc)
        except ValueError:
            continue
    try:
        # Python 3.10 reads neither a Z nor more than six digits of a second.
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00")))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def numpy_moment(text: str, unit: Literal["s", "ms", "ns"]) -> np.datetime64 | None:
    """ISO 8601 as numpy.datetime64 of a unit, in UTC; None for other texts (numpy by itself reads `now` and `today` as such,
    and any number as a year), and for moments that the unit cannot hold.
    """
    parts = _ISO.fullmatch(text)
    if parts is None:
        return None
    sign, hours, minutes = parts.group(2) or "+", int(parts.group(3) or 0), int(parts.group(4) or 0)
    ahead = np.timedelta64((60 * hours + minutes) * (-1 if sign == "-" else 1), "m")
    try:
        exact, found = np.datetime64(parts.group(1), "s"), np.datetime64(parts.group(1), unit)
    except (ValueError, OverflowError):
        return None
    return found - ahead if found.astype("M8[s]") == exact else None


def in_order(times: Sequence[str | None]) -> list[int] | None:
    """Indexes of the times in order, equal ones as they come; None where they already are or one is unknown."""
    moments = [moment_of(t) for t in times]
    known = [m for m in moments if m is not None]
    if len(known) < len(moments):
        return None
    order = sorted(range(len(known)), key=lambda i: known[i])
    return None if order == list(range(len(order))) else order
