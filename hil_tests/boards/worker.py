"""The board of a campaign: the flight loop as it flies, with time, frames, commands and faults from the campaign.

    python -m swathpack.hil_tests.boards.worker --folder DIR

Runs on the board's side of a `swathpack.hil_tests.boards.wire` (standard input and output), on this machine, under emulation or over
SSH; it needs only edge/ and this package. The loop is stepped in one thread with a clock that the campaign moves, so
that a run can be repeated exactly; what takes time on board (coding, syncs of a slow disk) moves the same clock.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swathpack.edge.board import open_board
from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel
from swathpack.edge.codec.protocol import CodedTile, ContextLatent, TilePixels
from swathpack.edge.config import Mission, read_mission
from swathpack.edge.downlink.schema import QueueCorruptError
from swathpack.edge.downlink.tiles import useful_layers
from swathpack.edge.events import Event
from swathpack.edge.health.model_memory import Canary, watch_model
from swathpack.edge.health.scrub import Scrubber
from swathpack.edge.health.throttle import Readings
from swathpack.edge.health.watchdog import Notifier
from swathpack.edge.loop import FlightLoop, Guards
from swathpack.edge.outside import Outside, downlink_keys, make_schedule, make_source, uplink_keys
from swathpack.edge.stages.worker import IDLE_S
from swathpack.hil_tests.boards.wire import Message, Wire
from swathpack.hil_tests.simulation import memory
from swathpack.hil_tests.simulation.commands import HeldCommands
from swathpack.hil_tests.simulation.disk import Disk, lose_power

RESTART = 3
TICK_S = 1e-3  # shorter rests are rounding of the clock
JOURNAL = "unsynced"
SCRUB_STEPS = 80  # of the health stage in an idle stretch: one round over all memory and a little more


class BoardClock(ManualClock):
    """Moves when told to, and by `sync_s` for every sync of the disk. at: monotonic start, seconds."""

    def __init__(self, at: float, wall: float, disk: Disk) -> None:
        super().__init__(wall)
        self._monotonic = at
        self._disk, self.sync_s, self._counted = disk, 0.0, disk.syncs

    def monotonic(self) -> float:
        if self.sync_s:
            now = self._disk.syncs
            new, self._counted = now - self._counted, now
            self.advance(new * self.sync_s)
        return super().monotonic()

    def slow(self, sync_s: float) -> None:
        """Every sync takes so long from now on."""
        self._counted, self.sync_s = self._disk.syncs, sync_s


class Radio:
    """A `Port`: every packet goes to the campaign at once, with the time at which it left."""

    def __init__(self, wire: Wire, clock: BoardClock, disk: Disk) -> None:
        self._wire, self._clock, self._disk, self._number = wire, clock, disk, -1

    def open(self, pass_number: int) -> None:
        self._number = pass_number

    def send(self, packet: bytes) -> None:
        self._wire.send({"say": "packet", "t": self._clock.monotonic(), "pass": self._number}, packet)
        self._disk.tick()

    def close(self) -> None:
        self._number = -1


class Witness:
    """A `TileCodec`: the given one, what it codes told to the campaign, and upsets of contexts and coded bytes put in."""

    layers = LAYERS

    def __init__(self, codec: FlightCodec, wire: Wire, disk: Disk, rng: random.Random) -> None:
        self._codec, self._wire, self._disk, self._rng = codec, wire, disk, rng
        self.flip_context = self.flip_code = 0
        self.coded = 0

    def encode(self, tile: TilePixels, contexts: Sequence[ContextLatent]) -> CodedTile:
        if self.flip_context and contexts:
            self.flip_context -= 1
            first = memory.with_latent(contexts[0], memory.flip_latent(contexts[0].latent, self._rng))
            contexts = [first, *contexts[1:]]
            self._wire.send({"say": "flipped", "where": "context", "what": f"of tile {tile.key.tile}", "key": tile.key})
        self._disk.tick()
        coded = self._codec.encode(tile, contexts)
        digests = b"".join(
            ContextLatent.known(coded.key, coded.q, k, coded.latent).digest for k in range(1, LAYERS + 1)
        )
        self.coded += 1
        head = {
            "say": "coded",
            "key": coded.key,
            "q": coded.q,
            "contexts": len(coded.context_digests),
            "bytes": int(coded.prefix_bytes[-1]),
            "worth": useful_layers(coded.distortion),
        }
        self._wire.send(head, digests)
        return self._damaged(coded) if self.flip_code else coded

    def _damaged(self, coded: CodedTile) -> CodedTile:
        self.flip_code -= 1
        self._wire.send({"say": "flipped", "where": "code", "what": f"of tile {coded.key.tile}", "key": coded.key})
        return Damaged(coded, self._rng)


class Damaged:
    """A `CodedTile` whose segment has one bit wrong."""

    def __init__(self, coded: CodedTile, rng: random.Random) -> None:
        self._coded, self._rng = coded, rng

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coded, name)

    def segment(self, start: int, stop: int) -> bytes:
        return memory.flip_bytes(self._coded.segment(start, stop), self._rng)


class WatchedLoop(FlightLoop):
    """The loop, telling whether it wants to be restarted."""

    stopped = ""

    def stop(self, reason: str = "asked to") -> None:
        self.stopped = self.stopped or reason
        super().stop(reason)


class BoardProcess:
    """One life of the board, from start to stop or kill."""

    def __init__(self, folder: Path, head: dict[str, Any], mission: Mission, model: EdgeModel, wire: Wire) -> None:
        self.folder, self.wire, self.encode_s = folder, wire, float(head["encode_s"])
        undone = lose_power(folder / JOURNAL, random.Random(head["undo"])) if head.get("undo") else 0
        self.disk = Disk(mission.state)
        self.disk.limit(int(head.get("free", -1)))
        if head.get("arm"):
            self.disk.arm(int(head["arm"]), False, None)
        at = float(head["at"])
        self.clock = BoardClock(at, at + float(head.get("wall_offset", 0.0)), self.disk)
        self.model = model
        self.rng = random.Random(head["seed"])
        self.witness = Witness(FlightCodec.configured(self.model, mission.coding), wire, self.disk, self.rng)
        self.board = open_board(mission, self.clock, self.model.digest)
        self.board.log.add_sink(self._tell)
        self.scrubber = Scrubber(self.board.log)
        watch_model(self.scrubber, self.model, lambda: EdgeModel(self.model.directory, 1, mission.coding.engine))
        self.uplink = HeldCommands()
        self.readings, self.slowest_store_ms = Readings(), 0.0
        self._sample, self.board.telemetry.sample = self.board.telemetry.sample, self._sampled  # type: ignore[method-assign]
        schedule = make_schedule(mission, self.clock, self.board.queue)
        canary = Canary(FlightCodec.configured(self.model, mission.coding), self.board.log)
        outside = Outside(
            make_source(mission, self.clock),
            Radio(wire, self.clock, self.disk),
            self.uplink,
            schedule,
            uplink_keys(mission),
            downlink_keys(mission),
        )
        guards = Guards(self.scrubber, canary, lambda: self.readings, Notifier(""))
        self.loop = WatchedLoop(self.board, self.witness, outside, guards)
        self.loop.intake.adopt()
        waiting = self.board.queue.work.work_count() + self.board.queue.tiles.count()
        wire.send(
            {
                "say": "started",
                "boots": self.board.boot.boots,
                "store": self.board.boot.store,
                "waiting": waiting,
                "disk": self.disk.there,
                "undone": undone,
                "told": dict(sorted(self.board.log.counts.items())),
                "model": self.model.digest.hex(),
            }
        )

    def _tell(self, event: Event) -> None:
        values = event.values
        if event.kind.name == "disk_full":
            values = {"what": str(values["what"]).split(":")[0]}  # bytes free are this machine's, not the campaign's
        self.wire.send(
            {
                "say": "event",
                "t": round(self.clock.monotonic(), 3),
                "event": event.kind.name,
                "severity": event.kind.severity.name,
                "values": values,
            }
        )

    def serve(self) -> int:
        """Messages until told to stop or the loop wants a restart."""
        while True:
            message = self.wire.receive()
            if message.head["do"] == "stop":
                self.loop.close()
                return 0
            getattr(self, "do_" + message.head["do"])(message)
            if self.loop.stopped:
                self.wire.send({"say": "stopped", "reason": self.loop.stopped})
                self.loop.close()
                return RESTART

    def do_run(self, message: Message) -> None:
        """Step until a time. stride: how far time goes at most while nothing is to be done, seconds."""
        head = message.head
        self.readings = Readings(head.get("temperature_c"), head.get("power_w"), head.get("energy"))
        with contextlib.suppress(QueueCorruptError):  # the loop has said so, and wants its restart
            self._run(float(head["until"]), float(head["stride"]))
        self.wire.send({"say": "ran", "t": self.clock.monotonic(), **self._state()})

    def _run(self, until: float, stride: float) -> None:
        while not self.loop.stopped:
            coded = self.witness.coded
            done = self.loop.step()
            now = self.clock.monotonic()
            spent = (self.witness.coded - coded) * self.encode_s
            if not done and now >= until - TICK_S:
                return
            pause = spent if done else min(stride, until - now)
            self.clock.advance(max(pause, 0.0))
            self._scrub(pause)

    def _scrub(self, seconds: float) -> None:
        """The health stage has its own thread on board and goes on meanwhile: as many steps as it would have made."""
        for _ in range(min(int(seconds / IDLE_S), SCRUB_STEPS)):
            self.scrubber.step()

    def _state(self) -> dict[str, Any]:
        board = self.board
        return {
            "work": board.queue.work.work_count(),
            "tiles": board.queue.tiles.count(),
            "queue_bytes": board.queue.tiles.bytes_queued(),
            "context": len(board.context),
            "share": self.board.telemetry.sample().get("load_share", 1.0),
            "coded": self.witness.coded,
            "store_ms": self._slowest(),
            "disk_left": self.disk.left,
            "ballast": board.ballast.intact,
        }

    def _sampled(self) -> dict[str, float]:
        """The board's telemetry as it takes it, looked at on the way."""
        values = self._sample()
        self.slowest_store_ms = max(self.slowest_store_ms, values.get("store_max", 0.0))
        return values

    def _slowest(self) -> float:
        """Longest store of a tile in any sample since the last question, milliseconds."""
        slowest, self.slowest_store_ms = self.slowest_store_ms, 0.0
        return round(slowest, 3)

    def do_frame(self, message: Message) -> None:
        """A frame is moved into the inbox, whole."""
        inbox = self.board.mission.source.path
        part = inbox / (message.head["name"] + ".part")
        part.write_bytes(message.body)
        part.replace(inbox / message.head["name"])

    def do_uplink(self, message: Message) -> None:
        """The body arrives as one delivery of commands."""
        self.uplink.waiting.append(message.body)

    def do_jump(self, message: Message) -> None:
        """The wall clock jumps by so many seconds."""
        self.clock.jump_wall(float(message.head["seconds"]))

    def do_arm(self, message: Message) -> None:
        """After so many operations of the disk the process is killed; power: what was not synced goes with it."""
        head = message.head
        self.disk.arm(int(head["after"]), bool(head["power"]), self.folder / JOURNAL if head["power"] else None)

    def do_disk(self, message: Message) -> None:
        """free: bytes that the disk still takes. sync_s: how long every sync takes."""
        if "free" in message.head:
            self.disk.limit(int(message.head["free"]))
        if "sync_s" in message.head:
            self.clock.slow(float(message.head["sync_s"]))

    def do_flip(self, message: Message) -> None:
        """One bit upset: in the next context or coded segment, else at once in the engine or the model, and told."""
        where = message.head["where"]
        if where in ("context", "code"):
            setattr(self.witness, f"flip_{where}", getattr(self.witness, f"flip_{where}") + 1)
            return
        try:
            engine = where == "engine"
            what = (
                memory.EngineMemory(self.model).flip(self.rng)
                if engine
                else memory.flip_model(self.model, where, self.rng)
            )
        except LookupError as error:
            what = f"none: {error}"
        self.wire.send({"say": "flipped", "where": where, "what": what})


