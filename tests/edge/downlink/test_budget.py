"""budget.toml: what is written reads back, and what contradicts itself is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from swathpack.edge.downlink.budget import (
    Budget,
    BudgetError,
    Pass,
    format_budget,
    format_time,
    parse_budget,
    parse_time,
    read_budget,
)
from swathpack.edge.toml_lite import parse

START = 1_796_083_200.0


def contact(number: int = 1, start: float = START, satellite: str = "sat-1") -> Pass:
    return Pass(
        number,
        satellite,
        'Sva"lbard',
        start,
        start + 100.0,
        15_000,
        (0.0, 50.0),
        (100.0, 200.0),
        bytes_p10=0,
        bytes_p90=15_000,
        max_elevation_deg=41.25,
    )


def budget() -> Budget:
    return Budget(
        "plan", "2026-11-22T00:00:00Z", 7, (contact(1), contact(2, START + 50, "sat-2"), contact(3, START + 100.0))
    )


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "budget.toml"
    path.write_text(format_budget(budget()))
    assert read_budget(path) == budget()


def test_is_within_the_small_toml_subset() -> None:
    assert len(parse(format_budget(budget()))["pass"]) == 3


def test_by_satellite() -> None:
    mine = budget().for_satellite("sat-1")
    assert [p.id for p in mine.passes] == [1, 3]
    with pytest.raises(BudgetError, match="sat-9"):
        budget().for_satellite("sat-9")


def test_capacity() -> None:
    one = contact()
    assert one.capacity(START - 10, START + 500) == 15_000
    assert one.capacity(START + 40, START + 60) == 10 * 100 + 10 * 200
    assert one.capacity(START + 60, START + 40) == 0
    assert sum(one.capacity(START + t, START + t + 7) for t in range(0, 100, 7)) == pytest.approx(15_000)


def test_times() -> None:
    assert parse_time("2026-12-01T00:00:00Z") == parse_time("2026-12-01T01:00:00+01:00")
    assert parse_time("2026-12-01T00:00:00") == START
    assert format_time(START + 0.0004) == "2026-12-01T00:00:00.000Z"
    assert format_time(START + 59.9996) == "2026-12-01T00:01:00.000Z"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version = 1", "version = 9", "version 1, found 9"),
        ("bytes = 15000", "bytes = 25000", "rate profile of 25000 bytes, found 15000"),
        ("bytes = 15000", "bytes = -5", "whole number"),
        (
            "bytes = 15000",
            "bytes = 10000000000000000000",
            "at most 1099511627775 for bytes, found 10000000000000000000",
        ),
        ("id = 2", "id = 2147483648", "at most 2147483647 for id, found 2147483648"),
        ("id = 2", "id = 1", "1 twice"),
        ('satellite = "sat-2"', 'satellite = "sat-1"', "overlap"),
        ("rate_at_s = [0.0, 50.0]", "rate_at_s = [1.0, 50.0]", "rise from 0.0"),
        ("rate_at_s = [0.0, 50.0]", "rate_at_s = [0.0, 500.0]", "within the pass"),
        ("rate_byte_s = [100.0, 200.0]", 'rate_byte_s = ["x", 200.0]', "finite number"),
        ('start = "2026-12-01T00:00:00.000Z"', 'start = "yesterday"', "UTC time"),
        ('start = "2026-12-01T00:00:00.000Z"', 'start = "2026-12-01T00:05:00.000Z"', "end after the start"),
        ("max_elevation_deg", "max_elevation_rad", "unknown keys"),
        ("seed = 7", "seed = true", "whole number"),
        ("version = 1", "version = ", "no TOML"),
        ("seed = 7", 'seed = 7\nsatellites = "sat-1"', "list of names for satellites"),
    ],
)
def test_refuses(old: str, new: str, message: str) -> None:
    text = format_budget(budget())
    assert old in text
    with pytest.raises(BudgetError, match=message):
        parse_budget(text.replace(old, new, 1))


def test_missing_file_and_bad_bytes(tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="cannot read"):
        read_budget(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BudgetError, match="cannot read"):
        read_budget(tmp_path / "bad.toml")


def test_hostile_names_survive() -> None:
    odd = replace(contact(), satellite='a"b\\c\n\t\x01é')
    assert parse_budget(format_budget(Budget("p", "", 0, (odd,)))).passes[0].satellite == odd.satellite


def test_a_planned_satellite_may_have_no_pass() -> None:
    read = parse_budget(format_budget(replace(budget(), planned=("sat-1", "sat-2", "sat-3"))))
    assert read.satellites() == ["sat-1", "sat-2", "sat-3"]
    assert read.for_satellite("sat-3").passes == () and len(read.for_satellite("sat-1").passes) == 2


def test_times_that_touch_never_cross_when_rounded() -> None:
    """Microseconds in a file become milliseconds; a shared one stays shared, and a later one never comes before."""
    text = format_budget(budget())
    for microseconds in range(0, 2000, 37):
        moment = f"2026-12-01T00:01:40.{microseconds:06d}Z"
        swapped = text.replace("2026-12-01T00:01:40.000Z", moment)
        first, _, third = parse_budget(swapped).passes
        assert first.end_s == third.start_s
