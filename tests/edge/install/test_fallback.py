"""The fallback in shell: acts when the runtime stays down, with a broken unit, installer and record, and on nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from swathpack.edge.install.__main__ import main
from swathpack.edge.install.record import COPIES
from swathpack.edge.install.service import Places
from swathpack.edge.install.slots import FALLEN, Slots
from swathpack.export.bundle.contents import DATA
from tests.edge.install.places import made, note, start, two_releases

CHECKS = 3
DOWN = [
    ("loaded", "activating"),
    ("loaded", "failed"),
    ("bad-setting", "inactive"),
    ("error", "inactive"),
    ("not-found", "inactive"),
]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    found = made(tmp_path, monkeypatch)
    two_releases(found, tmp_path)
    assert start(found) == 0
    return found


def check(places: Places, load: str, active: str) -> int:
    """One run of the timer, with the stand-in for systemctl telling this state."""
    for name, value in (("LoadState", load), ("ActiveState", active)):
        (places.root / name).write_text(value + "\n")
    shell = shutil.which("dash") or "/bin/sh"
    words = [shell, str(places.fallback), str(places.root), str(CHECKS)]
    environment = {"PATH": f"{places.root}/bin:/usr/bin:/bin", "KIT_ROOT": str(places.root)}
    return subprocess.run(words, env=environment, capture_output=True, check=False).returncode


def break_everything(places: Places) -> None:
    """A unit without a program, an installer that does not import, a record that cannot be read."""
    places.unit.write_text("[Service]\n")
    (places.base / "agent/swathpack/edge/install/slots.py").write_text("this is no Python")
    for name in COPIES:
        (places.base / name).write_bytes(b"\0" * 512)


@pytest.mark.parametrize(("load", "active"), DOWN)
def test_it_goes_back_when_nothing_of_the_new_slot_can_be_used(places: Places, load: str, active: str) -> None:
    break_everything(places)
    for _ in range(CHECKS - 1):
        assert check(places, load, active) == 0 and note(places) == "two"
    assert check(places, load, active) == 0
    assert note(places) == "one" and "# one" in places.unit.read_text()
    told = (places.root / "systemctl.log").read_text().splitlines()
    assert told[-4:] == ["daemon-reload", "enable swathpack.service", "reset-failed swathpack.service",
                         "restart --no-block swathpack.service"]  # fmt: skip
    # The installer of the slot that flies is used, and the record follows.
    assert (places.base / "agent").resolve() == places.base / "slots/a/runtime"
    agent = {**os.environ, "PYTHONPATH": str(places.base / "agent")}
    words = ["python3", "-m", "swathpack.edge.install"]
    for verb in ("startup", "confirm"):
        subprocess.run([*words, verb, "--root", str(places.root)], env=agent, check=True, capture_output=True)
    record = Slots(places.base).read()
    assert record.active == "a" and record.slots["a"].good and record.slots["b"].failed and note(places) == "one"
    assert not (places.base / FALLEN).exists() and "agents" in os.readlink(places.base / "agent")


@pytest.mark.parametrize(("load", "active"), [("loaded", "active"), ("loaded", "inactive"), ("masked", "inactive")])
def test_it_does_nothing_while_the_runtime_is_up_or_was_stopped(places: Places, load: str, active: str) -> None:
    for _ in range(3 * CHECKS):
        assert check(places, load, active) == 0
    assert note(places) == "two" and not (places.base / "fallback.count").exists()


def test_a_good_check_begins_the_count_anew(places: Places) -> None:
    for state in ("failed", "failed", "active", "failed", "failed"):
        assert check(places, "loaded", state) == 0
    assert note(places) == "two"
    (places.base / "fallback.count").write_text("no number")
    assert check(places, "loaded", "failed") == 0 and (places.base / "fallback.count").read_text() == "1\n"


def test_it_never_goes_to_a_slot_that_has_not_proved_itself(places: Places) -> None:
    (places.base / "slots/a/.good").unlink()
    for _ in range(CHECKS):
        assert check(places, "loaded", "failed") == 0
    assert note(places) == "two" and "# two" in places.unit.read_text()
    (places.base / "slots/b/.good").unlink()
    assert [check(places, "loaded", "failed") for _ in range(CHECKS)] == [0, 0, 1]
    assert "no slot has ever proved itself" in places.log.read_text()


def test_without_a_link_it_finds_a_slot(places: Places) -> None:
    (places.base / "current").unlink()
    for _ in range(CHECKS):
        assert check(places, "not-found", "inactive") == 0
    assert note(places) == "one"


@pytest.mark.parametrize("text", ["c", "", "a\nb", "../x"])
def test_a_note_that_names_no_slot_is_passed_over(places: Places, text: str) -> None:
    (places.base / FALLEN).write_text(text)
    assert start(places) == 0 and note(places) == "two" and not (places.base / FALLEN).exists()


def test_it_is_placed_once_and_renewed_only_by_a_slot_that_has_proved_itself(places: Places, tmp_path: Path) -> None:
    assert places.fallback.read_bytes() == (DATA / "fallback.sh").read_bytes()
    assert places.unit.with_name("swathpack-fallback.timer").exists()
    assert "enable swathpack.service swathpack-fallback.timer" in (places.root / "systemctl.log").read_text()
    (places.base / "slots/a/unit/fallback.sh").write_text("exit 1")  # as if release one had another
    assert main(["rollback", "--root", str(places.root)]) == 2, "a slot that was changed is not gone back to"
    assert places.fallback.read_bytes() == (DATA / "fallback.sh").read_bytes()


@pytest.mark.parametrize("name", ["swathpack.service", "swathpack-fallback.service", "swathpack-fallback.timer"])
def test_systemd_reads_the_units(tmp_path: Path, name: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd here")
    text = (DATA / name).read_text().replace("@MEMORY_HIGH@", "1G").replace("@MEMORY_MAX@", "1G")
    for other in ("swathpack-fallback.service",):
        (tmp_path / other).write_text((DATA / other).read_text())
    (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / name)], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if name in line and "is not executable" not in line]
    assert ours == []
