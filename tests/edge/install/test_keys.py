"""Signing keys: roles, expiry, and the changes that a bundle brings; a board is never left without a mission key."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swathpack.edge.install.__main__ import main
from swathpack.edge.install.keys import MISSION, RELEASE, apply_changes, read_ring, trusted_key
from swathpack.edge.install.manifest import KeyChanges, Refused, key_id
from swathpack.edge.install.service import Places
from swathpack.export.bundle.signing import public_line
from swathpack.hil_tests.simulation.small_bundle import KEY, bundle, files, public_key
from tests.edge.install.places import install, made, start

OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
NEW = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))
DAY = 86400
NOW = int(time.time())


def line(key: Ed25519PrivateKey, *words: str) -> str:
    return public_line(public_key(key), " ".join(words))


def name(key: Ed25519PrivateKey) -> str:
    return key_id(public_key(key))


def date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    return made(tmp_path, monkeypatch)


def refusal(places: Places, path: Path) -> str:
    with pytest.raises(Refused) as caught:
        install(places, path)
    assert not (places.base / "slots").exists()
    return caught.value.reason


def test_a_line_says_role_and_last_day() -> None:
    plain = trusted_key(line(KEY))
    assert (plain.role, plain.expires) == (MISSION, 0)
    found = trusted_key(line(KEY, "role=release", "expires=2027-03-01", "a comment"))
    assert (found.role, date(found.expires - 1), date(found.expires)) == (RELEASE, "2027-03-01", "2027-03-02")


@pytest.mark.parametrize("word", ["role=", "role=root", "expires=", "expires=soon", "expires=2027-13-01", "expires=1"])
def test_what_this_version_does_not_know_is_not_trusted(tmp_path: Path, word: str) -> None:
    with pytest.raises(Refused):
        trusted_key(line(KEY, word))
    (tmp_path / "x.pub").write_text(line(KEY, word))
    assert read_ring(tmp_path).keys == {} and read_ring(tmp_path).strays == ["x.pub"]


@pytest.mark.parametrize(("words", "release", "reason"), [
    ((f"expires={date(NOW - 3 * DAY)}",), NOW - 2 * DAY, "expired"),  # the release is later than the key
    ((f"expires={date(NOW - 3 * DAY)}",), NOW - 9 * DAY, "expired"),  # dated back: the clock knows better
    ((f"expires={date(NOW + 3 * DAY)}",), NOW - 2 * DAY, ""),
    (("role=release",), NOW - DAY, ""),
    ((f"expires={date(NOW)}",), NOW - DAY, ""),  # its last day
])  # fmt: skip
def test_a_key_signs_until_its_last_day(places: Places, tmp_path: Path, words: Any, release: int, reason: str) -> None:
    (places.trusted / "mission.pub").write_text(line(KEY, *words))
    path = bundle(tmp_path, release=release, oldest_allowed=release)
    if reason:
        assert refusal(places, path) == reason
    else:
        assert install(places, path) == 0


def test_a_clock_that_fell_into_the_past_does_not_revive_a_key(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (places.trusted / "old.pub").write_text(line(OTHER, f"expires={date(NOW - 5 * DAY)}"))
    assert install(places, bundle(tmp_path, release=NOW - 2 * DAY, oldest_allowed=1)) == 0 and start(places) == 0
    monkeypatch.setattr("swathpack.edge.install.facts.time.time", lambda: NOW - 9.0 * DAY)
    late = bundle(tmp_path, files(note="two"), key=OTHER, release=NOW - 9 * DAY, oldest_allowed=1)
    with pytest.raises(Refused, match="was good up to .*; here it is .* at least"):
        install(places, late)


def test_only_a_mission_key_changes_keys(places: Places, tmp_path: Path) -> None:
    (places.trusted / "release.pub").write_text(line(OTHER, "role=release"))
    assert refusal(places, bundle(tmp_path, key=OTHER, keys={"trust": [line(NEW)]})) == "role"
    assert install(places, bundle(tmp_path, key=OTHER)) == 0


@pytest.mark.parametrize("keys", [
    {"revoke": [name(KEY)]}, {"revoke": [name(KEY)], "trust": [line(NEW, "role=release")]},
    {"revoke": [name(KEY), name(NEW)], "trust": [line(NEW)]},
])  # fmt: skip
def test_a_board_keeps_a_mission_key(places: Places, tmp_path: Path, keys: dict[str, Any]) -> None:
    assert refusal(places, bundle(tmp_path, keys=keys)) == "keys"


def test_a_key_is_changed_when_the_bundle_has_proved_itself(places: Places, tmp_path: Path) -> None:
    keys = {"trust": [line(NEW, "expires=2099-01-01")], "revoke": [name(KEY)]}
    assert install(places, bundle(tmp_path, keys=keys)) == 0
    assert set(read_ring(places.trusted).keys) == {name(KEY)}, "not yet"
    assert start(places) == 0
    ring = read_ring(places.trusted)
    assert set(ring.keys) == {name(NEW)} and ring.revoked == {name(KEY)}
    with pytest.raises(Refused, match="signed with key"):
        install(places, bundle(tmp_path, files(note="old key")))
    assert install(places, bundle(tmp_path, files(note="two"), key=NEW)) == 0 and start(places) == 0


def test_a_revoked_key_never_comes_back(places: Places, tmp_path: Path) -> None:
    apply_changes(places.trusted, KeyChanges((line(NEW),), (name(OTHER),)))
    apply_changes(places.trusted, KeyChanges((line(OTHER),), ()))
    (places.trusted / "again.pub").write_text(line(OTHER))
    assert set(read_ring(places.trusted).keys) == {name(KEY), name(NEW)}
    assert refusal(places, bundle(tmp_path, key=OTHER)) == "unknown-key"


def test_a_rollback_brings_no_key_back(places: Places, tmp_path: Path) -> None:
    assert (
        install(places, bundle(tmp_path, files(note="one"), keys={"trust": [line(OTHER)]})) == 0 and start(places) == 0
    )
    two = bundle(tmp_path, files(note="two"), keys={"revoke": [name(OTHER)]}, release=1_700_000_100)
    assert install(places, two) == 0 and start(places) == 0
    assert main(["rollback", "--root", str(places.root)]) == 0 and start(places) == 0
    assert set(read_ring(places.trusted).keys) == {name(KEY)}


@pytest.mark.parametrize("keys", [
    {"trust": ["no key"]}, {"trust": [3]}, {"revoke": ["xyz"]}, {"revoke": [""]}, {"trust": "text"}, [], "text", 5, {"trust": 5},
    {"trust": [line(NEW, "x" * 600)]},
])  # fmt: skip
def test_changes_that_cannot_be_read_are_refused(places: Places, tmp_path: Path, keys: Any) -> None:
    assert refusal(places, bundle(tmp_path, keys=keys)) == "damaged"
