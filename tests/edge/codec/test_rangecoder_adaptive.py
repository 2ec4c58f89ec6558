"""Scales that follow the scene: the same words from every coder, exact cuts, fewer bits where the model is off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.codec.rangecoder import PayloadEnded, RangeCoderError, new_decoder, new_encoder
from swathpack.edge.codec.rangecoder.adaptive import BASED, LATER, REFINED, THETA_LIMIT, Adaptation
from swathpack.edge.codec.tables import PRIOR_SHAPE, SYMBOL_LIMIT, TableError
from tests.edge.codec.test_rangecoder import ODD, TABLES, built, decoders  # noqa: F401 - the fixture builds the C coder

ENCODERS = ("native", "reference")
SIZE, CHANNELS = (3, 4), 5
PLACES = SIZE[0] * SIZE[1]
# Positions of the batches of a group: one of all, or two that interleave.
WHOLE, PHASED = [np.arange(PLACES)], [np.arange(0, PLACES, 2), np.arange(1, PLACES, 2)]


def with_prior(tables, seed: int):
    prior = np.random.default_rng(seed).integers(-THETA_LIMIT // 8, THETA_LIMIT // 8, PRIOR_SHAPE)
    return replace(tables, prior=prior.astype(np.int32))


def groups(seed: int, tables=TABLES, spread: float = 2.0):
    """(kind, positions, symbols, table indexes, low, high) of batches, refined ones with intervals."""
    rng = np.random.default_rng(seed)
    for kind, batches in ((BASED, PHASED), (BASED, WHOLE), (REFINED, PHASED), (LATER, WHOLE)):
        for number, here in enumerate(batches):
            shape = (CHANNELS, here.size)
            index = rng.integers(0, tables.n_tables, shape)
            symbols = rng.standard_normal(shape) * tables.sigmas[index % tables.n_scales] * spread
            symbols = np.rint(symbols).astype(np.int64)
            symbols[0, :4] = 0, SYMBOL_LIMIT - 1, 700, 1 - SYMBOL_LIMIT
            low = np.maximum(symbols - rng.integers(0, 8, shape), 1 - SYMBOL_LIMIT)
            high = np.minimum(symbols + rng.integers(0, 8, shape), SYMBOL_LIMIT - 1)
            bins = (low, high) if kind == REFINED else (None, None)
            yield kind, number == 0, here, symbols, index, *bins


def encoded(name: str, batches, tables):
    encoder, adaptation = new_encoder(tables, name), Adaptation(tables, SIZE, CHANNELS)
    marks = []
    for kind, fresh, here, symbols, index, *bins in batches:
        if fresh:
            adaptation.begin(kind)
        encoder.encode_adaptive(symbols, index, adaptation, adaptation.places[here], *bins)
        marks.append(encoder.checkpoint().size_bytes)
    return encoder.payload(), marks, adaptation


def decoded(name: str, payload: bytes, batches, tables):
    """Symbols of the batches, as far as the payload holds them, and what was learned."""
    decoder, adaptation, found = new_decoder(tables, payload, name), Adaptation(tables, SIZE, CHANNELS), []
    try:
        for kind, fresh, here, _, index, *bins in batches:
            if fresh:
                adaptation.begin(kind)
            found.append(decoder.decode_adaptive(index, adaptation, adaptation.places[here], *bins))
    except PayloadEnded:
        assert decoder.overran
    return found, adaptation


@pytest.mark.parametrize("seed", range(6))
def test_coders_agree_learn_the_same_and_decode(seed):
    tables = with_prior(ODD if seed % 3 == 2 else TABLES, seed)
    batches = list(groups(seed, tables))
    (payload, _, learned), (other, _, also) = (encoded(name, batches, tables) for name in ENCODERS)
    assert payload == other
    for name in decoders():
        found, known = decoded(name, payload, batches, tables)
        assert len(found) == len(batches)
        assert all(np.array_equal(a, b[3]) for a, b in zip(found, batches))
        for state in (also, known):
            for array in ("contexts", "of_channels", "seen", "map"):
                assert np.array_equal(getattr(learned, array), getattr(state, array)), (name, array)


@pytest.mark.parametrize("name", decoders())
def test_a_cut_payload_ends_and_never_lies(name):
    tables = with_prior(TABLES, 3)
    batches = list(groups(3, tables))
    payload, marks, _ = encoded("native", batches, tables)
    for cut in range(0, len(payload) + 1, 1 if name == "native" else 37):
        found, _ = decoded(name, payload[:cut], batches, tables)
        assert all(np.array_equal(a, b[3]) for a, b in zip(found, batches))
        assert sum(cut >= size for size in marks) <= len(found) <= sum(cut >= size for size in marks) + 1


def scene(seed: int, factor: float, channels: int = 32, size: tuple[int, int] = (16, 16)):
    """Symbols (channels, n) of scale 20, whose spread is `factor` times what the tables say."""
    rng = np.random.default_rng(seed)
    shape = (channels, size[0] * size[1])
    symbols = np.rint(rng.logistic(0, TABLES.sigmas[20] * factor * np.sqrt(3) / np.pi, shape)).astype(np.int64)
    return symbols, np.full(shape, 20)


@pytest.mark.parametrize(("factor", "most"), [(0.4, 0.92), (1.0, 1.01), (2.5, 0.95)])
def test_scales_follow_the_scene(factor, most):
    symbols, index = scene(7, factor)
    fixed, adaptive = new_encoder(TABLES), new_encoder(TABLES)
    fixed.encode(symbols.ravel(), index.ravel())
    adaptation = Adaptation(TABLES, (16, 16), 32)
    adaptation.begin(LATER)
    adaptive.encode_adaptive(symbols, index, adaptation, adaptation.places)
    assert adaptive.checkpoint().size_bytes < most * fixed.checkpoint().size_bytes


def test_a_new_group_forgets_channels_and_a_new_pass_forgets_places():
    adaptation = Adaptation(TABLES, (16, 16), 32)
    encoder = new_encoder(TABLES)
    adaptation.begin(LATER)
    encoder.encode_adaptive(*scene(1, 3.0), adaptation, adaptation.places)
    assert adaptation.of_channels.any() and adaptation.seen.any() and adaptation.map.any()
    adaptation.begin(REFINED)
    assert not adaptation.of_channels.any() and not adaptation.seen.any() and adaptation.map.any()
    adaptation.begin(BASED)
    assert not adaptation.map.any() and adaptation.contexts[LATER].any()


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("fault", ["shape", "place", "table", "interval", "outside", "far"])
def test_bad_input_is_refused_and_changes_nothing(name, fault):
    tables = with_prior(TABLES, 1)
    adaptation, encoder = Adaptation(tables, SIZE, CHANNELS), new_encoder(tables, name)
    adaptation.begin(REFINED)
    symbols = np.zeros((CHANNELS, PLACES), np.int64)
    index, places, low, high = np.zeros_like(symbols), adaptation.places.copy(), symbols - 2, symbols + 2
    encoder.encode_adaptive(symbols, index, adaptation, places, low, high)
    before, learned = encoder.payload(), adaptation.contexts.copy()
    if fault == "shape":
        index = index[:, 1:]
    elif fault == "place":
        places[0] = 1
    elif fault == "table":
        index[1, 1] = tables.n_tables
    elif fault == "interval":
        high[0, 0] = 40
    elif fault == "outside":
        symbols[0, 0] = 3
    else:
        symbols[0, 0], low, high = SYMBOL_LIMIT, None, None
    with pytest.raises(RangeCoderError):
        encoder.encode_adaptive(symbols, index, adaptation, places, low, high)
    assert encoder.payload() == before and np.array_equal(adaptation.contexts, learned)


@settings(max_examples=30, deadline=None)
@given(payload=st.binary(max_size=60), seed=st.integers(0, 1000))
def test_hostile_payloads_fail_alike(payload, seed):
    tables = with_prior(TABLES, seed)
    found = []
    for name in ENCODERS:
        try:
            values, _ = decoded(name, payload, list(groups(seed, tables)), tables)
            found.append([v.tolist() for v in values])
        except RangeCoderError as error:
            found.append(str(error)[:15])
    assert found[0] == found[1]


def test_a_prior_of_another_form_is_refused():
    for prior in (np.zeros((3, 2, 16, 8), np.int32), np.full(PRIOR_SHAPE, THETA_LIMIT + 1, np.int32)):
        with pytest.raises(TableError):
            replace(TABLES, prior=prior)


def test_the_prior_is_part_of_the_digest_and_is_read_back(tmp_path):
    tables = with_prior(TABLES, 5)
    tables.save(tmp_path / "tables.npz")
    again = type(tables).load(tmp_path / "tables.npz")
    assert again.prior is not None and np.array_equal(again.prior, tables.prior)
    assert again.digest() == tables.digest() != TABLES.digest()


@pytest.mark.parametrize("tables", [TABLES, ODD], ids=["shipped form", "odd"])
def test_slopes_are_those_of_the_costs(tables):
    table = np.repeat(np.arange(tables.n_tables), np.diff(tables.start.astype(int)))
    slot = np.arange(table.size) - tables.start[table].astype(int)
    inside = slot <= 2 * tables.half[table].astype(int)
    symbol = ((slot - tables.half[table]) << tables.shift[table]) + ((1 << tables.shift[table].astype(int)) >> 1)
    scale = table % tables.n_scales
    wider, narrower = table + (scale < tables.n_scales - 1), table - (scale > 0)
    costs = [tables.cost_units(t, symbol) / 65536 for t in (wider, narrower)]
    found = tables.slope[inside] / 256
    assert np.abs(found - np.clip((costs[0] - costs[1]) / 2, -4, 4)[inside]).max() < 0.01
