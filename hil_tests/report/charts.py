"""The charts of a campaign's page: one time axis in days for faults, passes, queue, power and heat; quality by place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from swathpack.hil_tests.campaigns.record import Record
from swathpack.hil_tests.campaigns.verdict import final_psnr
from swathpack.hil_tests.scenario.catalogue import CATALOGUE
from swathpack.hil_tests.scenario.read import Scenario
from swathpack.tools.pages.svg import COLOURS, Plot, legend

WIDTH = 1080
MARGIN = (10, 14, 24, 58)
LABELS = (10, 14, 24, 132)
BLUE, ORANGE, GREEN, _, AMBER, SKY = COLOURS[:6]
DAY_S = 86400.0
THIN = 1500  # points of a line at most


class Axis:
    """Seconds since 1970 to days of the campaign, the drain at the end included."""

    def __init__(self, record: Record) -> None:
        self.start = min((life.start_s for life in record.lives), default=0.0)
        ends = [p.end_s for p in record.passes if p.packets] + [self.start + record.days * DAY_S]
        self.end = self.day(max(ends))

    def day(self, time: float) -> float:
        """Days since the start."""
        return (time - self.start) / DAY_S

    def plot(self, height: int, low: float, high: float, margin: tuple[int, int, int, int] = MARGIN) -> Plot:
        """An empty chart of this axis."""
        return Plot(WIDTH, height, (0.0, self.end), (low, high), margin)


def thinned(rows: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most THIN points: lowest and highest of every stretch, so that no peak is lost."""
    size = max(1, 2 * len(rows) // THIN)
    if size == 1:
        return list(rows)
    out: list[tuple[float, float]] = []
    for at in range(0, len(rows), size):
        part = rows[at : at + size]
        ends = {min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])}
        out += sorted(ends)
    return out


def faults(record: Record, axis: Axis) -> str:
    """One line per kind of fault: put in (dot), until it was over (bar)."""
    kinds = [k for k in CATALOGUE if any(i.kind == k and i.injected for i in record.injections)]
    if not kinds:
        return ""
    plot = axis.plot(14 * len(kinds) + 36, 0, len(kinds), LABELS)
    ticks = [(len(kinds) - n - 0.5, kind) for n, kind in enumerate(kinds)]
    plot.frame("", "", None, ticks)
    colour = {"frame": GREEN, "link": SKY, "report": AMBER, "board": ORANGE}
    for i in record.injections:
        if not i.injected:
            continue
        middle = len(kinds) - kinds.index(i.kind) - 0.5
        shade = colour[CATALOGUE[i.kind].group]
        over = i.recovered_at or record.passes[-1].end_s
        title = f"{i.kind}: {i.told_by or i.harmless or 'carried'}; {i.recovered_by or 'not over'}"
        plot.box(axis.day(i.time), axis.day(over), middle - 0.16, middle + 0.16, shade, title, 0.45)
        plot.dot(axis.day(i.time), middle, shade if i.recovered_at else "#c00000", 3.2, title)
    names = (("the frame", GREEN), ("the link", SKY), ("the reports", AMBER), ("the board", ORANGE))
    return plot.svg("faults over time") + legend([(c, f"fault of {n}") for n, c in names])


def passes(record: Record, axis: Axis) -> str:
    """Budget and what was used of it, and what was lost on the way, for every pass of the campaign."""
    flown = [p for p in record.passes if not p.drain]
    top = max((p.budget for p in flown), default=1) / 1000
    plot = axis.plot(150, 0, top * 1.08).frame("", "kB per pass")
    for p in flown:
        at, wide = axis.day(p.start_s), max(axis.day(p.end_s) - axis.day(p.start_s), axis.end * 0.004)
        title = (
            f"pass {p.number}: {p.sent} of {p.budget} bytes ({p.fill:.0%}), {p.lost} packets lost, {p.damaged} damaged, "
            f"top at {p.elevation_deg:.0f} degrees"
        )
        plot.box(at, at + wide, 0, p.budget / 1000, "#d8dee6", title)
        plot.box(at, at + wide, 0, p.sent / 1000, BLUE, title)
        plot.box(at, at + wide, 0, (p.sent - p.arrived) / 1000, ORANGE, title)
    return plot.svg("passes over time") + legend(
        [("#d8dee6", "budget"), (BLUE, "sent"), (ORANGE, "of it lost on the link")]
    )


