"""A stage in a thread of its own: steps as long as there is something to do, waits a little when there is
not.

Whatever a stage raises, including a Rust panic that arrives as a BaseException, is an event, not the end of
the loop; only a damaged queue ends it, because the repair is done at the next start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from swathpack.edge import events
from swathpack.edge.clock import Clock
from swathpack.edge.downlink.schema import QueueCorruptError, QueueFullError
from swathpack.edge.events import EventLog

IDLE_S = 0.02
BACK_OFF_S = 1.0


class Stage(Protocol):
    """A part of the pipeline."""

    name: str

    def step(self) -> bool:
        """Do a little; True when something was done, False when there was nothing to do."""


def guarded(stage: Stage, log: EventLog, full: Callable[[], None]) -> bool | None:
    """One step with every failure turned into an event; None after a failure. Raises QueueCorruptError.

    full: called when the disk has no space left for the queue.
    """
    try:
        return stage.step()
    except QueueCorruptError:
        raise
    except QueueFullError as error:
        full()
        log.report(events.DISK_FULL, what=str(error), free=0)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        log.report(events.STAGE_FAILED, stage=stage.name, error=f"{type(error).__name__}: {error}")
    return None


class Worker:
    """Runs a stage until it is told to stop. `beat` is the monotonic time of the last finished step."""

    def __init__(
        self, stage: Stage, clock: Clock, log: EventLog, full: Callable[[], None], fatal: Callable[[str], None]
    ) -> None:
        self.stage = stage
        self.beat = clock.monotonic()
        self._clock, self._log, self._full, self._fatal = clock, log, full, fatal
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=stage.name, daemon=True)

    def start(self) -> None:
        """Begin stepping."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end after its present step."""
        self._stop.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; False when it did not come in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                done = guarded(self.stage, self._log, self._full)
            except QueueCorruptError as error:
                self._log.report(events.QUEUE_CORRUPT, error=str(error))
                self._fatal(f"queue damaged: {error}")
                return
            self.beat = self._clock.monotonic()
            if not done:
                self._stop.wait(BACK_OFF_S if done is None else IDLE_S)
