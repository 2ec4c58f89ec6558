"""What the runtime writes, for the power-cut campaign."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.board import open_board
from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.protocol import ContextLatent, TileKey
from swathpack.edge.config import parse_mission
from swathpack.edge.context.layout import Geometry
from swathpack.edge.context.store import ContextStore
from swathpack.edge.downlink.link_record import LinkRecord
from swathpack.edge.downlink.ports import FilePort
from swathpack.edge.downlink.queue import DownlinkQueue
from swathpack.edge.downlink.report_guard import ReportWindow
from swathpack.edge.downlink.spool import Spool
from swathpack.edge.downlink.work import Work
from swathpack.edge.events import EventLog
from swathpack.edge.frame import Frame
from swathpack.edge.health.boots import begin_store, next_boot
from swathpack.edge.packets.pieces import Span
from swathpack.edge.packets.ranges import RangeSet
from swathpack.edge.sources.acquisition import Acquisition
from swathpack.edge.sources.commands import CommandFolder
from swathpack.edge.sources.folder import FolderSource
from swathpack.hil_tests.promises.budgets import bulk_tile
from swathpack.hil_tests.promises.powercut_base import Sequence
from swathpack.hil_tests.simulation.flight import MISSION, MODEL


class Boots:
    """A `Part`: counts of starts, never one twice."""

    name = "boots"

    def prepare(self, folder: Path) -> None:
        next_boot(folder / "boots")

    def work(self, folder: Path) -> Iterator[None]:
        for turn in range(6):
            boot = next_boot(folder / "boots")
            yield
            if turn == 2:
                begin_store(folder / "boots", boot)
                yield

    def judge(self, folder: Path, steps: int) -> str:
        told = 1 + steps - (steps > 3)  # starts that were counted and known to be
        found = next_boot(folder / "boots").boots
        if not told < found <= told + 3:
            return f"start {found} behind start {told}"
        return "old" if found == told + 1 and steps < 7 else "new"


class Link(Sequence):
    """Key slot and ground epoch."""

    name = "link record"

    def work(self, folder: Path) -> Iterator[None]:
        record = LinkRecord(folder / "link")
        for slot, epoch in ((-1, 1), (0, 1), (2, 1), (1, 3), (3, 9)):
            record.follow(slot, epoch)
            yield

    def dump(self, folder: Path) -> Any:
        record = LinkRecord(folder / "link")
        found = (record.slot, record.epoch, record.damaged)
        record.close()
        return found


class Queue(Sequence):
    """Every kind of change of the queue's file, and what is free of it and its log given back."""

    name = "queue"

    def begin(self, folder: Path) -> None:
        self._open(folder).close()

    def work(self, folder: Path) -> Iterator[None]:
        queue, rng = self._open(folder), np.random.default_rng(4)
        frame = queue.work.accept("frame", 5, 99, [Work(0, 0, i, i) for i in range(6)])
        yield
        for work in queue.work.next_work(4):
            tile = bulk_tile(rng, work.col, 300.0)
            queue.tiles.add(work, tile, tile.segment(0, LAYERS))
            yield
        queue.work.failed(queue.work.next_work(1)[0])
        yield
        queue.passes.begin(1, 4000)
        yield
        numbers = queue.tiles.table().number.tolist()
        spans = [Span(number, 0, 200) for number in numbers]
        queue.passes.advance(1, 900, spans, {"sequence 800": 7})
        yield
        queue.passes.end(1, 800)
        yield
        yield from self._reported(queue, numbers)
        queue.work.done_with_frame(frame)
        yield
        queue.tiles.lose_everything()
        yield
        queue.tiles.cut([(number, 5) for number in queue.tiles.table().number.tolist()])
        yield
        queue.file.give_back()
        yield

    @staticmethod
    def _reported(queue: DownlinkQueue, numbers: list[int]) -> Iterator[None]:
        rows = [queue.tiles.row(number) for number in numbers]
        queue.tiles.settle([(row, RangeSet([(0, 150)]), 3) for row in rows if row], 1, 5)
        yield
        ReportWindow(queue.file).note(1, 5)
        yield
        queue.tiles.want_refresh(2)
        yield
        if rows[1] is not None:
            queue.tiles.again(rows[1])
        yield
        queue.tiles.drop([numbers[0]])
        yield

    def dump(self, folder: Path) -> Any:
        return tables(folder / "queue")

    def judge(self, folder: Path, steps: int) -> str:
        self._open(folder).close()  # as a start does: its checks must find nothing
        return super().judge(folder, steps)

    def _open(self, folder: Path) -> DownlinkQueue:
        return DownlinkQueue(folder / "queue", ManualClock(), 1, 7)


