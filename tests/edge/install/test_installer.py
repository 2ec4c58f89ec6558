"""Installing, switching and falling back on a folder that looks like a kit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from swathpack.edge.install.__main__ import main
from swathpack.edge.install.installer import roll_back
from swathpack.edge.install.manifest import Refused
from swathpack.edge.install.report import Reporter
from swathpack.edge.install.service import Places
from swathpack.edge.install.slots import MAX_TRIES, Slots
from swathpack.edge.packets.link_keys import read_link_keys
from swathpack.hil_tests.simulation.small_bundle import FAILS, bundle, files
from tests.edge.install.places import install, made, note, start, two_releases

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    return made(tmp_path, monkeypatch)


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


def switched_and_cut(places: Places, tmp_path: Path) -> None:
    """Release two is switched to in the record, and the power goes before anything else."""
    two_releases(places, tmp_path)
    places.unit.write_bytes((places.base / "slots/a/unit/swathpack.service").read_bytes())


def test_a_switch_cut_before_its_unit_was_placed_ends_at_the_next_start(places: Places, tmp_path: Path) -> None:
    switched_and_cut(places, tmp_path)
    assert start(places) == 1 and "# two" in places.unit.read_text()
    assert Slots(places.base).read().tries == 0
    assert start(places) == 0 and note(places) == "two"


def test_a_first_installation_cut_behind_its_switch_is_started_by_the_same_command(
    places: Places, tmp_path: Path
) -> None:
    path = bundle(tmp_path)
    data = path.read_bytes()
    assert install(places, path) == 0
    places.unit.unlink()
    (places.root / "systemctl.log").unlink()
    path.write_bytes(data)
    assert install(places, path) == 0 and not path.exists()
    assert (
        places.unit.exists() and "restart --no-block swathpack.service" in (places.root / "systemctl.log").read_text()
    )


def test_a_unit_that_somebody_wrote_is_left_alone_until_the_next_installation(places: Places, tmp_path: Path) -> None:
    two_releases(places, tmp_path)
    places.unit.write_text("[Service]\nExecStart=/bin/mine\n")
    assert start(places) == 0 and "/bin/mine" in places.unit.read_text()


@pytest.mark.parametrize("below", ["site/tiny.py", "site/added.py", "runtime/note.txt", "runtime/sitecustomize.py",
                                   "wheels/tiny-1-py3-none-any.whl", "manifest.json", "unit/mission.toml"])  # fmt: skip
def test_any_changed_or_added_file_of_a_slot_counts_as_a_failed_start(
    places: Places, tmp_path: Path, below: str
) -> None:
    two_releases(places, tmp_path)
    path = places.base / "slots/b" / below
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:] if path.exists() else b"import os")
    assert [start(places) for _ in range(MAX_TRIES + 1)] == [2] * MAX_TRIES + [1]
    assert note(places) == "one"


@pytest.mark.parametrize("below", ["site/tiny.py", "runtime/note.txt", "manifest.json"])
@pytest.mark.parametrize("data", [b"", b"other"])
def test_marks_are_not_trusted_over_files_that_the_power_took(
    places: Places, tmp_path: Path, below: str, data: bytes
) -> None:
    """The marks say that all is unpacked, tested and good; the file behind them is empty."""
    two_releases(places, tmp_path)
    assert main(["rollback", "--root", str(places.root)]) == 0
    (places.base / "slots/b" / below).write_bytes(data)
    two = bundle(tmp_path, files(note="two"), release=1_700_000_100, oldest_allowed=1_700_000_100)
    assert install(places, two) == 0
    assert start(places) == 0 and note(places) == "two"


def test_byte_code_that_a_python_left_is_removed_and_not_loaded(places: Places, tmp_path: Path) -> None:
    assert install(places, bundle(tmp_path)) == 0
    cache = places.base / "slots/a/site/__pycache__"
    cache.mkdir()
    (cache / "tiny.cpython-310.pyc").write_bytes(b"old")
    assert start(places) == 0 and not cache.exists()


def test_a_new_board_is_given_link_keys_that_only_root_can_read(places: Places, tmp_path: Path) -> None:
    assert install(places, bundle(tmp_path)) == 0
    keys = read_link_keys(places.link_keys)
    assert len(keys) == 8
    assert start(places) == 0
    assert install(places, bundle(tmp_path, files(note="two"))) == 0 and read_link_keys(places.link_keys) == keys


def test_a_mission_that_is_there_keeps_its_own_keys(places: Places, tmp_path: Path) -> None:
    places.mission.parent.mkdir()
    places.mission.write_text("mine")
    assert install(places, bundle(tmp_path)) == 0 and not places.link_keys.exists()


def test_the_installer_in_use_is_never_an_older_one(places: Places, tmp_path: Path) -> None:
    two_releases(places, tmp_path)
    agent = (places.base / "agent").resolve()
    changed = files(note="three")
    changed["runtime/swathpack/edge/install/report.py"] += b"# newer\n"
    assert start(places) == 0
    assert install(places, bundle(tmp_path, changed, release=1_700_000_200)) == 0 and start(places) == 0
    newer = (places.base / "agent").resolve()
    assert newer != agent
    assert main(["rollback", "--root", str(places.root)]) == 0 and start(places) == 0
    assert note(places) == "two" and (places.base / "agent").resolve() == newer


def test_counting_starts_while_an_installation_goes_on_loses_nothing(places: Places, tmp_path: Path) -> None:
    """The installer writes the record while the runtime of the other slot is confirmed."""
    two_releases(places, tmp_path)
    slots = Slots(places.base)
    assert slots.begin_start()[0].tries == 1
    stale = slots.read()
    slots.confirm()
    slots.update(lambda record: record.with_slot("a", replace(stale.slots["a"], bundle="")))
    record = slots.read()
    assert record.tries == 0 and record.slots["b"].good and record.floor == 1_700_000_100


def test_answers_are_lines_of_json(places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["facts", "--root", str(places.root)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["facts"]["jetpack"] == 6 and facts["facts"]["modes"] == {"MAXN": 0, "MODE_30W": 2}
    assert main(["install", "--path", str(tmp_path / "none"), "--root", str(places.root)]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["state"] == "refused" and told["reason"] == "missing"
    assert main(["status", "--root", str(places.root)]) == 0 and main(["logs", "--root", str(places.root)]) == 0
    assert os.environ["KIT_ROOT"] in str(places.root)
