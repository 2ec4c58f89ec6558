"""Tables read as dataclasses: what may stand where, and messages that name the key and what was meant."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from swathpack.edge.schema import SchemaError, key, read


@dataclass(frozen=True)
class Part:
    name: str = "part"
    share: float = key(0.5, 0, 1)


@dataclass(frozen=True)
class Whole:
    width_km: float = key(low=0.1, high=3000)
    path: Path = Path("here")
    other: Path | None = None
    count: int = key(3, 1, 64)
    free: float = 0.0
    word: str = key("", words=("one", "two"))
    quick: bool = False
    at: tuple[float, ...] = key((), 0, 24)
    first: Part = field(default_factory=Part)
    parts: tuple[Part, ...] = ()


def test_values_take_their_kinds_and_paths_start_at_the_base() -> None:
    found = read(
        Whole, {"width_km": 3, "count": 4.0, "at": [1, 2.5], "other": "x", "parts": [{}, {"share": 1}]}, Path("/m")
    )
    assert (found.width_km, found.count, found.at, found.quick) == (3.0, 4, (1.0, 2.5), False)
    assert all(type(v) is float for v in (found.width_km, *found.at)) and type(found.count) is int
    assert (found.path, found.other) == (Path("/m/here"), Path("/m/x")) and read(Whole, {"width_km": 1}).other is None
    assert found.parts == (Part(), Part(share=1.0)) and found.first == Part()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "width_km is missing .expected a number from 0.1 to 3000."),
        ({"width_km": 290000}, "width_km: expected 0.1 to 3000, found 290000 .290000 looks like m: write 290."),
        ({"width_km": True}, "width_km: expected a number from 0.1 to 3000, found True"),
        ({"width_km": float("nan")}, "width_km: expected 0.1 to 3000, found nan"),
        ({"width_km": 1, "free": float("inf")}, "free: expected a number, found inf"),
        ({"width_km": 1, "count": 2.5}, "count: expected a whole number from 1 to 64, found 2.5"),
        ({"width_km": 1, "quick": 1}, "quick: expected true or false, found 1"),
        ({"width_km": 1, "path": 1}, "path: expected a path, found 1"),
        ({"width_km": 1, "word": "tow"}, "word: expected one of one, two, found 'tow'; did you mean 'two'"),
        ({"width_km": 1, "word": ""}, "word: expected a text that is not empty"),
        ({"width_km": 1, "at": [25]}, "at: expected 0 to 24, found 25"),
        ({"width_km": 1, "at": [0.0] * 1001}, "at: expected a list of 1 to 1000 values"),
        ({"width_km": 1, "first": {"shar": 1}}, "first.shar: no such key; did you mean 'share'"),
        ({"width_km": 1, "first": {"zzz": 1}}, "first.zzz: no such key; known: name, share"),
        ({"width_km": 1, "parts": {"share": 1}}, r"parts: expected \[\[parts\]\] tables"),
        ({"width_km": 1, "parts": [{}, {"share": -1}]}, "parts 2.share: expected 0 to 1, found -1"),
    ],
)
def test_one_message_names_the_key(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        read(Whole, values)
