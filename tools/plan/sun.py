"""Where the sun stands: the low-precision formula of the Astronomical Almanac (0.01 degree, 1950-2050)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def sun_position(time_s: Array) -> tuple[Array, Array, Array]:
    """Right ascension, declination and mean longitude of the sun (degrees) at seconds since 1970 UTC."""
    days = np.asarray(time_s, float) / 86400 - 10957.5  # since 2000-01-01 12:00
    mean_longitude = (280.460 + 0.9856474 * days) % 360
    anomaly = np.radians((357.528 + 0.9856003 * days) % 360)
    longitude = np.radians(mean_longitude + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = np.radians(23.439 - 4e-7 * days)
    ascension = np.degrees(np.arctan2(np.cos(obliquity) * np.sin(longitude), np.cos(longitude))) % 360
    return ascension, np.degrees(np.arcsin(np.sin(obliquity) * np.sin(longitude))), mean_longitude


def sun_elevation_deg(time_s: Array, latitude_deg: Array, longitude_deg: Array) -> Array:
    """Elevation (degrees, no refraction) of the sun's centre; arrays broadcast together."""
    ascension, declination, _ = sun_position(time_s)
    days = np.asarray(time_s, float) / 86400 - 10957.5
    sidereal = (280.46062 + 360.98564737 * days) % 360
    hour_angle = np.radians(sidereal + longitude_deg - ascension)
    latitude, declination = np.radians(latitude_deg), np.radians(declination)
    out: Array = np.degrees(
        np.arcsin(np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour_angle))
    )
    return out
