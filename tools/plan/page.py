"""The plan as one self-contained HTML page: no script, no font, no file from elsewhere."""

from __future__ import annotations

from swathpack.edge.downlink.budget import format_time
from swathpack.tools.pages.svg import text
from swathpack.tools.plan import charts
from swathpack.tools.plan.model import Outcome
from swathpack.tools.plan.report import change, flown, headline, ladder, number, pass_rows, scope

CURVES = 12
ROWS = 60

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1c2733; background: #f4f6f8;
  margin: 0; }
main { max-width: 1200px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 0; } h2 { font-size: 18px; margin: 0 0 10px; }
.sub { color: #5a6876; margin: 2px 0 16px; }
section { background: #fff; border: 1px solid #dde3e8; border-radius: 8px; padding: 16px 20px;
  margin: 0 0 16px; }
.warn { background: #fff6e0; border-color: #ecc766; } .warn ul { margin: 0; padding-left: 20px; }
.cards { display: grid; grid-template-columns: repeat(5, 1fr); gap: 12px; margin: 0 0 16px; }
.cards div { background: #fff; border: 1px solid #dde3e8; border-radius: 8px; padding: 12px 14px; }
.cards b { display: block; font-size: 22px; font-weight: 650; line-height: 1.2; }
.cards span { color: #5a6876; font-size: 13px; display: block; }
.grid2 { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; }
.grid4 { display: grid; grid-template-columns: repeat(4, 1fr); gap: 8px; }
svg { width: 100%; height: auto; display: block; }
svg text { font-family: inherit; }
.tick { font-size: 11px; fill: #5a6876; } .axis { font-size: 12px; fill: #33414e; }
.note { font-size: 12px; fill: #33414e; }
.place { font-size: 12px; font-weight: 600; fill: #111; paint-order: stroke;
  stroke: #fff; stroke-width: 3px; }
.caption { font-size: 12px; fill: #1c2733; font-weight: 600; } .rate { fill: #00775a; }
.grid { stroke: #e3e8ec; stroke-width: 1; }
.legend { margin: 6px 0 0; color: #5a6876; font-size: 13px; } .legend span { margin-right: 18px; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 600; color: #5a6876; border-bottom: 1px solid #cfd7de;
  padding: 4px 10px; }
td { text-align: right; padding: 3px 10px; border-bottom: 1px solid #eef1f4; }
th:first-child, td:first-child { text-align: left; }
td.l, th.l { text-align: left; }
details summary { cursor: pointer; color: #0072b2; margin-top: 10px; }
p { margin: 8px 0 0; color: #43515e; font-size: 14px; }
@media (max-width: 900px) { .cards { grid-template-columns: 1fr 1fr; }
  .grid2, .grid4 { grid-template-columns: 1fr 1fr; } }
"""


def render(outcomes: list[Outcome]) -> str:
    """The page of one plan, or of several side by side."""
    first = outcomes[0]
    title = ", ".join(outcome.plan.name for outcome in outcomes)
    curves = min(CURVES, len(first.schedule.contacts))
    body = [_head(first), _warnings(outcomes), _cards(first)]
    if len(outcomes) > 1:
        body.append(_comparison(outcomes))
    body += [
        _section("Where", charts.world_map(first)),
        _section("Contacts and imaging", charts.timeline(first), _schedule_note(first)),
        _section("Bytes per day", charts.daily_bytes(first)),
        _section(
            "Elevation and rate, pass by pass",
            charts.pass_curves(first, list(first.schedule.contacts[:CURVES])),
            f"The first {curves} of {len(first.schedule.contacts)} passes.",
        ),
    ]
    if first.plan.areas:
        body += [
            _section("Quality per area", charts.area_quality(first)),
            _section("Queue and storage", charts.queue(first)),
        ]
    body += [
        _section("How much, how good", _spread_table(first) + _ladder(first)),
        _section(
            "How many lossless, how many within an error",
            charts.promises(first) + _answers(first),
            f"Of {number(first.clear_tiles_per_day)} tiles clear of cloud a day. On the ground: played through the same "
            "passes, with the look-ahead and the age limit of the plan.",
        ),
        _passes(first),
        _assumptions(first),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head><body><main>"
        + "".join(body)
        + "</main></body></html>\n"
    )


def _head(outcome: Outcome) -> str:
    plan = outcome.plan
    return (
        f"<h1>{text(plan.name)}</h1><p class='sub'>{text(plan.description)}{'. ' if plan.description else ''}"
        f"{format_time(plan.start_s)[:16]}Z, {scope(plan)}, "
        f"{text(plan.radio.band)} band {plan.radio.frequency_ghz:g} GHz, seed {plan.seed}</p>"
    )


def _section(title: str, content: str, note: str = "") -> str:
    return f"<section><h2>{text(title)}</h2>{content}{f'<p>{text(note)}</p>' if note else ''}</section>"


def _warnings(outcomes: list[Outcome]) -> str:
    every = {w: [o.plan.name for o in outcomes if w in o.warnings] for o in outcomes for w in o.warnings}
    # What holds for all plans shown needs no name.
    unique = [w if len(names) == len(outcomes) else f"{', '.join(names)}: {w}" for w, names in every.items()]
    if not unique:
        return ""
    return f"<section class='warn'><ul>{''.join(f'<li>{text(w)}</li>' for w in unique)}</ul></section>"


def _cards(outcome: Outcome) -> str:
    plan, quality, spreads = outcome.plan, outcome.quality, outcome.spreads
    gigabytes = spreads["gbyte_per_day"]
    entries = [
        (
            f"{number(outcome.schedule.optimal_bytes / 1e9 / plan.days)} GB/day",
            f"downlink, clear sky; P10 {number(gigabytes.p10)}, P90 {number(gigabytes.p90)}",
        ),
        (
            f"{number(quality.tiles / plan.days)}",
            f"tiles of {plan.imager.tile_px} px, {len(plan.imager.bands)} bands on the ground a day",
        ),
        _quality_card(outcome),
        (
            f"{number(quality.latency_h_p50)} h",
            f"from image to ground for half; {number(quality.latency_h_p90)} h for nine tenths",
        ),
        (f"{number(outcome.raw_tiles_per_day)}", "tiles a day if they were sent uncompressed"),
    ]
    return (
        "<div class='cards'>"
        + "".join(f"<div><b>{text(a)}</b><span>{text(b)}</span></div>" for a, b in entries)
        + "</div>"
    )


def _quality_card(outcome: Outcome) -> tuple[str, str]:
    quality = outcome.quality
    if quality.tiles and quality.rmse_dn_mean == 0:
        return "lossless", "every value of every tile on the ground is exact"
    return (
        f"{number(quality.psnr_db_mean)} dB",
        f"mean PSNR, worst tenth {number(quality.psnr_db_p10)} dB; mean RMSE {number(quality.rmse_dn_mean)} DN",
    )


def _comparison(outcomes: list[Outcome]) -> str:
    columns = zip(*(headline(outcome) for outcome in outcomes))
    rows = "".join(
        f"<tr><td>{text(row[0][0])}</td><td>{number(row[0][1])}</td>"
        + "".join(f"<td>{number(b)}</td><td>{change(row[0][1], b, unit)}</td>" for _, b, unit in row[1:])
        + f"<td class='l'>{text(row[0][2])}</td></tr>"
        for row in columns
    )
    names = [text(outcome.plan.name) for outcome in outcomes]
    heads = f"<th>{names[0]}</th>" + "".join(f"<th>{name}</th><th>change</th>" for name in names[1:])
    table = f"<table><tr><th></th>{heads}<th class='l'>unit</th></tr>{rows}</table>"
    panes = "".join(
        f"<div><h3>{text(o.plan.name)}</h3>{charts.world_map(o, 570)}{charts.timeline(o, 570)}"
        f"{charts.area_quality(o, 570, outcomes) if o.plan.areas else ''}{charts.daily_bytes(o, 570, outcomes)}</div>"
        for o in outcomes
    )
    return _section("What if", table + f"<div class='grid2'>{panes}</div>")


def _schedule_note(outcome: Outcome) -> str:
    s = outcome.schedule
    gain = 100 * (s.optimal_bytes / s.greedy_bytes - 1) if s.greedy_bytes else 0.0
    return (
        f"{len(s.contacts)} of {s.possible} usable passes are held: {s.optimal_bytes / 1e9:,.2f} GB "
        f"by integer programming{' (proven best)' if s.proven else ''}, "
        f"{gain:+.2f} % against taking the best pass first."
    )


def _spread_table(outcome: Outcome) -> str:
    labels = {
        "gbyte_per_day": "downlink, GB a day",
        "tiles_per_day": "tiles on the ground a day",
        "psnr_db": "mean PSNR, dB",
        "rmse_dn": "mean RMSE, DN",
        "latency_h": "median latency, h",
    }
    rows = "".join(
        f"<tr><td>{labels[key]}</td><td>{number(s.p10)}</td><td>{number(s.p50)}</td><td>{number(s.p90)}</td></tr>"
        for key, s in outcome.spreads.items()
    )
    return (
        f"<table><tr><th>with rain, missed passes and cloud ({outcome.plan.uncertainty.samples} draws)</th>"
        f"<th>P10</th><th>P50</th><th>P90</th></tr>{rows}</table><br>"
    )


def _ladder(outcome: Outcome) -> str:
    rows = "".join(
        f"<tr><td>{text(row['name'])}</td><td>{row['bppb']:.4f}</td><td>{row['tile_bytes']:,.0f}</td>"
        f"<td>{number(row['psnr_db_mean'])}</td><td>{number(row['psnr_db_p10'])} to {number(row['psnr_db_p90'])}</td>"
        f"<td>{number(row['rmse_dn_p50'])}</td><td>{row['tiles_per_day']:,.0f}</td></tr>"
        for row in ladder(outcome)
    )
    raw = outcome.plan.imager
    rows += (
        f"<tr><td>uncompressed</td><td>{raw.bit_depth}</td><td>{raw.raw_tile_bytes:,}</td><td></td><td></td><td></td>"
        f"<td>{outcome.raw_tiles_per_day:,.0f}</td></tr>"
    )
    return (
        f"<table><tr><th>the whole downlink at one quality, mode {text(flown(outcome))}</th>"
        "<th>bits per pixel and band</th><th>bytes a tile</th><th>PSNR dB</th><th>P10 to P90 of tiles</th>"
        f"<th>RMSE DN, typical tile</th><th>tiles a day</th></tr>{rows}</table>"
    )


def _answers(outcome: Outcome) -> str:
    rows = "".join(
        f"<tr><td>{text(a.name)}</td><td class='l'>{text(a.mode)}</td><td>{a.tile_bytes:,}</td>"
        f"<td>{a.carried_per_day:,.0f}</td>"
        f"<td>{'' if a.tiles_per_day is None else f'{a.tiles_per_day:,.0f}'}</td></tr>"
        for a in outcome.answers
    )
    return (
        "<table><tr><th>every tile with a promise</th><th class='l'>mode</th><th>bytes a tile</th>"
        f"<th>tiles that the downlink holds a day</th><th>on the ground a day</th></tr>{rows}</table>"
    )


def _passes(outcome: Outcome) -> str:
    rows = pass_rows(outcome)
    cells = "".join(
        f"<tr><td>{r['id']}</td><td class='l'>{text(r['satellite'])}</td>"
        f"<td class='l'>{text(r['station'])}</td>"
        f"<td>{r['start_utc'][5:19].replace('T', ' ')}</td><td>{r['duration_s'] / 60:.1f}</td>"
        f"<td>{r['max_elevation_deg']:.1f}</td><td>{r['bytes'] / 1e6:,.1f}</td>"
        f"<td>{r['bytes_p10'] / 1e6:,.1f}</td>"
        f"<td>{r['bytes_p90'] / 1e6:,.1f}</td><td>{r['image_bytes_used'] / 1e6:,.1f}</td>"
        f"<td>{r['tiles']:,}</td></tr>"
        for r in rows[:ROWS]
    )
    more = f"<p>{len(rows) - ROWS:,} more in passes.csv.</p>" if len(rows) > ROWS else ""
    return _section(
        "Passes and budgets",
        "<details><summary>table</summary><table><tr><th>pass</th>"
        "<th class='l'>satellite</th><th class='l'>station</th><th>start UTC</th><th>min</th><th>max el.</th>"
        "<th>MB</th><th>P10</th><th>P90</th><th>image MB</th><th>tiles</th></tr>"
        f"{cells}</table>{more}</details>",
    )


def _assumptions(outcome: Outcome) -> str:
    plan, radio, rates = outcome.plan, outcome.plan.radio, outcome.rates
    rate = (
        f"{radio.symbol_rate_hz / 1e6:g} Mbaud, {len(radio.modcods)} adaptive modulations"
        if radio.adaptive
        else f"{radio.symbol_rate_hz / 1e6:g} Mbit/s, {radio.modcods[0].name}"
    )
    rows = [
        ("orbits", ", ".join(f"{s.name} ({s.source}, {s.period_s() / 60:.1f} min)" for s in plan.satellites)),
        (
            "link",
            f"EIRP {radio.eirp_dbw:.1f} dBW, {rate}, margin {radio.margin_db:g} dB, losses {radio.losses_db:g} dB",
        ),
        (
            "framing",
            f"{100 * radio.net_efficiency:.1f} % of the bits are Space Packets, "
            f"{100 * radio.packet_efficiency:.1f} % of those coded image",
        ),
        (
            "camera",
            f"{plan.imager.swath_km:g} km swath, {plan.imager.gsd_m:g} m, {len(plan.imager.bands)} bands, "
            f"{plan.imager.bit_depth} bit, at most {plan.imager.duty_cycle_percent:g} % of an orbit, "
            f"sun above {plan.imager.min_sun_elevation_deg:g}°",
        ),
        (
            "codec",
            f"mode {flown(outcome)}; {rates.source}; {plan.codec.board} at {plan.codec.power_mode}: {rates.encode_s * 1e3:g} ms and "
            f"{rates.energy_j:g} J a tile ({rates.effort.source})",
        ),
        (
            "atmosphere",
            "ITU-R P.618 with P.676, P.837-P.840, baked table; clear sky is the attenuation exceeded half of the time",
        ),
        (
            "energy",
            "; ".join(
                f"{n}: camera {e.imaging_wh:,.1f}, coding {e.coding_wh:,.1f}, radio {e.radio_wh:,.1f} Wh, "
                f"worst orbit {e.worst_orbit_wh:.1f} Wh"
                for n, e in outcome.energy.items()
            ),
        ),
        ("map", "Natural Earth 1:110m land, public domain"),
    ]
    return _section(
        "What this rests on",
        "<table>" + "".join(f"<tr><td>{text(a)}</td><td class='l'>{text(b)}</td></tr>" for a, b in rows) + "</table>",
    )
