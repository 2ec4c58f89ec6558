"""The mission's configuration: one TOML file, every value checked, every message naming the key.

The tables are the dataclasses below, the limits beside the keys (`swathpack.edge.schema`).
Paths are relative to the file. `docs/runtime.md` lists all keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from swathpack.edge.codec.pixels import MAX_FLIGHT_TILE, TILE
from swathpack.edge.codec.protocol import Goal
from swathpack.edge.codec.settings import CodecSettings
from swathpack.edge.context.layout import Geometry
from swathpack.edge.downlink.context_policy import ContextSettings, Policy
from swathpack.edge.downlink.passrun import LinkSettings, smallest_pass
from swathpack.edge.downlink.plan import PlanSettings
from swathpack.edge.health.throttle import ThrottleSettings
from swathpack.edge.radiometry import MAX_COUNT
from swathpack.edge.schema import SchemaError, key, read
from swathpack.edge.spoken import reason
from swathpack.edge.stream.header import TILE_STEP
from swathpack.edge.toml_lite import TomlError, loads

MAX_TILES = 256  # rows, and columns, of tiles within a place


class ConfigError(ValueError):
    """The configuration cannot be used; the message names the key, what was expected and what was found."""


@dataclass(frozen=True)
class SourceConfig:
    """[source] kind: folder, ring, tcp, udp or synthetic."""

    kind: str = key("folder", words=("folder", "ring", "tcp", "udp", "synthetic"))
    path: Path = Path("inbox")
    name: str = "swathpack"
    host: str = "127.0.0.1"
    port: int = key(5801, 0, 65535)
    settle_s: float = key(1.0, 0.0, 3600.0)
    max_frame_mb: int = key(1024, 1, 65536)
    max_senders: int = key(4, 1, 64)
    idle_s: float = key(30.0, 0.1, 86400.0)
    message_s: float = key(600.0, 1.0, 86400.0)
    count: int = key(0, 0, (1 << 31) - 1)
    places: int = key(1, 1, (1 << 20) - 1)
    size: int = key(256, 64, 32768)
    every_s: float = key(0.0, 0.0, 1000000000.0)


@dataclass(frozen=True)
class PortConfig:
    """[port] kind: file, tcp or udp."""

    kind: str = key("file", words=("file", "tcp", "udp"))
    path: Path = Path("outbox")
    host: str = "127.0.0.1"
    port: int = key(5802, 0, 65535)


@dataclass(frozen=True)
class UplinkConfig:
    """[uplink] kind: folder or udp. key_file: the secrets shared with the ground (`swathpack.edge.packets.link_keys`).

    insecure: reports are taken from whoever reaches the uplink.
    """

    kind: str = key("folder", words=("folder", "udp"))
    path: Path = Path("uplink")
    host: str = "127.0.0.1"
    port: int = key(5803, 0, 65535)
    key_file: Path | None = None
    insecure: bool = False


@dataclass(frozen=True)
class DownlinkConfig:
    """[downlink] key_file: the secrets that sign every packet (`swathpack.edge.packets.security`); none: nobody signs."""

    key_file: Path | None = None


@dataclass(frozen=True)
class PassConfig:
    """[passes] budget: a budget.toml of the planner; or bytes and every_s for a pass at fixed intervals.

    satellite: whose passes of the budget these are; needed when it plans several.
    """

    budget: Path | None = None
    satellite: str = ""
    bytes: int = key(0, 0, (1 << 40) - 1)
    every_s: float = key(0.0, 0.0, 1000000000.0)
    patience: int = key(4, 1, 1000)
    paced: bool = False


@dataclass(frozen=True)
class ContextConfig:
    """[context] size of the slot file besides the policy's settings."""

    policy: str = key("confirmed", words=("confirmed", "sent"))
    refresh_every: int = key(20, 0, (1 << 20) - 1)
    max_age_days: int = key(730, 1, 36500)
    slots: int = 65536
    slot_bytes: int = 32768
    ways: int = 64
    memory_mb: int = key(256, 1, (1 << 20) - 1)


@dataclass(frozen=True)
class RegionConfig:
    """[[coding.regions]] tiles rows[0] <= row < rows[1], likewise columns, of a place: the weight is
    multiplied.

    urgency 1: these tiles go down before all others. max_error: no count of them comes back off by more than that; q, finest_dn:
    in the place of those of [coding]. name: for people.
    """

    name: str = ""
    place: int = key(0, 0, (1 << 26) - 1)
    rows: tuple[int, ...] = key((0, 1 << 12), 0, 1 << 12)
    columns: tuple[int, ...] = key((0, 1 << 12), 0, 1 << 12)
    weight: float = key(1.0, 0.0, 1000000.0)
    urgency: int = key(0, 0, 9)
    max_error: int | None = key(None, 0, MAX_COUNT)
    q: int | None = key(None, 0, 63)
    finest_dn: float | None = key(None, 0.5, 4096.0)

    def holds(self, place: int, row: int, column: int) -> bool:
        """Whether a tile is in the region."""
        return self.place == place and row in range(*self.rows) and column in range(*self.columns)


