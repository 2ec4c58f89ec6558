"""The context store: the last two confirmed latents of every tile, in a slot file that survives loss of power.

Writing goes data, sync, directory entry, sync; only then is the entry that it replaces cleared. So at every instruction the
directory names only slots whose data is whole, and an older latent stays until the newer one is durable. What a crash
leaves behind is one entry too many at most, and `open` drops the older one.

A tile's latents live in one set of `ways` slots (a set-associative cache: Hennessy and Patterson, "Computer Architecture",
appendix B): the index in memory needs no hash table, and its size is fixed. When a set is full, the latent whose tile was
needed longest ago makes room.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge import events
from swathpack.edge.codec.base_layer import known_groups, known_part
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.protocol import ContextLatent, TileKey
from swathpack.edge.context.layout import (
    DIRECTORY_OFFSET,
    ENTRY,
    ENTRY_BYTES,
    SUPERBLOCK_BYTES,
    Geometry,
    Superblock,
    pack_entry,
    pack_latent,
    unpack_latent,
    valid_entries,
)
from swathpack.edge.events import EventLog
from swathpack.edge.storage.blockfile import BlockFile, Blocks

KEPT_PER_TILE = 2
_LOAD_ENTRIES, _BATCH = 1 << 16, 256  # entries read at once; latents made durable with one pair of syncs
_MIX = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: Knuth's multiplicative hash


class MemoryLimitError(Exception):
    """The index of the context store does not fit the configured memory."""


@dataclass(frozen=True, eq=False)
class _Planned:
    """One latent on its way to a slot: what to write where, and which slot it replaces."""

    slot: int
    replaced: tuple[int, ...]
    evicted: bool
    context: ContextLatent
    layers: int
    data: bytes


class ContextStore:
    """Context on disk with its index in memory. Thread-safe.

    Args:
        blocks: the file, `geometry.file_bytes` long.
        geometry: number and size of the slots.
        model: 8 bytes naming the model; a file made with another model is emptied.
        log: where events go.
        memory_limit_bytes: bound of the index; exceeded, MemoryLimitError is raised with both values.

    Raises:
        StorageError: the file cannot be read or written. MemoryLimitError.
    """

    def __init__(
        self,
        blocks: Blocks,
        geometry: Geometry,
        model: bytes,
        log: EventLog,
        memory_limit_bytes: int = 1 << 28,
    ) -> None:
        if geometry.memory_bytes > memory_limit_bytes:
            raise MemoryLimitError(
                f"{geometry.slots} context slots need {geometry.memory_bytes} bytes of index, "
                f"the limit is {memory_limit_bytes}"
            )
        self.geometry, self._blocks, self._log = geometry, blocks, log
        self.fresh = False  # no superblock was there: the file is new, or nothing of it is left
        self._lock = threading.RLock()
        self._tile = np.full(geometry.slots, -1, np.int64)
        self._time = np.zeros(geometry.slots, np.int64)
        self._generation = np.zeros(geometry.slots, np.uint64)
        self._need = np.zeros(geometry.slots, np.uint32)
        self._layers = np.zeros(geometry.slots, np.uint8)
        self._super, self._next_block = self._load_superblock(model.ljust(8, b"\0")[:8])
        self._clock = 1  # counts needs, not time: order is all that eviction wants
        self._newest = self._super.valid_from
        self._load_directory()

    @classmethod
    def open(
        cls, path: Path, geometry: Geometry, model: bytes, log: EventLog, memory_limit_bytes: int = 1 << 28
    ) -> ContextStore:
        """The store in the file at `path`, made when it is not there."""
        return cls(BlockFile(path, geometry.file_bytes), geometry, model, log, memory_limit_bytes)

    def close(self) -> None:
        """Close the file; everything committed is durable already."""
        self._blocks.close()

    @property
    def ground_epoch(self) -> int:
        """Which life of the ground's store the contents belong to."""
        return self._super.ground_epoch

    def __len__(self) -> int:
        return int((self._tile >= 0).sum())

    def tiles(self) -> NDArray[np.int64]:
        """Ids of the tiles that have context, ascending."""
        with self._lock:
            return np.unique(self._tile[self._tile >= 0])

    def get(self, tile: int) -> list[ContextLatent]:
        """Contexts of a tile, newest first, at most two, each checked. A damaged one is dropped with an event."""
        with self._lock:
            slots = self._slots_of(tile)
            self._clock += 1
            self._need[slots] = self._clock
            newest_first = slots[np.argsort(-self._time[slots], kind="stable")]
            found = [self._read(int(slot)) for slot in newest_first]
        return [context for context in found if context is not None]

    def put(self, contexts: Iterable[ContextLatent]) -> int:
        """Store confirmed latents, all durable on return; returns how many were news.

        A latent that is here with as many layers already, or older than the two held, changes nothing:
        reports may come late, twice or in any order. Latents too large for a slot lose their last layers.
        """
        with self._lock:
            written = 0
            batch: dict[int, _Planned] = {}  # by first slot: one latent per set, so that plans cannot clash
            for context in contexts:
                first = self.first_slot(context.key.tile)
                if first in batch or len(batch) >= _BATCH:
                    written += self._commit(list(batch.values()))
                    batch = {}
                planned = self._plan(context)
                if planned is not None:
                    batch[first] = planned
            return written + self._commit(list(batch.values()))

    def drop(self, tile: int) -> None:
        """Forget a tile's context (the ground asks for a fresh start)."""
        with self._lock:
            for slot in self._slots_of(tile):
                self._free(int(slot))
            self._blocks.sync()

    def reset(self, ground_epoch: int, reason: str) -> None:
        """Forget everything with one durable write: the ground started a new store, or the model changed."""
        with self._lock:
            self._write_superblock(replace(self._super, valid_from=self._newest + 1, ground_epoch=ground_epoch))
            self._tile[:] = -1
            self._newest += 1
        self._log.report(events.CONTEXT_RESET, reason=reason)

    def adopt(self, ground_epoch: int) -> None:
        """Note which life of the ground's store the contents belong to, durably, and keep them."""
        with self._lock:
            self._write_superblock(replace(self._super, ground_epoch=ground_epoch))

    def _slots_of(self, tile: int) -> NDArray[np.int64]:
        first = self.first_slot(tile)
        held = self._tile[first : first + self.geometry.ways]
        return first + np.nonzero((held == tile) & (held >= 0))[0]

    def slots(self, tile: int | None = None, time: int | None = None) -> list[int]:
        """Numbers of the slots that hold something, or a tile, or a tile of one time."""
        mine = self._tile >= 0 if tile is None else self._tile == tile
        return np.flatnonzero(mine if time is None else mine & (self._time == time)).tolist()

    def first_slot(self, tile: int) -> int:
        """Where the set of a tile begins: all its latents lie in the `ways` slots from there."""
        mixed = (tile * _MIX) & 0xFFFFFFFFFFFFFFFF
        return (mixed >> 33) % self.geometry.sets * self.geometry.ways

    def _plan(self, context: ContextLatent) -> _Planned | None:
        """Where a latent goes, or None when it is no news."""
        key = context.key
        slots = self._slots_of(key.tile)
        same = slots[self._time[slots] == key.time]
        # Against what a slot can hold, not what was offered: a cut latent offered again is no news either.
        layers, data = self._fit(context)
        if key.tile < 0 or layers == 0 or (len(same) and self._layers[same].max() >= layers):
            return None
        others = slots[self._time[slots] != key.time]
        others = others[np.argsort(-self._time[others], kind="stable")]
        if len(others) >= KEPT_PER_TILE and key.time < self._time[others[KEPT_PER_TILE - 1]]:
            return None
        replaced = tuple(int(s) for s in (*same, *others[KEPT_PER_TILE - 1 :]))
        slot, evicted = self._choose_slot(key.tile)
        return _Planned(slot, replaced, evicted, context, layers, data)

    def _fit(self, context: ContextLatent) -> tuple[int, bytes]:
        """The most layers that fit a slot, and their bytes."""
        channels = context.latent.shape[0] // LAYERS
        for layers in range(context.layers, 0, -1):
            part = known_part(context.latent, layers, context.q)
            data = pack_latent(part, known_groups(layers, context.q), channels)
            if len(data) <= self.geometry.slot_bytes:
                return layers, data
        return 0, b""

    def _choose_slot(self, tile: int) -> tuple[int, bool]:
        """A free slot of the tile's set, else the one needed longest ago; True when it holds something."""
        first = self.first_slot(tile)
        held = self._tile[first : first + self.geometry.ways]
        need = self._need[first : first + self.geometry.ways].astype(np.int64)
        need[held < 0] = -1
        need[held == tile] = np.iinfo(np.int64).max
        way = int(need.argmin())
        return first + way, bool(held[way] >= 0)

    def _commit(self, batch: list[_Planned]) -> int:
        """Write a batch durably in the order that the module docstring promises."""
        if not batch:
            return 0
        for planned in batch:
            if planned.evicted:
                self._evict(planned.slot)
        if any(planned.evicted for planned in batch):
            self._blocks.sync()  # no entry may outlive its data
        for planned in batch:
            self._blocks.write(self.geometry.slot_offset(planned.slot), planned.data)
        self._blocks.sync()
        for planned in batch:
            self._newest += 1
            self._blocks.write(self.geometry.entry_offset(planned.slot), self._entry(planned))
        self._blocks.sync()
        for planned in batch:
            self._index(planned)
            for slot in planned.replaced:
                if slot != planned.slot:
                    self._free(slot)
        return len(batch)

    def _entry(self, planned: _Planned) -> bytes:
        context = planned.context
        shape = context.latent.shape
        channels = shape[0] // LAYERS
        cut = ContextLatent.known(context.key, context.q, planned.layers, context.latent)
        return pack_entry(
            layers=planned.layers,
            q=context.q,
            height=shape[1],
            width=shape[2],
            channels=channels,
            tile=context.key.tile,
            time=context.key.time,
            generation=self._newest,
            length=len(planned.data),
            data_crc=zlib.crc32(planned.data),
            digest=np.void(cut.digest),
            need=self._clock,
        )

    def _index(self, planned: _Planned) -> None:
        slot, key = planned.slot, planned.context.key
        self._clock += 1
        self._tile[slot], self._time[slot], self._layers[slot] = key.tile, key.time, planned.layers
        self._generation[slot], self._need[slot] = self._newest, self._clock

    def _evict(self, slot: int) -> None:
        tile, time = int(self._tile[slot]), int(self._time[slot])
        self._free(slot)
        self._log.report(events.CONTEXT_EVICTED, tile=tile, time=time)

    def _free(self, slot: int) -> None:
        self._tile[slot] = -1
        self._blocks.write(self.geometry.entry_offset(slot), bytes(ENTRY_BYTES))

    def _read(self, slot: int) -> ContextLatent | None:
        """The latent in a slot after every check; None, with an event and the slot freed, when one fails."""
        raw = self._blocks.read(self.geometry.entry_offset(slot), ENTRY_BYTES)
        context = self._checked(raw, slot)
        if context is None:
            tile = int(self._tile[slot])
            self._free(slot)
            self._log.report(events.CONTEXT_CORRUPT, slot=slot, tile=tile)
        return context

    def _checked(self, raw: bytes, slot: int) -> ContextLatent | None:
        entry = np.frombuffer(raw, ENTRY)[0]
        key = TileKey(int(entry["tile"]), int(entry["time"]))
        mine = key == (int(self._tile[slot]), int(self._time[slot]))
        if zlib.crc32(raw[:-4]) != entry["crc"] or not mine or entry["length"] > self.geometry.slot_bytes:
            return None
        data = self._blocks.read(self.geometry.slot_offset(slot), int(entry["length"]))
        if zlib.crc32(data) != entry["data_crc"]:
            return None
        layers, channels, q = int(entry["layers"]), int(entry["channels"]), int(entry["q"])
        shape = (channels * LAYERS, int(entry["height"]), int(entry["width"]))
        try:
            latent = unpack_latent(data, shape, known_groups(layers, q) * channels)
        except ValueError:
            return None
        context = ContextLatent.known(key, q, layers, latent)
        return context if context.digest == bytes(entry["digest"]) else None

    def _load_superblock(self, model: bytes) -> tuple[Superblock, int]:
        """The newer valid superblock and the place of the next; a fresh one when there is none that fits."""
        raw = [self._blocks.read(i * SUPERBLOCK_BYTES, SUPERBLOCK_BYTES) for i in (0, 1)]
        found = [(block, i) for i, block in enumerate(map(Superblock.unpack, raw)) if block is not None]
        self.fresh = not found
        if not found:
            if any(map(any, raw)):
                self._log.report(events.STAGE_FAILED, stage="context", error="both superblocks are damaged")
            self._clear_directory()
            return self._fresh(Superblock(self.geometry, 0, 1, 0, model), 0)
        block, place = max(found, key=lambda pair: pair[0].generation)
        if block.geometry != self.geometry:
            self._clear_directory()
            return self._fresh(Superblock(self.geometry, block.generation, 1, 0, model), 1 - place)
        if block.model != model:
            # Generations go on, so that entries of the other model can never be taken for ours.
            valid_from = block.valid_from + (1 << 40)
            self._log.report(events.CONTEXT_RESET, reason="another model")
            return self._fresh(replace(block, valid_from=valid_from, model=model), 1 - place)
        if len(found) < 2:
            if any(raw[1 - place]):
                self._log.report(events.STAGE_FAILED, stage="context", error="one superblock is damaged")
            return self._fresh(block, 1 - place)  # one more damage would be one too many
        return block, 1 - place

    def _fresh(self, block: Superblock, place: int) -> tuple[Superblock, int]:
        self._super, self._next_block = block, place
        self._write_superblock(block)
        return self._super, self._next_block

    def _write_superblock(self, block: Superblock) -> None:
        """Write into the place not in use: the valid one stays whole until this one is durable. Then the other.

        A superblock says what is forgotten. Were the older one left, damage to the newer would bring back what the
        ground no longer holds.
        """
        block = replace(block, generation=self._super.generation + 1)
        for place in (self._next_block, 1 - self._next_block):
            self._blocks.write(place * SUPERBLOCK_BYTES, block.pack())
            self._blocks.sync()
        self._super = block

    def _clear_directory(self) -> None:
        step = _LOAD_ENTRIES * ENTRY_BYTES
        end = self.geometry.entry_offset(self.geometry.slots)
        for offset in range(DIRECTORY_OFFSET, end, step):
            self._blocks.write(offset, bytes(min(step, end - offset)))
        self._blocks.sync()

    def _load_directory(self) -> None:
        for first in range(0, self.geometry.slots, _LOAD_ENTRIES):
            count = min(_LOAD_ENTRIES, self.geometry.slots - first)
            raw = self._blocks.read(self.geometry.entry_offset(first), count * ENTRY_BYTES)
            entries = np.frombuffer(raw, ENTRY)
            whole = valid_entries(entries)
            self._tell_damaged(first, entries, whole)
            rows = np.nonzero(whole & (entries["generation"] >= self._super.valid_from))[0]
            self._tile[first + rows] = entries["tile"][rows]
            fields: tuple[NDArray[Any], ...] = self._time, self._generation, self._need, self._layers
            for name, field in zip(("time", "generation", "need", "layers"), fields):
                field[first + rows] = entries[name][rows]
        used = self._tile >= 0
        if used.any():
            self._newest = max(self._newest, int(self._generation[used].max()))
            self._clock = int(self._need[used].max()) + 1
            self._drop_leftovers(np.nonzero(used)[0])

    def _tell_damaged(self, first: int, entries: NDArray[np.void], whole: NDArray[np.bool_]) -> None:
        """An event for every entry that is neither whole nor free; freed, so that it is told of once."""
        octets = np.ascontiguousarray(entries).view(np.uint8).reshape(len(entries), ENTRY_BYTES)
        for row in np.nonzero(octets.any(axis=1) & ~whole)[0].tolist():
            self._log.report(events.CONTEXT_CORRUPT, slot=first + row, tile=int(entries["tile"][row]))
            self._blocks.write(self.geometry.entry_offset(first + row), bytes(ENTRY_BYTES))

    def _drop_leftovers(self, used: NDArray[np.int64]) -> None:
        """Free what a crash left behind: replaced copies of a latent, and latents beyond the two newest."""
        order = np.lexsort((-self._generation[used].astype(np.int64), -self._time[used], self._tile[used]))
        slots = used[order]
        tile, time = self._tile[slots], self._time[slots]
        fresh_tile = np.r_[True, tile[1:] != tile[:-1]]
        copy = ~fresh_tile & np.r_[False, time[1:] == time[:-1]]
        rank = np.cumsum(~copy)
        rank -= np.maximum.accumulate(np.where(fresh_tile, rank, 0))
        for slot in slots[copy | (rank >= KEPT_PER_TILE)].tolist():
            self._free(slot)
