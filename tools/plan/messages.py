"""Orbit messages of CCSDS 502.0-B as they are found: any encoding, KVN, XML, JSON or CSV, times of both kinds."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any
from xml.etree import ElementTree

Fields = dict[str, Any]
_TIME = re.compile(
    r"(\d{4})-(?:(\d{3})|(\d{2})-(\d{2}))[T ](\d{2}):(\d{2})(?::(\d{2})(\.\d*)?)?(Z|[+-]\d{2}:?\d{2})?", re.ASCII
)


def decode(data: bytes) -> str:
    """Text of a file: UTF-8 or UTF-16 with or without a byte-order mark, else Latin-1."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    if b"\0" in data[:2]:  # no mark: element sets begin with an ASCII character, one of whose bytes is zero
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def ccsds_time_s(text: str) -> float:
    """Seconds since 1970 of an ASCII time code A or B (CCSDS 301.0-B): month and day, or day of the year.

    Without an offset it is UTC. A leap second counts as the first of the next minute. Raises ValueError.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a time such as 2026-11-30T12:00:00.000 or 2026-334T12:00:00, found {text!r}")
    year, day_of_year, month, day, hour, minute, second, fraction, offset = match.groups()
    if day_of_year:
        moment = datetime(int(year), 1, 1, tzinfo=timezone.utc) + timedelta(days=int(day_of_year) - 1)
        if not moment.year == int(year):
            raise ValueError(f"expected a day of the year {year}, found {day_of_year}")
    else:
        moment = datetime(int(year), int(month), int(day), tzinfo=timezone.utc)
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:
        raise ValueError(f"expected a time of day, found {text!r}")
    seconds = int(hour) * 3600 + int(minute) * 60 + int(second or 0) + float(fraction or 0) - _offset_s(offset)
    return moment.timestamp() + seconds


def _offset_s(text: str | None) -> int:
    if text in (None, "Z"):
        return 0
    assert text is not None
    sign = -1 if text[0] == "-" else 1
    return sign * (int(text[1:3]) * 3600 + int(text[-2:]) * 60)


def read_messages(data: bytes) -> list[Fields]:
    """The flat fields of every OMM of a file, by its content and not by its name. Raises ValueError."""
    text = decode(data).strip()
    if text.startswith("<"):
        return _from_xml(data)
    if text.startswith(("{", "[")):
        return _from_json(json.loads(text))
    if "CCSDS_OMM_VERS" in text:
        return _from_kvn(text)
    rows = [dict(row) for row in csv.DictReader(io.StringIO(text))]
    if not rows or "EPOCH" not in rows[0]:
        raise ValueError("expected KVN, XML, JSON, or CSV with a column EPOCH")
    return rows


def _from_kvn(text: str) -> list[Fields]:
    found: list[Fields] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("COMMENT"):
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            raise ValueError(f"line {number}: expected KEY = value, found {line!r}")
        if key == "CCSDS_OMM_VERS":
            found.append({})
        if not found or key in found[-1]:
            raise ValueError(f"line {number}: {key} {'twice' if found else 'before CCSDS_OMM_VERS'}")
        found[-1][key] = re.sub(r"\s*\[[^]]*\]$", "", value)
    return found


def _from_xml(data: bytes) -> list[Fields]:
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise ValueError(f"no XML: {error}") from None

    def name(element: ElementTree.Element) -> str:
        return element.tag.rpartition("}")[2]

    segments = [element for element in root.iter() if name(element) == "segment"]
    return [{name(leaf): (leaf.text or "").strip() for leaf in segment.iter() if not len(leaf)} for segment in segments]


def _from_json(document: Any) -> list[Fields]:
    """Flat objects as catalogues give them, or the nesting of the XML schema."""
    if isinstance(document, list):
        return [fields for item in document for fields in _from_json(item)]
    if not isinstance(document, dict):
        raise ValueError(f"expected objects, found {document!r}")
    flat = _leaves(document)
    if "EPOCH" in flat:
        return [flat]
    return [fields for value in document.values() if isinstance(value, (dict, list)) for fields in _from_json(value)]


def _leaves(document: Fields) -> Fields:
    found: Fields = {}
    for key, value in document.items():
        found |= _leaves(value) if isinstance(value, dict) else {} if isinstance(value, list) else {key: value}
    return found
