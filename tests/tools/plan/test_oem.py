"""Ephemerides: read in all forms, interpolated, turned and searched like the SGP4 orbit that they were made from."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.downlink.budget import format_time, parse_time
from swathpack.tools.cli import main
from swathpack.tools.errors import UserError
from swathpack.tools.plan.ephemeris import interpolate, satellite_from_oem
from swathpack.tools.plan.inputs import read_plan
from swathpack.tools.plan.oem import AHEAD_OF_UTC_S, read_oem
from swathpack.tools.plan.passes import find_sightings
from swathpack.tools.plan.satellite import UNIX_EPOCH_JD
from tests.tools.plan.test_inputs import ELEMENTS
from tests.tools.plan.test_passes import station
from tests.tools.plan.test_passes_random import random_case

START = parse_time("2026-12-01T00:00:00Z")
TRUE = read_plan("s-band-cubesat").satellites[0]


def states(satellite=TRUE, days: float = 1.1, step_s: float = 60.0, begin: float = START - 600):
    """Times and (n, 6) TEME states of an SGP4 satellite."""
    times = begin + np.arange(0, days * 86400, step_s)
    days_in = times / 86400
    error, place, speed = satellite.record.sgp4_array(np.floor(days_in) + UNIX_EPOCH_JD, days_in % 1)
    assert not error.any()
    return times, np.column_stack([place, speed])


def meta(**changes: str) -> dict[str, str]:
    found = {"OBJECT_NAME": "Cube One", "OBJECT_ID": "2026-001A", "CENTER_NAME": "EARTH", "REF_FRAME": "TEME",
             "TIME_SYSTEM": "UTC", "START_TIME": "x", "STOP_TIME": "y",
             "INTERPOLATION": "HERMITE", "INTERPOLATION_DEGREE": "7"}  # fmt: skip
    found |= changes
    return {key: value for key, value in found.items() if value}


def stamp(time_s: float) -> str:
    return format_time(time_s).rstrip("Z")


def kvn(times, rows, head: dict[str, str]) -> str:
    head = head | {"START_TIME": stamp(times[0]), "STOP_TIME": stamp(times[-1])}
    lines = ["CCSDS_OEM_VERS = 2.0", "CREATION_DATE = 2026-11-30T00:00:00", "ORIGINATOR = TEST", "META_START"]
    lines += [f"{key} = {value}" for key, value in head.items()] + ["META_STOP", "COMMENT states"]
    lines += [f"{stamp(t)} " + " ".join(f"{value:.9f}" for value in row) for t, row in zip(times, rows)]
    return "\n".join(lines) + "\n"


KEYS = ("X", "Y", "Z", "X_DOT", "Y_DOT", "Z_DOT")


def xml(times, rows, head: dict[str, str]) -> str:
    head = head | {"START_TIME": stamp(times[0]), "STOP_TIME": stamp(times[-1])}
    leaves = "".join(f"<{key}>{value}</{key}>" for key, value in head.items())
    vectors = "".join(
        f"<stateVector><EPOCH>{stamp(t)}</EPOCH>"
        + "".join(f"<{key}>{value:.9f}</{key}>" for key, value in zip(KEYS, row))
        + "</stateVector>"
        for t, row in zip(times, rows)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><oem id="CCSDS_OEM_VERS" version="2.0"><header>'
        "<CREATION_DATE>2026-11-30T00:00:00</CREATION_DATE><ORIGINATOR>TEST</ORIGINATOR></header><body><segment>"
        f"<metadata>{leaves}</metadata><data>{vectors}</data></segment></body></oem>"
    )


def as_json(times, rows, head: dict[str, str]) -> str:
    vectors = [{"EPOCH": stamp(t), **dict(zip(KEYS, map(float, row)))} for t, row in zip(times, rows)]
    return json.dumps({"oem": {"body": {"segment": [{"metadata": head, "data": {"stateVector": vectors}}]}}})


@pytest.mark.parametrize("form", [kvn, xml, as_json])
def test_every_form_is_the_orbit_it_was_made_from(form) -> None:
    found = satellite_from_oem(form(*states(), meta()).encode(), "cube one")
    times = START + np.arange(0, 86400, 37.7)
    assert np.abs(found.positions_km(times) - TRUE.positions_km(times)).max() < 1e-3
    assert found.period_s() == pytest.approx(TRUE.period_s(), rel=0.005) and found.eccentricity() < 0.01
    for place in (station(69.7, 18.9), station(48.1, 11.6, 10.0)):
        expected = find_sightings(TRUE, place, START, START + 86400)
        actual = find_sightings(found, place, START, START + 86400)
        assert len(actual) == len(expected) > 3
        for one, other in zip(actual, expected):
            assert one.rise_s == pytest.approx(other.rise_s, abs=0.3)  # what Skyfield stops at
            assert one.set_s == pytest.approx(other.set_s, abs=0.3)  # what Skyfield stops at
            assert one.max_elevation_deg == pytest.approx(other.max_elevation_deg, abs=0.01)


def test_random_passes_of_ephemerides() -> None:
    """The search against Skyfield's on the same orbits, spans that begin or end in a pass included."""
    seen = 0
    for seed in range(40):
        satellite, place, begin, end = random_case(seed)
        rows = states(satellite, (end - begin + 1200) / 86400, 60.0, begin - 600)
        found = satellite_from_oem(kvn(*rows, meta()).encode(), "x")
        expected = [
            s
            for s in find_sightings(satellite, place, begin, end)
            if s.max_elevation_deg > place.min_elevation_deg + 0.01
        ]
        actual = [
            s for s in find_sightings(found, place, begin, end) if s.max_elevation_deg > place.min_elevation_deg + 0.01
        ]
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected):
            assert (one.rise_s, one.set_s) == pytest.approx((other.rise_s, other.set_s), abs=1.0, rel=0)
        seen += len(actual)
    assert seen > 40


