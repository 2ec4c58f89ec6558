"""Coded tiles in the queue: what rate control, the packer and the confirmation of reports need of them."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.protocol import CodedTile, ContextLatent, TileKey
from swathpack.edge.context.layout import pack_latent, unpack_latent
from swathpack.edge.downlink.database import Database
from swathpack.edge.downlink.schema import QueueCorruptError
from swathpack.edge.downlink.work import Work, add_work, remove_work
from swathpack.edge.packets.ranges import RangeSet
from swathpack.edge.packets.report import held_digests
from swathpack.edge.stream.quality import PREDICTIVE


@dataclass(frozen=True)
class QueueTable:
    """All coded tiles as rate control sees them.

    number, tile, time, urgency: (N,) int64. weight: (N,) float64. prefix: (N, 17) int64 bytes. distortion:
    (N, 17) float64. have: per tile the byte ranges that the ground has or is about to have. confirmed: (N,) int64
    layers that it has said it holds. strips: (N,) bool, tiles whose layers are strips of rows, so that none is an image.
    """

    number: NDArray[np.int64]
    tile: NDArray[np.int64]
    time: NDArray[np.int64]
    urgency: NDArray[np.int64]
    weight: NDArray[np.float64]
    prefix: NDArray[np.int64]
    distortion: NDArray[np.float64]
    have: list[RangeSet]
    confirmed: NDArray[np.int64]
    strips: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True)
class TileRow:
    """What the confirmation of one tile needs.

    have: byte ranges that the ground has or is about to have. ever: those that have gone down at any time.
    """

    number: int
    key: TileKey
    q: int
    prefix: NDArray[np.int64]
    digests: bytes
    have: RangeSet
    ever: RangeSet
    confirmed: int
    report: int  # number of the newest report that was applied, -1 before the first
    frame: int
    row: int
    col: int
    weight: float
    urgency: int


_ROW = "number, tile, time, q, prefix, digests, have, ever, confirmed, report, frame, row, col, weight, urgency"


class TileTable:
    """Coded tiles of the queue file. Raises QueueError and kinds.

    first_number: from here on `numbers` are free; more: gives the first of as many others when they are used up.
    """

    def __init__(
        self, file: Database, first_number: int, numbers: int = 1 << 20, more: Callable[[], int] | None = None
    ) -> None:
        self._file, self._numbers, self._more = file, numbers, more
        highest = file.one("SELECT max(number) FROM tiles")
        self._next = max(first_number, 0 if highest is None else int(highest) + 1)
        self._end = first_number + numbers

    def add(self, work: Work, coded: CodedTile, segment: bytes) -> int:
        """Queue a coded tile in place of its work row; returns the segment number.

        An earlier coding of the same tile and time is replaced.
        """
        latent, key = coded.latent, coded.key
        channels = latent.shape[0] // LAYERS
        packed, shape = pack_latent(latent, LAYERS, channels), latent.shape[1:]
        with self._file.transaction() as db:
            number = self._number()
            old = db.execute("SELECT number FROM tiles WHERE tile = ? AND time = ?", key).fetchall()
            _delete(db, [row[0] for row in old])
            remove_work(db, work)
            db.execute(
                "INSERT INTO tiles (number, frame, row, col, tile, time, q, weight, urgency, intra, bytes, "
                "prefix, distortion, digests, have, created, layers) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    number,
                    work.frame,
                    work.row,
                    work.col,
                    *key,
                    coded.q,
                    work.weight,
                    work.urgency,
                    not coded.context_digests,
                    len(segment),
                    coded.prefix_bytes.astype("<i8").tobytes(),
                    coded.distortion.astype("<f8").tobytes(),
                    held_digests(key, coded.q, latent),
                    b"",
                    _passes_run(db),
                    useful_layers(coded.distortion),
                ),
            )
            db.execute(
                "INSERT INTO large VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (number, segment, zlib.crc32(segment), packed, zlib.crc32(packed), channels, *shape),
            )
            _count_coding(db, key.tile, intra=not coded.context_digests)
        return number

    def _number(self) -> int:
        """A segment number never given before; the numbers of this start are not those of the next."""
        if self._next >= self._end and self._more is not None:
            self._next = self._more()
            self._end = self._next + self._numbers
        number, self._next = self._next, self._next + 1
        return number

    def refresh_state(self, tile: int) -> tuple[int, bool]:
        """(codings of the tile since its last intra one, whether an intra one has been asked for)."""
        rows = self._file.all("SELECT since_intra, wanted FROM codings WHERE tile = ?", tile)
        return (int(rows[0][0]), bool(rows[0][1])) if rows else (0, False)

    def want_refresh(self, tile: int) -> None:
        """The next coding of the tile is to do without context; remembered across restarts."""
        with self._file.transaction() as db:
            db.execute("INSERT INTO codings VALUES (?, 0, 1) ON CONFLICT (tile) DO UPDATE SET wanted = 1", (tile,))

    def has(self, key: TileKey) -> bool:
        """Whether a coding of this tile and time is queued."""
        return self._file.one("SELECT 1 FROM tiles WHERE tile = ? AND time = ?", *key) is not None

    def table(self) -> QueueTable:
        """Everything queued, in the order of the segment numbers."""
        rows = self._file.all(
            "SELECT number, tile, time, urgency, weight, prefix, distortion, have, confirmed, q FROM tiles "
            "ORDER BY number"
        )
        ids = np.array([row[:4] for row in rows], np.int64).reshape(-1, 4)
        return QueueTable(
            number=ids[:, 0],
            tile=ids[:, 1],
            time=ids[:, 2],
            urgency=ids[:, 3],
            weight=np.array([row[4] for row in rows], np.float64),
            prefix=np.frombuffer(b"".join(row[5] for row in rows), "<i8").reshape(-1, LAYERS + 1),
            distortion=np.frombuffer(b"".join(row[6] for row in rows), "<f8").reshape(-1, LAYERS + 1),
            have=[RangeSet.unpack(row[7]) for row in rows],
            confirmed=np.array([row[8] for row in rows], np.int64),
            strips=np.array([row[9] == PREDICTIVE for row in rows], np.bool_),
        )

    def segment(self, number: int) -> bytes:
        """A whole segment; empty when it is gone. Raises QueueCorruptError when it is damaged."""
        segment, crc = self._large(number, "segment", "segment_crc")
        if zlib.crc32(segment) != crc:
            raise QueueCorruptError(f"segment {number}: checksum differs")
        return segment

    def latent(self, number: int, layers: int = LAYERS) -> ContextLatent | None:
        """The latent of a tile to its first layers, or None when it is gone. Raises QueueCorruptError."""
        rows = self._file.all(
            "SELECT latent, latent_crc, channels, height, width, tile, time, q FROM large JOIN tiles "
            "USING (number) WHERE number = ?",
            number,
        )
        if not rows:
            return None
        data, crc, channels, height, width, tile, time, q = rows[0]
        shape = (channels * LAYERS, height, width)
        if zlib.crc32(data) != crc:
            raise QueueCorruptError(f"latent of segment {number}: checksum differs")
        return ContextLatent.known(TileKey(tile, time), q, layers, unpack_latent(data, shape, shape[0]))

    def sent_of(self, tile: int, limit: int) -> list[tuple[int, int]]:
        """(segment number, whole layers sent) of a tile's newest times of which any layer was sent."""
        rows = self._file.all(
            "SELECT number, sent_layers FROM tiles WHERE tile = ? AND sent_layers > 0 ORDER BY time DESC LIMIT ?",
            tile,
            limit,
        )
        return [(int(number), int(layers)) for number, layers in rows]

    def row(self, number: int) -> TileRow | None:
        """The coded tile of that number, None when the queue has none."""
        found = self._file.all(f"SELECT {_ROW} FROM tiles WHERE number = ?", number)
        if not found:
            return None
        number, tile, time, q, prefix, digests, have, ever, *rest = found[0]
        ranges = (RangeSet.unpack(have), RangeSet.unpack(ever))
        return TileRow(number, TileKey(tile, time), q, np.frombuffer(prefix, "<i8"), digests, *ranges, *rest)

    def bytes_queued(self) -> int:
        """Bytes of all segments in the queue."""
        return int(self._file.one("SELECT sum(bytes) FROM tiles") or 0)

    def count(self) -> int:
        """Coded tiles in the queue."""
        return int(self._file.one("SELECT count(*) FROM tiles") or 0)

    def newest(self) -> int:
        """Highest segment number in the queue, -1 when it is empty."""
        highest = self._file.one("SELECT max(number) FROM tiles")
        return -1 if highest is None else int(highest)

    def older_than(self, passes: int, limit: int) -> list[tuple[int, TileKey]]:
        """(number, key) of tiles that have been here for more than so many passes."""
        rows = self._file.all(
            "SELECT number, tile, time FROM tiles WHERE created < (SELECT count(*) FROM passes) - ? "
            "ORDER BY number LIMIT ?",
            passes,
            limit,
        )
        return [(int(number), TileKey(tile, time)) for number, tile, time in rows]

    def drop_complete(self) -> int:
        """Take out the tiles of which the ground has confirmed every layer that is of use; returns how many."""
        rows = self._file.all("SELECT number FROM tiles WHERE confirmed >= max(layers, 1)")
        if rows:
            self.drop([int(number) for (number,) in rows])
        return len(rows)

    def cut(self, cuts: Iterable[tuple[int, int]]) -> None:
        """Keep only the first layers of some tiles, (segment number, layers): the bytes behind them are gone for good."""
        with self._file.transaction() as db:
            for number, layers in cuts:
                _cut(db, number, layers)

    def drop(self, numbers: Sequence[int]) -> None:
        """Take tiles out of the queue for good."""
        with self._file.transaction() as db:
            _delete(db, numbers)

    def again(self, row: TileRow) -> bool:
        """Code a tile anew without context: its work comes back, its coding goes. False, with nothing changed, when
        its frame is gone.
        """
        with self._file.transaction() as db:
            frame = db.execute("SELECT 1 FROM frames WHERE id = ? AND done = 0", (row.frame,)).fetchone()
            if frame is not None:
                _delete(db, [row.number])
                add_work(db, [Work(row.frame, row.row, row.col, row.key.tile, row.weight, row.urgency, True)])
        return frame is not None

    def settle(self, changes: Iterable[tuple[TileRow, RangeSet, int]], pass_number: int, report: int = -1) -> None:
        """One commit for what a report, or the want of one, says of some tiles: (row, ranges held or on their way,
        confirmed layers). What was sent up to this pass is settled, unless a newer report has spoken already.
        """
        with self._file.transaction() as db:
            for row, have, confirmed in changes:
                layers = whole_layers(row.prefix, have)
                db.execute(
                    "UPDATE tiles SET have = ?, confirmed = ?, sent_layers = ?, report = ? WHERE number = ?",
                    (have.pack(), confirmed, layers, max(row.report, report), row.number),
                )
                if report < 0 or report >= row.report:
                    db.execute("DELETE FROM sent WHERE number = ? AND pass <= ?", (row.number, pass_number))

    def lose_everything(self) -> None:
        """The ground has started anew: nothing queued is held there."""
        with self._file.transaction() as db:
            db.execute("UPDATE tiles SET have = x'', sent_layers = 0, confirmed = 0, report = -1")
            db.execute("DELETE FROM sent")

    def _large(self, number: int, column: str, crc: str) -> tuple[bytes, int]:
        rows = self._file.all(f"SELECT {column}, {crc} FROM large WHERE number = ?", number)
        return (rows[0][0], rows[0][1]) if rows else (b"", 0)


