"""Passes: when a station sees a satellite, how high and how far, and what the link carries second by second.

Events come from Skyfield, or for an ephemeris from a search of its own; the profile between them from positions and link.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.downlink.budget import whole_ms
from swathpack.tools.plan.link import carrier_to_noise_dbhz, net_byte_rate
from swathpack.tools.plan.radio import Radio
from swathpack.tools.plan.satellite import UNIX_EPOCH_JD, Satellite
from swathpack.tools.plan.stations import Station

STEP_S = 5.0
FINE_STEP_S = 1.0  # where a horizon mask or opening hours cut a pass
MS = 1e-3
_EXACT_MS = 1e-3  # a time so near a millisecond is on it: what float64 holds of seconds since 1970

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sighting:
    """A satellite above a station's lowest usable elevation; times in seconds since 1970 UTC."""

    rise_s: float
    set_s: float
    top_s: float
    max_elevation_deg: float


@dataclass(frozen=True)
class Contact:
    """A usable pass. All arrays are per step: middle time, length, geometry and clear-sky Space Packet rate.

    The first `acquisition_s` and steps on which the link does not close carry nothing; `start_s` and `end_s`
    span the steps that do. All edges are whole milliseconds (`swathpack.edge.downlink.budget.whole_ms`), as the board reads them:
    rise and set are rounded outward, and what is derived from them stays on the milliseconds.
    """

    number: int
    satellite: Satellite = field(repr=False)
    station: Station = field(repr=False)
    sighting: Sighting
    start_s: float
    end_s: float
    time_s: Array = field(repr=False)
    step_s: Array = field(repr=False)
    elevation_deg: Array = field(repr=False)
    azimuth_deg: Array = field(repr=False)
    range_km: Array = field(repr=False)
    rate_byte_s: Array = field(repr=False)

    @property
    def bytes(self) -> int:
        """Space Packet bytes of the whole pass, clear sky."""
        return int(np.dot(self.rate_byte_s, self.step_s))

    @property
    def cost(self) -> float:
        """What the station charges."""
        return self.station.cost_per_pass + self.station.cost_per_minute * (self.end_s - self.start_s) / 60

    def edges(self) -> tuple[Array, Array]:
        """Begin and end of every step."""
        return np.round(self.time_s - self.step_s / 2, 3), np.round(self.time_s + self.step_s / 2, 3)

    def part(self, from_s: float, to_s: float) -> Contact:
        """The same pass used only between two times, whole milliseconds."""
        begin, end = self.edges()
        low, high = np.maximum(begin, from_s), np.minimum(end, to_s)
        keep = high - low > MS / 2
        return replace(
            self,
            start_s=max(self.start_s, from_s),
            end_s=min(self.end_s, to_s),
            time_s=((low + high) / 2)[keep],
            step_s=np.round(high - low, 3)[keep],
            elevation_deg=self.elevation_deg[keep],
            azimuth_deg=self.azimuth_deg[keep],
            range_km=self.range_km[keep],
            rate_byte_s=self.rate_byte_s[keep],
        )

    def bytes_at(self, radio: Radio, exceeded_percent: Array) -> Array:
        """(m,) Space Packet bytes when the attenuation is the one exceeded this share (m,) of the time."""
        c_n0 = carrier_to_noise_dbhz(
            radio, self.station, self.elevation_deg, self.range_km, np.asarray(exceeded_percent)[:, None]
        )
        # Steps without a clear-sky rate (acquisition) have none in rain either.
        return np.minimum(net_byte_rate(radio, c_n0), self.rate_byte_s) @ self.step_s


def earlier_ms(time_s: float) -> float:
    """The last whole millisecond not after this time."""
    return whole_ms(math.floor(time_s / MS + _EXACT_MS) * MS)


def later_ms(time_s: float) -> float:
    """The first whole millisecond not before this time."""
    return whole_ms(math.ceil(time_s / MS - _EXACT_MS) * MS)


