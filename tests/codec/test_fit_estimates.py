"""The tables of the estimates are the least squares that they claim to be."""

from __future__ import annotations

import numpy as np

from swathpack.codec.fit_estimates import Squares, fit_estimates
from swathpack.edge.codec.transform_coder import bitplane
from swathpack.edge.codec.transform_coder.estimate import SHAPE, TAPS, WEIGHT_BITS
from swathpack.edge.codec.transform_coder.layout import Pyramid, layout_of


def test_a_rule_is_found_again() -> None:
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 3, 60_000)
    rules = np.array([[0, 0, 0.25, -0.5, 0.1], [0.5, -0.1, 0, 0, 0], [0, 0, 0, 0, 0]])
    taps = rng.normal(size=(len(keys), TAPS))
    sums = Squares()
    wanted = (taps * rules[keys]).sum(axis=1)
    for half in (np.s_[:20_000], np.s_[20_000:]):
        sums.add(keys[half], taps[half], wanted[half])
    tables = sums.tables()
    assert tables.shape == SHAPE and tables.dtype == np.int16
    found = tables.reshape(-1, TAPS) / (1 << WEIGHT_BITS)
    assert np.allclose(found[:3], rules, atol=2e-3) and not found[3:].any()


def test_coefficients_that_alternate_teach_that_they_do() -> None:
    rng = np.random.default_rng(2)
    layout = layout_of((Pyramid(128, 128, 1, 1, 1),))
    values = np.zeros(layout.n_values, np.int32)
    for view, row in zip(layout.views(values), layout.subbands):
        size = np.abs(rng.laplace(size=(len(view), 1)).repeat(view.shape[1], 1)) * 900
        view[:] = size * rng.uniform(0.7, 1, view.shape) * (-1) ** np.arange(view.shape[1]) * (row[11] == 1)
    planes = int(np.abs(values).max() >> bitplane.FRACTION).bit_length()
    tables = fit_estimates([(layout, planes, values)], bitplane.model()[:2])
    beside = tables[1, 0, 1:, 0, 2]  # HL, finest, something around, not found: what stands at both sides
    assert (beside <= 0).all() and beside.min() < -200