class Context:
    """A `Part`: confirmed latents, of every tile those before or those behind the step, each of them whole."""

    name = "context"
    geometry = Geometry(slots=64, slot_bytes=2048, ways=16)

    def __init__(self) -> None:
        self.states: list[tuple[int, dict[int, set[tuple[int, int]]]]] = []

    def prepare(self, folder: Path) -> None:
        self._open(folder).close()
        peace = folder.with_name("peace")
        peace.mkdir()
        self._open(peace).close()
        self.states = [self._dump(peace), *(self._dump(peace) for _ in self.work(peace))]

    def work(self, folder: Path) -> Iterator[None]:
        store = self._open(folder)
        store.adopt(1)
        yield
        for time, layers in ((1, 4), (2, 16), (2, 16), (3, 7), (3, 9)):
            store.put([self._latent(tile, time, layers) for tile in range(3)])
            yield
        store.drop(1)
        yield
        store.reset(2, "a new ground")
        yield
        store.put([self._latent(2, 9, 5)])
        yield

    def judge(self, folder: Path, steps: int) -> str:
        found, last = self._dump(folder), len(self.states) - 1
        old, new = self.states[steps], self.states[min(steps + 1, last)]
        if found in (old, new):
            return "new" if found == new else "old"
        for tile in range(3):
            ours, before, behind = found[1][tile], old[1][tile], new[1][tile]
            if found[0] not in (old[0], new[0]) or not before & behind <= ours <= before | behind:
                return f"{found} behind {old}"
        return "new"

    def _open(self, folder: Path) -> ContextStore:
        return ContextStore.open(folder / "context", self.geometry, b"model", EventLog(ManualClock()))

    def _dump(self, folder: Path) -> tuple[int, dict[int, set[tuple[int, int]]]]:
        log = EventLog(ManualClock())
        store = ContextStore.open(folder / "context", self.geometry, b"model", log)
        held = {tile: store.get(tile) for tile in range(3)}
        for tile, contexts in held.items():
            for c in contexts:
                assert c.digest == self._latent(tile, c.key.time, c.layers).digest, "a latent that never was"
        store.close()
        return store.ground_epoch, {tile: {(c.key.time, c.layers) for c in found} for tile, found in held.items()}

    def _latent(self, tile: int, time: int, layers: int) -> ContextLatent:
        values = np.random.default_rng([tile, time]).integers(-5, 6, (LAYERS * 4, 3, 3)).astype(np.int16)
        return ContextLatent.known(TileKey(tile, time), 20, layers, values)


class Frames(Sequence):
    """The spool."""

    name = "spool"

    def work(self, folder: Path) -> Iterator[None]:
        spool = self._open(folder)
        for name in ("one", "two", "three", "one"):
            spool.put(Acquisition(name, 5, 1, _frame(name)))
            yield
        spool.remove("two")
        yield

    def dump(self, folder: Path) -> Any:
        return sorted(
            found.name for found in self._open(folder).orphans(set()) if isinstance(found, Acquisition) and found.pack()
        )

    def judge(self, folder: Path, steps: int) -> str:
        verdict = super().judge(folder, steps)
        return "new" if verdict == "old" and steps == 5 else verdict

    def _open(self, folder: Path) -> Spool:
        return Spool(folder / "spool", 1 << 20, 0)


class Ends(Sequence):
    """Files between the runtime and the world: a pass in the outbox, a frame in the inbox, reports in the uplink."""

    name = "files"

    def begin(self, folder: Path) -> None:
        for name in ("inbox", "uplink", "outbox"):
            (folder / name).mkdir()
        for name in ("f1", "f2"):
            (folder / f"inbox/{name}.swf").write_bytes(Acquisition(name, 5, 1, _frame(name)).pack())
        (folder / "uplink/1.bin").write_bytes(b"reports")
        FolderSource(folder / "inbox", ManualClock(), 0.0)

    def work(self, folder: Path) -> Iterator[None]:
        source, port = FolderSource(folder / "inbox", ManualClock(), 0.0), FilePort(folder / "outbox")
        for number in (1, 2):
            offer = source.poll()
            assert offer is not None
            source.done(offer)
            yield
            port.open(number)
            for packet in (b"one", b"two"):
                port.send(packet * 300)
            port.close()
            yield
        commands = CommandFolder(folder / "uplink")
        commands.poll()
        commands.done()
        yield

    def dump(self, folder: Path) -> Any:
        files = [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".part"]
        return sorted((p.relative_to(folder).as_posix(), p.read_bytes()) for p in files)


class Start:
    """A `Part`: the state of a board, made, opened, opened again; never found damaged."""

    name = "board"

    def prepare(self, folder: Path) -> None:
        pass

    def work(self, folder: Path) -> Iterator[None]:
        for _ in range(3):
            open_board(parse_mission(MISSION, folder), ManualClock(), MODEL).close()
            yield

    def judge(self, folder: Path, steps: int) -> str:
        board = open_board(parse_mission(MISSION, folder), ManualClock(), MODEL)
        found, counts = board.boot.boots, board.log.counts
        board.close()
        bad = {name: counts[name] for name in ("queue_corrupt", "stage_failed", "context_corrupt") if counts[name]}
        if bad or not steps < found <= steps + 3:
            return f"start {found} behind {steps}, {bad}"
        return "old" if found == steps + 1 and steps < 3 else "new"


def tables(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of an SQLite file."""
    with sqlite3.connect(path) as db:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        found = {name: sorted(db.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names}
    db.close()
    return found


def _frame(name: str) -> Frame:
    data = np.random.default_rng(len(name)).integers(1, 9000, (2, 24, 24)).astype(np.uint16)
    return Frame(data, ("B02", "B03"))
