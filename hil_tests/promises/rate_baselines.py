"""The simple ways to share bytes among tiles, which rate control must beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.rate.curves import Bytes, Reals


def uniform_layers(costs_bytes: Bytes, budget_bytes: int) -> int:
    """The largest k that every tile can have alike within the budget: the simplest baseline."""
    totals = np.asarray(costs_bytes, np.int64).sum(axis=0)
    return max(int(np.searchsorted(totals, budget_bytes, side="right")) - 1, 0)


def greedy_layers(costs_bytes: Bytes, distortions: Reals, weights: Reals, budget_bytes: int) -> NDArray[np.int64]:
    """Layer-by-layer greedy without hulls: the other baseline. Arguments and result as in `allocate`.

    Always the single next layer with the best saving per byte that still fits; a poor layer hides the good
    ones behind it, which is what the hull repairs.
    """
    costs, weighted = costs_bytes, distortions * weights[:, None]
    count, width = costs.shape
    layers = np.zeros(count, np.int64)
    left = int(budget_bytes) - int(costs[:, 0].sum())
    step_cost, step_gain = np.diff(costs, axis=1), -np.diff(weighted, axis=1)
    rate = step_gain / np.maximum(step_cost, 0.5)
    front_rate, front_cost = rate[:, 0].copy(), step_cost[:, 0].copy()
    while left >= 0:
        best = int(np.where(front_cost <= left, front_rate, -np.inf).argmax())
        if front_cost[best] > left or front_rate[best] <= 0:
            return layers
        left -= int(front_cost[best])
        layers[best] += 1
        done = layers[best] == width - 1
        front_rate[best] = -np.inf if done else rate[best, layers[best]]
        front_cost[best] = 0 if done else step_cost[best, layers[best]]
    return layers
