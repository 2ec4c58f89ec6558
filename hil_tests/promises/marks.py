"""Where a process is, told through shared memory: so a kill without warning can be placed, and work be counted.

Wraps the steps of the runtime that matter after a loss of power. A process that was forked from the one that holds
the marks counts up when it enters a step and down when it leaves; what is not zero after SIGKILL is where it was.
"""

from __future__ import annotations

import functools
import mmap
import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import swathpack.edge.__main__ as process
from swathpack.edge.clock import SystemClock
from swathpack.edge.context.store import ContextStore
from swathpack.edge.downlink.confirm import Confirmation
from swathpack.edge.downlink.passes import PassTable
from swathpack.edge.downlink.passrun import PassRun
from swathpack.edge.downlink.ports import FilePort
from swathpack.edge.downlink.spool import Spool
from swathpack.edge.downlink.tiles import TileTable
from swathpack.edge.downlink.work import WorkTable
from swathpack.edge.sources.folder import FolderSource
from swathpack.edge.stages.coding import Encode
from swathpack.edge.stages.intake import Intake
from swathpack.edge.stages.retention import Retention

STEPS = (
    ("opening state and queue", process, "open_board"),
    ("adopting frames", Intake, "adopt"),
    ("writing a frame to the spool", Spool, "put"),
    ("accepting a frame", WorkTable, "accept"),
    ("telling the sensor", FolderSource, "done"),
    ("coding a tile", Encode, "_encode"),
    ("queueing a coded tile", TileTable, "add"),
    ("planning a pass", PassRun, "_load"),
    ("reserving and marking bytes", PassTable, "advance"),
    ("sending a packet", FilePort, "send"),
    ("ending a pass", PassRun, "close"),
    ("acting on a report", Confirmation, "receive"),
    ("writing context", ContextStore, "_commit"),
    ("retention", Retention, "tidy"),
)
_NAMES = tuple(name for name, _, _ in STEPS)
_OFFSET_AT = 8 * len(STEPS)


class Marks:
    """Shared by the process that judges and those it forks."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _OFFSET_AT + 8)

    def install(self) -> None:
        """In the forked process: wrap the steps, and let its wall clock be moved from outside."""
        for index, (_, owner, name) in enumerate(STEPS):
            setattr(owner, name, self._wrapped(getattr(owner, name), 8 * index))
        setattr(SystemClock, "wall", lambda clock: time.time() + self.wall_offset)  # noqa: B010

    def inside(self) -> list[str]:
        """Steps that a process killed just now had entered and not left; forgets them."""
        found = [name for i, name in enumerate(_NAMES) if self._get(8 * i)]
        for i in range(len(_NAMES)):
            self._put(8 * i, 0)
        return found

    def within(self, step: str) -> bool:
        """Whether the process is in that step now."""
        return self._get(8 * _NAMES.index(step)) > 0

    def done(self) -> Counter[str]:
        """How often every step was finished by all processes so far."""
        return Counter({name: self._get(8 * i + 4) for i, name in enumerate(_NAMES)})

    def total(self) -> int:
        """Steps finished so far, of all kinds."""
        return sum(self._get(8 * i + 4) for i in range(len(_NAMES)))

    @property
    def wall_offset(self) -> float:
        """Seconds by which the forked process's wall clock is wrong."""
        return float(struct.unpack_from("<d", self._memory, _OFFSET_AT)[0])

    @wall_offset.setter
    def wall_offset(self, seconds: float) -> None:
        struct.pack_into("<d", self._memory, _OFFSET_AT, seconds)

    def _get(self, at: int) -> int:
        return int(struct.unpack_from("<I", self._memory, at)[0])

    def _put(self, at: int, value: int) -> None:
        struct.pack_into("<I", self._memory, at, value)

    def _wrapped(self, function: Callable[..., Any], at: int) -> Callable[..., Any]:
        @functools.wraps(function)
        def step(*arguments: Any, **named: Any) -> Any:
            self._put(at, self._get(at) + 1)
            try:
                return function(*arguments, **named)
            finally:
                self._put(at + 4, self._get(at + 4) + 1)
                self._put(at, self._get(at) - 1)

        return step
