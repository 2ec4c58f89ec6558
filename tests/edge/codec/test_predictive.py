"""Predictive coder: what comes back is right to the greatest error, cut anywhere, whatever the samples and masks."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.codec.predictive import LAYERS, CodedTile, PredictiveError, Workspace, decode, encode
from swathpack.edge.codec.predictive.interface import checked_errors, checked_samples, checked_valid, either, smallest
from swathpack.edge.codec.predictive.reference.coder import Coder
from swathpack.edge.codec.predictive.reference.header import code_plan
from swathpack.edge.codec.predictive.reference.tile import Tile
from swathpack.edge.codec.rangecoder import native
from swathpack.edge.codec.rangecoder.build import build


@pytest.fixture(scope="module", autouse=True)
def _built():
    if not native.available():
        build()
        native.library.cache_clear()


def scene(seed: int, bands: int, height: int, width: int, level: int = 2000, noise: int = 40) -> np.ndarray:
    """Smooth ground seen by correlated bands with noise of their own."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    ground = 300 * np.sin(rows / 9) * np.cos(columns / 7) + 200 * (columns > width // 2)
    gains = np.linspace(0.6, 1.6, bands)[:, None, None]
    return np.rint(level + ground * gains + noise * rng.standard_normal((bands, height, width))).astype(np.int64)


def encode_refined(samples, valid=None, max_error=0):
    """With refined predictions even where they take more bytes."""
    given = checked_samples(samples), checked_valid(valid, samples.shape), checked_errors(max_error, len(samples))
    return Workspace(samples.shape).encode(*given, refined=True)


def check(samples, valid=None, max_error=0, refined=False):
    """Codes and decodes; returns the coded tile."""
    tile = (encode_refined if refined else encode)(samples, valid, max_error)
    assert tile.refined == refined
    back = decode(tile.payload, samples.shape, valid, max_error, refined=refined)
    mask = np.ones(samples.shape[1:], bool) if valid is None else valid
    limit = np.broadcast_to(np.asarray(max_error), (len(samples),))[:, None]
    assert back.layers == LAYERS and back.known.all() and (back.samples[:, ~mask] == 0).all()
    assert (np.abs(back.samples[:, mask] - samples[:, mask]) <= limit).all()
    assert tile.sizes[0] == 0 and tile.sizes[-1] == len(tile.payload) and (np.diff(tile.sizes) >= 0).all()
    return tile


KINDS = ("noise", "signed", "constant", "walk", "extremes", "cells", "skewed", "sparse", "uneven", "twice", "scene")


