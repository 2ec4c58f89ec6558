"""Damaged and full disks: what was accepted still arrives, nothing wrong is decoded, and the board says what it saw.

    python -m swathpack.hil_tests.promises disk --size 60 [--codec edge]

The loop is stopped as by a crash in the middle of its work, one file of its state is harmed where it is in use (pages
of the queue after a checkpoint, its log before one, directory entries and data of filled context slots, the newest boot
count, frames whose tiles are not yet coded), and the loop starts again. A harm counts as seen when the board tells of
it or its state differs for it; a victim whose harm is seldom seen fails the campaign. Full: the state lives on a
file system of a few megabytes (needs root; left out otherwise).
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.base_layer import known_part
from swathpack.edge.codec.flight import FlightCodec, as_contacts_ask
from swathpack.edge.codec.frame_weights import asked_by_frame
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.protocol import TileKey, TilePixels
from swathpack.edge.context.layout import ENTRY_BYTES, SUPERBLOCK_BYTES
from swathpack.edge.downlink.schedule import Contact
from swathpack.edge.downlink.schema import QueueCorruptError
from swathpack.edge.frame import Frame
from swathpack.edge.sources.synthetic import SyntheticSource
from swathpack.hil_tests.promises.watcher import codecs, waiting
from swathpack.hil_tests.simulation.flight import MISSION, Flight, Station
from swathpack.hil_tests.simulation.two_ends import KEY, held_of
from swathpack.tools.ground.receiver import GroundReceiver
from swathpack.tools.ground.reports import ReportWriter

PAGE = 4096
FRAMES = 8  # four before the harm, four after it: contexts are read again
TROUBLE = ("corrupt", "failed", "rejected", "mismatch", "reset", "dropped", "suppressed")
HARMS = (
    ("queue", "last page"),
    ("queue", "random bytes"),
    ("queue", "cut"),
    ("queue", "removed"),
    ("queue", "first 64 kB zeroed"),
    ("queue-wal", "last page"),
    ("queue-wal", "random bytes"),
    ("queue-wal", "cut"),
    ("queue-wal", "removed"),
    ("context", "entry"),
    ("context", "data"),
    ("context", "last page"),
    ("context", "superblock"),
    ("context", "both superblocks"),
    ("context", "removed"),
    ("context", "first 64 kB zeroed"),
    ("boots", "newest copy"),
    ("boots", "removed"),
    ("spool", "random bytes"),
    ("spool", "cut"),
    ("spool", "removed"),
    ("spool", "last page"),
    ("log", "removed"),
    ("log", "random bytes"),
)


@dataclass
class HarmResult:
    """What one kind of harm to one file did, over all its cases. seen: cases that took effect. told: the events."""

    cases: int = 0
    seen: int = 0
    judged: int = 0  # accepted tile-frames that must reach the ground to all layers
    before: int = 0  # of those, complete at the ground before the harm
    lost: int = 0  # accepted tile-frames that never reached the ground
    shortened: int = 0  # those of which only the first layers did: their frame had been let go, then the queue was hit
    spoiled: int = 0  # those of a spool file that was itself what was destroyed
    told: Counter[str] = field(default_factory=Counter)


@dataclass
class DiskResult:
    """All harms by victim and kind. wrong: latents. lost: tile-frames that were accepted and never came down."""

    codec: str
    harms: dict[tuple[str, str], HarmResult] = field(default_factory=dict)
    wrong: int = 0
    unknown: int = 0  # segments whose context the ground lacked when they came
    silent: int = 0  # cases in which anything was spoiled or shortened and no event said so
    failed_starts: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return sum(harm.lost for harm in self.harms.values())

    @property
    def idle(self) -> list[str]:
        """Victims whose harm was seen in less than half of the cases."""
        found: dict[str, list[int]] = {}
        for (victim, _), harm in self.harms.items():
            counts = found.setdefault(victim, [0, 0])
            counts[0], counts[1] = counts[0] + harm.seen, counts[1] + harm.cases
        return [victim for victim, (seen, cases) in found.items() if victim != "log" and 2 * seen < cases]

    @property
    def good(self) -> bool:
        """Nothing wrong, lost or silent, every start succeeded, and no victim was harmed for nothing."""
        return not (self.wrong or self.lost or self.unknown or self.silent or self.failed_starts or self.idle)


@dataclass(frozen=True)
class Left:
    """What a process knew when it ended: frames with work, names of all frames, what the queue says of everything."""

    waiting: set[int]
    names: dict[int, str]
    rows: tuple[Any, ...]


def harm(flight: Flight, left: Left, victim: str, kind: str, rng: random.Random) -> None:
    """Do one kind of harm to one file of a state whose process is gone, where it is in use."""
    state = flight.folder / "state"
    path = rng.choice(_uncoded(flight, left)) if victim == "spool" else state / victim
    path = state / "log" / "events.jsonl" if victim == "log" else path
    if kind == "removed":
        path.unlink()
        return
    data = bytearray(path.read_bytes())
    for start, stop in _aims(flight, victim, kind, data, rng):
        if kind == "random bytes":
            data[start] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            del data[start:]
        else:
            data[start:stop] = bytes(stop - start) if "zeroed" in kind else rng.randbytes(stop - start)
    path.write_bytes(data)


def _aims(flight: Flight, victim: str, kind: str, data: bytearray, rng: random.Random) -> list[tuple[int, int]]:
    """Byte ranges of a file that are in use and fit the kind of harm."""
    if victim == "boots":
        newest = max((0, 4096), key=lambda at: int.from_bytes(data[at + 4 : at + 8], "little"))
        return [(newest, newest + 32)]
    if victim == "context" and kind != "first 64 kB zeroed":
        return _context_aims(flight, kind, rng)
    used = np.flatnonzero(np.frombuffer(bytes(data), np.uint8))
    end = int(used[-1]) + 1
    if kind == "last page":
        start = (end - 1) // PAGE * PAGE if victim == "queue" else max(end - PAGE, 0)
        return [(start, min(start + PAGE, len(data)))]
    if kind == "random bytes":
        return [(int(used[rng.randrange(len(used))]), 0) for _ in range(8)]
    return [(rng.randrange(end // 2, end), 0)] if kind == "cut" else [(0, min(1 << 16, len(data)))]


def _context_aims(flight: Flight, kind: str, rng: random.Random) -> list[tuple[int, int]]:
    store = flight.board.context
    blocks = [(0, SUPERBLOCK_BYTES), (SUPERBLOCK_BYTES, 2 * SUPERBLOCK_BYTES)]
    if "superblock" in kind:
        return blocks if kind.startswith("both") else [rng.choice(blocks)]
    slots = store.slots()
    if kind == "entry":
        return [(store.geometry.entry_offset(s) + 8, store.geometry.entry_offset(s) + ENTRY_BYTES) for s in slots[::2]]
    if kind == "last page":  # of what is used: the tail of the last filled slot
        start = store.geometry.slot_offset(slots[-1])
        return [(start, start + PAGE)]
    return [(store.geometry.slot_offset(s) + 20, store.geometry.slot_offset(s) + 40) for s in slots[::2]]


def _uncoded(flight: Flight, left: Left) -> list[Path]:
    """Spool files of frames of which tiles still wait to be coded."""
    return [flight.board.spool.path_of(name) for frame, name in left.names.items() if frame in left.waiting]


def crash(flight: Flight, checkpointed: bool) -> Left:
    """End the process as a crash would: SQLite's log stays, unless it had just been written back."""
    queue = flight.board.queue
    left = Left({work.frame for work in queue.work.next_work(1000)}, queue.work.frame_names(), _rows(flight))
    state = flight.folder / "state"
    if checkpointed:
        queue.file.all("PRAGMA wal_checkpoint(TRUNCATE)")
    copy = {p: p.read_bytes() for p in state.rglob("*") if p.is_file()}
    flight.board.close()
    for path, data in copy.items():
        path.write_bytes(data)
    return left


