"""A model is opened once as long as its files are what they were."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from swathpack.edge.codec.model import DEFAULT_DIRECTORY
from swathpack.tools.errors import UserError
from swathpack.tools.files.models import open_model


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEFAULT_DIRECTORY, tmp_path / "model"))


def test_the_same_files_are_opened_once(copy: Path) -> None:
    first = open_model(copy, engine="float32")
    assert open_model(str(copy), engine="float32") is first and open_model(copy, 2, "float32") is not first


def test_a_file_that_changed_since_is_seen(copy: Path) -> None:
    open_model(copy, engine="float32")
    held = bytearray((copy / "entropy.npz").read_bytes())
    held[len(held) // 2] ^= 1
    (copy / "entropy.npz").write_bytes(held)
    with pytest.raises(UserError, match="its manifest says"):
        open_model(copy, engine="float32")


def test_a_folder_without_a_model_is_refused_each_time(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="model in"):
            open_model(folder)
