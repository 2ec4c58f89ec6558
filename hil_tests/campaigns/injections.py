"""Which fault happens when: drawn from the scenario's seed, each on a frame, a pass or a moment of its own.

An injection remembers what became of it: when it was put in, told of, recovered from, and which tile-frames it cost.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from swathpack.hil_tests.scenario.catalogue import CATALOGUE
from swathpack.hil_tests.scenario.read import Scenario
from swathpack.hil_tests.simulation.orbit import Orbit
from swathpack.hil_tests.simulation.sensor import Shot
from swathpack.tools.errors import UserError

BEFORE_FRAME_S = 0.5
KILL_OPERATIONS = (1, 60)  # after the moment at which a kill is armed


@dataclass
class Injection:
    """One fault. times: seconds since 1970; 0 where something has not happened. harmless: shown to change nothing."""

    number: int
    kind: str
    strength: float
    time: float = 0.0
    until: float = 0.0
    target: int = -1  # frame or pass
    injected: bool = False
    told_at: float = 0.0
    told_by: str = ""
    recovered_at: float = 0.0
    recovered_by: str = ""
    harmless: str = ""
    what: str = ""
    lost: list[str] = field(default_factory=list)

    @property
    def group(self) -> str:
        """The catalogue's group of its kind."""
        return CATALOGUE[self.kind].group

    def tell(self, time: float, by: str) -> None:
        """It was noticed; only the first time counts."""
        if self.injected and not self.told_at:
            self.told_at, self.told_by = time, by

    def recover(self, time: float, by: str) -> None:
        """All is well again; only the first time counts."""
        if self.injected and not self.recovered_at:
            self.recovered_at, self.recovered_by = time, by


@dataclass
class Schedule:
    """All injections, the shots with what is wrong with them, and pass and report faults by pass number."""

    injections: list[Injection]
    shots: list[Shot]

    def of(self, group: str) -> list[Injection]:
        """Those of a group in order of time."""
        return sorted((i for i in self.injections if i.group == group), key=lambda i: (i.time, i.number))


def make_schedule(scenario: Scenario, orbit: Orbit, start_s: float) -> Schedule:
    """Draw everything. Faults that do not find a frame or pass of their own share one."""
    rng = random.Random(scenario.seed)
    shots = _shots(scenario, start_s, rng)
    injections = [
        Injection(0, fault.kind, fault.strength or CATALOGUE[fault.kind].strength, until=fault.hours)
        for fault in scenario.fault
        for _ in range(0 if fault.at_h else fault.count)
    ]
    rng.shuffle(injections)
    for number, injection in enumerate(injections):
        injection.number = number
    _place_frames([i for i in injections if i.group == "frame"], shots, rng)
    _place_passes([i for i in injections if i.group == "link"], orbit, rng)
    _place_passes([i for i in injections if i.group == "report"], orbit, rng)
    _place_board([i for i in injections if i.group == "board"], shots, orbit, rng)
    injections += _at_given_times(scenario, start_s, len(injections), shots, orbit)
    injections.sort(key=lambda i: (i.time, i.number))
    return Schedule(injections, shots)


def _at_given_times(scenario: Scenario, start_s: float, first: int, shots: list[Shot], orbit: Orbit) -> list[Injection]:
    """Those with `at_h`: on the board at that moment, else the first frame or pass from then on. Raises UserError."""
    wanted = [(fault, start_s + 3600 * hour) for fault in scenario.fault for hour in fault.at_h]
    made = []
    for number, (fault, moment) in enumerate(wanted, first):
        kind = CATALOGUE[fault.kind]
        made.append(Injection(number, fault.kind, fault.strength or kind.strength, moment))
        if kind.group == "frame":
            slot = _first(fault.kind, moment, start_s, [float(shot.time) for shot in shots])
            _put(made[-1], slot, shots)
        elif kind.group == "board":
            made[-1].target = next((at for at, shot in enumerate(shots) if shot.time >= moment), len(shots) - 1)
            made[-1].until = moment + 3600 * (fault.hours or kind.hours)
        else:
            slot = _first(fault.kind, moment, start_s, [one.budget.start_s for one in orbit.passes])
            made[-1].target, made[-1].time = orbit.passes[slot].budget.id, orbit.passes[slot].budget.start_s
    return made


