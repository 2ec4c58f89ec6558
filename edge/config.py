"""The mission's configuration: one TOML file, every value checked, every message naming the key.

The tables are the dataclasses below; a key that is not theirs is an error that suggests the nearest one.
Paths are relative to the file. `docs/runtime.md` lists all keys.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from swathpack.edge.codec.base_layer import MAX_SHIFT
from swathpack.edge.context.layout import Geometry
from swathpack.edge.context.policy import ContextSettings, Policy
from swathpack.edge.downlink.passrun import LinkSettings
from swathpack.edge.downlink.plan import PlanSettings
from swathpack.edge.health.throttle import ThrottleSettings
from swathpack.edge.toml_lite import TomlError, loads

MIN_PACKET_BYTES = 192


class ConfigError(ValueError):
    """The configuration cannot be used; the message names the key, what was expected and what was found."""


@dataclass(frozen=True)
class SourceConfig:
    """[source] kind: folder, ring, tcp, udp or synthetic."""

    kind: str = "folder"
    path: Path = Path("inbox")
    name: str = "swathpack"
    host: str = "127.0.0.1"
    port: int = 5801
    settle_s: float = 1.0
    max_frame_mb: int = 1024
    max_senders: int = 4
    idle_s: float = 30.0
    message_s: float = 600.0
    count: int = 0
    places: int = 1
    size: int = 256
    every_s: float = 0.0


@dataclass(frozen=True)
class PortConfig:
    """[port] kind: file, tcp or udp."""

    kind: str = "file"
    path: Path = Path("outbox")
    host: str = "127.0.0.1"
    port: int = 5802


@dataclass(frozen=True)
class UplinkConfig:
    """[uplink] kind: folder or udp. key_file: the secrets shared with the ground (`swathpack.edge.install.link_keys`).

    insecure: reports are taken from whoever reaches the uplink.
    """

    kind: str = "folder"
    path: Path = Path("uplink")
    host: str = "127.0.0.1"
    port: int = 5803
    key_file: Path | None = None
    insecure: bool = False


@dataclass(frozen=True)
class PassConfig:
    """[passes] budget: a budget.toml of the planner; or bytes and every_s for a pass at fixed intervals.

    satellite: whose passes of the budget these are; needed when it plans several.
    """

    budget: Path | None = None
    satellite: str = ""
    bytes: int = 0
    every_s: float = 0.0
    patience: int = 4
    paced: bool = False


@dataclass(frozen=True)
class ContextConfig:
    """[context] size of the slot file besides the policy's settings."""

    policy: str = "confirmed"
    refresh_every: int = 20
    max_age_days: int = 730
    slots: int = 65536
    slot_bytes: int = 32768
    ways: int = 64
    memory_mb: int = 256


@dataclass(frozen=True)
class RegionConfig:
    """[[coding.regions]] tiles rows[0] <= row < rows[1], likewise columns, of a place: the weight is
    multiplied.

    urgency 1: these tiles go down before all others.
    """

    place: int = 0
    rows: tuple[int, ...] = (0, 1 << 12)
    columns: tuple[int, ...] = (0, 1 << 12)
    weight: float = 1.0
    urgency: int = 0


@dataclass(frozen=True)
class CodingConfig:
    """[coding] tile: side in pixels. cloud_discount: share of its weight that a fully clouded tile loses.

    q: quantiser step index of every tile. base: most octaves from its step to that of the base layer, 0 for no
    base (`swathpack.edge.codec.base_layer.usual_shift`). slope: of rate-distortion optimised quantisation, 0 for none.
    mode: of every tile, learned, transform, or auto for the better of both (`swathpack.edge.codec.plain`). weights: of
    the bands (`swathpack.edge.codec.transform_coder.weights_for`). finest_dn: of the transform coder's last bit plane.
    engine: of the entropy network. analysis: float or int8, see
    `swathpack.edge.codec.analysis`. canary_s: seconds between two codings of the canary tile.
    """

    tile: int = 256
    q: int = 28
    base: int = MAX_SHIFT
    slope: float = 0.0
    mode: str = "auto"
    weights: str = "auto"
    finest_dn: float = 4.0
    engine: str = "auto"
    analysis: str = "float"
    threads: int = 1
    canary_s: float = 300.0
    cloud_discount: float = 0.8
    floor_layers: int = 1
    rounds: tuple[int, ...] = (1, 16)
    prefetch: int = 4
    max_tries: int = 3
    regions: tuple[RegionConfig, ...] = ()


