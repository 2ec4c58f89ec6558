"""Who talks to whom: the contacts that stations and satellites can hold at the same time.

A satellite has one transmitter and a station `antennas` receivers, each needing `setup_s` before a contact.
`solve` chooses by integer programming (HiGHS in scipy.optimize.milp), `greedy` takes the best pass first.
Where passes overlap, a pass may also be cut at the other one's edges.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from swathpack.edge.downlink.budget import whole_ms
from swathpack.tools.plan.passes import Contact, later_ms

TIME_LIMIT_S = 10.0
MIP_GAP = 1e-4
GROUP_SIZE = 400  # variables put into one call of the solver
TIE_BREAK = 1e-7  # value of a unit of cost when cost is not weighed: prefers the cheaper of equals


@dataclass(frozen=True)
class Schedule:
    """The contacts chosen, and how well two methods did (bytes of Space Packets, value by the objective)."""

    contacts: tuple[Contact, ...]
    possible: int
    optimal_bytes: int
    greedy_bytes: int
    optimal_value: float
    greedy_value: float
    proven: bool


@dataclass(frozen=True)
class _Variant:
    """One way to use a pass."""

    contact: Contact
    value: float

    def busy(self, station: bool) -> tuple[float, float]:
        """When it holds the antenna (with its setup) or the transmitter."""
        return whole_ms(self.contact.start_s - (_gap_s(self.contact) if station else 0.0)), self.contact.end_s


def _gap_s(contact: Contact) -> float:
    """The station's setup in whole milliseconds, as all times here."""
    return later_ms(contact.station.setup_s)


def make_schedule(
    contacts: list[Contact], min_pass_s: float, gbyte_value: float = 0.0, cost_limit_per_day: float = 0.0
) -> Schedule:
    """Choose contacts to carry the most value: bytes, or with `gbyte_value` their worth less their cost.

    Args:
        contacts: all usable passes.
        min_pass_s: no cut leaves less than this.
        gbyte_value: what a gigabyte is worth in the stations' currency; 0 maximises bytes.
        cost_limit_per_day: no calendar day costs more than this; 0 for no limit.
    """
    variants = _variants(contacts, min_pass_s, gbyte_value)
    first = greedy(variants, cost_limit_per_day)
    best, proven = solve(variants, cost_limit_per_day)
    if sum(v.value for v in best) < sum(v.value for v in first):
        best = first  # better within the solver's gap, or it ran out of time and `proven` says so
    chosen = sorted((v.contact for v in best), key=lambda contact: contact.start_s)
    return Schedule(
        tuple(chosen),
        len(contacts),
        sum(v.contact.bytes for v in best),
        sum(v.contact.bytes for v in first),
        sum(v.value for v in best),
        sum(v.value for v in first),
        proven,
    )


def _value(contact: Contact, gbyte_value: float) -> float:
    if gbyte_value > 0:
        return contact.bytes / 1e9 * gbyte_value - contact.cost
    return contact.bytes / 1e9 - TIE_BREAK * contact.cost


def _variants(contacts: list[Contact], min_pass_s: float, gbyte_value: float) -> list[_Variant]:
    """Every whole pass, and passes cut at the edges of those they clash with; worthless ones are left out."""
    clashes = _clashes(contacts)
    found = []
    for contact in contacts:
        spans = {(contact.start_s, contact.end_s)}
        for other in clashes[contact.number]:
            gap = _gap_s(contact) if other.station.name == contact.station.name else 0.0
            spans.add((max(contact.start_s, whole_ms(other.end_s + gap)), contact.end_s))
            spans.add((contact.start_s, min(contact.end_s, whole_ms(other.start_s - gap))))
        for start, end in sorted(spans):
            if end - start < min_pass_s:
                continue
            whole = (start, end) == (contact.start_s, contact.end_s)
            part = contact if whole else contact.part(start, end)
            value = _value(part, gbyte_value)
            if value > 0:
                found.append(_Variant(part, value))
    return found


def _clashes(contacts: list[Contact]) -> dict[int, list[Contact]]:
    """Pass number -> passes of the same satellite or station that overlap it (setup included)."""
    found: dict[int, list[Contact]] = defaultdict(list)
    groups: dict[tuple[str, str], list[Contact]] = defaultdict(list)
    for contact in contacts:
        groups["satellite", contact.satellite.name].append(contact)
        groups["station", contact.station.name].append(contact)
    for (kind, _), members in groups.items():
        members.sort(key=lambda contact: contact.start_s)
        for at, one in enumerate(members):
            gap = _gap_s(one) if kind == "station" else 0.0
            for other in members[at + 1 :]:
                if other.start_s >= whole_ms(one.end_s + gap):
                    break
                found[one.number].append(other)
                found[other.number].append(one)
    return found


