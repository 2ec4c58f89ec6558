"""Band sets of common sensors: names, centre wavelengths, and what numbers their products hold.

Centres in nm. Sources: ESA Sentinel-2 user handbook; USGS Landsat 4-9 data users handbooks and Collection 2 product
guides; HLS user guide 2.0 (Masek et al. 2021); Planet product specifications (PlanetScope, 2023).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

OLI = {
    "B1": 443,
    "B2": 482,
    "B3": 561,
    "B4": 655,
    "B5": 865,
    "B6": 1609,
    "B7": 2201,
    "B8": 590,
    "B9": 1373,
    "B10": 10895,
    "B11": 12005,
    "coastal": 443,
    "blue": 482,
    "green": 561,
    "red": 655,
    "nir": 865,
    "nir08": 865,
    "swir1": 1609,
    "swir16": 1609,
    "swir2": 2201,
    "swir22": 2201,
    "pan": 590,
    "cirrus": 1373,
}
TM = {
    "B1": 485,
    "B2": 560,
    "B3": 660,
    "B4": 835,
    "B5": 1650,
    "B6": 11450,
    "B7": 2220,
    "blue": 485,
    "green": 560,
    "red": 660,
    "nir": 835,
    "nir08": 835,
    "swir1": 1650,
    "swir16": 1650,
    "swir2": 2220,
    "swir22": 2220,
}
ETM = TM | {"B8": 710, "pan": 710}
# HLS S30 keeps Sentinel-2's names; L30 numbers those of OLI.
HLS_L30 = {
    "B01": 443,
    "B02": 482,
    "B03": 561,
    "B04": 655,
    "B05": 865,
    "B06": 1609,
    "B07": 2201,
    "B09": 1373,
    "B10": 10895,
    "B11": 12005,
}
PLANET_4 = {"blue": 490, "green": 565, "red": 665, "nir": 865}
PLANET_8 = {
    "coastal_blue": 443,
    "blue": 490,
    "green_i": 531,
    "green": 565,
    "yellow": 610,
    "red": 665,
    "rededge": 705,
    "nir": 865,
}


@dataclass(frozen=True)
class Sensor:
    """bands: name -> centre wavelength in nm. stacks: band count -> names in a file without any. linear: (gain, zero) of
    DN = gain (count - zero) by what the file's name says of its level.
    """

    name: str
    bands: Mapping[str, int]
    stacks: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    linear: tuple[tuple[str, float, float], ...] = ()


# Collection 2: reflectance = 0.0000275 c - 0.2 (level 2), 0.00002 c - 0.1 before the sun angle (level 1).
_COLLECTION_2 = ((r"L2S[PR]|_SR_B", 0.275, 0.2 / 0.0000275), (r"L1(TP|GT|GS)", 0.2, 5000.0))
_OLI = Sensor("Landsat OLI", OLI, linear=_COLLECTION_2)
_ETM = Sensor("Landsat ETM+", ETM, linear=_COLLECTION_2)
_TM = Sensor("Landsat TM", TM, linear=_COLLECTION_2)
_PLANET = Sensor("PlanetScope", PLANET_8 | PLANET_4, {4: tuple(PLANET_4), 8: tuple(PLANET_8)})
_BY_NAME = (
    (r"HLS[._]L30", Sensor("HLS L30", HLS_L30)),
    (r"(?<![A-Z0-9])(L[CO](0[89]_|[89]\d{6})|LANDSAT[ _-]?[89])", _OLI),
    (r"(?<![A-Z0-9])(LE(07_|7\d{6})|LANDSAT[ _-]?7)", _ETM),
    (r"(?<![A-Z0-9])(L[TM](0[45]_|[45]\d{6})|LANDSAT[ _-]?[45])", _TM),
    (r"_ANALYTICMS|_3B_|PSSCENE|PLANETSCOPE|SUPERDOVE", _PLANET),
)
_SATELLITE_KEYS = ("SPACECRAFT_ID", "SPACECRAFT_NAME", "SATELLITE", "PLATFORM", "SENSOR", "SENSOR_ID")


def sensor_of(name: str, items: Mapping[str, str]) -> Sensor | None:
    """The sensor that a file's name or its metadata names, None for Sentinel-2 and for unknown ones."""
    told = " ".join(v for k, v in items.items() if k.upper() in _SATELLITE_KEYS)
    for text in (told.upper(), name.upper()):
        for pattern, sensor in _BY_NAME:
            if re.search(pattern, text):
                return sensor
    return None


def landsat_of(names: Sequence[str]) -> Sensor | None:
    """The Landsat sensor whose Collection 2 names (`SR_B1` ...) these are; only OLI has an SR_B6."""
    upper = [n.strip().upper() for n in names]
    if not any(n.startswith("SR_B") for n in upper):
        return None
    return _OLI if "SR_B6" in upper else _TM


def linear_of(sensor: Sensor | None, name: str) -> tuple[float, float] | None:
    """(gain, zero) of DN = gain (count - zero) as the product's level fixes them, None if it does not."""
    for pattern, gain, zero in sensor.linear if sensor else ():
        if re.search(pattern, name.upper()):
            return gain, zero
    return None
