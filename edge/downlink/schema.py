"""The tables of the queue, and one place where SQLite's errors become ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION = 4

# Small rows apart from large values, so that planning a pass does not read the segments.
TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS frames (
    id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, time INTEGER NOT NULL, bytes INTEGER NOT NULL,
    accepted REAL NOT NULL, done INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS work (
    frame INTEGER NOT NULL, row INTEGER NOT NULL, col INTEGER NOT NULL, tile INTEGER NOT NULL,
    weight REAL NOT NULL, urgency INTEGER NOT NULL, intra INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (frame, row, col)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tiles (
    number INTEGER PRIMARY KEY, frame INTEGER NOT NULL, row INTEGER NOT NULL, col INTEGER NOT NULL,
    tile INTEGER NOT NULL, time INTEGER NOT NULL, q INTEGER NOT NULL, weight REAL NOT NULL,
    urgency INTEGER NOT NULL, intra INTEGER NOT NULL, bytes INTEGER NOT NULL, prefix BLOB NOT NULL,
    distortion BLOB NOT NULL, digests BLOB NOT NULL, have BLOB NOT NULL, sent_layers INTEGER NOT NULL DEFAULT
    0, confirmed INTEGER NOT NULL DEFAULT 0, report INTEGER NOT NULL DEFAULT -1,
    created INTEGER NOT NULL, ever BLOB NOT NULL DEFAULT x'', layers INTEGER NOT NULL DEFAULT 16);
CREATE UNIQUE INDEX IF NOT EXISTS tiles_key ON tiles (tile, time);
CREATE INDEX IF NOT EXISTS tiles_frame ON tiles (frame);
CREATE TABLE IF NOT EXISTS large (
    number INTEGER PRIMARY KEY, segment BLOB NOT NULL, segment_crc INTEGER NOT NULL, latent BLOB NOT NULL,
    latent_crc INTEGER NOT NULL, channels INTEGER NOT NULL, height INTEGER NOT NULL, width INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS codings (
    tile INTEGER PRIMARY KEY, since_intra INTEGER NOT NULL, wanted INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS passes (
    number INTEGER PRIMARY KEY, budget INTEGER NOT NULL, used INTEGER NOT NULL, ended INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sent (
    pass INTEGER NOT NULL, number INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
    PRIMARY KEY (number, pass, start)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sent_pass ON sent (pass);
CREATE TABLE IF NOT EXISTS reports (
    epoch INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (epoch, number)) WITHOUT ROWID;
"""
# From a version to the next: what is here of a mission that flies must not be lost to an upgrade.
_STEPS = {
    # What was sent and is taken for held is all that is known of what was ever sent.
    2: "ALTER TABLE tiles ADD COLUMN ever BLOB NOT NULL DEFAULT x''; UPDATE tiles SET ever = have;",
    3: "ALTER TABLE tiles ADD COLUMN layers INTEGER NOT NULL DEFAULT 16;",
}


class QueueError(Exception):
    """The queue on disk cannot do what was asked; the message carries the cause."""


class QueueFullError(QueueError):
    """No space left for the queue."""


class QueueCorruptError(QueueError):
    """The file is damaged."""


@contextmanager
def translated() -> Iterator[None]:
    """SQLite's errors as QueueError, told apart by what can be done about them."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise QueueFullError(str(error)) from error
        raise QueueError(str(error)) from error
    except sqlite3.IntegrityError as error:
        raise QueueError(str(error)) from error
    except sqlite3.DatabaseError as error:
        raise QueueCorruptError(str(error)) from error


def connect(path: Path) -> sqlite3.Connection:
    """An open queue file with its tables. Raises QueueError, QueueFullError, QueueCorruptError.

    WAL with synchronous=FULL: a commit that returned survives loss of power.
    """
    try:
        return _opened(path)
    except (QueueCorruptError, QueueFullError):
        raise
    except QueueError as error:  # it cannot be used as it is, which ends the start: then the message names the file
        raise QueueError(f"{path}: {error}") from error


def _opened(path: Path) -> sqlite3.Connection:
    with translated():
        connection = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection)
        except sqlite3.Error:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # of a new file: pages that are free can be given back
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA journal_size_limit=67108864")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, *_STEPS, VERSION):
        raise sqlite3.DatabaseError(f"expected queue version {VERSION}, found {version}")
    for step in range(version, VERSION) if version else ():
        connection.executescript(f"BEGIN IMMEDIATE; {_STEPS[step]} PRAGMA user_version={step + 1}; COMMIT;")
    connection.executescript(TABLES)
    connection.execute(f"PRAGMA user_version={VERSION}")
    # The large values carry their own checksums, tested when read: a start takes no longer with a full queue.
    for table in ("meta", "frames", "work", "tiles", "codings", "passes", "sent", "reports"):
        state = connection.execute(f"PRAGMA quick_check({table})").fetchone()[0]
        if state != "ok":
            raise sqlite3.DatabaseError(f"{table}: {state}")
