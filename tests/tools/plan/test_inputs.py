"""Bad input: one clear message each, that names the place, what was expected and what was found."""

from __future__ import annotations

import json

import pytest

from swathpack.tools.cli import main
from swathpack.tools.errors import UserError
from swathpack.tools.plan.inputs import PRESETS, read_plan

OLD_TLE = """tle = ["1 25544U 98067A   19343.69339541  .00001764  00000-0  38792-4 0  9991",
       "2 25544  51.6439 211.2001 0007417  17.6667  85.6398 15.50103472202482"]"""
ELEMENTS = "elements = { altitude_km = 510, sun_synchronous = true, ltan_hours = 22.5 }"

BAD = [
    (ELEMENTS, OLD_TLE, "expired orbit: epoch 2019-12-09T16:38Z is 2548.3 days before"),
    (ELEMENTS, OLD_TLE.replace("9991", "9992"), "line 1 has checksum 2, expected 1"),
    (ELEMENTS, 'tle = ["1 x", "2 y"]', "two lines of 69 characters"),
    (ELEMENTS, ELEMENTS + "\n" + OLD_TLE, "exactly one of tle, tle_file, omm, omm_file, oem_file, elements, found"),
    (ELEMENTS, 'omm = { OBJECT_NAME = "x", EPOCH = "2026-12-01T00:00:00" }', "omm: .* is missing"),
    (ELEMENTS, 'omm_file = "none.json"', "omm_file: cannot read"),
    ("altitude_km = 510", "altitude_km = 510000", "510000 looks like m: write 510"),
    (
        "longitude_deg = 18.94",
        "longitude_deg = 18.94\nmin_elevation_deg = 95",
        r"min_elevation_deg: expected 0 to 89.9, found 95",
    ),
    (
        "longitude_deg = 18.94",
        "longitude_deg = 18.94\nhorizon_mask_deg = [[0, 5], [90, 120]]",
        "horizon_mask_deg: expected 0 to 89.9, found 120",
    ),
    ("latitude_deg = 69.66", "latitude_deg = 169.66", "latitude_deg: expected -90 to 90, found 169.66"),
    ("latitude_deg = 69.66", "latitude = 69.66", "latitude_deg is missing"),
    ('name = "north"', 'use = "svalbrad"', "no station 'svalbrad' in the catalogue; did you mean 'svalbard'"),
    ('band = "S"', 'band = "Q"', "unknown band 'Q', expected one of UHF, S, X, Ka"),
    ("frequency_ghz = 2.245", "frequency_ghz = 2245", "2245 looks like MHz: write 2.245"),
    ("frequency_ghz = 2.245", "frequency_ghz = 2245000", "2.245e[+]06 looks like kHz: write 2.245"),
    ("frequency_ghz = 2.245", "frequency_ghz = 8.2", r"frequency_ghz: expected 2.2 to 2.29, found 8.2"),
    ("bitrate_mbit_s = 1.0", "bitrate_mbit_s = 1000000", "looks like bit/s: write 1"),
    ("bitrate_mbit_s = 1.0", "bitrate_mbit_s = 2000", "looks like kbit/s: write 2"),
    ("bitrate_mbit_s = 1.0", "symbol_rate_mbaud = 66700", "looks like kbaud: write 66.7"),
    (
        "bitrate_mbit_s = 1.0",
        "bitrate_kbit_s = 1000",
        "exactly one of bitrate_mbit_s, symbol_rate_mbaud, found none",
    ),
    ("eirp_dbw = 6.0", "eirp_dbm = 36.0", "exactly one of eirp_dbw, power_w, power_dbw, found none"),
    ("eirp_dbw = 6.0", 'eirp_dbw = "six"', "eirp_dbw: expected a number from -40 to 60, found 'six'"),
    (
        "eirp_dbw = 6.0",
        "eirp_dbw = 6.0\nmarginn_db = 3",
        "marginn_db: no such key; did you mean 'margin_db'",
    ),
    ("eirp_dbw = 6.0", 'eirp_dbw = 6.0\ncoding = "ldpc"', "coding: expected one of uncoded"),
    ("swath_km = 60", 'swath_km = 60\nbands = ["B02", "b2"]', r"band\(s\) given more than once: B02"),
    ("swath_km = 60", "swath_km = 290000", "looks like m: write 290"),
    ("box_deg = [-16, 10, 36, 17]", "box_deg = [10, 10, 10, 17]", "area 'sahel' is empty"),
    ("box_deg = [-16, 10, 36, 17]", "box_deg = [-16, 17, 36, 10]", r"expected \[west, south, east, north\]"),
    ("box_deg = [-16, 10, 36, 17]", 'geojson = "none.geojson"', "cannot read the areas"),
    ("cloud_fraction = 0.3", "cloud_fraction = 30", "cloud_fraction: expected 0 to 1, found 30"),
    ("cloud_fraction = 0.3", "cloud_fraction = [0.3, 0.4]", "list of 12 numbers"),
    ('name = "nile"', 'name = "sahel"', "every area needs a name of its own"),
    ('start = "2026-12-01T00:00:00Z"', 'start = "tomorrow"', "expected a UTC time such as"),
    ("days = 2", "days = 4000", "days: expected 0.01 to 366, found 4000"),
    ("[[satellite]]", "[[satelite]]", r"at least one \[\[satellite\]\], found none"),
    ('name = "small"', "name = ", "is no TOML"),
    ('name = "small"', 'name = "../up"', "expected a name that can be a folder's, found '../up'"),
    ("gsd_m = 10", "gsd_m = 10\ntile_px = 100", "tile_px: expected a multiple of 64, found 100"),
    (
        "[uncertainty]",
        "[codec]\nboard = 'tx2'\n[uncertainty]",
        "no figures for 'tx2', expected one of agx-orin",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD)
def test_bad_input(write_plan, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str) -> None:
    """Through the command: exit code 1 and a single line on stderr, no traceback."""
    path = write_plan((old, new))
    assert main(["plan", str(path), "--no-files"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("swathpack plan: ") and error.count("\n") == 1
    import re

    assert re.search(message, error), error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"type": "FeatureCollection", "features": []}, "empty area"),
        ({"type": "Point", "coordinates": [0, 0]}, "empty area"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]}, "is empty"),
        ({"type": "Polygon", "coordinates": [[[10, 100], [11, 100], [11, 101], [10, 100]]]}, "swapped"),
        ({"type": "Polygon"}, "expected GeoJSON"),
        ([1, 2], "expected GeoJSON"),
    ],
)
def test_bad_geojson(write_plan, tmp_path, content, message: str) -> None:
    (tmp_path / "a.geojson").write_text(json.dumps(content))
    path = write_plan(("box_deg = [-16, 10, 36, 17]", 'geojson = "a.geojson"'))
    with pytest.raises(UserError, match=message):
        read_plan(path)


