"""A satellite on its way: positions and passes from an SGP4 record (Vallado et al., AIAA 2006-6753), and time scales."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.downlink.budget import format_time

if TYPE_CHECKING:
    from sgp4.api import Satrec
    from skyfield.timelib import Timescale

    from swathpack.tools.plan.stations import Station

Array = NDArray[np.float64]

UNIX_EPOCH_JD = 2440587.5
MU_KM3_S2 = 398600.4418


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
    out: Array = 2 * math.pi * ((seconds / 86400 + days % 1.0) % 1.0)
    return out


def epoch_s(record: Satrec) -> float:
    """The record's epoch in seconds since 1970 UTC."""
    return float((record.jdsatepoch - UNIX_EPOCH_JD + record.jdsatepochF) * 86400)
