"""The queue on disk: accepted frames, the work they mean, coded tiles, and what of them was sent.

Everything is one SQLite file in WAL mode with full syncs. The steps that matter are single transactions:

- a frame is accepted with all its work rows, or not at all;
- a coded tile appears in the same commit in which its work row goes;
- a pass's bytes are reserved before they are sent, and marked as sent after: a crash in between costs bytes
  of
  the pass, never more than its budget, and nothing is forgotten (the ground drops what comes twice).

Segment numbers carry the boot count in their upper bits, which is kept apart from this file: should the
medium lose the last commits, no number is given to two different segments.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from swathpack.edge.clock import Clock
from swathpack.edge.downlink.database import Database
from swathpack.edge.downlink.passes import PassTable
from swathpack.edge.downlink.tiles import TileTable
from swathpack.edge.downlink.work import WorkTable

NUMBERS_PER_BOOT = 1 << 20
MAX_BOOTS = 1 << 12


class DownlinkQueue:
    """The queue in the file at `path`. Thread-safe. Raises QueueError and its kinds.

    boot: this start's count; store: 16 bits naming the life of the segment numbers. more_boots: counts another start
    when a single one has coded more tiles than it has numbers.
    """

    def __init__(
        self, path: Path, clock: Clock, boot: int, store: int, more_boots: Callable[[], int] | None = None
    ) -> None:
        self.file = Database(path)
        self.store = store
        self.work = WorkTable(self.file, clock)
        more = None if more_boots is None else lambda: more_boots() % MAX_BOOTS * NUMBERS_PER_BOOT
        self.tiles = TileTable(self.file, boot % MAX_BOOTS * NUMBERS_PER_BOOT, NUMBERS_PER_BOOT, more)
        self.passes = PassTable(self.file)

    def close(self) -> None:
        """Close the file; all that was committed stays."""
        self.file.close()
