"""The context store: what was put comes back checked, whatever the order, the damage or the power does."""

import random
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.protocol import ContextLatent, TileKey
from swathpack.edge.context.layout import ENTRY_BYTES, SUPERBLOCK_BYTES, Geometry, Superblock
from swathpack.edge.context.store import ContextStore, MemoryLimitError
from swathpack.edge.events import EventLog
from swathpack.edge.storage.blockfile import StorageError
from tests.edge.context.power_cut import PowerCut, PowerCutDisk

GEOMETRY = Geometry(slots=64, slot_bytes=2048, ways=16)
MODEL = b"model-01"


def latent(tile: int, time: int, layers: int = 3, seed: int = 0) -> ContextLatent:
    rng = np.random.default_rng([tile, time, seed])
    values = rng.integers(-3, 4, (64, 4, 4)).astype(np.int16)
    return ContextLatent.known(TileKey(tile, time), 20, layers, values)


def same(a: ContextLatent, b: ContextLatent) -> bool:
    heads = [(c.key, c.q, c.layers, c.digest) for c in (a, b)]
    return heads[0] == heads[1] and (a.latent == b.latent).all()


@pytest.fixture
def log():
    return EventLog(ManualClock())


@pytest.fixture
def store(tmp_path, log):
    store = ContextStore.open(tmp_path / "context", GEOMETRY, MODEL, log)
    yield store
    store.close()


def reopened(tmp_path, log, geometry=GEOMETRY, model=MODEL):
    return ContextStore.open(tmp_path / "context", geometry, model, log)


def test_two_newest_latents_come_back_newest_first(store, tmp_path, log):
    for time in (300, 100, 200):
        store.put([latent(7, time)])
    for view in (store, reopened(tmp_path, log)):
        found = view.get(7)
        assert [c.key.time for c in found] == [300, 200]
        assert same(found[0], latent(7, 300)) and same(found[1], latent(7, 200))
    assert store.get(8) == [] and store.get(-1) == []


def test_more_layers_replace_fewer_and_never_the_other_way(store):
    assert store.put([latent(1, 10, layers=2)]) == 1
    assert store.put([latent(1, 10, layers=5)]) == 1
    assert store.put([latent(1, 10, layers=5), latent(1, 10, layers=2), latent(1, 5, layers=1)]) == 1
    assert [(c.key.time, c.layers) for c in store.get(1)] == [(10, 5), (5, 1)]


def test_older_than_both_is_ignored(store):
    store.put([latent(1, 10), latent(1, 20)])
    assert store.put([latent(1, 5)]) == 0
    assert [c.key.time for c in store.get(1)] == [20, 10]


def test_a_latent_too_large_for_its_slot_keeps_its_first_layers(store):
    noise = np.random.default_rng(1).integers(-30000, 30000, (64, 8, 8)).astype(np.int16)
    big = ContextLatent.known(TileKey(3, 1), 0, 16, noise)
    store.put([big])
    (found,) = store.get(3)
    assert 0 < found.layers < 16
    assert same(found, ContextLatent.known(TileKey(3, 1), 0, found.layers, noise))
    assert store.put([big]) == 0, "offered again it is no news"


def test_least_recently_needed_makes_room(store, log):
    crowd = [t for t in range(4000) if store.first_slot(t) == 0][:17]
    store.put(latent(t, 1) for t in crowd[:16])
    needed = [t for t in crowd[:16] if t != crowd[5]]
    for tile in needed:
        assert store.get(tile)
    store.put([latent(crowd[16], 1)])
    assert store.get(crowd[5]) == [] and log.counts["context_evicted"] == 1
    assert all(store.get(t) for t in (*needed, crowd[16]))


def test_damaged_data_is_dropped_with_an_event_and_the_other_one_stays(store, tmp_path, log):
    store.put([latent(1, 10), latent(1, 20)])
    (slot,) = store.slots(1, 20)
    with open(tmp_path / "context", "r+b") as file:
        file.seek(GEOMETRY.slot_offset(slot) + 9)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0x10]))
    assert [c.key.time for c in store.get(1)] == [10]
    assert log.counts["context_corrupt"] == 1
    assert [c.key.time for c in reopened(tmp_path, log).get(1)] == [10]


@pytest.mark.parametrize("column", range(ENTRY_BYTES))
def test_any_flipped_byte_of_an_entry_frees_it(store, tmp_path, log, column):
    store.put([latent(1, 10)])
    (slot,) = store.slots(1)
    with open(tmp_path / "context", "r+b") as file:
        file.seek(GEOMETRY.entry_offset(slot) + column)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0x01]))
    assert reopened(tmp_path, log).get(1) == []
    assert log.counts["context_corrupt"] == 1
    assert reopened(tmp_path, log).get(1) == [] and log.counts["context_corrupt"] == 1, "told of once"


