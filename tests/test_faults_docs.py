"""The tests that docs/flash.md names for each fault are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROWS = [line for line in (ROOT / "docs/flash.md").read_text().splitlines() if line.startswith("|") and "`test_" in line]


def named() -> list[tuple[str, str]]:
    """(file, test) of every row; `same` is the file of the row above."""
    found, file = [], ""
    for row in ROWS:
        for word in re.findall(r"`(tests/[\w/]+\.py|test_\w+)`", row):
            file = word if "/" in word else file
            found += [] if "/" in word else [(file, word)]
    return found


def test_every_test_that_is_named_exists():
    assert len(ROWS) >= 25
    missing = [f"{file}: {name}" for file, name in named() if f"def {name}(" not in (ROOT / file).read_text()]
    assert missing == []
