"""Examples of what is drawn: of the bands that are asked for, from cubes that have them, of larger pixels too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.codec.data import BANDS, Cube
from swathpack.codec.fit_seams import Drawn
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.bench.drawn import SETS, Choice, crop_of, make
from tests.codec_models import shipped


def cube(name: str, side: int, present: tuple[str, ...] = BANDS) -> Cube:
    data = values(side, side, 1, 3).astype(np.float32)
    return Cube(name, data, np.ones((1, side, side), np.bool_), 1.0, len(present), present)


def test_sets_of_bands_from_cubes_that_have_them(tmp_path: Path) -> None:
    cubes = [cube("few", 96, SETS["rgbn"]), cube("all", 96)]
    choice = Choice(rates=(0.1, 0.2), modes=("transform",), sets=("one", "rgb", "six"))
    make(shipped(), cubes, tmp_path, 12, choice)
    found = [Drawn.read(path) for path in sorted(tmp_path.glob("*.npz"))]
    assert len(found) == 12 and {len(one.names) for one in found} == {1, 3, 6}
    for one in found:
        assert one.original.shape == one.drawn.shape == (len(one.names), 96, 96)
        assert one.steps.shape == (2, 2, len(one.names)) and (one.steps > 0).all()
        assert one.place == "all" or len(one.names) < 6
        whole = cubes[1].data[0][[BANDS.index(name) for name in one.names]]
        np.testing.assert_array_equal(one.original, whole)
    assert {one.place for one in found if len(one.names) < 6} == {"few", "all"}


def test_larger_pixels_are_means(tmp_path: Path) -> None:
    one = cube("all", 200)
    found = crop_of(one, np.random.default_rng(2), 2)
    assert found is not None and found.shape == (12, 96, 96)
    means = one.data[0][:, :200, :200].reshape(12, 100, 2, 100, 2).mean((2, 4))
    assert np.abs(found[3].mean() - means[3].mean()) < 0.2 * means[3].std()
    assert found[3].std() < one.data[0, 3].std()
    assert crop_of(cube("small", 96), np.random.default_rng(2), 2).shape == (12, 96, 96)


def test_all_bands_are_chosen_as_ever() -> None:
    rng = np.random.default_rng(1)
    assert Choice().bands(rng) == BANDS and rng.random() == pytest.approx(np.random.default_rng(1).random())
