"""The power goes at every write, rename and sync in turn: after each cut the old state is there or the new one.

    python -m swathpack.hil_tests.promises powercut [--size N]      every N-th operation of each part, default 1: all

Each part (`powercut_parts`) does its work in a process with the simulated disk preloaded. At every operation it is
killed once with the power on, once with all that was not synced lost, and once with a random half of it lost and the last
write torn. Then the part says what is there: the state before the step that was cut or the one behind it. Prints a line
per part: operations, cuts tried, cuts that took something back, and what was neither.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import swathpack
from swathpack.hil_tests.promises.powercut_base import Part
from swathpack.hil_tests.promises.powercut_parts import CARELESS, PARTS
from swathpack.hil_tests.simulation import disk

ROOT = Path(swathpack.__file__).parents[1]
MODES = (("killed", 1.0, False), ("all lost", 0.0, False), ("half lost", 0.5, True))
MANY = 1 << 40


@dataclass
class PartResult:
    """operations: of one undisturbed run. cuts: tried. bit: of them, those that took something back."""

    name: str
    operations: int = 0
    cuts: int = 0
    bit: int = 0
    old: int = 0  # cuts after which the step that was cut had not happened
    new: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Never wrong, and cuts bit, with both the old and the new state seen."""
        return not self.wrong and self.cuts > 0 and self.bit > 0 and self.old > 0 and self.new > 0


def campaign(folder: Path, every: int = 1, names: Iterable[str] = ()) -> list[PartResult]:
    """Run the parts in a process with the disk preloaded. Raises RuntimeError without a C compiler."""
    library = disk.build(folder)
    if library is None:
        raise RuntimeError("no C compiler here")
    words = [sys.executable, "-m", "swathpack.hil_tests.promises.powercut", str(folder), str(every), *names]
    environment = {**os.environ, "LD_PRELOAD": str(library.resolve()), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"the campaign's process ended with {done.returncode}")
    return [PartResult(**json.loads(line)) for line in done.stdout.splitlines()]


def run_part(part: Part, folder: Path, every: int) -> PartResult:
    """All cuts of one part."""
    result = PartResult(part.name)
    start = folder / "start"
    start.mkdir()
    part.prepare(start)
    result.operations = _count(part, start, folder)
    for at in range(1, result.operations + 1, every):
        for turn, (how, keep, torn) in enumerate(MODES):
            if every == 1 or turn == at // every % len(MODES):
                _one_cut(part, start, folder, (at, how, keep, torn), result)
    return result


def _count(part: Part, start: Path, folder: Path) -> int:
    """Operations of an undisturbed run, which must be judged new."""
    work = _copy(start, folder)
    steps, status, operations = _child(part, work, MANY, False, None)
    if status:
        raise RuntimeError(f"{part.name}: the undisturbed run ended with {status}")
    verdict = part.judge(work, steps)
    if verdict != "new":
        raise RuntimeError(f"{part.name}: the undisturbed run is {verdict}")
    return operations


def _one_cut(part: Part, start: Path, folder: Path, cut: tuple[int, str, float, bool], result: PartResult) -> None:
    at, how, keep, torn = cut
    work, journal = _copy(start, folder), folder / "journal"
    steps, status, _ = _child(part, work, at, torn, journal)
    if status != -signal.SIGKILL:
        result.wrong.append(f"cut {at}: ended with {status} before it")
        return
    undone = disk.lose_power(journal, random.Random(at), keep)
    result.cuts, result.bit = result.cuts + 1, result.bit + (undone > 0)
    try:
        verdict = part.judge(work, steps)
    except Exception as error:  # whatever the part's own code raises at a state that it must be able to read
        verdict = f"{type(error).__name__}: {error}; {traceback.format_exc().splitlines()[-3].strip()}"
    result.old, result.new = result.old + (verdict == "old"), result.new + (verdict == "new")
    if verdict not in ("old", "new"):
        result.wrong.append(f"cut {at}, {how}, behind step {steps}: {verdict}")


def _copy(start: Path, folder: Path) -> Path:
    """A fresh copy of the state before; always under the same name, since files hold links to each other."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(start, work, symlinks=True)
    return work


def _child(part: Part, work: Path, after: int, torn: bool, journal: Path | None) -> tuple[int, int, int]:
    """Run the part in a fork with the disk armed: (steps done, exit status, operations)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _life(part, work, after, torn, journal, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    steps, _, operations = said.partition(b"=")
    return len(steps), status, int(operations or 0)


def _life(part: Part, work: Path, after: int, torn: bool, journal: Path | None, writer: int) -> None:
    """The child: never returns. A dot goes to the pipe for every step done, and the count of operations at the end."""
    code = 1
    try:
        handle = disk.Disk(work)
        begun = handle.operations
        handle.arm(after, torn, journal)
        for _ in part.work(work):
            os.write(writer, b".")
        os.write(writer, b"=%d" % (handle.operations - begun))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def main(folder: Path, size: int | None, codec: str) -> tuple[str, bool]:
    results = campaign(folder, size or 1)
    return report(results), all(result.good for result in results)


def report(results: list[PartResult]) -> str:
    """A line for every part, and what was neither old nor new."""
    lines = ["part             operations   cuts   took back    old    new   neither"]
    for r in results:
        lines.append(f"{r.name:16} {r.operations:10} {r.cuts:6} {r.bit:11} {r.old:6} {r.new:6} {len(r.wrong):9}")
        lines += [f"    {one[:300]}" for one in r.wrong[:6]]
    cuts, wrong = sum(r.cuts for r in results), sum(len(r.wrong) for r in results)
    return "\n".join([*lines, f"{cuts} cuts, {wrong} left neither the old state nor the new one"])


def worker(words: list[str]) -> int:
    """The process under the library: a line of JSON per part."""
    folder, every, names = Path(words[0]), int(words[1]), words[2:]
    for part in (*PARTS, *CARELESS):
        if part.name in names or (not names and part in PARTS):
            with tempfile.TemporaryDirectory(dir=folder) as name:
                result = run_part(part, Path(name).resolve(), every)
            sys.stderr.write(f"{part.name}: {result.cuts} cuts\n")
            sys.stdout.write(json.dumps(asdict(result)) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(worker(sys.argv[1:]))
