"""Orbit Ephemeris Messages (CCSDS 502.0-B, section 5) from KVN, XML, or JSON nested as the XML."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from swathpack.tools.plan.messages import ccsds_time_s, decode

Array = NDArray[np.float64]

# Seconds that a time system is ahead of UTC since 2017 (no leap second is announced); TDB is within 2 ms of TT.
AHEAD_OF_UTC_S = {"UTC": 0.0, "TAI": 37.0, "TT": 69.184, "TDB": 69.184, "GPS": 18.0}
INERTIAL = ("TEME", "EME2000", "J2000", "GCRF", "ICRF")
FIXED = re.compile(r"ITRF.*|WGS84|ECEF|GRC")
METHODS = {"LINEAR": 1, "LAGRANGE": 7, "HERMITE": 7}  # and the degree where the message gives none
MAX_DEGREE = 31
KEYS = ("X", "Y", "Z", "X_DOT", "Y_DOT", "Z_DOT")


@dataclass(frozen=True, eq=False)
class Segment:
    """States of one stretch: time_s (n,) since 1970 UTC, rising; state (n, 6) km and km/s in `frame`.

    usable_s: from and to when it may be used. method, degree: how it is interpolated.
    """

    name: str
    identity: str
    frame: str
    method: str
    degree: int
    time_s: Array
    state: Array
    usable_s: tuple[float, float]


def read_oem(data: bytes) -> list[Segment]:
    """Every segment of a file, by its content. Raises ValueError that names the key, what was expected and found."""
    text = decode(data).strip()
    if text.startswith("<"):
        raw = _from_xml(data)
    elif text.startswith(("{", "[")):
        raw = _from_json(json.loads(text))
    elif "CCSDS_OEM_VERS" in text:
        raw = _from_kvn(text)
    else:
        raise ValueError("expected an OEM as KVN, XML or JSON")
    if not raw:
        raise ValueError("expected at least one segment with META and states, found none")
    return [_segment(meta, rows) for meta, rows in raw]


Raw = tuple[dict[str, str], list[tuple[str, list[float]]]]


def _segment(meta: dict[str, str], rows: list[tuple[str, list[float]]]) -> Segment:
    center, frame = _get(meta, "CENTER_NAME"), _get(meta, "REF_FRAME").upper()
    if center.upper() != "EARTH":
        raise ValueError(f"CENTER_NAME: expected EARTH, found {center}")
    if frame not in INERTIAL and not FIXED.fullmatch(frame):
        raise ValueError(f"REF_FRAME: expected {', '.join(INERTIAL)} or an ITRF, found {frame}")
    system = _get(meta, "TIME_SYSTEM").upper()
    if system not in AHEAD_OF_UTC_S:
        raise ValueError(f"TIME_SYSTEM: expected {', '.join(AHEAD_OF_UTC_S)}, found {system}")
    ahead = AHEAD_OF_UTC_S[system]
    times = np.array([ccsds_time_s(text) for text, _ in rows]) - ahead
    if len(times) < 2 or not (np.diff(times) > 0).all():
        raise ValueError(f"expected two states or more in rising order of time, found {len(times)}")
    ends = {
        key: ccsds_time_s(meta[key]) - ahead if meta.get(key) else float(times[at])
        for key, at in (("USEABLE_START_TIME", 0), ("USEABLE_STOP_TIME", -1))
    }
    usable = (max(ends["USEABLE_START_TIME"], float(times[0])), min(ends["USEABLE_STOP_TIME"], float(times[-1])))
    state = np.array([row for _, row in rows])
    return Segment(_get(meta, "OBJECT_NAME"), meta.get("OBJECT_ID", ""), frame, *_method(meta), times, state, usable)


def _method(meta: dict[str, str]) -> tuple[str, int]:
    method = meta.get("INTERPOLATION", "HERMITE").upper()
    if method not in METHODS:
        raise ValueError(f"INTERPOLATION: expected {', '.join(METHODS)}, found {method}")
    degree = int(meta.get("INTERPOLATION_DEGREE") or METHODS[method])
    if not 1 <= degree <= MAX_DEGREE:
        raise ValueError(f"INTERPOLATION_DEGREE: expected 1 to {MAX_DEGREE}, found {degree}")
    return method, degree


def _get(meta: dict[str, str], key: str) -> str:
    if not meta.get(key):
        raise ValueError(f"{key} is missing")
    return str(meta[key])


def _from_kvn(text: str) -> list[Raw]:
    """Between META_START and META_STOP keys, behind it states until the next; covariances are left out."""
    found: list[Raw] = []
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("COMMENT"):
            continue
        if line in ("META_START", "META_STOP", "COVARIANCE_START", "COVARIANCE_STOP"):
            inside = line.removesuffix("_START") if line.endswith("_START") else ""
            if line == "META_START":
                found.append(({}, []))
        elif inside == "META":
            key, _, value = (part.strip() for part in line.partition("="))
            found[-1][0][key] = value
        elif not inside and found:
            words = line.split()
            if len(words) not in (7, 10):
                raise ValueError(f"line {number}: expected a time and six or nine numbers, found {line[:60]!r}")
            found[-1][1].append((words[0], [float(word) for word in words[1:7]]))
    return found


def _from_xml(data: bytes) -> list[Raw]:
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise ValueError(f"no XML: {error}") from None

    def all_of(place: ElementTree.Element, name: str) -> list[ElementTree.Element]:
        return [element for element in place.iter() if element.tag.rpartition("}")[2] == name]

    def leaves(place: ElementTree.Element) -> dict[str, str]:
        return {leaf.tag.rpartition("}")[2]: (leaf.text or "").strip() for leaf in place.iter() if not len(leaf)}

    return [
        (leaves(all_of(segment, "metadata")[0]), [_row(leaves(one)) for one in all_of(segment, "stateVector")])
        for segment in all_of(root, "segment")
        if all_of(segment, "metadata")
    ]


def _from_json(document: Any) -> list[Raw]:
    if isinstance(document, list):
        return [raw for item in document for raw in _from_json(item)]
    if not isinstance(document, dict):
        return []
    meta, data = document.get("metadata"), document.get("data")
    if isinstance(meta, dict) and isinstance(data, dict):
        return [({key: str(value) for key, value in meta.items()}, [_row(one) for one in data.get("stateVector", [])])]
    return [raw for value in document.values() for raw in _from_json(value)]


def _row(fields: dict[str, Any]) -> tuple[str, list[float]]:
    missing = [key for key in ("EPOCH", *KEYS) if key not in fields]
    if missing:
        raise ValueError(f"stateVector: {', '.join(missing)} missing")
    return str(fields["EPOCH"]), [float(fields[key]) for key in KEYS]
