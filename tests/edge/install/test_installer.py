"""Installing, switching and falling back on a folder that looks like a kit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from swathpack.edge.install.__main__ import main
from swathpack.edge.install.installer import Installer, check_slot, roll_back
from swathpack.edge.install.manifest import Refused
from swathpack.edge.install.report import Reporter
from swathpack.edge.install.service import Places
from swathpack.edge.install.slots import MAX_TRIES, Slots
from tests.edge.install.small_bundle import FAILS, bundle, files, kit, kit_environment

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    made = kit(tmp_path / "root")
    for name in ("PATH", "KIT_ROOT"):
        monkeypatch.setenv(name, kit_environment(made.root)[name])
    return made


def install(places: Places, path: Path) -> int:
    return Installer(places, Reporter(places.log)).install(path)


def start(places: Places, ready: bool = True) -> int:
    """What systemd does at a start of the service: -> status of ExecStartPre."""
    status = main(["startup", "--root", str(places.root)])
    if status == 0 and ready:
        assert main(["confirm", "--root", str(places.root)]) == 0
    return status


def note(places: Places) -> str:
    return (places.base / "current/runtime/note.txt").read_text()


def two_releases(places: Places, tmp_path: Path) -> None:
    """Release one in slot a, good; release two in slot b, just switched to."""
    assert install(places, bundle(tmp_path, files(note="one"))) == 0
    assert start(places) == 0
    assert (
        install(places, bundle(tmp_path, files(note="two"), release=1_700_000_100, oldest_allowed=1_700_000_100)) == 0
    )


def test_first_installation(places: Places, tmp_path: Path) -> None:
    path = bundle(tmp_path)
    assert install(places, path) == 0
    record = Slots(places.base).read()
    assert record.active == "a" and not record.slots["a"].good and not path.exists()
    assert (places.base / "current/site/tiny.py").exists() and (places.base / "current/site/tiny_more.py").exists()
    assert places.unit.exists() and places.mission.read_text() == "[passes]\n"
    assert "-m 2" in (places.root / "nvpmodel.log").read_text()
    assert "restart --no-block swathpack.service" in (places.root / "systemctl.log").read_text()
    assert start(places) == 0
    record = Slots(places.base).read()
    assert record.slots["a"].good and record.tries == 0 and record.floor == 1_700_000_000
    assert (places.base / "agent/swathpack/edge/install/__main__.py").exists()


def test_the_mission_survives_an_upgrade(places: Places, tmp_path: Path) -> None:
    assert install(places, bundle(tmp_path)) == 0
    places.mission.write_text("mine")
    assert start(places) == 0
    assert install(places, bundle(tmp_path, files(note="two"))) == 0
    assert places.mission.read_text() == "mine" and note(places) == "two"


def test_a_failed_self_test_leaves_what_flies(
    places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(places, bundle(tmp_path, files(note="one"))) == 0
    assert start(places) == 0
    assert install(places, bundle(tmp_path, files(FAILS, "two"))) == 1
    assert "no such engine" in capsys.readouterr().out
    assert Slots(places.base).read().active == "a" and note(places) == "one"
    with pytest.raises(Refused, match="never passed"):
        roll_back(places, Reporter())


def test_three_failed_starts_lead_back(places: Places, tmp_path: Path) -> None:
    two_releases(places, tmp_path)
    for _ in range(MAX_TRIES):
        assert note(places) == "two"
        assert start(places, ready=False) == 0
    assert start(places) == 1  # fell back: systemd starts again
    assert note(places) == "one" and "# one" in places.unit.read_text()
    assert start(places) == 0
    record = Slots(places.base).read()
    assert record.slots["b"].failed and record.slots["a"].good and record.floor == 1_700_000_000
    assert "failed 3 starts" in record.last
    assert main(["wait", "--seconds", "1", "--root", str(places.root)]) == 0  # slot a, whatever b did


def test_waiting_for_a_slot_that_does_not_come_up(places: Places, tmp_path: Path) -> None:
    two_releases(places, tmp_path)
    assert main(["wait", "--seconds", "0.1", "--root", str(places.root)]) == 1
    waiting = subprocess.Popen(
        [sys.executable, "-m", "swathpack.edge.install", "wait", "--root", str(places.root)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert waiting.stdout is not None and "start 0 of 3" in waiting.stdout.readline()
    for _ in range(MAX_TRIES + 1):
        start(places, ready=False)
    assert "back to slot a" in waiting.stdout.read() and waiting.wait() == 1


def test_a_good_slot_clears_its_count(places: Places, tmp_path: Path) -> None:
    two_releases(places, tmp_path)
    for ready in (False, False, True, False, False, True):
        assert start(places, ready) == 0
    assert note(places) == "two" and Slots(places.base).read().tries == 0


def test_without_another_good_slot_it_goes_on_trying(places: Places, tmp_path: Path) -> None:
    assert install(places, bundle(tmp_path)) == 0
    for _ in range(MAX_TRIES + 2):
        assert start(places, ready=False) == 0
    assert Slots(places.base).read().active == "a"


def test_changed_code_counts_as_a_failed_start(places: Places, tmp_path: Path) -> None:
    two_releases(places, tmp_path)
    (places.base / "slots/b/runtime/note.txt").write_text("tWo")
    assert [start(places) for _ in range(MAX_TRIES + 1)] == [2] * MAX_TRIES + [1]
    assert note(places) == "one"


def test_rollback_by_command_and_forward_again(places: Places, tmp_path: Path) -> None:
    two_releases(places, tmp_path)
    assert start(places) == 0
    assert main(["rollback", "--root", str(places.root)]) == 0
    assert note(places) == "one" and start(places) == 0
    assert main(["rollback", "--root", str(places.root)]) == 0
    assert note(places) == "two"


def test_an_older_release_is_refused_after_the_newer_was_good(places: Places, tmp_path: Path) -> None:
    two_releases(places, tmp_path)
    assert start(places) == 0
    with pytest.raises(Refused, match="older than the oldest allowed"):
        install(places, bundle(tmp_path, files(note="one again")))


def test_installing_what_flies_does_nothing(places: Places, tmp_path: Path) -> None:
    assert install(places, bundle(tmp_path)) == 0
    before = (places.root / "systemctl.log").read_text()
    assert install(places, bundle(tmp_path)) == 0
    assert (places.root / "systemctl.log").read_text() == before


# Ends the process at its N-th call that makes something durable, as a loss of power would.
CUT = """
import os, sys
from swathpack.edge.install.__main__ import main
count = int(sys.argv[1])
def counted(real):
    def call(*arguments):
        global count
        count -= 1
        if count < 0:
            os._exit(9)
        return real(*arguments)
    return call
