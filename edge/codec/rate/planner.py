"""How many layers of every tile go down in a pass: the board's way to fill a budget, in steps of whole layers.

Taking hull steps of all tiles in the order of their slope is the Lagrangian solution for every multiplier at once; what the
last step leaves over is then filled greedily, to the byte. Sorting happens once per set of tiles: a new budget costs one
binary search and the greedy fill.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.rate.curves import Bytes, HullSteps, Reals, hull_steps, sorted_steps


class RateInputError(ValueError):
    """The tables given to rate control contradict each other."""


def allocate(
    costs_bytes: Bytes,
    distortions: Reals,
    weights: Reals,
    budget_bytes: int,
    floor_layers: int | NDArray[np.int64] = 0,
) -> NDArray[np.int64]:
    """Layers per tile that minimise the weighted distortion within the budget.

    Args:
        costs_bytes: (N, K+1) int64, bytes when the first k layers of the tile are sent; never falls with k.
        distortions: (N, K+1) float64, squared error (DN^2) that remains with k layers.
        weights: (N,) float64 >= 0, how much a tile's error matters.
        budget_bytes: bytes of all tiles together.
        floor_layers: this many layers of every tile, or (N,) of each, come before anything deeper of any tile.

    Returns:
        (N,) int64 layers. The sum of `costs_bytes` at these layers is at most max(budget, cost of nothing),
        and no further layer of any tile with something to gain fits into what is left.

    Raises:
        RateInputError: shapes differ, costs fall or are negative, or a number is not finite.
    """
    return RatePlanner(costs_bytes, distortions, weights, floor_layers).plan(budget_bytes)


class RatePlanner:
    """Rate control of one set of tiles for any number of budgets (see `allocate` for the arguments)."""

    def __init__(
        self, costs_bytes: Bytes, distortions: Reals, weights: Reals, floor_layers: int | NDArray[np.int64] = 0
    ) -> None:
        self._costs, self._weighted = _checked(costs_bytes, distortions, weights)
        self._base = int(self._costs[:, 0].sum())
        top = self._costs.shape[1] - 1
        self._floor = np.clip(np.broadcast_to(np.asarray(floor_layers, np.int64), len(self._costs)), 0, top)
        self._floor_steps = _forced_steps(self._costs, self._weighted, self._floor)
        self._steps = hull_steps(self._costs, self._weighted, self._floor)
        self._floor_ends = np.cumsum(self._floor_steps.cost)
        self._step_ends = np.cumsum(self._steps.cost)

    def plan(self, budget_bytes: int) -> NDArray[np.int64]:
        """Layers (N,) int64 for this budget. Steps below the hull are used only for the last bytes."""
        layers = np.zeros(len(self._costs), np.int64)
        left = int(budget_bytes) - self._base
        if left < 0:
            return layers
        left = self._take(self._floor_steps, self._floor_ends, layers, left)
        if (layers == self._floor).all():
            left = self._take(self._steps, self._step_ends, layers, left)
        self._fill(layers, left)
        return layers

    def order(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(tile, layer) of every step, floor first, then best slope first: all that is worth sending."""
        steps = (self._floor_steps, self._steps)
        tile, stop = np.concatenate([s.tile for s in steps]), np.concatenate([s.stop for s in steps])
        return tile, stop

    def _take(self, steps: HullSteps, ends: Bytes, layers: NDArray[np.int64], left: int) -> int:
        """Take whole steps in order while they fit, then those behind that still fit. Returns bytes left."""
        first = int(np.searchsorted(ends, left, side="right"))
        np.maximum.at(layers, steps.tile[:first], steps.stop[:first])
        left -= int(ends[first - 1]) if first else 0
        blocked = np.zeros(len(layers), bool)
        rest = np.arange(first, len(steps.tile))
        while len(rest):
            # A step that does not fit blocks its tile: later steps of the tile start where it would end.
            blocked[steps.tile[rest[steps.cost[rest] > left]]] = True
            rest = rest[~blocked[steps.tile[rest]]]
            used = np.cumsum(steps.cost[rest])
            count = int(np.searchsorted(used, left, side="right"))
            if count == 0:
                break
            np.maximum.at(layers, steps.tile[rest[:count]], steps.stop[rest[:count]])
            left -= int(used[count - 1])
            rest = rest[count:]
        return left

    def _fill(self, layers: NDArray[np.int64], left: int) -> None:
        """Spend the last bytes on single moves, best saving per byte first, until none fits."""
        at = np.arange(len(layers))
        now_cost, now_error = self._costs[at, layers], self._weighted[at, layers]
        rows = np.nonzero(self._next_cost(layers) - now_cost <= left)[0]
        while len(rows):
            extra = self._costs[rows] - now_cost[rows, None]
            gain = now_error[rows, None] - self._weighted[rows]
            fits = (extra <= left) & (gain > 0) & (extra >= 0)
            fits &= np.arange(self._costs.shape[1]) > layers[rows, None]
            rate = np.where(fits, gain / np.maximum(extra, 0.5), -1.0)
            best = int(rate.argmax())
            row, stop = divmod(best, rate.shape[1])
            if rate[row, stop] < 0:
                return
            tile = rows[row]
            left -= int(extra[row, stop])
            layers[tile], now_cost[tile] = stop, self._costs[tile, stop]
            now_error[tile] = self._weighted[tile, stop]
            rows = rows[fits.any(axis=1)]

    def _next_cost(self, layers: NDArray[np.int64]) -> Bytes:
        """(N,) cost with one more layer; a value that never fits for tiles that are complete."""
        top = self._costs.shape[1] - 1
        following = self._costs[np.arange(len(layers)), np.minimum(layers + 1, top)]
        return np.where(layers < top, following, np.iinfo(np.int64).max // 2)


def _forced_steps(costs: Bytes, weighted: Reals, floor: NDArray[np.int64]) -> HullSteps:
    """One step per tile from nothing to its floor (N,), best saving per byte first; none without a floor."""
    tile = np.flatnonzero(floor)
    if not len(tile):
        return sorted_steps([])
    gain = np.maximum(weighted[tile, 0] - weighted[tile, floor[tile]], 0.0)
    extra = costs[tile, floor[tile]] - costs[tile, 0]
    return sorted_steps([(tile, floor[tile], extra, gain, gain / np.maximum(extra, 0.5))])


def _checked(costs: Bytes, distortions: Reals, weights: Reals) -> tuple[Bytes, Reals]:
    """The inputs as int64 costs and weighted float64 distortions, or RateInputError."""
    costs, distortions = np.asarray(costs, np.int64), np.asarray(distortions, np.float64)
    weights = np.asarray(weights, np.float64)
    if costs.ndim != 2 or costs.shape[1] < 2 or costs.shape != distortions.shape:
        raise RateInputError(f"expected two (N, K+1) tables, found {costs.shape} and {distortions.shape}")
    if weights.shape != (len(costs),):
        raise RateInputError(f"expected {len(costs)} weights, found shape {weights.shape}")
    if not (np.isfinite(distortions).all() and np.isfinite(weights).all() and (weights >= 0).all()):
        raise RateInputError("expected finite distortions and finite weights >= 0")
    if (costs[:, :1] < 0).any() or (np.diff(costs, axis=1) < 0).any():
        raise RateInputError("expected costs >= 0 that never fall with more layers")
    return costs, distortions * weights[:, None]
