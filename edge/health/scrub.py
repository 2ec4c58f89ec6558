"""Background check of weights and tables in memory against single-event upsets.

Every region is cut into blocks; `step` checks a few of them, so that the whole is covered in a known time
without holding anything up. A block that changed is told of; the region is then repaired from disk. When that
fails, the codec must stop: rather no image than a wrong one.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from swathpack.edge import events
from swathpack.edge.events import EventLog
from swathpack.edge.spoken import reason

BLOCK_BYTES = 1 << 18


@dataclass
class Region:
    """A piece of memory: view gives its bytes now, reload repairs it from disk (raising OSError or
    ValueError).
    """

    name: str
    view: Callable[[], NDArray[np.uint8]]
    reload: Callable[[], None]
    checks: list[int] = field(default_factory=list)


def octets(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    """The memory of a C-contiguous array as bytes (n,), without a copy. Raises ValueError for other arrays."""
    if not array.flags.c_contiguous:
        raise ValueError("expected a C-contiguous array: a copy would be checked in its place")
    return array.reshape(-1).view(np.uint8)


class Scrubber:
    """Checks regions in turn. `sound` is False once a region could not be repaired. Thread-safe."""

    def __init__(self, log: EventLog) -> None:
        self.sound = True
        self.rounds = self.found = 0
        self._lock = threading.Lock()
        self._log = log
        self._regions: list[Region] = []
        self._at = (0, 0)

    def add(self, name: str, view: Callable[[], NDArray[np.uint8]], reload: Callable[[], None]) -> None:
        """Watch a region; its content now is taken as right, so add it when its digest has just been checked."""
        data = view()
        self._regions.append(Region(name, view, reload, [_check(data, i) for i in range(_blocks(data))]))

    def step(self, blocks: int = 4) -> bool:
        """Check the next few blocks of all regions in turn; False when coding must stop."""
        with self._lock:
            for _ in range(blocks if self._regions else 0):
                index, block = self._at
                region = self._regions[index]
                if _check(region.view(), block) != region.checks[block]:
                    self._repair(region, block)
                self._advance()
        return self.sound

    def check_all(self) -> bool:
        """One full round, as before a pass that matters."""
        return self.step(sum(len(region.checks) for region in self._regions))

    def untouched(self, since: int) -> bool:
        """One full round; whether nothing has changed since `found` had this value, repaired or not."""
        return self.check_all() and self.found == since

    def _advance(self) -> None:
        index, block = self._at
        block += 1
        if block >= len(self._regions[index].checks):
            index, block = index + 1, 0
        if index >= len(self._regions):
            index, self.rounds = 0, self.rounds + 1
        self._at = (index, block)

    def _repair(self, region: Region, block: int) -> None:
        self.found += 1
        self._log.report(events.MEMORY_FLIPPED, region=region.name, block=block)
        try:
            region.reload()
            data = region.view()
            whole = [_check(data, i) for i in range(_blocks(data))] == region.checks
        except (OSError, ValueError) as error:
            whole = False
            self._log.report(events.STAGE_FAILED, stage="scrub", error=reason(error))
        if whole:
            self._log.report(events.MEMORY_REPAIRED, region=region.name)
        elif self.sound:
            self.sound = False
            self._log.report(events.CODING_STOPPED, reason=f"{region.name} cannot be repaired")


def _blocks(data: NDArray[np.uint8]) -> int:
    return max(-(-len(data) // BLOCK_BYTES), 1)


def _check(data: NDArray[np.uint8], block: int) -> int:
    return zlib.crc32(data[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES].data)
