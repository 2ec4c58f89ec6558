"""Forged, replayed and stale reports by the million: nothing is withheld from the ground, nothing sent again without cause.

    python -m swathpack.hil_tests.promises forgery --size 1000000      reports in all

A board flies some passes with losses. Then each attacker has his turn on a copy of it, and the flight goes on until the
ground holds every layer. A twin that nobody attacks says how many bytes that takes.

no key      random bytes, other keys, true reports changed or not signed
replayed    true reports, heard before, in any order
stale       true reports that were held up, in any order, some for thousands of reports
with a key  every kind of lie, signed: claims, digests heard on the downlink, epochs, numbers, passes, requests
insecure    the same lies to a mission without keys

Against the first three nothing may change at all. Whoever can sign is believed as far as a report may be true; counted
are bytes that never went down and are taken for held, layers that were proven and are not held any more, tiles that are
gone, and contexts that are not the board's own. Then the ground begins a new epoch, and all must come through.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.downlink.report_guard import EPOCH_STEP
from swathpack.edge.downlink.tiles import TileRow
from swathpack.edge.packets.link_keys import UNSIGNED, LinkKey
from swathpack.edge.packets.report import DIGEST_BYTES, MAX_BYTES, Report, ReportEntry
from swathpack.edge.packets.space_packet import SpacePacket
from swathpack.hil_tests.simulation.two_ends import KEY, STORE, Board, Ground, acquire, scene
from swathpack.tools.ground.reports import ReportWriter

TILES, DATES, BUDGET, LAST_BUDGET = 5, 4, 5000, 200_000
SHARES = {"no key": 0.6, "replayed": 0.24, "stale": 0.04, "with a key": 0.06, "insecure": 0.06}
LOOK_EVERY = 500
SHM = Path("/dev/shm")


@dataclass
class ArmResult:
    """One attacker. lies that were applied; what was found broken; bytes to the end, and of the twin."""

    name: str
    reports: int = 0
    applied: int = 0
    changed: int = 0  # looks at which the board's state was another, where it must not be
    withheld: int = 0  # bytes that never went down and were taken for held
    unproven: int = 0  # layers that were proven and were not held any more
    gone: int = 0  # tile-frames neither queued nor waiting to be coded
    wrong: int = 0
    incomplete: int = 0  # tile-frames that the ground lacks in the end
    bytes: int = 0
    twin: int = 0
    cpu_s: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Nothing broken; and without a key of the link not a byte more or less went down than in the twin."""
        silent = self.name in ("no key", "replayed", "stale")
        broken = self.changed + self.withheld + self.unproven + self.gone + self.wrong + self.incomplete
        return self.reports > 0 and not broken and (not silent or self.bytes == self.twin)

    @property
    def idle(self) -> bool:
        """Nothing that may be applied was, or all was refused that may."""
        return (self.applied > 0) != (self.name in ("stale", "with a key", "insecure"))


