"""The schedule for other programs: calendar (iCalendar), globe (CZML), and a ground network's schedule (JSON, XML).

The schedule is a CCSDS Simple Schedule (902.1-B-1): a header, packages of a user, activities on an aperture with times of
activity and track by day of the year, and the service that they are for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from swathpack.edge.downlink.budget import format_time, whole_ms
from swathpack.tools.pages.svg import COLOURS
from swathpack.tools.plan.model import Outcome
from swathpack.tools.plan.passes import Contact

TRACK_STEP_S = 60.0
INTERPOLATION_DEGREE = 7  # of the track between its samples: within a few metres at 60 s
LINE_OCTETS = 75  # RFC 5545, section 3.1
SCHEMA = "swathpack-schedule-2"
ROOT_ATTRIBUTES = {"xmlns": "urn:ccsds:schema:cssm:1.0.0", "srvMgtEntityType": "SIMPLE_SCHEDULE"}
FREQUENCY_BANDS = {"UHF": "UHF", "S": "S-NE", "X": "X-NE", "Ka": "Ka-NE"}  # our names, the format's near Earth


def calendar(outcome: Outcome) -> str:
    """iCalendar (RFC 5545): one event for each pass, to the second outward."""
    plan = outcome.plan
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//SwathPack//plan//EN", f"X-WR-CALNAME:{_escaped(plan.name)}"]
    for contact in outcome.schedule.contacts:
        station, satellite = contact.station, contact.satellite.name
        told = (
            f"{contact.bytes / 1e6:,.1f} MB in clear sky, {contact.sighting.max_elevation_deg:.1f} degrees at most, "
            f"pass {contact.number}"
        )
        lines += [
            "BEGIN:VEVENT",
            f"UID:{_escaped(f'{plan.name}-{satellite}-{contact.number}-{contact.start_s:.3f}@swathpack')}",
            f"DTSTAMP:{_stamp(math.floor(plan.start_s))}",
            f"DTSTART:{_stamp(math.floor(contact.start_s))}",
            f"DTEND:{_stamp(math.ceil(contact.end_s))}",
            f"SUMMARY:{_escaped(f'{satellite} over {station.name}')}",
            f"DESCRIPTION:{_escaped(told)}",
            f"LOCATION:{_escaped(station.name)}",
            f"GEO:{station.latitude_deg:.6f};{(station.longitude_deg + 180) % 360 - 180:.6f}",
            "END:VEVENT",
        ]
    return "".join(_folded(line) for line in [*lines, "END:VCALENDAR"])


def _stamp(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def _escaped(value: str) -> str:
    for character, written in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\n", "\\n")):
        value = value.replace(character, written)
    return "".join(c for c in value if ord(c) >= 32)


def _folded(line: str) -> str:
    """At most 75 octets a line, never within a character; a continuation begins with a space."""
    parts, size = [""], 0
    for character in line:
        octets = len(character.encode())
        if size + octets > LINE_OCTETS:
            parts.append("")
            size = 1
        parts[-1] += character
        size += octets
    return "\r\n ".join(parts) + "\r\n"


def czml(outcome: Outcome) -> str:
    """CZML for Cesium: satellites on their tracks, stations, and a line between the two while they talk."""
    plan = outcome.plan
    span = f"{format_time(plan.start_s)}/{format_time(plan.end_s)}"
    clock = {"interval": span, "currentTime": format_time(plan.start_s), "multiplier": 60}
    packets: list[dict[str, Any]] = [{"id": "document", "name": plan.name, "version": "1.0", "clock": clock}]
    colours = {s.name: _rgba(COLOURS[at % len(COLOURS)]) for at, s in enumerate(plan.satellites)}
    for satellite in plan.satellites:
        count = max(2, math.ceil((plan.end_s - plan.start_s) / TRACK_STEP_S) + 1)
        times = np.linspace(plan.start_s, plan.end_s, count)
        rows = np.column_stack([times - plan.start_s, satellite.positions_km(times) * 1000]).round(3)
        packets.append(
            {
                "id": f"satellite/{satellite.name}",
                "name": satellite.name,
                "availability": span,
                "position": {
                    "epoch": format_time(plan.start_s),
                    "referenceFrame": "FIXED",
                    "interpolationAlgorithm": "LAGRANGE",
                    "interpolationDegree": INTERPOLATION_DEGREE,
                    "cartesian": rows.ravel().tolist(),
                },
                "point": {"pixelSize": 8, "color": colours[satellite.name]},
                "label": {"text": satellite.name, "font": "12px sans-serif"},
                "path": {
                    "leadTime": satellite.period_s() / 2,
                    "trailTime": satellite.period_s() / 2,
                    "width": 1,
                    "material": {"solidColor": {"color": colours[satellite.name]}},
                },
            }
        )
    for station in plan.stations:
        place = [station.longitude_deg, station.latitude_deg, station.height_m]
        packets.append(
            {
                "id": f"station/{station.name}",
                "name": station.name,
                "position": {"cartographicDegrees": place},
                "point": {"pixelSize": 8, "color": _rgba("#111111")},
                "label": {"text": station.name, "font": "12px sans-serif"},
            }
        )
    return json.dumps(packets + _links(outcome, span, colours), indent=1) + "\n"


def _links(outcome: Outcome, span: str, colours: dict[str, dict[str, list[int]]]) -> list[dict[str, Any]]:
    """A line for each pair that has a contact, shown while it lasts."""
    pairs: dict[tuple[str, str], list[str]] = {}
    for contact in outcome.schedule.contacts:
        key = (contact.satellite.name, contact.station.name)
        pairs.setdefault(key, []).append(f"{format_time(contact.start_s)}/{format_time(contact.end_s)}")
    return [
        {
            "id": f"contact/{satellite}/{station}",
            "name": f"{satellite} over {station}",
            "availability": span,
            "polyline": {
                "show": [
                    {"interval": span, "boolean": False},
                    *({"interval": one, "boolean": True} for one in intervals),
                ],
                "positions": {
                    "references": [f"satellite/{_ref(satellite)}#position", f"station/{_ref(station)}#position"]
                },
                "width": 2,
                "arcType": "NONE",
                "material": {"solidColor": {"color": colours[satellite]}},
            },
        }
        for (satellite, station), intervals in pairs.items()
    ]


def _ref(name: str) -> str:
    """In a reference `#` and `.` part a name from its property."""
    return name.replace("\\", "\\\\").replace("#", "\\#").replace(".", "\\.")


def _rgba(colour: str) -> dict[str, list[int]]:
    return {"rgba": [*(int(colour[at : at + 2], 16) for at in (1, 3, 5)), 255]}


def schedule_rows(outcome: Outcome) -> dict[str, Any]:
    """The schedule as nested values with the names of the format: header, packages of a user, their activities."""
    plan = outcome.plan
    return {
        "simpleScheduleHeader": {
            "originatingOrganization": "SwathPack",
            "generationTime": day_time(plan.start_s),  # dated by the plan, so that the same plan gives the same file
            "status": "PROVISIONAL",
            "inclusionType": "START_INCLUSION",
            "version": "1",
            "startTime": day_time(plan.start_s),
            "endTime": day_time(plan.end_s),
        },
        "scheduledPackage": [
            {
                "user": satellite.name,
                "comment": plan.name,
                "scheduledPackageId": f"{plan.name}-{satellite.name}",
                "scheduledActivity": [
                    _activity(c, FREQUENCY_BANDS[plan.radio.band])
                    for c in outcome.schedule.contacts
                    if c.satellite.name == satellite.name
                ],
            }
            for satellite in plan.satellites
        ],
    }


def _activity(contact: Contact, band: str) -> dict[str, Any]:
    """Setup is part of the activity and not of the track. A plan has agreed on nothing with anybody: it is tentative."""
    return {
        "scheduledActivityId": f"{contact.satellite.name}-{contact.number}",
        "activityStatus": "TENTATIVE",
        "siteRef": contact.station.name,
        "apertureRef": contact.station.name,
        "beginningOfTrack": day_time(contact.start_s),
        "endOfTrack": day_time(contact.end_s),
        "beginningOfActivity": day_time(whole_ms(contact.start_s - contact.station.setup_s)),
        "endOfActivity": day_time(contact.end_s),
        "serviceInfo": [{"serviceType": "TELEMETRY", "frequencyBand": band}],
    }


def day_time(time_s: float) -> str:
    """ASCII time code B (CCSDS 301.0-B): year and day of the year, to the millisecond."""
    moment = datetime.fromtimestamp(whole_ms(time_s), timezone.utc)
    return moment.strftime("%Y-%jT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def schedule_json(outcome: Outcome) -> str:
    """`schedule_rows`, and what the format has no place for: bytes that are expected, greatest elevation."""
    rows = schedule_rows(outcome)
    for satellite, package in zip(outcome.plan.satellites, rows["scheduledPackage"]):
        own = [c for c in outcome.schedule.contacts if c.satellite.name == satellite.name]
        for contact, activity in zip(own, package["scheduledActivity"]):
            activity["expectedBytes"] = contact.bytes
            activity["maximumElevationDeg"] = round(contact.sighting.max_elevation_deg, 2)
    return json.dumps({"schema": SCHEMA, "simpleSchedule": rows}, indent=1, ensure_ascii=False) + "\n"


def schedule_xml(outcome: Outcome) -> str:
    """`schedule_rows` as XML: lists are elements, all else attributes."""
    root = ElementTree.Element("simpleSchedule", ROOT_ATTRIBUTES)
    _fill(root, schedule_rows(outcome))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _fill(element: ElementTree.Element, values: dict[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, (list, dict)):
            for one in value if isinstance(value, list) else [value]:
                _fill(ElementTree.SubElement(element, key), one)
        else:
            element.set(key, "".join(c for c in str(value) if c.isprintable()))


# Name of a format on the command line -> file and what writes it.
FORMATS: dict[str, tuple[str, Callable[[Outcome], str]]] = {
    "ics": ("passes.ics", calendar),
    "czml": ("orbit.czml", czml),
    "json": ("schedule.json", schedule_json),
    "xml": ("schedule.xml", schedule_xml),
}


def write(outcome: Outcome, folder: Path, formats: list[str]) -> list[Path]:
    """The files of these formats; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in dict.fromkeys(formats):
        file, made = FORMATS[name]
        paths.append(folder / file)
        # Line ends as the format has them, on every system.
        paths[-1].write_bytes(made(outcome).encode())
    return paths
