"""The charts of the plan page, each one function from an Outcome to SVG."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.downlink.budget import format_time
from swathpack.tools.pages.svg import COLOURS, Plot, legend, text
from swathpack.tools.plan.model import Outcome
from swathpack.tools.plan.orbit import ground_track
from swathpack.tools.plan.passes import Contact
from swathpack.tools.plan.report import number

COASTLINE = Path(__file__).parent / "data" / "coastline.json"
TRACK_HOURS = 24.0
TIMELINE_DAYS = 7.0
EARTH_RADIUS_KM = 6371.0
WIDTH = 1160


def colour_of(outcome: Outcome) -> dict[str, str]:
    """A colour per satellite."""
    return {s.name: COLOURS[at % len(COLOURS)] for at, s in enumerate(outcome.plan.satellites)}


@lru_cache(maxsize=1)
def coastline() -> list[list[tuple[float, float]]]:
    """Closed rings of (longitude, latitude); Natural Earth 1:110m land, public domain."""
    rings = json.loads(COASTLINE.read_text(encoding="utf-8"))["rings"]
    return [[(x / 10, y / 10) for x, y in zip(ring[::2], ring[1::2])] for ring in rings]


def world_map(outcome: Outcome, width: int = WIDTH) -> str:
    """Equirectangular: land, areas, ground tracks of the first day, stations and how far they see."""
    plan = outcome.plan
    plot = Plot(width, width // 2 + 10, (-180, 180), (-90, 90), (4, 4, 20, 34))
    plot.box(-180, 180, -90, 90, "#eaf2f8")
    for ring in (piece for whole in coastline() for piece in both_sides(whole)):
        points = " ".join(f"{plot.px(x):.1f},{plot.py(y):.1f}" for x, y in ring)
        plot.add(f'<polygon fill="#dcd8cc" stroke="#b9b4a5" stroke-width=".6" points="{points}"/>')
    plot.frame(
        x_ticks=[(v, f"{v}°") for v in range(-150, 180, 30)],
        y_ticks=[(v, f"{v}°") for v in range(-60, 90, 30)],
    )
    _areas(plot, outcome)
    for satellite in plan.satellites:
        times = np.arange(plan.start_s, min(plan.end_s, plan.start_s + TRACK_HOURS * 3600), 30.0)
        latitude, longitude = ground_track(satellite.positions_km(times))
        for piece in _unbroken(longitude, latitude):
            plot.line(piece, colour_of(outcome)[satellite.name], 0.7, satellite.name)
    altitude = float(np.linalg.norm(plan.satellites[0].positions_km(np.array([plan.start_s])))) - EARTH_RADIUS_KM
    for station in plan.stations:
        for piece in _footprint(station.latitude_deg, station.longitude_deg, station.lowest_deg(), altitude):
            plot.line(piece, "#333", 1.0)
        plot.dot(_wrap(station.longitude_deg), station.latitude_deg, "#111", 3.5, station.name)
        near_edge = _wrap(station.longitude_deg) > 140
        plot.label(
            _wrap(station.longitude_deg),
            station.latitude_deg,
            station.name,
            "end" if near_edge else "start",
            -6 if near_edge else 6,
            -5,
            "place",
        )
    hours = min(TRACK_HOURS, plan.days * 24)
    entries = [(c, f"ground track of {n}, first {hours:.3g} h") for n, c in colour_of(outcome).items()]
    return plot.svg("map") + legend(
        [
            *entries,
            ("#e69f00", "area of interest (darker: higher priority)"),
            ("#333", "where a station sees the first satellite"),
        ]
    )


def _areas(plot: Plot, outcome: Outcome) -> None:
    top = max((area.priority for area in outcome.plan.areas), default=1.0)
    for area in outcome.plan.areas:
        for ring in area.rings:
            shift = -360.0 * round(float(ring[:, 0].mean()) / 360)
            points = " ".join(f"{plot.px(x + shift):.1f},{plot.py(y):.1f}" for x, y in ring)
            plot.add(
                f'<polygon fill="#e69f00" fill-opacity="{0.18 + 0.32 * area.priority / top:.2f}" '
                f'stroke="#b06f00" points="{points}"><title>{text(area.name)}: {area.area_km2:,.0f} km², '
                f"priority {area.priority:g}</title></polygon>"
            )


def both_sides(ring: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """A ring that crosses the antimeridian as two copies, each clamped to the map; others as they are."""
    x = np.array([point[0] for point in ring])
    if np.abs(np.diff(x, append=x[0])).max() < 180:
        return [ring]
    open_x = np.unwrap(x, period=360)
    if abs(open_x[-1] - open_x[0]) > 180:  # round the pole: close it along the map's lower edge
        order = int(np.abs(np.diff(x, append=x[0])).argmax()) + 1
        turned = ring[order:] + ring[:order]
        return [[*turned, (turned[-1][0], -90.0), (turned[0][0], -90.0)]]
    shift = 360 * np.round(open_x.mean() / 360)
    sides = (open_x - shift, open_x - shift - 360 * np.sign(open_x.mean() - shift))
    return [[(min(max(a, -180.0), 180.0), y) for a, (_, y) in zip(side.tolist(), ring)] for side in sides]


def _wrap(longitude: float) -> float:
    return (longitude + 180) % 360 - 180


def _unbroken(longitude: NDArray[Any], latitude: NDArray[Any]) -> list[list[tuple[float, float]]]:
    """The track cut where it leaves the map at the antimeridian."""
    cuts = np.flatnonzero(np.abs(np.diff(longitude)) > 180) + 1
    pieces = zip(np.split(longitude, cuts), np.split(latitude, cuts))
    return [list(zip(x.tolist(), y.tolist())) for x, y in pieces if len(x) > 1]


def _footprint(
    latitude_deg: float, longitude_deg: float, elevation_deg: float, altitude_km: float
) -> list[list[tuple[float, float]]]:
    """Circle on the ground inside which a satellite stands higher than the elevation."""
    elevation = math.radians(elevation_deg)
    reach = math.acos(EARTH_RADIUS_KM * math.cos(elevation) / (EARTH_RADIUS_KM + altitude_km)) - elevation
    bearing = np.radians(np.arange(0, 361, 3))
    centre = math.radians(latitude_deg)
    latitude = np.arcsin(math.sin(centre) * math.cos(reach) + math.cos(centre) * math.sin(reach) * np.cos(bearing))
    east = np.arctan2(
        np.sin(bearing) * math.sin(reach) * math.cos(centre),
        math.cos(reach) - math.sin(centre) * np.sin(latitude),
    )
    longitude = (longitude_deg + np.degrees(east) + 180) % 360 - 180
    return _unbroken(longitude, np.degrees(latitude))


def day_ticks(start_s: float, days: float) -> list[tuple[float, str]]:
    """(days since the start, date) at a readable spacing."""
    step = 1 if days <= 10 else 2 if days <= 20 else 5 if days <= 60 else 30
    if days <= 1.5:
        return [(h / 24, format_time(start_s + h * 3600)[11:16]) for h in range(0, int(days * 24) + 1, 3)]
    return [(d, format_time(start_s + d * 86400)[5:10]) for d in range(0, math.ceil(days), step)]


def timeline(outcome: Outcome, width: int = WIDTH) -> str:
    """Contacts by station over the first days; colour by satellite, imaging below."""
    plan, names = outcome.plan, [s.name for s in outcome.plan.stations]
    days = min(plan.days, TIMELINE_DAYS)
    rows = [*names, "imaging"]
    plot = Plot(width, 44 + 24 * len(rows), (0, days), (0, len(rows)), (6, 12, 34, 130))
    plot.frame(
        f"UTC from {format_time(plan.start_s)[:16]}Z",
        x_ticks=day_ticks(plan.start_s, days),
        y_ticks=[(len(rows) - at - 0.5, name) for at, name in enumerate(rows)],
    )
    colours = colour_of(outcome)
    for contact in outcome.schedule.contacts:
        begin, end = ((t - plan.start_s) / 86400 for t in (contact.start_s, contact.end_s))
        if begin < days:
            low = len(rows) - names.index(contact.station.name) - 0.85
            plot.box(
                begin,
                min(end, days),
                low,
                low + 0.7,
                colours[contact.satellite.name],
                f"pass {contact.number}: {contact.satellite.name} over {contact.station.name}, "
                f"{format_time(contact.start_s)[:19]}Z, {(contact.end_s - contact.start_s) / 60:.1f} min, "
                f"{contact.sighting.max_elevation_deg:.0f}°, {contact.bytes / 1e6:,.0f} MB",
            )
    for capture in outcome.captures:
        begin, end = ((t - plan.start_s) / 86400 for t in (capture.start_s, capture.end_s))
        if begin < days:
            plot.box(
                begin,
                min(end, days),
                0.15,
                0.85,
                colours[capture.satellite],
                f"{capture.area.name}: {capture.tiles:,} tiles, {format_time(capture.start_s)[:19]}Z",
                0.75,
            )
    return plot.svg("contact timeline") + legend([(c, n) for n, c in colours.items()])


def pass_curves(outcome: Outcome, contacts: list[Contact]) -> str:
    """A small chart per pass: elevation (line, left) and rate (filled, right scale)."""
    top_rate = max((float(c.rate_byte_s.max()) * 8e-6 for c in contacts), default=1.0) or 1.0
    cells = []
    for contact in contacts:
        minutes = (contact.time_s - contact.time_s[0]) / 60
        plot = Plot(280, 150, (0, max(float(minutes[-1]), 1.0)), (0, 90), (24, 34, 26, 28))
        rate = contact.rate_byte_s * 8e-6 * 90 / top_rate
        plot.frame(y_ticks=[(0, "0"), (30, "30"), (60, "60"), (90, "90°")])
        plot.steps(list(zip(minutes.tolist(), rate.tolist())), "#009e73", 0.18)
        plot.line(list(zip(minutes.tolist(), contact.elevation_deg.tolist())), "#0072b2", 2)
        for share in (0.0, 0.5, 1.0):
            plot.label(
                float(minutes[-1]),
                90 * share,
                number(top_rate * share) if share else "0",
                "start",
                4,
                3.5,
                "tick rate",
            )
        plot.add(
            f'<text class="caption" x="6" y="13">{format_time(contact.start_s)[5:16].replace("T", " ")} '
            f"{text(contact.station.name)}, {contact.bytes / 1e6:,.0f} MB</text>"
        )
        cells.append(f"<div>{plot.svg('pass')}</div>")
    return f'<div class="grid4">{"".join(cells)}</div>' + legend(
        [("#0072b2", "elevation, degrees over minutes"), ("#009e73", "net rate, Mbit/s (right)")]
    )


def queue(outcome: Outcome, width: int = WIDTH) -> str:
    """Waiting tiles, and bytes held on board, over time."""
    plan, colours = outcome.plan, colour_of(outcome)
    charts = []
    for column, label, scale in ((1, "tiles waiting", 1.0), (2, "storage used, GB", 1e-9)):
        series = {
            name: [((row[0] - plan.start_s) / 86400, row[column] * scale) for row in flow.history]
            for name, flow in outcome.flows.items()
        }
        top = max((y for points in series.values() for _, y in points), default=1.0)
        plot = Plot(width // 2 - 10, 220, (0, plan.days), (0, top * 1.08 or 1.0))
        plot.frame("", label, x_ticks=day_ticks(plan.start_s, plan.days)[::2])
        for name, points in series.items():
            plot.steps([(0.0, 0.0), *_thinned(points)], colours[name], 0.08)
        charts.append(f"<div>{plot.svg(label)}</div>")
    note = f"Storage holds {plan.storage_gbyte:g} GB: raw until coded, then the coded stream until it is sent."
    key = legend([(c, n) for n, c in colours.items()])
    return f'<div class="grid2">{"".join(charts)}</div>{key}<p>{note}</p>'


def _thinned(points: list[tuple[float, float]], most: int = 900) -> list[tuple[float, float]]:
    """At most about `most` points, keeping the extremes of every stretch."""
    if len(points) <= most:
        return points
    size = -(-len(points) // (most // 2))
    kept: list[tuple[float, float]] = []
    for at in range(0, len(points), size):
        part = points[at : at + size]
        kept += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return kept


def area_quality(outcome: Outcome, width: int = WIDTH, beside: Sequence[Outcome] = ()) -> str:
    """PSNR per area: P10 to P90 as a bar, the mean as a dot, and the tiles per day beside it.

    With `beside` the axis holds those plans too, so that charts can be compared by eye.
    """
    rows = [(name, q) for name, q in outcome.by_area.items()]
    if not any(q.tiles for _, q in rows):
        return "<p>No tile reaches the ground.</p>"
    spans = [q for o in (outcome, *beside) for q in o.by_area.values() if q.tiles and math.isfinite(q.psnr_db_p90)]
    if not any(q.tiles and math.isfinite(q.psnr_db_p90) for _, q in rows):
        counts = ", ".join(f"{text(n)} {number(q.tiles / outcome.plan.days)}" for n, q in rows)
        return f"<p>Every value of every tile is exact. Tiles a day: {counts}.</p>"
    low, high = min(q.psnr_db_p10 for q in spans) - 1, max(q.psnr_db_p90 for q in spans) + 1
    plot = Plot(width, 44 + 26 * len(rows), (low, high), (0, len(rows)), (6, 190, 34, 170))
    plot.frame(
        "PSNR, dB (peak 10,000 DN, all bands)",
        y_ticks=[(len(rows) - at - 0.5, name) for at, (name, _) in enumerate(rows)],
    )
    for at, (name, q) in enumerate(rows):
        y = len(rows) - at - 0.5
        if q.tiles:
            plot.box(
                q.psnr_db_p10,
                q.psnr_db_p90,
                y - 0.22,
                y + 0.22,
                "#0072b2",
                f"{name}: P10 {q.psnr_db_p10:.1f}, P50 {q.psnr_db_p50:.1f}, P90 {q.psnr_db_p90:.1f} dB",
                0.35,
            )
            plot.dot(q.psnr_db_mean, y, "#0072b2", 4.5, f"mean {q.psnr_db_mean:.2f} dB")
        plot.label(
            high,
            y,
            f"{number(q.tiles / outcome.plan.days)} tiles/day, {number(q.latency_h_p50)} h",
            "start",
            10,
            4,
        )
    return plot.svg("quality per area") + legend([("#0072b2", "mean of tiles (dot), P10 to P90 of tiles (bar)")])


def promises(outcome: Outcome, width: int = WIDTH) -> str:
    """Tiles a day that the downlink holds with each promise, and those that are there to be sent, on a logarithmic axis."""
    rows, clear = outcome.answers, max(outcome.clear_tiles_per_day, 1.0)
    carried = [max(a.carried_per_day, 1.0) for a in rows]
    if not rows or max(carried) <= 1.0:
        return "<p>No pass carries anything.</p>"
    low, high = (math.log10(f(*carried, clear)) for f in (min, max))
    low, high = math.floor(low), math.ceil(high + 0.05)
    plot = Plot(width, 44 + 24 * len(rows), (low, high), (0, len(rows)), (6, 36, 34, 170))
    plot.frame(
        "tiles a day",
        x_ticks=[(v, f"{10**v:,}") for v in range(low, high + 1)],
        y_ticks=[(len(rows) - at - 0.5, a.name) for at, a in enumerate(rows)],
    )
    for at, (answer, tiles) in enumerate(zip(rows, carried)):
        y = len(rows) - at - 0.5
        colour = "#0072b2" if answer.mode == "predictive" else "#009e73"
        plot.box(low, math.log10(tiles), y - 0.3, y + 0.3, colour, f"{answer.name}: {tiles:,.0f} tiles a day", 0.6)
        if answer.tiles_per_day:
            plot.dot(math.log10(answer.tiles_per_day), y, "#111", 4, f"{answer.tiles_per_day:,.0f} on the ground")
    plot.line([(math.log10(clear), 0), (math.log10(clear), len(rows))], "#d55e00", 1.5, "clear tiles a day")
    return plot.svg("tiles with a promise") + legend(
        [
            ("#66aad1", "the whole downlink holds, predictive coder"),
            ("#66c5ab", "the same, transform coder"),
            ("#111", "on the ground, played through all passes (dot)"),
            ("#d55e00", "tiles clear of cloud"),
        ]
    )


def daily_bytes(outcome: Outcome, width: int = WIDTH, beside: Sequence[Outcome] = ()) -> str:
    """What passes carry each day (clear sky) and what was used of it; with `beside` on a common axis."""
    plan = outcome.plan
    carried, used = _by_day(outcome)
    days = len(carried)
    top = max(float(_by_day(o)[0].max()) for o in (outcome, *beside))
    plot = Plot(width, 190, (0, days), (0, top * 1.1 or 1.0))
    plot.frame("", "GB a day", x_ticks=[(x + 0.5, label) for x, label in day_ticks(plan.start_s, days) if x < days])
    for day in range(days):
        plot.box(day + 0.15, day + 0.85, 0, carried[day], "#56b4e9", f"carried {carried[day]:.3f} GB", 0.45)
        plot.box(day + 0.25, day + 0.75, 0, used[day], "#0072b2", f"used {used[day]:.3f} GB")
    return plot.svg("bytes per day") + legend([("#b5dcf4", "what the passes carry"), ("#0072b2", "used by images")])


def _by_day(outcome: Outcome) -> tuple[NDArray[Any], NDArray[Any]]:
    """(days,) image GB that the passes carry and that are used."""
    plan = outcome.plan
    days = max(1, math.ceil(plan.days))
    carried, used = np.zeros(days), np.zeros(days)
    for contact in outcome.schedule.contacts:
        day = min(int((contact.start_s - plan.start_s) // 86400), days - 1)
        carried[day] += contact.bytes * plan.radio.packet_efficiency / 1e9
        used[day] += outcome.flows[contact.satellite.name].pass_bytes.get(contact.number, 0) / 1e9
    return carried, used
