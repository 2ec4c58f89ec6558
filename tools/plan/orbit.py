"""Satellites: from TLE, OMM or orbital elements to positions, with SGP4 (Vallado et al., AIAA 2006-6753)."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swathpack.edge.downlink.budget import format_time
from swathpack.edge.spoken import reason
from swathpack.tools.plan import omm, tle
from swathpack.tools.plan.candidates import choose
from swathpack.tools.plan.messages import decode
from swathpack.tools.plan.satellite import MU_KM3_S2, UNIX_EPOCH_JD, Array, Satellite, epoch_s
from swathpack.tools.plan.schema import Section
from swathpack.tools.plan.sun import sun_position

if TYPE_CHECKING:
    from sgp4.api import Satrec


EARTH_RADIUS_KM = 6378.137
J2 = 1.08262668e-3
SUN_RATE_RAD_S = 2 * math.pi / (365.2421897 * 86400)
SGP4_EPOCH_JD = 2433281.5  # 1949-12-31 00:00 UT, day 0 of sgp4init
MAX_TLE_AGE_DAYS = 14.0


def ground_track(positions_km: Array) -> tuple[Array, Array]:
    """Geodetic latitude and longitude (degrees) below Earth-fixed (n, 3) positions (Bowring 1985)."""
    flattening = 1 / 298.257223563
    squared = flattening * (2 - flattening)
    flat = np.hypot(positions_km[:, 0], positions_km[:, 1])
    reduced = np.arctan2(positions_km[:, 2], flat * (1 - flattening))
    latitude = np.arctan2(
        positions_km[:, 2] + squared / (1 - squared) * EARTH_RADIUS_KM * (1 - flattening) * np.sin(reduced) ** 3,
        flat - squared * EARTH_RADIUS_KM * np.cos(reduced) ** 3,
    )
    return np.degrees(latitude), np.degrees(np.arctan2(positions_km[:, 1], positions_km[:, 0]))


def read_satellite(section: Section, folder: Path, start_s: float) -> Satellite:
    """One [[satellite]] table. Raises UserError, also for a TLE or OMM too old for the plan."""
    name = section.text("name")
    kind = section.exactly_one("tle", "tle_file", "omm", "omm_file", "oem_file", "elements")
    if kind == "oem_file":
        return _checked(section, _from_ephemeris(section, folder))
    readers: dict[str, Callable[[], tuple[Satrec, str]]] = {
        "tle": lambda: _from_tle(section, section.texts("tle")),
        "tle_file": lambda: _from_file(section, folder, "tle_file", start_s),
        "omm": lambda: _from_omm(section, section.raw("omm")),
        "omm_file": lambda: _from_file(section, folder, "omm_file", start_s),
        "elements": lambda: _from_elements(
            Section(section.raw("elements"), f"{section.name} elements", section.file), start_s
        ),
    }
    record, note = readers[kind]()
    oldest = section.number("max_age_days", 0.1, 3650, MAX_TLE_AGE_DAYS)
    section.done()
    age = (start_s - epoch_s(record)) / 86400
    if abs(age) > oldest:
        state = "expired" if age > 0 else "not yet valid"
        raise section.error(
            f"{name}: {state} orbit: epoch {format_time(epoch_s(record))[:16]}Z is {abs(age):.1f} days "
            f"{'before' if age > 0 else 'after'} the plan's start, expected at most {oldest:g} "
            f"(max_age_days); get a newer one"
        )
    return _checked(section, Satellite(name, record, kind.replace("_file", ""), note))


def _checked(section: Section, satellite: Satellite) -> Satellite:
    """Raises UserError for what is no low Earth orbit."""
    minutes, eccentricity = satellite.period_s() / 60, satellite.eccentricity()
    if not (eccentricity <= 0.3 and minutes <= 225):
        raise section.error(
            f"{satellite.name}: expected a low Earth orbit (period up to 225 minutes, eccentricity up "
            f"to 0.3), found {minutes:.0f} minutes and {eccentricity:.3f}"
        )
    return satellite


def _from_ephemeris(section: Section, folder: Path) -> Satellite:
    """Of an OEM, which must hold the plan's time: that shows when it is propagated."""
    from swathpack.tools.plan.ephemeris import satellite_from_oem

    path = folder / section.text("oem_file")
    try:
        satellite = satellite_from_oem(path.read_bytes(), section.text("name"))
    except OSError as error:
        raise section.error(f"oem_file: cannot read {path}: {reason(error, path)}") from None
    except (ValueError, TypeError) as error:
        raise section.error(f"oem_file: {path.name}: {error}") from None
    section.done()
    return satellite


