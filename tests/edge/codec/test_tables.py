"""Probability tables: sums, layout, determinism, costs, damage."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from swathpack.edge.codec.tables import (
    N_FRACTIONS,
    N_SCALES,
    SYMBOL_LIMIT,
    TOTAL,
    Mixture,
    ProbabilityTables,
    TableError,
    build,
    round_to_total,
    sigma_grid,
)


@pytest.fixture(scope="module")
def tables() -> ProbabilityTables:
    return build()


def test_layout_and_sums(tables):
    assert tables.n_tables == N_FRACTIONS * N_SCALES and tables.n_scales == N_SCALES
    for index in range(tables.n_tables):
        widths = tables.table_widths(index)
        assert widths.size == 2 * int(tables.half[index]) + 2 <= 512
        assert widths.min() >= 1 and int(widths.sum(dtype=np.int64)) == TOTAL
        left = tables.cumulative[tables.start[index] : tables.start[index + 1]]
        assert left[0] == 0 and np.array_equal(np.diff(left), widths[:-1])


def test_sigma_grid_is_log_spaced():
    sigmas = sigma_grid()
    assert sigmas[0] == 0.05 and sigmas[-1] == pytest.approx(600.0)
    assert np.allclose(np.diff(np.log(sigmas)), math.log(12000) / 63)


@pytest.mark.parametrize("mixture", [Mixture(), Mixture(0, 1, 0), Mixture(0, 0, 1), Mixture(1, 2, 3)])
def test_mean_and_spread_of_a_table_are_what_they_say(mixture):
    tables = build(mixture)
    for fraction, scale in ((0, 30), (3, 30), (7, 35), (4, 60)):
        index = fraction * N_SCALES + scale
        half, shift = int(tables.half[index]), int(tables.shift[index])
        p = tables.table_widths(index)[:-1] / TOTAL
        centre = np.arange(-half, half + 1) * 2.0**shift + (2.0**shift - 1) / 2
        mean = float((p * centre).sum() / p.sum())
        spread = math.sqrt(float((p * (centre - mean) ** 2).sum() / p.sum()))
        assert mean == pytest.approx(fraction / N_FRACTIONS, abs=0.02 * max(1, tables.sigmas[scale]))
        assert spread == pytest.approx(math.hypot(tables.sigmas[scale], 2.0**shift / math.sqrt(12)), rel=0.03)


def test_fraction_zero_is_symmetric(tables):
    for scale in range(0, 40):
        widths = tables.table_widths(scale)[:-1].astype(np.int64)
        assert np.abs(widths - widths[::-1]).max() <= 1


def test_largest_remainder_is_exact():
    widths = round_to_total(np.array([0.0, 1e-30, 1.0, 2.0]))
    assert widths.tolist()[:2] == [1, 1] and int(widths.sum()) == TOTAL
    assert widths[3] - 1 == pytest.approx(2 * (widths[2] - 1), abs=1)


def test_save_load_digest(tables, tmp_path):
    tables.save(tmp_path / "tables.npz")
    again = ProbabilityTables.load(tmp_path / "tables.npz")
    assert again.digest() == tables.digest() and len(tables.digest()) == 4
    assert np.array_equal(again.widths, tables.widths)
    assert build(Mixture(0, 1, 0)).digest() != tables.digest()


def test_digest_covers_everything_that_decides_a_bit(tables):
    for name in ("shift", "escape_order"):
        changed = getattr(tables, name).copy()
        changed[5] += 1
        assert dataclasses.replace(tables, **{name: changed}).digest() != tables.digest()


def test_cost_equals_minus_log_probability(tables):
    rng = np.random.default_rng(1)
    index = rng.integers(0, tables.n_tables, 500)
    symbols = rng.integers(-3, 4, 500)
    expected = []
    for t, s in zip(index, symbols):
        half, shift = int(tables.half[t]), int(tables.shift[t])
        v = int(s) >> shift
        if -half <= v <= half:
            expected.append(24 - math.log2(tables.table_widths(int(t))[v + half]) + shift)
        else:
            raised = abs(v) - half - 1 + (1 << int(tables.escape_order[t]))
            n = raised.bit_length() - 1 - int(tables.escape_order[t])
            bits = 1 + n + 1 + n + int(tables.escape_order[t])
            expected.append(24 - math.log2(tables.table_widths(int(t))[-1]) + bits + shift)
    assert np.allclose(tables.cost_units(index, symbols) / 65536, expected, atol=1e-5)
    assert tables.cost_bits(index, symbols) == pytest.approx(sum(expected), abs=1e-2)


def test_extreme_symbols_have_finite_costs(tables):
    symbols = np.array([-(SYMBOL_LIMIT - 1), SYMBOL_LIMIT - 1])
    assert np.all(tables.cost_units(np.array([0, 511]), symbols) < 80 << 16)


def test_bucketed_tables_lose_next_to_nothing():
    sigma = np.array([100.0])
    rng = np.random.default_rng(3)
    symbols = np.rint(rng.logistic(0, 100 * math.sqrt(3) / math.pi, 20000)).astype(int)
    full, bucketed = build(sigmas=sigma, max_half=1024, n_fractions=1), build(sigmas=sigma, n_fractions=1)
    assert full.shift[0] == 0 and bucketed.shift[0] > 0
    index = np.zeros(symbols.size, dtype=int)
    extra = bucketed.cost_bits(index, symbols) - full.cost_bits(index, symbols)
    assert abs(extra) / symbols.size < 0.002


@pytest.mark.parametrize(
    "damage",
    [
        lambda a: a.pop("tables_half"),
        lambda a: a.update(tables_half=a["tables_half"].astype(np.int64)),
        lambda a: a.update(tables_widths=a["tables_widths"][:-1]),
        lambda a: a.update(tables_widths=np.concatenate([np.zeros(1, np.uint32), a["tables_widths"][1:]])),
        lambda a: a.update(tables_widths=(a["tables_widths"] + 1).astype(np.uint32)),
        lambda a: a.update(tables_shift=(a["tables_shift"] + 9).astype(np.uint8)),
        lambda a: a.update(tables_n_fractions=np.array(7, np.uint16)),
        lambda a: a.update(tables_sigmas=np.ones(3)),
    ],
)
def test_bad_tables_are_refused(tables, damage):
    arrays = tables.to_arrays()
    damage(arrays)
    with pytest.raises(TableError):
        ProbabilityTables.from_arrays(arrays)


def test_constriction_form_is_exact(tables):
    for index in (0, 100, 511):
        weights = tables.to_constriction(index)
        assert weights.dtype == np.float32
        assert np.array_equal(weights.astype(np.int64) + 1, tables.table_widths(index))
