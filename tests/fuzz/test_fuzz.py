"""The committed corpus through every parser; ten minutes of coverage-guided fuzzing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import SECONDS, fuzz, report
from tests.fuzz.targets import CORPUS, slug, targets

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


def test_the_corpus_is_small_and_of_known_parsers():
    """A parser that no campaign has found inputs for yet goes through its seeds alone."""
    files = [p for p in CORPUS.rglob("*") if p.is_file()]
    assert files and {p.parent.name for p in files} <= {slug(t.name) for t in targets()}
    assert sum(p.stat().st_size for p in files) < 400_000 and len(files) < 3000


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed here")
def test_ten_minutes_of_fuzzing():
    names = [t.name for t in targets()]
    found = [fuzz(name, SECONDS / len(names)) for name in names]
    assert not any(f.failure for f in found), report(found)
    assert all(f.inputs > 100 and f.coverage > 5 for f in found), report(found)
