"""Which reports may speak at all: of our queue's life, of a ground that has not gone back, signed by a key that is not
retired, on a pass that has been, and not heard before.

The sliding window against replays is that of IPsec (RFC 4303, section 3.4.3), over the ground's count of its reports in
one epoch. Without keys there is none: whoever reaches the uplink could move it and so lock the true reports out.
"""

from __future__ import annotations

from swathpack.edge.downlink.database import Database
from swathpack.edge.downlink.link_record import LinkRecord
from swathpack.edge.downlink.queue import DownlinkQueue
from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.link_keys import OPEN_SLOT
from swathpack.edge.packets.report import Report

EPOCH_STEP = 16  # a ground that begins anew counts one on; some of these may have been lost on the way
WINDOW = 1 << 14  # reports this far behind the newest may still come late
NUMBER_STEP = 1 << 20  # so many may be lost in a row


class RepeatedReportError(PacketError):
    """A report that has been applied before."""


class EmptyReportError(PacketError):
    """A report without entries on a pass that was not ours: the ground speaks of the passes before the first too."""


class ReportGuard:
    """Judges reports before they are applied, and remembers those that were."""

    def __init__(self, queue: DownlinkQueue, link: LinkRecord) -> None:
        self._queue, self._link = queue, link
        self._window = ReportWindow(queue.file)

    def check(self, report: Report, epoch: int) -> None:
        """Raises PacketError and kinds. epoch: the life of the ground that is known here."""
        if report.store != self._queue.store:
            raise PacketError(f"expected store {self._queue.store}, found {report.store}")
        if not epoch <= report.epoch <= epoch + EPOCH_STEP:
            raise PacketError(f"expected a ground epoch of {epoch} to {epoch + EPOCH_STEP}, found {report.epoch}")
        if not self._queue.passes.begun(report.pass_number):
            kind = PacketError if report.entries else EmptyReportError
            raise kind(f"expected a report on a pass that has begun here, found pass {report.pass_number}")
        if self.ordered(report):
            if report.slot < self._link.slot:
                raise PacketError(
                    f"expected a report signed by key {self._link.slot} or higher, found key {report.slot}"
                )
            self._window.check(report.epoch, report.number)

    @staticmethod
    def ordered(report: Report) -> bool:
        """Whether the report's number tells what is newer: not when anybody may have written it."""
        return report.slot != OPEN_SLOT

    def applied(self, report: Report) -> None:
        """Remember a report, durably; part of a larger transaction of the queue where one is open."""
        if self.ordered(report):
            self._window.note(report.epoch, report.number)
        self._link.follow(report.slot if self.ordered(report) else -1, report.epoch)


class ReportWindow:
    """Numbers of the reports that were applied, as far back as late ones are still taken. Raises QueueError."""

    def __init__(self, file: Database) -> None:
        self._file = file

    def check(self, epoch: int, number: int) -> None:
        """Raises PacketError for a number too far ahead or behind, RepeatedReportError for one that was there."""
        newest = self._file.one("SELECT max(number) FROM reports WHERE epoch = ?", epoch)
        if newest is None:
            return
        if not newest - WINDOW < number <= newest + NUMBER_STEP:
            raise PacketError(f"expected a report of {newest - WINDOW + 1} to {newest + NUMBER_STEP}, found {number}")
        if self._file.one("SELECT 1 FROM reports WHERE epoch = ? AND number = ?", epoch, number) is not None:
            raise RepeatedReportError(f"report {number} was here before")

    def note(self, epoch: int, number: int) -> None:
        """This one was applied."""
        with self._file.transaction() as db:
            db.execute("INSERT OR IGNORE INTO reports VALUES (?, ?)", (epoch, number))
            oldest = "(SELECT max(number) FROM reports WHERE epoch = ?1) - ?2"
            db.execute(f"DELETE FROM reports WHERE epoch < ?1 OR (epoch = ?1 AND number <= {oldest})", (epoch, WINDOW))
