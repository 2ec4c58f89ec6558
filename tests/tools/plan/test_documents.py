"""Plans that extend others: rows and tables replaced and removed, files beside their own plan, keys set by a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from swathpack.tools.errors import UserError
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
