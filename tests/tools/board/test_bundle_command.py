"""`swathpack bundle`: what it says, and what it refuses in one line."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest

from swathpack.export.bundle import coder
from swathpack.tools.board.flash import load
from swathpack.tools.cli import main
from swathpack.tools.errors import REFUSED


@pytest.fixture(autouse=True)
def one_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coder for the board is built once, where a cross compiler is: it takes 20 s of CPU (tests/export: the same bytes each time)."""
    monkeypatch.setattr("swathpack.tools.commands.bundle.cross_compiled", library)


@lru_cache(1)
def library() -> bytes:
    return coder.cross_compiled()


@pytest.fixture
def key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "mission.key"
    assert main(["bundle", "--new-key", str(path)]) == 0
    assert "keep it off boards" in capsys.readouterr().out
    return path


def words(key: Path, out: str, *more: str) -> list[str]:
    return [
        "bundle",
        "--board",
        "orin-nx",
        "--jetpack",
        "7",
        "--no-wheels",
        "--release",
        "1700000000",
        "--key",
        str(key),
        "-o",
        str(key.parent / out),
        *more,
    ]


def test_the_same_command_makes_the_same_bytes(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one.tar.zst", "two.tar.zst"):
        assert main(words(key, name)) == 0
    shown = capsys.readouterr().out
    assert "orin-nx, JetPack 7, Python any" in shown and "the board's own numpy and onnxruntime" in shown
    assert key.with_name("one.tar.zst").read_bytes() == key.with_name("two.tar.zst").read_bytes()
    assert list(key.parent.glob("*.part")) == []


@pytest.mark.parametrize(
    ("out", "more", "text"),
    [
        ("x.zip", [], "expected a name that ends in"),
        ("x.tar.zst", ["--unsigned"], "expected --key FILE"),
        ("none/x.tar.zst", [], "no such folder"),
        ("x.tar.zst", ["--oldest-allowed", "1800000000"], "oldest allowed"),
        ("x.tar.zst", ["--model", "/nowhere"], "model in /nowhere: expected a file manifest.json"),
    ],
)
def test_refusals(
    key: Path,
    out: str,
    more: list[str],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("swathpack.tools.commands.bundle.cross_compiled", None)  # refused before anything takes time
    assert main(words(key, out, *more)) == (2 if "--key FILE" in text else 1)
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1


def test_no_key_and_no_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, text in (
        (["bundle"], "expected --board"),
        (words(tmp_path / "none.key", "x.tar.zst"), "No such file"),
    ):
        assert main(arguments) == (2 if "--board" in text else 1)
        assert text in capsys.readouterr().err


def test_a_key_is_never_overwritten(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = key.read_bytes()
    assert main(["bundle", "--new-key", str(key)]) == REFUSED
    assert "exists: give another name" in capsys.readouterr().err and key.read_bytes() == before


def test_keys_with_roles_and_bundles_that_change_them(tmp_path, capsys):
    key, new = tmp_path / "mission.key", tmp_path / "release.key"
    assert main(["bundle", "--new-key", str(key)]) == 0
    assert main(["bundle", "--new-key", str(new), "--role", "release", "--expires", "2030-01-31"]) == 0
    assert " role=release expires=2030-01-31 " in (tmp_path / "release.key.pub").read_text()
    assert main(["bundle", "--new-key", str(tmp_path / "x"), "--expires", "soon"]) == 2
    assert "--expires: expected YYYY-MM-DD" in capsys.readouterr().err and not (tmp_path / "x").exists()
    out, more = tmp_path / "a.tar.zst", ["--trust-key", str(new) + ".pub", "--revoke-key", "0123456789abcdef"]
    words = [
        "bundle",
        "--board",
        "orin-agx",
        "--jetpack",
        "6",
        "--no-wheels",
        "--release",
        "1700000000",
        "-o",
        str(out),
    ]
    assert main([*words, "--key", str(key), *more]) == 0
    changes = load(out).manifest.keys
    assert changes.revoke == ("0123456789abcdef",) and changes.trust[0].endswith("expires=2030-01-31 release")
    assert main([*words, "--force", "--key", str(key), "--revoke-key", "no id"]) == 2
    assert "--revoke-key: expected the id of a key" in capsys.readouterr().err


def test_a_key_whose_signature_no_board_takes_signs_nothing(tmp_path, capsys):
    old, release, out = tmp_path / "old.key", tmp_path / "release.key", tmp_path / "a.tar.zst"
    assert main(["bundle", "--new-key", str(old), "--expires", "2023-11-13"]) == 0
    assert main(["bundle", "--new-key", str(release), "--role", "release"]) == 0
    assert main(words(old, out.name)) == 1
    assert "signs releases up to 2023-11-13; this one is of 2023-11-14" in capsys.readouterr().err
    assert main(words(release, out.name, "--revoke-key", "0123456789abcdef")) == 1
    assert "is a release key: only a mission key may change the keys" in capsys.readouterr().err
    assert not out.exists()
    assert main(words(release, out.name)) == 0
