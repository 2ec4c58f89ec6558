"""The ground's store: segments as far as they arrived, and the latents decoded from them. One SQLite file.

It mirrors what the board may use as context: any latent to any number of layers up to those decoded, found by
the digest that a segment names. Nothing is forgotten, so that a fact once reported stays true; a store that
was lost starts with a new epoch, which tells the board to begin anew.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.base_layer import known_groups, known_part
from swathpack.edge.codec.protocol import LAYERS, ContextLatent, TileKey
from swathpack.edge.context.layout import pack_latent, unpack_latent
from swathpack.edge.packets.ranges import RangeSet

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
"""

OPEN, WAITING, DAMAGED = 0, 1, 2  # states of a segment


class GroundStoreError(Exception):
    """The ground's store cannot be read or written."""


@dataclass
class HeldSegment:
    """One segment as far as it arrived. layers: decoded so far. since_pass: of its first packet. digest: what the
    ground reports of the latent that these layers gave (`swathpack.edge.packets.report.held_digest`).
    """

    store: int
    number: int
    since_pass: int
    key: TileKey | None = None
    data: bytearray = field(default_factory=bytearray)
    ranges: RangeSet = field(default_factory=RangeSet)
    layers: int = 0
    state: int = OPEN
    digest: bytes = b""

    def put(self, offset: int, data: bytes) -> bool:
        """Take bytes in; False when they contradict bytes that are here already (nothing is changed then)."""
        end = offset + len(data)
        if len(self.data) < end:
            self.data.extend(bytes(end - len(self.data)))
        fresh = self.ranges.missing(offset, end)
        old = RangeSet([(offset, end)])
        for start, stop in fresh:
            old.remove(start, stop)
        if any(self.data[a:b] != data[a - offset : b - offset] for a, b in old):
            return False
        self.data[offset:end] = data
        self.ranges.add(offset, end)
        return True

    @property
    def prefix(self) -> bytes:
        """The bytes from the start without a gap."""
        return bytes(self.data[: self.ranges.prefix])


class GroundStore:
    """The store in the file at `path`; `epoch` counts its lives and is remembered."""

    def __init__(self, path: Path, epoch: int = 1) -> None:
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_TABLES)
            self._db.execute("SELECT digest FROM segments LIMIT 1")
        except sqlite3.Error as error:
            raise GroundStoreError(f"{path}: {error}") from error
        self.epoch = max(epoch, self.meta("epoch", epoch))
        self.set_meta("epoch", self.epoch)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def meta(self, name: str, default: int = 0) -> int:
        """A remembered number."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else default

    def set_meta(self, name: str, value: int) -> None:
        """Remember a number."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def segment(self, store: int, number: int) -> HeldSegment | None:
        """A segment of which anything arrived."""
        row = self._db.execute(
            "SELECT tile, time, data, ranges, layers, state, since_pass, digest FROM segments "
            "WHERE store = ? AND number = ?",
            (store, number),
        ).fetchone()
        if row is None:
            return None
        tile, time, data, ranges, layers, state, since, digest = row
        key = None if tile is None else TileKey(tile, time)
        held = RangeSet.unpack(ranges)
        return HeldSegment(store, number, since, key, bytearray(data), held, layers, state, digest)

    def of(self, key: TileKey) -> list[HeldSegment]:
        """All segments of a tile-frame; more than one when it was coded again."""
        rows = self._db.execute("SELECT store, number FROM segments WHERE tile = ? AND time = ?", key).fetchall()
        return [found for row in rows if (found := self.segment(*row)) is not None]

    def waiting(self, tile: int) -> list[HeldSegment]:
        """Segments of a tile that could not be decoded for want of context."""
        rows = self._db.execute(
            "SELECT store, number FROM segments WHERE tile = ? AND state = ?", (tile, WAITING)
        ).fetchall()
        return [found for row in rows if (found := self.segment(*row)) is not None]

    def save(self, segments: Iterable[HeldSegment], pass_number: int) -> None:
        """Write segments as they are now and note that this pass touched them."""
        self._db.execute("BEGIN")
        for s in segments:
            key = s.key if s.key else (None, None)
            self._db.execute(
                "INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (s.store, s.number, *key, bytes(s.data), s.ranges.pack(), s.layers, s.state, s.since_pass, s.digest),
            )
            touched = (s.store, pass_number, s.number)
            self._db.execute("INSERT OR IGNORE INTO touched VALUES (?, ?, ?)", touched)
        self._db.execute("COMMIT")

    def touched(self, store: int, pass_number: int) -> list[HeldSegment]:
        """Segments that this pass brought anything for, numbers ascending."""
        rows = self._db.execute(
            "SELECT number FROM touched WHERE store = ? AND pass = ? ORDER BY number", (store, pass_number)
        ).fetchall()
        return [found for (number,) in rows if (found := self.segment(store, number)) is not None]

    def put_latent(self, key: TileKey, q: int, latent: NDArray[np.int16], layers: int, replace: bool = False) -> bool:
        """Keep a decoded latent, and the digest of each of its prefixes. Fewer layers than held change nothing.

        False when it contradicts the one that is held, which stays unless `replace` is set.
        """
        channels = latent.shape[0] // LAYERS
        held = self.latent(key)
        if held is not None:
            common = min(layers, held.layers)
            parts = [known_part(x, common, q) for x in (held.latent, latent)]
            alike = held.q == q and np.array_equal(*parts)
            if not alike and not replace:
                return False
            if alike and layers <= held.layers:
                return True
        data = pack_latent(known_part(latent, layers, q), known_groups(layers, q), channels)
        self._db.execute("BEGIN")
        self._db.execute(
            "INSERT OR REPLACE INTO latents VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*key, q, layers, channels, *latent.shape[1:], data),
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO digests VALUES (?, ?, ?, ?)",
            [(key.tile, ContextLatent.known(key, q, k, latent).digest, key.time, k) for k in range(1, layers + 1)],
        )
        self._db.execute("COMMIT")
        return True

    def layers(self, key: TileKey) -> int:
        """Layers held of a latent."""
        row = self._db.execute("SELECT layers FROM latents WHERE tile = ? AND time = ?", key).fetchone()
        return int(row[0]) if row else 0

    def latent(self, key: TileKey, layers: int | None = None) -> ContextLatent | None:
        """A latent to its first layers (all that are held when None)."""
        row = self._db.execute(
            "SELECT q, layers, channels, height, width, data FROM latents WHERE tile = ? AND time = ?", key
        ).fetchone()
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
        rows = self._db.execute(
            "SELECT time, layers FROM digests WHERE tile = ? AND digest = ? ORDER BY time DESC",
            (tile, digest),
        ).fetchall()
        for time, layers in rows:
            if TileKey(tile, time) != before:
                found = self.latent(TileKey(tile, time), layers)
                if found is not None and found.digest == digest:  # not so when another coding took its place
                    return found
        return None

    def tile_frames(self) -> list[TileKey]:
        """All tile-frames of which a latent is held, by tile and time."""
        rows = self._db.execute("SELECT tile, time FROM latents ORDER BY tile, time").fetchall()
        return [TileKey(*row) for row in rows]
