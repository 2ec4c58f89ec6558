"""Reception reports from the ground's store: one set per pass, repeated in the passes after it."""

from __future__ import annotations

from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.packets.link_keys import LinkKey
from swathpack.edge.packets.report import MAX_GAPS, Report, ReportEntry
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.tools.ground.store import DAMAGED, WAITING, GroundStore, SegmentFacts

ENTRIES_PER_REPORT = 64
GAPS_PER_REPORT = 2 * MAX_GAPS
PATIENCE_PASSES = 3  # a segment that waits longer for its context is asked for without
TELLINGS = 6  # reports that say that a segment was dropped; each may be lost
_LAST_NUMBER = 0xFFFFFFFF


class ReportWriter:
    """Writes the reports of one board's passes. key: what signs them. store_id: life of the board's queue."""

    def __init__(self, store: GroundStore, key: LinkKey, store_id: int) -> None:
        self._store, self._key, self._store_id = store, key, store_id

    def reports(self, pass_number: int, now: int) -> list[bytes]:
        """Payloads that together tell all about one pass; several, so that the loss of one costs little.

        Also right for a pass of which nothing arrived: the board then knows that all of it is lost.
        """
        held = {s.number: s for s in self._store.to_tell(self._store_id, TELLINGS)}
        held |= {s.number: s for s in self._store.touched(self._store_id, pass_number)}
        entries = [self._entry(held[number], pass_number) for number in sorted(held)]
        parts = _parts(entries)
        firsts = [0, *(part[0].number for part in parts[1:]), _LAST_NUMBER]
        number = self._store.count_up("report", len(parts))
        lives, made = (self._store_id, self._store.epoch), []
        for i, part in enumerate(parts):
            report = Report(*lives, number + i, pass_number, firsts[i], firsts[i + 1], now, tuple(part))
            made.append(report.pack(self._key))
        return made

    def packets(self, pass_number: int, now: int, repeat: int = 2) -> list[bytes]:
        """Command packets for the uplink: this pass's reports and those of the `repeat` passes before it."""
        payloads = [
            payload
            for number in range(max(pass_number - repeat, 0), pass_number + 1)
            for payload in self.reports(number, now)
        ]
        return [
            SpacePacket(Apid.REPORT, i, self._store_id, pass_number, payload, command=True).pack()
            for i, payload in enumerate(payloads)
        ]

    def _entry(self, segment: SegmentFacts, pass_number: int) -> ReportEntry:
        if segment.key is None:
            # A head that cannot be read (another model, say) must be said: else the board takes it for delivered.
            held, unread = segment.ranges.prefix, segment.state == DAMAGED
            gaps = _gaps(segment)
            return ReportEntry(segment.number, TileKey(0, 0), 0, held, gaps=gaps, intra=unread, headless=True)
        waiting = segment.state == WAITING
        overdue = waiting and pass_number - segment.since_pass >= PATIENCE_PASSES
        return ReportEntry(
            segment.number,
            segment.key,
            segment.layers,
            segment.ranges.prefix,
            segment.digest,
            _gaps(segment),
            waiting,
            overdue or segment.state == DAMAGED,
        )


def _parts(entries: list[ReportEntry]) -> list[list[ReportEntry]]:
    """Entries report by report: so many, and of so many gaps, that the loss of one costs little; one, if there are none."""
    parts: list[list[ReportEntry]] = [[]]
    gaps = 0
    for entry in entries:
        full = len(parts[-1]) >= ENTRIES_PER_REPORT or gaps + len(entry.gaps) > GAPS_PER_REPORT
        if parts[-1] and full:
            parts.append([])
            gaps = 0
        parts[-1].append(entry)
        gaps += len(entry.gaps)
    return parts


def _gaps(segment: SegmentFacts) -> tuple[tuple[int, int], ...]:
    """(missing, held) pairs behind the prefix; what lies beyond MAX_GAPS of them is left out, as if missing."""
    gaps, end = [], segment.ranges.prefix
    for start, stop in segment.ranges:
        if start >= end and (start, stop) != (0, end):
            gaps.append((start - end, stop - start))
            end = stop
    return tuple(gaps[:MAX_GAPS])
