"""The plan file: one TOML with all that the planner needs, read and checked (docs/plan.md lists the keys)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from swathpack.edge.bands import BANDS, BandError, frame_names
from swathpack.edge.codec.pixels import MAX_FLIGHT_TILE, TILE
from swathpack.edge.downlink.budget import parse_time, whole_ms
from swathpack.edge.schema import key
from swathpack.edge.stream.header import TILE_STEP
from swathpack.tools.errors import UsageError
from swathpack.tools.plan.areas import Area, box_ring, make_area, read_geojson
from swathpack.tools.plan.document import PRESETS, find_plan, load_document, set_key
from swathpack.tools.plan.orbit import read_satellite
from swathpack.tools.plan.origins import number_of
from swathpack.tools.plan.radio import Radio, read_radio
from swathpack.tools.plan.rate_modes import MODES
from swathpack.tools.plan.satellite import Satellite
from swathpack.tools.plan.schema import Section
from swathpack.tools.plan.stations import Station, read_station
from swathpack.tools.words import names_folder

MIN_DAYS, MAX_DAYS = 0.01, 366.0
FIRST_START, LAST_START = "1960-01-01T00:00:00Z", "2200-01-01T00:00:00Z"  # orbits, the Sun and dates in four digits


@dataclass(frozen=True)
class Imager:
    """The camera: what it sees, how deep, how often it may run."""

    swath_km: float = key(low=0.1, high=3000)
    gsd_m: float = key(low=0.1, high=1000)
    bands: tuple[str, ...] = BANDS
    bit_depth: int = key(12, 8, 16)
    duty_cycle_percent: float = key(100.0, 0.01, 100)
    power_w: float = key(0.0, 0, 5000)
    min_sun_elevation_deg: float = key(10.0, -90, 90)
    tile_px: int = key(TILE, TILE_STEP, MAX_FLIGHT_TILE)

    @property
    def tile_km2(self) -> float:
        """Ground area of one tile."""
        return (self.tile_px * self.gsd_m / 1000.0) ** 2

    @property
    def raw_tile_bytes(self) -> int:
        """One tile without compression, all bands, packed to the bit depth."""
        return (self.tile_px**2 * len(self.bands) * self.bit_depth + 7) // 8


@dataclass(frozen=True)
class Codec:
    """How the board codes and what it keeps. mode, max_error: as [coding] of the mission file has them; with a max_error (0:
    lossless) tiles are predictive whatever the mode, and mode predictive without one is lossless.
    """

    mode: str = key("auto", words=MODES)
    max_error: int | None = key(None, 0, 65535)
    table: Path | None = None
    board: str = "agx-orin"
    power_mode: str = "30W"
    drop_cloudy: bool = True
    min_layers: int = key(1, 1, 16)
    max_layers: int = key(16, 1, 16)
    max_age_hours: float = key(72.0, 0.1, 24 * 366)
    lookahead_hours: float = key(24.0, 0.1, 24 * 30)

    @property
    def flown(self) -> str:
        """The mode of all tiles."""
        return self.mode if self.max_error is None else "predictive"


@dataclass(frozen=True)
class Uncertainty:
    """The seeded Monte Carlo: how many draws, and how spread out the cloud is."""

    samples: int = key(500, 10, 100_000)
    cloud_spread: float = key(0.6, 0.0, 1.0)


@dataclass(frozen=True)
class Plan:
    """Everything that was read. Times are seconds since 1970-01-01 UTC."""

    name: str
    description: str
    start_s: float
    days: float
    seed: int
    satellites: tuple[Satellite, ...]
    stations: tuple[Station, ...]
    radio: Radio
    imager: Imager
    areas: tuple[Area, ...]
    codec: Codec
    storage_gbyte: float
    energy_wh_per_orbit: float
    gbyte_value: float
    cost_limit_per_day: float
    uncertainty: Uncertainty
    codec_file: str = ""  # where [codec] stands

    @property
    def end_s(self) -> float:
        """End of the planned time."""
        return whole_ms(self.start_s + self.days * 86400.0)


def read_plan(
    path: str | Path,
    days: float | None = None,
    seed: int | None = None,
    start_s: float | None = None,
    changes: dict[str, Any] | None = None,
) -> Plan:
    """Read a plan file or a preset by name; the arguments override the file.

    Args:
        changes: values by their place in the file, such as `radio.bitrate_mbit_s` or
            `station.tromso.min_elevation_deg`.

    Raises:
        UserError: with one message that names the place, what was expected and what was found.
    """
    path = find_plan(path)
    document = load_document(path)
    for place, value in (changes or {}).items():
        set_key(document, place, value)
    plan = _parse(document, path.parent, start_s)
    if days is not None:
        if not MIN_DAYS <= days <= MAX_DAYS:
            raise UsageError(f"--days: expected {MIN_DAYS:g} to {MAX_DAYS:g}, found {days:g}")
        plan = replace(plan, days=days)
    return plan if seed is None else replace(plan, seed=seed)


def _parse(document: dict[str, Any], folder: Path, start_s: float | None) -> Plan:
    top = Section(document, "plan")
    start_s = whole_ms(top.time("start") if start_s is None else (top.raw("start") and start_s or start_s))
    if not parse_time(FIRST_START) <= start_s <= parse_time(LAST_START):
        raise top.error(f"start: expected a time from {FIRST_START} to {LAST_START}")
    storage, energy, objective = (top.table(key, {}) for key in ("storage", "energy", "objective"))
    radio = read_radio(top.table("radio"))
    plan = Plan(
        name=_plan_name(top),
        description=top.text("description", ""),
        start_s=start_s,
        days=top.number("days", MIN_DAYS, MAX_DAYS, 7.0),
        seed=top.integer("seed", 0, 2**63 - 1, 1),
        satellites=tuple(_rows(top, "satellite", lambda s: read_satellite(s, folder, start_s))),
        stations=tuple(_rows(top, "station", lambda s: read_station(s, radio))),
        radio=radio,
        imager=_imager(top.table("imager")),
        areas=_areas(top, folder),
        codec=_codec(top.table("codec", {}), folder),
        storage_gbyte=storage.number("capacity_gbyte", 1e-3, 1e5, 64.0),
        energy_wh_per_orbit=energy.number("budget_wh_per_orbit", 0.0, 1e5, 0.0),
        gbyte_value=objective.number("gbyte_value", 0.0, 1e9, 0.0),
        cost_limit_per_day=objective.number("cost_limit_per_day", 0.0, 1e12, 0.0),
        uncertainty=top.table("uncertainty", {}).read(Uncertainty),
        codec_file=top.origin("codec"),
    )
    for section in (storage, energy, objective, top):
        section.done()
    return plan


def _rows(top: Section, key: str, read: Any) -> list[Any]:
    """Every [[key]] table read; at least one, with unique names."""
    rows = top.raw(key, [])
    if not isinstance(rows, list) or not rows:
        raise top.error(f"expected at least one [[{key}]], found none")
    found = [read(_row(top, key, row, at)) for at, row in enumerate(rows, 1)]
    names = [item.name for item in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise top.error(f"every [[{key}]] needs a name of its own, found {', '.join(twice)} twice")
    return found


def _row(top: Section, key: str, row: Any, at: int) -> Section:
    """A [[key]] table, by its number in the file that it stands in."""
    return Section(row, f"[[{key}]] number {number_of(row, at)}", top.origin(key))


def _imager(section: Section) -> Imager:
    imager = section.read(Imager)
    if imager.tile_px % TILE_STEP:  # as the board takes it (`coding.tile`)
        raise section.error(f"tile_px: expected a multiple of {TILE_STEP}, found {imager.tile_px}")
    if imager.swath_km * 1000 < imager.gsd_m * 64:
        raise section.error(f"swath_km: {imager.swath_km:g} km is fewer than 64 pixels of {imager.gsd_m:g} m")
    try:
        return replace(imager, bands=frame_names(imager.bands))
    except BandError as error:
        raise section.error(f"bands: {error}") from None


def _plan_name(top: Section) -> str:
    """The plan's name, which is also a folder's."""
    found = top.text("name")
    if not names_folder(found):
        raise top.error(f"name: expected a name that can be a folder's, found {found!r}")
    return found


def _codec(section: Section, folder: Path) -> Codec:
    codec = section.read(Codec, folder)
    if codec.min_layers > codec.max_layers:
        raise section.error(f"expected min_layers <= max_layers, found {codec.min_layers} > {codec.max_layers}")
    return codec


def _areas(top: Section, folder: Path) -> tuple[Area, ...]:
    rows = top.raw("area", [])
    if not isinstance(rows, list):
        raise top.error("area: expected [[area]] tables")
    found: list[Area] = []
    for at, row in enumerate(rows, 1):
        section = _row(top, "area", row, at)
        with section.naming_file():
            found += _area_rows(section, folder)
        section.done()
    names = [area.name for area in found]
    if len(set(names)) < len(names):
        raise top.error(f"every area needs a name of its own, found {sorted(names)}")
    return tuple(found)


def _area_rows(section: Section, folder: Path) -> list[Area]:
    """A box is one area; a GeoJSON file gives one for every feature, whose properties override the row."""
    settings = _area_settings(section)
    if section.exactly_one("box_deg", "geojson") == "box_deg":
        west, south, east, north = section.numbers("box_deg", 4, -180, 180)
        if not south < north <= 90 or south < -90:
            raise section.error(f"box_deg: expected [west, south, east, north], found {section.raw('box_deg')}")
        return [make_area(section.text("name"), [box_ring(west, south, east, north)], *settings)]
    found, name = [], section.text("name", "area")
    for number, (properties, rings) in enumerate(read_geojson(folder / section.text("geojson")), 1):
        own = Section(
            {**section_table(settings), **_known(properties)}, f"{section.name}, feature {number}", section.file
        )
        found.append(make_area(str(properties.get("name", f"{name}-{number}")), rings, *_area_settings(own)))
    return found


def section_table(settings: tuple[float, float, tuple[float, ...]]) -> dict[str, Any]:
    """The settings of a row as a table again, for features to override."""
    return {"priority": settings[0], "revisit_days": settings[1], "cloud_fraction": list(settings[2])}


def _known(properties: dict[str, Any]) -> dict[str, Any]:
    return {key: properties[key] for key in ("priority", "revisit_days", "cloud_fraction") if key in properties}


def _area_settings(section: Section) -> tuple[float, float, tuple[float, ...]]:
    cloud = section.raw("cloud_fraction", 0.0)
    monthly = (
        tuple(section.numbers("cloud_fraction", 12, 0, 1))
        if isinstance(cloud, list)
        else (section.number("cloud_fraction", 0, 1, 0.0),) * 12
    )
    return section.number("priority", 0.01, 1000, 1.0), section.number("revisit_days", 0, 366, 0.0), monthly


__all__ = ["PRESETS", "Codec", "Imager", "Plan", "Uncertainty", "find_plan", "load_document", "read_plan"]
