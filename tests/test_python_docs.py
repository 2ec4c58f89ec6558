"""The examples of docs/python.md, run from top to bottom in an empty folder."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import swathpack

TEXT = (Path(__file__).resolve().parent.parent / "docs/python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_examples_do_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parser, names, said = doctest.DocTestParser(), {}, []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for number, block in enumerate(BLOCKS):
        if "evaluate_plan" in block:
            pytest.importorskip("skyfield")
        test = parser.get_doctest(block, names, f"block {number}", "docs/python.md", 0)
        assert test.examples, block
        runner.run(test, out=said.append, clear_globs=False)
        names = test.globs
    assert runner.failures == 0, "".join(said)
    assert len(BLOCKS) > 8


def test_every_public_name_is_in_the_docs() -> None:
    assert [name for name in swathpack.__all__ if name not in TEXT and name != "__version__"] == []
