"""Errors of the system in words."""

from pathlib import Path

from swathpack.edge.spoken import reason


def caught(path: Path) -> OSError:
    try:
        path.read_bytes()
    except OSError as error:
        return error
    raise AssertionError("it is there")


def test_the_reason_without_its_number_and_a_name_only_once(tmp_path: Path) -> None:
    lost = caught(tmp_path / "a" / "b.toml")
    assert reason(lost, tmp_path / "a" / "b.toml") == "No such file or directory"
    assert reason(lost, tmp_path / "a") == "b.toml: No such file or directory"
    assert reason(lost, tmp_path / "c") == reason(lost) == f"{tmp_path}/a/b.toml: No such file or directory"
    assert reason(OSError(28, "No space left on device")) == "No space left on device"
    assert reason(ValueError("expected 3")) == "expected 3" and reason(EOFError()) == "EOFError"
