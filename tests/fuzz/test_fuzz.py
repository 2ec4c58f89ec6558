"""The committed corpus through every parser; ten minutes of coverage-guided fuzzing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from swathpack.hil_tests.promises.fuzz_targets import Target
from tests.fuzz.__main__ import LEAST_INPUTS, MOST_SHARES, SECONDS, Found, enough, fuzz_all, installed, mutated, report
from tests.fuzz.targets import CORPUS, slug, targets

pytestmark = pytest.mark.long

REPLAY = """
from tests.fuzz.targets import CORPUS, slug, targets
from tests.fuzz.unchecked import switch_off
switch_off()
for target in targets():
    inputs = [p.read_bytes() for p in sorted((CORPUS / slug(target.name)).glob("*"))]
    for data in [*inputs, *target.seeds]:
        try:
            target.call(data)
        except target.errors:
            pass
    print(target.name, len(inputs))
"""


def test_the_corpus_goes_through_every_parser():
    """In a process of its own, since checksums stay off."""
    done = subprocess.run([sys.executable, "-c", REPLAY], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == len(targets())


def test_the_corpus_is_small_and_of_every_parser():
    files = [p for p in CORPUS.rglob("*") if p.is_file()]
    assert {p.parent.name for p in files} == {slug(t.name) for t in targets()}
    assert sum(p.stat().st_size for p in files) < 400_000 and len(files) < 3000


@pytest.mark.slow
def test_ten_minutes_of_fuzzing():
    found = fuzz_all([t.name for t in targets()], SECONDS)
    assert not any(f.failure for f in found), report(found)
    assert all(f.inputs > LEAST_INPUTS for f in found), report(found)
    assert not installed() or all(f.coverage > 5 for f in found), report(found)


def test_a_target_that_got_few_inputs_goes_on_but_not_for_ever():
    shares = iter([Found("slow", 48, 9, 3), Found("slow", 60, 12, 2), Found("slow", 50, 9, 3)])
    assert enough(lambda: next(shares)) == Found("slow", 108, 12, 3)
    assert enough(lambda: Found("stuck", 1, 9, 3)).inputs == MOST_SHARES <= LEAST_INPUTS
    broken = iter([Found("slow", 48, 9, 3), Found("slow", 2, 9, 3, "a bug"), Found("slow", 60, 9, 3)])
    assert enough(lambda: next(broken)) == Found("slow", 50, 9, 3, "a bug")


def test_without_atheris_the_own_fuzzer_tries_the_same_parsers(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    names = ["pieces", "mask"]
    found = fuzz_all(names, 0.4)
    assert [f.name for f in found] == names
    assert all(f.inputs > 100 and not f.failure for f in found), report(found)


def test_the_own_fuzzer_tells_of_what_it_finds():
    def refuse(data: bytes) -> None:
        if b"\xff" in data:
            raise KeyError("a bug")

    found = mutated(Target("none", refuse, (ValueError,), [b"abcd" * 4], ()), 1.0)
    assert "KeyError: 'a bug'" in found.failure


BROKEN = """
import sys
from swathpack.hil_tests.promises.fuzz_targets import Target
from tests.fuzz import one, targets

def refuse(data):
    if data[:1] == b"\\xff":
        raise KeyError("a bug")

one.load()
targets.target_of = lambda name: Target(name, refuse, (ValueError,), [b"abcd"], ())
one.leave_at_once()
one.fuzz(["broken", "-max_total_time=60", f"-artifact_prefix={sys.argv[1]}/"])
"""


@pytest.mark.skipif(not installed(), reason="atheris is not installed here")
def test_what_libfuzzer_finds_ends_the_process_with_its_own_code(tmp_path):
    words = [sys.executable, "-c", BROKEN, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 77 and "KeyError: 'a bug'" in done.stderr + done.stdout, done.stderr[-2000:]
    assert [p.read_bytes()[:1] for p in tmp_path.iterdir()] == [b"\xff"]
