"""The ground under fire: hostile files and packets in a process whose address space is limited to 1 GB.

    python -m swathpack.hil_tests.promises hostile --size 100000      so many files, and half as many packets

Every file goes through `inspect` and `decompress`, every pass of 200 packets through `receive` into one store, with
`--list`, `--images` and `--drop` between: 10,000 files a process, the model loaded once in each, so that what grows is seen.
Fails on a traceback, on a command that ran out of memory, on an output or a store that is out of
proportion. The worker tells after every pass where it stands: progress goes to the error output, and a worker that was
ended, by a signal or from outside, still gives figures of what it did, and counts as a failure.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import swathpack

LIMIT_MB = 1024
PACKETS_A_PASS, FILES_A_PASS = 200, 400  # that come after it
A_PROCESS = 10_000  # files
PROGRESS_S = 60.0
TARGETS = ("out.npz", "out.npz", "dates", "out.npz", "out.npz", "dates", "out.nc", "out.zarr")
MAX_PIXELS = 1 << 22  # larger ones are refused: the limit is what is tried, not the speed of the disk
MOST_OUTPUT = 64 << 20
STORE_RATIO = 60  # bytes of the store for each byte of packets: a row for every forged number


@dataclass
class Outcome:
    """wanted: files asked for. codes: exit codes by command. peak_mb: most address space; rss_mb: most of it in memory."""

    wanted: int = 0
    files: int = 0
    packets: int = 0
    file_bytes: int = 0
    packet_bytes: int = 0
    store_bytes: int = 0
    largest_output: int = 0
    slowest_s: float = 0.0
    peak_mb: int = 0
    base_mb: int = 0
    rss_mb: int = 0
    cpu_s: float = 0.0
    codes: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """No failure, every file that was asked for tried, and the address space kept within its limit."""
        return not self.failures and self.files == self.wanted and self.peak_mb <= LIMIT_MB

    def plus(self, more: Outcome) -> Outcome:
        """Of this and of what came after it."""
        added = {f: getattr(self, f) + getattr(more, f) for f in _ADDED}
        most = {f: max(getattr(self, f), getattr(more, f)) for f in _MOST}
        codes = dict(Counter(self.codes) + Counter(more.codes))
        return Outcome(wanted=self.wanted, store_bytes=more.store_bytes, codes=codes, **added, **most)

    def text(self) -> str:
        """What is printed."""
        codes = ", ".join(f"{name} {count}" for name, count in sorted(self.codes.items()))
        lines = [
            f"{self.files} of {self.wanted} files ({self.file_bytes} bytes), "
            f"{self.packets} packets ({self.packet_bytes} bytes), {self.cpu_s:.0f} s of CPU",
            f"address space: {self.base_mb} MB before, most {self.peak_mb} MB, limit {LIMIT_MB} MB; "
            f"most in memory {self.rss_mb} MB",
            f"store {self.store_bytes} bytes, largest output {self.largest_output} bytes, slowest {self.slowest_s:.1f} s of CPU",
            f"exit codes: {codes}",
            f"tracebacks, refusals for want of memory, outputs out of proportion: {len(self.failures)}",
        ]
        return "\n".join(lines + self.failures[:5])


_ADDED = ("files", "packets", "file_bytes", "packet_bytes", "cpu_s", "failures")
_MOST = ("largest_output", "slowest_s", "peak_mb", "base_mb", "rss_mb")


class Range:
    """The commands in this process, the model loaded once."""

    def __init__(self, folder: Path, seed: int) -> None:
        from swathpack.hil_tests.promises.hostile_inputs import Real
        from swathpack.tools import cli
        from swathpack.tools.files.models import open_model

        self.folder, self.rng, self.out = folder, random.Random(seed), Outcome()
        self.real = Real.of(open_model())  # the one that the commands open
        cli.build_parser = functools.cache(cli.build_parser)  # the same for every file; a third of the time
        self.codes: Counter[str] = Counter()

    def run(self, *words: object) -> None:
        """One command; anything but an exit code in words is a failure."""
        from swathpack.tools.cli import main

        said, start = io.StringIO(), time.process_time()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                code = main([str(w) for w in words])
        except BaseException:
            self.fail(words, traceback.format_exc()[-1500:])
            return
        self.out.slowest_s = max(self.out.slowest_s, time.process_time() - start)
        self.codes[f"{words[0]} {code}"] += 1
        if code not in (0, 1, 2, 3) or "not enough memory" in said.getvalue():
            self.fail(words, said.getvalue()[-500:])

    def fail(self, words: tuple[object, ...], message: str) -> None:
        """Note what a command did that it must not do."""
        self.out.failures.append(f"{' '.join(map(str, words))}: {message}")

    def file(self) -> None:
        """One hostile file."""
        from swathpack.hil_tests.promises.hostile_inputs import FILES

        data = self.rng.choice(FILES)(self.real, self.rng)
        path = self.folder / "hostile.swp"
        path.write_bytes(data)
        self.run("inspect", path, *(["--json"] if self.rng.random() < 0.5 else []))
        target = self.folder / self.rng.choice(TARGETS)
        self.run("decompress", path, "-o", target, "--force", "--max-pixels", MAX_PIXELS)
        self.out.largest_output = max(self.out.largest_output, _size(target))
        if _size(target) > MOST_OUTPUT:
            self.fail(("decompress",), f"{_size(target)} bytes of output for {len(data)}: {data[:200].hex()}")
        _clear(target)
        self.out.files, self.out.file_bytes = self.out.files + 1, self.out.file_bytes + len(data)

    def one_pass(self, number: int, packets: int) -> None:
        """One hostile pass into the store."""
        from swathpack.hil_tests.promises.hostile_inputs import hostile_pass

        data = hostile_pass(self.real, self.rng, packets, number)
        path, store = self.folder / f"pass-{number:06d}.bin", ("--store", self.folder / "ground.db")
        path.write_bytes(data)
        self.run("receive", path, *store, *self.reports())
        path.unlink()
        if number % 10 == 9:
            self.run("receive", *store, "--list")
        if number % 50 == 0:
            self.run("receive", *store, "--images", self.folder / "images", "--max-pixels", MAX_PIXELS)
            _clear(self.folder / "images")
            self.run("receive", *store, "--drop", self.rng.choice(("0", "unread", "0/255/255", "9999", "x/y")))
        self.out.packets, self.out.packet_bytes = self.out.packets + packets, self.out.packet_bytes + len(data)

    def reports(self) -> list[object]:
        """Options that ask for reports."""
        return ["--reports", self.folder / "reports", "--insecure"]

    def result(self) -> Outcome:
        """All there is to tell so far."""
        out = self.out
        out.store_bytes = sum(p.stat().st_size for p in self.folder.glob("ground.db*"))
        out.codes, out.cpu_s = dict(self.codes), time.process_time()
        out.peak_mb, out.rss_mb = _memory("VmPeak"), _memory("VmHWM")
        return out


def work(folder: Path, first: int, size: int, seed: int) -> Iterator[Outcome]:
    """The worker: files [first, first + size) in this process, under the limit; where it stands after every pass and the files
    behind it.
    """
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_MB << 20, LIMIT_MB << 20))
    under_fire = Range(folder, seed + first)
    under_fire.out.base_mb = _memory("VmSize")
    for at in range(first, first + size, FILES_A_PASS):
        under_fire.one_pass(at // FILES_A_PASS, PACKETS_A_PASS)
        for _ in range(min(FILES_A_PASS, first + size - at)):
            under_fire.file()
        yield under_fire.result()


def campaign(folder: Path, size: int, seed: int = 1) -> Outcome:
    """Run the workers one after another, each in a process of its own, all on one store."""
    total, seen = Outcome(wanted=size), _Watcher()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for first in range(0, size, A_PROCESS):
            count, before = min(A_PROCESS, size - first), total
            for so_far in _process(Path(place), first, count, seed):
                total = before.plus(so_far)
                seen.show(total)
            if total.store_bytes > STORE_RATIO * total.packet_bytes + (1 << 20):
                total.failures.append(f"a store of {total.store_bytes} bytes from {total.packet_bytes} of packets")
            if total.files < first + count:
                break
    return total


def _process(folder: Path, first: int, count: int, seed: int) -> Iterator[Outcome]:
    """What one worker tells, and last, if it was ended, how."""
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-m", "swathpack.hil_tests.promises.hostile", *map(str, (folder, first, count, seed))]
    told, root = Outcome(), Path(swathpack.__file__).parents[1]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, text=True, env=os.environ | one, cwd=root
        ) as run,
    ):
        try:
            for told in _heard(run):
                yield told
        except KeyboardInterrupt:
            run.terminate()
        if run.wait():
            said.seek(0)
            end = said.read()[-2000:].decode(errors="replace")
            told.failures.append(f"the process ended with {run.returncode} after file {first + told.files}: {end}")
            yield told


def _heard(run: subprocess.Popen[str]) -> Iterator[Outcome]:
    for line in run.stdout or ():
        yield Outcome(**json.loads(line))


class _Watcher:
    """A line now and then, and every failure, for whoever watches."""

    def __init__(self) -> None:
        self._shown, self._failures = time.monotonic(), 0

    def show(self, told: Outcome) -> None:
        if time.monotonic() - self._shown < PROGRESS_S:
            return
        sys.stderr.write(
            f"{told.files} of {told.wanted} files, {told.packets} packets, {told.cpu_s:.0f} s of CPU, most "
            f"{told.peak_mb} MB, {len(told.failures)} failures\n" + "".join(told.failures[self._failures :])
        )
        self._shown, self._failures = time.monotonic(), len(told.failures)


def main(folder: Path, size: int | None, codec: str) -> tuple[str, bool]:
    for ending in (signal.SIGINT, signal.SIGTERM):  # also where the shell had it ignored
        signal.signal(ending, signal.default_int_handler)
    outcome = campaign(folder, size or 100_000)
    return outcome.text(), outcome.good


def _memory(what: str) -> int:
    """A line of this process's status, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) // 1024
    return 0


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(p.stat().st_size for p in path.rglob("*"))
    return path.stat().st_size if path.exists() else 0


def _clear(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


if __name__ == "__main__":
    for so_far in work(Path(sys.argv[1]), *map(int, sys.argv[2:])):
        print(json.dumps(asdict(so_far)), flush=True)
