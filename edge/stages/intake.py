"""Sensor to spool: take a frame, look at it, make it safe on disk, and put its tiles to work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

import numpy as np

from swathpack.edge import events
from swathpack.edge.board import Board
from swathpack.edge.codec.pixels import tile_windows
from swathpack.edge.config import MAX_TILES
from swathpack.edge.downlink.schema import QueueError
from swathpack.edge.downlink.spool import Refusal, SpoolFullError
from swathpack.edge.downlink.work import Work
from swathpack.edge.frame import Frame
from swathpack.edge.sources.acquisition import Acquisition, FrameSource, Offer
from swathpack.edge.sources.cloud import cloud_share
from swathpack.edge.storage.blockfile import StorageError

TILE_BITS = MAX_TILES.bit_length() - 1
NARROW = 8  # columns; the rows of frames with fewer may hold one value by chance, and with one column always do


def tile_id(place: int, row: int, column: int) -> int:
    """The stable id of a tile: 26 bits of place, 8 of row, 8 of column."""
    return place << 2 * TILE_BITS | row << TILE_BITS | column


class Intake:
    """The first `Stage`. Back-pressure: no frame is taken while too many tiles wait; the source keeps it."""

    name = "intake"

    def __init__(self, board: Board, source: FrameSource) -> None:
        self.source, self._spool, self._queue, self._ballast = source, board.spool, board.queue, board.ballast
        self._log, self._telemetry, self._coding = board.log, board.telemetry, board.mission.coding
        self.work_tiles = board.mission.limits.work_tiles
        self._held: Offer | None = None

    def step(self) -> bool:
        if not self._ballast.intact or self._queue.work.work_count() >= self.work_tiles:
            return False
        offer = self._held or self.source.poll()
        if offer is None:
            return False
        # Held until it is accepted or refused: a full disk now must not cost the frame.
        self._held = offer
        try:
            with self._telemetry.timed("intake"):
                self._take(offer)
        except SpoolFullError as error:
            self._log.report(events.DISK_FULL, what=str(error), free=self._spool.free_bytes())
            return False
        self._held = None
        self.source.done(offer)
        return True

    def adopt(self) -> int:
        """Frames in the spool that the queue does not know: accept them again. Returns their number."""
        known = set(self._queue.work.frame_names().values())
        adopted = 0
        for found in self._spool.orphans(known):
            if isinstance(found, Refusal):
                self._refuse(found.name, found.reason)
            elif self._queue.work.frame_id(found.name) is not None:
                self._spool.remove(found.name)  # done with, and the power went before the file did
            else:
                adopted += self._try(found, len(found.pack()))
        return adopted

    def _take(self, offer: Offer) -> None:
        acquisition = offer.acquisition
        refused = offer.refused if acquisition is None else self._too_large(acquisition.frame)
        if acquisition is None or refused:
            self._refuse(offer.name, refused)
            return
        if self._queue.work.frame_id(acquisition.name) is not None:
            self._log.report(events.FRAME_DUPLICATE, frame=acquisition.name)
            return
        if offer.undated:
            moment = datetime.fromtimestamp(acquisition.time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            self._log.report(events.FRAME_UNDATED, frame=acquisition.name, time=moment)
        for defect, count in defects(acquisition.frame):
            self._log.report(events.FRAME_DEFECT, frame=acquisition.name, defect=defect, count=count)
        self._try(acquisition, self._spool.put(acquisition))

    def _try(self, acquisition: Acquisition, size: int) -> bool:
        """Accept a frame that is in the spool. What fails for any cause but the disk would fail again at every try
        and at every start: that frame is refused, so that the ones behind it come through.
        """
        try:
            self._accept(acquisition, size)
            return True
        except (QueueError, StorageError):
            raise
        except Exception as error:
            self._spool.remove(acquisition.name)
            self._refuse(acquisition.name, f"{type(error).__name__}: {error}")
            return False

    def _refuse(self, name: str, reason: str) -> None:
        self._telemetry.count("frames_rejected")
        self._log.report(events.FRAME_REJECTED, frame=name, reason=reason)

    def _too_large(self, frame: Frame) -> str:
        """Why the frame has more tiles than ids, or nothing."""
        most = MAX_TILES * self._coding.tile
        return f"more than {most} pixels a side" if max(frame.height, frame.width) > most else ""

    def _accept(self, acquisition: Acquisition, size: int) -> None:
        work = list(self._work(acquisition))
        self._queue.work.accept(acquisition.name, acquisition.time, size, work)
        self._telemetry.count("frames_in")
        self._log.report(events.FRAME_ACCEPTED, frame=acquisition.name, tiles=len(work))

    def _work(self, acquisition: Acquisition) -> Iterator[Work]:
        frame, tile = acquisition.frame, self._coding.tile
        for window in tile_windows(frame.height, frame.width, tile):
            row, column = window.top // tile, window.left // tile
            number = tile_id(acquisition.place, row, column)
            valid = np.asarray(window.of(frame.valid), np.bool_)
            if not valid.any():
                self._log.report(events.TILE_EMPTY, tile=number, time=acquisition.time)
                continue
            cloud = cloud_share(frame.radiometry.to_dn(window.of(frame.data)), frame.bands, valid)
            weight, urgency = self._importance(acquisition, row, column)
            weight *= 1 - self._coding.cloud_discount * cloud
            yield Work(0, row, column, number, weight, urgency)

    def _importance(self, acquisition: Acquisition, row: int, column: int) -> tuple[float, int]:
        weight, urgency = acquisition.weight, acquisition.urgency
        for region in self._coding.regions:
            if region.holds(acquisition.place, row, column):
                weight, urgency = weight * region.weight, max(urgency, region.urgency)
        return weight, urgency


def defects(frame: Frame) -> Iterator[tuple[str, int]]:
    """What is wrong with a frame that can still be coded: (kind, how often). Saturation, dead lines, dead
    bands.
    """
    for band, plane in zip(frame.bands, frame.data):
        saturated = int((plane == frame.radiometry.limits[1]).sum())
        if saturated:
            yield f"saturated {band}", saturated
        if frame.width < NARROW:
            continue
        seen = frame.valid.any(axis=1)
        flat = (plane == plane[:, :1]).all(axis=1) & seen
        if flat.all() and seen.any():
            yield f"dead band {band}", 1
        elif flat.any():
            yield f"dead lines {band}", int(flat.sum())
