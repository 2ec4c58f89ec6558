"""Orbit Mean-Elements Messages (CCSDS 502.0-B) to SGP4's record; what is not SGP4 in TEME and UTC is refused."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from swathpack.tools.plan.candidates import Candidate
from swathpack.tools.plan.messages import ccsds_time_s, read_messages

if TYPE_CHECKING:
    from sgp4.api import Satrec

# What the elements must be for SGP4, where the message says it. The book's own example writes SGP/SGP4.
_MUST = {
    "MEAN_ELEMENT_THEORY": ("SGP4", "SDP4", "SGP/SGP4", "SGP4/SDP4"),
    "REF_FRAME": ("TEME",),
    "TIME_SYSTEM": ("UTC",),
    "CENTER_NAME": ("EARTH",),
    "EPHEMERIS_TYPE": ("0", "2"),
}
_DEFAULTS = {
    "CLASSIFICATION_TYPE": "U",
    "OBJECT_ID": "2000-001A",
    "ELEMENT_SET_NO": 0,
    "EPHEMERIS_TYPE": 0,
    "REV_AT_EPOCH": 0,
    "MEAN_MOTION_DOT": 0.0,
    "MEAN_MOTION_DDOT": 0.0,
    "BSTAR": 0.0,
}


def read_omm(fields: Any) -> Satrec:
    """The record of one message's fields. Raises ValueError that names the key, what was expected and found."""
    from sgp4 import omm
    from sgp4.api import Satrec

    given = _filled(fields)
    for key, allowed in _MUST.items():
        if key in given and str(given[key]).strip().upper() not in allowed:
            raise ValueError(f"{key}: expected {' or '.join(allowed)}, found {given[key]}")
    record = Satrec()
    try:
        # sgp4 wants month, day and a fraction; the number plays no part, and Alpha-5 would limit it.
        epoch = datetime.fromtimestamp(ccsds_time_s(str(given["EPOCH"])), timezone.utc)
        own = {"EPOCH": epoch.strftime("%Y-%m-%dT%H:%M:%S.%f"), "NORAD_CAT_ID": 0, "EPHEMERIS_TYPE": 0}
        omm.initialize(record, {**_DEFAULTS, **given, **own})
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is missing") from None
    return record


def candidates(data: bytes) -> list[Candidate]:
    """Every message of a file. Raises ValueError."""
    return [candidate(_filled(fields)) for fields in read_messages(data)]


def candidate(fields: Any) -> Candidate:
    """One message. Raises ValueError for a bad epoch or number."""
    fields = _filled(fields)
    if "EPOCH" not in fields:
        raise ValueError("EPOCH is missing")
    return Candidate(
        str(fields.get("OBJECT_NAME", "")),
        int(fields.get("NORAD_CAT_ID", 0)),
        ccsds_time_s(str(fields["EPOCH"])),
        lambda: read_omm(fields),
    )


def _filled(fields: Any) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise ValueError(f"expected a table of keys and values, found {fields!r}")
    return {key: value for key, value in fields.items() if value not in ("", None)}