@dataclass(frozen=True)
class CodingConfig(CodecSettings):
    """[coding] besides the codec's settings. tile: side in pixels; above 256 for the transform coder alone.

    cloud_discount: share of its weight that a fully clouded tile loses. engine: of the entropy network. analysis: float or int8, see
    `swathpack.edge.codec.analysis`. canary_s: seconds between two codings of the canary tile.
    """

    tile: int = key(TILE, TILE_STEP, MAX_FLIGHT_TILE)
    engine: str = "auto"
    analysis: str = key("float", words=("float", "int8"))
    threads: int = key(1, 1, 64)
    canary_s: float = key(300.0, 1.0, 86400.0)
    cloud_discount: float = key(0.8, 0.0, 1.0)
    floor_layers: int = key(1, 0, 1)
    rounds: tuple[int, ...] = (1, 16)
    prefetch: int = key(4, 1, 256)
    max_tries: int = key(3, 1, 100)
    regions: tuple[RegionConfig, ...] = ()

    @property
    def promises(self) -> tuple[int, ...]:
        """Greatest errors that are promised of any tile, those of regions too."""
        given = (self.max_error, *(region.max_error for region in self.regions))
        return tuple(sorted({error for error in given if error is not None}))

    def goal(self, place: int, row: int, column: int) -> Goal:
        """What is asked of a tile: the least error, that of all tiles among them, and the finest step of all regions that hold it."""
        found = [region for region in self.regions if region.holds(place, row, column)]
        errors = (self.max_error, *(r.max_error for r in found))
        return Goal(
            min((error for error in errors if error is not None), default=None),
            min((r.q for r in found if r.q is not None), default=None),
            min((r.finest_dn for r in found if r.finest_dn is not None), default=None),
        )


@dataclass(frozen=True)
class LimitsConfig:
    """[limits] what the runtime may take of the board. memory_mb: resident memory of the process, 0 for any."""

    work_tiles: int = key(20000, 1, (1 << 24) - 1)
    queue_mb: int = key(8192, 1, (1 << 24) - 1)
    keep_passes: int = key(200, 1, (1 << 20) - 1)
    min_free_mb: int = key(512, 0, (1 << 24) - 1)
    ballast_mb: int = key(32, 0, 4096)
    keep_frames: str = key("confirmed", words=("coded", "confirmed"))
    stall_s: float = key(120.0, 1.0, 86400.0)
    memory_mb: int = key(6144, 0, (1 << 24) - 1)


@dataclass(frozen=True)
class Mission:
    """All tables of a mission file."""

    state: Path = Path("state")
    model: Path | None = None
    source: SourceConfig = field(default_factory=SourceConfig)
    port: PortConfig = field(default_factory=PortConfig)
    uplink: UplinkConfig = field(default_factory=UplinkConfig)
    downlink: DownlinkConfig = field(default_factory=DownlinkConfig)
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
    def least_pass_bytes(self) -> int:
        """A pass of fewer bytes carries nothing."""
        return smallest_pass(signed=self.downlink.key_file is not None)

    @property
    def plan(self) -> PlanSettings:
        """For the planning of passes."""
        return PlanSettings(self.coding.floor_layers, self.coding.rounds)


