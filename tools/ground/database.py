"""The SQLite file of a ground store: one receiver at a time, every fault of it a `GroundStoreError`."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from swathpack.edge.storage.blockfile import StorageError
from swathpack.edge.storage.lock import FileLock

BUSY_S = 10.0  # others only read, or list and drop: nobody holds the file for long
_VERSION = 1  # of the tables; stores without a number have the same ones


class GroundStoreError(Exception):
    """The ground's store cannot be read or written."""


class Database:
    """A connection. tables: SQL that makes what is not there. write: take the lock; others only read."""

    def __init__(self, path: Path, tables: str, write: bool = True) -> None:
        self.path = path
        if not write and not path.is_file():
            raise GroundStoreError(f"{path}: no such store")
        self._lock: FileLock | None = None
        if write:
            try:
                self._lock = FileLock(path.with_name(path.name + ".lock"), path, "one receiver per store")
            except StorageError as error:
                raise GroundStoreError(str(error)) from error
        with self._told():
            name = f"file:{_quoted(path)}?mode={'rwc' if write else 'ro'}"
            self._db = sqlite3.connect(name, uri=True, isolation_level=None, timeout=BUSY_S)
        try:
            self._open(tables, write)
        except GroundStoreError:
            self.close()
            raise

    def _open(self, tables: str, write: bool) -> None:
        with self._told():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > _VERSION:
                raise GroundStoreError(f"{self.path}: expected a store of version {_VERSION}, found {version}")
            if write:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.executescript(tables)
                self._db.execute(f"PRAGMA user_version={_VERSION}")
            self._db.execute("SELECT name FROM sqlite_master").fetchall()

    def close(self) -> None:
        """Close the file and let go of the lock."""
        self._db.close()
        if self._lock is not None:
            self._lock.close()

    def rows(self, query: str, *values: Any) -> list[Any]:
        """All rows that a query gives."""
        with self._told():
            return self._db.execute(query, values).fetchall()

    def each(self, query: str, *values: Any) -> Iterator[Any]:
        """The same one by one; the file may be written to in between."""
        with self._told():
            yield from self._db.execute(query, values)

    def row(self, query: str, *values: Any) -> Any:
        """The first row, or None."""
        with self._told():
            return self._db.execute(query, values).fetchone()

    def run(self, query: str, *values: Any) -> None:
        """A statement that changes something."""
        with self._told():
            self._db.execute(query, values)

    def run_many(self, query: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """The same for many rows."""
        with self._told():
            self._db.executemany(query, rows)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; what is read inside is what is there until the end."""
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
        with self._told():
            self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise GroundStoreError(f"{self.path}: {error}") from error


def _quoted(path: Path) -> str:
    """A path as SQLite's URIs want it."""
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
