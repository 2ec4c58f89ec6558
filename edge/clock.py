"""Time for the flight runtime: one injected clock, and a watch for wall clocks that jump.

Durations, timeouts and rates use `monotonic()`; only file names, events and telemetry use `wall()`. No other
module of `edge/` reads the system's time, so a test or a simulation drives everything with `ManualClock`.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC as the board believes; may jump either way."""

    def sleep(self, seconds: float) -> None:
        """Let `seconds` of monotonic time go by."""


class SystemClock:
    """A `Clock`: the machine's own."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))


class ManualClock:
    """A `Clock` that moves only when told to: tests and accelerated simulations. Thread-safe."""

    def __init__(self, wall: float = 1_700_000_000.0) -> None:
        self._monotonic = 0.0
        self._wall = wall
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        with self._lock:
            return self._monotonic

    def wall(self) -> float:
        with self._lock:
            return self._wall

    def sleep(self, seconds: float) -> None:
        self.advance(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        """Move both clocks forward. Raises ValueError for negative seconds (time does not go back)."""
        if seconds < 0:
            raise ValueError(f"expected seconds >= 0, found {seconds}")
        with self._lock:
            self._monotonic += seconds
            self._wall += seconds

    def jump_wall(self, seconds: float) -> None:
        """Move the wall clock alone, as a wrong time message from the bus would."""
        with self._lock:
            self._wall += seconds


class ClockWatch:
    """Finds jumps of the wall clock by comparing it with the monotonic one.

    Args:
        clock: the injected clock.
        tolerance_s: difference between two checks that counts as a jump, seconds.
    """

    def __init__(self, clock: Clock, tolerance_s: float = 2.0) -> None:
        self._clock = clock
        self._tolerance_s = tolerance_s
        self._offset = clock.wall() - clock.monotonic()

    def check(self) -> float | None:
        """The jump since the last check in seconds (positive: forward), or None when there was none."""
        offset = self._clock.wall() - self._clock.monotonic()
        jump, self._offset = offset - self._offset, offset
        return jump if abs(jump) > self._tolerance_s else None
