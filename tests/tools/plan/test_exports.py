"""What the planner writes for other programs, each read again by a reader that is not ours."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.downlink.budget import parse_time
from swathpack.tools.cli import main
from swathpack.tools.commands.plan import EXPORTS
from swathpack.tools.plan import exports
from swathpack.tools.plan.messages import ccsds_time_s
from swathpack.tools.plan.radio import BANDS

CCSDS = "{urn:ccsds:schema:cssm:1.0.0}"
MORE = ("expectedBytes", "maximumElevationDeg")  # in JSON alone: the format has no place for them
HOSTILE = 'Süd, "1"; <a>\\b & c#d.e'


@pytest.fixture(scope="module")
def hostile(small_outcome):
    """The small plan with a satellite and a station whose names need care in every format."""
    contacts = tuple(
        replace(c, satellite=replace(c.satellite, name=HOSTILE), station=replace(c.station, name=HOSTILE + " station"))
        for c in small_outcome.schedule.contacts
    )
    plan = small_outcome.plan
    plan = replace(
        plan,
        satellites=(replace(plan.satellites[0], name=HOSTILE),),
        stations=(replace(plan.stations[0], name=HOSTILE + " station"),),
    )
    return replace(small_outcome, plan=plan, schedule=replace(small_outcome.schedule, contacts=contacts))


def test_formats_are_those_of_the_command() -> None:
    assert tuple(exports.FORMATS) == EXPORTS


def test_the_command_writes_them(write_plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["plan", str(write_plan()), "--days", "1", "--out", str(out), "--export", *EXPORTS]) == 0
    told = capsys.readouterr().out
    for name, _ in exports.FORMATS.values():
        assert (out / name).stat().st_size > 500 and f"wrote {out / name}" in told
    with pytest.raises(SystemExit):
        main(["plan", "s-band-cubesat", "--export", "pdf"])


@pytest.mark.parametrize("which", ["small_outcome", "hostile"])
def test_icalendar_reads_the_calendar(which: str, request: pytest.FixtureRequest) -> None:
    icalendar = pytest.importorskip("icalendar")
    outcome = request.getfixturevalue(which)
    text = exports.calendar(outcome)
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n")) and "\n" not in text.replace("\r\n", "")
    events = icalendar.Calendar.from_ical(text).walk("VEVENT")
    assert len(events) == len(outcome.schedule.contacts) > 5
    assert len({str(event["UID"]) for event in events}) == len(events)
    for event, contact in zip(events, outcome.schedule.contacts):
        start, end = (event.decoded(key).timestamp() for key in ("DTSTART", "DTEND"))
        assert contact.start_s - 1 < start <= contact.start_s and contact.end_s <= end < contact.end_s + 1
        assert str(event["SUMMARY"]) == f"{contact.satellite.name} over {contact.station.name}"
        assert str(event["LOCATION"]) == contact.station.name
        assert event["GEO"].latitude == pytest.approx(contact.station.latitude_deg)
        assert event.decoded("DTSTART").utcoffset() == timedelta(0)


@pytest.mark.parametrize("which", ["small_outcome", "hostile"])
def test_the_globe_holds_what_was_planned(which: str, request: pytest.FixtureRequest) -> None:
    outcome = request.getfixturevalue(which)
    plan = outcome.plan
    packets = {packet["id"]: packet for packet in json.loads(exports.czml(outcome))}
    assert list(packets)[0] == "document" and packets["document"]["version"] == "1.0"
    for satellite in plan.satellites:
        rows = np.array(packets[f"satellite/{satellite.name}"]["position"]["cartesian"]).reshape(-1, 4)
        assert rows[0, 0] == 0 and rows[-1, 0] == plan.end_s - plan.start_s
        truth = satellite.positions_km(plan.start_s + rows[:, 0]) * 1000
        assert np.abs(rows[:, 1:] - truth).max() < 0.01
    shown = []
    for key, packet in packets.items():
        if key.startswith("contact/"):
            first, *intervals = packet["polyline"]["show"]
            assert first["boolean"] is False and all(one["boolean"] for one in intervals)
            shown += [tuple(map(parse_time, one["interval"].split("/"))) for one in intervals]
            for reference in packet["polyline"]["positions"]["references"]:
                name, _, attribute = reference.rpartition("#")
                assert attribute == "position"
                assert name.replace("\\#", "#").replace("\\.", ".").replace("\\\\", "\\") in packets
    assert sorted(shown) == [(c.start_s, c.end_s) for c in outcome.schedule.contacts]


def test_czml3_takes_every_packet(small_outcome) -> None:
    """Each property built again by a CZML library of its own, which knows names, types and values, and written back."""
    czml3 = pytest.importorskip("czml3")
    kinds = {"position": czml3.Position, "point": czml3.Point, "label": czml3.Label, "path": czml3.Path,
             "polyline": czml3.Polyline, "clock": czml3.Clock}  # fmt: skip
    seen = set()
    for packet in json.loads(exports.czml(small_outcome)):
        values = {key: kinds[key](**value) if key in kinds else value for key, value in packet.items()}
        availability = values.pop("availability", None)
        if availability:
            start, end = availability.split("/")
            values["availability"] = czml3.TimeInterval(start=start, end=end)
        again = json.loads(czml3.Packet(**values).dumps())
        assert again["id"] == packet["id"] and again.keys() == packet.keys()
        if "position" in packet:
            assert again["position"].get("cartesian") == packet["position"].get("cartesian")
        seen |= packet.keys()
    assert set(kinds) <= seen


@pytest.mark.parametrize("which", ["small_outcome", "hostile"])
def test_the_schedule_in_both_forms(which: str, request: pytest.FixtureRequest) -> None:
    outcome = request.getfixturevalue(which)
    root = ElementTree.fromstring(exports.schedule_xml(outcome))
    document = json.loads(exports.schedule_json(outcome))["simpleSchedule"]
    assert root.find(f"{CCSDS}simpleScheduleHeader").attrib == document["simpleScheduleHeader"]
    (package,) = document["scheduledPackage"]
    assert package["user"] == outcome.plan.satellites[0].name == root.find(f"{CCSDS}scheduledPackage").get("user")
    elements = root.findall(f".//{CCSDS}scheduledActivity")
    assert len(elements) == len(package["scheduledActivity"]) == len(outcome.schedule.contacts)
    for element, row, contact in zip(elements, package["scheduledActivity"], outcome.schedule.contacts):
        told = {key: value for key, value in row.items() if key not in ("serviceInfo", *MORE)}
        assert element.attrib == told and [child.attrib for child in element] == row["serviceInfo"]
        assert row["serviceInfo"] == [{"serviceType": "TELEMETRY", "frequencyBand": "S-NE"}]
        assert ccsds_time_s(row["beginningOfTrack"]) == contact.start_s
        assert ccsds_time_s(row["endOfTrack"]) == ccsds_time_s(row["endOfActivity"]) == contact.end_s
        assert ccsds_time_s(row["beginningOfActivity"]) == pytest.approx(
            contact.start_s - contact.station.setup_s, abs=1e-6
        )
        # Day of the year, as the standard library reads it.
        theirs = datetime.strptime(row["beginningOfTrack"], "%Y-%jT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
        assert theirs.timestamp() == contact.start_s
        assert row["apertureRef"] == contact.station.name and row["expectedBytes"] == contact.bytes


@pytest.mark.parametrize("which", ["small_outcome", "hostile", "no passes"])
def test_the_schedule_is_of_the_published_structure(which: str, request: pytest.FixtureRequest) -> None:
    """By lxml and a schema of our own (simple_schedule.xsd tells why); it must refuse what is not so, too."""
    etree = pytest.importorskip("lxml.etree")
    outcome = request.getfixturevalue(which if which != "no passes" else "small_outcome")
    if which == "no passes":
        outcome = replace(outcome, schedule=replace(outcome.schedule, contacts=()))
    schema = etree.XMLSchema(etree.parse(Path(__file__).with_name("simple_schedule.xsd")))
    document = etree.fromstring(exports.schedule_xml(outcome).encode())
    schema.assertValid(document)
    for damage in ("attribute", "time", "order", "status", "foreign", "twice"):
        broken = etree.fromstring(exports.schedule_xml(outcome).encode())
        activities = broken.findall(f".//{CCSDS}scheduledActivity")
        if damage == "attribute":
            del broken[0].attrib["generationTime"]
        elif damage == "time":
            broken[0].set("startTime", "2026-12-01T00:00:00Z")
        elif damage == "order":
            broken.append(broken[0])
        elif damage == "status":
            broken[0].set("status", "PLANNED")
        elif damage == "foreign":
            etree.SubElement(broken[1], f"{CCSDS}expectedBytes")
        elif activities:
            activities[0].set("scheduledActivityId", activities[1].get("scheduledActivityId"))
        else:
            continue
        assert not schema.validate(broken), damage


def test_every_band_has_the_formats_name() -> None:
    assert set(exports.FREQUENCY_BANDS) == set(BANDS)


def test_a_plan_without_passes(small_outcome) -> None:
    empty = replace(small_outcome, schedule=replace(small_outcome.schedule, contacts=()))
    assert "VEVENT" not in exports.calendar(empty) and "contact/" not in exports.czml(empty)
    assert f"{CCSDS}scheduledActivity" not in [
        e.tag for e in ElementTree.fromstring(exports.schedule_xml(empty)).iter()
    ]
