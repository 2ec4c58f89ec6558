"""Plans that extend others: rows and tables replaced and removed, files beside their own plan, keys set by a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from swathpack.edge.downlink.budget import parse_time
from swathpack.tools.errors import UsageError, UserError
from swathpack.tools.plan.document import set_key
from swathpack.tools.plan.inputs import read_plan
from swathpack.tools.words import plural

HEAD = 'extends = "s-band-cubesat"\nname = "mine"\n'


@pytest.fixture
def mine(tmp_path: Path):
    def read(text: str):
        path = tmp_path / "mine.toml"
        path.write_text(HEAD + text)
        return read_plan(path)

    return read


def test_rows_are_removed(mine) -> None:
    plan = mine('[[station]]\nname = "tromso"\nremove = true\n[[area]]\nname = "nile"\nremove = true\n')
    assert [s.name for s in plan.stations] == ["university-munich"]
    assert "nile" not in [a.name for a in plan.areas] and len(plan.areas) == 6
    plan = mine('[[station]]\nname = "*"\nremove = true\n[[station]]\nuse = "inuvik"\n')
    assert [s.name for s in plan.stations] == ["inuvik"]


def test_tables_are_replaced(mine) -> None:
    assert mine("[imager]\nswath_km = 10\n").imager.power_w == 12
    assert mine("[imager]\nreplace = true\nswath_km = 10\ngsd_m = 5\n").imager.power_w == 0
    with pytest.raises(UserError, match="imager.*: gsd_m is missing"):
        mine("[imager]\nreplace = true\nswath_km = 10\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[[station]]\nuse = "tromsoe"\nremove = true\n',
            "expected the name of an inherited row .*did you mean 'tromso'",
        ),
        ('[[station]]\nuse = "tromso"\nremove = true\nantennas = 2\n', "nothing beside the name, found antennas"),
        ('[[station]]\nuse = "tromso"\nremove = false\n', "remove: expected true, found False"),
        ('[[station]]\nuse = "tromso"\nreplace = true\n', "replaces the one of its name as it is"),
        ("[radio]\nreplace = 1\n", r"\[radio\]: replace: expected true, found 1"),
        ('[[satellite]]\nname = "*"\nremove = true\n', r"at least one \[\[satellite\]\], found none"),
    ],
)
def test_bad_changes(mine, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        mine(text)


def test_a_plan_without_a_parent_removes_nothing(write_plan) -> None:
    with pytest.raises(UserError, match="an inherited row .there is none., found 'gone'"):
        read_plan(write_plan(more='\n[[area]]\nname = "gone"\nremove = true\n'))


def test_the_description_is_not_inherited(mine) -> None:
    """It describes the other plan, whose stations and rates this one has changed."""
    assert mine("days = 1\n").description == "" and mine('description = "own"\n').description == "own"


CHAIN = {
    "lowest.toml": 'extends = "s-band-cubesat"\n{lowest}',
    "deep/middle.toml": 'extends = "../lowest.toml"\n{middle}',
    "mine.toml": 'extends = "deep/middle.toml"\nname = "mine"\n{mine}',
}


@pytest.mark.parametrize(
    ("where", "text", "message"),
    [
        ("lowest", "days = 1000", r"\.\./lowest.toml: plan: days: expected 0.01 to 366"),
        ("middle", "dys = 3", r"deep/middle.toml: plan: dys: no such key"),
        ("mine", "seed = -1", r"mine.toml: plan: seed: expected"),
        ("lowest", "[radio]\nmargin_db = 99", r"\.\./lowest.toml: \[radio\]: margin_db: expected 0 to 20"),
        ("middle", "[radio]\neirp_dbw = 2", r".*found eirp_dbw \(deep/middle.toml\), power_w \(s-band-cubesat.toml\)"),
        ("mine", "[radio]\nmarginn_db = 2", r"mine.toml: \[radio\]: marginn_db: no such key"),
        ("middle", "[imager]\nbit_depth = 99", r"deep/middle.toml: \[imager\]: bit_depth: expected 8 to 16"),
        ("middle", "[imager]\nreplace = true", r"deep/middle.toml: \[imager\]: swath_km is missing"),
        (
            "lowest",
            "[codec]\nmin_layers = 9\nmax_layers = 3",
            r"\.\./lowest.toml: \[codec\]: expected min_layers <= max",
        ),
        ("middle", "storage = 3", r"deep/middle.toml: \[storage\]: expected a table"),
        (
            "lowest",
            '[[station]]\nuse = "tromso"\nantennas = 0',
            r"\.\./lowest.toml: \[\[station\]\] tromso: antennas: expected",
        ),
        (
            "middle",
            '[[station]]\nuse = "inuvik"\n[[station]]\nuse = "nowhere"',
            r"deep/middle.toml: \[\[station\]\] number 2: use: no station 'nowhere'",
        ),
        (
            "lowest",
            '[[satellite]]\nname = "x"\nelements = {altitude_km = 9, raan_deg = 1}',
            r"\.\./lowest.toml: \[\[satellite\]\] number 1 elements: altitude_km: expected",
        ),
        ("middle", '[[area]]\nname = "x"\nbox_deg = [1, 2, 3]', r"deep/middle.toml: \[\[area\]\] number 1: box_deg"),
        ("lowest", '[[area]]\nname = "x"\ngeojson = "no.json"', r"\.\./lowest.toml: cannot read the areas"),
        ("middle", 'extends = "nothing"', r"deep/middle.toml: extends: no plan file 'nothing'"),
    ],
)
def test_errors_name_the_file_of_the_chain_that_holds_the_key(
    tmp_path: Path, where: str, text: str, message: str
) -> None:
    (tmp_path / "deep").mkdir()
    for name, given in CHAIN.items():
        said = given.format(**dict.fromkeys(("lowest", "middle", "mine"), "") | {where: text})
        if text.startswith("extends") and where in name:
            said = text
        (tmp_path / name).write_text(said)
    with pytest.raises(UserError, match=f"^{message}"):
        read_plan(tmp_path / "mine.toml")


@pytest.mark.parametrize("start", ["0001-01-01", "1959-12-31", "9999-12-31T23:59:59Z"])
def test_times_of_no_orbit_are_refused(mine, start: str) -> None:
    with pytest.raises(UserError, match="mine.toml: plan: start: expected a time from 1960"):
        mine(f'start = "{start}"\n')
    with pytest.raises(UserError, match="start: expected a time from 1960"):
        read_plan("s-band-cubesat", start_s=parse_time(start))


@pytest.mark.parametrize("days", [0.0, 1e-300, float("nan"), 367.0])
def test_days_of_the_command_have_the_limits_of_the_file(days: float) -> None:
    with pytest.raises(UsageError, match="--days: expected 0.01 to 366, found"):
        read_plan("s-band-cubesat", days=days)


def test_a_value_that_a_sweep_set_is_in_no_file() -> None:
    with pytest.raises(UserError, match=r"^\[radio\]: margin_db: expected 0 to 20"):
        read_plan("s-band-cubesat", changes={"radio.margin_db": 99})


def test_files_lie_beside_the_plan_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/base.toml").write_text(
        'extends = "s-band-cubesat"\nname = "base"\n[[area]]\nname = "square"\ngeojson = "a.json"\n'
    )
    square = '{"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]]}'
    (tmp_path / "base/a.json").write_text(square)
    (tmp_path / "mine.toml").write_text('extends = "base/base.toml"\nname = "mine"\n')
    assert "square-1" in [a.name for a in read_plan(tmp_path / "mine.toml").areas]


def test_keys_are_set_wherever_they_stand() -> None:
    changes = {
        "days": 2,
        "radio.margin_db": 4.5,
        "station.tromso.min_elevation_deg": 12,
        "imager.tile_px": 128,
        "satellite.cubesat-1.elements.altitude_km": 600,
    }
    plan = read_plan("s-band-cubesat", changes=changes)
    assert (plan.days, plan.radio.margin_db, plan.imager.tile_px) == (2, 4.5, 128)
    assert {s.name: s.min_elevation_deg for s in plan.stations}["tromso"] == 12
    assert plan.satellites[0].period_s() > read_plan("s-band-cubesat").satellites[0].period_s()
    for key, message in (
        ("station.nowhere.antennas", "one of the names university-munich, tromso"),
        ("radio.marginn_db", "marginn_db: no such key"),
        ("radio.margin_db.x", "expected a key"),
        ("radio.", "expected a table"),
        ("", "expected a key"),
        ("days", "days: expected 0.01 to 366"),
    ):
        with pytest.raises(UserError, match=message):
            read_plan("s-band-cubesat", changes={key: 1000})


def test_counts() -> None:
    assert [plural(n, "day") for n in (1, 2, 0.5, 0)] == ["1 day", "2 days", "0.5 days", "0 days"]
    document = {"station": [{"use": "a.b"}]}
    set_key(document, "station.a.b.antennas", 3)  # names may hold dots
    assert document == {"station": [{"use": "a.b", "antennas": 3}]}