def _from_tle(section: Section, lines: list[str]) -> tuple[Satrec, str]:
    try:
        record = tle.read_tle(lines)
        _check_number(section, tle.catalogue_number(lines[0]))
    except ValueError as error:
        raise section.error(f"tle: {error}") from None
    return record, ""


def _from_omm(section: Section, fields: Any) -> tuple[Satrec, str]:
    try:
        one = omm.candidate(fields)
        _check_number(section, one.number)
        return one.load(), ""
    except (ValueError, TypeError) as error:
        raise section.error(f"omm: {error}") from None


def _check_number(section: Section, found: int) -> None:
    wanted = _norad_id(section)
    if wanted is not None and wanted != found:
        raise ValueError(f"expected catalogue number {wanted} (norad_id), found {found}")


def _norad_id(section: Section) -> int | None:
    return section.integer("norad_id", 0, 999_999_999) if section.has("norad_id") else None


def _from_file(section: Section, folder: Path, key: str, start_s: float) -> tuple[Satrec, str]:
    """The orbit of this satellite in a file of them: TLEs, or OMMs in KVN, XML, JSON or CSV."""
    path = folder / section.text(key)
    number = _norad_id(section)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise section.error(f"{key}: cannot read {path}: {reason(error, path)}") from None
    try:
        found = tle.candidates(decode(data)) if key == "tle_file" else omm.candidates(data)
        chosen, note = choose(found, section.text("name"), number, start_s)
        return chosen.load(), f"{path.name}: {note}" if note else ""
    except (ValueError, TypeError) as error:
        raise section.error(f"{key}: {path.name}: {error}") from None


def _from_elements(section: Section, start_s: float) -> tuple[Satrec, str]:
    """Mean elements; `sun_synchronous` gives the inclination and `ltan_hours` the node."""
    from sgp4.api import WGS72, Satrec

    axis_km = EARTH_RADIUS_KM + (
        section.number("altitude_km", 160, 8000)
        if section.exactly_one("altitude_km", "semi_major_axis_km") == "altitude_km"
        else section.number("semi_major_axis_km", 6538, 20000) - EARTH_RADIUS_KM
    )
    eccentricity = section.number("eccentricity", 0, 0.3, 0.0001)
    motion = math.sqrt(MU_KM3_S2 / axis_km**3)
    inclination = (
        sun_synchronous_inclination(axis_km, eccentricity)
        if section.flag("sun_synchronous", False)
        else math.radians(section.number("inclination_deg", 0, 180))
    )
    epoch = section.time("epoch") if section.has("epoch") else start_s
    if section.exactly_one("raan_deg", "ltan_hours") == "raan_deg":
        node = math.radians(section.number("raan_deg", 0, 360))
    else:
        node = node_of_local_time(section.number("ltan_hours", 0, 24), epoch)
    record = Satrec()
    record.sgp4init(
        WGS72,
        "i",
        0,
        epoch / 86400 + UNIX_EPOCH_JD - SGP4_EPOCH_JD,
        section.number("bstar", -1, 1, 0.0),
        0.0,
        0.0,
        eccentricity,
        math.radians(section.number("arg_perigee_deg", 0, 360, 90.0)),
        inclination,
        math.radians(section.number("mean_anomaly_deg", 0, 360, 0.0)),
        motion * 60,
        node,
    )
    section.done()
    return record, ""


def sun_synchronous_inclination(axis_km: float, eccentricity: float) -> float:
    """Inclination (radians) at which the node's J2 drift follows the mean sun."""
    motion = math.sqrt(MU_KM3_S2 / axis_km**3)
    drift = -1.5 * J2 * (EARTH_RADIUS_KM / (axis_km * (1 - eccentricity**2))) ** 2 * motion
    return math.acos(SUN_RATE_RAD_S / drift)


def node_of_local_time(hours: float, epoch: float) -> float:
    """Right ascension (radians) of an ascending node that crosses the equator at this mean solar time."""
    mean_sun = sun_position(np.array([epoch]))[2][0]
    return math.radians((mean_sun + (hours - 12.0) * 15.0) % 360)