@pytest.mark.parametrize("frame", ["ITRF2014", "WGS84", "EME2000", "GCRF", "ICRF"])
def test_frames(frame: str) -> None:
    """Skyfield turns SGP4's states; the planner's own way leaves out polar motion (some 15 m)."""
    from skyfield.api import EarthSatellite
    from skyfield.framelib import ICRS_to_J2000, itrs

    from swathpack.tools.plan.satellite import terrestrial_jd, timescale

    times, _ = states(days=0.2)
    moments = timescale().tt_jd(terrestrial_jd(times))
    at = EarthSatellite.from_satrec(TRUE.record, timescale()).at(moments)
    if frame in ("ITRF2014", "WGS84"):
        place, speed = (
            part.T for part in (at.frame_xyz_and_velocity(itrs)[0].km, at.frame_xyz_and_velocity(itrs)[1].km_per_s)
        )
    else:
        place, speed = at.position.km.T, at.velocity.km_per_s.T
        if frame == "EME2000":
            place, speed = place @ ICRS_to_J2000.T, speed @ ICRS_to_J2000.T
    found = satellite_from_oem(kvn(times, np.column_stack([place, speed]), meta(REF_FRAME=frame)).encode(), "x")
    inside = START + np.arange(0, 15000, 41.0)
    assert np.abs(found.positions_km(inside) - TRUE.positions_km(inside)).max() < 0.03
    assert found.period_s() == pytest.approx(TRUE.period_s(), rel=0.005)


@pytest.mark.parametrize("system", AHEAD_OF_UTC_S)
def test_time_systems(system: str) -> None:
    times, rows = states(days=0.1)
    text = kvn(times + AHEAD_OF_UTC_S[system], rows, meta(TIME_SYSTEM=system))
    inside = START + np.arange(0, 5000, 41.0)
    found = satellite_from_oem(text.encode(), "x")
    assert np.abs(found.positions_km(inside) - TRUE.positions_km(inside)).max() < 0.01


@pytest.mark.parametrize(("method", "degree", "error_km"), [("LAGRANGE", "7", 1e-3), ("LAGRANGE", "3", 1.0), ("LINEAR", "1", 6.0),
                                                            ("HERMITE", "3", 1e-3), ("", "", 1e-3)])  # fmt: skip
def test_methods(method: str, degree: str, error_km: float) -> None:
    times, rows = states(days=0.1)
    segment = read_oem(kvn(times, rows, meta(INTERPOLATION=method, INTERPOLATION_DEGREE=degree)).encode())[0]
    inside = START + np.arange(0, 5000, 7.3)
    days = inside / 86400
    truth = TRUE.record.sgp4_array(np.floor(days) + UNIX_EPOCH_JD, days % 1)[1]
    worst = float(np.abs(interpolate(segment, inside) - truth).max())
    assert worst < error_km and (method != "LINEAR" or worst > 1.0)


