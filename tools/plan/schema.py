"""Checked reading of one TOML table: every key is known, of the right kind, in range, in the right unit.

A wrong value raises `UserError` with the table, the key, what was expected and what was found; a number that
would be right in another unit (kHz for MHz) is said to be so.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any

from swathpack.edge.downlink.budget import parse_time
from swathpack.tools.errors import UserError

# Factor that turns a number given in the unit into the unit that the key's name states.
UNIT_SLIPS: dict[str, dict[str, float]] = {
    "ghz": {"MHz": 1e-3, "kHz": 1e-6, "Hz": 1e-9},
    "mbit_s": {"kbit/s": 1e-3, "bit/s": 1e-6, "Gbit/s": 1e3},
    "mbaud": {"kbaud": 1e-3, "baud": 1e-6, "Gbaud": 1e3},
    "km": {"m": 1e-3},
    "m": {"km": 1e3, "cm": 1e-2},
    "dbw": {},
    "deg": {},
    "hours": {"minutes": 1 / 60},
    "gbyte": {"MB": 1e-3, "bytes": 1e-9, "TB": 1e3},
}


class Section:
    """One table being read; `done()` at the end finds keys that nothing asked for."""

    def __init__(self, table: Any, name: str) -> None:
        if not isinstance(table, Mapping):
            raise UserError(f"{name}: expected a table, found {table!r}")
        self.name = name
        self._table = table
        self._asked: set[str] = set()

    def names(self) -> list[str]:
        """The keys that are there."""
        return list(self._table)

    def has(self, key: str) -> bool:
        """Whether the key stands in the table."""
        self._asked.add(key)
        return key in self._table

    def raw(self, key: str, default: Any = None) -> Any:
        """The value as it is."""
        self._asked.add(key)
        return self._table.get(key, default)

    def error(self, message: str) -> UserError:
        """The error to raise, with the table's name in front."""
        return UserError(f"{self.name}: {message}")

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """A number in [low, high]; without a default it must be there."""
        value = self.raw(key, default)
        if value is None:
            raise self.error(f"{key} is missing (expected a number from {low:g} to {high:g})")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.error(f"{key}: expected a number from {low:g} to {high:g}, found {value!r}")
        if not low <= value <= high:
            hint = unit_hint(key, float(value), low, high)
            raise self.error(f"{key}: expected {low:g} to {high:g}, found {value:g}{hint}")
        return float(value)

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number in [low, high]."""
        value = self.number(key, low, high, default)
        if value != int(value):
            raise self.error(f"{key}: expected a whole number, found {value:g}")
        return int(value)

    def numbers(self, key: str, count: int, low: float, high: float) -> list[float]:
        """A list of `count` numbers in [low, high]."""
        values = self.raw(key)
        if not isinstance(values, list) or len(values) != count:
            raise self.error(f"{key}: expected a list of {count} numbers, found {values!r}")
        part = Section({key: 0}, self.name)
        return [Section({key: value}, part.name).number(key, low, high) for value in values]

    def pairs(self, key: str, low: tuple[float, float], high: tuple[float, float]) -> list[tuple[float, float]]:
        """A list of [a, b] pairs, each number in its range; empty when the key is not there."""
        values = self.raw(key, [])
        if not isinstance(values, list) or not all(isinstance(v, list) and len(v) == 2 for v in values):
            raise self.error(f"{key}: expected a list of [a, b] pairs, found {values!r}")
        return [
            (
                Section({key: a}, self.name).number(key, low[0], high[0]),
                Section({key: b}, self.name).number(key, low[1], high[1]),
            )
            for a, b in values
        ]

    def text(self, key: str, default: str | None = None) -> str:
        """Text that is not empty."""
        value = self.raw(key, default)
        if not isinstance(value, str) or (not value and default != ""):
            raise self.error(f"{key}: expected text, found {value!r}")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of texts, empty when the key is not there."""
        values = self.raw(key, [])
        if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
            raise self.error(f"{key}: expected a list of texts, found {values!r}")
        return values

    def choice(self, key: str, choices: list[str], default: str | None = None) -> str:
        """One of the choices."""
        value = self.text(key, default)
        if value not in choices:
            raise self.error(
                f"{key}: expected one of {', '.join(choices)}, found {value!r}{did_you_mean(value, choices)}"
            )
        return value

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self.raw(key, default)
        if not isinstance(value, bool):
            raise self.error(f"{key}: expected true or false, found {value!r}")
        return value

    def time(self, key: str) -> float:
        """A UTC time as seconds since 1970."""
        value = self.raw(key)
        try:
            return parse_time(value)
        except (ValueError, TypeError, AttributeError):
            raise self.error(f'{key}: expected a UTC time such as "2026-12-01T00:00:00Z", found {value!r}') from None

    def exactly_one(self, *keys: str) -> str:
        """The one of these keys that is there."""
        found = [key for key in keys if self.has(key)]
        if len(found) != 1:
            raise self.error(f"expected exactly one of {', '.join(keys)}, found {', '.join(found) or 'none'}")
        return found[0]

    def done(self) -> None:
        """Raise for the first key that nothing asked for."""
        for key in self._table:
            if key not in self._asked:
                raise self.error(f"unknown key {key!r}{did_you_mean(key, sorted(self._asked))}")


def did_you_mean(word: str, known: list[str]) -> str:
    """`; did you mean 'x'?` for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def unit_hint(key: str, value: float, low: float, high: float) -> str:
    """` (... looks like MHz: write 2.2)` when another unit would put the value into the range."""
    for suffix in sorted(UNIT_SLIPS, key=len, reverse=True):
        if key.endswith("_" + suffix):
            for unit, factor in UNIT_SLIPS[suffix].items():
                if low <= value * factor <= high:
                    return f" ({value:g} looks like {unit}: write {value * factor:.6g})"
            return ""
    return ""