@dataclass(frozen=True)
class LimitsConfig:
    """[limits] what the runtime may take of the board. memory_mb: resident memory of the process, 0 for any."""

    work_tiles: int = 20000
    queue_mb: int = 8192
    keep_passes: int = 200
    min_free_mb: int = 512
    ballast_mb: int = 32
    keep_frames: str = "confirmed"
    stall_s: float = 120.0
    memory_mb: int = 6144


@dataclass(frozen=True)
class Mission:
    """The whole file."""

    state: Path = Path("state")
    model: Path | None = None
    source: SourceConfig = field(default_factory=SourceConfig)
    port: PortConfig = field(default_factory=PortConfig)
    uplink: UplinkConfig = field(default_factory=UplinkConfig)
    passes: PassConfig = field(default_factory=PassConfig)
    context: ContextConfig = field(default_factory=ContextConfig)
    coding: CodingConfig = field(default_factory=CodingConfig)
    link: LinkSettings = field(default_factory=LinkSettings)
    throttle: ThrottleSettings = field(default_factory=ThrottleSettings)
    limits: LimitsConfig = field(default_factory=LimitsConfig)

    @property
    def geometry(self) -> Geometry:
        """Of the context file."""
        return Geometry(self.context.slots, self.context.slot_bytes, self.context.ways)

    @property
    def context_settings(self) -> ContextSettings:
        """For the choice of contexts."""
        c = self.context
        return ContextSettings(Policy(c.policy), c.refresh_every, c.max_age_days * 86400)

    @property
    def plan(self) -> PlanSettings:
        """For the planning of passes."""
        return PlanSettings(self.coding.floor_layers, self.coding.rounds)


# Key -> (lowest, highest) or the words allowed. A key that is not here is only checked for its type.
_ALLOWED: dict[str, Any] = {
    "source.kind": ("folder", "ring", "tcp", "udp", "synthetic"),
    "source.port": range(0, 65536),
    "source.settle_s": (0.0, 3600.0),
    "source.max_frame_mb": range(1, 65537),
    "source.max_senders": range(1, 65),
    "source.idle_s": (0.1, 86400.0),
    "source.message_s": (1.0, 86400.0),
    "source.count": range(0, 1 << 31),
    "source.places": range(1, 1 << 20),
    "source.size": range(64, 32769),
    "source.every_s": (0.0, 1e9),
    "port.kind": ("file", "tcp", "udp"),
    "port.port": range(0, 65536),
    "uplink.kind": ("folder", "udp"),
    "uplink.port": range(0, 65536),
    "passes.bytes": range(0, 1 << 40),
    "passes.every_s": (0.0, 1e9),
    "passes.patience": range(1, 1001),
    "coding.analysis": ("float", "int8"),
    "coding.mode": ("auto", "learned", "transform"),
    "coding.weights": ("auto", "equal", "visible"),
    "context.policy": ("confirmed", "sent"),
    "context.refresh_every": range(0, 1 << 20),
    "context.max_age_days": range(1, 36501),
    "context.memory_mb": range(1, 1 << 20),
    "coding.q": range(0, 64),
    "coding.base": range(0, 4),
    "coding.slope": (0.0, 1.0),
    "coding.finest_dn": (0.5, 4096.0),
    "coding.threads": range(1, 65),
    "coding.canary_s": (1.0, 86400.0),
    "coding.tile": range(64, 257),
    "coding.cloud_discount": (0.0, 1.0),
    "coding.floor_layers": range(0, 2),
    "coding.regions.weight": (0.0, 1e6),
    "coding.regions.urgency": range(0, 10),
    "coding.prefetch": range(1, 257),
    "coding.max_tries": range(1, 101),
    "link.packet_bytes": range(MIN_PACKET_BYTES, 65543),
    "link.reserve_bytes": range(1024, 1 << 30),
    "link.erasure": ("none", "cauchy", "raptorq"),
    "link.block_packets": range(1, 129),
    "link.parity_packets": range(0, 128),
    "link.housekeeping_share": (0.0, 0.5),
    "throttle.max_temperature_c": (0.0, 200.0),
    "throttle.margin": (0.0, 0.5),
    "throttle.hold_s": (0.0, 3600.0),
    "throttle.max_power_w": (0.0, 1e4),
    "throttle.min_energy": (0.0, 1.0),
    "limits.work_tiles": range(1, 1 << 24),
    "limits.queue_mb": range(1, 1 << 24),
    "limits.keep_passes": range(1, 1 << 20),
    "limits.min_free_mb": range(0, 1 << 24),
    "limits.ballast_mb": range(0, 4097),
    "limits.keep_frames": ("coded", "confirmed"),
    "limits.stall_s": (1.0, 86400.0),
    "limits.memory_mb": range(0, 1 << 24),
}