class World:
    """A board and its ground in one folder, some passes on; everything is kept in files, so that it can be copied."""

    def __init__(self, folder: Path, key: LinkKey) -> None:
        self.folder, self.key = folder, key
        self.board, self.ground = Board(folder), Ground(folder)
        self.ground.reports = ReportWriter(self.ground.store, key, STORE)
        self.tiles = scene(TILES)
        self.number = 0
        self.heard: list[bytes] = []  # payloads that the board was given
        self.held_up: list[bytes] = []  # payloads that got lost on the way

    def fly(self, dates: int, held_up: int = 0) -> None:
        """Passes with losses; every third uplink is lost, and so many sets of reports are held up at every pass."""
        for _ in range(dates):
            self.number += 1
            self.board.take(f"frame {self.number}", 1000 * self.number, self.frame(self.number))
            stream = self.board.downlink(self.number, BUDGET)
            self.ground.hear(self.number, stream, keep=lambda i: i % 5 != 2)
            for _ in range(held_up):
                for number in range(1, self.number + 1):
                    self.held_up += self.ground.reports.reports(number, 0)
            commands = self.ground.reports.packets(self.number, 0)
            payloads = [SpacePacket.unpack(command).payload for command in commands]
            if self.number % 3 == 0:
                self.held_up += payloads
            else:
                self.heard += payloads
                self.board.uplink(commands, dict([self.key]))
        self.board.queue.work.done_with_frame(1)  # the frame is gone: no second coding of its tiles

    def frame(self, date: int) -> list[np.ndarray]:
        """The tiles as seen on a date, each (4, side, side) uint16."""
        return [acquire(tile, date) for tile in self.tiles]

    def give(self, payload: bytes) -> bool:
        """Hand a report's payload to the board; whether it was applied."""
        return self.board.confirmation.receive(payload, dict([self.key])) is not None

    def recode(self) -> None:
        """Code again what reports have sent back to work."""
        for work in self.board.queue.work.next_work(100):
            when = self.board.queue.work.frame_time(work.frame)
            self.board.code(work, when, self.frame(when // 1000)[work.col])

    def rows(self) -> list[TileRow]:
        """What the queue holds of every segment."""
        numbers = self.board.queue.tiles.table().number.tolist()
        return [row for number in numbers if (row := self.board.queue.tiles.row(number)) is not None]

    def state(self) -> list[tuple[object, ...]]:
        """All that reports can change."""
        work = [tuple(vars(w).values()) for w in self.board.queue.work.next_work(1000)]
        held = [(r.number, list(r.have), r.confirmed, r.report) for r in self.rows()]
        sent = self.board.queue.file.all("SELECT * FROM sent ORDER BY number, pass, start")
        context = [(c.key, c.layers) for tile in range(TILES) for c in self.board.context.get(tile)]
        return [tuple(work), tuple(held), tuple(sent), tuple(context), (self.board.link.slot, self.board.link.epoch)]

    def finish(self, epoch: bool = False) -> tuple[int, int]:
        """Passes until the ground holds all; (bytes sent, tile-frames that it lacks all the same)."""
        if epoch:
            known = max(self.board.link.epoch, self.board.context.ground_epoch)
            self.ground = Ground(self.folder, known + 1)
            self.ground.reports = ReportWriter(self.ground.store, self.key, STORE)
        total, wanted = 0, {TileKey(tile, 1000 * date) for tile in range(TILES) for date in range(1, self.number + 1)}
        for number in range(self.number + 1, self.number + 9):
            self.recode()
            self.board.confirmation.expire(number - 4)
            stream = self.board.downlink(number, LAST_BUDGET)
            total += sum(map(len, stream))
            self.ground.hear(number, stream)
            self.board.uplink(self.ground.reports.packets(number, 0), dict([self.key]))
            held = self.ground.layers()
            if all(held.get(key) == LAYERS for key in wanted):
                break
        return total, sum(held.get(key) != LAYERS for key in wanted)

    def close(self) -> None:
        """Give files back; they stay as they are."""
        self.board.queue.close()
        self.board.context.close()
        self.ground.store.close()


class Liar:
    """Makes reports of every kind; knows what the downlink tells everybody, and the digests of all layers besides."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.rng = world, rng
        self.asked: set[int] = set()  # segments that were asked for anew: the ground says that it has them no more
        self.look()

    def look(self) -> None:
        """See which segments there are now."""
        self.rows = {row.number: row for row in self.world.rows()}

    def report(self, key: LinkKey) -> bytes:
        """The next one, signed with the key: numbers, epochs and entries true, near the truth or wild."""
        rng, known = self.rng, max(self.world.board.link.epoch, 1)
        numbers = rng.sample(sorted(self.rows), rng.randrange(min(len(self.rows), 4) + 1))
        numbers = sorted({*numbers, *(rng.randrange(1 << 32) for _ in range(rng.random() < 0.1))})
        entries = tuple(self._entry(number) for number in numbers)
        step = rng.choice((0, -1, EPOCH_STEP + 1, 0xFFFFFFFF, 1, EPOCH_STEP)) if rng.random() < 0.05 else 0
        epoch = max(known + step, 0) & 0xFFFFFFFF
        first, last = (0, 0xFFFFFFFF) if rng.random() < 0.8 else (min(numbers, default=0), max(numbers, default=0) + 1)
        passed = rng.choice((*range(self.world.number + 2), rng.randrange(1 << 32)))
        query = "SELECT max(number) FROM reports WHERE epoch = ?"
        newest = self.world.board.queue.file.one(query, epoch) or 0
        ahead = rng.choice((rng.randrange(1, 9),) * 9 + (-rng.randrange(1 << 15), rng.randrange(1 << 22), 0xFFFFFFFF))
        number = min(max(newest + ahead, 0), 0xFFFFFFFF)
        report = Report(STORE, epoch, number, passed, first, last, 0, entries, rng.random() < 0.2)
        return report.pack(key)

    def _entry(self, number: int) -> ReportEntry:
        rng, row = self.rng, self.rows.get(number)
        layers = rng.choice((0, LAYERS, rng.randrange(LAYERS + 1)))
        key = row.key if row and rng.random() < 0.9 else TileKey(rng.randrange(TILES), rng.randrange(1 << 30))
        known = row is not None and rng.random() < 0.7
        digest = row.digests[layers * DIGEST_BYTES :][:DIGEST_BYTES] if known and row else rng.randbytes(DIGEST_BYTES)
        held = rng.choice((0, 100, rng.randrange(3000), MAX_BYTES // 2))
        gaps = tuple((rng.randrange(500), rng.randrange(500)) for _ in range(rng.randrange(3)))
        headless = rng.random() < 0.3
        if headless:
            return ReportEntry(number, TileKey(0, 0), 0, held, gaps=gaps, headless=True)
        flags = (rng.random() < 0.1, rng.random() < 0.02)
        self.asked |= {number} if flags[1] else set()
        return ReportEntry(number, key, layers, held, digest if layers else b"", gaps, *flags)


def without_key(world: World, liar: Liar) -> Iterator[bytes]:
    """What somebody can send who has no key."""
    rng, true = liar.rng, world.heard + world.held_up
    while True:
        kind = rng.randrange(5)
        if kind == 0:
            yield rng.randbytes(rng.randrange(200))
        elif kind == 1:
            payload = bytearray(rng.choice(true))
            payload[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
            yield bytes(payload)
        elif kind == 2:
            yield liar.report(LinkKey(rng.choice((world.key.slot, 1, 7)), rng.randbytes(32)))
        elif kind == 3:
            yield liar.report(UNSIGNED)
        else:
            whole = rng.choice(true)
            yield whole[: rng.randrange(len(whole))] + rng.randbytes(rng.randrange(20))


def replayed(world: World, liar: Liar) -> Iterator[bytes]:
    """What the board has heard before."""
    while True:
        yield liar.rng.choice(world.heard)


def stale(world: World, liar: Liar) -> Iterator[bytes]:
    """True reports that were held up since the first passes; the board has heard newer ones of every pass."""
    held_up = list(world.held_up)
    liar.rng.shuffle(held_up)
    yield from held_up


def lies(world: World, liar: Liar) -> Iterator[bytes]:
    """Everything that can be said with the key in hand, or where nobody asks for one."""
    while True:
        yield liar.report(world.key)


ARMS: dict[str, Callable[[World, Liar], Iterator[bytes]]] = {
    "no key": without_key,
    "replayed": replayed,
    "stale": stale,
    "with a key": lies,
    "insecure": lies,
}


def campaign(folder: Path, reports: int, seed: int = 1) -> list[ArmResult]:
    """All attackers, about so many reports together."""
    bases: dict[LinkKey, World] = {}
    results = []
    for key in (KEY, UNSIGNED):
        base = folder / f"base-{key.slot}"
        base.mkdir()
        bases[key] = World(base, key)
        # Of each pass as many as the stale ones must be in the end; the later ones know more than the earlier.
        bases[key].fly(DATES, int(reports * SHARES["stale"] / 10) + 1 if key is KEY else 0)
        bases[key].close()
    for name, attack in ARMS.items():
        world = bases[UNSIGNED if name == "insecure" else KEY]
        results.append(_arm(name, attack, world, max(int(reports * SHARES[name]), 1), seed))
    return results


def _arm(
    name: str, attack: Callable[[World, Liar], Iterator[bytes]], base: World, count: int, seed: int
) -> ArmResult:  # fmt: skip
    result, begin, lying = ArmResult(name), time.process_time(), attack is lies
    twin, world = (_copy(base, base.folder.with_name(one)) for one in ("twin", "world"))
    if attack is stale:  # the newest reports come through in both, then the old ones in one
        for one in (twin, world):
            one.board.uplink(one.ground.reports.packets(one.number, 0, one.number), dict([base.key]))
    liar = Liar(world, random.Random(seed))
    before, proven = world.state(), _proven(world)
    for payload in attack(world, liar):
        result.applied += world.give(payload)
        result.reports += 1
        if result.reports % LOOK_EVERY == 0 or result.reports >= count:
            _look(world, result, None if lying else before, {n: p for n, p in proven.items() if n not in liar.asked})
            if lying:
                world.recode()
                proven = _proven(world)
            liar.look()
        if result.reports >= count:
            break
    if attack is stale and result.reports < LOOK_EVERY:
        _look(world, result, before, proven)
    result.twin, _ = twin.finish()
    result.bytes, result.incomplete = world.finish(epoch=lying)
    result.wrong += len(world.ground.wrong(world.board.truth))
    for one in (twin, world):
        one.close()
    result.cpu_s = time.process_time() - begin
    return result


def _copy(base: World, folder: Path) -> World:
    """A world of its own that has come as far as `base`, which is closed."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base.folder, folder)
    made = World(folder, base.key)
    made.number, made.heard, made.held_up, made.board.truth = (
        base.number,
        base.heard,
        base.held_up,
        dict(base.board.truth),
    )
    return made


def _proven(world: World) -> dict[int, tuple[int, int]]:
    """Segment number to (epoch, bytes of the layers that were proven)."""
    epoch = world.board.link.epoch
    return {r.number: (epoch, int(r.prefix[r.confirmed]) if r.confirmed else 0) for r in world.rows()}


def _look(
    world: World, result: ArmResult, before: list[tuple[object, ...]] | None, proven: dict[int, tuple[int, int]]
) -> None:
    """What must hold whoever has spoken."""
    if before is not None and world.state() != before:
        result.changed += 1
    there = {(w.tile, world.board.queue.work.frame_time(w.frame)) for w in world.board.queue.work.next_work(1000)}
    for row in world.rows():
        there.add((row.key.tile, row.key.time))
        result.withheld += sum(stop - start for start, stop in row.have) - row.have.common(row.ever).covered(1 << 40)
        epoch, size = proven.get(row.number, (-1, 0))
        if epoch == world.board.link.epoch and row.have.prefix < size:
            result.unproven += 1
    result.gone += TILES * world.number - len(there)
    for tile in range(TILES):
        for context in world.board.context.get(tile):
            known = context.layers * context.latent.shape[0] // LAYERS
            true = world.board.truth[context.key]
            result.wrong += not np.array_equal(context.latent[:known], true[:known])


def main(folder: Path, size: int | None, codec: str) -> tuple[str, bool]:
    place = SHM / f"forgery-{folder.name}" if SHM.is_dir() else folder  # a million commits need no medium
    place.mkdir(exist_ok=True)
    try:
        results = campaign(place, size or 1_000_000)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return report(results), all(r.good and not r.idle for r in results)


def report(results: list[ArmResult]) -> str:
    """A line for every attacker: reports, what was applied, and what was found broken."""
    lines = [
        "attacker       reports  applied  changed  withheld  unproven  gone  wrong  lacking     bytes      twin    CPU s"
    ]
    for r in results:
        lines.append(
            f"{r.name:12} {r.reports:9} {r.applied:8} {r.changed:8} {r.withheld:9} {r.unproven:9} {r.gone:5} {r.wrong:6} "
            f"{r.incomplete:8} {r.bytes:9} {r.twin:9} {r.cpu_s:8.0f}"
        )
    return "\n".join([*lines, f"{sum(r.reports for r in results)} reports"])
