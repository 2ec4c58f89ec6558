"""Filling of invalid pixels: valid ones stay, planes are continued, holes are smooth."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.codec.transform_coder import analysis, decode_tile, encode_tile
from swathpack.edge.codec.transform_coder.fill import fill_smoothly
from swathpack.hil_tests.simulation import made_frames


def test_valid_pixels_stay_and_a_constant_is_continued() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2, 37, 22)).astype(np.float32)
    valid = rng.random((37, 22)) > 0.4
    assert np.array_equal(fill_smoothly(data, valid)[:, valid], data[:, valid])
    filled = fill_smoothly(np.full((1, 37, 22), 7, np.float32), valid)
    assert np.allclose(filled, 7)


def test_a_slope_is_continued_across_a_hole_without_steps() -> None:
    slope = np.add.outer(np.arange(48.0), 2 * np.arange(48.0)).astype(np.float32)[None]
    valid = np.ones((48, 48), np.bool_)
    valid[16:32, 12:36] = False
    filled = fill_smoothly(np.where(valid, slope, 0), valid)
    assert np.abs(filled - slope).max() < 12
    assert np.abs(np.diff(filled, axis=2)).max() < 8


def test_nothing_valid_gives_zeros_and_everything_valid_gives_the_data() -> None:
    data = np.ones((1, 5, 4), np.float32)
    assert not fill_smoothly(data, np.zeros((5, 4), np.bool_)).any()
    assert fill_smoothly(data, np.ones((5, 4), np.bool_)) is data


def test_what_stands_in_for_invalid_pixels_costs_less_than_a_smooth_surface(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, columns = np.indices((128, 128))
    valid = ((rows - 40) ** 2 + (columns - 50) ** 2 > 25**2) & ((rows - 90) ** 2 + (columns - 90) ** 2 > 20**2)

    usual = analysis.PROJECTIONS

    def error(seed: int, count: int) -> float:
        monkeypatch.setattr(analysis, "PROJECTIONS", count)
        tile = made_frames.values(128, 128, 1, seed)[0, :4]
        coded = encode_tile(np.where(valid, tile, 0), valid, max_bytes=1200)
        return float(((decode_tile(coded.payload, tile.shape).samples - tile)[:, valid] ** 2).mean())

    assert sum(error(seed, usual) < error(seed, 0) for seed in range(6)) >= 5