def _rows(flight: Flight) -> tuple[Any, ...]:
    """What the queue says of everything."""
    tables = ("frames", "work", "tiles", "sent", "passes")
    file = flight.board.queue.file
    return tuple(tuple(file.all(f"SELECT * FROM {table} ORDER BY 1, 2, 3")) for table in tables)


def one_case(folder: Path, victim: str, kind: str, seed: int, codec: str, result: DiskResult) -> None:
    """Frames waiting, some coded, some sent and confirmed; then the harm; then all must come through."""
    rng, one = random.Random(seed), result.harms.setdefault((victim, kind), HarmResult())
    flight = Flight(folder, frames=FRAMES)
    flight.codec, decoder, _ = codecs(codec)
    flight.loop.encode.codec = flight.codec
    station = Station(folder, flight)
    station.receiver = GroundReceiver(station.store, decoder, 4096)
    for number in (1, 2, 3):
        _work_a_little(flight, station, number, rng, result)
    complete = sum(station.store.layers(key) == LAYERS for key in station.store.tile_frames())
    left = crash(flight, checkpointed=victim == "queue")
    boots = flight.board.boot
    harm(flight, left, victim, kind, rng)
    try:
        flight.start()
    except Exception as error:
        result.failed_starts.append(f"{victim} {kind}: {type(error).__name__}: {error}")
        return
    flight.loop.encode.codec = flight.codec
    after = flight.board.boot
    changed = _rows(flight) != left.rows or (after.boots, after.store) != (boots.boots + 1, boots.store)
    told = recover(flight, station, result)
    one.cases, one.seen, one.before = one.cases + 1, one.seen + bool(changed or told), one.before + complete
    one.told += told
    _judge(flight, left, station, victim, one, result, bool(told))
    flight.board.close()
    station.store.close()


