"""What a reception report changes: confirmed latents become context, lost bytes are sent again.

Order of writing: first the context store, then the queue. A loss of power in between leaves a confirmed
latent in the store and a tile that the next report confirms again, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from swathpack.edge import events
from swathpack.edge.codec.protocol import ContextLatent
from swathpack.edge.context.store import ContextStore
from swathpack.edge.downlink.queue import DownlinkQueue
from swathpack.edge.downlink.schema import QueueCorruptError
from swathpack.edge.downlink.tiles import TileRow
from swathpack.edge.events import EventLog
from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.ranges import RangeSet
from swathpack.edge.packets.report import DIGEST_BYTES, Report, ReportEntry

_BATCH = 64


@dataclass
class Outcome:
    """What a report did: tiles newly confirmed (or deeper), tiles with lost bytes, tiles coded anew."""

    confirmed: int = 0
    lost: int = 0
    again: int = 0


class Confirmation:
    """Applies reports to the queue and the context store.

    Args:
        refresh: called with a tile id whose next coding must do without context.
    """

    def __init__(
        self, queue: DownlinkQueue, store: ContextStore, log: EventLog, refresh: Callable[[int], None]
    ) -> None:
        self._queue, self._store, self._log, self._refresh = queue, store, log, refresh

    def receive(self, payload: bytes, key: bytes) -> Outcome | None:
        """Check and apply a report; None when it is refused, which is an event. Raises QueueError,
        StorageError.
        """
        try:
            report = Report.unpack(payload, key)
            self._check_lives(report)
        except PacketError as error:
            self._log.report(events.REPORT_REJECTED, reason=str(error))
            return None
        outcome = self.apply(report)
        self._log.report(events.REPORT_APPLIED, number=report.number, confirmed=outcome.confirmed, lost=outcome.lost)
        return outcome

    def apply(self, report: Report) -> Outcome:
        """Apply a report that is known to be genuine and of the present lives."""
        outcome = Outcome()
        unreported = self._queue.passes.sent_in(report.pass_number, report.first, report.last, and_before=report.full)
        for start in range(0, len(report.entries), _BATCH):
            self._apply_entries(report, report.entries[start : start + _BATCH], outcome)
        listed = {entry.number for entry in report.entries}
        silent = {number: parts for number, parts in unreported.items() if number not in listed}
        self._lose(silent, report.pass_number, outcome)
        return outcome

    def expire(self, pass_number: int) -> int:
        """Take everything sent up to this pass and never reported on as lost; returns the tiles concerned."""
        outcome = Outcome()
        self._lose(self._queue.passes.overdue(pass_number), pass_number, outcome)
        return outcome.lost

    def _check_lives(self, report: Report) -> None:
        """Refuse what belongs to another life of the queue or an earlier one of the ground; follow a later
        one.
        """
        if report.store != self._queue.store:
            raise PacketError(f"expected store {self._queue.store}, found {report.store}")
        if report.epoch < self._store.ground_epoch:
            raise PacketError(f"expected ground epoch {self._store.ground_epoch}, found {report.epoch}")
        if self._store.ground_epoch == 0 and len(self._store) == 0:
            self._store.adopt(report.epoch)  # the first report ever: nothing here could contradict it
        elif report.epoch > self._store.ground_epoch:
            # The store's epoch is written last: after a crash in between, the next report does both again.
            self._queue.tiles.lose_everything()
            self._store.reset(report.epoch, f"ground epoch {report.epoch}")

    def _apply_entries(self, report: Report, entries: tuple[ReportEntry, ...], outcome: Outcome) -> None:
        contexts: list[ContextLatent] = []
        changes: list[tuple[TileRow, RangeSet, int]] = []
        for entry in entries:
            row = self._queue.tiles.row(entry.number)
            if row is None:
                continue  # it left the queue, or the number was never given: nothing that could change
            if not self._agrees(entry, row) or entry.intra:
                self._code_again(row, outcome, mismatch=not entry.intra)
                continue
            context = self._confirmed(entry, row)
            if context is not None:
                contexts.append(context)
            held = self._held(report, entry, row)
            outcome.lost += int(held.covered(1 << 40) < row.have.covered(1 << 40))
            changes.append((row, held, max(row.confirmed, context.layers if context else 0)))
        self._store.put(contexts)
        self._queue.tiles.settle(changes, report.pass_number, report.number)
        outcome.confirmed += len(contexts)

    @staticmethod
    def _agrees(entry: ReportEntry, row: TileRow) -> bool:
        """The ground means our tile, and its latent is ours as far as it has it."""
        at = entry.layers * DIGEST_BYTES
        same = entry.layers == 0 or entry.digest == row.digests[at : at + DIGEST_BYTES]
        return entry.headless or (entry.key == row.key and same)

    def _confirmed(self, entry: ReportEntry, row: TileRow) -> ContextLatent | None:
        if entry.layers <= row.confirmed:
            return None
        try:
            return self._queue.tiles.latent(row.number, entry.layers)
        except QueueCorruptError as error:
            self._log.report(events.QUEUE_CORRUPT, error=str(error))
            return None

    def _held(self, report: Report, entry: ReportEntry, row: TileRow) -> RangeSet:
        """Bytes at the ground or on their way; an older report than the last does not make bytes lost.

        Older by the ground's count of its reports: with a clock that jumped the later pass may have the lower number.
        """
        if report.number < row.report:
            return row.have
        held = RangeSet([(0, entry.held)])
        at = entry.held
        for missing, there in entry.gaps:
            held.add(at + missing, at + missing + there)
            at += missing + there
        for start, stop in self._queue.passes.sent_after(report.pass_number, row.number):
            held.add(start, stop)
        return held

    def _code_again(self, row: TileRow, outcome: Outcome, mismatch: bool) -> None:
        if mismatch:
            self._log.report(events.REPORT_MISMATCH, tile=row.key.tile, time=row.key.time)
        self._store.drop(row.key.tile)
        self._refresh(row.key.tile)
        if not self._queue.tiles.again(row):
            time, why = row.key.time, "not as the ground has it, its frame is gone"
            self._log.report(events.TILE_DROPPED, tile=row.key.tile, time=time, reason=why)
        outcome.again += 1

    def _lose(self, lost: dict[int, list[tuple[int, int]]], pass_number: int, outcome: Outcome) -> None:
        changes: list[tuple[TileRow, RangeSet, int]] = []
        for number, parts in lost.items():
            row = self._queue.tiles.row(number)
            if row is None:
                continue
            for start, stop in parts:
                row.have.remove(start, stop)
            for start, stop in self._queue.passes.sent_after(pass_number, number):
                row.have.add(start, stop)
            changes.append((row, row.have, row.confirmed))
        self._queue.tiles.settle(changes, pass_number)
        outcome.lost += len(changes)