BAD = [
    ({"REF_FRAME": "MOD"}, "REF_FRAME: expected TEME, .* found MOD"),
    ({"CENTER_NAME": "MOON"}, "CENTER_NAME: expected EARTH, found MOON"),
    ({"TIME_SYSTEM": "UT1"}, "TIME_SYSTEM: expected UTC, .* found UT1"),
    ({"INTERPOLATION": "SPLINE"}, "INTERPOLATION: expected LINEAR, LAGRANGE, HERMITE, found SPLINE"),
    ({"INTERPOLATION_DEGREE": "99"}, "INTERPOLATION_DEGREE: expected 1 to 31, found 99"),
    ({"OBJECT_NAME": ""}, "OBJECT_NAME is missing"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
@pytest.mark.parametrize("form", [kvn, xml, as_json])
def test_what_cannot_be_used_is_named(write_plan, tmp_path: Path, form, changes: dict[str, str], message: str) -> None:
    (tmp_path / "a.oem").write_text(form(*states(days=0.01), meta(**changes)))
    with pytest.raises(UserError, match=f"oem_file: a.oem: {message}"):
        read_plan(write_plan((ELEMENTS, 'oem_file = "a.oem"')))


@pytest.mark.parametrize("text", ["", "hello", "{}", "[]", "<x/>", "<x", "CCSDS_OEM_VERS = 2.0\n",
                                  kvn(*states(days=0.01), meta()).replace(" 0", "", 1) + "2026-12-01T00:00:00 1 2 3\n"])  # fmt: skip
def test_what_is_no_ephemeris(write_plan, tmp_path: Path, text: str) -> None:
    (tmp_path / "a.oem").write_text(text)
    with pytest.raises(UserError, match="oem_file: a.oem: ") as caught:
        read_plan(write_plan((ELEMENTS, 'oem_file = "a.oem"')))
    assert "\n" not in str(caught.value)


def test_a_plan_from_an_ephemeris(write_plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same answer as from the elements; a plan that is longer than the ephemeris is refused by its end."""
    (tmp_path / "a.oem").write_text(kvn(*states(days=1.1), meta()))
    told = []
    for source in (ELEMENTS, 'oem_file = "a.oem"'):
        path = write_plan((ELEMENTS, source), ("days = 2", "days = 1"))
        assert main(["plan", str(path), "--no-files"]) == 0
        told.append(next(line for line in capsys.readouterr().out.splitlines() if "downlink, clear sky" in line))
    assert told[0] == told[1]
    assert main(["plan", str(write_plan((ELEMENTS, 'oem_file = "a.oem"'))), "--check"]) == 1
    assert "propagation failed: one: oem, TEME, 2026-11-30T23:50" in capsys.readouterr().err


def test_segments_are_not_bridged() -> None:
    times, rows = states(days=0.2)
    middle = len(times) // 2
    text = (
        kvn(times[:middle], rows[:middle], meta())
        + kvn(times[middle + 30 :], rows[middle + 30 :], meta()).split("TEST\n")[1]
    )
    found = satellite_from_oem(text.encode(), "x")
    assert len(found.segments) == 2
    found.positions_km(times[[5, middle + 40]])
    with pytest.raises(ArithmeticError, match="does not hold"):
        found.positions_km(times[[middle + 10]])
    usable = kvn(times, rows, meta(USEABLE_START_TIME=stamp(times[20]), USEABLE_STOP_TIME=stamp(times[60])))
    with pytest.raises(ArithmeticError, match="does not hold"):
        satellite_from_oem(usable.encode(), "x").positions_km(times[[5]])
    other = text.replace("Cube One", "Cube Two", 1)
    assert len(satellite_from_oem(other.encode(), "CUBE TWO").segments) == 1
    with pytest.raises(ValueError, match="expected one satellite, or one of the name 'x', found 2"):
        satellite_from_oem(other.encode(), "x")


@pytest.mark.parametrize("form", [kvn, xml])
def test_another_library_reads_the_same(form) -> None:
    """States and what lies between them, by `beyond`, which needs no tables of the Earth's rotation for that."""
    ccsds = pytest.importorskip("beyond.io.ccsds")
    from beyond.config import config
    from beyond.dates import Date

    config.update({"eop": {"missing_policy": "pass"}})
    times, rows = states(days=0.1)
    text = form(times, rows, meta(INTERPOLATION="LAGRANGE"))
    theirs, mine = ccsds.loads(text), read_oem(text.encode())[0]
    assert theirs.name == mine.name and str(theirs.frame) == mine.frame and len(theirs) == len(mine.time_s)
    for at, one in enumerate(theirs):
        assert abs(one.date.datetime.replace(tzinfo=timezone.utc).timestamp() - mine.time_s[at]) < 1e-5
        assert np.allclose(np.asarray(one) / 1000, mine.state[at], rtol=1e-13, atol=1e-12)
    for moment in START + np.arange(100.0, 4000.0, 333.3):
        date = datetime.fromtimestamp(float(moment), timezone.utc).replace(tzinfo=None)
        place = np.asarray(theirs.interpolate(Date(date)))[:3] / 1000
        assert np.abs(place - interpolate(mine, np.array([moment]))[0]).max() < 1e-5