def samples_of(kind: str, seed: int, bands: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (bands, height, width)
    if kind == "noise":
        return rng.integers(0, 1 << int(rng.integers(1, 17)), shape)
    if kind == "signed":
        return rng.integers(-32768, 32768, shape)
    if kind == "constant":
        return np.broadcast_to(rng.integers(-32768, 65536, (bands, 1, 1)), shape)
    if kind == "walk":
        return np.cumsum(rng.integers(-3, 4, shape), axis=2)
    if kind == "extremes":
        return rng.choice([0, 65535], shape)
    if kind == "cells":
        fine = np.kron(rng.integers(0, 4000, shape), np.ones((1, 3, 2), int))
        return fine[:, 2 : 2 + height, 1 : 1 + width]
    if kind == "skewed":  # coarser cells under a turned grid: nearest neighbours repeat without a period
        rows, columns = np.mgrid[:height, :width]
        y, x = (rows + 0.1 * columns) / 1.9, (columns - 0.1 * rows + 5) / 1.9
        return scene(seed, bands, 60, 40)[:, y.astype(int), np.abs(x).astype(int)]
    if kind == "uneven":  # values that a gain makes rare or twice as common
        return np.floor(scene(seed, bands, height, width) * rng.choice([0.6, 1.7])).astype(np.int64)
    if kind == "twice":  # interpolated to twice the size
        small = scene(seed, bands, height // 2 + 2, width // 2 + 2, noise=5)
        fine = (
            np.repeat(np.repeat(small, 2, 1), 2, 2)[:, 1:, 1:] + np.repeat(np.repeat(small, 2, 1), 2, 2)[:, :-1, :-1]
        ) // 2
        return fine[:, :height, :width]
    if kind == "sparse":
        return rng.integers(0, 40, shape) * 117 - 500
    return scene(seed, bands, height, width)


@settings(max_examples=120, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32 - 1),
    bands=st.integers(1, 6),
    height=st.integers(1, 48),
    width=st.integers(1, 48),
    max_error=st.sampled_from([0, 0, 1, 2, 10, 300, 65535]),
    holes=st.sampled_from([None, 0.0, 0.3, 0.95, 1.0]),
    refined=st.booleans(),
)
def test_round_trip(kind, seed, bands, height, width, max_error, holes, refined):
    samples = samples_of(kind, seed, bands, height, width)
    valid = None if holes is None else np.random.default_rng(seed).random((height, width)) >= holes
    check(samples, valid, max_error, refined)


@pytest.mark.parametrize("bits", range(1, 17))
def test_every_depth(bits):
    full = np.random.default_rng(bits).integers(0, 1 << bits, (2, 40, 33))
    check(full)
    check(full, refined=True)
    check(np.minimum(scene(bits, 2, 40, 33) >> max(0, 12 - bits), (1 << bits) - 1), max_error=1)


def test_one_error_a_band():
    check(scene(1, 4, 50, 60), max_error=[0, 3, 50, 0])


def test_sixteen_bands_of_the_largest_size():
    check(scene(2, 16, 256, 256))


def test_refined_predictions_are_kept_where_they_are_shorter():
    samples = fields(2, 200, 200)
    rough = np.random.default_rng(2).integers(0, 65536, (1, 60, 60))
    for tile in (samples, rough):
        plain, refined, chosen = encode(tile), encode_refined(tile), encode(tile, refined=True)
        assert len(chosen.payload) == min(len(plain.payload), len(refined.payload))
        assert chosen.payload == (refined if chosen.refined else plain).payload
        assert (decode(chosen.payload, tile.shape, refined=chosen.refined).samples == tile).all()
    assert len(encode_refined(samples).payload) < 0.99 * len(encode(samples).payload)


def fields(seed, height, width):
    """Rectangles over each other, seen by a lens, with noise that grows with what is seen: edges, as real scenes have."""
    rng = np.random.default_rng(seed)
    ground = np.full((height + 2, width + 2), 2000.0)
    for _ in range(height * width // 100):
        y, x, h, w = rng.integers(0, height), rng.integers(0, width), *rng.integers(3, 30, 2)
        ground[y : y + h, x : x + w] = rng.normal(2000, 400)
    for axis in (0, 1):
        ground = (np.roll(ground, 1, axis) + 2 * ground + np.roll(ground, -1, axis)) / 4
    ground = ground[1:-1, 1:-1]
    return np.rint(ground + rng.standard_normal(ground.shape) * ground / 400).astype(int)[None]


def test_a_payload_read_the_other_way_is_wrong_or_refused():
    samples = fields(2, 60, 60)
    with contextlib.suppress(PredictiveError):
        assert (decode(encode_refined(samples).payload, samples.shape).samples != samples).any()


def copies_of(samples):
    """Whether the encoder says, band by band, that pixels repeat."""
    tile = Tile(samples.shape, np.ones(samples.shape[1:], np.uint8))
    code_plan(Coder(encode(samples).payload), tile)
    return [bool(band.copies) for band in tile.bands]


def test_chance_repeats_of_quiet_water_are_not_coded_apart():
    rng = np.random.default_rng(4)
    water = np.rint(60 + 5 * rng.standard_normal((1, 128, 128))).astype(int)
    turned = (
        rng.random(water.shape) < 0.06
    )  # as where the cells of a slightly turned grid are the nearest of two pixels
    assert copies_of(np.where(turned, np.roll(water, 1, 1), water)) == [False]
    assert copies_of(samples_of("skewed", 5, 2, 60, 40)) == [True, True]


def test_constant_bands_and_empty_tiles_cost_next_to_nothing():
    assert len(check(np.full((16, 256, 256), 123)).payload) < 100
    assert len(check(scene(3, 3, 64, 64), np.zeros((64, 64), bool)).payload) < 30


def test_invalid_pixels_cost_next_to_nothing():
    samples = scene(4, 3, 128, 128)
    whole, half = check(samples), check(samples, np.arange(128)[:, None] >= 64 + np.zeros(128, int))
    assert len(half.payload) < 0.55 * len(whole.payload)
    garbage = np.where(
        np.arange(128)[:, None] >= 64, samples, np.random.default_rng(1).integers(0, 60000, samples.shape)
    )
    assert encode(garbage, np.arange(128)[:, None] >= 64 + np.zeros(128, int)).payload == half.payload


def test_coarse_bands_are_coded_on_their_own_grid():
    fine = scene(5, 1, 120, 126)
    small = np.kron(scene(6, 1, 61, 64), np.ones((1, 2, 2), int))[:, 1:121, 1:127]
    alone = len(check(fine).payload)
    assert len(check(np.concatenate([fine, small])).payload) - alone < 0.35 * alone


def test_bands_help_each_other():
    base = scene(7, 1, 96, 96, noise=60)
    pair = np.concatenate([base, base + np.random.default_rng(7).integers(-4, 5, base.shape)])
    assert len(check(pair).payload) < 1.6 * len(check(base).payload)


@pytest.mark.parametrize("max_error", [0, 5])
@pytest.mark.parametrize("masked", [False, True])
def test_every_cut_gives_what_it_wholly_holds(max_error, masked):
    samples = scene(8, 3, 37, 29)
    samples[2] = np.kron(samples[2, ::3, ::3], np.ones((3, 3), int))[:37, :29]
    valid = np.random.default_rng(8).random((37, 29)) < 0.7 if masked else None
    tile = check(samples, valid, max_error)
    all_of_it = decode(tile.payload, samples.shape, valid, max_error)
    whole, before = all_of_it.samples, 0
    for cut in range(len(tile.payload) + 1):
        back = decode(tile.payload[:cut], samples.shape, valid, max_error)
        assert back.layers == np.searchsorted(tile.sizes, cut, side="right") - 1
        assert (back.samples[back.known] == whole[back.known]).all() and not back.samples[~back.known].any()
        assert back.known.sum() >= before
        before = back.known.sum()
        assert (back.since[back.known] == all_of_it.since[back.known]).all()
        assert back.known[all_of_it.since <= back.layers].all() and back.since.max() <= back.layers + 1
        rows = 37 * back.layers // LAYERS
        assert back.known[:2, :rows].all()


@settings(max_examples=150, deadline=None)
@given(
    payload=st.binary(max_size=300),
    seed=st.integers(0, 2**32 - 1),
    flips=st.integers(0, 4),
    bands=st.integers(1, 5),
    refined=st.booleans(),
)
def test_hostile_payloads_give_bounded_samples_or_one_error(payload, seed, flips, bands, refined):
    rng = np.random.default_rng(seed)
    shape = (bands, int(rng.integers(1, 40)), int(rng.integers(1, 40)))
    if flips:
        changed = bytearray((encode_refined if refined else encode)(scene(seed, *shape)).payload)
        for _ in range(flips):
            changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
        payload = bytes(changed)
    try:
        back = decode(payload, shape, max_error=int(rng.choice([0, 9])), refined=refined)
    except PredictiveError as error:
        assert "corrupt" in str(error)
    else:
        assert back.samples.min() >= -32768 and back.samples.max() <= 65535


@pytest.mark.parametrize(
    ("samples", "valid", "max_error", "message"),
    [
        (np.zeros((17, 4, 4), int), None, 0, "bands"),
        (np.zeros((1, 257, 4), int), None, 0, "sides"),
        (np.zeros((4, 4), int), None, 0, "bands"),
        (np.zeros((1, 4, 4)), None, 0, "integer samples"),
        (np.full((1, 4, 4), 65536), None, 0, "samples from"),
        (np.array([[[-1, 65535]]]), None, 0, "from a band's least sample"),
        (np.zeros((1, 4, 4), int), np.ones((4, 5), bool), 0, "mask"),
        (np.zeros((1, 4, 4), int), np.ones((4, 4)), 0, "mask"),
        (np.zeros((2, 4, 4), int), None, -1, "greatest error"),
        (np.zeros((2, 4, 4), int), None, [1, 2, 3], "greatest error"),
        (np.zeros((2, 4, 4), int), None, 0.5, "greatest error"),
    ],
)
def test_what_cannot_be_coded_is_refused(samples, valid, max_error, message):
    with pytest.raises(PredictiveError, match=message):
        encode(samples, valid, max_error)


@pytest.mark.parametrize(
    "max_error, size, simple_size, chosen",
    [
        (0, 1, 0, 1),
        (20, 249, 248, 248),
        (20, 250, 248, 250),
        (21, 124, 100, 100),
        (21, 125, 100, 125),
        (50, 60, 61, 60),
    ],
)
def test_small_predictors_are_tried_where_few_bits_are_left(max_error, size, simple_size, chosen):
    def code(simple):
        return CodedTile(bytes(simple_size if simple else size), np.zeros(LAYERS + 1, np.int64))

    assert len(smallest(code, 1000, np.array([0, max_error], np.int32)).payload) == chosen


@pytest.mark.parametrize(
    "tried, sizes, chosen, codings",
    [
        ((1000, 1004), (99, 100), 100, 1),  # the first layers lose less than a two-hundredth
        ((1000, 1005), (99, 100), 99, 2),
        ((1000, 1200), (100, 99), 99, 2),
        ((0, 0), (99, 100), 99, 2),  # not looked at
        ((0, 0), (100, 100), 100, 2),
        ((999, 999), (99, 100), 99, 2),  # so few bits say nothing of the rest
    ],
)
def test_refined_predictions_are_chosen_by_the_first_layers(tried, sizes, chosen, codings):
    seen = []

    def code(refined):
        seen.append(refined)
        return CodedTile(bytes(sizes[refined]), np.zeros(LAYERS + 1, np.int64), refined, tried if refined else (0, 0))

    tile = either(code)
    assert len(tile.payload) == chosen and len(seen) == codings
    assert tile.refined == (sizes[True] < sizes[False] or codings == 1)


def test_first_layers_are_coded_both_ways():
    """What is tried are the layers as they would be: bits of the prefixes that hold them, but for what closes a run."""
    tall, low = scene(7, 2, 96, 50), scene(7, 2, 63, 50)
    for holes, max_error in ((False, 0), (True, 0), (False, 3)):
        valid = np.random.default_rng(1).random((96, 50)) < 0.9 if holes else None
        plain, refined = encode(tall, valid, max_error), encode_refined(tall, valid, max_error)
        assert plain.tried == (0, 0)
        for bits, tile in zip(refined.tried, (plain, refined)):
            assert 8 * tile.sizes[2] - 64 <= bits <= 8 * tile.sizes[2]
    assert encode_refined(low).tried == (0, 0)


def test_small_predictors_win_on_quiet_tiles():
    tile = (scene(5, 1, 128, 128, noise=8) // 12)[:, :, ::-1]
    small = check(tile, max_error=10)
    space, errors = Workspace(tile.shape), np.array([10], np.int32)
    given = np.ascontiguousarray(tile, np.int32), np.ones((128, 128), np.uint8), errors
    sizes = [len(space._encode(*given, simple, False).payload) for simple in (False, True)]
    assert len(small.payload) == min(sizes) and sizes[1] < sizes[0]


def test_a_workspace_is_used_again_and_fits_one_shape():
    workspace = Workspace((3, 40, 40))
    for seed in range(3):
        samples = scene(seed, 3, 40, 40)
        tile = encode(samples, workspace=workspace)
        assert tile.payload == encode(samples).payload
        assert np.array_equal(decode(tile.payload, (3, 40, 40), workspace=workspace).samples, samples)
    with pytest.raises(PredictiveError, match="workspace"):
        encode(scene(0, 3, 41, 40), workspace=workspace)
