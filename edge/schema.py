"""What a settings file may say, stated beside the fields: types, limits and words, and one message that names the key.

A dataclass is a table and a field a key, its type from the annotation and its limits from `key`; `read` fills one from what
TOML gave. The mission, scenarios and plans are read so. A number that would be right in another unit is said to be so.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

Table = TypeVar("Table")
MOST_ITEMS = 1000
_KINDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", Path: "a path"}
# By the end of a key's name: factor that turns a number given in the unit into the one that the name states.
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


class SchemaError(ValueError):
    """A value that may not stand there; the message names its key, what was expected and what was found."""


def key(
    default: Any = dataclasses.MISSING, low: float | None = None, high: float | None = None, words: Any = ()
) -> Any:
    """A dataclass field that holds a number in [low, high] or one of `words`; without a default it must be there."""
    limits = {"low": low, "high": high, "words": words}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=limits)
    return dataclasses.field(default=default, metadata=limits)


def read(kind: type[Table], values: Any, base: Path = Path(), prefix: str = "") -> Table:
    """A table as its dataclass; relative paths start at `base`, those of defaults too. Raises SchemaError."""
    if not isinstance(values, dict):
        raise SchemaError(f"{prefix.rstrip('.')}: expected a table, found {values!r}")
    hints, fields = typing.get_type_hints(kind), {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            raise SchemaError(f"{prefix}{name or repr(name)}: no such key{did_you_mean(name, fields, '; known: {}')}")
    return kind(
        **{
            name: _given(hints[name], item, values[name], base, prefix + name)
            if name in values
            else _default(hints[name], item, base, prefix + name)
            for name, item in fields.items()
        }
    )


def _default(hint: Any, item: dataclasses.Field[Any], base: Path, name: str) -> Any:
    if item.default_factory is not dataclasses.MISSING:
        value = item.default_factory()
        return read(type(value), {}, base) if dataclasses.is_dataclass(value) else value
    if item.default is dataclasses.MISSING:
        span = _span(hint, item.metadata.get("low"), item.metadata.get("high"), " from ")
        raise SchemaError(f"{name} is missing (expected {_KINDS[hint]}{span})")
    return base / item.default if isinstance(item.default, Path) else item.default


def _given(hint: Any, item: dataclasses.Field[Any], value: Any, base: Path, name: str) -> Any:
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return read(hint, value, base, f"{name}.")
    if typing.get_origin(hint) is tuple:
        part = typing.get_args(hint)[0]
        if dataclasses.is_dataclass(part):
            return tuple(_given(part, item, v, base, f"{name} {i}") for i, v in enumerate(_list(value, name), 1))
        return tuple(_given(part, item, v, base, name) for v in _list(value, name, 1))
    checked = check(hint, value, name, **item.metadata)
    if checked == "" and (item.default != "" or item.metadata.get("words")):
        raise SchemaError(f"{name}: expected a text that is not empty")
    return base / checked if hint is Path else checked


def _list(value: Any, name: str, least: int = 0) -> list[Any]:
    if not isinstance(value, list) or not least <= len(value) <= MOST_ITEMS:
        what = f"a list of {least} to {MOST_ITEMS} values" if least else f"[[{name}]] tables"
        raise SchemaError(f"{name}: expected {what}, found {value!r}")
    return value


def check(
    kind: type, value: Any, name: str, low: float | None = None, high: float | None = None, words: Iterable[str] = ()
) -> Any:
    """The value, an int as a float where one is meant, within [low, high] or among `words`. Raises SchemaError."""
    wanted: Any = str if kind is Path else kind
    made: Any = _whole_or_not(kind, value)
    if not isinstance(made, wanted) or isinstance(made, bool) != (kind is bool):
        raise SchemaError(f"{name}: expected {_KINDS[kind]}{_span(kind, low, high, ' from ')}, found {value!r}")
    if isinstance(made, float) and low is None and not math.isfinite(made):
        raise SchemaError(f"{name}: expected a number, found {value!r}")
    if low is not None and high is not None and not low <= made <= high:
        hint = _unit_hint(name, made, low, high)
        raise SchemaError(f"{name}: expected {_span(kind, low, high)}, found {value!r}{hint}")
    if words and made and made not in words:
        raise SchemaError(f"{name}: expected one of {', '.join(words)}, found {value!r}{did_you_mean(value, words)}")
    return made


def _whole_or_not(kind: type, value: Any) -> Any:
    """An int as a float where one is meant, and the other way round where nothing is lost."""
    if kind is float and type(value) is int:
        return float(value)
    return int(value) if kind is int and isinstance(value, float) and value.is_integer() else value


def _span(kind: type, low: float | None, high: float | None, before: str = "") -> str:
    if low is None or high is None:
        return ""
    return before + (f"{low:g} to {high:g}" if kind is float else f"{low} to {high}")


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """`; did you mean 'x'?` for the nearest known word; without one `otherwise`, with all of them in its braces."""
    found = difflib.get_close_matches(word, known := list(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else otherwise.format(", ".join(known))


def _unit_hint(name: str, value: float, low: float, high: float) -> str:
    """` (... looks like MHz: write 2.2)` when another unit would put the value into the range."""
    suffix = next((s for s in sorted(UNIT_SLIPS, key=len, reverse=True) if name.endswith("_" + s)), "")
    for unit, factor in UNIT_SLIPS.get(suffix, {}).items():
        if low <= value * factor <= high:
            return f" ({value:g} looks like {unit}: write {value * factor:.6g})"
    return ""
