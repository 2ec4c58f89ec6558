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

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from swathpack.edge import events
from swathpack.edge.board import Board
from swathpack.edge.codec.protocol import TileCodec
from swathpack.edge.downlink.schema import QueueCorruptError
from swathpack.edge.health.scrub import Scrubber
from swathpack.edge.health.throttle import Readings, Throttle
from swathpack.edge.health.watchdog import Notifier
from swathpack.edge.outside import Outside
from swathpack.edge.stages.coding import Belt, Canary, CanaryWatch, Encode, Fetch, Store
from swathpack.edge.stages.downlink import Downlink
from swathpack.edge.stages.health import Health, board_readings
from swathpack.edge.stages.intake import Intake
from swathpack.edge.stages.uplink import Uplink
from swathpack.edge.stages.worker import Stage, Worker, guarded

BEAT_S = 1.0
STOP_S = 10.0


@dataclass(frozen=True)
class Guards:
    """What watches over the loop. scrubber, canary: over the codec's memory. readings: what the board measures. notifier: who is
    told that all stages live.
    """

    scrubber: Scrubber
    canary: Canary | None = None
    readings: Callable[[], Readings] = board_readings
    notifier: Notifier = field(default_factory=Notifier)


class FlightLoop:
    """The flight runtime, from open parts.

    board: state on disk. codec: see `swathpack.edge.codec.protocol`. outside: sensor, radio, uplink, passes and keys. began:
    monotonic time at which the process began to start, for the event that tells how long that took.
    """

    def __init__(
        self, board: Board, codec: TileCodec, outside: Outside, guards: Guards | None = None, began: float | None = None
    ) -> None:
        self.board, self._outside, self._began = board, outside, began
        self._reason = self._stalled = ""
        self._wake = threading.Event()
        guards = guards or Guards(Scrubber(board.log))
        self._notifier, coding = guards.notifier, board.mission.coding
        throttle, belt = Throttle(board.mission.throttle), Belt(coding.prefetch)
        watch = CanaryWatch(guards.canary, board.clock, coding.canary_s, self.stop) if guards.canary else None
        self.intake = Intake(board, outside.source)
        self.fetch = Fetch(board, throttle, belt, outside.schedule)
        self.encode = Encode(board, codec, guards.scrubber, watch, belt)
        self.store = Store(board, belt)
        self.downlink = Downlink(board, outside.schedule, outside.port, outside.downlink_keys)
        self.uplink = Uplink(board, outside.commands, outside.keys)
        self.health = Health(board, guards.scrubber, throttle, guards.readings, self.stop)

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
        self._outside.source.close()
        self._outside.commands.close()
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