def test_geojson_features_carry_their_own_settings(write_plan, tmp_path) -> None:
    square = [
        [[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]],
        [[0.5, 0.5], [1.5, 0.5], [1.5, 1.5], [0.5, 1.5], [0.5, 0.5]],
    ]
    document = {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"name": "ring", "priority": 5},
                "geometry": {"type": "Polygon", "coordinates": square},
            },
            {
                "type": "Feature",
                "properties": None,
                "geometry": {
                    "type": "MultiPolygon",
                    "coordinates": [
                        [[[10, 0], [11, 0], [11, 1], [10, 1], [10, 0]]],
                        [[[12, 0], [13, 0], [13, 1], [12, 1], [12, 0]]],
                    ],
                },
            },
        ],
    }
    (tmp_path / "a.geojson").write_text(json.dumps(document))
    plan = read_plan(write_plan(("box_deg = [-16, 10, 36, 17]", 'geojson = "a.geojson"')))
    ring, pair, _ = plan.areas
    assert (ring.name, ring.priority, pair.name, pair.priority) == ("ring", 5, "sahel-2", 1)
    assert pair.cloud == (0.3,) * 12
    assert ring.area_km2 == pytest.approx(3 * 111.2**2, rel=0.01)
    assert pair.area_km2 == pytest.approx(2 * 111.2**2, rel=0.01)
    assert not ((abs(ring.cells - 1) < 0.4).all(axis=1)).any()  # none in the hole


