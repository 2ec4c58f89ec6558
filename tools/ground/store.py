"""The ground's store: segments as far as they arrived, and the latents decoded from them. One SQLite file.

It mirrors what the board may use as context: any latent to any number of layers up to those decoded, found by
the digest that a segment names. Nothing is forgotten unless a person drops it, so that a fact once reported stays true;
what is dropped is reported until the board codes it again. A store that was lost starts with a new epoch, which tells the
board to begin anew.

Writes read first what is there: what two receivers bring of one segment is united (`HeldSegment.merge`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.base_layer import known_groups, known_part
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.protocol import ContextLatent, TileKey
from swathpack.edge.context.layout import pack_latent, unpack_latent
from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.ranges import RangeSet
from swathpack.tools.ground.database import Database, GroundStoreError
from swathpack.tools.ground.held import DAMAGED, OPEN, WAITING, HeldSegment, SegmentFacts

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS segments (
    store INTEGER, number INTEGER, tile INTEGER, time INTEGER, data BLOB, ranges BLOB, layers INTEGER,
    state INTEGER, since_pass INTEGER, digest BLOB, PRIMARY KEY (store, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS segments_tile ON segments (tile, time);
CREATE TABLE IF NOT EXISTS latents (
    tile INTEGER, time INTEGER, q INTEGER, layers INTEGER, channels INTEGER, height INTEGER, width INTEGER,
    data BLOB, PRIMARY KEY (tile, time)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS digests (
    tile INTEGER, digest BLOB, time INTEGER, layers INTEGER, PRIMARY KEY (tile, digest, time, layers)) WITHOUT
    ROWID;
CREATE TABLE IF NOT EXISTS touched (
    store INTEGER, pass INTEGER, number INTEGER, PRIMARY KEY (store, pass, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dropped (
    store INTEGER, number INTEGER, tile INTEGER, time INTEGER, told INTEGER, PRIMARY KEY (store, number))
    WITHOUT ROWID;
"""
_FACTS = "store, number, since_pass, tile, time, ranges, layers, state, digest"


@dataclass(frozen=True)
class TileFrame:
    """What the store holds of a tile-frame. layers, q: of its latent, -1 without one. size: (h, w) of it."""

    key: TileKey
    layers: int
    q: int
    size: tuple[int, int]
    segments: int
    bytes_held: int