def _first(kind: str, moment: float, start_s: float, times: list[float]) -> int:
    """The first of these times from a moment on."""
    found = next((at for at, time in enumerate(times) if time >= moment), None)
    if found is None:
        hours = [(time - start_s) / 3600 for time in times[-1:] or [start_s]]
        what = "frame" if CATALOGUE[kind].group == "frame" else "pass"
        raise UserError(
            f"fault {kind}: at_h: expected a {what} from hour {(moment - start_s) / 3600:g} on, the last is at {hours[0]:.2f}"
        )
    return found


def _shots(scenario: Scenario, start_s: float, rng: random.Random) -> list[Shot]:
    """Every place at its own time of the day, every `every_h` hours."""
    period, places = scenario.sensor.every_h * 3600, scenario.sensor.places
    times = [
        (start_s + period * (turn + (place + 0.2 + 0.6 * rng.random()) / places), place)
        for turn in range(int(scenario.days * 86400 / period))
        for place in range(places)
    ]
    times.sort()
    return [Shot(number, place, int(time)) for number, (time, place) in enumerate(times)]


def _spread(count: int, slots: int, rng: random.Random, first: int = 0) -> list[int]:
    """`count` different slots where there are enough of them, spread over all, each in its part of the range."""
    if slots <= first or not count:
        return []
    width = (slots - first) / count
    picked = [first + min(int(i * width + rng.random() * width), slots - first - 1) for i in range(count)]
    seen: set[int] = set()
    for at, slot in enumerate(picked):
        while slot in seen and len(seen) < slots - first:
            slot = first + (slot - first + 1) % (slots - first)
        seen.add(slot)
        picked[at] = slot
    return picked


def _place_frames(injections: list[Injection], shots: list[Shot], rng: random.Random) -> None:
    for injection, slot in zip(injections, _spread(len(injections), len(shots), rng)):
        _put(injection, slot, shots)


def _put(injection: Injection, slot: int, shots: list[Shot]) -> None:
    """On a frame."""
    shot = shots[slot]
    shots[slot] = Shot(shot.number, shot.place, shot.time, (*shot.wrongs, (injection.kind, injection.strength)))
    injection.target, injection.time, injection.injected = slot, float(shot.time), False


def _place_passes(injections: list[Injection], orbit: Orbit, rng: random.Random) -> None:
    slots = len(orbit.passes) - (3 if len(orbit.passes) > 6 else 0)  # the last passes must be able to recover
    for injection, slot in zip(injections, _spread(len(injections), slots, rng)):
        one = orbit.passes[slot].budget
        injection.target, injection.time = one.id, one.start_s


def _place_board(injections: list[Injection], shots: list[Shot], orbit: Orbit, rng: random.Random) -> None:
    """Half a second before a frame comes in, or for kills also at the start or in the middle of a pass."""
    first = min(len(shots) // 12, 8)  # contexts are confirmed by then
    turn = 0
    for injection, slot in zip(injections, _spread(len(injections), len(shots), rng, first)):
        injection.target, injection.time = slot, shots[slot].time - BEFORE_FRAME_S
        if injection.kind in ("kill", "power_cut"):
            turn += 1
            later = [p.budget for p in orbit.passes if p.budget.start_s > injection.time]
            if turn % 3 and later:
                injection.time = later[0].start_s + (9.0 if turn % 3 == 1 else 0.4 * later[0].duration_s)
        kind = CATALOGUE[injection.kind]
        injection.until = injection.time + 3600 * (injection.until or kind.hours)