def _passes_run(db: sqlite3.Connection) -> int:
    """Age is counted in passes: clocks jump, and a jump must not make everything old."""
    return int(db.execute("SELECT count(*) FROM passes").fetchone()[0])


def _count_coding(db: sqlite3.Connection, tile: int, intra: bool) -> None:
    if intra:
        db.execute("INSERT OR REPLACE INTO codings VALUES (?, 0, 0)", (tile,))
    else:
        db.execute(
            "INSERT INTO codings VALUES (?, 1, 0) ON CONFLICT (tile) DO UPDATE SET since_intra = since_intra + 1",
            (tile,),
        )


def _cut(db: sqlite3.Connection, number: int, layers: int) -> None:
    query = "SELECT prefix, distortion, segment, segment_crc FROM tiles JOIN large USING (number) WHERE number = ?"
    row = db.execute(query, (number,)).fetchone()
    if row is None or zlib.crc32(row[2]) != row[3]:
        return  # who reads it next says that it is damaged
    prefix, distortion = np.frombuffer(row[0], "<i8").copy(), np.frombuffer(row[1], "<f8").copy()
    prefix[layers:], distortion[layers:] = prefix[layers], distortion[layers]
    segment = row[2][: int(prefix[layers])]
    db.execute("UPDATE large SET segment = ?, segment_crc = ? WHERE number = ?", (segment, zlib.crc32(segment), number))
    db.execute(
        "UPDATE tiles SET prefix = ?, distortion = ?, bytes = ?, layers = ? WHERE number = ?",
        (prefix.tobytes(), distortion.tobytes(), len(segment), useful_layers(distortion), number),
    )


