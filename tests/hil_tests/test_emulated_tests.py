"""The board's own tests on another processor: what is missing is named, and what was asked for reaches pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swathpack.hil_tests.boards import emulated_root, emulated_tests


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with wheels of nothing, and a compiler that is there."""
    for module in (emulated_root, emulated_tests):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(emulated_root, "tool", lambda name: name)
    monkeypatch.setattr(emulated_tests, "place_coder", lambda: "")
    (tmp_path / emulated_root.WHEELS).mkdir(parents=True)
    return tmp_path


def test_a_root_or_a_compiler_that_is_missing_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["emulated_tests"])
    monkeypatch.setattr(emulated_tests, "place_coder", lambda: "no C library there: none")
    assert emulated_tests.main() == 2 and capsys.readouterr().err == "error: no C library there: none\n"
    (root / emulated_root.WHEELS).rmdir()
    assert emulated_tests.main() == 2 and "boards.emulated_root" in capsys.readouterr().err


def test_what_was_asked_for_reaches_pytest(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def run(line: list[str], **_: Any) -> Any:
        seen.append(line)
        return subprocess.CompletedProcess(line, 5)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(emulated_tests, "install_wheels", lambda target, _: target.mkdir())
    assert emulated_tests.run(["tests/here", "-k", "a b"]) == 5
    assert seen[0][-3:] == ["tests/here", "-k", "a b"] and str(root / "opt/test-wheels") in seen[0]
    assert emulated_tests.run([]) == 5 and "tests/edge/codec" in seen[1]


def test_wheels_are_all_there_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(line: list[str], **_: Any) -> Any:
        Path(line[line.index("--target") + 1]).mkdir()
        raise subprocess.CalledProcessError(1, line)

    monkeypatch.setattr(subprocess, "run", fails)
    with pytest.raises(emulated_root.EmulationMissing, match="pip ended with status 1"):
        emulated_root.install_wheels(tmp_path / "opt/wheels", ["nothing"])
    assert not list((tmp_path / "opt").iterdir())


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_compiler_no_library_is_placed(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWATHPACK_AARCH64_CC", compiler)
    assert emulated_root.place_coder(tmp_path).startswith("no C library there: ")
    assert not list(tmp_path.rglob("*.so"))
