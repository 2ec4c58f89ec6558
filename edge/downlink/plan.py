"""What of the queue goes down in a pass, and in which order.

Rate control says how many layers of every tile are worth their bytes. The order makes a pass that is cut
short still a map: first the first layers of all tiles, then everything else up to the plan, best saving per
byte first; urgent tiles come before all others, whole. Behind the plan stands what would be worth sending
next, so that the last bytes of a pass carry the beginning of a layer rather than nothing: the next pass sends
only its rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.rate import RatePlanner
from swathpack.edge.downlink.tiles import QueueTable
from swathpack.edge.packets.pieces import HEAD_BYTES, Span

URGENT = 1  # tiles of at least this urgency go before all others


@dataclass(frozen=True)
class PlanSettings:
    """floor_layers: layers that every tile gets before any gets more (0 or 1).

    rounds: the layers are sent in these portions; (1, 16) is: all first layers, then the rest. Neither holds for tiles
    whose layers are strips of rows: they go one after the other, whole, for a strip of each would be no image of any.
    """

    floor_layers: int = 1
    rounds: tuple[int, ...] = (1, LAYERS)


@dataclass(frozen=True, eq=False)
class _Part:
    """Tiles that are planned together: `rows` of the table, `costs` (n, 17) bytes still to send of each."""

    rows: NDArray[np.int64]
    costs: NDArray[np.int64]
    planner: RatePlanner


class PassPlan:
    """The plan of one pass; a new budget re-plans what is not yet sent."""

    def __init__(self, table: QueueTable, settings: PlanSettings) -> None:
        self.table, self._settings = table, settings
        self._prefix = table.prefix.copy()
        self._prefix[:, 0] = 0
        self._row = {int(number): i for i, number in enumerate(table.number)}
        self._parts: tuple[_Part, ...] | None = None
        # Kept up to date as spans are sent: a re-plan of 10,000 tiles must not look at every set of ranges.
        self._contiguous = np.zeros(len(table), np.int64)
        self._with_gaps: set[int] = set()
        for i in range(len(table)):
            self._note(i)

    def __len__(self) -> int:
        return len(self.table)

    def sent(self, span: Span) -> None:
        """These bytes are on their way: they cost nothing any more."""
        tile = self._row[span.number]
        self.table.have[tile].add(span.start, span.stop)
        self._note(tile)
        self._parts = None

    def _note(self, tile: int) -> None:
        have = self.table.have[tile]
        self._contiguous[tile] = have.prefix
        if len(have) > (1 if have.prefix else 0):
            self._with_gaps.add(tile)
        else:
            self._with_gaps.discard(tile)

    def layers(self, room_bytes: int) -> NDArray[np.int64]:
        """Layers (N,) that every tile is to have when `room_bytes` more may be sent, piece heads included."""
        layers, left = np.zeros(len(self.table), np.int64), room_bytes
        for part in self._current():
            layers[part.rows] = found = part.planner.plan(left)
            left -= int(part.costs[np.arange(len(found)), found].sum())
        return layers

    def spans(self, room_bytes: int) -> Iterator[Span]:
        """What to send, most important first, for this room; then what would come next, without end."""
        layers = self.layers(room_bytes)
        yield from self._ordered(layers)
        yield from self._beyond(layers)

    def _current(self) -> tuple[_Part, ...]:
        """Urgent tiles have all the room, the others what is left."""
        if self._parts is None:
            costs, table = self._costs(), self.table
            floor = np.where(table.strips, 0, self._settings.floor_layers)
            urgent = table.urgency >= URGENT
            groups = [np.flatnonzero(group) for group in (urgent, ~urgent) if group.any()]
            planned = [(table.distortion[rows], table.weight[rows], floor[rows]) for rows in groups]
            self._parts = tuple(
                _Part(rows, costs[rows], RatePlanner(costs[rows], *given)) for rows, given in zip(groups, planned)
            )
        return self._parts

    def _costs(self) -> NDArray[np.int64]:
        """Bytes still to send for every prefix (N, 17), with the heads of the pieces that carry them."""
        costs = np.maximum(self._prefix - self._contiguous[:, None], 0)
        for tile in self._with_gaps:
            covered = [np.clip(self._prefix[tile] - a, 0, b - a) for a, b in self.table.have[tile]]
            costs[tile] = self._prefix[tile] - np.sum(covered, axis=0)
        total: NDArray[np.int64] = costs + HEAD_BYTES * self._pieces(costs)
        return total

    def _pieces(self, costs: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many rounds a prefix takes that still have bytes to send: (N, 17), rising with the layers."""
        pieces = np.zeros_like(costs)
        start = 0
        for stop in self._settings.rounds:
            portion = costs[:, start + 1 : stop + 1] > costs[:, start : start + 1]
            pieces[:, start + 1 :] += np.pad(portion, ((0, 0), (0, LAYERS - stop)), mode="edge")
            start = stop
        return pieces

    def _ordered(self, layers: NDArray[np.int64]) -> Iterator[Span]:
        urgent = self.table.urgency >= URGENT
        for group in (np.nonzero(urgent)[0], np.nonzero(~urgent)[0]):
            start = 0
            for stop in self._settings.rounds:
                yield from self._round(group, layers, start, stop)
                start = stop

    def _round(self, group: NDArray[np.int64], layers: NDArray[np.int64], start: int, stop: int) -> Iterator[Span]:
        """The planned layers above `start` up to `stop` of some tiles, best saving per byte first. Strips go in one piece."""
        strips = self.table.strips[group]
        starts = np.where(strips, 0, start)
        due = (layers[group] > starts) & (~strips | (stop == LAYERS))
        tiles, starts = group[due], starts[due]
        ends = np.minimum(layers[tiles], stop)
        first, last = self._prefix[tiles, starts], self._prefix[tiles, ends]
        gain = self.table.distortion[tiles, starts] - self.table.distortion[tiles, ends]
        value = self.table.weight[tiles] * gain / np.maximum(last - first, 1)
        for i in np.argsort(-value, kind="stable"):
            yield from self._missing(int(tiles[i]), int(first[i]), int(last[i]))

    def _beyond(self, layers: NDArray[np.int64]) -> Iterator[Span]:
        reached = layers.copy()
        for part in self._current():
            found, stops = part.planner.order()
            tiles = part.rows[found]
            deeper = stops > reached[tiles]
            for tile, stop in zip(tiles[deeper].tolist(), stops[deeper].tolist()):
                prefix = self._prefix[tile]
                yield from self._missing(tile, int(prefix[reached[tile]]), int(prefix[stop]))
                reached[tile] = max(reached[tile], stop)

    def _missing(self, tile: int, start: int, stop: int) -> Iterator[Span]:
        number = int(self.table.number[tile])
        if tile not in self._with_gaps:
            start = max(start, int(self._contiguous[tile]))
            if start < stop:
                yield Span(number, start, stop)
            return
        for a, b in self.table.have[tile].missing(start, stop):
            yield Span(number, a, b)