def _mission(folder: Path, head: dict[str, Any]) -> Mission:
    """The files of the mission as the campaign gives them, and the configuration read from them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("mission.toml", "budget.toml", "uplink.key"):
        (folder / name).write_text(head[name], encoding="utf-8")
    (folder / "uplink.key").chmod(0o600)
    return read_mission(folder / "mission.toml")


class Nursery:
    """Starts the board's lives: each is a fork of this process, which holds the loaded model, so that a start is cheap.

    A life that is killed takes nothing with it but itself; its damaged memory is gone with it.
    """

    def __init__(self, folder: Path, wire: Wire) -> None:
        self._folder, self._wire = folder, wire
        self._model: EdgeModel | None = None

    def serve(self) -> int:
        """One life after the other; what comes in between was meant for one that has ended."""
        while True:
            head = self._wire.receive().head
            if head["do"] == "end":
                return 0
            if head["do"] == "init":
                self._wire.send({"say": "ended", "status": self._life(head)})

    def _life(self, head: dict[str, Any]) -> int:
        """Exit status of one life, -N for signal N."""
        mission = _mission(self._folder, head)
        if self._model is None:
            self._model = EdgeModel(mission.model or DEFAULT_DIRECTORY, 1, mission.coding.engine)
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        code = 1
        try:
            code = BoardProcess(self._folder, head, mission, self._model, self._wire).serve()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of this board: mission, state, inbox")
    args = parser.parse_args(argv)
    wire = Wire(os.dup(0), os.dup(1))
    os.dup2(2, 1)  # nothing else may write into the wire
    return Nursery(args.folder, wire).serve()


if __name__ == "__main__":
    sys.exit(main())
