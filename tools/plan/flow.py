"""From captured tiles to the ground: coding on the board, storage, the queue, and what each pass carries.

One satellite is one `Flow`. Tiles travel in batches (one capture, one difficulty class, a part of a pass) so
that a month of Sentinel-2-sized imaging is a few thousand rows. Every pass goes in two steps:

1. Which quality can be held? All tiles that wait or will be captured within the look-ahead share all bytes of
   the passes in it: the slope of rate against distortion at which they just fit is the quality to send now.
   So a pass right after imaging does not spend what the next area needs.
2. Batches that fit at that quality (priority, then age) form the pass, and the rate controller that flies,
   `swathpack.edge.codec.rate.allocate`, gives each its layers for exactly the bytes of this pass.
3. What is left when all that waits is down goes to further layers of tiles that are down with some, as the loop does it.

Nothing is lost in the books: captured = cloudy + sent + dropped + waiting, and sent + spare + unused = budget bytes. Unused
is what a pass has beyond lossless coding of everything that waits; spare, what lossless coding would have taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.rate import allocate, hull_steps
from swathpack.tools.plan.imaging import Capture
from swathpack.tools.plan.inputs import Plan
from swathpack.tools.plan.rate_table import CLASS_WEIGHTS, REFERENCE_BANDS, REFERENCE_PX, RateTable

BATCHES_PER_PASS = 40  # finer batches fill a pass better and take longer
LEAST_PER_PASS = 8  # where a capture has many tiles
WORTH_GROWING = 0.02  # of a pass: with less left over, nothing more is looked for

Array = NDArray[np.float64]


@dataclass
class Batch:
    """`tiles` of one capture and one difficulty class (0 hard, 1 typical, 2 easy)."""

    capture: int
    kind: int
    tiles: int
    captured_s: float
    ready_s: float
    priority: float
    turn: float = 0.0  # 0..1: where in its capture; classes take turns, so a cut-off capture is a fair sample


@dataclass(frozen=True)
class Sent:
    """A batch that went down with `layers` layers. down_s, contact: of the first of them; shares: bytes of it by pass."""

    batch: Batch
    layers: int
    down_s: float
    contact: int
    shares: tuple[tuple[int, int], ...]


@dataclass
class FlowResult:
    """What became of everything: tiles, bytes of coded image, and bytes that passes left, with and without a use for them."""

    captured_tiles: int = 0
    cloudy_tiles: int = 0
    dropped_old: int = 0
    dropped_full: int = 0
    waiting_tiles: int = 0
    budget_bytes: int = 0
    sent_bytes: int = 0
    spare_bytes: int = 0
    unused_bytes: int = 0
    coding_s: float = 0.0
    coding_j: float = 0.0
    sent: list[Sent] = field(default_factory=list)
    growing: list[int] = field(default_factory=list)  # of `sent`: those that may get further layers
    # (time, waiting tiles, bytes held on board) after every event
    history: list[tuple[float, int, int]] = field(default_factory=list)
    pass_bytes: dict[int, int] = field(default_factory=dict)
    pass_tiles: dict[int, int] = field(default_factory=dict)

    @property
    def sent_tiles(self) -> int:
        """Tiles on the ground."""
        return sum(item.batch.tiles for item in self.sent)


@dataclass(frozen=True)
class PassBudget:
    """When a pass runs and how many bytes of coded image it carries."""

    number: int
    start_s: float
    end_s: float
    payload_bytes: int


class Flow:
    """One satellite's board, queue and passes."""

    def __init__(self, plan: Plan, table: RateTable) -> None:
        self._plan = plan
        codec = plan.codec
        keep = slice(0, min(codec.max_layers, len(table.names) - 1) + 1)
        size_of = plan.imager.tile_px, len(plan.imager.bands)
        self._costs = table.class_bytes(*size_of)[:, keep]
        # Of a lossless tile of every class, by which bytes are spare or unused; without figures all that is left is unused.
        exact = table.services[0].table.class_bytes(*size_of)[:, -1] if table.services else np.zeros(3, np.int64)
        self._exact = np.maximum(exact, 0)
        self._distortion = table.distortion()[:, keep]
        size = plan.imager.tile_px**2 * len(plan.imager.bands) / (REFERENCE_PX**2 * REFERENCE_BANDS)
        self._last = (self._distortion <= self._distortion[:, -1:]).argmax(axis=1)
        self._encode_s, self._energy_j = table.encode_s * size, table.energy_j * size
        self._floor = min(codec.min_layers, self._costs.shape[1] - 1)
        # One sort for all passes: what a tile of each (priority, class) costs and gains, best slope first.
        self._priorities = sorted({area.priority for area in plan.areas}) or [1.0]
        weighted = np.vstack([self._distortion * priority for priority in self._priorities])
        self._steps = hull_steps(np.tile(self._costs, (len(self._priorities), 1)), weighted)

    def _type(self, batch: Batch) -> int:
        """Row of the batch's priority and class in the sorted steps."""
        return self._priorities.index(batch.priority) * len(CLASS_WEIGHTS) + batch.kind

    def run(self, captures: list[Capture], passes: list[PassBudget], cloud: Array) -> FlowResult:
        """Play captures (with the cloud fraction of each) and passes in order of time."""
        result = FlowResult()
        batches = self._batches(captures, passes, cloud, result)
        demand = _Demand(batches, [self._type(batch) for batch in batches], len(self._priorities))
        carried = np.concatenate([[0], np.cumsum([p.payload_bytes for p in passes])])
        starts = np.array([p.start_s for p in passes])
        held: list[Batch] = []
        at = 0
        for number, contact in enumerate(passes):
            while at < len(batches) and batches[at].captured_s <= contact.start_s:
                at = self._arrive(batches, at, held, result)
            held = self._expire(held, contact.start_s, result)
            horizon = contact.start_s + self._plan.codec.lookahead_hours * 3600
            ahead = int(carried[np.searchsorted(starts, horizon, side="right")] - carried[number])
            # Nothing captured after the last pass can compete for bytes.
            coming = demand.between(at, min(horizon, passes[-1].end_s))
            held = self._send(contact, held, coming, ahead, result)
            result.history.append(self._level(held, contact.end_s))
        while at < len(batches):
            at = self._arrive(batches, at, held, result)
        held = self._expire(held, self._plan.end_s, result)
        result.waiting_tiles = sum(batch.tiles for batch in held)
        result.history.append(self._level(held, self._plan.end_s))
        return result

    def _batches(
        self, captures: list[Capture], passes: list[PassBudget], cloud: Array, result: FlowResult
    ) -> list[Batch]:
        """Clear tiles of every capture by class, cut small enough to share a pass, coded in a row."""
        typical = float(np.mean([p.payload_bytes for p in passes])) if passes else 1e9
        a_tile = self._bytes_a_tile(captures, passes)
        largest, most = (max(1, int(typical / n / a_tile)) for n in (BATCHES_PER_PASS, LEAST_PER_PASS))
        coder_free, found = -np.inf, []
        for number, capture in enumerate(captures):
            screened = round(capture.tiles * float(cloud[number])) if self._plan.codec.drop_cloudy else 0
            result.captured_tiles += capture.tiles
            result.cloudy_tiles += screened
            clear = capture.tiles - screened
            result.coding_s += clear * self._encode_s
            result.coding_j += clear * self._energy_j
            coder_free = max(coder_free, capture.start_s)
            for kind, tiles in enumerate(split_tiles(clear)):
                parts = parts_of(tiles, max(largest, min(tiles // 24, most)))
                for at, part in enumerate(parts):
                    coder_free += part * self._encode_s
                    found.append(
                        Batch(
                            number,
                            kind,
                            part,
                            capture.end_s,
                            max(coder_free, capture.end_s),
                            capture.area.priority,
                            (at + 0.5) / len(parts),
                        )
                    )
        return sorted(found, key=lambda batch: batch.captured_s)

    def _bytes_a_tile(self, captures: list[Capture], passes: list[PassBudget]) -> float:
        """About what a tile gets: its share of all bytes, within what one can take."""
        share = sum(p.payload_bytes for p in passes) / max(sum(capture.tiles for capture in captures), 1)
        return float(np.clip(share, max(self._costs[1, self._floor], 1), max(self._costs[1, -1], 1)))

    def _bytes_held(self, batches: list[Batch], now: float) -> int:
        """Raw until coded, then the whole coded stream."""
        raw, coded = self._plan.imager.raw_tile_bytes, self._costs[:, -1].tolist()
        return sum(batch.tiles * (coded[batch.kind] if batch.ready_s <= now else raw) for batch in batches)

    def _level(self, held: list[Batch], now: float) -> tuple[float, int, int]:
        return now, sum(batch.tiles for batch in held), self._bytes_held(held, now)

    def _arrive(self, batches: list[Batch], at: int, held: list[Batch], result: FlowResult) -> int:
        """Take in all batches of one capture; what does not fit into storage is lost."""
        now, room = batches[at].captured_s, self._plan.storage_gbyte * 1e9
        room -= self._bytes_held(held, now)
        while at < len(batches) and batches[at].captured_s == now:
            size = batches[at].tiles * self._plan.imager.raw_tile_bytes
            if size <= room:
                room -= size
                held.append(batches[at])
            else:
                result.dropped_full += batches[at].tiles
            at += 1
        result.history.append(self._level(held, now))
        return at

    def _expire(self, held: list[Batch], now: float, result: FlowResult) -> list[Batch]:
        oldest = now - self._plan.codec.max_age_hours * 3600
        result.dropped_old += sum(batch.tiles for batch in held if batch.captured_s < oldest)
        return [batch for batch in held if batch.captured_s >= oldest]

    def _send(
        self, contact: PassBudget, held: list[Batch], coming: Array, ahead: int, result: FlowResult
    ) -> list[Batch]:
        """One pass; returns what still waits. `coming` and `ahead` are the look-ahead's tiles and bytes."""
        budget = contact.payload_bytes
        ready = sorted(
            (b for b in held if b.ready_s <= contact.start_s),
            key=lambda b: (-b.priority, b.captured_s, b.turn),
        )
        chosen = self._choose(ready, self._held_layers(held, coming, ahead), budget) if ready else []
        layers = self.layers_of(chosen, budget)
        used = tiles = 0
        gone = set()
        for batch, count in zip(chosen, layers):
            if count == 0:
                continue
            size = int(self._costs[batch.kind, count]) * batch.tiles
            used += size
            tiles += batch.tiles
            gone.add(id(batch))
            down = contact.start_s + (contact.end_s - contact.start_s) * min(1.0, used / max(budget, 1))
            result.growing.append(len(result.sent))
            result.sent.append(Sent(batch, int(count), down, contact.number, ((contact.number, size),)))
        if budget - used > WORTH_GROWING * budget:
            used += self._grow(contact, budget - used, result)
        result.budget_bytes += budget
        result.sent_bytes += used
        useful = min(budget, max(used, self._lossless_bytes(ready)))
        result.spare_bytes += useful - used
        result.unused_bytes += budget - useful
        result.pass_bytes[contact.number] = used
        result.pass_tiles[contact.number] = tiles
        return [batch for batch in held if id(batch) not in gone]

    def _grow(self, contact: PassBudget, budget: int, result: FlowResult) -> int:
        """Further layers of what is down and not too old, by the rate controller; returns their bytes."""
        oldest = contact.start_s - self._plan.codec.max_age_hours * 3600
        young = [at for at in result.growing if result.sent[at].batch.captured_s >= oldest]
        result.growing = [at for at in young if result.sent[at].layers < self._last[result.sent[at].batch.kind]]
        if not result.growing:
            return 0
        sent = [result.sent[at] for at in result.growing]
        kinds, now = np.array([s.batch.kind for s in sent]), np.array([s.layers for s in sent])
        tiles = np.array([s.batch.tiles for s in sent])
        rows = np.arange(len(sent))
        costs = self._costs[kinds]
        costs = np.maximum(costs - costs[rows, now][:, None], 0) * tiles[:, None]
        left = np.minimum(self._distortion[kinds], self._distortion[kinds, now][:, None])
        layers = allocate(costs, left, np.array([s.batch.priority for s in sent]) * tiles, budget)
        for at, one, count, size in zip(result.growing, sent, np.maximum(layers, now), costs[rows, layers]):
            if size:
                shares = (*one.shares, (contact.number, int(size)))
                result.sent[at] = replace(one, layers=int(count), shares=shares)
        return int(costs[rows, layers].sum())

    def _lossless_bytes(self, ready: list[Batch]) -> int:
        """Bytes of all these tiles, every value exact."""
        return sum(batch.tiles * int(self._exact[batch.kind]) for batch in ready)

    def _choose(self, ready: list[Batch], target: NDArray[np.int64], budget: int) -> list[Batch]:
        """The ready batches, in order, that fit into this pass at the quality the look-ahead can hold."""
        chosen: list[Batch] = []
        left = budget
        for batch in ready:
            cost = int(self._costs[batch.kind, target[self._type(batch)]]) * batch.tiles
            if cost > left and chosen:
                break
            chosen.append(batch)
            left -= cost
        return chosen

    def _held_layers(self, held: list[Batch], coming: Array, budget: int) -> NDArray[np.int64]:
        """Layers per type at which all these tiles together just fit, at least the floor."""
        count = coming.copy()
        for batch in held:
            count[self._type(batch)] += batch.tiles
        fits = np.cumsum(self._steps.cost * count[self._steps.tile]) <= budget
        layers = np.full(len(count), self._floor)
        np.maximum.at(layers, self._steps.tile[fits], self._steps.stop[fits])
        return layers

    def layers_of(self, chosen: list[Batch], budget: int) -> NDArray[np.int64]:
        """The rate controller's own decision for this pass: a batch of n tiles costs and counts n times."""
        if not chosen:
            return np.zeros(0, np.int64)
        tiles = np.array([batch.tiles for batch in chosen])
        kinds = np.array([batch.kind for batch in chosen])
        costs = self._costs[kinds] * tiles[:, None]
        if int(costs[:, -1].sum()) <= budget:
            # What `allocate` would find: everything fits, up to the last layer that a class gains something by.
            last: NDArray[np.int64] = self._last[kinds]
            return last
        distortion = self._distortion[kinds]
        weights = np.array([batch.priority for batch in chosen]) * tiles
        return allocate(costs, distortion, weights, budget, self._floor)


class _Demand:
    """Tiles still to come, per type, by position and time of arrival."""

    def __init__(self, batches: list[Batch], types: list[int], priorities: int) -> None:
        self._time = np.array([batch.captured_s for batch in batches])
        table = np.zeros((len(batches) + 1, priorities * len(CLASS_WEIGHTS)))
        for row, (batch, kind) in enumerate(zip(batches, types), 1):
            table[row, kind] = batch.tiles
        self._sum = np.cumsum(table, axis=0)

    def between(self, first: int, until_s: float) -> Array:
        """(types,) tiles of batches from number `first` on that are captured by `until_s`."""
        last = int(np.searchsorted(self._time, until_s, side="right"))
        out: Array = self._sum[max(last, first)] - self._sum[first]
        return out


def split_tiles(tiles: int) -> list[int]:
    """Tiles per class by CLASS_WEIGHTS, whole and adding up."""
    hard, easy = round(tiles * CLASS_WEIGHTS[0]), round(tiles * CLASS_WEIGHTS[2])
    easy = min(easy, tiles - hard)
    return [hard, tiles - hard - easy, easy]


def parts_of(tiles: int, largest: int) -> list[int]:
    """Whole parts of nearly equal size, none larger than `largest`."""
    if tiles == 0:
        return []
    number = -(-tiles // largest)
    return [(tiles * (at + 1)) // number - (tiles * at) // number for at in range(number)]
