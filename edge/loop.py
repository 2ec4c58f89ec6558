"""The loop: the file to read first. `run` is the way of a frame from the sensor to the radio, and back to
context.

    sensor -> spool -> tiles -> codec -> queue -> plan -> packets -> radio
                         ^                                             |
                         +-- context <-- confirmed <-- reports <-------+

Every arrow crosses a store on disk or a bounded queue, so every stage is a thread that can be late, fail or
be killed at any instruction without taking the others with it: what it had not finished is still where it
took it from. Stages have no clock, socket or file of their own making; all of that is handed in, and a test
steps the same stages one by one with a clock that stands still (`step`).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping

from swathpack.edge import events
from swathpack.edge.board import Board
from swathpack.edge.codec.protocol import TileCodec
from swathpack.edge.downlink.ports import Port
from swathpack.edge.downlink.schedule import Schedule
from swathpack.edge.downlink.schema import QueueCorruptError
from swathpack.edge.health.scrub import Scrubber
from swathpack.edge.health.throttle import Readings, Throttle
from swathpack.edge.health.watchdog import Notifier
from swathpack.edge.sources.acquisition import FrameSource
from swathpack.edge.stages.coding import Canary, CanaryWatch, Encode, Fetch, Finished, InFlight, Prepared, Store
from swathpack.edge.stages.downlink import Downlink
from swathpack.edge.stages.health import Health, board_readings
from swathpack.edge.stages.intake import Intake
from swathpack.edge.stages.uplink import CommandSource, Uplink
from swathpack.edge.stages.worker import Stage, Worker, guarded

BEAT_S = 1.0
STOP_S = 10.0


class FlightLoop:
    """The flight runtime, from open parts.

    board: state on disk. codec: see `swathpack.edge.codec.protocol`. source, port, commands, schedule: the outside world.
    keys: secrets of the reports by slot. scrubber, canary: watch the codec's memory. readings: what the board measures.
    began: monotonic time at which the process began to start, for the event that tells how long that took. downlink_keys:
    secrets that sign packets, by slot; None to sign nothing.
    """

    def __init__(
        self,
        board: Board,
        codec: TileCodec,
        source: FrameSource,
        port: Port,
        commands: CommandSource,
        schedule: Schedule,
        keys: Mapping[int, bytes],
        scrubber: Scrubber | None = None,
        readings: Callable[[], Readings] = board_readings,
        notifier: Notifier | None = None,
        canary: Canary | None = None,
        began: float | None = None,
        downlink_keys: Mapping[int, bytes] | None = None,
    ) -> None:
        self.board, self._source, self._commands = board, source, commands
        self._notifier = notifier or Notifier()
        self._reason = self._stalled = ""
        self._wake, self._began = threading.Event(), began
        b, mission = board, board.mission
        scrubber = scrubber or Scrubber(b.log)
        throttle, flight = Throttle(mission.throttle), InFlight()
        prepared: queue.Queue[Prepared] = queue.Queue(mission.coding.prefetch)
        finished: queue.Queue[Finished] = queue.Queue(mission.coding.prefetch)
        self.intake = Intake(
            source, b.spool, b.queue, b.ballast, b.log, b.telemetry, mission.coding, mission.limits.work_tiles
        )
        self.fetch = Fetch(b.spool, b.queue, b.chooser, throttle, b.log, b.telemetry, mission.coding, prepared, flight)
        watch = CanaryWatch(canary, b.clock, mission.coding.canary_s, self.stop) if canary else None
        self.encode = Encode(codec, scrubber, watch, b.queue, b.log, b.telemetry, prepared, finished, flight)
        self.store = Store(b.queue, b.ballast, b.log, b.telemetry, finished, flight)
        self.downlink = Downlink(
            schedule,
            port,
            b.queue,
            b.confirmation,
            b.clock,
            b.log,
            b.telemetry,
            mission.plan,
            mission.link,
            mission.passes.patience,
            lambda: b.signer(downlink_keys),
        )
        self.uplink = Uplink(commands, b.confirmation, keys, b.log, b.telemetry)
        self.health = Health(
            b.clock,
            b.log,
            b.telemetry,
            b.queue,
            b.context,
            b.spool,
            b.ballast,
            scrubber,
            throttle,
            mission.limits,
            mission.coding.max_tries,
            mission.passes.patience,
            readings,
            b.samples,
            self.stop,
        )

    @property
    def pipeline(self) -> tuple[Stage, ...]:
        """The stages in the order in which a frame meets them."""
        return (
            self.intake,  # sensor frame -> checked, spooled, its tiles put to work
            self.fetch,  # most important work -> pixels, and the contexts that the ground has confirmed
            self.encode,  # pixels and contexts -> latent, segment, bytes and distortion of every prefix
            self.store,  # coded tile -> queue on disk, in the commit that takes its work away
            self.downlink,  # contact -> layers per tile -> packets within the budget -> radio
            self.uplink,  # reception reports -> confirmed latents become context, losses go down again
            self.health,  # memory scrubbed, load held, space made, clocks watched, everything measured
        )

    def run(self) -> str:
        """Run until `stop`; returns the reason. Restarts where the last run, however it ended, left off."""
        started = self._began or self.board.clock.monotonic()
        self.intake.adopt()
        b = self.board
        workers = [Worker(s, b.clock, b.log, b.ballast.release, self._damaged) for s in self.pipeline]
        for worker in workers:
            worker.start()
        self._tell_started(started)

        while not self._wake.wait(BEAT_S):
            if self.all_alive(workers):
                self._notifier.alive()

        self._notifier.stopping(self._reason)
        for worker in workers:
            worker.stop()
        stuck = [worker.stage.name for worker in workers if not worker.join(STOP_S)]
        if self.downlink.name not in stuck:
            self.downlink.close()
        self.board.log.report(events.STOPPED, reason=self._reason + (f", stuck: {stuck}" if stuck else ""))
        return self._reason

    def stop(self, reason: str = "asked to") -> None:
        """End `run` soon; safe from any thread and from a signal handler."""
        self._reason = self._reason or reason
        self._wake.set()

    def step(self) -> bool:
        """One step of every stage in this thread, for tests and simulations; True when anything was done.

        Raises QueueCorruptError: the state must be closed and opened again.
        """
        try:
            release = self.board.ballast.release
            return any([guarded(stage, self.board.log, release) for stage in self.pipeline])
        except QueueCorruptError as error:
            self._damaged(str(error))
            raise

    def settle(self, most: int = 1_000_000) -> int:
        """Step until nothing is left to do; returns the number of rounds."""
        rounds = 0
        while rounds < most and self.step():
            rounds += 1
        return rounds

    def close(self) -> None:
        """Give the outside world and the state back."""
        self._source.close()
        self._commands.close()
        self.board.close()

    def _damaged(self, reason: str) -> None:
        self.board.distrust_queue()
        self.stop(reason)

    def _tell_started(self, started: float) -> None:
        seconds = self.board.clock.monotonic() - started
        waiting = self.board.queue.work.work_count() + self.board.queue.tiles.count()
        self.board.log.report(events.STARTED, seconds=seconds, tiles=waiting)
        self._notifier.ready()

    def all_alive(self, workers: list[Worker]) -> bool:
        """No stage has been in one step for too long: else the watchdog is left to restart the process."""
        oldest = min(workers, key=lambda worker: worker.beat)
        waited = self.board.clock.monotonic() - oldest.beat
        alive = waited < self.board.mission.limits.stall_s
        if not alive and self._stalled != oldest.stage.name:
            self.board.log.report(events.STAGE_FAILED, stage=oldest.stage.name, error=f"no step in {waited:.0f} s")
        self._stalled = "" if alive else oldest.stage.name
        return alive
