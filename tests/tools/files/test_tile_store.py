"""What was made of tiles, on disk: comes back as it was; a journal that ends anywhere is read up to there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.tools.errors import RefusedError
from swathpack.tools.files.tile_store import TileStore

FIELDS = {
    "payload": b"\0abc",
    "least": 3,
    "sizes": np.arange(5),
    "errors": np.array([1.5, 2.0]),
    "name": "x",
    "none": b"",
}


def check(found: dict[str, object]) -> None:
    assert found.keys() == FIELDS.keys()
    for name, value in FIELDS.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("journal", [False, True])
def test_fields_come_back(tmp_path: Path, journal: bool) -> None:
    store = TileStore(tmp_path / "j", "mine") if journal else TileStore()
    store.put("a", **FIELDS)
    store.put("b", least=4)
    store.put("a", **FIELDS)
    check(store.get("a"))
    assert store.get("b") == {"least": 4} and "c" not in store and len(store) == 2 and store.kept == journal


def test_a_journal_cut_at_any_byte_holds_what_was_whole(tmp_path: Path) -> None:
    path = tmp_path / "j"
    store = TileStore(path, "mine")
    ends = []
    for i in range(3):
        store.put(f"k{i}", **FIELDS)
        ends.append(path.stat().st_size)
    store.close()
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        again = TileStore(path, "mine")
        assert len(again) == sum(end <= cut for end in ends)
        again.put("more", **FIELDS)
        check(again.get("more"))
        again.close()


def test_another_runs_journal_is_begun_anew_and_a_finished_one_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "j"
    store = TileStore(path, "mine")
    store.put("a", **FIELDS)
    store.close()
    other = TileStore(path, "other")
    assert len(other) == 0
    other.close(done=True)
    assert not path.exists()


def test_two_runs_do_not_share_a_journal(tmp_path: Path) -> None:
    first = TileStore(tmp_path / "j", "mine")
    first.put("a", payload=b"1")
    with pytest.raises(RefusedError, match="journal of a run that goes on"):
        TileStore(tmp_path / "j", "mine", force=True)
    first.close()
    assert "a" in TileStore(tmp_path / "j", "mine")


@pytest.mark.parametrize("stale", [b"my notes of the pass, not yours", b"x" * 13])
def test_a_file_that_is_no_journal_is_replaced_by_force_only(tmp_path: Path, stale: bytes) -> None:
    (tmp_path / "j").write_bytes(stale)
    with pytest.raises(RefusedError, match="is no journal"):
        TileStore(tmp_path / "j", "mine")
    assert (tmp_path / "j").read_bytes() == stale
    TileStore(tmp_path / "j", "mine", force=True).put("a", payload=b"1")
