"""The report of a campaign: one self-contained HTML page without scripts, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from swathpack.hil_tests.campaigns.record import Record
from swathpack.hil_tests.campaigns.verdict import FaultRow, Verdict, fault_table
from swathpack.hil_tests.report import charts
from swathpack.hil_tests.report.charts import BLUE, GREEN, ORANGE, Axis
from swathpack.hil_tests.scenario.catalogue import CATALOGUE
from swathpack.hil_tests.scenario.read import Scenario
from swathpack.tools.pages.svg import legend, text

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2530;background:#fff;max-width:1120px;margin:24px auto;padding:0 20px}
h1{font-size:26px;margin:0 0 2px}h2{font-size:19px;margin:34px 0 8px;border-bottom:1px solid #d8dee6;padding-bottom:4px}
h3{font-size:15px;margin:16px 0 2px}p{margin:6px 0}.sub,.note{color:#586472}
.mono{font-family:ui-monospace,monospace;font-size:12px}
.verdict{display:inline-block;padding:6px 16px;border-radius:6px;font-weight:600;font-size:17px;margin:12px 0 4px;color:#fff}
.good{background:#177a4c}.bad{background:#b3261e}
.chip{color:#fff;font-weight:600;font-size:12px;padding:1px 8px;border-radius:9px}
table{border-collapse:collapse;width:100%;font-size:14px}td,th{padding:4px 9px;border-bottom:1px solid #e6eaef;text-align:left;
vertical-align:top}th{background:#f3f5f8;font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
tr.group td{background:#f9fafb;font-weight:600;color:#586472}svg{width:100%;height:auto;display:block}
svg text{font:11px system-ui,sans-serif;fill:#586472}.grid{stroke:#e9edf1}.limit{stroke:#b3261e;stroke-dasharray:5 4}
.legend{font-size:12.5px;color:#586472;margin:2px 0 8px 58px}.legend span{margin-right:16px;white-space:nowrap}
.legend i{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:5px;vertical-align:-1px}
.shots{display:grid;grid-template-columns:repeat(4,1fr);gap:16px}.shot{border:1px solid #e6eaef;border-radius:6px;padding:10px}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:6px}.pair img{width:100%;image-rendering:pixelated;border-radius:3px}

.shot{min-width:0;overflow-wrap:anywhere}
.shot p{font-size:12.5px;margin:4px 0 0;color:#586472}.shot b{color:#1c2530}details{margin:8px 0}summary{cursor:pointer}
.facts{display:grid;grid-template-columns:repeat(4,1fr);gap:12px;margin:14px 0}
.fact{background:#f3f5f8;border-radius:6px;padding:9px 13px}
.fact b{display:block;font-size:20px}.fact span{font-size:12.5px;color:#586472}
"""


def render(record: Record, scenario: Scenario, found: list[Verdict]) -> str:
    """The whole page."""
    axis = Axis(record)
    body = "".join(
        [
            _head(record, found),
            _requirements(found),
            _faults(fault_table(record)),
            _timeline(record, scenario, axis),
            _quality(record, scenario, axis),
            _pictures(record),
            _lives(record),
            _books(record),
            _replay(record),
        ]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{text(record.scenario)} on {text(record.board)}</title>"
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>{body}</body></html>\n'
    )


def _moment(time: float) -> str:
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M")


