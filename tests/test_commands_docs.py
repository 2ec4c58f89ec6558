"""docs/commands.md and the code have the same exit codes."""

from __future__ import annotations

import re
from pathlib import Path

from swathpack.tools import errors

DOCS = Path(__file__).resolve().parent.parent / "docs"


def test_every_exit_code_is_in_the_table_once() -> None:
    named = [
        int(n) for n in re.findall(r"^\| (\d+) \|", (DOCS / "commands.md").read_text(encoding="utf-8"), re.MULTILINE)
    ]
    used = {value for name, value in vars(errors).items() if name.isupper()}
    assert sorted(named) == sorted(used)
