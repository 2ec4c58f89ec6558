"""One SQLite file with durable transactions, shared by the tables of the queue. Thread-safe."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swathpack.edge.downlink.schema import connect, translated

_PAGES = 2048  # of 4 kB: none of the other stages is to wait for long


class Database:
    """An open queue file. Every method raises QueueError or one of its kinds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._db = connect(path)

    def close(self) -> None:
        """Close the file; all that was committed stays."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, durable when the outermost one is left."""
        with self._lock, translated():
            if self._db.in_transaction:
                yield self._db
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def all(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        with self._lock, translated():
            return self._db.execute(query, values).fetchall()

    def one(self, query: str, *values: Any) -> Any:
        """First value of the first row, or None."""
        rows = self.all(query, *values)
        return rows[0][0] if rows else None

    def give_back(self) -> None:
        """Free pages at the file's end, a portion of them a call, and the log: back to the disk."""
        with self._lock, translated():
            self._db.executescript(f"PRAGMA incremental_vacuum({_PAGES})")  # `execute` would free one page and stop
        self.all("PRAGMA wal_checkpoint(TRUNCATE)")

    def meta(self, name: str, default: int = 0) -> int:
        """A number remembered across restarts."""
        value = self.one("SELECT value FROM meta WHERE name = ?", name)
        return default if value is None else int(value)

    def set_meta(self, name: str, value: int) -> None:
        """Remember a number under a name across restarts, in a transaction of its own."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
