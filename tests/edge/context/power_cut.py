"""A disk in memory that can lose power: unsynced writes survive in any subset, torn at sectors."""

from __future__ import annotations

import random

SECTOR = 512


class PowerCut(BaseException):
    """The power is gone; no exception handler of the code under test may swallow this."""


class PowerCutDisk:
    """`Blocks` that raises PowerCut at operation number `cut_at` (writes and syncs count, reads do not)."""

    def __init__(self, size: int, cut_at: int | None = None) -> None:
        self.durable = bytearray(size)
        self.pending: list[tuple[int, bytes]] = []
        self.operations = 0
        self.cut_at = cut_at
        self.current = bytearray(size)

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.current[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        self.pending.append((offset, bytes(data)))
        self.current[offset : offset + len(data)] = data
        self._tick()

    def sync(self) -> None:
        self._tick()  # the power goes before the sync is done
        self.durable[:] = self.current
        self.pending.clear()

    def close(self) -> None:
        pass

    def _tick(self) -> None:
        self.operations += 1
        if self.cut_at is not None and self.operations >= self.cut_at:
            raise PowerCut

    def after_cut(self, rng: random.Random) -> PowerCutDisk:
        """The disk as the next boot finds it: any of the unsynced sectors may have made it."""
        disk = PowerCutDisk(len(self.durable))
        disk.durable[:] = self.durable
        keep = rng.choice((0.0, 0.5, 1.0))
        for offset, data in rng.sample(self.pending, len(self.pending)):
            for start in range(0, len(data), SECTOR):
                if rng.random() < keep:
                    piece = data[start : start + SECTOR]
                    disk.durable[offset + start : offset + start + len(piece)] = piece
        disk.current[:] = disk.durable
        return disk
