"""What the ground adds to drawn frames: in cells where bands came in cells, and to which frames."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.codec.restored import evened, restorable
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder.rasters import Grid, own_grid


@pytest.mark.parametrize("phase", [(0, 0), (1, 4), (5, 2)])
def test_bands_of_coarser_grids_stay_so(phase: tuple[int, int]) -> None:
    rng, inside = np.random.default_rng(7), np.ones((70, 64), np.bool_)
    cells = [rng.integers(1000, 9000, (80, 80)).repeat(n, 0).repeat(n, 1) for n in (1, 2, 6)]
    counts = np.stack([c[phase[0] :, phase[1] :][:70, :64] for c in cells]).astype(np.uint16)
    counts[:, :8] += rng.integers(0, 9, (3, 8, 64)).astype(np.uint16)  # a seam that was smoothed
    added = rng.normal(0, 5, counts.shape).astype(np.float32)
    found = evened(added, counts, inside)
    np.testing.assert_array_equal(found[0], added[0])
    for n, plane, given in ((2, found[1], added[1]), (6, found[2], added[2])):
        assert own_grid(plane, inside) == Grid(n, *(p % n for p in phase))
        assert abs(plane.mean() - given.mean()) < 1e-4 and plane.std() < 0.7 * given.std()


def test_which_bands() -> None:
    assert restorable(BANDS) and restorable(BANDS[3:]) and restorable(("B08", "B04", "B03", "B02"))
    assert not restorable(BANDS[1:4]) and not restorable(("red", *BANDS[1:]))
    assert not restorable(("B02", "B03", "B04", "B08", "B11", "B12")), "as Landsat comes"
