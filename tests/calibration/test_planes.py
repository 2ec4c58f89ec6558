"""Planes tell the pixels, and their products sum to the coefficients."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.calibration.analysis import offset_of
from swathpack.calibration.planes import Plane, as_matrix, gmac, left_over, patches, split, spread, summed_kernel
from swathpack.edge.codec.pixels import padded
from tests.calibration.made import kernel

TWO = (Plane(1, 8), Plane(1, 0))


def frame(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65536, (12, 40, 56)).astype(np.float32)


def test_two_planes_hold_sixteen_bits_exactly() -> None:
    every = np.arange(65536, dtype=np.float32).reshape(1, 256, 256).repeat(12, 0)
    assert not left_over(every, TWO, offset_of(TWO)).any()


def test_the_range_ends_where_it_says() -> None:
    one = (Plane(1, 6),)
    x = np.full((12, 24, 24), 255 * 64, np.float32)
    assert not left_over(x, one, offset_of(one)).any()
    assert (left_over(x + 64, one, offset_of(one)) == 64).all()


def test_means_restore_what_is_common_to_a_cell() -> None:
    """A flat area between two levels, and one brighter than the range, are exact again."""
    planes = (Plane(1, 6), Plane(8, 8), Plane(8, 0))
    x = spread(np.random.default_rng(1).integers(0, 30000, (12, 5, 7)).astype(np.float32), 8)
    left = left_over(x, planes, offset_of(planes))
    assert not left.any()


@pytest.mark.parametrize("cell", [1, 2, 4, 8])
def test_products_of_patches_are_the_convolution(cell: int) -> None:
    torch = pytest.importorskip("torch")
    k, _ = kernel(6)
    coarse = np.random.default_rng(2).integers(-128, 128, (12, 40 // cell, 56 // cell)).astype(np.int8)
    found = patches(coarse, cell) @ as_matrix(summed_kernel(k, cell), cell)
    full = torch.from_numpy(spread(coarse.astype(np.float64), cell))[None]
    expected = torch.nn.functional.conv2d(full, torch.from_numpy(k), stride=16)[0]
    np.testing.assert_allclose(found.T.reshape(expected.shape), expected.numpy(), atol=1e-9)


def test_saturation_is_symmetric_int8_of_the_graph() -> None:
    levels = split(
        np.array([0, 70000], np.float32).repeat(12 * 288).reshape(12, 24, 24),
        (Plane(1, 6),),
        np.zeros(12, np.float32),
    )
    assert levels[0].min() == 0 and levels[0].max() == 127


def test_cost() -> None:
    assert gmac([Plane(1, 0)]) == pytest.approx(6912 * 512 * 256 / 1e9)
    assert gmac([Plane(8, 0)]) == pytest.approx(gmac([Plane(1, 0)]) / 64)


def test_a_cell_that_does_not_divide_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of .* found 3"):
        Plane(3, 0)


def test_padded_frames_split_into_whole_patches() -> None:
    x = padded(np.zeros((12, 30, 50), np.float32))
    assert patches(split(x, TWO, offset_of(TWO))[0], 1).shape == (2 * 4, 6912)
