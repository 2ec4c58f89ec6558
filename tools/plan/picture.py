"""The page's main charts as one PNG, for a slide or a report (matplotlib)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from swathpack.tools.errors import UserError
from swathpack.tools.plan.charts import TRACK_HOURS, coastline, colour_of
from swathpack.tools.plan.model import Outcome
from swathpack.tools.plan.orbit import ground_track
from swathpack.tools.plan.report import number, title
from swathpack.tools.words import plural


def draw(outcome: Outcome, path: Path) -> Path:
    """Map, contact timeline, queue and quality in four panels; returns the path."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise UserError("--png needs matplotlib: pip install 'swathpack[plan]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(16, 9), layout="constrained")
    figure.suptitle(title(outcome.plan), fontsize=14)
    _map(axes[0, 0], outcome)
    _timeline(axes[0, 1], outcome)
    _queue(axes[1, 0], outcome)
    _quality(axes[1, 1], outcome)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def _map(axis, outcome: Outcome) -> None:  # type: ignore[no-untyped-def]
    for coast in coastline():
        line = np.array(coast)
        line[np.abs(np.diff(line[:, 0], append=line[-1, 0])) > 180] = np.nan
        axis.plot(line[:, 0], line[:, 1], color="#8a8574", linewidth=0.6)
    plan = outcome.plan
    for satellite in plan.satellites:
        times = np.arange(plan.start_s, min(plan.end_s, plan.start_s + TRACK_HOURS * 3600), 60.0)
        latitude, longitude = ground_track(satellite.positions_km(times))
        axis.plot(longitude, latitude, ".", color=colour_of(outcome)[satellite.name], markersize=1.2)
    for area in plan.areas:
        for ring in area.rings:
            axis.fill(ring[:, 0], ring[:, 1], color="#e69f00", alpha=0.35)
    for station in plan.stations:
        axis.plot(station.longitude_deg, station.latitude_deg, "k^", markersize=5)
        axis.annotate(station.name, (station.longitude_deg, station.latitude_deg), fontsize=8)
    axis.set(xlim=(-180, 180), ylim=(-90, 90), xlabel="longitude, degrees", ylabel="latitude, degrees")
    axis.set_title(f"ground tracks, first {min(TRACK_HOURS, plan.days * 24):.3g} h")


def _timeline(axis, outcome: Outcome) -> None:  # type: ignore[no-untyped-def]
    plan, names = outcome.plan, [station.name for station in outcome.plan.stations]
    for contact in outcome.schedule.contacts:
        begin = (contact.start_s - plan.start_s) / 86400
        axis.barh(
            names.index(contact.station.name),
            max((contact.end_s - contact.start_s) / 86400, 0.004),
            left=begin,
            color=colour_of(outcome)[contact.satellite.name],
        )
    axis.set_yticks(range(len(names)), names)
    shown = min(plan.days, 7.0)
    axis.set(xlim=(0, shown), xlabel="days from the start", title=f"contacts, first {plural(shown, 'day')}")


def _queue(axis, outcome: Outcome) -> None:  # type: ignore[no-untyped-def]
    for name, flow in outcome.flows.items():
        rows = np.array(flow.history)
        axis.step(
            (rows[:, 0] - outcome.plan.start_s) / 86400,
            rows[:, 1],
            where="post",
            label=name,
            color=colour_of(outcome)[name],
        )
    axis.set(xlabel="days from the start", ylabel="tiles waiting", title="queue")
    axis.legend()


def _quality(axis, outcome: Outcome) -> None:  # type: ignore[no-untyped-def]
    rows = [(name, q) for name, q in outcome.by_area.items() if q.tiles and np.isfinite(q.psnr_db_p90)]
    if not rows:
        _promises(axis, outcome)
        return
    for at, (_, q) in enumerate(rows):
        axis.barh(at, q.psnr_db_p90 - q.psnr_db_p10, left=q.psnr_db_p10, color="#9cc7e2")
        axis.plot(q.psnr_db_mean, at, "o", color="#0072b2")
    labels = [f"{name} ({number(q.tiles / outcome.plan.days)} tiles/day)" for name, q in rows]
    axis.set_yticks(range(len(rows)), labels)
    axis.invert_yaxis()
    axis.set(xlabel="PSNR, dB (dot: mean, bar: P10 to P90 of tiles)", title="quality per area")


def _promises(axis, outcome: Outcome) -> None:  # type: ignore[no-untyped-def]
    """Where no PSNR is finite, as in a lossless plan: tiles a day by promise."""
    for at, answer in enumerate(outcome.answers):
        axis.barh(at, max(answer.carried_per_day, 1.0), color="#9cc7e2")
        if answer.tiles_per_day:
            axis.plot(answer.tiles_per_day, at, "o", color="#0072b2")
    axis.set_yticks(range(len(outcome.answers)), [answer.name for answer in outcome.answers])
    axis.invert_yaxis()
    axis.set(xscale="log", xlabel="tiles a day (bar: all bytes, dot: played through)", title="tiles with a promise")
