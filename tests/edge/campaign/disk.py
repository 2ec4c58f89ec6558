"""Damaged and full disks: what was accepted is still there, and nothing wrong is ever decoded.

    python -m tests.edge.campaign disk --size 60

Damage: the last pages, random bytes or the whole of one state file are overwritten, cut off or removed
between two runs. Full: the state lives on a file system of a few megabytes (needs root; left out otherwise).
"""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge.downlink.schedule import Contact
from edge.downlink.schema import QueueCorruptError
from edge.tile_codec import TilePixels
from tests.edge.flight import KEY, MISSION, Flight, Station
from tests.fake_codec import FakeTileCodec
from tools.ground.reports import ReportWriter

FILES = ("queue", "queue-wal", "context", "boots", "spool", "log")
KINDS = ("last page", "random bytes", "cut", "removed", "zeroed")


@dataclass
class DiskResult:
    tried: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    judged: int = 0  # accepted tile-frames that must reach the ground to all layers
    complete_before: int = 0  # of those, complete at the ground before the harm
    waiting: int = 0  # segments coded against context that the ground lacks, in the end
    lost: int = 0  # accepted tile-frames that never reached the ground to all layers
    spoiled: int = 0  # those whose spool file or queue was itself what was destroyed
    failed_starts: int = 0
    told: Counter[str] = field(default_factory=Counter)


def damage(path: Path, kind: str, rng: random.Random) -> None:
    """Do one kind of harm to one file, where it holds something."""
    data = bytearray(path.read_bytes())
    used = np.flatnonzero(np.frombuffer(bytes(data), np.uint8))
    if kind == "removed":
        path.unlink()
        return
    if kind == "cut":
        data = data[: rng.randrange(int(used[-1]) + 1)] if len(used) else bytearray()
    elif kind == "zeroed":
        data[: 1 << 16] = bytes(min(len(data), 1 << 16))
    elif kind == "last page" and len(used):
        at = max(int(used[-1]) - 4095, 0)
        data[at : at + 4096] = rng.randbytes(min(4096, len(data) - at))
    elif len(used):
        for _ in range(8):
            data[int(used[rng.randrange(len(used))])] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def crash(flight: Flight, checkpointed: bool) -> None:
    """End the process as a crash would: SQLite's log stays, unless it had just been written back."""
    state = flight.folder / "state"
    if checkpointed:
        flight.board.queue.file.all("PRAGMA wal_checkpoint(TRUNCATE)")
    copy = {p: p.read_bytes() for p in state.rglob("*") if p.is_file()}
    flight.board.close()
    for path, data in copy.items():
        path.write_bytes(data)


def one_case(folder: Path, victim: str, kind: str, seed: int, result: DiskResult) -> None:
    """Some frames waiting, some coded, a little sent and confirmed; then the harm; then all must come
    through.
    """
    rng = random.Random(seed)
    flight = Flight(folder, frames=6)
    station = Station(folder, flight)
    for number in (1, 2):
        for _ in range(2):
            flight.loop.intake.step()
        for _ in range(rng.randrange(2, 6)):
            for stage in (flight.loop.fetch, flight.loop.encode, flight.loop.store):
                stage.step()
        flight.schedule.contact = Contact(number, 3000, 3000)
        for _ in range(12):
            flight.loop.downlink.step()
        flight.schedule.contact = None
        flight.loop.downlink.step()
        flight.uplink.waiting.extend(station.hear(number, flight.radio.passes.get(number, [])))
        while flight.loop.uplink.step():
            pass
    before = sum(station.store.layers(key) == 16 for key in station.store.tile_frames())
    accepted = set(flight.board.queue.work.frame_names().values())
    crash(flight, checkpointed=rng.random() < 0.5)
    state = folder / "state"
    candidates = sorted(state.glob(f"{victim}/*") if victim in ("spool", "log") else state.glob(victim))
    candidates = [path for path in candidates if path.stat().st_size]
    if not candidates:
        result.tried[f"{victim}: not there, nothing harmed"] += 1
    else:
        damage(rng.choice(candidates), kind, rng)
        result.tried[f"{victim}: {kind}"] += 1
    try:
        flight.start()
    except Exception as error:
        result.failed_starts += 1
        result.told[f"start failed after {victim} {kind}: {type(error).__name__}: {error}"] += 1
        return
    recover(flight, station)
    result.complete_before += before
    result.told += Counter({k: v for k, v in flight.board.log.counts.items() if told(k)})
    _judge(flight, station, accepted, victim, result)
    flight.board.close()


