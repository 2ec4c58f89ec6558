"""Commands of docs/inputs.md have the options they are shown with."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from swathpack.tools.cli import build_parser

PAGE = Path(__file__).resolve().parents[4] / "docs" / "inputs.md"
COMMANDS = re.findall(r"^    swathpack (\w.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_parse(line: str) -> None:
    words = shlex.split(line.split("  #")[0])
    assert build_parser(words[0]).parse_args(words).command == words[0]


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 5
