"""Reading of tables whose keys depend on each other, by the checks of `swathpack.edge.schema`.

A wrong value raises `UserError` with the table, the key, what was expected and what was found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swathpack.edge import schema
from swathpack.edge.downlink.budget import parse_time
from swathpack.tools.errors import UserError
from swathpack.tools.plan.origins import file_of, origins_of


class Section:
    """One table being read; `done()` at the end finds keys that nothing asked for. file: where it stands, if the table does not
    know; messages begin with the file of their key.
    """

    def __init__(self, table: Any, name: str, file: str = "") -> None:
        self.name, self.file, self._origins = name, file_of(table) or file, origins_of(table)
        if not isinstance(table, Mapping):
            raise self.error(f"expected a table, found {table!r}")
        self._table = table
        self._asked: set[str] = set()

    def read(self, kind: type[schema.Table], folder: Path = Path()) -> schema.Table:
        """The whole table as its dataclass; relative paths start at `folder`."""
        try:
            return schema.read(kind, dict(self._table), folder)
        except schema.SchemaError as error:
            raise self.error(str(error)) from None

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

    def origin(self, key: str) -> str:
        """The file that a key stands in; of one that is in none that of the table."""
        return self._origins.get(key, self.file)

    def error(self, message: str) -> UserError:
        """The error to raise, with the table's name in front, before it the file of the key that the message begins with."""
        file = self.origin(re.match(r"\w*", message)[0])  # type: ignore[index]
        return UserError(f"{file}: {self.name}: {message}" if file else f"{self.name}: {message}")

    def table(self, key: str, default: Any = None) -> Section:
        """A table in this one."""
        return Section(self.raw(key, default), f"[{key}]", self.origin(key))

    @contextmanager
    def naming_file(self) -> Iterator[None]:
        """Put the file in front of what is refused inside."""
        try:
            yield
        except UserError as error:
            said = str(error)
            raise UserError(
                said if not self.file or said.startswith(f"{self.file}: ") else f"{self.file}: {said}"
            ) from None

    def _checked(self, kind: type, value: Any, key: str, *limits: Any) -> Any:
        try:
            return schema.check(kind, value, key, *limits)
        except schema.SchemaError as error:
            raise self.error(str(error)) from None

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """A number in [low, high]; without a default it must be there."""
        value = self.raw(key, default)
        if value is None:
            raise self.error(f"{key} is missing (expected a number from {low:g} to {high:g})")
        return float(self._checked(float, value, key, low, high))

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number in [low, high]."""
        return int(self._checked(int, self.raw(key, default), key, low, high))

    def numbers(self, key: str, count: int, low: float, high: float) -> list[float]:
        """A list of `count` numbers in [low, high]."""
        values = self.raw(key)
        if not isinstance(values, list) or len(values) != count:
            raise self.error(f"{key}: expected a list of {count} numbers, found {values!r}")
        return [self._checked(float, value, key, low, high) for value in values]

    def pairs(self, key: str, low: tuple[float, float], high: tuple[float, float]) -> list[tuple[float, float]]:
        """A list of [a, b] pairs, each number in its range; empty when the key is not there."""
        values = self.raw(key, [])
        if not isinstance(values, list) or not all(isinstance(v, list) and len(v) == 2 for v in values):
            raise self.error(f"{key}: expected a list of [a, b] pairs, found {values!r}")
        first, second = zip(low, high)
        return [(self._checked(float, a, key, *first), self._checked(float, b, key, *second)) for a, b in values]

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
        return str(self._checked(str, self.text(key, default), key, None, None, choices))

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        return bool(self._checked(bool, self.raw(key, default), key))

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
            files = {self.origin(key) for key in found}
            told = [f"{key} ({self.origin(key)})" if len(files) > 1 else key for key in found]
            raise self.error(f"expected exactly one of {', '.join(keys)}, found {', '.join(told) or 'none'}")
        return found[0]

    def done(self) -> None:
        """Raise for the first key that nothing asked for."""
        for key in self._table:
            if key not in self._asked:
                raise self.error(f"{key}: no such key{schema.did_you_mean(key, sorted(self._asked))}")
