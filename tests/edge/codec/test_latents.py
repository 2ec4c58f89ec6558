"""Integer operations on latents, against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.codec.latents import (
    CHANNELS,
    CONTEXT_LIMIT,
    GROUP,
    LATENT_LIMIT,
    LatentError,
    finest_step,
    latent_planes,
    neighbour_mean8,
    phase_map,
    quantise,
    rescale,
    spatial_planes,
    step_dn,
)
from swathpack.edge.stream.quality import STEPS
from tests.codec_models import random_latent

SIZES = [(1, 1), (1, 6), (4, 4), (5, 7), (16, 16)]


def test_steps_double_every_eight_indexes() -> None:
    assert step_dn(0) == 64 and step_dn(16) == 256
    assert step_dn(9) / step_dn(1) == pytest.approx(2)


@pytest.mark.parametrize("q", [0, 17, 63])
def test_quantise_rounds_towards_zero_by_the_dead_zone(q: int) -> None:
    step = 2.0 ** (q / 8)
    for value, found in (
        (0.5, 0),
        (0.59, 0),
        (0.61, 1),
        (-0.59, 0),
        (-0.61, -1),
        (2.7, 3),
        (-1 + LATENT_LIMIT, LATENT_LIMIT - 1),
    ):
        coefficients = np.full((1, 1, 1), value * step, np.float32)
        assert quantise(coefficients, q, 0.10).item() == found
    assert quantise(np.full((1, 1, 1), 0.51 * step, np.float32), q, 0.0).item() == 1


@pytest.mark.parametrize("value", [LATENT_LIMIT + 1.0, -1e9, np.nan, np.inf])
def test_nothing_is_clipped_by_quantise(value: float) -> None:
    with pytest.raises(LatentError, match=f"q 8: expected at most {LATENT_LIMIT} steps, found"):
        quantise(np.full((1, 1, 1), 2 * value, np.float32), 8, 0.10)


@pytest.mark.parametrize("peak", [0.0, 900.0, 32_758.9, -32_759.0, 53_182.0, 1e6, 7.6e6])
def test_the_finest_step_holds_every_coefficient_rounded_either_way(peak: float) -> None:
    coefficients = np.array([[[peak, 1.0]]], np.float32)
    q = finest_step(coefficients)
    assert np.abs(quantise(coefficients, q, 0.0)).max() < LATENT_LIMIT
    assert q == 0 or abs(peak) * 2.0 ** ((1 - q) / 8) >= LATENT_LIMIT - 1, "not the finest"


@pytest.mark.parametrize("peak", [8e6, -1e9, np.nan, np.inf])
def test_coefficients_that_no_step_holds_are_refused(peak: float) -> None:
    with pytest.raises(LatentError, match="expected coefficients below"):
        finest_step(np.array([[[peak, 1.0]]], np.float32))


def test_the_limits_are_those_of_the_stream_format() -> None:
    """Another limit of contexts decodes streams of before to something else, without a word."""
    assert (LATENT_LIMIT, CONTEXT_LIMIT) == (32_760, 2047)


@pytest.mark.parametrize(("start", "stop"), [(20, 20), (20, 28), (28, 20), (0, 63), (63, 0), (31, 30)])
def test_rescale_is_the_nearest_integer_of_the_ratio(start: int, stop: int) -> None:
    latent = random_latent((4, 4), 1, peak=500)
    exact = np.clip(latent * 2.0 ** ((start - stop) / 8), -CONTEXT_LIMIT, CONTEXT_LIMIT)
    found = rescale(latent, start, stop)
    assert found.dtype == np.int16
    # The ratio itself is rounded to 1/4096, at worst 1/2 of that in 1/235.
    assert np.all(np.abs(found - exact) <= 0.5 + np.abs(latent) / 8192 + 1e-9)


def test_rescale_of_every_pair_keeps_zero_and_sign() -> None:
    values = np.array([-LATENT_LIMIT, -1, 0, 1, LATENT_LIMIT], np.int16)
    for start in range(STEPS):
        for stop in range(STEPS):
            found = rescale(values, start, stop)
            assert found[2] == 0 and np.all(found[:2] <= 0) and np.all(found[3:] >= 0)
            assert np.abs(found).max() <= CONTEXT_LIMIT


def test_planes_are_clipped_symbols_then_high_part_or_magnitude() -> None:
    latent = np.zeros((CHANNELS, 1, 2), np.int16)
    latent[0, 0], latent[GROUP, 0] = (700, -9), (-300, 5)
    planes = latent_planes(latent)
    assert planes.shape == (16, 64, 2) and planes.dtype == np.int8
    assert planes[0, 0].tolist() == [127, -9] and planes[0, GROUP].tolist() == [44, -1]
    assert planes[1, 0].tolist() == [-128, 5] and planes[1, GROUP].tolist() == [127, 5]


@pytest.mark.parametrize("size", SIZES)
def test_phases_cover_the_grid_from_coarse_to_fine(size: tuple[int, int]) -> None:
    phase = phase_map(*size)
    assert phase.shape == size and phase[0, 0] == 0
    share = np.bincount(phase_map(16, 16).reshape(-1), minlength=5) / 256
    assert share.tolist() == [1 / 16, 1 / 16, 1 / 8, 1 / 4, 1 / 2]


@pytest.mark.parametrize("size", SIZES)
def test_neighbour_means_by_definition(size: tuple[int, int]) -> None:
    """Four neighbours at the offsets of the phase, those inside the tile, all of earlier phases."""
    layer0 = random_latent(size, 3)[:GROUP]
    phase, found = phase_map(*size), neighbour_mean8(layer0)
    offsets = {1: (2, 2), 2: (2, 0), 3: (1, 1), 4: (1, 0)}
    for y in range(size[0]):
        for x in range(size[1]):
            f = int(phase[y, x])
            if f == 0:
                assert not found[:, y, x].any()
                continue
            a, b = offsets[f]
            around = {(y + sy * u, x + sx * v) for u, v in ((a, b), (b, a)) for sy in (-1, 1) for sx in (-1, 1)}
            inside = [(i, j) for i, j in around if 0 <= i < size[0] and 0 <= j < size[1]]
            assert all(phase[p] < f for p in inside)
            if not inside:
                continue
            total = sum(layer0[:, i, j].astype(int) for i, j in inside)
            np.testing.assert_array_equal(found[:, y, x], np.floor(8 * total / len(inside)))


def test_spatial_planes_are_int8_of_value_high_part_and_difference() -> None:
    own8, first8 = np.full((GROUP, 1, 1), 8 * 300 + 7, np.int64), np.full((GROUP, 1, 1), 8 * 290, np.int64)
    planes = spatial_planes(own8, first8)
    assert planes.shape == (3 * GROUP, 1) and planes.dtype == np.int8
    assert planes[[0, GROUP, 2 * GROUP], 0].tolist() == [127, 19, 10]