def test_one_damaged_superblock_does_no_harm_and_two_empty_the_store(store, tmp_path, log):
    store.put([latent(1, 10)])
    store.reset(ground_epoch=4, reason="test")
    store.put([latent(2, 10)])
    for places in ((0,), (1,), (0, 1)):
        for place in places:
            with open(tmp_path / "context", "r+b") as file:
                file.seek(place * SUPERBLOCK_BYTES + 20)
                file.write(b"\xff\xff")
        again = reopened(tmp_path, log)
        if len(places) == 1:
            assert len(again.get(2)) == 1 and again.ground_epoch == 4
            assert again.get(1) == [], "what was forgotten does not come back with the older superblock"
        else:
            assert len(again) == 0
    assert log.counts["stage_failed"] == 3 and again.fresh


def test_reset_forgets_everything_at_once_and_for_good(store, tmp_path, log):
    store.put(latent(t, 1) for t in range(20))
    store.reset(ground_epoch=9, reason="ground lost its store")
    assert len(store) == 0 and store.get(3) == []
    store.put([latent(3, 2)])
    again = reopened(tmp_path, log)
    assert again.ground_epoch == 9 and again.tiles().tolist() == [3]


def test_another_model_or_another_geometry_starts_empty(store, tmp_path, log):
    store.put([latent(1, 1)])
    assert reopened(tmp_path, log, model=b"model-02").get(1) == []
    assert log.counts["context_reset"] == 1, "and it is told"
    assert reopened(tmp_path, log, model=MODEL).get(1) == [], "and the first model's do not come back"
    assert reopened(tmp_path, log, geometry=Geometry(128, 4096, 16)).get(1) == []


def test_drop_forgets_one_tile(store, tmp_path, log):
    store.put([latent(1, 1), latent(2, 1)])
    store.drop(1)
    assert reopened(tmp_path, log).tiles().tolist() == [2]


def test_memory_limit_is_stated_and_kept(tmp_path, log):
    with pytest.raises(MemoryLimitError, match=r"64 context slots need 1856 bytes.*limit is 1000"):
        ContextStore.open(tmp_path / "c", GEOMETRY, MODEL, log, memory_limit_bytes=1000)


def test_a_disk_that_cannot_hold_the_file_is_one_clear_error(log):
    with pytest.raises(StorageError, match="cannot allocate"):
        ContextStore.open(Path("/proc/context"), GEOMETRY, MODEL, log)


def test_superblock_golden_bytes():
    packed = Superblock(GEOMETRY, 5, 3, 2, MODEL).pack()
    assert packed[:52].hex() == (
        "535750430100100040000000000800000500000000000000030000000000000002000000"
        "6d6f64656c2d3031" + packed[44:48].hex() + "00000000"
    )
    assert Superblock.unpack(packed) == Superblock(GEOMETRY, 5, 3, 2, MODEL)
    assert Superblock.unpack(b"\0" * 4096) is None and Superblock.unpack(b"") is None


def write_history(store, acknowledged):
    """Forty puts and two resets; `acknowledged` gets (tile, time, layers) when a put has returned."""
    rng = random.Random(5)
    for step in range(40):
        picks = range(rng.randrange(1, 4))
        batch = [latent(rng.randrange(6), rng.randrange(8), rng.randrange(1, 6)) for _ in picks]
        acknowledged.append(("try", [(c.key, c.layers) for c in batch]))
        store.put(batch)
        acknowledged.append(("put", [(c.key, c.layers) for c in batch]))
        if step in (15, 30):
            acknowledged.append(("try-reset", []))
            store.reset(step, "test")
            acknowledged.append(("reset", []))


def expected_after(history):
    """Per tile {time: layers} of the two newest once all acknowledged operations are applied in order."""
    held: dict[int, dict[int, int]] = {}
    for what, items in history:
        if what == "reset":
            held = {}
        for key, layers in items if what == "put" else ():
            times = held.setdefault(key.tile, {})
            times[key.time] = max(times.get(key.time, 0), layers)
            for old in sorted(times)[:-2]:
                del times[old]
    return held


@pytest.mark.long
def test_power_cut_at_every_operation():
    """After any cut every latent is a true one, and nothing acknowledged is missing."""
    whole = PowerCutDisk(GEOMETRY.file_bytes)
    write_history(ContextStore(whole, GEOMETRY, MODEL, EventLog(ManualClock())), [])
    rng = random.Random(1)
    for cut_at in range(1, whole.operations + 1):
        disk, history = PowerCutDisk(GEOMETRY.file_bytes, cut_at), []
        with pytest.raises(PowerCut):
            write_history(ContextStore(disk, GEOMETRY, MODEL, EventLog(ManualClock())), history)
        log = EventLog(ManualClock())
        store = ContextStore(disk.after_cut(rng), GEOMETRY, MODEL, log)
        resetting = bool(history) and history[-1][0] == "try-reset"
        held = expected_after(history)
        trying = dict_of(history[-1][1]) if history and history[-1][0] == "try" else {}
        for tile in range(6):
            found = {c.key.time: c for c in store.get(tile)}
            assert len(found) <= 2
            for time, context in found.items():
                assert same(context, latent(tile, time, context.layers))
            for time, layers in held.get(tile, {}).items():
                newer = [t for (i, t) in trying if i == tile and t > time]
                assert resetting or newer or (time in found and found[time].layers >= layers), (cut_at, tile)


def dict_of(items):
    return {(key.tile, key.time): layers for key, layers in items}
