"""The plan in words and files: the table on the terminal, passes.csv, plan.json and budget.toml."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from swathpack.edge.downlink.budget import format_budget, format_time
from swathpack.tools.plan.imaging import Capture
from swathpack.tools.plan.inputs import Plan
from swathpack.tools.plan.model import Outcome
from swathpack.tools.plan.rate_table import rmse_dn
from swathpack.tools.words import plural

GB = 1e9
FLOW_KEYS = (
    "captured_tiles",
    "cloudy_tiles",
    "sent_tiles",
    "dropped_old",
    "dropped_full",
    "waiting_tiles",
    "budget_bytes",
    "sent_bytes",
    "spare_bytes",
    "unused_bytes",
    "coding_s",
    "coding_j",
)


def scope(plan: Plan) -> str:
    """What the plan has, counted."""
    return ", ".join(
        [
            plural(len(plan.satellites), "satellite"),
            plural(len(plan.stations), "station"),
            plural(len(plan.areas), "area"),
            plural(plan.days, "day"),
        ]
    )


def title(plan: Plan) -> str:
    """The plan's name, and its description where it has one."""
    return f"{plan.name}: {plan.description}" if plan.description else plan.name


def headline(outcome: Outcome) -> list[tuple[str, float, str]]:
    """(what, value, unit) of the figures that answer the planner's question, in the order to read them."""
    plan, quality = outcome.plan, outcome.quality
    contacts = outcome.schedule.contacts
    days = plan.days
    return [
        ("passes", len(contacts) / days, "a day"),
        ("contact time", sum(c.end_s - c.start_s for c in contacts) / 60 / days, "min a day"),
        ("downlink, clear sky", outcome.schedule.optimal_bytes / GB / days, "GB a day"),
        ("tiles captured", outcome.total("captured_tiles") / days, "a day"),
        ("tiles left out for cloud", outcome.total("cloudy_tiles") / days, "a day"),
        ("tiles on the ground", quality.tiles / days, "a day"),
        ("PSNR, mean of tiles", quality.psnr_db_mean, "dB"),
        ("PSNR, worst tenth", quality.psnr_db_p10, "dB"),
        ("RMSE, mean of tiles", quality.rmse_dn_mean, "DN"),
        *((f"{a.name}, tiles", a.tiles_per_day, "a day") for a in outcome.answers if a.tiles_per_day is not None),
        ("tiles uncompressed instead", outcome.raw_tiles_per_day, "a day"),
        ("latency, half within", quality.latency_h_p50, "h"),
        ("latency, nine tenths within", quality.latency_h_p90, "h"),
        ("downlink left by this mode", _share(outcome, "spare_bytes"), "%"),
        ("downlink unused", _share(outcome, "unused_bytes"), "%"),
        (
            "tiles lost (age, storage)",
            (outcome.total("dropped_old") + outcome.total("dropped_full")) / days,
            "a day",
        ),
        ("energy", sum(e.total_wh for e in outcome.energy.values()) / days, "Wh a day"),
        ("station cost", sum(c.cost for c in contacts) / days, "a day"),
    ]


def _share(outcome: Outcome, name: str) -> float:
    """Per cent of the bytes that passes carry."""
    return 100 * outcome.total(name) / max(outcome.total("budget_bytes"), 1)


def flown(outcome: Outcome) -> str:
    """The mode, as a mission file would set it."""
    rates = outcome.rates
    return f"{rates.mode}, max_error {outcome.plan.codec.max_error or 0}" if rates.mode == "predictive" else rates.mode


def ladder(outcome: Outcome) -> list[dict[str, Any]]:
    """What the whole downlink would carry at each point of the mode, whatever the camera takes."""
    plan, rates = outcome.plan, outcome.rates
    sizes = rates.tile_bytes(plan.imager.tile_px, len(plan.imager.bands))
    samples = plan.imager.tile_px**2 * len(plan.imager.bands)
    return [
        {
            "layers": k,
            "name": rates.names[k],
            "bppb": 8 * int(sizes[k]) / samples,
            "tile_bytes": int(sizes[k]),
            "psnr_db_mean": float(rates.mean_psnr_db[k]),
            "psnr_db_p10": float(rates.psnr_db[0, k]),
            "psnr_db_p90": float(rates.psnr_db[2, k]),
            "rmse_dn_p50": float(rmse_dn(rates.psnr_db[1, k])),
            "tiles_per_day": outcome.payload_bytes_per_day / max(int(sizes[k]), 1),
        }
        for k in range(1, len(sizes))
    ]