def line(
    record: Record,
    axis: Axis,
    series: Sequence[tuple[str, str, float]],
    label: str,
    limit: float | None = None,
    height: int = 120,
) -> str:
    """Samples as lines; series: (key, colour, factor). limit: a dashed line."""
    if not record.samples:
        return ""
    rows = {key: [(axis.day(s["t"]), s[key] * factor) for s in record.samples] for key, _, factor in series}
    values = [y for points in rows.values() for _, y in points] + ([limit] if limit is not None else [])
    low, high = min(0.0, *values), max(*values, 1e-9)
    plot = axis.plot(height, low, low + (high - low) * 1.06).frame("", label)
    for key, colour, _ in series:
        plot.line(thinned(rows[key]), colour, 1.2)
    if limit is not None:
        at = plot.py(limit)
        plot.add(
            f'<line x1="{plot.px(0):.0f}" x2="{plot.px(axis.end):.0f}" y1="{at:.1f}" y2="{at:.1f}" class="limit"/>'
        )
    for life in record.lives[1:]:
        plot.box(axis.day(life.start_s), axis.day(life.start_s), low, low + (high - low) * 0.06, "#c00000", "restart")
    return plot.svg(label)


def quality(record: Record, scenario: Scenario, axis: Axis) -> str:
    """PSNR of every tile-frame as the ground held it in the end, over the day it was taken; one line per tile."""
    by_tile: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for (tile, time), psnr in sorted(final_psnr(record).items(), key=lambda row: row[0][1]):
        by_tile[tile].append((axis.day(time), psnr))
    if not by_tile:
        return ""
    values = [y for points in by_tile.values() for _, y in points]
    plot = axis.plot(240, min(values) - 1, max(values) + 1).frame("day of the acquisition", "PSNR, dB")
    places = sorted({tile >> 16 for tile in by_tile})
    for tile, points in sorted(by_tile.items()):
        colour = COLOURS[places.index(tile >> 16) % len(COLOURS)]
        plot.line(points, colour, 1.0, f"tile {tile}")
        for x, y in points:
            plot.dot(x, y, colour, 1.8, f"tile {tile}, day {x:.1f}: {y:.1f} dB")
    named = [(COLOURS[n % len(COLOURS)], record.places[p]) for n, p in enumerate(places)]
    return plot.svg("quality over time") + legend(named)


def growth(record: Record, axis: Axis) -> str:
    """Hours from acquisition until the ground had something, and everything, of each tile-frame."""
    first: dict[tuple[int, int], float] = {}
    last: dict[tuple[int, int], float] = {}
    for row in record.quality:
        key = (row["tile"], row["time"])
        first.setdefault(key, row["t"])
        last[key] = row["t"]
    if not first:
        return ""
    hours = {k: ((first[k] - k[1]) / 3600, (last[k] - k[1]) / 3600) for k in first}
    plot = axis.plot(150, 0, max(h for _, h in hours.values()) * 1.06 + 0.1).frame("day of the acquisition", "hours")
    for (_, time), (begin, end) in hours.items():
        plot.box(axis.day(time), axis.day(time), begin, end, "#c8d4e0")
        plot.dot(axis.day(time), begin, BLUE, 1.8)
        plot.dot(axis.day(time), end, GREEN, 1.8)
    return plot.svg("time to the ground") + legend(
        [(BLUE, "first layers at the ground"), (GREEN, "last layers at the ground")]
    )