def _work_a_little(flight: Flight, station: Station, number: int, rng: random.Random, result: DiskResult) -> None:
    flight.clock.advance(60)
    for _ in range(2 if number > 1 else 1):
        flight.loop.intake.step()
    for _ in range(rng.randrange(4, 9)):
        for stage in (flight.loop.fetch, flight.loop.encode, flight.loop.store):
            stage.step()
    flight.schedule.contact = Contact(number, 6000, 6000)
    while flight.loop.downlink.step():
        pass
    flight.schedule.contact = None
    flight.loop.downlink.step()
    flight.uplink.waiting.extend(station.hear(number, flight.radio.passes.get(number, [])))
    result.unknown += waiting(station.store)
    while flight.loop.uplink.step():
        pass


def recover(flight: Flight, station: Station, result: DiskResult) -> Counter[str]:
    """Passes large enough for everything, with reports, until all has come through; what the board told of.

    A queue found damaged while running ends the process; the service manager starts it again, once is enough.
    """
    restarts, number, told = 0, 10, trouble(flight)
    while number < 20:
        flight.clock.advance(60)
        station.reports = ReportWriter(station.store, KEY, flight.board.boot.store)
        try:
            flight.loop.settle()
            packets = flight.contact(number, 10_000_000)
        except QueueCorruptError:
            told, restarts = told | trouble(flight) | Counter(queue_corrupt=1), restarts + 1
            if restarts > 2:
                raise
            flight.schedule.contact = None
            packets = flight.radio.passes.get(number, [])
            flight.restart()
            flight.loop.encode.codec = flight.codec
        flight.uplink.waiting.extend(station.hear(number, packets))
        result.unknown += waiting(station.store)
        number += 1
    flight.loop.settle()
    return told | trouble(flight)


def trouble(flight: Flight) -> Counter[str]:
    """Events of this run that say that something was wrong."""
    return Counter({k: n for k, n in flight.board.log.counts.items() if any(word in k for word in TROUBLE)})


def _judge(
    flight: Flight, left: Left, station: Station, victim: str, one: HarmResult, result: DiskResult, told: bool
) -> None:
    whole, seen = set(), set()
    for key in station.store.tile_frames():
        held = held_of(station.store, key)
        may_be = (known_part(true, held.layers, held.q) for true in _true(flight, key))
        result.wrong += int(not any(np.array_equal(held.latent, known) for known in may_be))
        place = (_date(key), key.tile >> 8 & 255, key.tile & 255)
        seen.add(place)
        if held.layers == LAYERS:
            whole.add(place)
    dates = {int(name.rsplit("-", 1)[1]) for name in left.names.values()}
    wanted = {(d, r, c) for d in dates for r in (0, 1) for c in (0, 1)}
    one.judged += len(wanted)
    if victim == "spool":
        one.spoiled += len(wanted - whole)
    else:
        one.lost += len(wanted - seen)
        one.shortened += len(wanted & seen - whole)
    result.silent += bool(wanted - whole) and not told