def number(value: float) -> str:
    """About three or four figures, with thousands apart."""
    if not math.isfinite(value):
        return "-"
    size = abs(value)
    return f"{value:,.0f}" if size >= 1000 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def table(outcome: Outcome) -> str:
    """The page for the terminal."""
    plan = outcome.plan
    lines = [
        title(plan),
        f"{format_time(plan.start_s)[:16]}Z, {scope(plan)}, {plan.radio.band} band, seed {plan.seed}",
    ]
    lines += [f"orbit of {satellite.name}: {satellite.note}" for satellite in plan.satellites if satellite.note]
    lines += [f"warning: {text}" for text in outcome.warnings]
    lines += ["", "  clear sky, every pass held, cloud as expected", ""]
    lines += [*(f"  {what:<30}{number(value):>12}  {unit}" for what, value, unit in headline(outcome))]
    lines += ["", "  with rain, missed passes, cloud drawn      P10         P50         P90"]
    for key, label in (
        ("gbyte_per_day", "GB a day"),
        ("tiles_per_day", "tiles a day"),
        ("psnr_db", "mean PSNR (dB)"),
        ("rmse_dn", "mean RMSE (DN)"),
        ("latency_h", "latency (h)"),
    ):
        if key in outcome.spreads:
            s = outcome.spreads[key]
            lines.append(f"  {label:<33}{number(s.p10):>12}{number(s.p50):>12}{number(s.p90):>12}")
    schedule = outcome.schedule
    lines += [
        "",
        f"  schedule: {len(schedule.contacts)} of {schedule.possible} passes, "
        f"{schedule.optimal_bytes / GB:.3f} GB (greedy {schedule.greedy_bytes / GB:.3f} GB)",
    ]
    lines += _area_lines(outcome) + _ladder_lines(outcome) + _answer_lines(outcome)
    return "\n".join(lines)


def _area_lines(outcome: Outcome) -> list[str]:
    if not outcome.by_area:
        return []
    lines = [
        "",
        f"  {'area':<26}{'tiles/day':>10}{'PSNR dB':>9}{'P10':>7}{'P90':>7}{'layers':>8}{'hours':>7}"
        "    (P10, P90: PSNR of tiles; layers: mean, of 16; hours: from image to ground, half within)",
    ]
    for name, q in outcome.by_area.items():
        lines.append(
            f"  {name:<26}{number(q.tiles / outcome.plan.days):>10}{number(q.psnr_db_mean):>9}"
            f"{number(q.psnr_db_p10):>7}{number(q.psnr_db_p90):>7}{number(q.layers_mean):>8}"
            f"{number(q.latency_h_p50):>7}"
        )
    return lines


def _ladder_lines(outcome: Outcome) -> list[str]:
    lines = [
        "",
        f"  the whole downlink at one quality (mode {flown(outcome)}):",
        f"  {'':<14}{'bppb':>9}{'bytes/tile':>12}{'PSNR dB':>9}{'RMSE DN':>9}{'tiles/day':>14}"
        "    (bppb: bits per pixel and band; PSNR: mean; RMSE: typical tile)",
    ]
    rows = ladder(outcome)
    for row in rows if len(rows) <= 8 else [*rows[::3][:-1], rows[-1]]:
        lines.append(
            f"  {row['name']:<14}{row['bppb']:>9.4f}{row['tile_bytes']:>12,.0f}"
            f"{number(row['psnr_db_mean']):>9}{number(row['rmse_dn_p50']):>9}{row['tiles_per_day']:>14,.0f}"
        )
    raw = outcome.plan.imager
    lines.append(
        f"  {'uncompressed':<14}{raw.bit_depth:>9}{raw.raw_tile_bytes:>12,}{'':>18}{outcome.raw_tiles_per_day:>14,.0f}"
    )
    return lines


def _answer_lines(outcome: Outcome) -> list[str]:
    if not outcome.answers:
        return []
    lines = [
        "",
        f"  every tile with a promise instead; {number(outcome.clear_tiles_per_day)} clear of cloud a day:",
        f"  {'':<22}{'mode':<12}{'bytes/tile':>12}{'downlink holds/day':>20}{'on the ground/day':>19}",
    ]
    for a in outcome.answers:
        ground = "" if a.tiles_per_day is None else f"{a.tiles_per_day:,.0f}"
        lines.append(f"  {a.name:<22}{a.mode:<12}{a.tile_bytes:>12,}{a.carried_per_day:>20,.0f}{ground:>19}")
    return lines


def compare_table(outcomes: list[Outcome]) -> str:
    """Plans side by side, each with its change against the first."""
    wide = [max(12, len(o.plan.name) + 2) for o in outcomes]
    head = f"{'change':>10}".join(f"{o.plan.name:>{w}}" for o, w in zip(outcomes[1:], wide[1:])) + f"{'change':>10}"
    lines = [f"  {'':<30}{outcomes[0].plan.name:>{wide[0]}}{head}"]
    for rows in zip(*(headline(outcome) for outcome in outcomes)):
        what, first, unit = rows[0]
        cells = f"{number(first):>{wide[0]}}"
        for (_, value, _), width in zip(rows[1:], wide[1:]):
            cells += f"{number(value):>{width}}{change(first, value, unit):>10}"
        lines.append(f"  {what:<30}{cells}  {unit}")
    return "\n".join(lines)