def told(name: str) -> bool:
    """Events that say something was wrong."""
    return any(word in name for word in ("corrupt", "failed", "rejected", "mismatch", "reset", "dropped"))


def recover(flight: Flight, station: Station) -> None:
    """Passes large enough for everything, with reports, until all has come through.

    A queue found damaged while running ends the process; the service manager starts it again, once is enough.
    """
    restarts, number = 0, 3
    while number < 14:
        station.reports = ReportWriter(station.store, KEY, flight.board.boot.store)
        try:
            flight.loop.settle()
            packets = flight.contact(number, 10_000_000)
        except QueueCorruptError:
            restarts += 1
            if restarts > 2:
                raise
            flight.schedule.contact = None
            packets = flight.radio.passes.get(number, [])
            flight.restart()
        flight.uplink.waiting.extend(station.hear(number, packets))
        number += 1
    flight.loop.settle()


def _judge(flight: Flight, station: Station, accepted: set[str], victim: str, result: DiskResult) -> None:
    codec = FakeTileCodec(channels=64, q=30)
    seen = set()
    for key in station.store.tile_frames():
        held = station.store.latent(key)
        row, column = key.tile >> 8 & 255, key.tile & 255
        date = (key.time - 1_700_000_000) // (5 * 86400)
        data = flight.source.scene(0, date)[:, row * 64 : row * 64 + 64, column * 64 : column * 64 + 64]
        true = codec.encode(TilePixels(key, data, tuple("abcdefghijkl"), data[0] > 0), []).latent
        known = held.layers * 4
        result.wrong += int((held.latent[:known] != true[:known]).any())
        if held.layers == 16:
            seen.add((f"{date:05d}", row, column))
    result.waiting += len(station.store.waiting(0))
    dates = {name.rsplit("-", 1)[1] for name in accepted}
    missing = {(d, r, c) for d in dates for r in (0, 1) for c in (0, 1)} - seen
    result.judged += 4 * len(dates)
    if missing and victim == "spool":
        result.spoiled += len(missing)
    else:
        result.lost += len(missing)


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
            f"full disk ({megabytes} MB): {accepted} frames accepted before it was full ({filled} refusals); "
            f"{len(frames)} of 30 at the ground in the end; told: {told}"
        ), filled > 0 and len(frames) == 30
    finally:
        subprocess.run(["umount", "-l", str(tiny)], capture_output=True)


def campaign(folder: Path, cases: int, seed: int = 1) -> DiskResult:
    result = DiskResult()
    grid = [(victim, kind) for victim in FILES for kind in KINDS]
    for i in range(cases):
        victim, kind = grid[i % len(grid)]
        one_case(folder / f"case{i}", victim, kind, seed * 1000 + i, result)
    return result


def main(folder: Path, size: int | None, codec: str) -> tuple[str, bool]:
    result = campaign(folder, size or 60)
    full, arrived = full_disk(folder)
    lines = [f"{count} x {name}" for name, count in sorted(result.tried.items())]
    lines += [
        f"tile-frames accepted {result.judged}, complete at the ground before the harm {result.complete_before}",
        f"wrong latents {result.wrong}; accepted tile-frames lost {result.lost} (another {result.spoiled} with the "
        f"spool file that was destroyed); segments without context {result.waiting}; starts that failed "
        f"{result.failed_starts}",
        f"told: {dict(result.told)}",
        full,
    ]
    return "\n".join(lines), arrived and not (result.wrong or result.lost or result.failed_starts)
