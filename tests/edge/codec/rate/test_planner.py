"""Rate control: never over budget, never a wasted byte that a layer could use, close to the true optimum."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.layers import tile_decoder
from swathpack.edge.codec.protocol import ContextLatent, TileKey, TilePixels
from swathpack.edge.codec.rate import (
    TAIL_PER_LAST_LAYER,
    RateInputError,
    RatePlanner,
    allocate,
    hull_steps,
    remaining_error,
)
from swathpack.hil_tests.promises.rate_baselines import greedy_layers, uniform_layers
from swathpack.hil_tests.simulation.made_frames import values
from tests.codec_models import shipped


def random_tables(seed: int, tiles: int, layers: int = 16, free: bool = False):
    """Costs, distortions and weights of a plausible pass; `free` adds layers that cost or bring nothing."""
    rng = np.random.default_rng(seed)
    step = rng.lognormal(5, 1.3, (tiles, layers)).astype(np.int64)
    gain = rng.lognormal(12, 1.5, (tiles, layers)) * np.exp(-0.3 * np.arange(layers))
    if free:
        step[rng.random(step.shape) < 0.3] = 0
        gain[rng.random(step.shape) < 0.3] = 0
    zero = np.zeros((tiles, 1), np.int64)
    costs = np.concatenate([zero, step.cumsum(axis=1)], axis=1)
    errors = np.concatenate([gain[:, ::-1].cumsum(axis=1)[:, ::-1], zero], axis=1)
    return costs, errors, rng.uniform(0, 3, tiles)


def spent(costs, layers):
    return int(costs[np.arange(len(costs)), layers].sum())


def error(errors, weights, layers):
    return float((weights * errors[np.arange(len(errors)), layers]).sum())


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    tiles=st.integers(1, 60),
    share=st.floats(0, 1.2),
    free=st.booleans(),
    floor=st.integers(0, 2),
)
def test_never_over_and_nothing_useful_fits_into_the_rest(seed, tiles, share, free, floor):
    costs, errors, weights = random_tables(seed, tiles, free=free)
    budget = int(costs[:, -1].sum() * share)
    layers = allocate(costs, errors, weights, budget, floor)
    left = budget - spent(costs, layers)
    assert left >= 0
    at = np.arange(tiles)
    gain = weights[:, None] * (errors[at, layers][:, None] - errors)
    extra = costs - costs[at, layers][:, None]
    deeper = np.arange(17) > layers[:, None]
    assert not (deeper & (gain > 0) & (extra <= left)).any()


@pytest.mark.parametrize("seed", range(12))
def test_close_to_the_exhaustive_optimum(seed):
    costs, errors, weights = random_tables(seed, tiles=5, layers=4)
    budget = int(costs[:, -1].sum() * 0.4)
    choices = np.array(list(itertools.product(range(5), repeat=5)))
    totals = sum(costs[i, choices[:, i]] for i in range(5))
    values = sum(weights[i] * errors[i, choices[:, i]] for i in range(5))
    best = values[totals <= budget].min()
    nothing = error(errors, weights, np.zeros(5, int))
    found = error(errors, weights, allocate(costs, errors, weights, budget))
    # The gap of a Lagrangian solution is at most one step of one tile; with five tiles that is a fair share.
    assert best <= found <= best + 0.2 * (nothing - best)


def test_hull_solution_is_optimal_at_its_own_byte_count():
    costs, errors, weights = random_tables(3, tiles=5, layers=4)
    steps = hull_steps(costs, weights[:, None] * errors)
    budget = int(steps.cost[:7].sum())
    choices = np.array(list(itertools.product(range(5), repeat=5)))
    totals = sum(costs[i, choices[:, i]] for i in range(5))
    values = sum(weights[i] * errors[i, choices[:, i]] for i in range(5))
    assert error(errors, weights, allocate(costs, errors, weights, budget)) == pytest.approx(
        values[totals <= budget].min()
    )


def test_better_than_uniform_and_not_worse_than_greedy():
    costs, errors, weights = random_tables(7, tiles=400)
    ratios = []
    for share in (0.05, 0.2, 0.5):
        budget = int(costs[:, -1].sum() * share)
        ours = error(errors, weights, allocate(costs, errors, weights, budget))
        alike = error(errors, weights, np.full(400, uniform_layers(costs, budget)))
        ratios.append(ours / error(errors, weights, greedy_layers(costs, errors, weights, budget)))
        assert ours < 0.8 * alike
    assert max(ratios) <= 1.0 + 1e-9 and min(ratios) < 0.95


def test_floor_reaches_every_tile_before_any_second_layer():
    costs, errors, weights = random_tables(11, tiles=50)
    thumbnails = int(costs[:, 1].sum())
    enough = allocate(costs, errors, weights, thumbnails + 4000, floor_layers=1)
    assert (enough >= 1).all() and (enough > 1).any()
    without = allocate(costs, errors, weights, thumbnails + 4000)
    assert (without == 0).any(), "this case must be one where the floor matters"


def test_weights_move_bytes():
    costs, errors, _ = random_tables(5, tiles=30)
    weights = np.ones(30)
    budget = int(costs[:, -1].sum() * 0.2)
    before = allocate(costs, errors, weights, budget)
    weights[4] = 100.0
    after = allocate(costs, errors, weights, budget)
    assert after[4] > before[4] and spent(costs, after) <= budget


def test_one_planner_gives_the_same_as_fresh_ones_for_any_order_of_budgets():
    costs, errors, weights = random_tables(9, tiles=100)
    planner = RatePlanner(costs, errors, weights, floor_layers=1)
    for budget in (90_000, 500, 40_000, 0, 90_000):
        assert (planner.plan(budget) == allocate(costs, errors, weights, budget, 1)).all()


def test_each_tile_may_have_a_floor_of_its_own():
    costs, errors, weights = random_tables(9, tiles=100)
    alike = RatePlanner(costs, errors, weights, np.ones(100, np.int64))
    floors = np.arange(100) % 2
    mixed, weighted = RatePlanner(costs, errors, weights, floors), weights[:, None] * errors
    for budget in (90_000, 500, 40_000, 0):
        assert (alike.plan(budget) == allocate(costs, errors, weights, budget, 1)).all()
        layers = mixed.plan(budget)
        assert spent(costs, layers) <= max(budget, spent(costs, np.zeros(100, np.int64)))
    first = int(costs[floors == 1, 1].sum() + costs[floors == 0, 0].sum())
    assert (mixed.plan(first)[floors == 1] == 1).all() and not mixed.plan(first)[floors == 0].any()
    none = hull_steps(costs, weighted, 16)
    assert not len(none.tile), "behind the last layer there is no step"
    both = hull_steps(costs, weighted, np.where(floors, 16, 0))
    alone = hull_steps(costs[floors == 0], weighted[floors == 0])
    assert not floors[both.tile].any() and (both.slope == alone.slope).all()


def test_steps_of_a_tile_stay_in_order_and_sum_up():
    costs, errors, weights = random_tables(2, tiles=40, free=True)
    steps = hull_steps(costs, weights[:, None] * errors)
    for tile in range(40):
        mine = steps.tile == tile
        assert (np.diff(steps.stop[mine]) > 0).all()
        if mine.any():
            assert steps.cost[mine].sum() == costs[tile, steps.stop[mine][-1]]
    assert (np.diff(steps.slope) <= 0).all()


@pytest.mark.parametrize(
    "costs, errors, weights",
    [
        (np.zeros((2, 17)), np.zeros((2, 16)), np.ones(2)),
        (np.zeros((2, 17)), np.zeros((2, 17)), np.ones(3)),
        (-np.ones((1, 3)), np.zeros((1, 3)), np.ones(1)),
        (np.array([[0, 5, 4]]), np.zeros((1, 3)), np.ones(1)),
        (np.zeros((1, 3)), np.array([[np.nan, 0, 0]]), np.ones(1)),
        (np.zeros((1, 3)), np.zeros((1, 3)), -np.ones(1)),
    ],
)
def test_contradicting_tables_are_refused(costs, errors, weights):
    with pytest.raises(RateInputError, match="expected"):
        allocate(costs, errors, weights, 10)


def test_remaining_error_by_hand():
    kept, missing = np.array([1.0, 2.0, 3.0]), np.array([10.0, 8.0, 6.0])
    tail = TAIL_PER_LAST_LAYER * 0.5
    found = remaining_error(kept, missing, missing, range(4), first_unsent=100.0, last_energy=0.5)
    assert found == pytest.approx(np.array([114.0, 1 + 8 + 6, 1 + 2 + 6, 1 + 2 + 3]) + tail)
    worse = remaining_error(np.array([1.0, 9.0, 3.0]), missing, missing, range(4), 0.0, 0.0)
    assert worse == pytest.approx([24.0, 15.0, 15.0, 13.0]), "a layer that does harm counts as one that does nothing"
    base = remaining_error(kept, np.array([4.0, 3.0, 6.0]), missing, (0, 0, 2, 3), first_unsent=20.0, last_energy=0.0)
    assert base == pytest.approx([34.0, 13.0, 9.0, 6.0]), "with a base, the first layer brings a little of all"


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("with_context", [False, True])
def test_the_flight_codec_estimates_the_error_of_the_image(with_context, shift):
    """Against synthesis from 0, 1, 4 and 16 layers; nothing sent is the case that a layer's own mean misjudges."""
    model = shipped()
    pixels = values(64, 64, 2, seed=3)
    codec, bands = FlightCodec(model, 28, shift=shift), tuple(BANDS)
    context = []
    if with_context:
        # The same ground a little brighter: a context that pays.
        earlier = np.clip(pixels[0].astype(int) + 30, 1, 65535).astype(np.uint16)
        old = codec.encode(TilePixels(TileKey(1, 1), earlier, bands, np.ones((64, 64), bool)), [])
        context = [ContextLatent.known(TileKey(1, 1), old.q, LAYERS, old.latent)]
    tile = codec.encode(TilePixels(TileKey(1, 2), pixels[0], bands, np.ones((64, 64), bool)), context)
    assert len(tile.refs) == len(context)
    decoder = tile_decoder(model.engine, model.tables, tile.coded.contexts, tile.q, tile.latent.shape[1:])
    decoder.decode(tile.coded.layers.payload(LAYERS), LAYERS)
    for layers in (0, 1, 4, 16):
        true = np.square(model.synthesise(decoder.reconstruction(layers)) - pixels[0]).sum(dtype=float)
        assert 0.4 < tile.distortion[layers] / true < 2.5, layers
    assert np.all(np.diff(tile.distortion) <= 0)


def test_no_tiles_and_no_budget():
    assert allocate(np.zeros((0, 17), int), np.zeros((0, 17)), np.zeros(0), 100).shape == (0,)
    costs, errors, weights = random_tables(1, tiles=3)
    assert not allocate(costs, errors, weights, 0).any()