def change(a: float, b: float, unit: str) -> str:
    """`+12 %`; the difference itself where a ratio has no meaning (dB, %); nothing without a start."""
    if not (math.isfinite(a) and math.isfinite(b)):
        return ""
    if unit in ("dB", "%"):
        return f"{b - a:+.1f}"
    if a == 0:
        return ""
    return f"{100 * (b - a) / abs(a):+.0f} %"


def passes_csv(outcome: Outcome) -> str:
    """One row per scheduled pass."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            "id",
            "satellite",
            "station",
            "start_utc",
            "end_utc",
            "duration_s",
            "max_elevation_deg",
            "min_range_km",
            "max_rate_mbit_s",
            "bytes",
            "bytes_p10",
            "bytes_p50",
            "bytes_p90",
            "image_bytes_used",
            "tiles",
            "cost",
        ]
    )
    for row in pass_rows(outcome):
        writer.writerow(row.values())
    return out.getvalue()


def pass_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """The same as dicts, for JSON and the page."""
    rows = []
    for contact in outcome.schedule.contacts:
        flow = outcome.flows[contact.satellite.name]
        p10, p50, p90 = outcome.pass_spread[contact.number]
        rows.append(
            {
                "id": contact.number,
                "satellite": contact.satellite.name,
                "station": contact.station.name,
                "start_utc": format_time(contact.start_s),
                "end_utc": format_time(contact.end_s),
                "duration_s": round(contact.end_s - contact.start_s, 1),
                "max_elevation_deg": round(contact.sighting.max_elevation_deg, 2),
                "min_range_km": round(float(contact.range_km.min()), 1),
                "max_rate_mbit_s": round(float(contact.rate_byte_s.max()) * 8e-6, 3),
                "bytes": contact.bytes,
                "bytes_p10": p10,
                "bytes_p50": p50,
                "bytes_p90": p90,
                "image_bytes_used": flow.pass_bytes.get(contact.number, 0),
                "tiles": flow.pass_tiles.get(contact.number, 0),
                "cost": round(contact.cost, 2),
            }
        )
    return rows


def plan_json(outcome: Outcome) -> dict[str, Any]:
    """Everything in one document; NaN becomes null."""
    plan = outcome.plan
    out: dict[str, Any] = _clean(
        {
            "schema": "swathpack-plan-1",
            "plan": plan.name,
            "description": plan.description,
            "start_utc": format_time(plan.start_s),
            "days": plan.days,
            "seed": plan.seed,
            "orbits": {s.name: s.origin() for s in plan.satellites},
            "warnings": outcome.warnings,
            "codec_figures": {
                "source": outcome.rates.source,
                "measured": outcome.rates.measured,
                "mode": outcome.rates.mode,
                "max_error": (plan.codec.max_error or 0) if outcome.rates.mode == "predictive" else None,
                "bands": list(plan.imager.bands),
            },
            "headline": [{"what": what, "value": value, "unit": unit} for what, value, unit in headline(outcome)],
            "uncertainty": {name: asdict(value) for name, value in outcome.spreads.items()},
            "schedule": {
                "possible": outcome.schedule.possible,
                "chosen": len(outcome.schedule.contacts),
                "bytes": outcome.schedule.optimal_bytes,
                "greedy_bytes": outcome.schedule.greedy_bytes,
                "proven": outcome.schedule.proven,
            },
            "quality": asdict(outcome.quality),
            "areas": {n: asdict(q) for n, q in outcome.by_area.items()},
            "ladder": ladder(outcome),
            "clear_tiles_per_day": outcome.clear_tiles_per_day,
            "answers": [asdict(answer) for answer in outcome.answers],
            "raw_tile_bytes": plan.imager.raw_tile_bytes,
            "energy": {name: {**asdict(e), "total_wh": e.total_wh} for name, e in outcome.energy.items()},
            "flow": {name: {key: getattr(flow, key) for key in FLOW_KEYS} for name, flow in outcome.flows.items()},
            "captures": [_capture(capture) for capture in outcome.captures],
            "passes": pass_rows(outcome),
        }
    )
    return out


def _capture(capture: Capture) -> dict[str, Any]:
    return {
        "satellite": capture.satellite,
        "area": capture.area.name,
        "start_utc": format_time(capture.start_s),
        "end_utc": format_time(capture.end_s),
        "area_km2": round(capture.area_km2, 1),
        "tiles": capture.tiles,
        "cloud_fraction": capture.cloud,
        "sun_elevation_deg": round(capture.sun_elevation_deg, 1),
    }


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_files(outcome: Outcome, folder: Path) -> list[Path]:
    """passes.csv, plan.json and budget.toml; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "passes.csv": passes_csv(outcome),
        "budget.toml": format_budget(outcome.budget),
        "plan.json": json.dumps(plan_json(outcome), indent=1) + "\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
