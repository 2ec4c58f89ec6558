"""A plan file's TOML with what it `extends` under it: tables merged, rows replaced by name or removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swathpack.edge.schema import did_you_mean
from swathpack.edge.spoken import reason
from swathpack.edge.toml_lite import TomlError, loads
from swathpack.tools.errors import UserError
from swathpack.tools.plan.origins import Told, file_of, merged, told

PRESETS = Path(__file__).parent / "presets"
CATALOGUE = PRESETS / "stations.toml"
TEMPLATE = Path(__file__).parent / "data" / "template.toml"
ROWS = ("satellite", "station", "area")
TABLES = ("radio", "imager", "codec", "storage", "energy", "objective", "uncertainty")
# Keys that name a file, which lies beside the plan that says so and not beside the one that extends it.
_FILES = {"satellite": ("tle_file", "omm_file", "oem_file"), "area": ("geojson",), "codec": ("table",)}
EVERY = "*"  # as a row's name with `remove = true`: all inherited rows

Document = dict[str, Any]


def find_plan(path: str | Path) -> Path:
    """The file itself, or the preset of that name. Raises UserError."""
    given = Path(path)
    if given.is_file():
        return given
    names = presets()
    preset = PRESETS / f"{given.name.removesuffix('.toml')}.toml"
    if given.parent == Path() and preset.stem in names:
        return preset
    raise UserError(
        f"no plan file {str(path)!r}, and no preset of that name (presets: {', '.join(names)})"
        f"{did_you_mean(given.name, names)}"
    )


def presets() -> list[str]:
    """The names of the shipped plans."""
    return sorted(p.stem for p in PRESETS.glob("*.toml") if p != CATALOGUE)


def load_document(path: Path, depth: int = 0, name: str = "") -> Document:
    """The document with what it `extends` merged underneath; every key knows its file. Raises UserError. name: of the file in
    messages, its own by default.

    Tables merge key by key, or with `replace = true` stand alone; [[satellite]], [[station]] and [[area]] rows replace
    the row of the same name and are appended otherwise, and `remove = true` takes the row of that name away. A plan that
    has no description of its own has none: the other's counts what is no longer so.
    """
    name = name or path.name
    if depth > 4:
        raise UserError(f"{name}: plans extend each other more than 4 deep")
    try:
        document: Document = told(loads(path.read_text(encoding="utf-8-sig")), name)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the plan {path}: {reason(error, path)}") from None
    except TomlError as error:
        raise UserError(f"{name} is no TOML: {error}") from None
    if depth:
        _absolute(document, path.parent)
    parent = document.pop("extends", None)
    below: Document = {}
    if parent is not None:
        if not isinstance(parent, str):
            raise UserError(f"{name}: extends: expected a file or preset name, found {parent!r}")
        below = _parent(path.parent / parent, parent, name, depth)
        below.pop("description", None)
    return _merge(below, document, name)


def _parent(beside: Path, parent: str, name: str, depth: int) -> Document:
    """What a plan extends, under the name that it has there."""
    if beside.is_file():
        return load_document(beside, depth + 1, parent)
    try:
        found = find_plan(parent)
    except UserError as error:
        raise UserError(f"{name}: extends: {error}") from None
    return load_document(found, depth + 1)


def _absolute(document: Document, folder: Path) -> None:
    for table, keys in _FILES.items():
        rows = document.get(table)
        for row in rows if isinstance(rows, list) else [rows]:
            for key in keys:
                if isinstance(row, dict) and isinstance(row.get(key), str) and row[key]:
                    row.update({key: str((folder / row[key]).resolve())})  # still of its file


def _merge(below: Document, above: Document, where: str) -> Document:
    found = merged(below, above, where)
    for key, value in above.items():
        old = below.get(key)
        if key in TABLES and isinstance(value, dict):
            table = _merge_table(old if isinstance(old, dict) else {}, value, f"{where}: [{key}]")
            found.update({key: table})
        elif key in ROWS and isinstance(value, list):
            rows = _merge_rows(old if isinstance(old, list) else [], value, f"{where}: [[{key}]]")
            found.update({key: rows})
    return found


def _merge_table(below: Document, above: Document, where: str) -> Document:
    own = Told(above, file_of(above))
    return own if _is_set(own, "replace", where) else merged(below, own, file_of(above))


def _merge_rows(below: list[Any], above: list[Any], where: str) -> list[Any]:
    kept, added = list(below), []
    for row in above:
        if isinstance(row, dict) and "replace" in row:
            raise UserError(
                f'{where}: replace: a row replaces the one of its name as it is; name = "{EVERY}" with '
                f"remove = true takes all inherited rows away"
            )
        name = row_name(row)
        if isinstance(row, dict) and _is_set(row, "remove", where):
            kept = _without(kept, name, row, where)
            continue
        kept = [other for other in kept if row_name(other) != name]
        added.append(row)
    return kept + added


def _without(rows: list[Any], name: Any, row: Document, where: str) -> list[Any]:
    """The inherited rows but the one of this name. Raises UserError when there is none, or it says more."""
    more = sorted(set(row) - {"name", "use"})
    if more:
        raise UserError(f"{where}: remove: expected nothing beside the name, found {', '.join(more)}")
    if name == EVERY:
        return []
    kept = [other for other in rows if row_name(other) != name]
    if len(kept) == len(rows):
        names = [str(row_name(other)) for other in rows]
        raise UserError(
            f"{where}: remove: expected the name of an inherited row ({', '.join(names) or 'there is none'}), "
            f"found {name!r}{did_you_mean(str(name), names)}"
        )
    return kept


def _is_set(table: Document, key: str, where: str) -> bool:
    """Takes the flag out of the table; only true is meant. Raises UserError."""
    if key not in table:
        return False
    value = table.pop(key)
    if value is not True:
        raise UserError(f"{where}: {key}: expected true, found {value!r}")
    return True


def row_name(row: Any) -> Any:
    """What a row is known by."""
    return row.get("name", row.get("use")) if isinstance(row, dict) else None


def set_key(document: Document, key: str, value: Any) -> None:
    """Set `days`, `radio.margin_db`, `station.NAME.min_elevation_deg`, `satellite.NAME.elements.altitude_km`, ...

    A key that the plan leaves at its default is set too: reading checks it like any other. Raises UserError.
    """
    first, _, rest = key.partition(".")
    place: Any = document
    if first in ROWS:
        place = next((row for row in document.get(first, []) if rest.startswith(f"{row_name(row)}.")), None)
        names = ", ".join(str(row_name(row)) for row in document.get(first, []))
        if place is None:
            raise UserError(f"{key}: expected {first}.NAME.KEY with one of the names {names or '(none)'}")
        first, _, rest = rest.removeprefix(f"{row_name(place)}.").partition(".")
    while rest:
        place = place.setdefault(first, {}) if isinstance(place, dict) else None
        first, _, rest = rest.partition(".")
    if not isinstance(place, dict) or not first:
        raise UserError(f"{key}: expected a key of the plan file, such as radio.margin_db")
    place[first] = value


__all__ = [
    "CATALOGUE",
    "EVERY",
    "PRESETS",
    "ROWS",
    "find_plan",
    "load_document",
    "presets",
    "row_name",
    "set_key",
]