def read_mission(path: str | Path) -> Mission:
    """The configuration in a file. Raises ConfigError."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {reason(error, path)}") from error
    return parse_mission(text, path.resolve().parent)


def parse_mission(text: str, base: str | Path) -> Mission:
    """The configuration in a text; `base` is where relative paths start. Raises ConfigError."""
    try:
        mission = read(Mission, loads(text), Path(base))
    except (TomlError, SchemaError) as error:
        raise ConfigError(str(error)) from error
    _check_together(mission)
    return mission


def _check_together(mission: Mission) -> None:
    """What single keys cannot tell."""
    rounds = mission.coding.rounds
    _check_passes(mission)
    if mission.uplink.key_file is None and not mission.uplink.insecure:
        raise ConfigError(
            "uplink.key_file: expected the link keys, made by `swathpack keys`, that reports are signed with, "
            "or insecure = true, found neither"
        )
    if mission.uplink.key_file is not None and mission.uplink.insecure:
        raise ConfigError("uplink.insecure: expected no key_file with insecure = true, found both")
    _check_tile(mission)
    if list(rounds) != sorted(set(rounds)) or not rounds or rounds[0] < 1 or rounds[-1] != 16:
        raise ConfigError(f"coding.rounds: expected rising layer counts that end in 16, found {list(rounds)}")
    _check_regions(mission.coding)
    try:
        geometry = mission.geometry
    except ValueError as error:
        raise ConfigError(f"context: {error}") from error
    if geometry.memory_bytes > mission.context.memory_mb << 20:
        needed, allowed = geometry.memory_bytes, mission.context.memory_mb << 20
        raise ConfigError(
            f"context.slots: {geometry.slots} slots need {needed} bytes of memory, context.memory_mb allows {allowed}"
        )


def _check_passes(mission: Mission) -> None:
    """Where passes come from, and that one can carry something: of equal passes too small ones are no passing trouble."""
    passes, least = mission.passes, mission.least_pass_bytes
    if passes.budget is None and (passes.bytes == 0 or passes.every_s == 0):
        raise ConfigError('passes: expected budget = "budget.toml", or bytes and every_s')
    both = [name for name in ("bytes", "every_s") if passes.budget is not None and getattr(passes, name)]
    if both:
        raise ConfigError(
            f"passes.budget: expected it or passes.bytes and every_s, found passes.{' and '.join(both)} beside it"
        )
    if 0 < passes.bytes < least:
        raise ConfigError(
            f"passes.bytes: expected at least {least}, which the smallest packet has, found {passes.bytes}"
        )


def _check_tile(mission: Mission) -> None:
    """A side that tiles may have, and what large ones need."""
    coding, slot_bytes = mission.coding, mission.context.slot_bytes
    if coding.tile % TILE_STEP:
        raise ConfigError(f"coding.tile: expected a multiple of {TILE_STEP}, found {coding.tile}")
    if coding.tile <= TILE:
        return
    large = f"coding.tile: {coding.tile}, and of more than {TILE} pixels tiles are the transform coder's"
    if coding.mode != "transform":
        raise ConfigError(f'{large}; expected coding.mode = "transform", found "{coding.mode}"')
    if coding.promises:
        raise ConfigError(f"{large}; expected no max_error of any tile, found {coding.promises[0]}")
    needed = ContextConfig.slot_bytes * coding.tile**2 // TILE**2
    if slot_bytes < needed:
        raise ConfigError(
            f"context.slot_bytes: expected at least {needed} for tiles of {coding.tile} pixels (coding.tile), found {slot_bytes}"
        )


def guarantees(coding: CodingConfig) -> Iterator[str]:
    """What is promised of which tiles, a line each; nothing where nothing is."""
    if coding.max_error is not None:
        yield f"all tiles: {_spoken(coding.max_error)}"
    for number, region in enumerate(coding.regions, 1):
        if region.max_error is not None:
            where = f"rows {region.rows[0]}-{region.rows[1] - 1}, columns {region.columns[0]}-{region.columns[1] - 1}"
            name = region.name or f"region {number}"
            yield f"{name}, place {region.place}, tiles of {where}: {_spoken(region.max_error)}"


def _spoken(max_error: int) -> str:
    return "lossless" if max_error == 0 else f"no count off by more than {max_error}"


def _check_regions(coding: CodingConfig) -> None:
    """Boxes that hold a tile, and one kind of quality each."""
    for number, region in enumerate(coding.regions, 1):
        where = f"coding.regions {number}{f' ({region.name})' if region.name else ''}"
        if any(len(span) != 2 or span[0] >= span[1] for span in (region.rows, region.columns)):
            raise ConfigError(f"{where}: expected rows = [first, behind the last], columns alike")
        if max(region.rows[0], region.columns[0]) >= MAX_TILES:
            raise ConfigError(f"{where}: expected a first row and column below {MAX_TILES}: no place has more")
        finer = [name for name in ("q", "finest_dn") if getattr(region, name) is not None]
        if finer and region.max_error is not None:
            raise ConfigError(f"{where}: expected max_error or {' and '.join(finer)}, found both")
        if coding.max_error is not None and (region.max_error or 0) > coding.max_error:
            raise ConfigError(
                f"{where}: expected max_error up to that of coding.max_error, {coding.max_error}, which holds for all tiles; "
                f"found {region.max_error}"
            )
        if finer and coding.max_error is not None:
            raise ConfigError(
                f"{where}: expected no {' and '.join(finer)} with coding.max_error, which holds for all tiles"
            )
