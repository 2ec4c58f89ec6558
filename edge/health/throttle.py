"""Thermal and power throttling: from what the board measures to how much of the load is carried.

No input/output: `update` takes readings from wherever they come. The share falls in steps as soon as a limit
is passed and rises one step at a time after the readings have stayed below the limit, less a margin, for a
while: a board at its limit does not flutter. What is shed waits as work in the queue, least weight first, and
is told of.
"""

from __future__ import annotations

from dataclasses import dataclass

from swathpack.edge.schema import key

STEPS = (1.0, 0.75, 0.5, 0.25, 0.0)  # share of the load, by severity


@dataclass(frozen=True)
class ThrottleSettings:
    """Limits: board temperature in degrees Celsius, module power in watts, energy left 0..1; 0 switches one
    off.

    margin: of a limit, below which a reading must stay for hold_s seconds before the load rises again.
    """

    max_temperature_c: float = key(85.0, 0.0, 200.0)
    max_power_w: float = key(0.0, 0.0, 10000.0)
    min_energy: float = key(0.0, 0.0, 1.0)
    margin: float = key(0.05, 0.0, 0.5)
    hold_s: float = key(30.0, 0.0, 3600.0)


@dataclass(frozen=True)
class Readings:
    """What the board measures; None where it does not."""

    temperature_c: float | None = None
    power_w: float | None = None
    energy: float | None = None


class Throttle:
    """Keeps the share of the load that may be carried."""

    def __init__(self, settings: ThrottleSettings) -> None:
        self._settings = settings
        self._step = 0
        self._changed_at = 0.0
        self.reason = ""

    @property
    def share(self) -> float:
        """Share of the load, 0 to 1."""
        return STEPS[self._step]

    def update(self, readings: Readings, now: float) -> bool:
        """Take readings at monotonic time `now` (seconds); True when the share has changed."""
        excess, reason = self._excess(readings)
        before = self._step
        if excess > 0 and (self._step == 0 or now - self._changed_at >= self._settings.hold_s / 4):
            # Half a step more for every ten percent over: far beyond the limit means stop now, not step by
            # step.
            self._step = min(self._step + 1 + int(excess * 10), len(STEPS) - 1)
            self._changed_at, self.reason = now, reason
        elif excess > -self._settings.margin:
            self._changed_at = max(self._changed_at, now) if excess <= 0 and self._step else self._changed_at
        elif self._step and now - self._changed_at >= self._settings.hold_s:
            self._step -= 1
            self._changed_at, self.reason = now, "readings are back below the limits"
        return self._step != before

    def _excess(self, readings: Readings) -> tuple[float, str]:
        """How far the worst reading is beyond its limit, as a share of the limit, and which one it is."""
        s = self._settings
        found = [(-1.0, "")]
        if s.max_temperature_c > 0 and readings.temperature_c is not None:
            over = readings.temperature_c / s.max_temperature_c - 1
            found.append((over, f"{readings.temperature_c:.0f} degrees"))
        if s.max_power_w > 0 and readings.power_w is not None:
            found.append((readings.power_w / s.max_power_w - 1, f"{readings.power_w:.1f} W"))
        if s.min_energy > 0 and readings.energy is not None:
            found.append((1 - readings.energy / s.min_energy, f"energy {readings.energy:.2f}"))
        return max(found)