def find_sightings(satellite: Satellite, station: Station, start_s: float, end_s: float) -> list[Sighting]:
    """Every rise to set above the station's lowest usable elevation, clipped to the time span."""
    lowest = station.lowest_deg()
    seconds, events = satellite.events(station, lowest, start_s, end_s)
    spans: list[list[float]] = []  # rise, set, culminations
    rise = start_s
    tops: list[float] = []
    ended = [*zip(seconds.tolist(), events)]
    if ended[-1][1] != 2 if ended else station.look(satellite.positions_km(np.array([start_s])))[0][0] >= lowest:
        ended.append((end_s, 2))  # still up at the end, or all the time
    for moment, event in ended:
        if event == 0:
            rise, tops = moment, []
        elif event == 1:
            tops.append(moment)
        else:
            spans.append([rise, moment, *tops])
            rise, tops = moment, []
    return _sightings(satellite, station, spans)


def _sightings(satellite: Satellite, station: Station, spans: list[list[float]]) -> list[Sighting]:
    """The highest of the culminations and the two ends (a clipped pass may have its top at an end)."""
    if not spans:
        return []
    elevation, _, _ = station.look(satellite.positions_km(np.concatenate(spans)))
    found, at = [], 0
    for span in spans:
        best = at + int(elevation[at : at + len(span)].argmax())
        found.append(Sighting(span[0], span[1], span[best - at], float(elevation[best])))
        at += len(span)
    return found


def find_contacts(satellite: Satellite, station: Station, radio: Radio, start_s: float, end_s: float) -> list[Contact]:
    """Usable passes of one satellite over one station with their profiles; numbers are all 0."""
    sightings = [
        replace(s, rise_s=earlier_ms(s.rise_s), set_s=later_ms(s.set_s))
        for s in find_sightings(satellite, station, start_s, end_s)
        if s.set_s - s.rise_s >= radio.min_pass_s
    ]
    if not sightings:
        return []
    step = FINE_STEP_S if station.horizon_mask or station.hours_utc else STEP_S
    counts = [max(2, int(np.ceil((s.set_s - s.rise_s) / step))) for s in sightings]
    edges = [np.round(np.linspace(s.rise_s, s.set_s, n + 1), 3) for s, n in zip(sightings, counts)]
    everything = np.concatenate([(e[:-1] + e[1:]) / 2 for e in edges])
    elevation, azimuth, distance = station.look(satellite.positions_km(everything))
    usable = (elevation >= station.floor_deg(azimuth)) & station.is_open(everything)
    rate = net_byte_rate(radio, carrier_to_noise_dbhz(radio, station, elevation, distance))
    contacts, at = [], 0
    for sighting, edge in zip(sightings, edges):
        rows = slice(at, at + len(edge) - 1)
        at = rows.stop
        contact = Contact(
            0,
            satellite,
            station,
            sighting,
            sighting.rise_s,
            sighting.set_s,
            everything[rows],
            np.round(np.diff(edge), 3),
            elevation[rows],
            azimuth[rows],
            distance[rows],
            rate[rows],
        )
        contacts += _usable_parts(contact, usable[rows], radio)
    return contacts


def _usable_parts(contact: Contact, usable: NDArray[np.bool_], radio: Radio) -> list[Contact]:
    """Every unbroken stretch on which the link closes, less acquisition, that is long enough."""
    begin, end = contact.edges()
    found = []
    for first, last in _runs(usable):
        carrying = np.nonzero(contact.rate_byte_s[first:last] > 0)[0]
        if not len(carrying):
            continue
        start = max(begin[first + carrying[0]], later_ms(begin[first] + radio.acquisition_s))
        stop = end[first + carrying[-1]]
        if stop - start >= radio.min_pass_s:
            found.append(contact.part(float(start), float(stop)))
    return found


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, past the last) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2])]


def all_contacts(
    satellites: tuple[Satellite, ...],
    stations: tuple[Station, ...],
    radio: Radio,
    start_s: float,
    end_s: float,
) -> list[Contact]:
    """Usable passes of every pair in order of their start, numbered from 1."""
    found = [
        contact
        for satellite in satellites
        for station in stations
        for contact in find_contacts(satellite, station, radio, start_s, end_s)
    ]
    found.sort(key=lambda contact: (contact.start_s, contact.satellite.name, contact.station.name))
    return [replace(contact, number=number) for number, contact in enumerate(found, 1)]


__all__ = ["UNIX_EPOCH_JD", "Contact", "Sighting", "all_contacts", "find_contacts", "find_sightings"]
