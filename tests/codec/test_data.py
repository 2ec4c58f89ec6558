"""Training data: what is read from cubes, and what the sampler makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from swathpack.codec.data import BANDS, CropSampler, Cube, load_cubes
from swathpack.edge import bands
from swathpack.hil_tests.simulation.made_frames import values

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def made(dates: int = 3, side: int = 80, name: str = "made") -> Cube:
    data = values(side, side, dates, seed=dates).astype(np.float32)
    return Cube(name, data, np.ones((dates, side, side), bool), 1.0, 12)


def write(root: Path, name: str, split: str, chosen: tuple[str, ...], offset: str = "no", side: int = 40) -> None:
    data = values(side, side, 1)[:, [BANDS.index(b) for b in chosen]]
    data[0, :, :4] = 0
    np.savez(
        root / name,
        data=data + (1000 * (data > 0) if offset == "yes" else 0),
        bands=[b.replace("B0", "B") for b in chosen],
    )
    entries = json.loads((root / "catalog.json").read_text()) if (root / "catalog.json").exists() else []
    entries.append({"file": name, "split": split, "boa_offset_1000": offset})
    (root / "catalog.json").write_text(json.dumps(entries))


def test_bands_are_those_of_the_codec() -> None:
    assert BANDS == bands.BANDS


def test_cubes_are_read_by_split_with_bands_sorted_and_offset_removed(tmp_path: Path) -> None:
    write(tmp_path, "a.npz", "train", BANDS)
    write(tmp_path, "b.npz", "train", tuple(reversed(BANDS)), "yes")
    write(tmp_path, "c.npz", "val", BANDS)
    write(tmp_path, "few.npz", "train", BANDS[:4])
    write(tmp_path, "small.npz", "train", BANDS, side=16)
    cubes = {c.name: c for c in load_cubes(tmp_path, "train")}
    assert set(cubes) == {"a", "b"}
    np.testing.assert_array_equal(cubes["a"].data, cubes["b"].data)
    assert not cubes["a"].valid[0, :4].any() and cubes["a"].valid[0, 4:].all()


def test_missing_bands_are_filled_when_asked(tmp_path: Path) -> None:
    write(tmp_path, "few.npz", "train", BANDS[1:9])
    cube = load_cubes(tmp_path, "train", min_bands=8)[0]
    assert cube.data.shape[1] == 12 and cube.real_bands == 8
    np.testing.assert_allclose(cube.data[0, 1:9, 4:], values(40, 40)[0, 1:9, 4:], atol=0.5)
    assert cube.data[0, 0, 4:].std() > 0


@pytest.mark.parametrize("dates", [1, 3])
def test_samples_are_finite_of_the_asked_shape_and_reproducible(dates: int) -> None:
    found = [CropSampler([made(dates), made(1, 30, "small")], seed=7).sequence(6, 64) for _ in range(2)]
    np.testing.assert_array_equal(*found)
    assert found[0].shape == (6, 3, 12, 64, 64) and found[0].dtype == np.float32
    assert np.isfinite(found[0]).all() and found[0].min() >= 0
    frames = CropSampler([made(dates)], seed=8).frames(5, 48)
    assert frames.shape == (5, 12, 48, 48) and frames.min() >= 0 and frames.std() > 10
    assert not np.array_equal(frames[0], frames[1])


def test_a_second_date_resembles_the_first() -> None:
    sampler, x = CropSampler([made()], seed=9), values(64, 64)[0].astype(np.float32)
    likeness = [np.corrcoef(sampler.second_date(x)[7].ravel(), x[7].ravel())[0, 1] for _ in range(24)]
    assert np.median(likeness) > 0.8 and len({round(v, 6) for v in likeness}) == 24


def test_the_shared_splits_do_not_overlap() -> None:
    if not (SHARED / "catalog.json").exists():
        pytest.skip("no ../shared/data here")
    entries = json.loads((SHARED / "catalog.json").read_text())
    groups = {s: {e["group"] for e in entries if e["split"] == s} for s in ("train", "val")}
    # The one long series gives its western part to training and its eastern to validation, with a gap.
    assert {g for g in groups["train"] & groups["val"] if "boadella" not in g} == set()
