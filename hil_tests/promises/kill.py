"""kill -9 at random instants: after every restart nothing accepted is lost and no budget is exceeded.

    python -m swathpack.hil_tests.promises kill --size 300 [--codec edge]

The process is `swathpack.edge.__main__.main` with a mission file, a watched folder, pass files and a report folder. Most lives
are forked from this process, which has everything imported and the model loaded, so that a life is spent working
and not starting; with `--codec edge` some lives are a new `python -m swathpack.edge`. A life ends by SIGKILL a random number
of steps after the process told systemd that it is ready (15 %: a random time after the fork; new processes: a
random time after ready). More than half of the forked lives end within a step that is aimed at, the least hit of all, so that
every one has its turn in a short campaign too. Passes last longer than many lives, and in every fourth life the wall clock jumps. The
sensor, the ground and the judge are here and never die. A life flies with the usual `[coding] mode`, with
`learned` or with a greatest error, so that one state holds tiles of all kinds and contexts between them. Where the kills
landed is read from shared memory (`marks`); too few accepted frames, or kills in too few places, fail the campaign as much
as a lost frame does.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.downlink.budget import Budget, Pass, format_budget
from swathpack.edge.stream.quality import PREDICTIVE, TRANSFORM
from swathpack.hil_tests.promises.killed_board import Board
from swathpack.hil_tests.promises.marks import STEPS, Marks
from swathpack.hil_tests.promises.watcher import MAX_ERROR, START, Watcher

PASS_S, BUDGET = 6.0, 90_000
FINAL_BUDGET = 20_000_000
PATIENCE_S = 600.0  # without anything new at the ground, in the end
LONGEST_S = 15.0  # half a life, on a machine that is busy with something else
STEPS_IN_LIFE = 120  # before and after a jump of the clock; a frame makes about 40
COLD_EVERY, JUMP_EVERY = 6, 4
AIMED = 0.6  # of the forked lives without a jump
AT_START = ("opening state and queue", "adopting frames")  # over before the process is ready
# What a life is told of coding, drawn.
LIVES = {"auto": 'mode = "auto"', "learned": 'mode = "learned"', "exact": f"max_error = {MAX_ERROR}"}
MISSION = """
state = "state"
[source]
path = "inbox"
settle_s = 0.0
[uplink]
key_file = "key"
[passes]
{passes}
patience = 3
[context]
slots = 1024
slot_bytes = 16384
[coding]
tile = 64
canary_s = {canary}
prefetch = 8
{how}
[limits]
min_free_mb = 0
ballast_mb = 1
work_tiles = 60
keep_passes = 100000
[link]
packet_bytes = 512
reserve_bytes = 8192
"""


@dataclass
class KillResult:
    """What the kills hit, what arrived, and how fast lives began, over the whole campaign."""

    codec: str
    kills: int = 0
    cold: int = 0  # of them, of a new `python -m swathpack.edge`
    ended_otherwise: int = 0
    inside: Counter[str] = field(default_factory=Counter)  # kills by the step they landed in
    done: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    jumps: int = 0
    resumed: int = 0  # passes that went on in another life
    passes: int = 0
    over_budget: int = 0
    accepted: int = 0
    lost: int = 0  # accepted tile-frames not at the ground to all layers in the end
    wrong: int = 0
    at_ground: int = 0
    transform: int = 0  # tile-frames at the ground without the network
    exact: int = 0  # of them, within a greatest error
    inter: int = 0  # segments coded against context
    unknown: int = 0  # segments received whose context the ground lacked at that time
    packets: int = 0
    exit_code: int | None = None
    start_s: list[float] = field(default_factory=list)  # from the fork or the exec to READY
    cold_start_s: list[float] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """Promises that were broken."""
        counts = {
            "ended otherwise": self.ended_otherwise,
            "over budget": self.over_budget,
            "tile-frames lost": self.lost,
            "wrong": self.wrong,
            "coded against unknown context": self.unknown,
            "queue found corrupt": self.events["queue_corrupt"],
            "stage failed": self.events["stage_failed"],
            "graceful stop": self.exit_code != 0,
        }
        return [f"{name}: {int(count)}" for name, count in counts.items() if count]

    @property
    def idle(self) -> list[str]:
        """Ways in which the campaign did not bite."""
        needed = {
            "frames accepted": (self.accepted, self.kills),
            "tile-frames at the ground": (self.at_ground, 4 * self.kills),
            "kills inside a step": (sum(self.inside.values()), self.kills // 2),
            "steps hit": (len(self.inside), min(len(STEPS) - 4, self.kills // 4)),
            "segments against context": (self.inter, self.kills),
            "passes resumed": (self.resumed, self.kills // 10),
            "clock jumps told of": (self.events["clock_jump"], self.jumps // 3),
        }
        if self.codec == "edge":
            needed["tile-frames without the network"] = (self.transform, self.kills // 4)
            needed["tile-frames within a greatest error"] = (self.exact, self.kills // 4)
        return [f"{name}: {found}, expected {least}" for name, (found, least) in needed.items() if found < least]


def campaign(folder: Path, kills: int, codec: str = "fake", seed: int = 1, minutes: float = 1e9) -> KillResult:
    """So many kills, fewer when the minutes are over before; then the rest is sent and judged."""
    end = time.monotonic() + 60 * minutes
    rng, result = random.Random(seed), KillResult(codec)
    marks, watcher = Marks(), Watcher(folder, codec, BUDGET)
    board = Board(folder, codec, marks, watcher)
    configs = _missions(folder, kills)
    for quality in (0, TRANSFORM, PREDICTIVE):  # loads what the codec loads late, so that no life has to
        watcher.code(TileKey(0, START), quality)
    before = -1
    while result.kills < kills and time.monotonic() < end:
        _one_life(board, rng.choice(configs), rng, result)
        _tell(result, watcher)
        number = watcher.hear_all()
        result.resumed += number == before and number >= 0
        before = number
    _finish(folder, board, result)
    result.done = marks.done()
    board.close()
    return result


def _tell(result: KillResult, watcher: Watcher) -> None:
    if result.kills % 10 == 0:
        sys.stderr.write(f"\r{result.kills} kills, {watcher.packets} packets ")
        sys.stderr.flush()


def _missions(folder: Path, kills: int) -> list[Path]:
    """The missions of the lives, one for each way to code, with passes back to back; the last life has its own with large ones."""
    now = time.time() - 70 * PASS_S
    rate = BUDGET / PASS_S
    passes = [
        Pass(i, "sat", "station", now + i * PASS_S, now + (i + 1) * PASS_S, BUDGET, (0.0,), (rate,))
        for i in range(140 + 3 * kills)
    ]
    (folder / "budget.toml").write_text(format_budget(Budget("kill", "", 1, tuple(passes))))
    # Seldom a canary in between: a check takes two seconds on a busy machine, and every few tiles have one of their own.
    final = MISSION.format(passes=f"bytes = {FINAL_BUDGET}\nevery_s = 5.0", how=LIVES["auto"], canary=60.0)
    (folder / "final.toml").write_text(final)
    for name, how in LIVES.items():
        text = MISSION.format(passes='budget = "budget.toml"\npaced = true', how=how, canary=2.0)
        (folder / f"{name}.toml").write_text(text)
    return [folder / f"{name}.toml" for name in LIVES]


def _one_life(board: Board, config: Path, rng: random.Random, result: KillResult) -> None:
    cold = board.codec == "edge" and result.kills % COLD_EVERY == 0
    jump = 0.0
    if result.kills % JUMP_EVERY == 1 and not cold:
        jump = rng.choice((-1, 1)) * rng.uniform(3.0, 200.0)
    board.marks.wall_offset = rng.uniform(-20.0, 20.0) if jump else 0.0
    started = time.monotonic()
    board.start(config, cold)
    if not cold and not jump and rng.random() < AIMED:
        _aim(board, rng, result.inside)
    elif rng.random() < 0.15:
        board.run(rng.uniform(0.0, 4.0 if cold else 0.5))
    elif not board.run(60.0, stop_when_ready=True):
        (result.cold_start_s if cold else result.start_s).append(time.monotonic() - started)
        board.run(1.0 if cold else LONGEST_S, steps=rng.randrange(STEPS_IN_LIFE))
        board.marks.wall_offset += jump
        result.jumps += bool(jump)
        board.run(rng.uniform(0.0, 1.5) if cold else LONGEST_S, steps=rng.randrange(STEPS_IN_LIFE))
        time.sleep(rng.uniform(0.0, 0.01))
    result.ended_otherwise += not board.kill()
    result.kills += 1
    result.cold += cold
    for step in board.marks.inside():
        result.inside[step] += 1


def _aim(board: Board, rng: random.Random, inside: Counter[str]) -> None:
    """Let it run until it is within the step that the fewest kills hit, and up to two milliseconds on."""
    fewest = min(inside[name] for name, _, _ in STEPS)
    step = rng.choice([name for name, _, _ in STEPS if inside[name] == fewest])
    if step not in AT_START and not board.run(60.0, stop_when_ready=True):
        board.run(LONGEST_S, steps=rng.randrange(STEPS_IN_LIFE))
    board.run(LONGEST_S, until=step)
    time.sleep(rng.choice((0.0, rng.uniform(0.0, 0.002))))


def _finish(folder: Path, board: Board, result: KillResult) -> None:
    """After the last kill: large passes until everything accepted is down; then compare."""
    board.marks.wall_offset = 0.0
    watcher = board.watcher
    watcher.budget = FINAL_BUDGET
    board.start(folder / "final.toml", cold=False)
    give_up, fewest = time.monotonic() + PATIENCE_S, 1 << 40
    wanted = accepted(folder)
    while time.monotonic() < give_up and board.run(2.0, sensor=False):
        wanted = accepted(folder) | {path.stem for path in (folder / "inbox").glob("*.swf")}
        missing = len(watcher.missing(wanted))
        if not missing:
            break
        if missing < fewest:  # a busy machine is slow, and what still comes is not lost
            give_up, fewest = time.monotonic() + PATIENCE_S, missing
    result.exit_code = board.stop()
    watcher.hear_all()
    result.events = log_counts(folder)
    result.accepted, result.lost = len(wanted), len(watcher.missing(wanted))
    result.passes, result.over_budget = watcher.passes, watcher.over_budget
    result.unknown, result.packets = watcher.unknown, watcher.packets
    found = watcher.judge()
    result.at_ground, result.wrong, result.inter = found.held, found.wrong, found.inter
    result.transform, result.exact = found.transform, found.exact


def accepted(folder: Path) -> set[str]:
    """Frames whose acceptance was told of, in the log (written after the commit) or to the sensor."""
    names = {path.stem for path in (folder / "inbox" / "done").glob("*.swf")}
    for event in _log(folder):
        if event.get("event") == "frame_accepted":
            names.add(event["frame"])
    return names


def log_counts(folder: Path) -> Counter[str]:
    """Events of all lives."""
    return Counter(str(event["event"]) for event in _log(folder) if "event" in event)


def _log(folder: Path) -> Iterator[dict[str, Any]]:
    for path in (folder / "state" / "log").glob("events.jsonl*"):
        for line in path.read_text(errors="replace").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue  # the line that was being written when the process was killed


def report(r: KillResult) -> str:
    """All counts in a few lines, and what was broken or never hit."""
    told = {k: n for k, n in sorted(r.events.items()) if any(w in k for w in ("corrupt", "fail", "reject", "mismatch"))}
    seen = {k: r.events[k] for k in ("started", "frame_duplicate", "clock_jump", "report_applied", "refresh_wanted")}
    starts = sorted(r.start_s) or [0.0]
    cold = sorted(r.cold_start_s)
    lines = [
        f"kills with the {r.codec} codec: {r.kills}, {r.cold} of them of a new `python -m swathpack.edge`; "
        f"processes that ended otherwise {r.ended_otherwise}; the last stopped by SIGTERM with code {r.exit_code}"
    ]
    lines += [
        f"  killed while {step:30} {r.inside[step]:5}   done in all lives {r.done[step]:7}" for step, _, _ in STEPS
    ]
    lines += [
        f"frames accepted {r.accepted} ({4 * r.accepted} tile-frames): lost {r.lost}; at the ground {r.at_ground} "
        f"({r.transform} without the network, {r.exact} of them exact), wrong {r.wrong}; segments {r.inter} against context, "
        f"{r.unknown} against context that the ground lacked",
        f"passes {r.passes} ({r.packets} packets), resumed in another life {r.resumed}, over budget {r.over_budget}",
        f"clock jumps {r.jumps}; told in the logs: {seen}; trouble: {told or 'none'}",
        f"start to READY: median {starts[len(starts) // 2]:.2f} s, longest {starts[-1]:.2f} s (forked)"
        + (f"; new process median {cold[len(cold) // 2]:.2f} s, longest {cold[-1]:.2f} s" if cold else ""),
        f"broken: {r.broken or 'nothing'}; did not bite: {r.idle or 'bit everywhere'}",
    ]
    return "\n".join(lines)


def main(folder: Path, size: int | None, codec: str) -> tuple[str, bool]:
    result = campaign(folder, size or (300 if codec == "fake" else 60), codec)
    return report(result), not (result.broken or result.idle)
