"""Ground stations: where they are, what they see, when they work, what they cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.schema import did_you_mean
from swathpack.edge.toml_lite import loads
from swathpack.tools.plan.radio import Radio
from swathpack.tools.plan.schema import Section

CATALOGUE = Path(__file__).parent / "presets" / "stations.toml"
CLIMATES = ["polar", "temperate", "arid", "subtropical", "tropical"]

# WGS 84 ellipsoid (NIMA TR8350.2).
SEMI_MAJOR_KM = 6378.137
FLATTENING = 1 / 298.257223563

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Station:
    """A ground station; `horizon_mask` is (azimuth, elevation) in degrees, `hours_utc` the daily opening."""

    name: str
    latitude_deg: float
    longitude_deg: float
    height_m: float
    min_elevation_deg: float
    horizon_mask: tuple[tuple[float, float], ...]
    hours_utc: tuple[tuple[float, float], ...]
    cost_per_minute: float
    cost_per_pass: float
    antennas: int
    setup_s: float
    g_over_t_dbk: float
    climate: str
    miss_probability: float

    def position_km(self) -> Array:
        """(3,) Earth-fixed position (WGS 84)."""
        latitude, longitude = math.radians(self.latitude_deg), math.radians(self.longitude_deg)
        squared = FLATTENING * (2 - FLATTENING)
        normal = SEMI_MAJOR_KM / math.sqrt(1 - squared * math.sin(latitude) ** 2)
        height = self.height_m / 1000.0
        flat = (normal + height) * math.cos(latitude)
        return np.array(
            [
                flat * math.cos(longitude),
                flat * math.sin(longitude),
                (normal * (1 - squared) + height) * math.sin(latitude),
            ]
        )

    def look(self, positions_km: Array) -> tuple[Array, Array, Array]:
        """Elevation (deg), azimuth (deg, north over east) and range (km) of Earth-fixed (n, 3) positions."""
        latitude, longitude = math.radians(self.latitude_deg), math.radians(self.longitude_deg)
        sin_lat, cos_lat, sin_lon, cos_lon = (
            math.sin(latitude),
            math.cos(latitude),
            math.sin(longitude),
            math.cos(longitude),
        )
        line = positions_km - self.position_km()
        east = -sin_lon * line[:, 0] + cos_lon * line[:, 1]
        north = -sin_lat * (cos_lon * line[:, 0] + sin_lon * line[:, 1]) + cos_lat * line[:, 2]
        up = cos_lat * (cos_lon * line[:, 0] + sin_lon * line[:, 1]) + sin_lat * line[:, 2]
        distance = np.sqrt((line**2).sum(axis=1))
        return np.degrees(np.arcsin(up / distance)), np.degrees(np.arctan2(east, north)) % 360, distance

    def floor_deg(self, azimuth_deg: Array) -> Array:
        """(n,) lowest usable elevation at these azimuths: the mask, at least the minimum elevation."""
        if not self.horizon_mask:
            return np.full(azimuth_deg.shape, self.min_elevation_deg)
        azimuths, elevations = np.array(self.horizon_mask).T
        mask = np.interp(azimuth_deg, azimuths, elevations, period=360)
        out: Array = np.maximum(mask, self.min_elevation_deg)
        return out

    def lowest_deg(self) -> float:
        """No elevation below this is ever usable."""
        lowest_mask = min((elevation for _, elevation in self.horizon_mask), default=-90.0)
        return max(self.min_elevation_deg, lowest_mask)

    def is_open(self, time_s: Array) -> NDArray[np.bool_]:
        """(n,) whether the station works at these times (seconds since 1970 UTC)."""
        if not self.hours_utc:
            return np.ones(np.shape(time_s), bool)
        hour = np.asarray(time_s) % 86400 / 3600
        shifts = [(hour >= a) & (hour < b) if a < b else (hour >= a) | (hour < b) for a, b in self.hours_utc]
        out: NDArray[np.bool_] = np.logical_or.reduce(shifts)
        return out


@lru_cache(maxsize=1)
def catalogue() -> dict[str, dict[str, Any]]:
    """The shipped stations by name."""
    rows = loads(CATALOGUE.read_text(encoding="utf-8"))["station"]
    return {row["name"]: row for row in rows}


def read_station(section: Section, radio: Radio) -> Station:
    """One [[station]] table; `use = "name"` takes the catalogue's values under it. Raises UserError."""
    if section.has("use"):
        name, known = section.text("use"), catalogue()
        if name not in known:
            raise section.error(
                f"use: no station {name!r} in the catalogue"
                f"{did_you_mean(name, sorted(known))} (known: {', '.join(sorted(known))})"
            )
        own = {key: section.raw(key) for key in section.names() if key != "use"}
        section = Section({**known[name], **own}, f"[[station]] {name}", section.file)
    section.raw("network"), section.raw("bands"), section.raw("note")
    station = Station(
        name=section.text("name"),
        latitude_deg=section.number("latitude_deg", -90, 90),
        longitude_deg=section.number("longitude_deg", -180, 360),
        height_m=section.number("height_m", -500, 9000, 0.0),
        min_elevation_deg=section.number("min_elevation_deg", 0, 89.9, 5.0),
        horizon_mask=_mask(section),
        hours_utc=tuple(section.pairs("hours_utc", (0, 0), (24, 24))),
        cost_per_minute=section.number("cost_per_minute", 0, 1e6, 0.0),
        cost_per_pass=section.number("cost_per_pass", 0, 1e6, 0.0),
        antennas=section.integer("antennas", 1, 100, 1),
        setup_s=section.number("setup_s", 0, 3600, 60.0),
        g_over_t_dbk=_g_over_t(section, radio),
        climate=_climate(section),
        miss_probability=section.number("miss_probability", 0, 1, 0.02),
    )
    section.done()
    return station


def _mask(section: Section) -> tuple[tuple[float, float], ...]:
    mask = sorted(section.pairs("horizon_mask_deg", (0, 0), (360, 89.9)))
    if len({azimuth % 360 for azimuth, _ in mask}) < len(mask):
        raise section.error("horizon_mask_deg: expected each azimuth once (0 and 360 are the same)")
    return tuple(mask)


def _g_over_t(section: Section, radio: Radio) -> float:
    """From the table, by band in the catalogue (`g_over_t_dbk_x`), or the radio's default."""
    by_band = {
        band: section.number(f"g_over_t_dbk_{band.lower()}", -60, 60)
        for band in ("UHF", "S", "X", "Ka")
        if section.has(f"g_over_t_dbk_{band.lower()}")
    }
    if section.has("g_over_t_dbk"):
        return section.number("g_over_t_dbk", -60, 60)
    if radio.band in by_band:
        return by_band[radio.band]
    if by_band:
        raise section.error(
            f"receives in {', '.join(by_band)}, but the radio sends in {radio.band}: give g_over_t_dbk for it"
        )
    if radio.g_over_t_dbk is None:
        raise section.error("g_over_t_dbk is missing, here and in [radio] (expected -60 to 60 dB/K)")
    return radio.g_over_t_dbk


def _climate(section: Section) -> str:
    """The rain climate; by latitude when it is not given."""
    latitude = abs(section.number("latitude_deg", -90, 90))
    default = (
        "tropical" if latitude < 20 else "subtropical" if latitude < 36 else "temperate" if latitude < 63 else "polar"
    )
    return section.choice("climate", CLIMATES, default)
