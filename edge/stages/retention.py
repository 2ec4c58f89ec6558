"""What leaves the board when: frames that the ground holds, tiles that are old, and, where space is short, first the layers
that are worth the least. Never silently.

A coded tile is worth its first bytes most, and any prefix of it decodes, so nobody's first layers go before
everybody's last ones: rate control says what to keep of all tiles in the bytes there are, as it says what to send.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swathpack.edge import events
from swathpack.edge.board import Board
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.rate import RatePlanner
from swathpack.edge.downlink.tiles import QueueTable

FRAMES_REMEMBERED = 100_000
URGENT_WEIGHT = 1e3  # of each step of urgency, when something must go
SPARE_SHARE = 1 / 32  # of the queue that is cut beyond what must be, so that not every tile makes a round of it
_DROP_BATCH = 256


class Retention:
    """Makes room.

    `passes.patience`: passes for which a full disk waits before anything is cut: what they take down and the ground confirms makes room
    without loss, and whoever else filled the disk may empty it again.
    """

    def __init__(self, board: Board) -> None:
        mission = board.mission
        self._queue, self._spool, self._ballast, self._log = board.queue, board.spool, board.ballast, board.log
        self._limits, self._max_tries, self._patience = (
            mission.limits,
            mission.coding.max_tries,
            mission.passes.patience,
        )
        self._full_since: int | None = None  # passes that were over when the disk was found full

    def tidy(self) -> None:
        """One round. Raises QueueError, StorageError."""
        for frame, name in self._queue.work.finished_frames(self._limits.keep_frames == "confirmed"):
            # The row first: a file without a live row is deleted at the next start, the reverse would fail
            # tiles.
            self._queue.work.done_with_frame(frame)
            self._spool.remove(name)
        self._queue.work.forget_frames(FRAMES_REMEMBERED)
        self._queue.tiles.drop_complete()
        if self._spool.low():
            # Frames are kept for tiles that could not be coded only as long as there is room for others.
            for work in self._queue.work.given_up(self._max_tries, _DROP_BATCH):
                time = self._queue.work.frame_time(work.frame)
                self._log.report(events.TILE_DROPPED, tile=work.tile, time=time, reason="coding failed")
                self._queue.work.skip(work)
        old = self._queue.tiles.older_than(self._limits.keep_passes, _DROP_BATCH)
        self._drop([(number, key.tile, key.time) for number, key in old], "age")
        excess = self._queue.tiles.bytes_queued() - (self._limits.queue_mb << 20)
        if excess > 0:
            self._shrink(excess, "space")
        self._find_room()

    def _find_room(self) -> None:
        """Space for the disk's other users, and for the ballast when the disk has been full for long."""
        if self._ballast.intact:
            self._full_since = None
        else:
            over, lacking = self._queue.passes.count_ended(), self._ballast.lacking()
            self._full_since = over if self._full_since is None else self._full_since
            # What cannot bring the ballast back is not given up for it: others have filled the disk then.
            if over - self._full_since >= self._patience and 0 < lacking < self._queue.tiles.bytes_queued():
                self._shrink(lacking, "disk full")
        if self._spool.low() or not self._ballast.intact:
            self._queue.file.give_back()

    def _shrink(self, excess: int, reason: str) -> None:
        """Give up so many bytes of the queue, those that save the least error; whole tiles only where no room is left for
        their first layer, or where the ground has all that would be kept.
        """
        table = self._queue.tiles.table()
        layers = layers_to_keep(table, excess)
        gone, cuts = [], []
        for i in np.flatnonzero(layers < LAYERS).tolist():
            number, tile, time, keep = int(table.number[i]), int(table.tile[i]), int(table.time[i]), int(layers[i])
            if keep <= table.confirmed[i]:
                gone.append((number, tile, time))
            elif table.prefix[i, keep] < table.prefix[i, -1]:
                self._log.report(events.TILE_CUT, tile=tile, time=time, layers=keep, reason=reason)
                cuts.append((number, keep))
        self._queue.tiles.cut(cuts)
        self._drop(gone, reason)

    def _drop(self, tiles: list[tuple[int, int, int]], reason: str) -> None:
        for _, tile, time in tiles:
            self._log.report(events.TILE_DROPPED, tile=tile, time=time, reason=reason)
        self._queue.tiles.drop([number for number, _, _ in tiles])


def layers_to_keep(table: QueueTable, excess: int) -> NDArray[np.int64]:
    """(N,) layers of every tile when so many bytes must go. What the ground has confirmed of a tile takes no room: if no
    more is to be kept, the tile leaves.
    """
    held = np.arange(LAYERS + 1) <= table.confirmed[:, None]
    costs = np.where(held, 0, table.prefix)
    weights = table.weight * URGENT_WEIGHT**table.urgency
    spare = int(costs[:, -1].sum() * SPARE_SHARE)
    floor = np.where(table.strips, 0, 1)  # a strip is no image: rather fewer of such tiles than a strip of each
    return RatePlanner(costs, table.distortion, weights, floor).plan(int(costs[:, -1].sum()) - excess - spare)
