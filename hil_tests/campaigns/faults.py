"""Puts faults into a running campaign and takes them out again; keeps what must survive a restart of the board."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from swathpack.edge.codec.protocol import TileKey
from swathpack.hil_tests.campaigns.injections import KILL_OPERATIONS, Injection
from swathpack.hil_tests.simulation.attacker import Attacker, Intrusion
from swathpack.hil_tests.simulation.link import Trouble
from swathpack.hil_tests.simulation.orbit import SimPass
from swathpack.hil_tests.simulation.sensor import Shot

if TYPE_CHECKING:
    from swathpack.hil_tests.campaigns.run import Campaign

BROWNOUT_OPERATIONS = (1, 40)  # of a start
FLIPS = {
    "flip_weights": "weights",
    "flip_tables": "tables",
    "flip_engine": "engine",
    "flip_context": "context",
    "flip_code": "code",
}
NEEDS_DISK = ("kill", "power_cut", "brownout", "slow_disk", "disk_full")


class FaultDesk:
    """The faults of one campaign. warmer_c: degrees that the surroundings are warmer now."""

    def __init__(self, campaign: Campaign, simulated_disk: bool) -> None:
        self._c, self._simulated = campaign, simulated_disk
        self.warmer_c = 0.0
        self._dying: Injection | None = None
        self._brownouts, self._killed = 0, False
        self._free, self._sync_s, self._wall_offset = -1, 0.0, 0.0
        self._frames: list[tuple[str, bytes]] = []
        self._links = [i for i in campaign.schedule.of("link")]
        self._on_pass: dict[int, Injection] = {}
        self._attacker = Attacker(random.Random(campaign.scenario.seed + 2))
        self._intrusions: dict[int, Intrusion] = {}

    def plan(self) -> None:
        """Enter every moment into the campaign's time."""
        for injection in self._c.schedule.of("board"):
            if injection.kind in NEEDS_DISK and not self._simulated:
                self._c.record.notes.append(f"{injection.kind}: left out, this board has no simulated disk")
                continue
            self._c.at(injection.time, lambda i=injection: self._begin(i))  # type: ignore[misc]

    # --- the board ------------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """What a start of the board needs to know of the faults that are on."""
        found: dict[str, Any] = {"wall_offset": self._wall_offset, "free": self._free}
        dying, self._dying, self._killed = self._dying, None, False
        if dying is not None and dying.kind == "power_cut":
            found["undo"] = dying.number + 1
        if self._brownouts > 0:
            self._brownouts -= 1
            found["arm"] = self._c.rng.randint(*BROWNOUT_OPERATIONS)
            self._killed = True
        self._c.at(self._c.now, self._after_start)
        return found

    def _after_start(self) -> None:
        if self._sync_s:
            self._c.board.send({"do": "disk", "sync_s": self._sync_s})
        waiting, self._frames = self._frames, []
        for name, data in waiting:
            self.deliver(name, data)

    def expected(self, status: int | None) -> bool:
        """Whether an end of the process was wanted: killed by us, or a restart that it asked for."""
        struck = bool(self._c.observer.open("flip_engine"))
        return (
            status == 3
            or (status == -9 and (self._dying is not None or self._killed))
            or (struck and (status or 0) < 0)
        )

    def deliver(self, name: str, data: bytes) -> None:
        """A frame for the inbox; the sensor keeps it while the board is down."""
        if self._c.board.alive:
            self._c.board.send({"do": "frame", "name": name}, data)
        else:
            self._frames.append((name, data))

    def _begin(self, injection: Injection) -> None:
        injection.injected, injection.time = True, self._c.now
        self._c.record.note(self._c.now, "fault", injection.kind, number=injection.number, strength=injection.strength)
        getattr(self, "_" + injection.kind.split("_")[0])(injection)

    def _kill(self, injection: Injection) -> None:
        if not self._c.board.alive:
            self._c.at(self._c.now + 60, lambda: self._begin(injection))
            return
        self._dying = injection
        after = self._c.rng.randint(*KILL_OPERATIONS)
        self._c.board.send({"do": "arm", "after": after, "power": injection.kind == "power_cut"})

    _power = _kill

    def _brownout(self, injection: Injection) -> None:
        self._kill(injection)
        self._brownouts = int(injection.strength) - 1

    def _heat(self, injection: Injection) -> None:
        self.warmer_c += injection.strength
        self._c.at(injection.until, lambda: self._cool(injection))

    def _cool(self, injection: Injection) -> None:
        self.warmer_c -= injection.strength

    def _slow(self, injection: Injection) -> None:
        self._set_sync(injection.strength)
        self._c.at(injection.until, lambda: self._set_sync(0.0) if self._last(injection) else None)

    def _set_sync(self, seconds: float) -> None:
        self._sync_s = seconds
        self._c.board.send({"do": "disk", "sync_s": seconds})

    def _disk(self, injection: Injection) -> None:
        self._set_free(int(injection.strength))
        self._c.at(injection.until, lambda: self._set_free(-1) if self._last(injection) else None)

    def _last(self, injection: Injection) -> bool:
        """Whether no other fault of this kind is on now."""
        others = (i for i in self._c.schedule.injections if i.kind == injection.kind and i is not injection)
        return not any(i.injected and i.time <= self._c.now < i.until for i in others)

    def _set_free(self, size: int) -> None:
        self._free = size
        self._c.board.send({"do": "disk", "free": size})

    def disk_left(self, size: int) -> None:
        """What the board's disk has left: a start finds no other, what it let go before included."""
        if size >= 0 <= self._free:
            self._free = size

    def _clock(self, injection: Injection) -> None:
        seconds = injection.strength if injection.number % 2 else -injection.strength
        self._jump(seconds)
        self._c.at(injection.until, lambda: self._jump(-seconds))

    def _jump(self, seconds: float) -> None:
        self._wall_offset += seconds
        self._c.board.send({"do": "jump", "seconds": seconds})

    def _flip(self, injection: Injection) -> None:
        self._c.board.send({"do": "flip", "where": FLIPS[injection.kind]})
        if injection.kind not in ("flip_context", "flip_code"):
            self._c.at(self._c.now + 2 * 86400, lambda: self._harmless(injection))

    def flipped(self, where: str, what: str) -> None:
        """The board says where a bit was changed."""
        for injection in self._c.observer.open(f"flip_{where}"):
            if not injection.what:
                injection.what = what
                return

    def _harmless(self, injection: Injection) -> None:
        """Not told of in two days, and every image since then was right: the bit decides nothing."""
        if (
            injection.injected
            and not injection.told_at
            and not any(w.time >= injection.time for w in self._c.record.wrong)
        ):
            injection.harmless = "every image of the next two days was right"
            injection.recover(self._c.now, injection.harmless)

    # --- the link and the reports ---------------------------------------------------------------------------

    def begin_pass(self, one: SimPass) -> None:
        """Give the pass the next link fault that is due, if there is anything to send."""
        b, c = one.budget, self._c
        due = [i for i in self._links if i.time <= c.now and not i.injected]
        if due and c.passed[b.id].queue and b.station != "drain":
            self._on_pass[b.id] = injection = due[0]
            injection.target, injection.time = b.id, c.now
            c.trouble[b.id] = self._trouble(injection, one)

    def _trouble(self, injection: Injection, one: SimPass) -> Trouble:
        if injection.kind == "fade":
            return Trouble(loss=injection.strength)
        if injection.kind == "bit_errors":
            return Trouble(bit_errors=injection.strength)
        if injection.kind == "packets_forged":
            return Trouble()
        begin, length = one.budget.start_s, one.budget.duration_s
        first = begin + 0.1 * length  # what there is to send goes down early in a pass
        return Trouble(dead_from_s=first, dead_to_s=first + injection.strength * length)

    def on_air(self, number: int, packets: list[bytes]) -> list[bytes]:
        """What the ground's radio gives of a pass: the packets that arrived, and an attacker's among them."""
        injection = self._on_pass.get(number)
        if injection is None or injection.kind != "packets_forged" or injection.injected:
            self._attacker.listen(packets)
            return packets
        found = self._attacker.intrude(packets, int(injection.strength))
        if found.forged:
            self._intrusions[number], injection.injected = found, True
        return found.packets

    def _judge_intrusion(self, injection: Injection, number: int, counts: Counter[str]) -> None:
        """Told of when the ground has counted every packet of it, and no other."""
        made, c = self._intrusions[number], self._c
        forged, replayed = counts["forged packets"], counts["replayed packets"]
        c.record.note(c.now, "fault", "packets_forged", number=injection.number, on=number,
                      forged=[forged, made.forged], replayed=[replayed, made.replayed])  # fmt: skip
        if (forged, replayed) == (made.forged, made.replayed):
            injection.tell(c.now, f"{forged} packets forged and {replayed} replayed, as many as came")

    def end_pass(self, number: int, counts: Counter[str]) -> None:
        """What the ground noticed of a pass, and which older losses it has made good."""
        c = self._c
        injection, passed = self._on_pass.get(number), c.passed[number]
        if injection is not None and number in self._intrusions:
            self._judge_intrusion(injection, number, counts)
            del self._intrusions[number]
        forging = injection is not None and injection.kind == "packets_forged"  # put in before the ground heard it
        hit = passed.damaged if injection and injection.kind == "bit_errors" else len(c.lost.get(number, []))
        if injection is not None and not injection.injected and hit and not forging:
            injection.injected = True
            # A packet whose head is hit is no packet any more: its bytes are found lying between the others.
            damaged = counts["damaged packets"] + bool(counts["stray bytes"])
            noticed = damaged if injection.kind == "bit_errors" else counts["lost image packets"]
            if noticed:
                what = "damaged" if injection.kind == "bit_errors" else "missing"
                injection.tell(c.now, f"{noticed} packets {what} at the ground")
            elif not passed.arrived:
                injection.tell(c.now, "nothing arrived of a pass that was planned")
        if injection is not None and not injection.injected:
            del self._on_pass[number]  # nothing was hit: it goes to the next pass
        for injection in c.schedule.of("frame"):
            shot = c.schedule.shots[injection.target]
            if injection.injected and not injection.recovered_at and shot.time < c.passed[number].start_s:
                keys = [k for k in c.expected if (k.tile >> 16, k.time) == (shot.place, shot.time)]
                if keys and all(c.complete(k) for k in keys):
                    injection.recover(c.now, "at the ground to the last layer")
        for pass_number, one in list(self._on_pass.items()):
            if one.injected and not one.recovered_at and pass_number != number and not self._open(pass_number):
                one.recover(c.now, f"all that was lost is at the ground after pass {number}")

    def _open(self, number: int) -> bool:
        """Whether anything that pass lost is still missing, of tile-frames that are not complete."""
        missing = self._c.ground.missing(self._c.lost.get(number, []))
        if not missing:
            return False
        keys = {
            segment.key for place in missing if (segment := self._c.ground.store.segment(*place[:2])) and segment.key
        }
        if len(keys) < len({place[:2] for place in missing}):
            return not self._complete_until(self._c.passed[number].end_s)
        return not all(self._c.complete(key) for key in keys)

    def _complete_until(self, time: float) -> bool:
        """Every frame taken before a time is at the ground to its last layer."""
        return all(self._c.complete(k) for k in self._c.expected if k.time < time)

    def reports(self, number: int) -> None:
        """Write the reports of a pass and send them up in the next, or whenever a fault says."""
        c = self._c
        packets = c.ground.reports(number, c.store_id, c.now)
        later = [p for p in c.passes if p.budget.start_s > c.now]
        if not later:
            return
        injection = next((i for i in c.schedule.of("report") if i.target == number), None)
        kind = injection.kind if injection else ""
        after, copies = 0, 1
        if injection is not None:
            injection.injected, injection.time = True, later[0].budget.start_s
            c.record.note(c.now, "fault", kind, number=injection.number, on=number)
            after = min(int(injection.strength), len(later) - 1) if kind == "report_delayed" else 0
            copies = {"report_lost": 0, "report_duplicated": int(injection.strength)}.get(kind, 1)
            if kind == "report_forged":
                packets = c.ground.forged(number, c.store_id, c.now, int(injection.strength)) + packets
            if kind in ("report_lost", "report_delayed"):
                c.at(later[0].budget.end_s, lambda: injection.tell(c.now, "no report came with the pass"))
        for copy in range(copies):
            c.at(later[after].budget.start_s + 10.0 + copy, lambda: self._uplink(packets))

    def _uplink(self, packets: list[bytes]) -> None:
        self._c.record.note(self._c.now, "ground", "reports", count=len(packets))
        for packet in packets:
            self._c.board.send({"do": "uplink"}, packet)

    # --- frames, and the end --------------------------------------------------------------------------------

    def shot_taken(self, shot: Shot) -> None:
        """A frame with what is wrong with it comes in now."""
        for injection in self._c.schedule.of("frame"):
            if injection.target == shot.number:
                injection.injected, injection.time = True, self._c.now

    def close(self, lacking: set[TileKey]) -> None:
        """What every injection cost: tile-frames taken while it was on, or the one it was put on, that are missing."""
        c = self._c
        for injection in c.schedule.injections:
            if not injection.injected:
                continue
            if injection.group == "frame":
                shot = c.schedule.shots[injection.target]
                keys = {k for k in lacking if (k.tile >> 16, k.time) == (shot.place, shot.time)}
            else:
                end = max(injection.until, injection.recovered_at, injection.time + 1800)
                keys = {k for k in lacking if injection.time - 1800 <= k.time <= end}
            injection.lost = [f"tile {k.tile} at {k.time}" for k in sorted(keys)]
