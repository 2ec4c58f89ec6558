"""A scenario: one TOML file that says what a campaign simulates, checked so that every message names its key.

Tables and keys are the dataclasses below; a key that is not theirs, or a value out of range, is one message.
`docs/hil.md` explains them.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swathpack.edge.radiometry import MAX_COUNT
from swathpack.edge.schema import SchemaError, key, read
from swathpack.edge.spoken import reason
from swathpack.edge.toml_lite import TomlError, loads
from swathpack.hil_tests.scenario.catalogue import CATALOGUE
from swathpack.tools.errors import UserError
from swathpack.tools.words import names_folder

FOLDER = Path(__file__).with_name("scenarios")
ENGINES = r"auto|float32|int64|onnxruntime(:(off|basic|extended|all))?|tensorrt(:dla[01])?"


@dataclass(frozen=True)
class Passes:
    """[passes] plan: a plan or preset of `swathpack plan`: orbit, stations, radio. share: of the radio's bytes."""

    plan: str = "s-band-cubesat"
    station: str = ""  # only this one of the plan's stations
    min_elevation_deg: float = key(10.0, 0, 89)  # of a pass's top
    share: float = key(0.001, 1e-6, 1)
    per_day: int = key(3, 1, 40)  # at most, the highest of a day


@dataclass(frozen=True)
class Sensor:
    """[sensor] data: real (cubes of --data), demo (downloaded), synthetic, or auto: the first that is there."""

    data: str = key("auto", words=("auto", "real", "demo", "synthetic"))
    places: int = key(6, 1, 64)
    every_h: float = key(24.0, 0.5, 240)
    height: int = key(128, 64, 512)
    width: int = key(64, 64, 512)


@dataclass(frozen=True)
class Link:
    """[link] packet loss and bit errors fall from `low` at 10 degrees of elevation towards `high` overhead."""

    loss_low: float = key(0.08, 0, 0.9)
    loss_high: float = key(0.004, 0, 0.9)
    bit_errors_low: float = key(2e-6, 0, 0.01)
    bit_errors_high: float = key(1e-8, 0, 0.01)
    packet_bytes: int = key(512, 192, 4096)


@dataclass(frozen=True)
class BoardModel:
    """[board] the codec's settings, and the board's power and heat as lumped parts."""

    tile: int = key(64, 64, 256)
    q: int = key(28, 0, 63)
    max_error: int | None = key(None, 0, MAX_COUNT)
    engine: str = "auto"
    encode_s: float = key(0.5, 0, 60)
    canary_s: float = key(3600.0, 1, 86400)
    restart_s: float = key(20.0, 1, 600)
    idle_w: float = key(3.0, 0, 100)
    coding_w: float = key(12.0, 0, 100)
    radio_w: float = key(8.0, 0, 100)
    panel_w: float = key(14.0, 0, 1000)
    battery_wh: float = key(40.0, 1, 1000)
    heat_capacity_j_k: float = key(900.0, 10, 1e6)
    conductance_w_k: float = key(0.25, 0.001, 100)
    sunlit_c: float = key(20.0, -100, 100)
    eclipse_c: float = key(-15.0, -100, 100)
    max_temperature_c: float = key(60.0, 20, 120)


@dataclass(frozen=True)
class Fault:
    """[[fault]] kind: see `swathpack.hil_tests.scenario.catalogue`. count: how often. hours, strength: 0 for the kind's own.

    at_h: hours from the start at which it happens, drawn when left out. What befalls a frame or a pass befalls the first
    one from then on.
    """

    kind: str = key("", words=tuple(CATALOGUE))
    count: int = key(1, 0, 1000)
    hours: float = key(0.0, 0, 240)
    strength: float = key(0.0, 0, 1e9)
    at_h: tuple[float, ...] = key((), 0, 24 * 400)


@dataclass(frozen=True)
class Require:
    """[require] what the campaign must reach besides the promises that always hold."""

    days: float = key(0.0, 0, 1000)
    passes: int = key(0, 0, 100000)
    injections: int = key(0, 0, 1000)  # of every fault class of the scenario
    psnr_db: float = key(0.0, 0, 100)  # median over tiles at the end, against the frame as the sensor gave it


@dataclass(frozen=True)
class Scenario:
    """All tables of a scenario file."""

    name: str = "scenario"
    description: str = ""
    start: str = "2026-12-01T00:00:00Z"
    days: float = key(30.0, 0.01, 400)
    seed: int = key(1, 0, 2**31)
    passes: Passes = field(default_factory=Passes)
    sensor: Sensor = field(default_factory=Sensor)
    link: Link = field(default_factory=Link)
    board: BoardModel = field(default_factory=BoardModel)
    require: Require = field(default_factory=Require)
    fault: tuple[Fault, ...] = ()


_TABLES = ("passes", "sensor", "link", "board", "require")


def find_scenario(given: str) -> Path:
    """A file, or a shipped scenario by name. Raises UserError."""
    if Path(given).is_file():
        return Path(given)
    shipped = {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}
    if given in shipped:
        return shipped[given]
    raise UserError(f"no scenario file {given!r}, and no shipped one of that name (shipped: {', '.join(shipped)})")


