"""`python -m tests.parts [ARGUMENT OF PYTEST ...]`: the tests as several runs of pytest, as many at a time as `--jobs` says.

`--also NAME=COMMAND` runs a command beside them, before all. What a part prints is shown whole when it ends, and at the end
what failed and one line of each part: how it ended, CPU seconds with all its children, seconds by the clock, memory of its
largest process. Exit code 1 when any part fails. Arguments that name a path run in one process, as pytest does.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
# In an order in which two processes end at nearly the same time, by the CPU seconds of the closing table. A folder stands
# before the one that holds it, and what no part names is the last one.
PARTS = {
    "campaigns": ("tests/hil_tests", "tests/fuzz"),
    "files": ("tests/tools/files",),
    "edge codec": ("tests/edge/codec",),
    "flight": ("tests/edge",),
    "commands": ("tests/tools/commands",),
    "training": ("tests/codec", "tests/calibration", "tests/export"),
    "tools": ("tests/tools",),
    "rest": ("tests",),
}
TAKE_A_WORD = ("-c", "-k", "-m", "-o", "-p", "-r", "-W")
WAIT_S = 20  # for a part that was asked to end
NONE_CHOSEN = 5  # pytest's exit code where no test was selected, as `-k` may do to a part


@dataclass
class Part:
    """A command that runs, and where its output goes."""

    name: str
    process: subprocess.Popen[str]
    output: IO[str]
    begun: float

    def said(self) -> str:
        """Its output."""
        self.output.seek(0)
        return self.output.read()

    def ended(self) -> Ended | None:
        """How it ended; None while it runs."""
        found, status, used = os.wait4(self.process.pid, os.WNOHANG)
        if not found:
            return None
        self.process.returncode = os.waitstatus_to_exitcode(status)
        text, clock = self.said(), time.monotonic() - self.begun
        return Ended(
            self.name, self.process.returncode, text, used.ru_utime + used.ru_stime, clock, used.ru_maxrss >> 10
        )


@dataclass(frozen=True)
class Ended:
    """code: exit code, negative for a signal. cpu_s, clock_s: seconds. memory_mb: the largest process."""

    name: str
    code: int
    text: str
    cpu_s: float
    clock_s: float
    memory_mb: int

    @property
    def failed(self) -> bool:
        """Whether its exit code says so."""
        return self.code not in (0, NONE_CHOSEN)

    @property
    def line(self) -> str:
        """One line of the closing table."""
        last = next((line for line in reversed(self.text.splitlines()) if line.strip()), "").strip("= ")
        said = f"exit code {self.code}: {last}" if self.failed else last or "passed"
        return f"{self.name:<12} {self.cpu_s:6.0f} s CPU {self.clock_s:6.0f} s {self.memory_mb:6d} MB  {said}"

    @property
    def complaints(self) -> list[str]:
        """What pytest's short summary names."""
        return [line for line in self.text.splitlines() if line.startswith(("FAILED ", "ERROR "))]


def commands(arguments: Sequence[str], parts: dict[str, tuple[str, ...]] = PARTS) -> dict[str, list[str]]:
    """pytest's command of each part. A path of the caller's stands for all parts."""
    after = zip(arguments, ("", *arguments))
    if any(
        a not in TAKE_A_WORD and w[:1] not in ("", "-") and (ROOT / w.partition("::")[0]).exists() for w, a in after
    ):
        return {"chosen": [sys.executable, "-m", "pytest", *arguments]}
    found, before = {}, list[str]()
    for name, paths in parts.items():
        within = [p for p in before if any(Path(path) in Path(p).parents for path in paths)]
        cache = f"cache_dir=.pytest_cache/{name.replace(' ', '-')}"
        leave = [f"--ignore={p}" for p in within]
        found[name] = [sys.executable, "-m", "pytest", "-o", cache, *paths, *leave, *arguments]
        before += paths
    return found


def begin(name: str, command: list[str]) -> Part:
    """Start a command; its output waits in a file, so that no other's comes between. It keeps what it compiles, whatever the caller's
    environment says: hundreds of processes of the tests would else compile all that they import anew, half a second each.
    """
    output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Part(name, process, output, time.monotonic())


def run(waiting: dict[str, list[str]], jobs: int, stop: bool = False) -> Generator[Ended, None, None]:
    """Each part as it ends. stop: begin no more once one has failed. What still runs when the caller leaves is ended."""
    running: list[Part] = []
    names = list(waiting)
    try:
        while names or running:
            while names and len(running) < jobs:
                running.append(begin(names[0], waiting[names.pop(0)]))
                print(f"begun: {running[-1].name}", flush=True)
            ends = [(part, part.ended()) for part in running]
            for part, end in ends:
                if end is not None:
                    running.remove(part)
                    names = [] if stop and end.failed else names
                    yield end
            if all(end is None for _, end in ends):
                time.sleep(0.1)
    finally:
        for part in running:
            part.process.send_signal(signal.SIGINT)
        end = time.monotonic() + WAIT_S
        for part in running:
            try:
                part.process.wait(max(end - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                part.process.kill()
                part.process.wait()
            print(f"\n===== {part.name}, not ended\n{part.said()}", flush=True)


def report(ends: list[Ended], clock_s: float) -> None:
    """What failed, and one line of each part."""
    print(f"\n===== all parts: {clock_s:.0f} s by the clock")
    print(*(line for end in ends for line in end.complaints), *(end.line for end in ends), sep="\n")


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _jobs(word: str) -> int:
    """Raises ArgumentTypeError: with none at a time nothing would ever end."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 process or more, found {word}")
    return int(word)


def _beside(word: str) -> tuple[str, list[str]]:
    """NAME=COMMAND. Raises ArgumentTypeError."""
    name, _, text = word.partition("=")
    try:
        command = shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{word}: {error}") from error
    if not name or not command or shutil.which(command[0]) is None:
        raise argparse.ArgumentTypeError(f"expected NAME=COMMAND of a program that is there, found {word}")
    return name, command


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False, usage="%(prog)s [ARGUMENT OF PYTEST ...]")
    parser.add_argument("--jobs", type=_jobs, default=2, help="processes at a time")
    parser.add_argument(
        "--also", type=_beside, action="append", default=[], metavar="NAME=COMMAND", help="a command beside the tests"
    )
    options, arguments = parser.parse_known_args(words)
    also = dict(options.also)
    signal.signal(signal.SIGTERM, _leave)
    start, ends = time.monotonic(), list[Ended]()
    try:
        with closing(run(also | commands(arguments), options.jobs, "-x" in arguments)) as parts:
            for end in parts:
                ends.append(end)
                print(f"\n===== {end.name}\n{end.text}", flush=True)
    except KeyboardInterrupt:
        print("interrupted")
        return 128 + signal.SIGINT
    finally:
        report(ends, time.monotonic() - start)
    chosen = any(end.code != NONE_CHOSEN for end in ends if end.name not in also)
    return int(any(end.failed for end in ends) or not chosen)


if __name__ == "__main__":
    sys.exit(main())