def _date(key: TileKey) -> int:
    return (key.time - 1_700_000_000) // (5 * 86400)


def _true(flight: Flight, key: TileKey) -> Iterator[np.ndarray]:
    """What stands for a tile's latent, for all that contacts may have had for it."""
    row, column = key.tile >> 8 & 255, key.tile & 255
    assert isinstance(flight.source, SyntheticSource)
    whole = flight.source.scene(0, _date(key))
    data = np.ascontiguousarray(whole[:, row * 64 : row * 64 + 64, column * 64 : column * 64 + 64])
    tile, codec = TilePixels(key, data, BANDS, data[0] > 0), flight.codec
    if isinstance(codec, FlightCodec):
        tile = replace(tile, asked=asked_by_frame(Frame.from_array(whole, BANDS), 64))
    codings = as_contacts_ask(codec, tile, []) if isinstance(codec, FlightCodec) else [codec.encode(tile, [])]
    return (coded.latent for coded in codings)


def full_disk(folder: Path, megabytes: int = 6) -> tuple[str, bool]:
    """Frames into a state on a tiny file system until it is full; passes make room; everything must arrive."""
    tiny = folder / "tiny"
    tiny.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(tiny)]
    if subprocess.run(mount, capture_output=True).returncode:
        return "full disk: no right to mount, left out", True
    try:
        text = MISSION.replace("slots = 1024\nslot_bytes = 16384", "slots = 64\nslot_bytes = 16384")
        text = text.replace("min_free_mb = 0", "min_free_mb = 1")
        flight = Flight(tiny, frames=30, text=text)
        station = Station(folder, flight)
        flight.loop.settle(400)
        counts, filled = dict(flight.board.log.counts), flight.board.log.counts["disk_full"]
        accepted = counts.get("frame_accepted", 0)
        for number in range(1, 60):
            flight.uplink.waiting.extend(station.hear(number, flight.contact(number, 300_000)))
            flight.clock.advance(30)
            flight.loop.settle(400)
        frames = {key.time for key in station.store.tile_frames()}
        flight.board.close()
        told = {k: v for k, v in flight.board.log.counts.items() if "failed" in k or "full" in k}
        return (
            f"full disk ({megabytes} MB, fake codec): {accepted} frames accepted before it was full ({filled} refusals); "
            f"{len(frames)} of 30 at the ground in the end; told: {told}"
        ), filled > 0 and len(frames) == 30
    finally:
        subprocess.run(["umount", "-l", str(tiny)], capture_output=True)


def campaign(
    folder: Path, cases: int, codec: str = "fake", seed: int = 1, harms: Sequence[tuple[str, str]] = HARMS
) -> DiskResult:
    """The harms in turn, `cases` in all, each in a folder of its own; codec: `fake` or `edge`."""
    result = DiskResult(codec)
    for i in range(cases):
        place = folder / f"case{i}"
        place.mkdir(parents=True)
        one_case(place, *harms[i % len(harms)], seed * 1000 + i, codec, result)
        if i % 10 == 9:
            sys.stderr.write(f"\r{i + 1} of {cases} cases ")
            sys.stderr.flush()
    return result


def report(r: DiskResult) -> str:
    """A line per harm, and what was broken."""
    lines = [f"{r.codec} codec", "file       harm                cases  seen  accepted  down before  lost  told of"]
    for (victim, kind), h in r.harms.items():
        lost = f"{h.lost}" + (f" + {h.spoiled} of the destroyed file" if h.spoiled else "")
        lost += f" ({h.shortened} not to all layers)" if h.shortened else ""
        lines.append(
            f"{victim:9}  {kind:18}  {h.cases:5}  {h.seen:4}  {h.judged:8}  {h.before:11}  {lost:4}  {dict(h.told)}"
        )
    lines.append(
        f"wrong latents {r.wrong}; segments against context that the ground lacked {r.unknown}; losses without an "
        f"event {r.silent}; starts that failed {r.failed_starts or 'none'}; harms not seen: {r.idle or 'none'}"
    )
    return "\n".join(lines)


def main(folder: Path, size: int | None, codec: str) -> tuple[str, bool]:
    result = campaign(folder, size or 2 * len(HARMS), codec)
    full, arrived = full_disk(folder)
    return report(result) + "\n" + full, arrived and result.good