def useful_layers(distortion: NDArray[np.float64]) -> int:
    """Layers up to the last one that takes any error away, of (17,) as in `CodedTile`; rate control sends no others."""
    return int(np.flatnonzero(distortion > distortion[-1]).max(initial=-1)) + 1


def mark_held(db: sqlite3.Connection, number: int, parts: Iterable[tuple[int, int]]) -> None:
    """Byte ranges of a segment are on their way to the ground; part of a larger transaction."""
    row = db.execute("SELECT have, ever, prefix FROM tiles WHERE number = ?", (number,)).fetchone()
    if row is None:
        return
    have, ever = RangeSet.unpack(row[0]), RangeSet.unpack(row[1])
    for start, stop in parts:
        have.add(start, stop)
        ever.add(start, stop)
    db.execute(
        "UPDATE tiles SET have = ?, ever = ?, sent_layers = ? WHERE number = ?",
        (have.pack(), ever.pack(), whole_layers(np.frombuffer(row[2], "<i8"), have), number),
    )


def whole_layers(prefix: NDArray[np.int64], have: RangeSet) -> int:
    """Layers that decode from the bytes without a gap; prefix (17,) as in `CodedTile`."""
    return int(np.searchsorted(prefix[1:], have.prefix, side="right"))


def _delete(db: sqlite3.Connection, numbers: Sequence[int]) -> None:
    for table in ("tiles", "large", "sent"):
        db.executemany(f"DELETE FROM {table} WHERE number = ?", [(n,) for n in numbers])
