"""Tiles, nodata filling and mirroring."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.codec.pixels import OVERLAP, fill_invalid, padded, tile_windows
from swathpack.hil_tests.simulation.made_frames import values


@pytest.mark.parametrize(("height", "width"), [(256, 256), (300, 260), (1, 700), (37, 51), (512, 257)])
def test_windows_cover_every_pixel_once(height: int, width: int) -> None:
    seen = np.zeros((height, width), int)
    windows = list(tile_windows(height, width, 256))
    for n, window in enumerate(windows):
        assert window.index == n and max(window.height, window.width) <= 256
        assert window.size == (-(-window.height // 16), -(-window.width // 16))
        window.of(seen)[:] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("size", [(64, 64), (37, 51), (1, 9), (9, 1), (1, 1)])
def test_filling_keeps_valid_pixels_and_stays_between_them(size: tuple[int, int]) -> None:
    data = values(*size)[0].astype(np.float32)
    valid = np.random.default_rng(0).random(size) < 0.4
    valid[0, 0] = True
    filled = fill_invalid(data, valid)
    np.testing.assert_array_equal(filled[:, valid], data[:, valid])
    low, high = data[:, valid].min(1), data[:, valid].max(1)
    assert np.all(filled >= low[:, None, None] - 0.01) and np.all(filled <= high[:, None, None] + 0.01)


def test_filling_of_nothing_is_zero_and_of_everything_is_the_data() -> None:
    data = values(20, 30)[0].astype(np.float32)
    assert not fill_invalid(data, np.zeros((20, 30), bool)).any()
    assert fill_invalid(data, np.ones((20, 30), bool)) is data


def test_a_hole_takes_the_value_around_it() -> None:
    data = np.full((1, 32, 32), 700, np.float32)
    valid = np.ones((32, 32), bool)
    valid[8:20, 5:25] = False
    data[0, ~valid] = 9999
    np.testing.assert_allclose(fill_invalid(data, valid), 700, rtol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (37, 51), (1, 20), (3, 3)])
def test_padding_mirrors_to_whole_blocks(size: tuple[int, int]) -> None:
    data = values(*size)[0].astype(np.float32)
    out = padded(data)
    rows, columns = -(-size[0] // 16) * 16, -(-size[1] // 16) * 16
    assert out.shape == (12, rows + 2 * OVERLAP, columns + 2 * OVERLAP)
    np.testing.assert_array_equal(out[:, OVERLAP : OVERLAP + size[0], OVERLAP : OVERLAP + size[1]], data)
    np.testing.assert_array_equal(out[:, OVERLAP - 1, OVERLAP : OVERLAP + size[1]], data[:, 0])
    np.testing.assert_array_equal(out[:, OVERLAP : OVERLAP + size[0], OVERLAP + size[1]], data[:, :, -1])
