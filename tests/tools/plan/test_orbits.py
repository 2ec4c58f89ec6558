"""Orbits that are not what they say: refused by name, or read as the standard has them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from swathpack.tools.cli import main
from swathpack.tools.errors import UserError
from swathpack.tools.plan.inputs import read_plan

ELEMENTS = "elements = { altitude_km = 510, sun_synchronous = true, ltan_hours = 22.5 }"
START = ('start = "2026-12-01T00:00:00Z"', 'start = "2019-12-10T00:00:00Z"')
LINES = (
    "1 25544U 98067A   19343.69339541  .00001764  00000-0  38792-4 0  9991",
    "2 25544  51.6439 211.2001 0007417  17.6667  85.6398 15.50103472202482",
)
OMM = {
    "OBJECT_NAME": "ISS (ZARYA)",
    "OBJECT_ID": "1998-067A",
    "CENTER_NAME": "EARTH",
    "REF_FRAME": "TEME",
    "TIME_SYSTEM": "UTC",
    "MEAN_ELEMENT_THEORY": "SGP4",
    "EPOCH": "2019-12-09T16:38:29.363424",
    "MEAN_MOTION": 15.50103472,
    "ECCENTRICITY": 0.0007417,
    "INCLINATION": 51.6439,
    "RA_OF_ASC_NODE": 211.2001,
    "ARG_OF_PERICENTER": 17.6667,
    "MEAN_ANOMALY": 85.6398,
    "EPHEMERIS_TYPE": 0,
    "CLASSIFICATION_TYPE": "U",
    "NORAD_CAT_ID": 25544,
    "ELEMENT_SET_NO": 999,
    "REV_AT_EPOCH": 20248,
    "BSTAR": 3.8792e-05,
    "MEAN_MOTION_DOT": 1.764e-05,
    "MEAN_MOTION_DDOT": 0,
}


def signed(line: str) -> str:
    """The line with the checksum that fits."""
    return line[:68] + str(sum(int(c) if c.isdigit() else c == "-" for c in line[:68]) % 10)


def inline(*lines: str) -> str:
    return "tle = [" + ", ".join(json.dumps(line) for line in lines) + "]"


def kvn(fields: dict) -> str:
    units = {"MEAN_MOTION": " [rev/day]", "INCLINATION": " [deg]"}
    rows = [f"{key} = {value}{units.get(key, '')}" for key, value in fields.items()]
    return "\n".join(["CCSDS_OMM_VERS = 3.0", "COMMENT = none", "CREATION_DATE = 2019-343T00:00:00", *rows]) + "\n"


def xml(fields: dict) -> str:
    leaves = "".join(f"<{key}>{value}</{key}>" for key, value in fields.items())
    return f'<ndm xmlns="urn:x"><omm><body><segment><data>{leaves}</data></segment></body></omm></ndm>'


@pytest.fixture
def read(write_plan, tmp_path):
    """The satellite of a plan whose [[satellite]] is this text, with these files beside it."""

    def made(satellite: str, files: dict[str, str | bytes] | None = None, name: str = "one"):
        for file, content in (files or {}).items():
            (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        path = write_plan(START, ('name = "one"\n' + ELEMENTS, f'name = "{name}"\n{satellite}'))
        return read_plan(path).satellites[0]

    return made


@pytest.fixture
def iss(read):
    return read(inline(*LINES))


def together(one, other) -> float:
    """Largest distance of two satellites over an hour (km)."""
    times = 1575936000.0 + np.arange(0.0, 3600.0, 300.0)
    return float(np.abs(one.positions_km(times) - other.positions_km(times)).max())


OTHER_LINE_2 = signed(LINES[1].replace("2 25544", "2 25545"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((LINES[0], OTHER_LINE_2), "line 1 is of satellite 25544, line 2 of 25545"),
        (
            (signed(LINES[0].replace(" 38792-4 0", "87000-10 0")), LINES[1]),
            "column 54: expected a sign, found '87000-10",
        ),
        ((signed(LINES[0].replace("  .00001764", " 0.00001764")), LINES[1]), "line 1, column 34: expected a sign"),
        ((signed(LINES[0].replace("  00000-0", " 000000-0")), LINES[1]), "line 1, column 45: expected a sign"),
        ((signed(LINES[0].replace("-4 0  999", "-4 4  999")), LINES[1]), "column 63: expected ephemeris type 0"),
        ((LINES[0], signed(LINES[1].replace("0007417", "0.00741"))), "line 2, column 27: expected seven digits"),
        ((LINES[0], signed(LINES[1].replace(" 51.6439", "51.64390"))), "line 2, column 9: expected an angle"),
        ((LINES[0], LINES[0]), "line 2, column 1: expected the line's number 2"),
    ],
)
def test_a_set_that_is_none_is_refused_by_its_column(read, lines, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(inline(*lines))
    with pytest.raises(UserError, match=message):
        read('tle_file = "a.tle"', {"a.tle": "one\n" + "\n".join(lines) + "\n"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("EPHEMERIS_TYPE", 4),
        ("MEAN_ELEMENT_THEORY", "SGP4-XP"),
        ("MEAN_ELEMENT_THEORY", "DSST"),
        ("REF_FRAME", "EME2000"),
        ("TIME_SYSTEM", "TAI"),
        ("CENTER_NAME", "MARS"),
        ("EPOCH", "2019-12-32T00:00:00"),
        ("EPOCH", "2019-366T00:00:00"),
    ],
)
@pytest.mark.parametrize("form", ["table", "json", "kvn", "xml"])
def test_elements_that_are_not_for_sgp4_are_refused(read, key: str, value, form: str) -> None:
    fields = OMM | {key: value}
    text = {"json": json.dumps([fields]), "kvn": kvn(fields), "xml": xml(fields)}.get(form, "")
    rows = ", ".join(f"{k} = {json.dumps(v)}" for k, v in fields.items())
    with pytest.raises(UserError, match=f"{key}: expected|day is out of range|day of the year") as caught:
        read(f"omm = {{ {rows} }}" if form == "table" else 'omm_file = "a.omm"', {"a.omm": text})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [123456789, 999999999, 340000, 0])
@pytest.mark.parametrize("form", ["json", "kvn", "xml"])
def test_catalogue_numbers_of_nine_digits_play_no_part(read, iss, number: int, form: str) -> None:
    fields = OMM | {"NORAD_CAT_ID": number}
    text = {"json": json.dumps(fields), "kvn": kvn(fields), "xml": xml(fields)}[form]
    assert together(read('omm_file = "a.omm"', {"a.omm": text}), iss) < 0.01


@pytest.mark.parametrize(
    "epoch",
    [
        "2019-343T16:38:29.363424",
        "2019-12-09T16:38:29.3634240001",
        "2019-12-09T16:38:29.363424Z",
        "2019-12-09T17:38:29.363424+01:00",
        "2019-343T16:38:29.363424Z",
    ],
)
def test_epochs_of_both_kinds(read, iss, epoch: str) -> None:
    assert together(read('omm_file = "a.omm"', {"a.omm": kvn(OMM | {"EPOCH": epoch})}), iss) < 0.01


def test_every_form_gives_the_same_orbit(read, iss) -> None:
    forms = {
        "kvn": kvn(OMM),
        "xml": xml(OMM),
        "json": json.dumps(OMM),
        "list": json.dumps([OMM]),
        "nested": json.dumps(
            {"omm": {"header": {}, "body": {"segment": {"metadata": {"REF_FRAME": "TEME"}, "data": OMM}}}}
        ),
        "csv": ",".join(OMM) + "\n" + ",".join(str(v) for v in OMM.values()) + "\n",
        "theory": kvn(OMM | {"MEAN_ELEMENT_THEORY": "SGP/SGP4"}),
    }
    for form, text in forms.items():
        assert together(read('omm_file = "a.omm"', {"a.omm": text}), iss) < 0.01, form


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: b"\xef\xbb\xbf" + text.replace("Zärya ", "").encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("latin-1"),
        lambda text: text.replace("\n", "\r\n").encode(),
    ],
    ids=["mark before line 1", "utf-16", "utf-16 without mark", "latin-1", "windows"],
)
def test_files_in_any_encoding(read, iss, encoded) -> None:
    text = "Zärya \n" + "\n".join(LINES) + "\n"
    bare = "\n".join(LINES) + "\n"
    for content in (encoded(text), encoded(bare)):
        assert together(read('tle_file = "a.tle"', {"a.tle": content}), iss) == 0.0
    assert together(read('omm_file = "a.omm"', {"a.omm": encoded(kvn(OMM))}), iss) < 0.01


def at_epoch(day: str, number: str = "25544") -> tuple[str, str]:
    one, two = (line.replace("25544", number) for line in LINES)
    return signed(one.replace("19343.69339541", day)), signed(two)


def test_names_without_case_numbers_and_the_nearest_epoch(read, write_plan, capsys) -> None:
    early, late, other = at_epoch("19340.00000000"), at_epoch("19344.50000000"), at_epoch("19343.90000000", "T0001")
    text = "".join(
        f"{name}\n{a}\n{b}\n" for name, (a, b) in (("ISS  (Zarya)", early), ("0 ISS (ZARYA)", late), ("Other", other))
    )
    files = {"a.tle": text}
    chosen = read('tle_file = "a.tle"', files, "iss (zarya)")
    assert together(chosen, read(inline(*late))) == 0.0
    assert chosen.note == "a.tle: epoch 2019-12-10T12:00:00Z, the nearest of 2 to the plan's start"
    by_number = read('tle_file = "a.tle"\nnorad_id = 270001', files, "whatever")
    assert together(by_number, read(inline(*other))) == 0.0 and not by_number.note
    assert together(read('tle_file = "a.tle"\nnorad_id = 25544', files), chosen) == 0.0
    with pytest.raises(UserError, match=r"or one of the name 'one', found 2: .*Other \(270001\).*norad_id"):
        read('tle_file = "a.tle"', files)
    with pytest.raises(UserError, match="or one of catalogue number 5, found"):
        read('tle_file = "a.tle"\nnorad_id = 5', files)
    messages = [OMM, OMM | {"EPOCH": "2019-12-01T00:00:00", "NORAD_CAT_ID": 25544}]
    assert "nearest of 2" in read('omm_file = "a.json"', {"a.json": json.dumps(messages)}, "Iss (zarya)").note
    path = write_plan(START, ('name = "one"\n' + ELEMENTS, 'name = "iss (zarya)"\ntle_file = "a.tle"'))
    read('tle_file = "a.tle"', files, "iss (zarya)")
    assert main(["plan", str(path), "--no-files"]) == 0
    assert "orbit of iss (zarya): a.tle: epoch 2019-12-10T12:00:00Z" in capsys.readouterr().out


def test_one_name_of_two_satellites_asks_for_the_number(read) -> None:
    text = "".join(f"one\n{a}\n{b}\n" for a, b in (LINES, at_epoch("19343.90000000", "25545")))
    with pytest.raises(UserError, match=r"found 2: one \(25544\), one \(25545\); norad_id picks"):
        read('tle_file = "a.tle"', {"a.tle": text})
    with pytest.raises(UserError, match="expected catalogue number 7 .norad_id., found 25544"):
        read(inline(*LINES) + "\nnorad_id = 7")


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "found 0"), ("hello\n", "found 0"), ("1 abcde" + "x" * 60, "no element set"), ("\x00\x00", "found 0")],
)
def test_files_that_hold_no_orbit(read, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read('tle_file = "a.tle"', {"a.tle": content})


@pytest.mark.parametrize(
    "content", ["", "a,b\n1,2\n", "<x", "<x/>", "{}", "[1]", "[]", "CCSDS_OMM_VERS = 2.0\nno key\n", "{"]
)
def test_files_that_hold_no_message(read, content: str) -> None:
    with pytest.raises(UserError, match="omm_file: a.omm: ") as caught:
        read('omm_file = "a.omm"', {"a.omm": content})
    assert "\n" not in str(caught.value)
