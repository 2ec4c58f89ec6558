"""One SQLite file with durable transactions, shared by the tables of the queue. Thread-safe."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swathpack.edge.downlink.schema import connect, translated


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

    def checkpoint(self) -> None:
        """Write the log back into the file and give its space back to the disk."""
        self.all("PRAGMA wal_checkpoint(TRUNCATE)")

    def meta(self, name: str, default: int = 0) -> int:
        """A number remembered across restarts."""
        value = self.one("SELECT value FROM meta WHERE name = ?", name)
        return default if value is None else int(value)

    def set_meta(self, name: str, value: int) -> None:
        """Remember a number."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
