"""Symbols known to lie in an interval: the same words from every coder, exact cuts, and fewer bits than without."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.codec.rangecoder import PayloadEnded, RangeCoderError, new_decoder, new_encoder
from swathpack.edge.codec.rangecoder.bounded import MAX_SPAN, interval_edges
from swathpack.edge.codec.tables import SYMBOL_LIMIT, TOTAL
from tests.edge.codec.test_rangecoder import ODD, TABLES, built, decoders  # noqa: F401 - the fixture builds the C coder

ENCODERS = ("native", "reference")


def bounded_batch(seed: int, tables=TABLES, n: int = 80):
    """Symbols, table indexes and intervals around them, some of them far out in the tails or at the limits."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, tables.n_tables, n)
    symbols = np.rint(rng.standard_normal(n) * tables.sigmas[index % tables.n_scales] * 3).astype(np.int64)
    symbols[:4] = SYMBOL_LIMIT - 1, 1 - SYMBOL_LIMIT, 0, 700
    low = np.maximum(symbols - rng.integers(0, MAX_SPAN // 2, n), 1 - SYMBOL_LIMIT)
    high = np.minimum(symbols + rng.integers(0, MAX_SPAN // 2, n), SYMBOL_LIMIT - 1)
    return symbols, index, low, high


@pytest.mark.parametrize("tables", [TABLES, ODD], ids=["shipped form", "odd"])
def test_edges_cover_the_whole_range_and_every_value_has_a_part(tables):
    _, index, low, high = bounded_batch(1, tables, 400)
    edges = interval_edges(tables, index.astype(np.uint16), low.astype(np.int32), high.astype(np.int32))
    for row, count in zip(edges, high - low + 1):
        assert row[0] == 0 and (row[count:] == TOTAL).all() and (np.diff(row[: count + 1]) >= 1).all()


def test_edges_follow_the_table():
    index = np.flatnonzero((TABLES.shift == 0) & (TABLES.half > 8))[:50]
    low, high = np.full(50, -3, np.int32), np.full(50, 4, np.int32)
    found = np.diff(interval_edges(TABLES, index.astype(np.uint16), low, high))[:, :8] / TOTAL
    for row, i in zip(found, index):
        half = int(TABLES.half[i])
        widths = TABLES.table_widths(int(i))[half - 3 : half + 5].astype(float)
        assert np.abs(row - widths / widths.sum()).max() < 1e-6


@pytest.mark.parametrize("seed", range(10))
def test_coders_agree_and_decode(seed):
    tables = ODD if seed % 3 == 2 else TABLES
    batch, plain = bounded_batch(seed, tables), bounded_batch(seed + 50, tables)
    payloads = []
    for name in ENCODERS:
        encoder = new_encoder(tables, name)
        encoder.encode_bounded(*batch)
        encoder.encode(plain[0], plain[1])
        encoder.encode_bounded(*plain)
        assert encoder.checkpoint().symbols == 240
        payloads.append((encoder.payload(), encoder.words().tobytes()))
    assert payloads[0] == payloads[1]
    for name in decoders():
        decoder = new_decoder(tables, payloads[0][0], name)
        assert np.array_equal(decoder.decode_bounded(*batch[1:]), batch[0])
        assert np.array_equal(decoder.decode(plain[1]), plain[0])
        assert np.array_equal(decoder.decode_bounded(*plain[1:]), plain[0])


@pytest.mark.parametrize("name", decoders())
def test_a_cut_payload_ends_and_never_lies(name):
    batches = [bounded_batch(seed, n=30) for seed in (3, 4, 5)]
    encoder = new_encoder(TABLES, "native")
    marks = []
    for batch in batches:
        encoder.encode_bounded(*batch)
        marks.append(encoder.checkpoint().size_bytes)
    payload = encoder.payload()
    for cut in range(len(payload) + 1):
        decoder, done = new_decoder(TABLES, payload[:cut], name), 0
        try:
            for batch in batches:
                assert np.array_equal(decoder.decode_bounded(*batch[1:]), batch[0])
                done += 1
        except PayloadEnded:
            assert decoder.overran
        assert done <= sum(cut >= size for size in marks) + 1
        assert done >= sum(cut >= size for size in marks)


def test_knowing_the_interval_saves_bits():
    rng = np.random.default_rng(8)
    index = np.full(4000, 30)
    symbols = np.rint(rng.standard_normal(4000) * TABLES.sigmas[30]).astype(np.int64)
    base = symbols >> 2
    known, plain = new_encoder(TABLES), new_encoder(TABLES)
    known.encode_bounded(symbols, index, base << 2, (base << 2) + 3)
    plain.encode(symbols, index)
    assert known.checkpoint().size_bytes < 0.9 * plain.checkpoint().size_bytes


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(
    ("symbol", "low", "high"), [(5, 6, 8), (5, 0, 4), (5, 0, MAX_SPAN), (5, 7, 4), (SYMBOL_LIMIT, 0, 4)]
)
def test_bad_intervals_are_refused_and_change_nothing(name, symbol, low, high):
    encoder = new_encoder(TABLES, name)
    encoder.encode(np.array([1, 2]), np.array([3, 4]))
    before = encoder.payload()
    with pytest.raises(RangeCoderError):
        encoder.encode_bounded(*(np.array([v]) for v in (symbol, 0, low, high)))
    assert encoder.payload() == before


@pytest.mark.parametrize("name", decoders())
def test_bad_intervals_are_refused_on_decoding(name):
    decoder = new_decoder(TABLES, b"some bytes", name)
    for low, high, index in ((0, MAX_SPAN, 0), (1, 0, 0), (0, 1, TABLES.n_tables)):
        with pytest.raises(RangeCoderError):
            decoder.decode_bounded(*(np.array([v]) for v in (index, low, high)))


@settings(max_examples=60, deadline=None)
@given(payload=st.binary(max_size=60), seed=st.integers(0, 1000))
def test_hostile_payloads_stay_in_the_interval_or_fail_alike(payload, seed):
    _, index, low, high = bounded_batch(seed, n=20)
    found = []
    for name in ENCODERS:
        try:
            values = new_decoder(TABLES, payload, name).decode_bounded(index, low, high)
            assert (values >= low).all() and (values <= high).all()
            found.append(values.tolist())
        except RangeCoderError as error:
            found.append(type(error).__name__)
    assert found[0] == found[1]
