"""Passes: bytes reserved before they are sent, ranges marked after, and what no report has spoken of yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from swathpack.edge.downlink.database import Database
from swathpack.edge.downlink.tiles import mark_held
from swathpack.edge.packets.pieces import Span

Ranges = dict[int, list[tuple[int, int]]]  # segment number -> byte ranges


class PassTable:
    """Passes of the queue file. Raises QueueError and its kinds."""

    def __init__(self, file: Database) -> None:
        self._file = file

    def begin(self, number: int, budget: int) -> int:
        """Open a pass, or go on with it after a restart; returns the bytes already used of it."""
        with self._file.transaction() as db:
            db.execute(
                "INSERT INTO passes VALUES (?, ?, 0, 0) ON CONFLICT (number) DO UPDATE SET budget = ?",
                (number, budget, budget),
            )
            return int(db.execute("SELECT used FROM passes WHERE number = ?", (number,)).fetchone()[0])

    def advance(self, number: int, used: int, spans: Iterable[Span], remember: Mapping[str, int]) -> None:
        """One commit: `used` bytes of the pass are spent or reserved from now on, and `spans` have been sent.

        remember: numbers for `Database.meta`, such as sequence counts.
        """
        with self._file.transaction() as db:
            db.execute("UPDATE passes SET used = max(used, ?) WHERE number = ?", (used, number))
            ranges: Ranges = {}
            for span in spans:
                ranges.setdefault(span.number, []).append((span.start, span.stop))
            for segment, parts in ranges.items():
                db.executemany(
                    "INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?)", [(number, segment, *part) for part in parts]
                )
                mark_held(db, segment, parts)
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(remember.items()))

    def end(self, number: int, used: int) -> None:
        """The pass is over and has used exactly this many bytes."""
        with self._file.transaction() as db:
            db.execute("UPDATE passes SET ended = 1, used = ? WHERE number = ?", (used, number))

    def ended(self, number: int) -> bool:
        """Whether this pass is over."""
        return bool(self._file.one("SELECT ended FROM passes WHERE number = ?", number))

    def begun(self, number: int) -> bool:
        """Whether this pass has ever been on."""
        return self._file.one("SELECT 1 FROM passes WHERE number = ?", number) is not None

    def count_ended(self) -> int:
        """Passes that are over."""
        return int(self._file.one("SELECT count(*) FROM passes WHERE ended"))

    def all(self) -> dict[int, tuple[int, int]]:
        """Every pass so far: number to (budget, used), bytes."""
        rows = self._file.all("SELECT number, budget, used FROM passes")
        return {int(number): (int(budget), int(used)) for number, budget, used in rows}

    def sent_in(self, pass_number: int, first: int, last: int, and_before: bool) -> Ranges:
        """Unreported ranges of segments first <= number < last that went down in this pass (or up to it)."""
        compare = "<=" if and_before else "="
        found: Ranges = {}
        for number, start, stop in self._file.all(
            f"SELECT number, start, stop FROM sent WHERE pass {compare} ? AND number >= ? AND number < ?",
            pass_number,
            first,
            last,
        ):
            found.setdefault(int(number), []).append((int(start), int(stop)))
        return found

    def sent_after(self, pass_number: int, number: int) -> list[tuple[int, int]]:
        """Byte ranges of a segment that went down in later passes."""
        query = "SELECT start, stop FROM sent WHERE number = ? AND pass > ?"
        rows = self._file.all(query, number, pass_number)
        return [(int(start), int(stop)) for start, stop in rows]

    def overdue(self, pass_number: int) -> Ranges:
        """Ranges sent in passes up to this one that no report has spoken of."""
        return self.sent_in(pass_number, 0, 1 << 62, and_before=True)