for name in ("fsync", "rename", "replace", "symlink", "sync"):
    setattr(os, name, counted(getattr(os, name)))
sys.exit(main(sys.argv[2:]))
"""
# From the first write on: within unpacking, around its end, and then every few calls of what comes after.
ALLOWED = (0, 3, 20, 36, 38, 39, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 1000)


def test_an_installation_cut_at_any_write_goes_on(places: Places, tmp_path: Path) -> None:
    assert install(places, bundle(tmp_path, files(note="one"))) == 0
    assert start(places) == 0
    environment = {**kit_environment(places.root), "PYTHONPATH": str(ROOT)}
    path = bundle(tmp_path, files(note="two"))
    arguments = ["install", "--path", str(path), "--root", str(places.root)]
    cuts = 0
    for allowed in ALLOWED:
        done = subprocess.run(
            [sys.executable, "-c", CUT, str(allowed), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert note(places) in ("one", "two")  # whatever flies is whole
        active = Slots(places.base).read().active
        check_slot(places.base / "slots" / active, Slots(places.base).read().slots[active].bundle)
        if done.returncode == 0:
            break
        assert done.returncode == 9, done.stderr
        cuts += 1
    assert cuts >= 8 and Slots(places.base).read().active == "b"
    assert start(places) == 0 and note(places) == "two"


def test_answers_are_lines_of_json(places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["facts", "--root", str(places.root)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["facts"]["jetpack"] == 6 and facts["facts"]["modes"] == {"MAXN": 0, "MODE_30W": 2}
    assert main(["install", "--path", str(tmp_path / "none"), "--root", str(places.root)]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["state"] == "refused" and told["reason"] == "missing"
    assert main(["status", "--root", str(places.root)]) == 0 and main(["logs", "--root", str(places.root)]) == 0
    assert os.environ["KIT_ROOT"] in str(places.root)