def read_mission(path: Path) -> Mission:
    """The configuration in a file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return parse_mission(text, path.resolve().parent)


def parse_mission(text: str, base: Path) -> Mission:
    """The configuration in a text; `base` is where relative paths start. Raises ConfigError."""
    try:
        values = loads(text)
    except TomlError as error:
        raise ConfigError(str(error)) from error
    mission = _build(Mission, values, "", base)
    assert isinstance(mission, Mission)
    _check_together(mission)
    return mission


def _build(kind: type, values: Any, prefix: str, base: Path) -> object:
    if not isinstance(values, dict):
        raise ConfigError(f"[{prefix.rstrip('.')}]: expected a table, found {values!r}")
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    built: dict[str, Any] = {}
    for name, value in values.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(names)}"
            raise ConfigError(f"{prefix}{name}: no such key{hint}")
        built[name] = _value(hints[name], value, prefix + name, base)
    made: object = kind(**{f.name: built.get(f.name, _default(f, base)) for f in dataclasses.fields(kind)})
    return made


def _default(item: dataclasses.Field[Any], base: Path) -> Any:
    value = item.default if item.default is not dataclasses.MISSING else None
    if item.default_factory is not dataclasses.MISSING:
        value = item.default_factory()
        # Tables that the file leaves out still have paths, and those start at the file too.
        return _build(type(value), {}, "", base) if dataclasses.is_dataclass(value) else value
    return base / value if isinstance(value, Path) else value


def _value(hint: Any, value: Any, key: str, base: Path) -> Any:
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, key + ".", base)
    if hint is Path:
        return base / _typed(value, str, key, "a path")
    if typing.get_origin(hint) is tuple and dataclasses.is_dataclass(typing.get_args(hint)[0]):
        tables = _typed(value, list, key, "a list of tables")
        return tuple(_build(typing.get_args(hint)[0], v, f"{key}.", base) for v in tables)
    if typing.get_origin(hint) is tuple:
        return tuple(_typed(v, int, key, "whole numbers") for v in _typed(value, list, key, "a list"))
    if isinstance(hint, type) and issubclass(hint, Enum):
        hint = str
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return _allowed(_typed(value, hint, key, words.get(hint, str(hint))), key)


def _typed(value: Any, kind: type, key: str, word: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{key}: expected {word}, found {value!r}")
    return value


def _allowed(value: Any, key: str) -> Any:
    allowed = _ALLOWED.get(key)
    if allowed is None:
        return value
    if isinstance(allowed, range):
        good, text = value in allowed, f"{allowed.start} to {allowed.stop - 1}"
    elif isinstance(value, str):
        good, text = value in allowed, f"one of {', '.join(allowed)}"
    else:
        good, text = allowed[0] <= value <= allowed[1], f"{allowed[0]:g} to {allowed[1]:g}"
    if not good:
        raise ConfigError(f"{key}: expected {text}, found {value!r}")
    return value


def _check_together(mission: Mission) -> None:
    """What single keys cannot tell."""
    passes, rounds = mission.passes, mission.coding.rounds
    if passes.budget is None and (passes.bytes == 0 or passes.every_s == 0):
        raise ConfigError('passes: expected budget = "budget.toml", or bytes and every_s')
    if mission.uplink.key_file is None and not mission.uplink.insecure:
        raise ConfigError(
            "uplink.key_file: expected the link keys, made by `swathpack keys`, that reports are signed with, "
            "or insecure = true, found neither"
        )
    if mission.uplink.key_file is not None and mission.uplink.insecure:
        raise ConfigError("uplink.insecure: expected no key_file with insecure = true, found both")
    if mission.coding.tile % 64:
        raise ConfigError(f"coding.tile: expected a multiple of 64, found {mission.coding.tile}")
    if list(rounds) != sorted(set(rounds)) or not rounds or rounds[0] < 1 or rounds[-1] != 16:
        raise ConfigError(f"coding.rounds: expected rising layer counts that end in 16, found {list(rounds)}")
    if any(len(r.rows) != 2 or len(r.columns) != 2 for r in mission.coding.regions):
        raise ConfigError("coding.regions: expected rows = [first, behind the last], columns alike")
    try:
        geometry = mission.geometry
    except ValueError as error:
        raise ConfigError(f"context: {error}") from error
    if geometry.memory_bytes > mission.context.memory_mb << 20:
        needed, allowed = geometry.memory_bytes, mission.context.memory_mb << 20
        raise ConfigError(
            f"context.slots: {geometry.slots} slots need {needed} bytes of memory, context.memory_mb allows {allowed}"
        )