def _head(r: Record, found: list[Verdict]) -> str:
    good = all(v.good for v in found)
    failed = sum(not v.good for v in found)
    flown = [p for p in r.passes if not p.drain and p.packets]
    word = "All requirements met" if good else f"{failed} of {len(found)} requirements not met"
    kilobytes, gone = sum(p.sent for p in flown) / 1000, r.link.get("packets lost", 0)
    facts = (
        (f"{r.days:g} days", f"from {_moment(r.lives[0].start_s)} UTC" if r.lives else ""),
        (f"{len(flown)} passes", f"{kilobytes:.0f} kB sent, {gone} packets lost"),
        (f"{r.tile_frames} tile-frames", f"{r.complete} at the ground to the last layer"),
        (f"{sum(i.injected for i in r.injections)} faults", f"{len(r.lives) - 1} restarts of the board"),
    )
    boxes = "".join(f'<div class="fact"><b>{text(a)}</b><span>{text(b)}</span></div>' for a, b in facts)
    return (
        f"<h1>Campaign {text(r.scenario)}</h1><p class=sub>Board: {text(r.board)}. Seed {r.seed}. {r.wall_s / 60:.1f} minutes "
        f"({r.cpu_s / 60:.1f} of CPU). Ground: {text(r.credit)}.</p>"
        f'<div class="verdict {"good" if good else "bad"}">{word}</div><div class="facts">{boxes}</div>'
    )


def _requirements(found: list[Verdict]) -> str:
    rows = []
    for v in found:
        more = "".join(f"<br>{text(d)}" for d in v.details[:8])
        more += f"<br>and {len(v.details) - 8} more" if len(v.details) > 8 else ""
        cells = f"<td><b>{text(v.name)}</b></td><td>{text(v.found)}<span class=note>{more}</span></td>"
        rows.append(f"<tr>{_mark(v.good)}{cells}</tr>")
    return f"<h2>Requirements</h2><table>{''.join(rows)}</table>"


def _mark(good: bool) -> str:
    return f'<td><span class="chip {"good" if good else "bad"}">{"met" if good else "NOT"}</span></td>'


def _faults(rows: list[FaultRow]) -> str:
    if not rows:
        return ""
    titles = {"frame": "In the frame", "link": "On the link", "report": "In the reports", "board": "On the board"}
    head = (
        "<tr><th></th><th>Fault</th><th class=n>Injected</th><th class=n>Noticed</th><th class=n>Harmless</th>"
        "<th class=n>Over</th><th class=n>Lost</th><th>Noticed by</th><th class=n>Slowest</th></tr>"
    )
    out, group = [head], ""
    for row in rows:
        if CATALOGUE[row.kind].group != group:
            group = CATALOGUE[row.kind].group
            out.append(f"<tr class=group><td></td><td colspan=8>{titles[group]}</td></tr>")
        noticed = str(row.told) if row.notice else "carried"
        out.append(
            f"<tr>{_mark(row.good)}<td><b>{text(row.kind.replace('_', ' '))}</b><br>"
            f"<span class=note>{text(row.what)}</span></td>"
            f"<td class=n>{row.injected}</td><td class=n>{noticed}</td><td class=n>{row.harmless or ''}</td>"
            f"<td class=n>{row.recovered}</td><td class=n>{row.lost}</td><td>{text(row.notice)}</td>"
            f"<td class=n>{_span(row.slowest_recovery_s)}</td></tr>"
        )
    return (
        "<h2>Faults</h2><p class=note>Noticed: by the flight software, its supervisor or the ground, while it happened. "
        "Harmless: a changed bit that decided nothing, shown by comparing every image. Carried: nothing is broken, the frame "
        "must arrive like any other. Over: the system worked again, or what was lost had been sent again. Slowest: from the "
        f"fault until it was over, its own length included.</p><table>{''.join(out)}</table>"
    )


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _timeline(r: Record, s: Scenario, axis: Axis) -> str:
    return (
        "<h2>Timeline</h2><p class=note>Days since the start. Red ticks at the foot of a chart are restarts. Behind "
        "the last day large passes bring down what is left; they count for nothing else.</p>"
        "<h3>Faults: from when they were put in until they were over</h3>"
        + charts.faults(r, axis)
        + "<h3>Passes: budget and fill</h3>"
        + charts.passes(r, axis)
        + "<h3>Queue on board</h3>"
        + charts.line(r, axis, (("queue_bytes", BLUE, 0.001),), "kB coded")
        + charts.line(r, axis, (("work", ORANGE, 1), ("context", GREEN, 1)), "number")
        + legend([(ORANGE, "tiles waiting to be coded"), (GREEN, "latents confirmed as context")])
        + "<h3>Power and battery</h3>"
        + charts.line(r, axis, (("power_w", ORANGE, 1),), "W drawn")
        + charts.line(r, axis, (("charge", GREEN, 100),), "charge, %", height=90)
        + "<h3>Temperature and load</h3>"
        + charts.line(r, axis, (("temperature_c", ORANGE, 1),), "degrees C", limit=s.board.max_temperature_c)
        + charts.line(r, axis, (("share", BLUE, 100),), "load, %", height=80)
    )


