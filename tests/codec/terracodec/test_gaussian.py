"""Table indexes, guards against float noise, and the guard list on the wire."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swathpack.codec.terracodec.gaussian import (
    MARGIN,
    N_SCALES,
    SIGMA_MIN_CODED,
    STEPS_PER_UNIT,
    coded_cells,
    filled_cells,
    flex_sigma,
    gaussian_tables,
    near_boundary,
    settle,
    table_of,
    trained_sigma,
)
from swathpack.codec.terracodec.guards import GuardError, pack_guards, unpack_guards


def test_scale_activations() -> None:
    raw = torch.tensor([-9.0, -1.0, 0.0, 2.0])
    torch.testing.assert_close(trained_sigma(raw), torch.tensor([0.1, 0.5, 1.0, 3.0]) + 0.01)
    torch.testing.assert_close(flex_sigma(raw), torch.log1p(torch.exp(raw)).clamp(1e-3, 10.0), atol=2e-6, rtol=0)
    assert float(flex_sigma(torch.tensor(-50.0))) == pytest.approx(1e-3)


def test_no_scale_floor_of_one_without_the_second_softplus() -> None:
    """A quiet symbol (sigma about 0.14) costs next to nothing; after a second activation over 1.3 bits."""
    tables = gaussian_tables(SIGMA_MIN_CODED, STEPS_PER_UNIT)
    raw = torch.tensor([-2.0])
    bits = []
    for sigma in (flex_sigma(raw), trained_sigma(flex_sigma(raw))):
        cells = coded_cells(torch.zeros(1), sigma, SIGMA_MIN_CODED)
        base, index = table_of(np.floor(cells.mean).astype(int), np.floor(cells.scale).astype(int))
        bits.append(tables.cost_bits(index, 0 - base))
    assert bits[0] < 0.01 and bits[1] > 1.3


def test_index_names_a_gaussian_near_mean_and_scale() -> None:
    rng = np.random.default_rng(1)
    mean = torch.from_numpy(rng.uniform(-40, 40, 500))
    sigma = torch.from_numpy(np.exp(rng.uniform(np.log(0.06), np.log(200), 500)))
    cells = coded_cells(mean, sigma, SIGMA_MIN_CODED)
    mean_cell, scale_cell = (np.floor(c).astype(np.int64) for c in (cells.mean, cells.scale))
    base, index = table_of(mean_cell, scale_cell)
    centre = base + (index // N_SCALES) / STEPS_PER_UNIT
    grid = gaussian_tables(SIGMA_MIN_CODED, STEPS_PER_UNIT).sigmas
    assert np.abs(centre - mean.numpy()).max() <= 1 / 16 + 1e-9
    assert np.abs(np.log(grid[index % N_SCALES] / sigma.numpy())).max() < 0.07


def test_guarded_values_survive_noise_and_others_would_not() -> None:
    rng = np.random.default_rng(2)
    mean, sigma = rng.uniform(-5, 5, 200_000), np.exp(rng.uniform(-4, 5, 200_000))
    noise = 1 + 0.4 * MARGIN * rng.uniform(-1, 1, mean.size)
    here = coded_cells(torch.from_numpy(mean), torch.from_numpy(sigma), SIGMA_MIN_CODED)
    there = coded_cells(torch.from_numpy(mean * noise), torch.from_numpy(sigma * noise), SIGMA_MIN_CODED)
    assert (np.floor(here.stacked) != np.floor(there.stacked)).any()
    near, side = near_boundary(here, SIGMA_MIN_CODED, STEPS_PER_UNIT)
    for a, b in zip(settle(here, near, side), settle(there, near, side)):
        np.testing.assert_array_equal(a, b)
    assert near.size < 0.02 * mean.size


def test_filled_values_are_the_rounded_means() -> None:
    mean = torch.tensor([-1.6, -0.4, 0.2, 7.7])
    nothing = np.empty(0, np.int64), np.empty(0, bool)
    np.testing.assert_array_equal(settle(filled_cells(mean), *nothing)[0], [-2, 0, 0, 8])


@given(st.lists(st.tuples(st.integers(0, 100_000), st.booleans()), max_size=300, unique_by=lambda e: e[0]))
def test_guard_list_round_trip(entries: list[tuple[int, bool]]) -> None:
    entries.sort()
    positions = np.array([p for p, _ in entries], np.int64)
    sides = np.array([s for _, s in entries], np.bool_)
    found, found_sides = unpack_guards(pack_guards(positions, sides))
    np.testing.assert_array_equal(found, positions)
    np.testing.assert_array_equal(found_sides, sides)


def test_cut_guard_lists_are_refused() -> None:
    data = pack_guards(np.arange(10, 5000, 13), np.ones(384, bool))
    for size in (0, 2, len(data) // 2):
        with pytest.raises(GuardError, match="expected"):
            unpack_guards(data[:size])


@pytest.mark.parametrize(
    "data", [b"\xff\xff\x28" + b"\xff" * 4000 + b"\0" * 9, b"\x02\0\x29" + bytes(9), b"\xff\xff\0"]
)
def test_hostile_guard_lists_are_refused(data: bytes) -> None:
    """A long run of ones, a large order, entries that are not there: no number runs over, no list is made of every bit."""
    with pytest.raises(GuardError):
        unpack_guards(data)
