"""See the package's docstring."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from swathpack.hil_tests.promises import fuzz as ours
from swathpack.hil_tests.promises.fuzz_targets import Target
from tests.fuzz.one import SELF
from tests.fuzz.targets import CORPUS, MOST_BYTES, slug, target_of, targets

ROOT = Path(__file__).parents[2]
SECONDS = 600
LEAST_INPUTS = 100  # that say anything; a target that did not get them in its time goes on
MOST_SHARES = 6  # of the time of a target
SLOWEST_S = 20  # of one input; machines that test are busy
MOST_MB = 1024


@dataclass(frozen=True)
class Found:
    """What became of a target. coverage: libFuzzer's count of edges reached. failure: the end of what it said."""

    name: str
    inputs: int
    coverage: int
    corpus: int
    failure: str = ""


def fuzz(name: str, seconds: float, keep: bool = False) -> Found:
    """Fuzz one target for a while from the committed corpus and the target's own seeds."""
    committed = CORPUS / slug(name)
    committed.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        fresh, seeds = Path(folder) / "fresh", Path(folder) / "seeds"
        fresh.mkdir()
        seeds.mkdir()
        options = [
            f"-max_total_time={max(round(seconds), 1)}",
            f"-max_len={MOST_BYTES}",
            f"-timeout={SLOWEST_S}",
            f"-rss_limit_mb={MOST_MB}",
            f"-artifact_prefix={folder}/",
            "-print_final_stats=1",
        ]
        code, said = nursery().run(name, [*options, str(fresh), str(committed), str(seeds)])
        if keep and code == 0:
            _merge(name, committed, [fresh, seeds])
        return _found(name, code, said, Path(folder))


class Nursery:
    """The process that forks for every run (`tests.fuzz.one`), started when first asked."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        again = Path(self._folder.name) / "again"
        again.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-m", "tests.fuzz.one"])} "$@"\n')
        again.chmod(0o755)
        self._log = Path(self._folder.name) / "log"
        self._again = again

    @functools.cached_property
    def _process(self) -> subprocess.Popen[str]:
        env = os.environ | {SELF: str(self._again)}
        noise = open(Path(self._folder.name) / "loading", "wb")  # noqa: SIM115 - what atheris says of every module
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": noise, "text": True}
        return subprocess.Popen([sys.executable, "-m", "tests.fuzz.one"], cwd=ROOT, env=env, **pipes)  # type: ignore[call-overload,no-any-return]

    def run(self, name: str, words: list[str]) -> tuple[int, str]:
        """(exit code, what was said) of a target with libFuzzer's options."""
        # libFuzzer starts the same again to merge, and knows only its own words: the name goes before them.
        self._again.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-m", "tests.fuzz.one", name])} "$@"\n')
        self._process.stdin.write(json.dumps([[name, *words], str(self._log)]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            said = (Path(self._folder.name) / "loading").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the process that fuzzes ended with {self._process.wait()}: {said}")
        return int(answer), self._log.read_text(errors="replace")


@functools.cache
def nursery() -> Nursery:
    """One for all targets."""
    return Nursery()


def _merge(name: str, committed: Path, others: list[Path]) -> None:
    """The smallest set of inputs that reaches what all of them reach."""
    with tempfile.TemporaryDirectory() as folder:
        least, seeds = Path(folder) / "least", Path(folder) / "seeds"
        least.mkdir()
        seeds.mkdir()
        nursery().run(name, ["-merge=1", f"-max_len={MOST_BYTES}", str(least), *map(str, [committed, *others, seeds])])
        if any(least.iterdir()):
            shutil.rmtree(committed)
            shutil.copytree(least, committed)


def _found(name: str, code: int, said: str, folder: Path) -> Found:
    coverage = [int(n) for n in re.findall(r" cov: (\d+) ", said)]
    corpus = [int(n) for n in re.findall(r" corp: (\d+)/", said)]
    inputs = re.search(r"number_of_executed_units: (\d+)", said)
    failure = ""
    if code:
        crash = next((p for p in folder.iterdir() if p.is_file()), None)
        shown = crash.read_bytes()[:200].hex() if crash else "no input kept"
        failure = f"exit code {code}, input {shown}\n{said[-3000:]}"
    return Found(name, int(inputs[1]) if inputs else 0, max(coverage, default=0), max(corpus, default=0), failure)


def report(found: list[Found]) -> str:
    """A table, and what failed."""
    lines = ["target                   inputs  coverage  corpus  failures"]
    for f in found:
        lines.append(f"{f.name:20} {f.inputs:10}  {f.coverage:8}  {f.corpus:6}  {int(bool(f.failure)):8}")
    lines.append(f"{sum(f.inputs for f in found)} inputs")
    return "\n".join(lines + [f"{f.name}: {f.failure}" for f in found if f.failure])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("names", nargs="*", help="targets (default: all)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="in all")
    parser.add_argument("--keep", action="store_true", help="take what was found into the committed corpus, minimised")
    args = parser.parse_args()
    names = args.names or [t.name for t in targets()]
    if not installed():
        sys.stderr.write("atheris is not installed here: a fuzzer of our own tries the parsers\n")
    found = fuzz_all(names, args.seconds, args.keep)
    print(report(found))
    return int(any(f.failure for f in found))


def installed() -> bool:
    """Whether this machine has atheris."""
    return importlib.util.find_spec("atheris") is not None


def fuzz_all(names: list[str], seconds: float, keep: bool = False) -> list[Found]:
    """So many seconds shared by these targets, with what there is to fuzz with."""
    share = seconds / len(names)
    if installed():
        return [enough(lambda name=name: fuzz(name, share, keep)) for name in names]  # type: ignore[misc]
    return [enough(lambda name=name: mutated(target_of(name), share)) for name in names]  # type: ignore[misc]


def enough(run: Callable[[], Found]) -> Found:
    """Run a target until it has had LEAST_INPUTS: what a busy machine does in a share of the time says little."""
    found = run()
    for _ in range(MOST_SHARES - 1):
        if found.failure or found.inputs > LEAST_INPUTS:
            break
        more = run()
        most = max(found.coverage, more.coverage), max(found.corpus, more.corpus)
        found = Found(found.name, found.inputs + more.inputs, *most, more.failure)
    return found


def mutated(target: Target, seconds: float) -> Found:
    """Fuzz one target with the campaign's fuzzer, from the same corpus. coverage: lines reached."""
    target.corpus = [p.read_bytes() for p in sorted((CORPUS / slug(target.name)).glob("*"))] + target.seeds
    ours.fuzz(target, seconds, random.Random(target.name), None, grow=True)
    return Found(target.name, target.runs, len(target.lines), len(target.corpus), "\n".join(target.failures[:5]))


if __name__ == "__main__":
    sys.exit(main())