def _quality(r: Record, s: Scenario, axis: Axis) -> str:
    return (
        "<h2>Quality per tile over time</h2><p class=note>PSNR (peak 10,000 DN, all twelve bands) of each tile-frame as "
        "the ground held it in the end, against the frame as the sensor gave it. Clouds, noise, striping and saturation are "
        "part of the frame and change it.</p>"
        + charts.quality(r, s, axis)
        + "<h3>Time from acquisition to the ground</h3>"
        + charts.growth(r, axis)
    )


def _pictures(r: Record) -> str:
    if not r.pictures:
        return ""
    cells = "".join(
        f'<div class=shot><div class=pair><img alt="before" src="{p["before"]}"><img alt="after" src="{p["after"]}"></div>'
        f"<p><b>{text(p['title'])}</b><br>{text(p['text'])}</p></div>"
        for p in r.pictures
    )
    return (
        "<h2>Images before and after</h2><p class=note>Left: as the sensor gave it (B04, B03, B02). Right: decoded at "
        f"the ground from what came down. Same stretch.</p><div class=shots>{cells}</div>"
    )


def _lives(r: Record) -> str:
    rows = "".join(
        f"<tr><td class=n>{n}</td><td>{_moment(life.start_s)}</td><td>{_moment(life.end_s) if life.end_s else 'the end'}</td>"
        f"<td>{_end(life.ended)} {text(life.reason)}</td><td class=n>{life.undone or ''}</td></tr>"
        for n, life in enumerate(r.lives, 1)
    )
    head = "<tr><th class=n>Life</th><th>From</th><th>To</th><th>Ended by</th><th class=n>Writes lost</th></tr>"
    return f"<h2>Lives of the board</h2><details><summary>{len(r.lives)} starts</summary><table>{head}{rows}</table></details>"


def _end(status: int | None) -> str:
    return {None: "told to stop", -9: "killed", 3: "asked for a restart:"}.get(status, f"status {status}")


def _books(r: Record) -> str:
    def cells(values: Mapping[str, float]) -> str:
        rows = ((text(k.replace("_", " ")), f"{v:,.10g}") for k, v in sorted(values.items()))
        return "".join(f"<tr><td>{k}</td><td class=n>{v}</td></tr>" for k, v in rows)

    books = {k: round(v, 1) for k, v in r.books.items()}
    return (
        "<h2>Books</h2><p class=note>Energy, heat and bytes must balance; the check is one of the requirements.</p>"
        "<div class=shots>"
        + "".join(
            f"<div class=shot><b>{t}</b><table>{cells(v)}</table></div>"
            for t, v in (
                ("Power and heat", books),
                ("Link", r.link),
                ("Ground", r.ground),
                ("Events of the board", r.events),
            )
        )
        + "</div>"
        + "".join(f"<p class=note>{text(n)}</p>" for n in sorted(set(r.notes)))
    )


def _replay(r: Record) -> str:
    return (
        "<h2>Again</h2><p>The same scenario, seed, data and kind of board give the same log. <span class=mono>swathpack "
        f"hil scenario.toml --board {text(r.board)} --out again</span></p>"
        f"<p class=mono>SHA-256 of log and samples: {r.digest()}</p>"
    )
