"""What the error of a tile falls with its bytes: the lower convex hull of its prefixes, the one that rate control walks.

Files and board take the same hull (`hull_steps`), of other points. A file's tile may be cut at any byte, so its `Curve` runs
between the points; the board knows what each of sixteen layers takes and cuts there, so that it takes the steps themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.rate.levels import slope_at

Bytes = NDArray[np.int64]
Reals = NDArray[np.float64]
# tile, stop, cost, gain, slope of some steps: arrays of one length.
FoundSteps = tuple[NDArray[np.int64], NDArray[np.int64], Bytes, Reals, Reals]

# What a latent cannot hold, in units of the energy of its last layer: 14.2 on validation tiles (10th to 90th
# percentile 9.6 to 19.9, correlation of the logarithms 0.995). The same for every number of layers, so it moves no
# byte between tiles; it makes the estimate one of the image's error and not only of the latent's.
TAIL_PER_LAST_LAYER = 14.2


@dataclass(frozen=True)
class HullSteps:
    """Hull steps of all tiles, best slope first; within a tile in order of layers. All arrays (S,)."""

    tile: NDArray[np.int64]
    stop: NDArray[np.int64]
    cost: Bytes
    gain: Reals
    slope: Reals


@dataclass(frozen=True, eq=False)
class Curve:
    """The hull of one tile that may be cut at any byte: `sizes` of its vertices and `slopes` there (error saved a byte), both
    without equal ones. steepest: slope of the way to the first vertex, which is taken whole or not at all.
    """

    sizes: Reals
    slopes: Reals
    steepest: float

    @classmethod
    def of(cls, sizes: Bytes, errors: Reals) -> Curve:
        """Of a tile's prefixes, 0 bytes first."""
        longer = np.append(True, np.diff(np.maximum.accumulate(sizes)) > 0)
        sizes, errors = sizes[longer], errors[longer]
        steps = hull_steps(sizes[None], errors[None])
        if not len(steps.stop):
            return cls(np.zeros(1), np.zeros(1), 0.0)
        chords = steps.gain / steps.cost
        # At the end of a chord the slope lies between it and the next one; behind the last it falls as fast again.
        following = np.append(chords[1:], chords[-1] * min(0.25, chords[-1] / chords[-2] if len(chords) > 1 else 0.25))
        return cls(sizes[steps.stop].astype(np.float64), np.sqrt(chords * following), float(chords[0]))

    def times(self, worth: float) -> Curve:
        """The same of a tile whose error counts so many times."""
        return Curve(self.sizes, self.slopes * worth, self.steepest * worth)

    def bytes_at(self, slope: float) -> int:
        """The prefix beyond which a byte saves less error than `slope`; interpolated on logarithmic scales."""
        if not self.sizes[-1] or slope > self.steepest:
            return 0
        if slope <= self.slopes[-1]:
            return int(self.sizes[-1])
        return int(2 ** np.interp(-np.log2(slope), -np.log2(self.slopes), np.log2(self.sizes)))

    def bytes_at_level(self, level: float, gain: float) -> int:
        """The prefix that a level asks for; gain: DN of a count."""
        return self.bytes_at(slope_at(level, gain))

    def slope_behind(self, size: int) -> float:
        """The slope at the first vertex of at least that many bytes, or at the last one."""
        return float(self.slopes[min(int(np.searchsorted(self.sizes, size)), len(self.slopes) - 1)])


def hull_steps(costs: Bytes, weighted: Reals, start: int | NDArray[np.int64] = 0) -> HullSteps:
    """Lower convex hull of every tile from layer `start`, its steps sorted by falling slope.

    From a vertex the next one is the point with the steepest saving per byte (gift wrapping), which for all
    tiles together is one vectorised search per vertex: at most K rounds.

    Args:
        costs: (N, K+1) int64; weighted: (N, K+1) float64; start: first layer of the hull, of all tiles or (N,) of each.
    """
    count, width = costs.shape
    vertex = np.broadcast_to(np.asarray(start, np.int64), count).copy()
    alive = np.arange(count)
    steepest = np.full(count, np.inf)
    found: list[FoundSteps] = []
    for _ in range(width - 1 - int(vertex.min(initial=0))):
        extra = costs[alive] - costs[alive, vertex[alive]][:, None]
        gain = weighted[alive, vertex[alive]][:, None] - weighted[alive]
        beyond = np.arange(width) > vertex[alive, None]
        # Free layers come first; half a byte keeps the slope finite without overtaking any real one.
        slope = np.where(beyond & (gain > 0), gain / np.maximum(extra, 0.5), -1.0)
        # Of equal slopes the farther one is the vertex: search from the right.
        stop = width - 1 - slope[:, ::-1].argmax(axis=1)
        rows = np.arange(len(alive))
        good = slope[rows, stop] > 0
        alive, stop, rows = alive[good], stop[good], rows[good]
        if not len(alive):
            break
        # Never steeper than the step before, whatever rounding does: sorting must keep the steps in order.
        steepest[alive] = np.minimum(steepest[alive], slope[rows, stop])
        found.append((alive, stop, extra[rows, stop], gain[rows, stop], steepest[alive]))
        vertex[alive] = stop
    return sorted_steps(found)


def sorted_steps(found: list[FoundSteps]) -> HullSteps:
    """Of some steps, best slope first."""
    if not found:
        whole, real = np.zeros(0, np.int64), np.zeros(0)
        return HullSteps(whole, whole, whole, real, real)
    tile, stop, cost = (np.concatenate([part[i] for part in found]) for i in range(3))
    gain, slope = (np.concatenate([part[i] for part in found]) for i in (3, 4))
    # Stable and vertex-major: equal slopes of one tile stay in the order of its layers.
    order = np.argsort(-slope, kind="stable")
    return HullSteps(tile[order], stop[order], cost[order], gain[order], slope[order])


def remaining_error(
    kept: Reals, missing: Reals, nothing: Reals, refined: Sequence[int], first_unsent: float, last_energy: float
) -> Reals:
    """Squared error (DN^2) of a tile with its first k layers, from what the board knows of its coefficients.

    Args:
        kept: (G,) error of every group of channels at the full step: quantisation.
        missing: (G,) error of every group that is not there at the full step, when something of the tile is: of its
            base, or against the predicted mean.
        nothing: (G,) error of every group when nothing of the tile is there.
        refined: (K+1,) how many groups k layers bring to the full step.
        first_unsent: error of the first group when nothing at all is sent. Its mean was predicted from its own
            neighbours, which are then missing too, so `nothing[0]` is far too small for that case.
        last_energy: energy of the last group, from which the error beyond the latent is extrapolated.

    Returns:
        (K+1,) float64 that never rises with k.
    """
    errors = np.array([kept[:g].sum() + missing[g:].sum() for g in refined])
    errors[0] = nothing.sum() + max(first_unsent - float(nothing[0]), 0.0)
    # More layers never count as worse: the hull relies on it.
    falling: Reals = np.minimum.accumulate(errors) + TAIL_PER_LAST_LAYER * last_energy
    return falling
