"""kill -9 at random instants: after every restart nothing accepted is lost and no budget is exceeded.

    python -m tests.edge.campaign kill --size 300

A forked process runs the whole loop with its threads on real files and is killed without warning; the next
goes on in the same folder. The ground (outside, never killed) hears what reached the outbox and sends its
reports. The sensor goes on with new frames, so that there is always work; what the board was doing when it
was killed is read from its state and counted, because a campaign that kills an idle loop shows nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from edge.board import open_board
from edge.clock import SystemClock
from edge.config import parse_mission
from edge.downlink.ports import FilePort
from edge.downlink.schedule import SingleContact
from edge.loop import FlightLoop
from edge.packets.deframer import Deframer
from edge.packets.space_packet import Apid
from edge.sources.synthetic import SyntheticSource
from edge.stages.uplink import CommandFolder
from edge.throttle import Readings
from edge.tile_codec import TileKey, TilePixels
from edge.watchdog import Notifier
from tests.edge.flight import KEY, MISSION, MODEL
from tests.fake_codec import FakeSegmentDecoder, FakeTileCodec
from tools.ground.receiver import GroundReceiver
from tools.ground.reports import ReportWriter
from tools.ground.store import GroundStore

FRAMES, SIDE = 100_000, 128
BUDGET = 60_000
KILLS_PER_PASS = 3
PATIENCE = 4


@dataclass
class KillResult:
    kills: int = 0
    over_budget: int = 0
    wrong: int = 0
    lost_frames: int = 0
    crashes: int = 0
    against_unknown: int = 0  # segments coded against context that the ground lacks
    stages: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    tiles_at_ground: int = 0
    incomplete: int = 0  # tile-frames at the ground with fewer than all layers, in the end
    inter: int = 0  # tile-frames coded against context
    doing: Counter[str] = field(default_factory=Counter)  # what was going on when the board was killed


def _child(folder: Path, number: int, budget: int, first: int) -> None:
    """Run the loop until killed."""
    mission = parse_mission(MISSION, folder)
    clock = SystemClock()
    board = open_board(mission, clock, MODEL)
    loop = FlightLoop(
        board, FakeTileCodec(channels=64, q=30), SyntheticSource(clock, FRAMES, 2, SIDE, every_s=0.04, first=first),
        FilePort(folder / "outbox"), CommandFolder(folder / "uplink"), SingleContact(number, budget), KEY,
        readings=Readings, notifier=Notifier(""),
    )  # fmt: skip
    loop.run()


def _run_and_kill(folder: Path, number: int, after_s: float, first: int) -> bool:
    """Fork, run, kill; False when the child died of itself."""
    child = os.fork()
    if child == 0:
        try:
            _child(folder, number, BUDGET, first)
        except BaseException:
            (folder / "crash.txt").write_text(traceback.format_exc())
        os._exit(1)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


class Watcher:
    """The ground and the judge."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = GroundStore(folder / "ground")
        self.truth = SyntheticSource(SystemClock(), FRAMES, 2, SIDE)
        self.codec = FakeTileCodec(channels=64, q=30)
        self.counts: Counter[str] = Counter()

    def hear(self, number: int, result: KillResult) -> None:
        """Take in what a pass left in the outbox, check its size, send reports."""
        data = b"".join(p.read_bytes() for p in sorted((self.folder / "outbox").glob(f"pass-{number:06d}*")))
        deframer = Deframer(4096)
        packets = deframer.feed(data) + deframer.flush()
        result.over_budget += len(data) > BUDGET
        receiver = GroundReceiver(self.store, FakeSegmentDecoder(), 4096)
        receiver.feed(data)
        receiver.settle(number)
        self.counts += receiver.counts
        stores = {packet.store for packet in packets if packet.apid == Apid.IMAGE}
        for store in stores:
            self._report(store, number)

    def _report(self, store: int, number: int) -> None:
        uplink = self.folder / "uplink"
        uplink.mkdir(exist_ok=True)
        part = uplink / f"{number}-{store}.part"
        part.write_bytes(b"".join(ReportWriter(self.store, KEY, store).packets(number, 0)))
        part.replace(part.with_suffix(".bin"))

    def inter(self) -> int:
        """Segments at the ground that name a context."""
        decoder, count = FakeSegmentDecoder(), 0
        for key in self.store.tile_frames():
            for segment in self.store.of(key):
                head = decoder.head(segment.prefix)
                count += bool(head and head.context_digests)
        return count

    def wrong(self) -> int:
        """Latents at the ground that are not what the scene gives."""
        count = 0
        for key in self.store.tile_frames():
            held = self.store.latent(key)
            true = self._true(key)
            known = held.layers * true.shape[0] // 16
            count += int((held.latent[:known] != true[:known]).any())
        return count

    def _true(self, key: TileKey):
        place, row, column = key.tile >> 16, key.tile >> 8 & 255, key.tile & 255
        date = (key.time - 1_700_000_000) // (5 * 86400)
        data = self.truth.scene(place, date)[:, row * 64 : row * 64 + 64, column * 64 : column * 64 + 64]
        bands = tuple(str(i) for i in range(12))
        return self.codec.encode(TilePixels(key, data, bands, data[0] > 0), []).latent


