"""What the trellis starts from: bits that its indices cost, states and weights of the plane it runs through, tables of its estimates.

Training crops are quantised at two steps each, of those at which they take 0.03 to 3 bits a value, about. Three rounds: paths by
the costs of the round before, costs by how often an index then stands where. Then the states and weights that bit planes do not have, two
rounds as in `swathpack.codec.train_transform_coder.learn`, and the estimates as in `fit_estimates`. Some minutes on one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.fit_estimates import Squares, observe
from swathpack.edge.codec.transform_coder import native
from swathpack.edge.codec.transform_coder.bitplane import FRACTION
from swathpack.edge.codec.transform_coder.layout import Layout
from swathpack.edge.codec.transform_coder.trellis import WORTH, scaled_indices

STEPS = 2.0 ** np.arange(1, 8.5, 0.5)  # DN
STEPS_A_CROP, LEAST_BITS, MOST_BITS = 2, 0.03, 3.0
ROUNDS = 3
UNSEEN = 0.5  # counts that every index starts with

Start = tuple[NDArray[np.uint16], NDArray[np.int32]]


@dataclass(frozen=True, eq=False)
class Sample:
    """Coefficients (n_values,) in DN, and a step."""

    layout: Layout
    values: NDArray[np.float32]
    step: float

    def indices(self, costs: NDArray[np.float32]) -> NDArray[np.int32]:
        """The best path's."""
        return native.choose_indices(self.layout.subbands, self.values, self.step, WORTH, costs)

    def given(self, model: Start, planes: int) -> tuple[NDArray[np.uint32], int, int, int, Start]:
        """What the bit-plane coder is given."""
        return self.layout.subbands, self.layout.n_values, self.layout.n_cells, planes, model


def samples_of(crops: Sequence[tuple[Layout, NDArray[np.int32]]], seed: int = 1) -> Iterator[Sample]:
    """Crops as the bit-plane coder takes them at a step of 1 DN -> each at some steps."""
    rng = np.random.default_rng(seed)
    for layout, fine in crops:
        values = (fine / (1 << FRACTION)).astype(np.float32)
        sizes = np.abs(np.concatenate([view.ravel() for view in layout.views(values)]))
        bits = np.array([bits_about(sizes, step) for step in STEPS])
        usable = STEPS[(bits > LEAST_BITS) & (bits < MOST_BITS)]
        for step in rng.choice(usable, min(STEPS_A_CROP, len(usable)), replace=False):
            yield Sample(layout, values, float(step))


def bits_about(sizes: NDArray[np.floating], step: float) -> float:
    """Bits a coefficient of these sizes at that step, so that crops have some of every rate: too few at low rates, else too many."""
    return 1.3 * float(np.log2(1 + sizes / (2 * step)).mean())


def fit_costs(samples: Sequence[Sample]) -> NDArray[np.float32]:
    """(2, 24, 18) bits of an index with its sign, by quantiser and class of what stands around."""
    expected = np.maximum(2.0 ** ((np.arange(24) - 10) / 2) / 2, 0.02)
    costs = _bits_of(np.exp(-np.arange(18) / expected[:, None])[None].repeat(2, axis=0) + 1e-6)
    for _ in range(ROUNDS):
        counts = np.full(costs.shape, UNSEEN)
        for s in samples:
            counts += native.count_indices(s.layout.subbands, s.values, s.step, s.indices(costs))
        costs = _bits_of(counts)
    return costs


def _bits_of(counts: NDArray[np.float64]) -> NDArray[np.float32]:
    bits = -np.log2(counts / counts.sum(axis=-1, keepdims=True))
    bits[..., 1:] += 1  # the sign
    return np.ascontiguousarray(bits, np.float32)


def fit_trellis_estimates(samples: Sequence[Sample], costs: NDArray[np.float32], model: Start) -> NDArray[np.int16]:
    """Tables of `swathpack.edge.codec.transform_coder.estimate` for what indices stand for."""
    sums, none = Squares(), np.zeros(0, np.uint64)
    for s in samples:
        values, planes = scaled_indices(s.indices(costs))
        given = s.given(model, planes)
        payload = native.encode(*given, values, 4 * len(values) + 4096, none, None, True)[0]
        doubled, bits, _ = native.decode(*given, payload, none, None, True)
        true = s.values.astype(np.float64) * (64 / s.step)
        observe(sums, s.layout, true, 32 * doubled.astype(np.int64), bits)
    return sums.tables()