def read_scenario(given: str, days: float | None = None, seed: int | None = None) -> Scenario:
    """Read and check; the arguments override the file. Raises UserError."""
    path = find_scenario(given)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {reason(error, path)}") from error
    changes = {k: v for k, v in (("days", days), ("seed", seed)) if v is not None}
    return parse_scenario(text, path.stem, changes)


def parse_scenario(text: str, name: str = "scenario", changes: dict[str, Any] | None = None) -> Scenario:
    """The same from a text. Raises UserError."""
    try:
        values = loads(text)
    except TomlError as error:
        raise UserError(f"{name}: {error}") from error
    if not values:
        raise UserError(f"{name}: expected a scenario, found no key in it")
    values |= changes or {}
    try:
        scenario = read(Scenario, {"name": name} | values)
    except SchemaError as error:
        raise UserError(f"{name}: {error}") from error
    if not names_folder(scenario.name):  # hil-NAME, unless --out says where
        raise UserError(f"{name}: name: expected a name that can be a folder's, found {scenario.name!r}")
    given = zip(scenario.fault, values.get("fault", []))
    faults = tuple(_counted(fault, row, f"{name}: fault {i}.") for i, (fault, row) in enumerate(given, 1))
    scenario = dataclasses.replace(scenario, fault=faults)
    _check_together(scenario)
    return scenario


def _counted(fault: Fault, row: dict[str, Any], where: str) -> Fault:
    """One [[fault]]: it says what it is, and `count` is how many times it names."""
    if not fault.kind:
        raise UserError(f"{where}kind: expected one of {', '.join(CATALOGUE)}, found none")
    for name in ("hours", "strength"):
        if getattr(fault, name) and not getattr(CATALOGUE[fault.kind], name):
            raise UserError(f"{where}{name}: expected none, for {fault.kind} has none, found {getattr(fault, name):g}")
    if not fault.at_h:
        return fault
    if row.get("count", len(fault.at_h)) != len(fault.at_h):
        raise UserError(f"{where}count: expected {len(fault.at_h)}, as at_h has times, found {fault.count}")
    return dataclasses.replace(fault, count=len(fault.at_h))


def _check_together(s: Scenario) -> None:
    """What single keys cannot tell."""
    from swathpack.edge.downlink.budget import parse_time

    try:
        parse_time(s.start)
    except ValueError:
        raise UserError(
            f"{s.name}: start: expected a UTC time such as 2026-12-01T00:00:00Z, found {s.start!r}"
        ) from None
    for name, value in (
        ("board.tile", s.board.tile),
        ("sensor.height", s.sensor.height),
        ("sensor.width", s.sensor.width),
    ):
        if value % 64:
            raise UserError(f"{s.name}: {name}: expected a multiple of 64, found {value}")
    if s.board.max_error is not None and s.board.q != BoardModel.q:
        raise UserError(f"{s.name}: board.q: expected without board.max_error, which all tiles keep, found {s.board.q}")
    if s.link.loss_high > s.link.loss_low or s.link.bit_errors_high > s.link.bit_errors_low:
        raise UserError(f"{s.name}: link: expected loss and bit errors at low elevation to be the larger ones")
    if not all(re.fullmatch(ENGINES, name.strip()) for name in s.board.engine.split(",")):
        raise UserError(
            f"{s.name}: board.engine: expected auto or names of swathpack engines list, found {s.board.engine!r}"
        )
    for number, fault in enumerate(s.fault, 1):
        if fault.at_h and max(fault.at_h) >= s.days * 24:
            raise UserError(
                f"{s.name}: fault {number}.at_h: expected less than the campaign's {s.days * 24:g} hours, "
                f"found {max(fault.at_h):g}"
            )
    kinds = [fault.kind for fault in s.fault]
    if len(kinds) != len(set(kinds)):
        raise UserError(f"{s.name}: fault: expected each kind once, found {', '.join(sorted(kinds))}")


def to_toml(s: Scenario) -> str:
    """The scenario with every default written out, for the record."""

    def value(v: Any) -> str:
        return json.dumps(v if isinstance(v, str) else list(v)) if isinstance(v, (str, tuple)) else repr(v)

    lines = [
        f"{f.name} = {value(getattr(s, f.name))}" for f in dataclasses.fields(s) if f.name not in (*_TABLES, "fault")
    ]
    for table in _TABLES:
        part = getattr(s, table)
        said = [(f.name, getattr(part, f.name)) for f in dataclasses.fields(part)]
        lines += ["", f"[{table}]", *(f"{name} = {value(v)}" for name, v in said if v is not None)]
    for fault in s.fault:
        given = [f.name for f in dataclasses.fields(fault) if f.name != "at_h" or fault.at_h]
        lines += ["", "[[fault]]", *(f"{name} = {value(getattr(fault, name))}" for name in given)]
    return "\n".join(lines) + "\n"
