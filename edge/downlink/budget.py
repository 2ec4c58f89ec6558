"""Downlink budgets: which pass carries how many bytes, at which rate, and when.

`swathpack plan` writes `budget.toml`; the edge loop and the simulated link read it with `read_budget`:

    version = 1
    plan = "s-band-cubesat"                 name of the plan
    created = "2026-11-22T16:00:00Z"        when it was computed
    seed = 1                                seed of the uncertainty figures
    satellites = ["cubesat-1"]              all that were planned, also one without a pass; optional

    [[pass]]
    id = 1                                  unique in the file
    satellite = "cubesat-1"
    station = "svalbard"
    start = "2026-12-01T00:12:30.000Z"      first and last usable second, UTC
    end = "2026-12-01T00:20:10.000Z"
    bytes = 98304000                        for the packet queue: after framing and overhead, clear sky
    bytes_p10 = 0                           one case in ten (rain, missed pass) carries less; optional
    bytes_p90 = 98304000                    one case in ten carries more; optional
    max_elevation_deg = 41.2                optional
    rate_at_s = [0.0, 60.0]                 rate profile: from this second of the pass on ...
    rate_byte_s = [200000.0, 225000.0]      ... the radio takes this many of those bytes a second

Times are whole milliseconds (`whole_ms`), in the planner as here, so passes that touch share one. Passes of one
satellite do not overlap and stand in order of their start. The profile starts at 0.0, rises, and holds `bytes`
within 0.5 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from swathpack.edge.spoken import reason
from swathpack.edge.toml_lite import TomlError, loads

VERSION = 1
_PROFILE_TOLERANCE = 0.005
MAX_ID = (1 << 31) - 1  # packets count passes modulo 2^32, and the passes of later plans go on behind these
MAX_BYTES = (1 << 40) - 1
_PASS_KEYS = {
    "id",
    "satellite",
    "station",
    "start",
    "end",
    "bytes",
    "bytes_p10",
    "bytes_p90",
    "max_elevation_deg",
    "rate_at_s",
    "rate_byte_s",
}
_REQUIRED = ("id", "satellite", "station", "start", "end", "bytes", "rate_at_s", "rate_byte_s")


class BudgetError(ValueError):
    """A budget that cannot be flown; the message names the pass, what was expected and what was found."""


@dataclass(frozen=True)
class Pass:
    """One ground contact. Times are seconds since 1970-01-01 UTC, sizes bytes, rates bytes per second. In a file ids are below 2^31,
    bytes below 2^40.
    """

    id: int
    satellite: str
    station: str
    start_s: float
    end_s: float
    bytes: int
    rate_at_s: tuple[float, ...]
    rate_byte_s: tuple[float, ...]
    bytes_p10: int | None = None
    bytes_p90: int | None = None
    max_elevation_deg: float | None = None

    @property
    def duration_s(self) -> float:
        """Length of the contact in seconds."""
        return self.end_s - self.start_s

    def capacity(self, from_s: float, to_s: float) -> float:
        """Bytes that the radio takes between two times (the profile's integral, clipped to the pass)."""
        begin, end = max(from_s, self.start_s) - self.start_s, min(to_s, self.end_s) - self.start_s
        if end <= begin:
            return 0.0
        stops = (*self.rate_at_s[1:], self.duration_s)
        return math.fsum(
            max(0.0, min(stop, end) - max(at, begin)) * rate
            for at, stop, rate in zip(self.rate_at_s, stops, self.rate_byte_s)
        )


@dataclass(frozen=True)
class Budget:
    """A plan's passes in order of their start. planned: its satellites, those without a pass included."""

    plan: str
    created: str
    seed: int
    passes: tuple[Pass, ...]
    planned: tuple[str, ...] = ()

    def satellites(self) -> list[str]:
        """Names of the satellites, sorted."""
        return sorted({*self.planned, *(contact.satellite for contact in self.passes)})

    def for_satellite(self, satellite: str) -> Budget:
        """Only this satellite's passes. Raises BudgetError when the plan has no such satellite."""
        if satellite not in self.satellites():
            raise BudgetError(f"expected one of the satellites {self.satellites()}, found {satellite!r}")
        chosen = tuple(contact for contact in self.passes if contact.satellite == satellite)
        return Budget(self.plan, self.created, self.seed, chosen, (satellite,))


def read_budget(path: str | Path, satellite: str | None = None) -> Budget:
    """Read and check a `budget.toml`; with `satellite` only its passes.

    Raises:
        BudgetError: the file is missing, no TOML, of another version, or contradicts itself.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BudgetError(f"cannot read the budget {path}: {reason(error, path)}") from error
    budget = parse_budget(text)
    return budget if satellite is None else budget.for_satellite(satellite)


def parse_budget(text: str) -> Budget:
    """The same from text."""
    try:
        document = loads(text)
    except TomlError as error:
        raise BudgetError(f"the budget is no TOML: {error}") from error
    if document.get("version") != VERSION:
        raise BudgetError(f"expected budget version {VERSION}, found {document.get('version')!r}")
    rows = document.get("pass", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BudgetError("expected [[pass]] tables")
    passes = sorted((_parse_pass(row, at) for at, row in enumerate(rows, 1)), key=lambda p: (p.start_s, p.id))
    _check_together(passes)
    return Budget(
        _text(document, "plan", "the budget"),
        str(document.get("created", "")),
        _integer(document, "seed", "the budget", 0),
        tuple(passes),
        _planned(document),
    )


def format_budget(budget: Budget) -> str:
    """The text of `budget.toml`; `parse_budget` gives the same passes back (times to the millisecond)."""
    head = [
        f"version = {VERSION}",
        f"plan = {_quoted(budget.plan)}",
        f"created = {_quoted(budget.created)}",
        f"seed = {budget.seed}",
    ]
    if budget.planned:
        head.append(f"satellites = [{', '.join(_quoted(name) for name in budget.planned)}]")
    return "\n".join(head) + "\n" + "".join(_format_pass(contact) for contact in budget.passes)


def parse_time(text: str) -> float:
    """Seconds since 1970-01-01 UTC of an ISO 8601 time; without an offset it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def whole_ms(time_s: float) -> float:
    """The nearest whole millisecond (seconds); never puts the later of two times before the other."""
    return round(time_s, 3)


def format_time(time_s: float) -> str:
    """ISO 8601 UTC with milliseconds and Z."""
    moment = datetime.fromtimestamp(whole_ms(time_s), timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _format_pass(contact: Pass) -> str:
    lines = [
        "",
        "[[pass]]",
        f"id = {contact.id}",
        f"satellite = {_quoted(contact.satellite)}",
        f"station = {_quoted(contact.station)}",
        f'start = "{format_time(contact.start_s)}"',
        f'end = "{format_time(contact.end_s)}"',
        f"bytes = {contact.bytes}",
    ]
    lines += [f"{key} = {value}" for key in ("bytes_p10", "bytes_p90") if (value := getattr(contact, key)) is not None]
    if contact.max_elevation_deg is not None:
        lines.append(f"max_elevation_deg = {float(contact.max_elevation_deg)}")
    for key in ("rate_at_s", "rate_byte_s"):
        lines.append(f"{key} = [{', '.join(repr(float(value)) for value in getattr(contact, key))}]")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if ord(c) >= 32 and ord(c) != 127 else f"\\u{ord(c):04x}" for c in escaped) + '"'


def _parse_pass(row: dict[str, Any], at: int) -> Pass:
    where = f"[[pass]] number {at}"
    unknown, missing = sorted(set(row) - _PASS_KEYS), [key for key in _REQUIRED if key not in row]
    if unknown or missing:
        raise BudgetError(f"{where}: missing keys {missing}, unknown keys {unknown}")
    contact = Pass(
        id=_integer(row, "id", where, most=MAX_ID),
        bytes=_integer(row, "bytes", where, most=MAX_BYTES),
        satellite=_text(row, "satellite", where),
        station=_text(row, "station", where),
        start_s=_time(row, "start", where),
        end_s=_time(row, "end", where),
        rate_at_s=_reals(row, "rate_at_s", where),
        rate_byte_s=_reals(row, "rate_byte_s", where),
        bytes_p10=_integer(row, "bytes_p10", where) if "bytes_p10" in row else None,
        bytes_p90=_integer(row, "bytes_p90", where) if "bytes_p90" in row else None,
        max_elevation_deg=_real(row["max_elevation_deg"], "max_elevation_deg", where)
        if "max_elevation_deg" in row
        else None,
    )
    _check_pass(contact, where)
    return contact


def _check_pass(contact: Pass, where: str) -> None:
    if contact.end_s <= contact.start_s:
        raise BudgetError(f"{where}: expected an end after the start, found a length of {contact.duration_s:.3f} s")
    at, rates = contact.rate_at_s, contact.rate_byte_s
    if not at or len(at) != len(rates) or at[0] != 0.0 or any(b <= a for a, b in zip(at, at[1:])):
        raise BudgetError(
            f"{where}: expected rate_at_s to rise from 0.0 with one rate_byte_s each, "
            f"found {len(at)} and {len(rates)} values"
        )
    if at[-1] >= contact.duration_s or min(rates) < 0:
        raise BudgetError(f"{where}: expected rates >= 0 that start within the pass ({contact.duration_s:.3f} s)")
    profile = contact.capacity(contact.start_s, contact.end_s)
    if abs(profile - contact.bytes) > max(1.0, _PROFILE_TOLERANCE * contact.bytes):
        raise BudgetError(f"{where}: expected a rate profile of {contact.bytes} bytes, found {profile:.0f}")


def _check_together(passes: list[Pass]) -> None:
    """Ids are unique and the passes of each satellite follow one another."""
    seen: set[int] = set()
    last: dict[str, Pass] = {}
    for contact in passes:
        if contact.id in seen:
            raise BudgetError(f"expected unique pass ids, found {contact.id} twice")
        seen.add(contact.id)
        before = last.get(contact.satellite)
        if before is not None and contact.start_s < before.end_s:
            raise BudgetError(f"passes {before.id} and {contact.id} of {contact.satellite!r} overlap")
        last[contact.satellite] = contact


def _planned(document: dict[str, Any]) -> tuple[str, ...]:
    names = document.get("satellites", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BudgetError(f"the budget: expected a list of names for satellites, found {names!r}")
    return tuple(names)


def _text(row: dict[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise BudgetError(f"{where}: expected text for {key}, found {value!r}")
    return value


def _integer(row: dict[str, Any], key: str, where: str, default: int | None = None, most: int | None = None) -> int:
    value = row.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BudgetError(f"{where}: expected a whole number >= 0 for {key}, found {value!r}")
    if most is not None and value > most:
        raise BudgetError(f"{where}: expected at most {most} for {key}, found {value}")
    return value


def _real(value: Any, key: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BudgetError(f"{where}: expected a finite number for {key}, found {value!r}")
    return float(value)


def _reals(row: dict[str, Any], key: str, where: str) -> tuple[float, ...]:
    value = row[key]
    if not isinstance(value, list):
        raise BudgetError(f"{where}: expected a list of numbers for {key}, found {value!r}")
    return tuple(_real(item, key, where) for item in value)


def _time(row: dict[str, Any], key: str, where: str) -> float:
    value = row[key]
    try:
        return whole_ms(parse_time(value))
    except (ValueError, TypeError, AttributeError) as error:
        raise BudgetError(
            f"{where}: expected a UTC time such as 2026-12-01T00:00:00Z for {key}, found {value!r}"
        ) from error
