"""What the README names is there: make targets, commands with their options, files."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from swathpack.tools.cli import COMMANDS, build_parser

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\s*(?:\.venv/bin/)?swathpack (\w.*)$", README, re.MULTILINE)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z][a-z-]+)", README))
    assert {"demo", "test"} <= named
    assert named <= targets


def test_every_command_has_an_example() -> None:
    assert {line.split()[0] for line in EXAMPLES} == set(COMMANDS)


@pytest.mark.parametrize("line", EXAMPLES)
def test_examples_parse(line: str) -> None:
    words = shlex.split(line.split("  #")[0])
    args = build_parser(words[0]).parse_args(words)
    assert isinstance(args, argparse.Namespace) and args.command == words[0]


def test_named_files_exist() -> None:
    paths = re.findall(r"`((?:edge|codec|export|tools|docs|models|tests)/[\w./-]*)`", README)
    assert "edge/loop.py" in paths
    assert [p for p in paths if not (ROOT / p).exists()] == []


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert [t for t in targets if not (ROOT / t).exists()] == []
