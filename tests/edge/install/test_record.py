"""The record of the slots: damage to one copy loses nothing, to both little, and no oldest release allowed goes back."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from swathpack.edge.install.__main__ import main
from swathpack.edge.install.manifest import Refused
from swathpack.edge.install.record import COPIES, GOOD, Record, Slot, pack_record, unpack_record
from swathpack.edge.install.service import Places
from swathpack.edge.install.slots import MAX_TRIES, Slots
from swathpack.hil_tests.simulation.small_bundle import bundle, files
from tests.edge.install.places import install, made, note, start, two_releases

RECORD = Record("a", 2, 7, "text", {"a": Slot("11", "1.0", 9, 7, True), "b": Slot()}, 9, 4)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    return made(tmp_path, monkeypatch)


def damage(places: Places, *names: str) -> None:
    for name in names:
        data = bytearray((places.base / name).read_bytes())
        data[len(data) // 2] ^= 1
        (places.base / name).write_bytes(data)


def test_a_copy_is_whole_or_none() -> None:
    data = pack_record(RECORD)
    assert unpack_record(data) == RECORD
    for at in range(len(data)):
        assert unpack_record(data[:at]) is None
        for bit in range(8):
            assert unpack_record(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]) is None
    assert unpack_record(b"") is None and unpack_record(b"\0" * 4096) is None


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("data", [b"", None, b'{"active": "a"}', b"\xff" * 100])
def test_one_damaged_copy_loses_nothing_and_is_made_anew(tmp_path: Path, name: str, data: bytes | None) -> None:
    slots = Slots(tmp_path)
    assert slots.read() == Record()
    before = slots.update(lambda _: RECORD)
    if data is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(data)
    assert slots.read() == before and slots.trouble() == "one copy of the record is damaged or missing"
    assert slots.update(lambda record: record) == replace(before, generation=before.generation + 1)
    assert slots.trouble() == "" and (tmp_path / COPIES[0]).read_bytes() == (tmp_path / COPIES[1]).read_bytes()


def test_an_older_copy_does_not_count(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    slots.update(lambda _: RECORD)
    old = (tmp_path / COPIES[0]).read_bytes()
    newer = slots.update(lambda record: replace(record, floor=99))
    (tmp_path / COPIES[0]).write_bytes(old)
    assert slots.read() == newer


@pytest.mark.parametrize("flies", ["a", "b"])
def test_with_both_copies_damaged_every_command_works_and_the_same_slot_flies(
    places: Places, tmp_path: Path, flies: str, capsys: pytest.CaptureFixture[str]
) -> None:
    two_releases(places, tmp_path)
    assert start(places) == 0
    if flies == "a":
        assert main(["rollback", "--root", str(places.root)]) == 0 and start(places) == 0
    before = Slots(places.base).read()
    damage(places, *COPIES)
    found = Slots(places.base).read()
    assert (found.active, found.floor) == (flies, 1_700_000_100)
    assert {n: s.bundle for n, s in found.slots.items()} == {n: s.bundle for n, s in before.slots.items()}
    assert main(["status", "--root", str(places.root)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["trouble"] == "both copies of the record are damaged"
    assert start(places) == 0 and note(places) == ("one" if flies == "a" else "two")
    assert "both copies of the record are damaged" in places.log.read_text()
    damage(places, *COPIES)
    assert main(["rollback", "--root", str(places.root)]) == 0
    damage(places, *COPIES)
    three = bundle(tmp_path, files(note="three"), release=1_700_000_200)
    assert install(places, three) == 0 and start(places) == 0 and note(places) == "three"


def test_a_board_that_falls_back_does_so_with_a_record_made_anew(places: Places, tmp_path: Path) -> None:
    two_releases(places, tmp_path)
    for _ in range(MAX_TRIES):
        assert start(places, ready=False) == 0
    damage(places, *COPIES)
    for _ in range(MAX_TRIES):
        assert start(places, ready=False) == 0
    assert start(places) == 1 and note(places) == "one"


def test_an_oldest_release_that_went_back_is_noticed(places: Places, tmp_path: Path) -> None:
    two_releases(places, tmp_path)
    assert start(places) == 0
    record = Slots(places.base).read()
    for name in COPIES:
        (places.base / name).write_bytes(pack_record(replace(record, floor=5)))
    slots = Slots(places.base)
    assert "below that of the slots" in slots.trouble() and slots.read().floor == 1_700_000_100
    with pytest.raises(Refused, match="older than the oldest allowed"):
        install(places, bundle(tmp_path, files(note="one again")))
    for name in COPIES:
        (places.base / name).unlink()
    with pytest.raises(Refused, match="older than the oldest allowed"):
        install(places, bundle(tmp_path, files(note="one again")))


def test_a_slot_whose_installation_was_not_done_is_not_flown_by_a_record_made_anew(
    places: Places, tmp_path: Path
) -> None:
    two_releases(places, tmp_path)
    (places.base / "slots/b/.tested").unlink()
    damage(places, *COPIES)
    found = Slots(places.base).read()
    assert found.active == "a" and found.slots["b"] == Slot()


@pytest.mark.parametrize("link", ["missing", "nowhere"])
def test_without_the_link_the_slot_that_has_proved_itself_flies(places: Places, tmp_path: Path, link: str) -> None:
    two_releases(places, tmp_path)
    damage(places, *COPIES)
    (places.base / "current").unlink()
    if link == "nowhere":
        (places.base / "current").symlink_to("slots/c")
    assert [start(places), start(places)] == [1, 0] and note(places) == "one", "its unit first, then the slot"


def test_a_damaged_mark_of_proof_is_no_proof(places: Places, tmp_path: Path) -> None:
    two_releases(places, tmp_path)
    assert start(places) == 0
    damage(places, *COPIES, "slots/a/" + GOOD)
    assert [Slots(places.base).read().slots[name].good for name in "ab"] == [False, True]


def test_the_record_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    old = {name: value for name, value in asdict(RECORD).items() if name not in ("agent", "generation")}
    (tmp_path / "state.json").write_text(json.dumps(old))
    slots = Slots(tmp_path)
    assert slots.read() == replace(RECORD, agent=0, generation=0) and slots.trouble() == ""
    slots.update(lambda record: record)
    assert not (tmp_path / "state.json").exists() and slots.read().slots == RECORD.slots
