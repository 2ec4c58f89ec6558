"""What keeps the rest sound: clock, memory, temperature, space, telemetry, watchdog. Never more than a
moment.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from swathpack.edge import events
from swathpack.edge.board import Board
from swathpack.edge.clock import ClockWatch
from swathpack.edge.health.scrub import Scrubber
from swathpack.edge.health.telemetry import json_line, resident_mb
from swathpack.edge.health.throttle import Readings, Throttle
from swathpack.edge.spoken import reason
from swathpack.edge.stages.retention import Retention

SAMPLE_S = 10.0
TIDY_S = 5.0
LOAD_S = 1.0
GRACE_S = 60.0  # a process that is too large from the start would only restart for ever


class Health:
    """The `Stage` beside the pipeline.

    readings: what the board measures now. fatal: called with the reason when the process must start anew.
    """

    name = "health"

    def __init__(
        self,
        board: Board,
        scrubber: Scrubber,
        throttle: Throttle,
        readings: Callable[[], Readings],
        fatal: Callable[[str], None],
    ) -> None:
        self.clock, self._log, self._telemetry, self._samples = board.clock, board.log, board.telemetry, board.samples
        self._queue, self._context, self._spool, self._ballast = board.queue, board.context, board.spool, board.ballast
        self._scrubber, self._throttle, self._readings = scrubber, throttle, readings
        self._retention = Retention(board)
        self._watch = ClockWatch(board.clock)
        self._sample_at = self._tidy_at = self._load_at = board.clock.monotonic()
        self.memory_mb, self.fatal = board.mission.limits.memory_mb, fatal
        self._grace_until = self._sample_at + GRACE_S

    def step(self) -> bool:
        now = self.clock.monotonic()
        jump = self._watch.check()
        if jump is not None:
            self._log.report(events.CLOCK_JUMP, seconds=jump)
        self._scrubber.step()
        if now >= self._load_at:
            self._load_at = now + LOAD_S
            self._check_load(now)
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY_S
            self._retention.tidy()
            self._ballast.hold()
        if now >= self._sample_at:
            self._sample_at = now + SAMPLE_S
            self._sample()
            self._check_memory(now, resident_mb())
        return False

    def _check_load(self, now: float) -> None:
        readings = self._readings()
        if readings.temperature_c is not None:
            self._telemetry.gauge("temperature_c", readings.temperature_c)
        if readings.power_w is not None:
            self._telemetry.gauge("power_w", readings.power_w)
        if self._throttle.update(readings, now):
            self._log.report(events.THROTTLED, share=self._throttle.share, reason=self._throttle.reason)

    def _check_memory(self, now: float, found_mb: float) -> None:
        """What leaks takes the board with it in the end: a restart in time costs seconds and no data."""
        if 0 < self.memory_mb < found_mb and now >= self._grace_until:
            self._log.report(events.MEMORY_HIGH, found=int(found_mb), allowed=self.memory_mb)
            self.fatal("too much memory")

    def _sample(self) -> None:
        gauges = {
            "work_tiles": self._queue.work.work_count(),
            "queue_tiles": self._queue.tiles.count(),
            "queue_bytes": self._queue.tiles.bytes_queued(),
            "context_latents": len(self._context),
            "disk_free_mb": self._spool.free_bytes() / 1e6,
            "rss_mb": resident_mb(),
            "load_share": self._throttle.share,
            "events_waiting": self._log.waiting(),
            "scrub_rounds": self._scrubber.rounds,
        }
        for name, value in gauges.items():
            self._telemetry.gauge(name, value)
        if self._samples is not None:
            try:
                self._samples.write(json_line(self._telemetry.sample(), self.clock.wall()))
            except OSError as error:
                self._samples = None
                self._log.report(events.SINK_FAILED, error=reason(error))


def board_readings(thermal: Path = Path("/sys/class/thermal"), monitors: Path = Path("/sys/class/hwmon")) -> Readings:
    """The hottest thermal zone and the module's power of this machine; no reading where the system has none."""
    hottest: float | None = None
    for zone in thermal.glob("thermal_zone*/temp"):
        try:
            value = int(zone.read_text()) / 1000
        except (OSError, ValueError):
            continue  # zones of parts that are switched off cannot be read
        hottest = value if hottest is None else max(hottest, value)
    return Readings(temperature_c=hottest, power_w=_module_power(monitors))


def _module_power(monitors: Path) -> float | None:
    """Watts of the INA3221 of a Jetson: its input rail (VDD_IN) where it has one, else all rails together.

    Channels as the kernel's driver gives them (Documentation/hwmon/ina3221.rst): inN_label, inN_input in mV,
    currN_input in mA.
    """
    rails: dict[str, float] = {}
    for label in monitors.glob("*/in[123]_label"):
        number = label.name[2]
        try:
            volts = int(label.with_name(f"in{number}_input").read_text()) / 1000
            amperes = int(label.with_name(f"curr{number}_input").read_text()) / 1000
            rails[label.read_text().strip()] = volts * amperes
        except (OSError, ValueError):
            continue
    return rails.get("VDD_IN", sum(rails.values())) if rails else None
