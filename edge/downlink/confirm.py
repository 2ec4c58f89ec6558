"""What a reception report changes: confirmed latents become context, lost bytes are sent again.

Whoever signed it, a report is believed only as far as it can be true: bytes count as held when they went down at some
time, layers as decoded when their bytes went down and the digest is that of our own latent. Layers that were proven so
stay held while the ground's epoch lasts, unless it asks for the tile anew. No word of a report takes a tile out of the
queue whose frame is gone.

Order of writing: first the context store, then the queue, last the report's own number. A loss of power in between
leaves a confirmed latent in the store and a tile that the report confirms again, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from swathpack.edge import events
from swathpack.edge.codec.lone import may_be_context
from swathpack.edge.codec.protocol import ContextLatent
from swathpack.edge.context.store import ContextStore
from swathpack.edge.downlink.link_record import LinkRecord
from swathpack.edge.downlink.queue import DownlinkQueue
from swathpack.edge.downlink.report_guard import EmptyReportError, RepeatedReportError, ReportGuard
from swathpack.edge.downlink.schema import QueueCorruptError
from swathpack.edge.downlink.tiles import TileRow, whole_layers
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
        link: which key slot and which life of the ground are known.
        refresh: called with a tile id whose next coding must do without context.
    """

    def __init__(
        self,
        queue: DownlinkQueue,
        store: ContextStore,
        link: LinkRecord,
        log: EventLog,
        refresh: Callable[[int], None],
    ) -> None:
        self._queue, self._store, self._link, self._log, self._refresh = queue, store, link, log, refresh
        self._guard = ReportGuard(queue, link)

    def receive(self, payload: bytes, keys: Mapping[int, bytes]) -> Outcome | None:
        """Check and apply a report; None when it is refused, which is an event, or says nothing. keys: secrets by slot.

        Raises QueueError, StorageError.
        """
        try:
            report = Report.unpack(payload, keys)
            self._guard.check(report, self._epoch)
        except RepeatedReportError:
            self._log.report(events.REPORT_REPEATED, number=report.number)
            return None
        except EmptyReportError:
            return None
        except PacketError as error:
            self._log.report(events.REPORT_REJECTED, reason=str(error))
            return None
        self._follow(report.epoch)
        outcome = self.apply(report)
        self._log.report(events.REPORT_APPLIED, number=report.number, confirmed=outcome.confirmed, lost=outcome.lost)
        return outcome

    def apply(self, report: Report) -> Outcome:
        """Apply a report that the guard has let through."""
        outcome = Outcome()
        unreported = self._queue.passes.sent_in(report.pass_number, report.first, report.last, and_before=report.full)
        for start in range(0, len(report.entries), _BATCH):
            self._apply_entries(report, report.entries[start : start + _BATCH], outcome)
        listed = {entry.number for entry in report.entries}
        silent = {number: parts for number, parts in unreported.items() if number not in listed}
        with self._queue.file.transaction():
            self._lose(silent, report.pass_number, outcome)
            self._guard.applied(report)
        return outcome

    def expire(self, pass_number: int) -> int:
        """Take everything sent up to this pass and never reported on as lost; returns the tiles concerned."""
        outcome = Outcome()
        self._lose(self._queue.passes.overdue(pass_number), pass_number, outcome)
        return outcome.lost

    @property
    def _epoch(self) -> int:
        """The life of the ground that is known here; a new context file knows none."""
        return max(self._store.ground_epoch, self._link.epoch)

    def _follow(self, epoch: int) -> None:
        """Begin anew with a later life of the ground. Its number is noted last (`ReportGuard.applied`): after a crash in
        between, the next report does all of it again.
        """
        known = self._epoch
        if epoch > known > 0:
            self._queue.tiles.lose_everything()
            self._store.reset(epoch, f"ground epoch {epoch}")
        elif self._store.ground_epoch != epoch:
            self._store.adopt(epoch)  # the first report ever, or the first to a new file: nothing could contradict it

    def _apply_entries(self, report: Report, entries: tuple[ReportEntry, ...], outcome: Outcome) -> None:
        contexts: list[ContextLatent] = []
        changes: list[tuple[TileRow, RangeSet, int]] = []
        for entry in entries:
            row = self._queue.tiles.row(entry.number)
            if row is None:
                continue  # it left the queue, or the number was never given: nothing that could change
            if not self._agrees(entry, row) or entry.intra:
                if self._code_again(row, outcome, mismatch=not entry.intra):
                    continue
                entry = replace(entry, layers=0)
                # It has thrown away what it had: then this coding, the only one there can be, goes down again.
                row = replace(row, confirmed=0) if entry.intra else row
            claimed = claimed_of(entry).common(row.ever)
            context = self._confirmed(min(entry.layers, whole_layers(row.prefix, claimed)), row)
            if context is not None:
                contexts.append(context)
            confirmed = max(row.confirmed, context.layers if context else 0)
            held = self._held(report, claimed, row, confirmed)
            outcome.lost += int(held.covered(1 << 40) < row.have.covered(1 << 40))
            changes.append((row, held, confirmed))
        self._store.put([c for c in contexts if may_be_context(c.q, c.latent)])
        if changes:
            order = report.number if self._guard.ordered(report) else -1
            self._queue.tiles.settle(changes, report.pass_number, order)
        outcome.confirmed += len(contexts)

    @staticmethod
    def _agrees(entry: ReportEntry, row: TileRow) -> bool:
        """The ground means our tile, and its latent is ours as far as it has it."""
        at = entry.layers * DIGEST_BYTES
        same = entry.layers == 0 or entry.digest == row.digests[at : at + DIGEST_BYTES]
        return entry.headless or (entry.key == row.key and same)

    def _confirmed(self, layers: int, row: TileRow) -> ContextLatent | None:
        if layers <= row.confirmed:
            return None
        try:
            return self._queue.tiles.latent(row.number, layers)
        except QueueCorruptError as error:
            self._log.report(events.QUEUE_CORRUPT, error=str(error))
            return None

    def _held(self, report: Report, claimed: RangeSet, row: TileRow, confirmed: int) -> RangeSet:
        """Bytes at the ground or on their way; an older report than the last does not make bytes lost.

        Older by the ground's count of its reports: with a clock that jumped the later pass may have the lower number.
        """
        if self._guard.ordered(report) and report.number < row.report:
            return row.have
        held = RangeSet(claimed)
        held.add(0, _proven(row, confirmed))
        for start, stop in self._queue.passes.sent_after(report.pass_number, row.number):
            held.add(start, stop)
        return held

    def _code_again(self, row: TileRow, outcome: Outcome, mismatch: bool) -> bool:
        """Put a tile to work again; False when its frame is gone, and with it any better coding than this one."""
        if mismatch:
            self._log.report(events.REPORT_MISMATCH, tile=row.key.tile, time=row.key.time)
        self._store.drop(row.key.tile)
        self._refresh(row.key.tile)
        again = self._queue.tiles.again(row)
        outcome.again += again
        return again

    def _lose(self, lost: dict[int, list[tuple[int, int]]], pass_number: int, outcome: Outcome) -> None:
        changes: list[tuple[TileRow, RangeSet, int]] = []
        for number, parts in lost.items():
            row = self._queue.tiles.row(number)
            if row is None:
                continue
            for start, stop in parts:
                row.have.remove(start, stop)
            row.have.add(0, _proven(row, row.confirmed))
            for start, stop in self._queue.passes.sent_after(pass_number, number):
                row.have.add(start, stop)
            changes.append((row, row.have, row.confirmed))
        if changes:
            self._queue.tiles.settle(changes, pass_number)
        outcome.lost += len(changes)


def _proven(row: TileRow, confirmed: int) -> int:
    """Bytes that the ground must have had to decode so many layers; the head alone proves nothing."""
    return int(row.prefix[confirmed]) if confirmed else 0


def claimed_of(entry: ReportEntry) -> RangeSet:
    """The bytes that an entry says are at the ground."""
    claimed, at = RangeSet([(0, entry.held)]), entry.held
    for missing, there in entry.gaps:
        claimed.add(at + missing, at + missing + there)
        at += missing + there
    return claimed
