"""Tables of plan files that know which file of a chain of `extends` each of their keys stands in."""

from __future__ import annotations

from typing import Any


class Told(dict[str, Any]):
    """A table of a plan. file: the last of the chain that says anything of it. origins: by key the file that set it. number: of a
    row, among those of its kind in its file, from 1.
    """

    def __init__(
        self, values: dict[str, Any], file: str, origins: dict[str, str] | None = None, number: int = 0
    ) -> None:
        super().__init__(values)
        self.file, self.number = file, number
        self.origins = dict.fromkeys(values, file) if origins is None else origins

    def __setitem__(self, key: str, value: Any) -> None:
        """A value that stands in no file."""
        super().__setitem__(key, value)
        self.origins[key] = ""


def told(value: Any, file: str, number: int = 0) -> Any:
    """The same value, its tables at every depth `Told` to be of a file."""
    if isinstance(value, dict):
        return Told({key: told(item, file) for key, item in value.items()}, file, number=number)
    if isinstance(value, list):
        return [told(item, file, at) for at, item in enumerate(value, 1)]
    return value


def merged(below: dict[str, Any], above: dict[str, Any], file: str) -> Told:
    """Both tables, the upper one's values over the lower one's."""
    origins = {**origins_of(below), **origins_of(above)}
    return Told({**below, **above}, file_of(above) or file, origins)


def origins_of(table: Any) -> dict[str, str]:
    """By key the file that set it; empty for a table that came from no file."""
    return table.origins if isinstance(table, Told) else {}


def file_of(table: Any) -> str:
    """The file that had the last word on a table; empty for one that came from none."""
    return table.file if isinstance(table, Told) else ""


def number_of(row: Any, usual: int) -> int:
    """A row's number in its file."""
    return row.number if isinstance(row, Told) and row.number else usual
