"""A campaign: one scenario run against one board, from the first day to the last byte that could still come down.

    record = Campaign(scenario, launcher, folder, prepare(scenario, data)).run()

The campaign owns the time. It delivers frames, opens passes, carries packets through the link, lets the ground decode
and report, puts faults in, starts the board again when it has died, and writes everything down (`swathpack.hil_tests.campaigns.record`).
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import random
import resource
import time as wall
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel
from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.downlink.budget import Pass
from swathpack.edge.packets.link_keys import LinkKey, link_keys_text
from swathpack.hil_tests.boards.boardside import SimBoard
from swathpack.hil_tests.boards.launch import Launcher
from swathpack.hil_tests.boards.wire import Message
from swathpack.hil_tests.campaigns.faults import FaultDesk
from swathpack.hil_tests.campaigns.observer import Observer
from swathpack.hil_tests.campaigns.prepare import MISSION, Prepared
from swathpack.hil_tests.campaigns.record import Life, PassRecord, Record
from swathpack.hil_tests.scenario.catalogue import EMPTY
from swathpack.hil_tests.scenario.read import Scenario
from swathpack.hil_tests.simulation.ground_segment import GroundSegment, Lost, pieces_of
from swathpack.hil_tests.simulation.link import RadioLink, Trouble
from swathpack.hil_tests.simulation.orbit import Orbit, SimPass
from swathpack.hil_tests.simulation.physics import BoardPhysics
from swathpack.hil_tests.simulation.sensor import Shot, SimulatedSensor
from swathpack.hil_tests.simulation.truth import Truth
from swathpack.tools.progress import Progress

KEY = LinkKey(0, hashlib.sha256(b"a secret of this campaign only").digest())
STEP_S, PASS_STEP_S = 1200.0, 8.0
DRAINS, DRAIN_EVERY_S, DRAIN_S, DRAIN_BYTES = 10, 3600.0, 300.0, 3_000_000


class Campaign:
    """See the module. stopping: set from outside, ends the run where it is; its record holds what ran."""

    def __init__(self, scenario: Scenario, launcher: Launcher, folder: Path, ready: Prepared) -> None:
        self.scenario, self.folder = scenario, folder
        self.start_s, self.orbit, self.schedule, places = ready.start_s, ready.orbit, ready.schedule, ready.places
        self.end_s = self.start_s + scenario.days * 86400
        self.passes = (*self.orbit.passes, *self._drains())
        self.stopping = False
        model = EdgeModel(DEFAULT_DIRECTORY)
        self.sensor = SimulatedSensor(places, scenario.seed)
        board = scenario.board
        self.truth = Truth(model, self.sensor, board.tile, board.q, launcher.same_machine, board.max_error)
        self.ground = GroundSegment(folder, model, KEY)
        self.link = RadioLink(scenario.link, np.random.default_rng([scenario.seed, 7]))
        self.physics = BoardPhysics(scenario.board)
        self.observer = Observer(self.schedule.injections, self.schedule.shots)
        self.board = SimBoard(launcher, folder / "board.log", self._hear)
        self.rng = random.Random(scenario.seed + 1)
        self.now, self.seen, self.coded = self.start_s, self.start_s, 0
        self.store_id, self.held = 0, dict[TileKey, int]()
        self.expected: list[TileKey] = []
        self.trouble: dict[int, Trouble] = {}
        self.lost: dict[int, list[Lost]] = {}
        self.arrived: dict[int, list[bytes]] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.record = Record(
            scenario.name,
            launcher.name,
            scenario.seed,
            scenario.days,
            "; ".join(sorted({p.credit for p in places})),
            [p.name for p in places],
            injections=self.schedule.injections,
            shots=len(self.schedule.shots),
        )
        self.passed = {p.budget.id: self._pass_record(p) for p in self.passes}
        self.desk = FaultDesk(self, launcher.simulated_disk)

    # --- the run --------------------------------------------------------------------------------------------

    def run(self) -> Record:
        """Everything, to the end or until it is stopped."""
        begun, cpu = wall.monotonic(), _cpu_s()
        self._plan()
        self._start_board(self.now)
        bar = Progress(len(self._queue), f"{self.scenario.name} on {self.record.board}")
        while self._queue:
            time, _, action = heapq.heappop(self._queue)
            if time > self.end_s + DRAIN_S and self._all_down():
                break
            self.advance(time)
            if self.stopping:
                self._stop_here()
                break
            action()
            bar.step(1, f"day {(self.now - self.start_s) / 86400:.1f}")
        self.board.close()
        self.record.wall_s, self.record.cpu_s = wall.monotonic() - begun, _cpu_s() - cpu
        self._close_books()
        return self.record

    def _stop_here(self) -> None:
        """What ran is all there is: faults to come are none, and those under way count as they stand."""
        self.record.days = max(0.0, min(self.now, self.end_s) - self.start_s) / 86400
        self.record.stopped = f"stopped by hand on day {self.record.days:.2f} of {self.scenario.days:g}"
        self.record.note(self.now, "campaign", "stopped")

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self._queue, (time, next(self._order), action))

    def _plan(self) -> None:
        for shot in self.schedule.shots:
            self.at(float(shot.time), lambda shot=shot: self._deliver(shot))  # type: ignore[misc]
        for one in self.passes:
            self.at(one.budget.start_s, lambda one=one: self._begin_pass(one))  # type: ignore[misc]
            self.at(one.budget.end_s + 1.0, lambda one=one: self._end_pass(one))  # type: ignore[misc]
        self.desk.plan()

    def _all_down(self) -> bool:
        """Everything that was taken in is at the ground to its last layer: further passes would be empty."""
        return all(self.complete(key) for key in self.expected)

    def complete(self, key: TileKey) -> bool:
        """The ground holds every layer of a tile-frame that takes any error away; the board sends no others."""
        return self.ground.store.layers(key) >= self.truth.worth.get(key, LAYERS)

    def _drains(self) -> tuple[SimPass, ...]:
        """Large passes behind the last day: what is still on board must come down, and none of them count."""
        made = []
        for i in range(DRAINS):
            start = self.end_s + 2 * DRAIN_S + i * DRAIN_EVERY_S
            number = len(self.orbit.passes) + 1 + i
            name, rate = str(self.orbit.satellite.name), DRAIN_BYTES / DRAIN_S  # type: ignore[attr-defined]
            row = Pass(number, name, "drain", start, start + DRAIN_S, DRAIN_BYTES, (0.0,), (rate,))
            times = np.array([start, start + DRAIN_S])
            made.append(SimPass(row, times, np.array([90.0, 90.0]), np.array([500.0, 500.0])))
        return tuple(made)

    # --- time -----------------------------------------------------------------------------------------------

    def advance(self, until: float) -> None:
        """Let time go on to `until`, the board's dying and starting on the way included."""
        while self.now < until - 1e-3 and not self.stopping:
            current = self._pass_at(self.now)
            step = min(until, self.now + STEP_S)
            if current is not None:
                step = min(step, current.budget.end_s)
            if not self.board.alive:
                self._revive(step)
                continue
            readings = {
                "temperature_c": round(self.physics.temperature_c, 3),
                "power_w": round(self.physics.power_w, 3),
                "energy": round(self.physics.charge, 5),
            }
            state = self.board.run(step, PASS_STEP_S if current else STEP_S, readings)
            self._account(step if state else max(self.seen, self.now), state)
            if state is None or not self.board.alive:
                self._died()

    def _account(self, to: float, state: dict[str, Any] | None) -> None:
        """Physics and one sample for the time that went by."""
        coded = state["coded"] - self.coded if state else 0
        self.coded = state["coded"] if state else 0
        self._physics(to, coded * self.scenario.board.encode_s, on=True)
        if state is not None:
            if not self.record.lives[-1].reason:  # else it has only not yet ended
                self.observer.running(self.now)
            self.observer.slow_store(self.now, state["store_ms"])
            self.desk.disk_left(state["disk_left"])
            self.sample(state)

    def _physics(self, to: float, coding_s: float, on: bool) -> None:
        seconds = to - self.now
        if seconds > 0:
            middle = (self.now + to) / 2
            lit = bool(self.orbit.sunlit(np.array([middle]))[0])
            radio = seconds if on and self._pass_at(middle) is not None else 0.0
            self.physics.step(seconds, lit, coding_s, radio, self.desk.warmer_c, seconds if on else 0.0)
            self.now = to

    def sample(self, state: dict[str, Any]) -> None:
        """One point of the timeline."""
        keys = ("work", "tiles", "queue_bytes", "context", "share")
        self.record.samples.append(
            {
                "t": round(self.now, 1),
                **{k: state[k] for k in keys},
                "temperature_c": round(self.physics.temperature_c, 2),
                "power_w": round(self.physics.power_w, 2),
                "charge": round(self.physics.charge, 4),
            }
        )

    def _pass_at(self, time: float) -> SimPass | None:
        return next((p for p in self.passes if p.budget.start_s <= time < p.budget.end_s), None)

    # --- lives of the board ---------------------------------------------------------------------------------

    def _start_board(self, time: float) -> bool:
        s = self.scenario
        mission = MISSION.format(
            tile=s.board.tile,
            q=s.board.q,
            guarantee="" if s.board.max_error is None else f"max_error = {s.board.max_error}",
            engine=s.board.engine,
            canary_s=s.board.canary_s,
            packet_bytes=s.link.packet_bytes,
            max_temperature_c=s.board.max_temperature_c,
        )
        budget = Orbit(self.passes, self.orbit.satellite).budget(s.name, s.seed)
        self.record.lives.append(Life(time))
        self.coded = 0
        good = self.board.start(
            {
                "mission.toml": mission,
                "budget.toml": budget,
                "uplink.key": link_keys_text(dict([KEY])),
                "at": time,
                "encode_s": s.board.encode_s,
                "seed": s.seed * 1000 + len(self.record.lives),
                **self.desk.settings(),
            }
        )
        self.record.note(time, "board", "started" if good else "start failed")
        return good

    def _died(self) -> None:
        status = self.board.exit
        life = self.record.lives[-1]
        life.end_s, life.ended = self.now, status
        self.record.note(self.now, "board", "ended", status=status)
        self.observer.ended(self.now, status or 0)
        if not self.desk.expected(status):
            self.record.crashes.append(f"life {len(self.record.lives)} ended with {status}")
        self.back_at = self.now + self.scenario.board.restart_s

    def _revive(self, until: float) -> None:
        """The supervisor waits, then starts the board again."""
        self._physics(min(until, self.back_at), 0.0, on=False)
        if self.now < self.back_at:
            return
        if not self._start_board(self.now):
            self._died()

    # --- what the board says --------------------------------------------------------------------------------

    def _hear(self, message: Message) -> None:
        head = message.head
        self.seen = max(self.seen, float(head.get("t", 0.0)))
        getattr(self, "_on_" + head["say"])(head, message.body)

    def _on_started(self, head: dict[str, Any], body: bytes) -> None:
        self.store_id = head["store"]
        self.record.lives[-1].undone = head["undone"]
        told = {name: count for name, count in head["told"].items() if name not in ("started", "stopped")}
        self.record.note(self.now, "board", "opened", waiting=head["waiting"], undone=head["undone"], told=told)
        for name, count in told.items():
            self.record.events[name] = self.record.events.get(name, 0) + count

    def _on_event(self, head: dict[str, Any], body: bytes) -> None:
        name, values = head["event"], head["values"]
        self.record.note(head["t"], "event", name, **values)
        self.record.events[name] = self.record.events.get(name, 0) + 1
        self.observer.event(head["t"], name, values)

    def _on_coded(self, head: dict[str, Any], body: bytes) -> None:
        self.truth.coded(TileKey(*head["key"]), body, int(head["worth"]))

    def _on_flipped(self, head: dict[str, Any], body: bytes) -> None:
        self.record.note(self.seen, "fault", "flipped", where=head["where"])
        self.desk.flipped(head["where"], head["what"])

    def _on_stopped(self, head: dict[str, Any], body: bytes) -> None:
        self.record.lives[-1].reason = head["reason"]
        self.record.note(self.seen, "board", "wants a restart", reason=head["reason"])

    def _on_ran(self, head: dict[str, Any], body: bytes) -> None:
        pass

    def _on_packet(self, head: dict[str, Any], packet: bytes) -> None:
        time, number = float(head["t"]), int(head["pass"])
        one = self._pass_at(time)
        passed = self.passed[number]
        passed.sent, passed.packets = passed.sent + len(packet), passed.packets + 1
        trouble = self.trouble.get(one.budget.id if one else -1, Trouble())
        arrived = self.link.carry(packet, time, one, trouble)
        fate = "whole" if arrived == packet else "lost" if arrived is None else "damaged"
        self.record.note(time, "packet", fate, number=number, size=len(packet))
        passed.lost, passed.damaged = passed.lost + (fate == "lost"), passed.damaged + (fate == "damaged")
        if fate != "whole":
            self.lost.setdefault(number, []).extend(pieces_of(packet))
        if arrived is not None:
            passed.arrived += len(packet)
            self.arrived.setdefault(number, []).append(arrived)

    # --- sensor, passes, reports ----------------------------------------------------------------------------

    def _deliver(self, shot: Shot) -> None:
        self.record.note(
            self.now, "sensor", "frame", number=shot.number, place=shot.place, wrong=[k for k, _ in shot.wrongs]
        )
        self.desk.shot_taken(shot)
        keys = self.truth.add(shot)
        if not any(kind in EMPTY for kind, _ in shot.wrongs):
            self.expected += keys
        self.desk.deliver(shot.file, self.sensor.delivery(shot))

    def _begin_pass(self, one: SimPass) -> None:
        passed = self.passed[one.budget.id]
        passed.queue = int(self.record.samples[-1]["queue_bytes"]) if self.record.samples else 0
        self.desk.begin_pass(one)

    def _end_pass(self, one: SimPass) -> None:
        """The ground decodes what came, is judged, and writes its reports for the next pass."""
        number = one.budget.id
        for heard in sorted({number, *self.arrived}):
            grew, counts = self.ground.hear(heard, self.desk.on_air(heard, self.arrived.pop(heard, [])))
            self.passed[heard].grew += len(grew)
            for key in grew:
                self._judge(key)
            self.record.note(self.now, "ground", "pass", number=heard, grew=[[k.tile, k.time] for k in grew])
            self.desk.end_pass(heard, counts)
        if self.record.samples:
            self.passed[number].left = int(self.record.samples[-1]["queue_bytes"])
        self.desk.reports(number)

    def _judge(self, key: TileKey) -> None:
        held = self.ground.store.latent(key)
        assert held is not None
        wrong = self.truth.check(held, self.now, self.ground.contexts(key))
        if wrong is not None:
            self.record.wrong.append(wrong)
            self.record.note(self.now, "judge", "wrong image", tile=key.tile, frame=key.time)
        self.held[key] = max(self.held.get(key, 0), held.layers)
        if wrong is None or "no frame" not in wrong.against:
            psnr = round(self.truth.psnr(key, self.ground.image(key)), 2)
            self.record.quality.append(
                {"t": self.now, "tile": key.tile, "time": key.time, "layers": held.layers, "psnr": psnr}
            )

    # --- the end --------------------------------------------------------------------------------------------

    def _close_books(self) -> None:
        r = self.record
        r.passes = [self.passed[p.budget.id] for p in self.passes]
        r.physics = self.physics.check() + self.orbit.check() + self._bytes_check()
        r.books, r.link, r.ground = dict(self.physics.books), dict(self.link.counts), dict(self.ground.counts)
        r.tile_frames = len(self.expected)
        lacking = [key for key in self.expected if not self.complete(key)]
        r.complete = len(self.expected) - len(lacking)
        r.missing = [f"tile {k.tile} at {k.time}: {self.ground.store.layers(k)} of {LAYERS} layers" for k in lacking]
        r.shrunk = [f"tile {k.tile} at {k.time}" for k, n in self.held.items() if self.ground.store.layers(k) < n]
        r.over_budget = [f"pass {p.number}: {p.sent} of {p.budget} bytes" for p in r.passes if p.sent > p.budget]
        self.desk.close(set(lacking))

    def _bytes_check(self) -> list[str]:
        """Every byte sent has arrived or was lost, and no pass carries more than its link's profile."""
        c, found = self.link.counts, []
        if c["bytes sent"] != c["bytes arrived"] + c["bytes lost"]:
            found.append(f"bytes: {c['bytes sent']} sent, {c['bytes arrived']} arrived, {c['bytes lost']} lost")
        for one in self.passes:
            b = one.budget
            if b.bytes > b.capacity(b.start_s, b.end_s) + 1:
                found.append(f"pass {b.id}: a budget of {b.bytes} bytes is more than the radio carries")
        return found

    def _pass_record(self, one: SimPass) -> PassRecord:
        b = one.budget
        return PassRecord(b.id, b.start_s, b.end_s, b.max_elevation_deg or 90.0, b.bytes, drain=b.station == "drain")


def _cpu_s() -> float:
    """CPU time of this process and of the children that have ended, seconds."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