def greedy(variants: list[_Variant], cost_limit_per_day: float = 0.0) -> list[_Variant]:
    """The most valuable first, each if it still fits."""
    chosen: list[_Variant] = []
    spent: dict[int, float] = defaultdict(float)
    by_key: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    longest = max((b - a for a, b in (v.busy(True) for v in variants)), default=0.0)
    taken: set[int] = set()
    for variant in sorted(variants, key=lambda v: (-v.value, v.contact.number)):
        contact, day = variant.contact, int(variant.contact.start_s // 86400)
        if contact.number in taken or (cost_limit_per_day and spent[day] + contact.cost > cost_limit_per_day):
            continue
        if not (
            _fits(variant.busy(False), by_key["satellite", contact.satellite.name], 1, longest)
            and _fits(variant.busy(True), by_key["station", contact.station.name], contact.station.antennas, longest)
        ):
            continue
        insort(by_key["satellite", contact.satellite.name], variant.busy(False))
        insort(by_key["station", contact.station.name], variant.busy(True))
        taken.add(contact.number)
        spent[day] += contact.cost
        chosen.append(variant)
    return chosen


def _fits(span: tuple[float, float], held: list[tuple[float, float]], limit: int, longest: float) -> bool:
    """Whether at no moment of the span `limit` others are held (sorted by start, none over `longest`)."""
    start, end = span
    near = [(a, b) for a, b in held[bisect_left(held, (start - longest,)) : bisect_left(held, (end,))] if b > start]
    moments = [start, *(a for a, _ in near if a > start)]
    return all(sum(a <= moment < b for a, b in near) < limit for moment in moments)


def solve(variants: list[_Variant], cost_limit_per_day: float = 0.0) -> tuple[list[_Variant], bool]:
    """The best choice by integer programming, and whether it is proven the best (to a gap of 1e-4).

    Passes that clash with nothing are taken as they are; the rest splits into independent parts unless a cost
    limit couples them.
    """
    rows = _conflict_rows(variants)
    parts = (
        [list(range(len(variants)))] * bool(variants)
        if cost_limit_per_day
        else _grouped(_components(len(variants), rows))
    )
    touching: dict[int, list[tuple[frozenset[int], int]]] = defaultdict(list)
    for row in rows:
        touching[min(row[0])].append(row)
    chosen: list[_Variant] = []
    proven = True
    for part in parts:
        own = [row for member in part for row in touching[member]]
        if not own and not cost_limit_per_day:
            chosen += [variants[member] for member in part]
            continue
        if cost_limit_per_day:
            picked, good = _milp(variants, part, own, _day_costs(variants), cost_limit_per_day)
        else:
            picked, good = _milp(variants, part, own, [], 0.0)
        chosen += [variants[member] for member in picked]
        proven &= good
    return chosen, proven


def _conflict_rows(variants: list[_Variant]) -> list[tuple[frozenset[int], int]]:
    """(members, how many of them may be chosen): cliques at every start are all that intervals need."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    passes: dict[int, list[int]] = defaultdict(list)
    for at, variant in enumerate(variants):
        groups["satellite", variant.contact.satellite.name].append(at)
        groups["station", variant.contact.station.name].append(at)
        passes[variant.contact.number].append(at)
    rows = {(frozenset(members), 1) for members in passes.values() if len(members) > 1}
    for (kind, _), members in groups.items():
        station = kind == "station"
        limit = variants[members[0]].contact.station.antennas if station else 1
        spans = sorted((*variants[at].busy(station), at) for at in members)
        active: list[tuple[float, int]] = []
        for start, end, at in spans:
            active = [(stop, other) for stop, other in active if stop > start] + [(end, at)]
            if len({variants[other].contact.number for _, other in active}) > limit:
                rows.add((frozenset(other for _, other in active), limit))
    return sorted(rows, key=lambda row: sorted(row[0]))


def _components(count: int, rows: list[tuple[frozenset[int], int]]) -> list[list[int]]:
    """Variants that share a row, directly or through others."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pairs = [(min(members), other) for members, _ in rows for other in members]
    one, other = (np.array(side, int) for side in zip(*pairs)) if pairs else (np.zeros(0, int),) * 2
    graph = coo_matrix((np.ones(len(one)), (one, other)), shape=(count, count))
    number, labels = connected_components(graph, directed=False)
    parts: list[list[int]] = [[] for _ in range(number)]
    for at, label in enumerate(labels):
        parts[label].append(at)
    return parts


def _grouped(parts: list[list[int]]) -> list[list[int]]:
    """Single variants first, then small parts put together: every call of the solver has its own cost."""
    groups: list[list[int]] = [[part[0] for part in parts if len(part) == 1]]
    groups.append([])
    for part in (part for part in parts if len(part) > 1):
        if len(groups[-1]) + len(part) > GROUP_SIZE:
            groups.append([])
        groups[-1] += part
    return [group for group in groups if group]


def _day_costs(variants: list[_Variant]) -> list[dict[int, float]]:
    days: dict[int, dict[int, float]] = defaultdict(dict)
    for at, variant in enumerate(variants):
        days[int(variant.contact.start_s // 86400)][at] = variant.contact.cost
    return list(days.values())


def _milp(
    variants: list[_Variant],
    part: list[int],
    rows: list[tuple[frozenset[int], int]],
    day_costs: list[dict[int, float]],
    cost_limit: float,
) -> tuple[list[int], bool]:
    """Solve one part; returns the members chosen and whether that is proven."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_matrix

    column = {member: at for at, member in enumerate(part)}
    entries = [(number, column[member], 1.0) for number, (members, _) in enumerate(rows) for member in members]
    entries += [
        (len(rows) + number, column[member], cost)
        for number, costs in enumerate(day_costs)
        for member, cost in costs.items()
    ]
    limits = [float(limit) for _, limit in rows] + [cost_limit] * len(day_costs)
    index, columns, values = (np.array(side) for side in zip(*entries))
    matrix = csr_matrix((values, (index.astype(int), columns.astype(int))), shape=(len(limits), len(part)))
    result = milp(
        -np.array([variants[member].value for member in part]),
        integrality=np.ones(len(part)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(matrix, -np.inf, np.array(limits)),
        options={"time_limit": TIME_LIMIT_S, "mip_rel_gap": MIP_GAP},
    )
    if result.x is None:
        return [], False
    return [member for member in part if result.x[column[member]] > 0.5], result.status == 0
