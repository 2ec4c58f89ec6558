"""Things on a shelf come back as they were, from memory or from the scratch file, whose room is used again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.tools.errors import UserError
from swathpack.tools.files import shelf as module
from swathpack.tools.files.shelf import Kept, Shelf


def things(count: int) -> list[np.ndarray]:
    chance = np.random.default_rng(5)
    noise = [chance.integers(0, 1 << 16, 5000 + 700 * i).astype(np.uint16) for i in range(count // 2)]
    return noise + [np.zeros(9000 + i, np.int16) for i in range(count - len(noise))]


def test_all_come_back_with_little_memory(tmp_path: Path) -> None:
    shelf, given = Shelf(tmp_path, 40_000), things(20)
    kept = [shelf.put(thing) for thing in given]
    assert shelf.file_bytes > 40_000 and not list(tmp_path.iterdir())
    for _ in range(2):
        for one, thing in zip(kept, given):
            np.testing.assert_array_equal(one.get(), thing)
            assert one.get().dtype == thing.dtype
    assert sum(len(one._thing) for one in kept) < 8


def test_small_work_needs_no_file(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    kept = [shelf.put(thing) for thing in things(20)]
    assert shelf._file is None and kept[0].get() is kept[0].get()


def test_room_of_what_nobody_keeps_is_used_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 0)
    for _ in range(5):
        kept: list[Kept[np.ndarray]] = [shelf.put(thing) for thing in things(10)]
        size = shelf.file_bytes
        del kept
    assert shelf.file_bytes == size < 2 * sum(t.nbytes for t in things(10))


def test_zeros_take_little_room(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 0)
    kept = [shelf.put(np.zeros((512, 16, 16), np.int16)) for _ in range(8)]
    assert shelf.file_bytes <= 8 * module.PAGE and not kept[0].get().any()


def test_a_full_disk_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.tempfile, "TemporaryFile", full)
    shelf = Shelf(tmp_path, 0)
    with pytest.raises(UserError, match="scratch file: No space left"):
        _ = [shelf.put(thing) for thing in things(4)]
