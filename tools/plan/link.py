"""The link budget: from geometry to bytes per second.

    C/N0 = EIRP - antenna roll-off - free space - atmosphere - other losses + G/T - k            (dBHz)
    Es/N0 = C/N0 - 10 log10(symbol rate); a modcod closes when Es/N0 >= needed + margin

Free-space loss: ITU-R P.525. Atmosphere (gases, cloud, rain, scintillation): bake_attenuation.py.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.tools.plan.radio import Radio
from swathpack.tools.plan.stations import Station

TABLE = Path(__file__).parent / "data" / "attenuation.json"
BOLTZMANN_DB = 10 * math.log10(1.380649e-23)  # dBW/K/Hz, exact SI value
LIGHT_M_S = 299_792_458.0
EARTH_RADIUS_KM = 6371.0
# The sky that is exceeded half of the time: what "clear sky" means in a plan.
CLEAR_SKY_PERCENT = 50.0
MEDIUM_K = 275.0  # mean radiating temperature of rain, ITU-R P.618 section 3

Array = NDArray[np.float64]


def free_space_db(range_km: Array, frequency_ghz: float) -> Array:
    """Free-space loss (4 pi d f / c)^2 in dB."""
    return 20 * np.log10(4 * math.pi * range_km * 1e3 * frequency_ghz * 1e9 / LIGHT_M_S)


@lru_cache(maxsize=1)
def _table() -> tuple[Array, Array, Array, dict[str, Array]]:
    """Elevations, exceeded percents, frequencies, and climate -> (frequency, elevation, percent) dB."""
    document = json.loads(TABLE.read_text(encoding="utf-8"))
    climates = document["attenuation_db"]
    frequencies = np.array([float(f) for f in next(iter(climates.values()))])
    data = {name: np.array(list(by_frequency.values())) for name, by_frequency in climates.items()}
    return np.array(document["elevations_deg"]), np.array(document["exceeded_percent"]), frequencies, data


def atmosphere_db(climate: str, frequency_ghz: float, elevation_deg: Array, exceeded_percent: Array) -> Array:
    """Attenuation (dB) that is exceeded this share of the time, arrays broadcast together.

    Between table rows: linear in log frequency and log attenuation, in log percent, and in 1/sin(elevation).
    Below 5 degrees it grows with the path length through a 10 km layer of air over the round Earth; beyond
    50 % of the time it stays at the 50 % value, and below 0.1 % at the 0.1 % value.
    """
    elevations, percents, frequencies, data = _table()
    surface = _at_frequency(data[climate], frequencies, frequency_ghz)
    elevation, percent = np.broadcast_arrays(np.asarray(elevation_deg, float), np.asarray(exceeded_percent, float))
    # 1/sin falls with elevation, so the table is turned round for interp.
    path = 1 / np.sin(np.radians(np.clip(elevation, elevations[0], 90.0)))
    row = np.interp(path, 1 / np.sin(np.radians(elevations[::-1])), np.arange(len(elevations))[::-1])
    column = np.interp(np.log(np.clip(percent, percents[0], percents[-1])), np.log(percents), np.arange(len(percents)))
    low, left = (
        np.minimum(row.astype(int), len(elevations) - 2),
        np.minimum(column.astype(int), len(percents) - 2),
    )
    down, right = row - low, column - left
    value = (1 - down) * ((1 - right) * surface[low, left] + right * surface[low, left + 1]) + down * (
        (1 - right) * surface[low + 1, left] + right * surface[low + 1, left + 1]
    )
    out: Array = value * _low_path(elevation, elevations[0])
    return out


def _at_frequency(surface: Array, frequencies: Array, frequency_ghz: float) -> Array:
    """(elevation, percent) by a line in log-log through the two nearest frequencies; flat below the first."""
    at = int(np.clip(np.searchsorted(frequencies, frequency_ghz) - 1, 0, len(frequencies) - 2))
    span = math.log(frequencies[at + 1] / frequencies[at])
    share = max(math.log(frequency_ghz / frequencies[at]) / span, 0.0)
    low, high = np.log(surface[at]), np.log(surface[at + 1])
    out: Array = np.exp(low + share * (high - low))
    return out


def _low_path(elevation_deg: Array, lowest_deg: float, layer_km: float = 10.0) -> Array:
    """Path through the layer against the path at `lowest_deg`; 1 above it."""

    def path(angle: Array) -> Array:
        up = EARTH_RADIUS_KM * np.sin(np.radians(angle))
        return np.sqrt(up**2 + 2 * EARTH_RADIUS_KM * layer_km + layer_km**2) - up

    low = np.clip(elevation_deg, 0.0, lowest_deg)
    return path(low) / path(np.asarray(lowest_deg))


def roll_off_db(radio: Radio, elevation_deg: Array, range_km: Array) -> Array:
    """Loss of a fixed nadir-pointing antenna off its axis: 12 (angle / beam width)^2 dB; 0 when steered."""
    if radio.beamwidth_deg == 0:
        return np.zeros(np.shape(elevation_deg))
    # Sine rule in the triangle Earth's centre, station, satellite.
    elevation = np.radians(elevation_deg)
    orbit = np.sqrt(EARTH_RADIUS_KM**2 + range_km**2 + 2 * EARTH_RADIUS_KM * range_km * np.sin(elevation))
    nadir = np.degrees(np.arcsin(np.clip(EARTH_RADIUS_KM * np.cos(elevation) / orbit, -1, 1)))
    return 12 * (nadir / radio.beamwidth_deg) ** 2


def carrier_to_noise_dbhz(
    radio: Radio,
    station: Station,
    elevation_deg: Array,
    range_km: Array,
    exceeded_percent: Array | float = CLEAR_SKY_PERCENT,
) -> Array:
    """C/N0 (dBHz). Rain beyond the clear sky also heats the receiver (ITU-R P.618 section 3)."""
    air = atmosphere_db(station.climate, radio.frequency_ghz, elevation_deg, np.asarray(exceeded_percent))
    clear = atmosphere_db(station.climate, radio.frequency_ghz, elevation_deg, np.asarray(CLEAR_SKY_PERCENT))
    sky_k = MEDIUM_K * (1 - 10 ** (-np.maximum(air - clear, 0) / 10))
    heating = 10 * np.log10(1 + sky_k / radio.system_noise_k)
    out: Array = (
        radio.eirp_dbw
        - roll_off_db(radio, elevation_deg, range_km)
        - free_space_db(range_km, radio.frequency_ghz)
        - air
        - heating
        - radio.losses_db
        + station.g_over_t_dbk
        - BOLTZMANN_DB
    )
    return out


def bit_rate(radio: Radio, c_n0_dbhz: Array) -> Array:
    """Information bits per second of the best modcod that closes with the margin; 0 where none does."""
    es_n0 = c_n0_dbhz - 10 * math.log10(radio.symbol_rate_hz) - radio.margin_db
    needed = np.array([modcod.es_n0_db for modcod in radio.modcods])
    carried = np.array([0.0, *(modcod.bit_per_symbol for modcod in radio.modcods)])
    return carried[np.searchsorted(needed, es_n0, side="right")] * radio.symbol_rate_hz


def net_byte_rate(radio: Radio, c_n0_dbhz: Array) -> Array:
    """Space Packet bytes per second, first transmissions only."""
    return bit_rate(radio, c_n0_dbhz) / 8 * radio.net_efficiency
