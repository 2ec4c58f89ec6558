"""Satellites: from TLE, OMM or orbital elements to positions, with SGP4 (Vallado et al., AIAA 2006-6753)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.downlink.budget import format_time, parse_time
from swathpack.tools.plan import omm, tle
from swathpack.tools.plan.candidates import choose
from swathpack.tools.plan.messages import decode
from swathpack.tools.plan.schema import Section
from swathpack.tools.plan.sun import sun_position

if TYPE_CHECKING:
    from sgp4.api import Satrec
    from skyfield.timelib import Timescale

    from swathpack.tools.plan.stations import Station

Array = NDArray[np.float64]

EARTH_RADIUS_KM = 6378.137
MU_KM3_S2 = 398600.4418
J2 = 1.08262668e-3
SUN_RATE_RAD_S = 2 * math.pi / (365.2421897 * 86400)
UNIX_EPOCH_JD = 2440587.5
SGP4_EPOCH_JD = 2433281.5  # 1949-12-31 00:00 UT, day 0 of sgp4init
MAX_TLE_AGE_DAYS = 14.0


@dataclass(frozen=True)
class Satellite:
    """A satellite's name, its SGP4 record, where the orbit came from, and which of several it is.

    One with an ephemeris instead (`swathpack.tools.plan.ephemeris`) has no record.
    """

    name: str
    record: Satrec
    source: str
    note: str = ""

    def period_s(self) -> float:
        """Time of one revolution (seconds)."""
        return 2 * math.pi / float(self.record.no_kozai) * 60

    def eccentricity(self) -> float:
        """Of the mean elements."""
        return float(self.record.ecco)

    def origin(self) -> str:
        """Where the orbit came from, and its epoch."""
        return f"{self.source}, epoch {format_time(epoch_s(self.record))}"

    def events(self, station: Station, lowest_deg: float, start_s: float, end_s: float) -> tuple[Array, list[int]]:
        """Rises (0), tops (1) and sets (2) above an elevation, in order (s since 1970), by Skyfield's `find_events`."""
        from skyfield.api import EarthSatellite, wgs84

        scale = timescale()
        place = wgs84.latlon(station.latitude_deg, station.longitude_deg, station.height_m)
        ends = (scale.tt_jd(terrestrial_jd(moment)) for moment in (start_s, end_s))
        times, events = EarthSatellite.from_satrec(self.record, scale).find_events(
            place, *ends, altitude_degrees=lowest_deg
        )
        return (times.tt - terrestrial_jd(0.0)) * 86400 if len(times) else np.zeros(0), events.tolist()

    def positions_km(self, time_s: Array) -> Array:
        """(n, 3) Earth-fixed positions at (n,) seconds since 1970 UTC.

        SGP4's TEME frame is turned by Greenwich mean sidereal time; polar motion (15 m) is left out.
        """
        days = np.asarray(time_s, float) / 86400
        whole = np.floor(days)
        error, teme, _ = self.record.sgp4_array(whole + UNIX_EPOCH_JD, days - whole)
        if error.any():
            from sgp4.api import SGP4_ERRORS

            at = int(np.nonzero(error)[0][0])
            raise ArithmeticError(f"{self.name} at {format_time(float(time_s[at]))}: {SGP4_ERRORS[int(error[at])]}")
        angle = sidereal_angle(time_s)
        cos, sin = np.cos(angle), np.sin(angle)
        return np.column_stack([cos * teme[:, 0] + sin * teme[:, 1], cos * teme[:, 1] - sin * teme[:, 0], teme[:, 2]])


@lru_cache(maxsize=1)
def timescale() -> Timescale:
    """Skyfield's time scales from its built-in files (no download)."""
    from skyfield.api import load

    return load.timescale(builtin=True)


def terrestrial_jd(time_s: float | Array) -> Any:
    """Julian date in Terrestrial Time of seconds since 1970 UTC (TAI - UTC = 37 s since 2017)."""
    return UNIX_EPOCH_JD + (np.asarray(time_s) + 37.0 + 32.184) / 86400


def sidereal_angle(time_s: Array) -> Array:
    """Greenwich mean sidereal time 1982 (radians); UT1 from Skyfield's table, linear over the span."""
    time_s = np.asarray(time_s, float)
    ends = np.array([time_s.min(), time_s.max() + 1.0])
    delta = np.interp(time_s, ends, timescale().tt_jd(terrestrial_jd(ends)).delta_t)
    ut1_s = time_s + 37.0 + 32.184 - delta
    days = ut1_s / 86400 + (UNIX_EPOCH_JD - 2451545.0)
    century = days / 36525
    seconds = 67310.54841 + 8640184.812866 * century + (0.093104 - 6.2e-6 * century) * century**2
    # The 876600 h per century are whole turns per day: adding the fraction of the day keeps the digits.
    return 2 * math.pi * ((seconds / 86400 + days % 1.0) % 1.0)


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
        "elements": lambda: _from_elements(Section(section.raw("elements"), f"{section.name} elements"), start_s),
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
        raise section.error(f"oem_file: cannot read {path}: {error}") from None
    except (ValueError, TypeError) as error:
        raise section.error(f"oem_file: {path.name}: {error}") from None
    section.done()
    return satellite


def epoch_s(record: Satrec) -> float:
    """The record's epoch in seconds since 1970 UTC."""
    return float((record.jdsatepoch - UNIX_EPOCH_JD + record.jdsatepochF) * 86400)


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
        raise section.error(f"{key}: cannot read {path}: {error}") from None
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


__all__ = [
    "Satellite",
    "epoch_s",
    "ground_track",
    "parse_time",
    "read_satellite",
    "sidereal_angle",
    "timescale",
]
