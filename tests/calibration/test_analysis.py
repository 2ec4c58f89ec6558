"""Quantised analysis against the float one, and its statistics on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.calibration.analysis import CalibrationError, Statistics, forms, measure, quantise
from swathpack.calibration.planes import as_matrix, patches
from swathpack.edge.codec.pixels import padded
from tests.calibration.made import kernel, statistics, tiles


def exact(k: np.ndarray, b: np.ndarray, tile: np.ndarray) -> np.ndarray:
    frame = padded(tile)
    sums = patches(frame, 1).astype(np.float64) @ as_matrix(k, 1) / 64 + b
    return sums.T.reshape(-1, (frame.shape[1] - 8) // 16, (frame.shape[2] - 8) // 16)


def rms(k: np.ndarray, b: np.ndarray, form: str, rounding: str = "shaped") -> float:
    model = quantise(k, b, statistics(forms()[form]), rounding)
    tile = tiles(2)[1]  # made tiles mix their bands at random, so one tile tells nothing of another's
    return float(np.sqrt(np.square(64 * (model.coefficients(tile) - exact(k, b, tile))).mean()))


def test_dearer_forms_are_closer_and_shaped_rounding_beats_the_nearest() -> None:
    k, b = kernel(8)
    errors = [rms(k, b, form) for form in ("one-plane", "plane+means4", "two-planes")]
    assert 40 > errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.5 * rms(k, b, "two-planes", "nearest")


def test_the_bias_takes_up_the_offset_exactly_on_the_mean_image() -> None:
    k, b = kernel(8)
    flat = [np.full((12, 32, 32), 1280, np.float32)]
    model = quantise(k, b, measure(flat, forms()["one-plane"]))
    np.testing.assert_allclose(model.coefficients(flat[0]), exact(k, b, flat[0]), atol=1e-4)


def test_statistics_survive_the_disk(tmp_path: Path) -> None:
    made = statistics(forms()["plane+means8"])
    made.save(tmp_path / "s.npz")
    back = Statistics.load(tmp_path / "s.npz")
    assert back.planes == made.planes and back.tiles == 2
    assert np.array_equal(back.covariances[1].rows, made.covariances[1].rows)
    assert (tmp_path / "s.npz").stat().st_size < 30_000


def test_damaged_statistics_and_no_tiles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.npz").write_bytes(b"PK\x03\x04 not one")
    for name in ("s.npz", "absent.npz"):
        with pytest.raises(CalibrationError, match=f"{name}: no calibration statistics"):
            Statistics.load(tmp_path / name)
    with pytest.raises(CalibrationError, match="at least one tile"):
        measure([], forms()["one-plane"])