def test_thin_and_small_areas_have_cells(write_plan) -> None:
    """Far thinner or smaller than a cell: still found, without an ever finer grid."""
    for box in ("[0.0, 0.0, 40.0, 0.0003]", "[10.0, 50.0, 10.002, 50.002]"):
        area = read_plan(write_plan(("[-16, 10, 36, 17]", box))).areas[0]
        assert 1 <= len(area.cells) <= 3_000
        assert len(area.cells) * area.cell_km2 == pytest.approx(area.area_km2)


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ("[-180, -90, 180, 90]", 1.0),
        ("[-100, -90, 100, 90]", 200 / 360),
        ("[170, -90, -170, 90]", 20 / 360),
        ("[-180, 0, 180, 90]", 0.5),
    ],
)
def test_wide_boxes_and_the_antimeridian(write_plan, box: str, share: float) -> None:
    area = read_plan(write_plan(("[-16, 10, 36, 17]", box))).areas[0]
    assert area.area_km2 == pytest.approx(share * 510.1e6, rel=0.01)
    longitude = (area.cells[:, 0] + 180) % 360 - 180
    inside = abs(longitude) >= 169 if "170" in box else abs(longitude) <= 360 * share / 2 + 1
    assert inside.all() or share in (0.5, 1.0)


def test_a_file_with_a_byte_order_mark_is_read(write_plan) -> None:
    path = write_plan()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_plan(path).name == "small"


def test_missing_plan_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["plan", "s-band-cubesta"], "did you mean 's-band-cubesat'"),
        (["plan"], "expected a plan file or preset"),
        (["plan", "s-band-cubesat", "--days", "-1"], "--days: expected 0.01 to 366"),
        (["plan", "s-band-cubesat", "--seed", "-1"], "--seed: expected 0 or more"),
        (["plan", "s-band-cubesat", "--start", "noon"], "--start: expected a UTC time"),
    ):
        assert main(arguments) == (1 if "did you mean" in message else 2)
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(p.stem for p in PRESETS.glob("*.toml") if p.stem != "stations"))
def test_presets_read(name: str) -> None:
    plan = read_plan(name)
    assert plan.name == name and plan.areas and plan.description


def test_extends_adds_and_replaces(tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(
        'extends = "s-band-cubesat"\nname = "mine"\n[[station]]\nuse = "tromso"\nmin_elevation_deg = 12\n'
        "[radio]\nbitrate_mbit_s = 4.0\n"
    )
    base, plan = read_plan("s-band-cubesat"), read_plan(tmp_path / "mine.toml")
    assert [s.name for s in plan.stations] == [s.name for s in base.stations]
    assert {s.name: s.min_elevation_deg for s in plan.stations}["tromso"] == 12
    assert plan.radio.symbol_rate_hz == 4e6 and plan.radio.frequency_ghz == base.radio.frequency_ghz


def test_orbit_kinds_agree(write_plan, tmp_path) -> None:
    """TLE, TLE file and OMM of the same satellite give the same positions."""
    import numpy as np

    lines = OLD_TLE.split('"')[1::2]
    (tmp_path / "iss.tle").write_text("ISS\n" + "\n".join(lines) + "\nOTHER\n" + "\n".join(lines) + "\n")
    fields = {
        "OBJECT_NAME": "one",
        "EPOCH": "2019-12-09T16:38:29.363424",
        "MEAN_MOTION": 15.50103472,
        "ECCENTRICITY": 0.0007417,
        "INCLINATION": 51.6439,
        "RA_OF_ASC_NODE": 211.2001,
        "ARG_OF_PERICENTER": 17.6667,
        "MEAN_ANOMALY": 85.6398,
        "BSTAR": 3.8792e-05,
        "MEAN_MOTION_DOT": 1.764e-05,
    }
    (tmp_path / "iss.json").write_text(json.dumps([fields]))
    start = ('start = "2026-12-01T00:00:00Z"', 'start = "2019-12-10T00:00:00Z"')
    found = []
    for text in (OLD_TLE, 'omm_file = "iss.json"'):
        plan = read_plan(write_plan(start, (ELEMENTS, text)))
        found.append(plan.satellites[0].positions_km(np.array([plan.start_s, plan.start_s + 3000.0])))
    plan = read_plan(write_plan(start, ('name = "one"\n' + ELEMENTS, 'name = "ISS"\ntle_file = "iss.tle"')))
    found.append(plan.satellites[0].positions_km(np.array([plan.start_s, plan.start_s + 3000.0])))
    assert np.abs(found[0] - found[1]).max() < 0.01
    assert np.array_equal(found[0], found[2])