def campaign(folder: Path, kills: int, seed: int = 1) -> KillResult:
    rng, result = random.Random(seed), KillResult()
    watcher = Watcher(folder)
    names: set[str] = set()
    number = 0
    while result.kills < kills:
        for _ in range(min(KILLS_PER_PASS, kills - result.kills)):
            first = max((sequence(name) for name in names), default=-1) + 1
            result.crashes += not _run_and_kill(folder, number, rng.uniform(0.02, 0.8), first)
            result.kills += 1
            names |= accepted(folder)
            result.doing += doing(folder, number)
        watcher.hear(number, result)
        number += 1
    finish(folder, watcher, result, number, names)
    return result


def sequence(name: str) -> int:
    """The number of a synthetic acquisition, two places in turn."""
    _, _, place, date = name.split("-")
    return int(date) * 2 + int(place)


def doing(folder: Path, number: int) -> Counter[str]:
    """What the state left by a kill says that the board was in the middle of; read from a copy."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        for path in (folder / "state").glob("queue*"):
            shutil.copy(path, name)
        if not (Path(name) / "queue").exists():
            return Counter({"before the queue was there": 1})
        with contextlib.closing(sqlite3.connect(Path(name) / "queue")) as db:
            try:
                found["tiles waiting to be coded"] = bool(db.execute("SELECT count(*) FROM work").fetchone()[0])
                state = db.execute("SELECT used, ended FROM passes WHERE number = ?", (number,)).fetchone()
            except sqlite3.Error:
                return Counter({"before the queue was there": 1})
    found["pass begun, not ended"] = bool(state and not state[1])
    outbox = folder / "outbox" / f"pass-{number:06d}.part"
    sent = outbox.stat().st_size if outbox.exists() else 0
    found["pass partly sent"] = 0 < sent < 0.97 * BUDGET
    found["commands not yet acted upon"] = any((folder / "uplink").glob("*.bin"))
    found["half-written spool file"] = any((folder / "state" / "spool").glob("*.part"))
    return +found


def accepted(folder: Path) -> set[str]:
    """Names of frames whose acceptance was told of (the log is written after the commit)."""
    names: set[str] = set()
    for path in (folder / "state" / "log").glob("events.jsonl*"):
        for line in path.read_text().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the line that was being written when the power went
            if event["event"] == "frame_accepted":
                names.add(event["frame"])
    return names


def finish(folder: Path, watcher: Watcher, result: KillResult, number: int, names: set[str]) -> None:
    """After the last kill: code what is left, send everything, and compare with what was accepted."""
    mission, clock = parse_mission(MISSION, folder), SystemClock()
    for extra in range(PATIENCE + 4):
        board = open_board(mission, clock, MODEL)
        contact = SingleContact(number + extra, 100_000_000)
        contact.pause()
        loop = FlightLoop(
            board, FakeTileCodec(channels=64, q=30), SyntheticSource(clock, 0), FilePort(folder / "outbox"),
            CommandFolder(folder / "uplink"), contact, KEY, readings=Readings, notifier=Notifier(""),
        )  # fmt: skip
        loop.intake.adopt()
        loop.settle()
        contact.resume()
        loop.settle()
        contact.pause()
        loop.settle()
        result.stages += board.log.counts
        loop.close()
        data = (folder / "outbox" / f"pass-{number + extra:06d}.bin").read_bytes()
        receiver = GroundReceiver(watcher.store, FakeSegmentDecoder(), 4096)
        receiver.feed(data)
        receiver.settle(number + extra)
        watcher._report(board.boot.store, number + extra)
    at_ground = {(key.tile >> 16, key.time) for key in watcher.store.tile_frames()}
    result.accepted, result.tiles_at_ground = len(names), len(watcher.store.tile_frames())
    result.incomplete = sum(watcher.store.layers(key) < 16 for key in watcher.store.tile_frames())
    result.inter = watcher.inter()
    for name in names:
        _, _, place, date = name.split("-")
        result.lost_frames += (int(place), 1_700_000_000 + int(date) * 5 * 86400) not in at_ground
    result.wrong = watcher.wrong()
    waiting = [s for key in watcher.store.tile_frames() for s in watcher.store.waiting(key.tile)]
    result.against_unknown = len({(s.store, s.number) for s in waiting})


def report(result: KillResult) -> str:
    told = {k: v for k, v in result.stages.items() if "corrupt" in k or "failed" in k or "reject" in k}
    return (
        f"{result.kills} kills; processes that ended otherwise: {result.crashes}\n"
        f"caught in the middle: {dict(result.doing)}\n"
        f"frames accepted {result.accepted}, lost {result.lost_frames}; tile-frames at the ground "
        f"{result.tiles_at_ground} of {4 * result.accepted}, not to all layers {result.incomplete}, wrong "
        f"{result.wrong}; coded against context {result.inter}\n"
        f"passes over budget: {result.over_budget}; segments against context that the ground lacks: "
        f"{result.against_unknown}\ntrouble told of in the last runs: {told or 'none'}"
    )
