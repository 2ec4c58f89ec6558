"""Telemetry: the loop measures itself. One declared table of channels, packed for downlink and as JSON lines.

Packed (big-endian): time u48 milliseconds, count u8, then per channel that has a value: id u8, value f32.
Latencies are four channels each: count, mean, largest (ms) since the last sample, and the 95th percentile
from a histogram with two bins per octave.
"""

from __future__ import annotations

import json
import math
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from swathpack.edge.clock import Clock

_HEAD = struct.Struct(">HIB")
_VALUE = struct.Struct(">Bf")
_BINS = 64


class TelemetryError(ValueError):
    """A channel that is not declared, or bytes that are no telemetry."""


@dataclass(frozen=True)
class Channel:
    """One line of the table."""

    id: int
    name: str
    unit: str


GAUGES = (
    "work_tiles",
    "queue_tiles",
    "queue_bytes",
    "context_latents",
    "disk_free_mb",
    "rss_mb",
    "load_share",
    "temperature_c",
    "power_w",
    "pass_used_bytes",
    "pass_budget_bytes",
    "events_waiting",
    "scrub_rounds",
)
COUNTERS = (
    "frames_in",
    "frames_rejected",
    "tiles_coded",
    "tiles_failed",
    "tiles_shed",
    "packets_out",
    "bytes_out",
    "reports_in",
    "reports_rejected",
)
LATENCIES = ("intake", "encode", "store", "plan", "packet", "confirm")
_PARTS = (("count", ""), ("mean", "ms"), ("max", "ms"), ("p95", "ms"))


def _table() -> dict[str, Channel]:
    names = [(n, "") for n in GAUGES + COUNTERS]
    names += [(f"{stage}_{part}", unit) for stage in LATENCIES for part, unit in _PARTS]
    return {name: Channel(i, name, unit) for i, (name, unit) in enumerate(names)}


TABLE = _table()
_BY_ID = {channel.id: channel for channel in TABLE.values()}


class _Latency:
    """Durations since the last sample: bounded memory, whatever the rate."""

    def __init__(self) -> None:
        self.count, self.total_ms, self.max_ms = 0, 0.0, 0.0
        self.bins = [0] * _BINS

    def add(self, ms: float) -> None:
        self.count += 1
        self.total_ms += ms
        self.max_ms = max(self.max_ms, ms)
        self.bins[min(max(int(2 * math.log2(max(ms, 1e-3))) + 20, 0), _BINS - 1)] += 1

    def p95_ms(self) -> float:
        """Upper edge of the bin that holds the 95th percentile."""
        seen = 0
        for i, n in enumerate(self.bins):
            seen += n
            if seen >= 0.95 * self.count and seen:
                return min(float(2.0 ** ((i - 19) / 2)), self.max_ms)
        return 0.0


class Telemetry:
    """Collects values; thread-safe. Unknown names raise TelemetryError."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._values: dict[str, float] = {}
        self._latencies = {name: _Latency() for name in LATENCIES}
        self._lock = threading.Lock()

    def gauge(self, name: str, value: float) -> None:
        """The present value of something."""
        self._check(name, GAUGES)
        with self._lock:
            self._values[name] = float(value)

    def count(self, name: str, step: float = 1) -> None:
        """One more of something, since the start."""
        self._check(name, COUNTERS)
        with self._lock:
            self._values[name] = self._values.get(name, 0.0) + step

    def value(self, name: str) -> float:
        """The last value of a gauge or counter, 0 when there was none."""
        return self._values.get(name, 0.0)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Measure the block as one duration of a stage."""
        self._check(stage, LATENCIES)
        start = self._clock.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._latencies[stage].add((self._clock.monotonic() - start) * 1000)

    def sample(self) -> dict[str, float]:
        """All values now, by channel name; latencies start anew."""
        with self._lock:
            values = dict(self._values)
            for stage, seen in self._latencies.items():
                if seen.count:
                    parts = (seen.count, seen.total_ms / seen.count, seen.max_ms, seen.p95_ms())
                    values |= {f"{stage}_{name}": float(v) for (name, _), v in zip(_PARTS, parts)}
            self._latencies = {name: _Latency() for name in LATENCIES}
        return values

    @staticmethod
    def _check(name: str, table: tuple[str, ...]) -> None:
        if name not in table:
            raise TelemetryError(f"expected one of {', '.join(table)}, found {name}")


def pack_sample(values: dict[str, float], wall_s: float) -> bytes:
    """A sample for one packet."""
    time_ms = min(max(int(wall_s * 1000), 0), (1 << 48) - 1)
    head = _HEAD.pack(time_ms >> 32, time_ms & 0xFFFFFFFF, len(values))
    return head + b"".join(_VALUE.pack(TABLE[name].id, value) for name, value in values.items())


def unpack_sample(data: bytes) -> tuple[float, dict[str, float]]:
    """(wall clock in seconds, values by channel name). Raises TelemetryError."""
    if len(data) < _HEAD.size:
        raise TelemetryError(f"expected a sample, found {len(data)} bytes")
    high, low, count = _HEAD.unpack_from(data)
    if len(data) != _HEAD.size + count * _VALUE.size:
        raise TelemetryError(f"expected {count} channels, found {len(data)} bytes")
    values = {}
    for number, value in _VALUE.iter_unpack(data[_HEAD.size :]):
        if number not in _BY_ID:
            raise TelemetryError(f"expected a declared channel, found {number}")
        values[_BY_ID[number].name] = value
    return (high << 32 | low) / 1000, values


def json_line(values: dict[str, float], wall_s: float) -> str:
    """A sample as one line of JSON."""
    return json.dumps({"t": round(wall_s, 3)} | {name: round(value, 4) for name, value in values.items()})


def resident_mb() -> float:
    """Memory of this process in MB, 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096 / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0
