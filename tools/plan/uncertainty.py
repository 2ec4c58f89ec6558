"""Seeded Monte Carlo: rain at the stations, missed passes, and cloud over the areas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.tools.plan.imaging import Capture
from swathpack.tools.plan.inputs import Plan
from swathpack.tools.plan.passes import Contact

# Attenuation exceeded this share of the time (%), the columns at which passes are evaluated.
EXCEEDED_PERCENT = (0.1, 0.3, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
WEATHER_S = 6 * 3600.0  # weather at a station stays for this long

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """pass_bytes: (samples, contacts) Space Packet bytes; cloud: (samples, captures) cloud fraction."""

    pass_bytes: Array
    cloud: Array


@dataclass(frozen=True)
class Spread:
    """Ten, fifty and ninety per cent of the cases are at most this."""

    p10: float
    p50: float
    p90: float


def spread(values: Array) -> Spread:
    """P10, P50, P90 of samples; NaN when there are none."""
    if not len(values):
        return Spread(float("nan"), float("nan"), float("nan"))
    return Spread(*(float(v) for v in np.percentile(values, (10, 50, 90))))


def draw(plan: Plan, contacts: tuple[Contact, ...], captures: list[Capture]) -> Draws:
    """All samples of a plan; the same seed gives the same draws."""
    random = np.random.default_rng(plan.seed)
    return Draws(_pass_bytes(plan, contacts, random), _cloud(plan, captures, random))


def _pass_bytes(plan: Plan, contacts: tuple[Contact, ...], random: np.random.Generator) -> Array:
    """Rain is one exceedance percentile per station and six hours; a missed pass carries nothing."""
    samples = plan.uncertainty.samples
    table = np.zeros((samples, len(contacts)))
    weather: dict[tuple[str, int], Array] = {}
    levels = np.log(np.array(EXCEEDED_PERCENT))
    for column, contact in enumerate(contacts):
        spell = (contact.station.name, int(contact.start_s // WEATHER_S))
        if spell not in weather:
            weather[spell] = np.log(random.uniform(0.01, 100.0, samples))
        carried = contact.bytes_at(plan.radio, np.array(EXCEEDED_PERCENT))
        missed = random.random(samples) < contact.station.miss_probability
        table[:, column] = np.where(missed, 0.0, np.interp(weather[spell], levels, carried))
    return np.floor(table)


def _cloud(plan: Plan, captures: list[Capture], random: np.random.Generator) -> Array:
    """Beta around each month's mean: spread 0 is always the mean, spread 1 all or nothing.

    With spread s the variance is s^2 of the largest that a fraction of that mean can have, m (1 - m).
    """
    mean = np.array([capture.cloud for capture in captures])
    wide = plan.uncertainty.cloud_spread
    samples = plan.uncertainty.samples
    if wide == 0 or not len(mean):
        return np.tile(mean, (samples, 1))
    if wide == 1:
        return (random.random((samples, len(mean))) < mean).astype(float)
    strength = 1 / wide**2 - 1
    inner = np.clip(mean, 1e-9, 1 - 1e-9)
    return random.beta(inner * strength, (1 - inner) * strength, (samples, len(mean)))