class GroundStore:
    """The store in the file at `path`; `epoch` counts its lives and is remembered.

    write: False only reads, and may do so while a receiver writes. Every method raises GroundStoreError when the file
    cannot be read or written, is locked for long or damaged.
    """

    def __init__(self, path: Path, epoch: int = 1, write: bool = True) -> None:
        self._db = Database(path, _TABLES, write)
        self.epoch = max(epoch, self.meta("epoch", epoch))
        if write:
            self.set_meta("epoch", self.epoch)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def meta(self, name: str, default: int = 0) -> int:
        """A number remembered under a name."""
        row = self._db.row("SELECT value FROM meta WHERE name = ?", name)
        return int(row[0]) if row else default

    def set_meta(self, name: str, value: int) -> None:
        """Remember a number under a name, in place of an older one."""
        self._db.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, value)

    def count_up(self, name: str, by: int) -> int:
        """A remembered number as it was, raised by so many: never the same one twice."""
        with self._db.transaction():
            before = self.meta(name)
            self.set_meta(name, before + by)
        return before

    def segment(self, store: int, number: int) -> HeldSegment | None:
        """A segment of which anything arrived."""
        row = self._db.row(f"SELECT {_FACTS}, data FROM segments WHERE store = ? AND number = ?", store, number)
        return _segment(row) if row else None

    def of(self, key: TileKey) -> list[HeldSegment]:
        """All segments of a tile-frame; more than one when it was coded again."""
        return [
            _segment(r) for r in self._db.rows(f"SELECT {_FACTS}, data FROM segments WHERE tile = ? AND time = ?", *key)
        ]

    def beginnings(self, key: TileKey, count: int) -> Iterator[bytes]:
        """The first bytes, at most so many, of every segment of a tile-frame of which the first byte is here."""
        query = "SELECT substr(data, 1, ?), ranges FROM segments WHERE tile = ? AND time = ?"
        for data, ranges in self._db.rows(query, count, *key):
            yield bytes(data)[: _ranges(ranges).prefix]

    def waiting(self, tile: int) -> Iterator[HeldSegment]:
        """Segments of a tile that could not be decoded for want of context, by time: one may be another's context."""
        query = "SELECT store, number FROM segments WHERE tile = ? AND state = ? ORDER BY time, number"
        for place in self._db.rows(query, tile, WAITING):
            if (found := self.segment(*place)) is not None:
                yield found

    def waiting_count(self) -> int:
        """Segments of all tiles that could not be decoded for want of context."""
        return int(self._db.row("SELECT count(*) FROM segments WHERE state = ?", WAITING)[0])

    def save(self, segments: Iterable[HeldSegment], pass_number: int) -> None:
        """Write segments, united with what is here of them, and note that this pass touched them."""
        with self._db.transaction():
            for s in segments:
                here = self.segment(s.store, s.number)
                if here is not None:
                    s.merge(here)
                key = s.key if s.key else (None, None)
                self._db.run(
                    "INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    s.store,
                    s.number,
                    *key,
                    s.pack(),
                    s.ranges.pack(),
                    s.layers,
                    s.state,
                    s.since_pass,
                    s.digest,
                )
                self._db.run("INSERT OR IGNORE INTO touched VALUES (?, ?, ?)", s.store, pass_number, s.number)
                self._db.run("DELETE FROM dropped WHERE store = ? AND number = ?", s.store, s.number)

    def touched(self, store: int, pass_number: int) -> list[SegmentFacts]:
        """Segments that this pass brought anything for, numbers ascending."""
        columns = ", ".join(f"segments.{name}" for name in _FACTS.split(", "))
        query = (
            f"SELECT {columns} FROM touched JOIN segments USING (store, number) "
            "WHERE touched.store = ? AND pass = ? ORDER BY number"
        )
        return [_facts(row) for row in self._db.rows(query, store, pass_number)]

    def put_latent(self, key: TileKey, q: int, latent: NDArray[np.int16], layers: int, replace: bool = False) -> bool:
        """Keep a decoded latent, and the digest of each of its prefixes. Fewer layers than held change nothing.

        False when it contradicts the one that is held, which stays unless `replace` is set.
        """
        channels = latent.shape[0] // LAYERS
        data = pack_latent(known_part(latent, layers, q), known_groups(layers, q), channels)
        digests = [(key.tile, ContextLatent.known(key, q, k, latent).digest, key.time, k) for k in range(1, layers + 1)]
        with self._db.transaction():
            held = self.latent(key)
            if held is not None:
                common = min(layers, held.layers)
                old, new = (known_part(x, common, q) for x in (held.latent, latent))
                alike = held.q == q and np.array_equal(old, new)
                if not alike and not replace:
                    return False
                if alike and layers <= held.layers:
                    return True
            self._db.run(
                "INSERT OR REPLACE INTO latents VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                *key,
                q,
                layers,
                channels,
                *latent.shape[1:],
                data,
            )
            self._db.run_many("INSERT OR IGNORE INTO digests VALUES (?, ?, ?, ?)", digests)
        return True

    def layers(self, key: TileKey) -> int:
        """Layers held of a latent."""
        row = self._db.row("SELECT layers FROM latents WHERE tile = ? AND time = ?", *key)
        return int(row[0]) if row else 0

    def latent(self, key: TileKey, layers: int | None = None) -> ContextLatent | None:
        """A latent to its first layers (all that are held when None)."""
        row = self._db.row(
            "SELECT q, layers, channels, height, width, data FROM latents WHERE tile = ? AND time = ?", *key
        )
        if row is None:
            return None
        q, held, channels, height, width, data = row
        try:
            latent = unpack_latent(data, (channels * LAYERS, height, width), known_groups(held, q) * channels)
        except (ValueError, zlib.error) as error:
            raise GroundStoreError(f"latent of tile {key.tile} at {key.time}: {error}") from error
        return ContextLatent.known(key, q, held if layers is None else min(layers, held), latent)

    def contexts(self, key: TileKey, digests: Sequence[bytes]) -> list[ContextLatent] | None:
        """The contexts that a segment of `key` names, in its order; None where one is not held."""
        found = [c for digest in digests if (c := self.context(key.tile, digest, key)) is not None]
        return found if len(found) == len(digests) else None

    def context(self, tile: int, digest: bytes, before: TileKey) -> ContextLatent | None:
        """The context of a tile that this digest names; never the tile-frame that asks for it."""
        query = "SELECT time, layers FROM digests WHERE tile = ? AND digest = ? ORDER BY time DESC"
        for time, layers in self._db.rows(query, tile, digest):
            if TileKey(tile, time) != before:
                found = self.latent(TileKey(tile, time), layers)
                if found is not None and found.digest == digest:  # not so when another coding took its place
                    return found
        return None

    def tile_frames(self) -> list[TileKey]:
        """All tile-frames of which a latent is held, by tile and time."""
        return [TileKey(*row) for row in self._db.rows("SELECT tile, time FROM latents ORDER BY tile, time")]

    def contents(self) -> Iterator[TileFrame]:
        """Everything that is held of tile-frames, by tile and time."""
        rows = self._db.each(
            "SELECT k.tile, k.time, coalesce(l.layers, 0), coalesce(l.q, -1), coalesce(l.height, 0), "
            "coalesce(l.width, 0), count(s.number), coalesce(sum(length(s.data)), 0) FROM "
            "(SELECT tile, time FROM latents UNION SELECT tile, time FROM segments WHERE tile IS NOT NULL) k "
            "LEFT JOIN latents l ON l.tile = k.tile AND l.time = k.time "
            "LEFT JOIN segments s ON s.tile = k.tile AND s.time = k.time "
            "GROUP BY k.tile, k.time ORDER BY k.tile, k.time"
        )
        for tile, time, layers, q, height, width, segments, size in rows:
            yield TileFrame(TileKey(tile, time), layers, q, (height, width), segments, size)

    def unread(self) -> tuple[int, int]:
        """Segments whose head is not here or cannot be read, and their bytes."""
        query = "SELECT count(*), coalesce(sum(length(data)), 0) FROM segments WHERE tile IS NULL"
        count, size = self._db.row(query)
        return int(count), int(size)

    def drop(self, keys: Iterable[TileKey]) -> int:
        """Forget tile-frames; returns how many segments went. What the board was told of them is taken back by the
        reports to come (`to_tell`).
        """
        return self._drop("tile = ? AND time = ?", keys)

    def drop_unread(self) -> int:
        """The same for segments without a head."""
        return self._drop("tile IS NULL", [()])

    def _drop(self, where: str, values: Iterable[tuple[int, ...]]) -> int:
        count = 0
        with self._db.transaction():
            for some in values:
                count += int(self._db.row(f"SELECT count(*) FROM segments WHERE {where}", *some)[0])
                self._db.run(
                    f"INSERT OR REPLACE INTO dropped SELECT store, number, tile, time, 0 FROM segments WHERE {where}",
                    *some,
                )
                for table in ("segments", "latents", "digests"):
                    self._db.run(f"DELETE FROM {table} WHERE {where}", *some)
        self._db.run("VACUUM")
        return count

    def to_tell(self, store: int, times: int) -> list[SegmentFacts]:
        """Dropped segments that reports have told of less than so many times, which this counts as another."""
        query = "SELECT number, tile, time FROM dropped WHERE store = ? AND told < ? ORDER BY number"
        with self._db.transaction():
            rows = self._db.rows(query, store, times)
            self._db.run("UPDATE dropped SET told = told + 1 WHERE store = ? AND told < ?", store, times)
        return [_facts((store, n, 0, tile, time, b"", 0, DAMAGED, b"")) for n, tile, time in rows]


def _facts(row: Sequence[Any]) -> SegmentFacts:
    store, number, since, tile, time, ranges, layers, state, digest = row
    key = None if tile is None else TileKey(tile, time)
    return SegmentFacts(store, number, since, key, _ranges(ranges), layers, state, digest)


def _segment(row: Sequence[Any]) -> HeldSegment:
    facts = _facts(row[:-1])
    segment = HeldSegment(**vars(facts))
    segment.fill(bytes(row[-1]), facts.ranges)
    return segment


def _ranges(data: bytes) -> RangeSet:
    try:
        return RangeSet.unpack(data)
    except PacketError as error:
        raise GroundStoreError(f"a segment's ranges: {error}") from error


__all__ = ["DAMAGED", "OPEN", "WAITING", "GroundStore", "GroundStoreError", "HeldSegment", "SegmentFacts", "TileFrame"]
