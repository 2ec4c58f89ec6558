"""Accepted frames and the tiles of them that wait to be coded."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from swathpack.edge.clock import Clock
from swathpack.edge.downlink.database import Database
from swathpack.edge.stream.quality import PREDICTIVE


@dataclass(frozen=True)
class Work:
    """One tile of an accepted frame that waits to be coded. `row` and `col` count tiles within the frame."""

    frame: int
    row: int
    col: int
    tile: int
    weight: float = 1.0
    urgency: int = 0
    intra: bool = False
    tries: int = 0


def add_work(db: sqlite3.Connection, work: Iterable[Work]) -> None:
    """Put work rows in; part of a larger transaction."""
    db.executemany(
        "INSERT OR REPLACE INTO work (frame, row, col, tile, weight, urgency, intra) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(w.frame, w.row, w.col, w.tile, w.weight, w.urgency, w.intra) for w in work],
    )


def remove_work(db: sqlite3.Connection, work: Work) -> None:
    """Take a work row out; part of a larger transaction."""
    db.execute("DELETE FROM work WHERE frame = ? AND row = ? AND col = ?", (work.frame, work.row, work.col))


class WorkTable:
    """Frames and work rows of the queue file. Raises QueueError and its kinds."""

    def __init__(self, file: Database, clock: Clock) -> None:
        self._file, self._clock = file, clock

    def accept(self, name: str, time: int, size: int, work: Sequence[Work]) -> int:
        """A frame whose bytes are safe in the spool, with its work; returns its id. `frame` of the work is
        set here.
        """
        with self._file.transaction() as db:
            cursor = db.execute(
                "INSERT INTO frames (name, time, bytes, accepted) VALUES (?, ?, ?, ?)",
                (name, time, size, self._clock.wall()),
            )
            frame = int(cursor.lastrowid or 0)
            add_work(db, [replace(w, frame=frame) for w in work])
        return frame

    def frame_id(self, name: str) -> int | None:
        """Id of an accepted frame."""
        found = self._file.one("SELECT id FROM frames WHERE name = ?", name)
        return None if found is None else int(found)

    def frame_names(self) -> dict[int, str]:
        """All frames whose data is still in the spool: id to name, oldest acceptance first."""
        return dict(self._file.all("SELECT id, name FROM frames WHERE done = 0 ORDER BY id"))

    def frame_time(self, frame: int) -> int:
        """Acquisition time, epoch seconds."""
        return int(self._file.one("SELECT time FROM frames WHERE id = ?", frame) or 0)

    def next_work(self, limit: int, max_tries: int = 3) -> list[Work]:
        """Tiles to code next: most urgent first, then weightiest, oldest frame first within equals."""
        rows = self._file.all(
            "SELECT frame, row, col, tile, weight, urgency, intra, tries FROM work WHERE tries < ? "
            "ORDER BY urgency DESC, weight DESC, frame, row, col LIMIT ?",
            max_tries,
            limit,
        )
        return [Work(f, r, c, tile, w, u, bool(intra), tries) for f, r, c, tile, w, u, intra, tries in rows]

    def work_count(self, max_tries: int = 3) -> int:
        """Tiles that wait to be coded."""
        return int(self._file.one("SELECT count(*) FROM work WHERE tries < ?", max_tries) or 0)

    def failed(self, work: Work) -> None:
        """Coding this tile failed: it is tried again later, a few times."""
        with self._file.transaction() as db:
            db.execute(
                "UPDATE work SET tries = tries + 1 WHERE frame = ? AND row = ? AND col = ?",
                (work.frame, work.row, work.col),
            )

    def skip(self, work: Work) -> None:
        """This tile needs no coding (it has no valid pixel)."""
        with self._file.transaction() as db:
            remove_work(db, work)

    def finished_frames(self, confirmed: bool) -> list[tuple[int, str]]:
        """Frames without work left; with `confirmed` only those of which the ground holds an image of every queued tile: of
        one whose layers are strips of rows, all of them.
        """
        query = "SELECT id, name FROM frames WHERE done = 0 "
        query += "AND NOT EXISTS (SELECT 1 FROM work WHERE frame = id)"
        if confirmed:
            enough = f"CASE q WHEN {PREDICTIVE} THEN max(layers, 1) ELSE 1 END"
            query += f" AND NOT EXISTS (SELECT 1 FROM tiles WHERE frame = id AND confirmed < {enough})"
        return [(int(i), str(name)) for i, name in self._file.all(query)]

    def given_up(self, max_tries: int, limit: int) -> list[Work]:
        """Tiles whose coding has failed as often as it is tried."""
        rows = self._file.all(
            "SELECT frame, row, col, tile, weight, urgency, intra, tries FROM work "
            "WHERE tries >= ? ORDER BY frame LIMIT ?",
            max_tries,
            limit,
        )
        return [Work(f, r, c, tile, w, u, bool(intra), tries) for f, r, c, tile, w, u, intra, tries in rows]

    def forget_frames(self, keep: int) -> None:
        """Names of frames long done with are kept against duplicates, but not for ever."""
        oldest = "SELECT id FROM frames WHERE done = 1 AND id < (SELECT max(id) FROM frames) - ? LIMIT 1"
        if self._file.one(oldest, keep) is not None:
            with self._file.transaction() as db:
                db.execute("DELETE FROM frames WHERE done = 1 AND id < (SELECT max(id) FROM frames) - ?", (keep,))

    def done_with_frame(self, frame: int) -> None:
        """The spool file is gone: drop what work the frame still had. Its name stays, against duplicates."""
        with self._file.transaction() as db:
            db.execute("UPDATE frames SET done = 1 WHERE id = ?", (frame,))
            db.execute("DELETE FROM work WHERE frame = ?", (frame,))
