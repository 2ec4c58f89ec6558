"""Which tiles of a folder calibrate and which judge."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.calibrate.sets import find_places, load
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.options import ReadOptions


def cube(path: Path, bands: tuple[str, ...] = BANDS, side: int = 40, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, data=values(side, side, 2, seed)[:, : len(bands)], bands=np.array(bands))
    return path


def test_a_plain_folder_is_divided_by_place(tmp_path: Path) -> None:
    for i in range(5):
        cube(tmp_path / f"p{i}.npz", seed=i)
    sets = load(tmp_path, 10, 10)
    assert [t.name for t in sets.judging] == ["p3"] and len(sets.calibration) == 4
    assert sets.calibration[0].pixels.shape == (12, 32, 32) and "4th" in sets.rule


def test_the_catalogue_decides_where_there_is_one(tmp_path: Path) -> None:
    files = [cube(tmp_path / s / f"{s}.npz") for s in ("train", "val")]
    assert find_places(tmp_path)[2] == "folders train and val"
    entries = [{"file": f"{p.parent.name}/{p.name}", "split": s} for p, s in zip(files, ("val", "train"))]
    (tmp_path / "catalog.json").write_text(json.dumps(entries))
    assert [t.name for t in load(tmp_path, 4, 4).judging] == ["train"]


def test_places_with_all_bands_come_first(tmp_path: Path) -> None:
    for i in range(4):
        cube(tmp_path / "train" / f"p{i}.npz", BANDS if i else BANDS[1:5])
    cube(tmp_path / "val" / "v.npz", BANDS[1:5])
    sets = load(tmp_path, 3, 3)
    assert "p0" not in [t.name for t in sets.calibration] and sets.completed == 1
    assert sets.judging[0].data.shape[0] == 12


def test_the_same_seed_gives_the_same_tiles(tmp_path: Path) -> None:
    for i in range(3):
        cube(tmp_path / f"p{i}.npz", side=80, seed=i)
    a, b = (load(tmp_path, 2, 2, seed=7) for _ in range(2))
    assert all(np.array_equal(s.data, t.data) for s, t in zip(a.calibration, b.calibration))


@pytest.mark.parametrize("catalogue", ["[1]", "not json", '[{"file": "a.npz", "split": "train"}]'])
def test_bad_catalogues_are_refused(tmp_path: Path, catalogue: str) -> None:
    (tmp_path / "catalog.json").write_text(catalogue)
    with pytest.raises(UserError, match="catalog.json: expected"):
        find_places(tmp_path)


def test_too_little_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        load(tmp_path / "absent", 1, 1)
    cube(tmp_path / "only.npz")
    with pytest.raises(UserError, match="at least 2 places.*found 1"):
        load(tmp_path, 1, 1)
    cube(tmp_path / "tiny.npz", side=8)
    with pytest.raises(UserError, match="no tile with enough valid pixels"):
        load(tmp_path, 1, 1)


def test_reflectance_has_a_scale(tmp_path: Path) -> None:
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", data=values(32, 32, 1).astype(np.float32) / 10000, bands=np.array(BANDS))
    with pytest.raises(UserError, match="give --scale 10000"):
        load(tmp_path, 1, 1)
    (tile,) = load(tmp_path, 1, 1, options=ReadOptions(scale=10000)).judging
    np.testing.assert_array_equal(tile.data, values(32, 32, 1)[0])


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"only\.npz: expected a folder, found a file"):
        load(cube(tmp_path / "only.npz"), 1, 1)
