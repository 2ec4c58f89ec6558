"""The demo's page: one self-contained HTML file in plain words, light or dark as the reader's screen is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from swathpack.tools.pages.pictures import FALSE_COLOUR, TRUE_COLOUR, Picture, Stretch, data_uri

if TYPE_CHECKING:
    from swathpack.tools.demo.__main__ import Outcome
    from swathpack.tools.demo.views import View, Views

ERROR_GAIN = 4
CHART_BPPB = 0.6
Scale = Callable[[float], float]
CHART_W, CHART_H = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 16, 40

STYLE = """
:root { color-scheme: light dark; --paper: #f7f6f3; --ink: #1d2125; --soft: #666b70; --line: #dcdad4;
  --card: #fff; --ours: #0f766e; --theirs: #b45309; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181b; --ink: #e7e5e0; --soft: #9aa0a6;
  --line: #2e3338; --card: #1d2125; --ours: #2dd4bf; --theirs: #f59e0b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 17px/1.6 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 56px 24px 72px; }
h1 { font-size: 40px; line-height: 1.15; letter-spacing: -.02em; margin: 0 0 12px; font-weight: 650; }
h2 { font-size: 25px; letter-spacing: -.01em; margin: 72px 0 6px; font-weight: 620; }
p { max-width: 68ch; margin: 6px 0 18px; }
.soft, figcaption, th, footer { color: var(--soft); }
figure { margin: 0; } figcaption { font-size: 14px; line-height: 1.4; margin-top: 7px;
  font-variant-numeric: tabular-nums; } figcaption b { color: var(--ink); font-weight: 600; display: block; }
img { display: block; width: 100%; height: auto; border-radius: 5px; background: #000; }
.small img { image-rendering: pixelated; }
.grid { display: grid; gap: 18px 14px; }
.c2 { grid-template-columns: 1fr 1fr; } .c4 { grid-template-columns: repeat(4, 1fr); }
.c6 { grid-template-columns: repeat(6, 1fr); }
@media (max-width: 720px) { .c4, .c6 { grid-template-columns: 1fr 1fr; } .c2 { grid-template-columns: 1fr; } }
.rows { font-size: 14px; color: var(--soft); margin: 20px 0 6px; }
.meter { height: 16px; border-radius: 8px; background: var(--line); overflow: hidden;
  display: flex; gap: 2px; }
.meter i { display: block; background: var(--ours); } .meter i + i { opacity: .6; }
.big { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; margin: 28px 0 14px; }
@media (max-width: 720px) { .big { grid-template-columns: 1fr 1fr; } }
.big div { font-size: 14px; line-height: 1.4; color: var(--soft); }
.big b { display: block; font-size: 30px; line-height: 1.2; color: var(--ink); font-weight: 620;
  letter-spacing: -.02em; font-variant-numeric: tabular-nums; }
.compare { position: relative; --at: 50%; border-radius: 5px; overflow: hidden; }
.compare img + img { position: absolute; inset: 0; clip-path: inset(0 0 0 var(--at)); }
.compare::after { content: ""; position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px;
  background: #fff; box-shadow: 0 0 6px #0008; pointer-events: none; }
.compare input { position: absolute; inset: 0; width: 100%; height: 100%; opacity: 0;
  cursor: ew-resize; margin: 0; }
.compare span { position: absolute; top: 10px; padding: 1px 9px; border-radius: 10px; background: #000a;
  color: #fff; font-size: 13px; pointer-events: none; }
table { border-collapse: collapse; width: 100%; font-size: 15px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 6px 10px; border-bottom: 1px solid var(--line); font-weight: 400; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font-size: 12px; }
svg .axis { stroke: var(--line); } svg .ours { stroke: var(--ours); fill: var(--ours); }
svg .theirs { stroke: var(--theirs); fill: var(--theirs); } svg polyline { fill: none !important;
stroke-width: 2.5; } svg text.ours { stroke: none; fill: var(--ours); } svg text.theirs { stroke: none; fill:
var(--theirs); }
footer { margin-top: 72px; border-top: 1px solid var(--line); padding-top: 16px; font-size: 14px; }
"""
SCRIPT = """
for (const box of document.querySelectorAll(".compare")) {
  const slider = box.querySelector("input");
  slider.addEventListener("input", () => box.style.setProperty("--at", slider.value + "%"));
}
"""


def render(outcomes: Sequence[Outcome], pass_bytes: int, views: Views, more: str = "") -> str:
    """The page of a run: the pass, each case, and the views of one tile; more: further sections before its figures."""
    sections = [_pass(outcomes, pass_bytes)]
    sections += [_series(o) if len(o.decoded) > 1 else _scene(o) for o in reversed(outcomes)]
    sections += [_layers(views), _budgets(views), more, _curve(views), _table(outcomes), _footer(outcomes)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>SwathPack demo</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><main>{''.join(sections)}</main><script>{SCRIPT}</script></body></html>\n"
    )


def figure(picture: Picture, title: str, text: str = "") -> str:
    """A picture with its caption."""
    return (
        f'<figure><img src="{data_uri(picture)}" alt="{escape(title)}">'
        f"<figcaption><b>{escape(title)}</b>{escape(text)}</figcaption></figure>"
    )


def _pass(outcomes: Sequence[Outcome], pass_bytes: int) -> str:
    used, frames = sum(o.size for o in outcomes), sum(len(o.decoded) for o in outcomes)
    raw = sum(f.data.nbytes for o in outcomes for f in o.case.frames)
    bars = "".join(f'<i style="width:{100 * o.size / pass_bytes:.2f}%"></i>' for o in outcomes)
    encode, decode = sum(o.encode_s for o in outcomes), sum(o.decode_s for o in outcomes)
    facts = [
        (f"{used:,}", f"bytes sent, of the {pass_bytes:,} that the pass carries"),
        (f"{raw / used:.0f} : 1", f"smaller than the {raw / 1e6:.1f} MB that the sensor gave"),
        (
            f"{frames}",
            f"frame{'s' if frames != 1 else ''} decoded from the stream and the model, nothing else",
        ),
        (f"{encode:.0f} + {decode:.0f} s", "CPU time to encode (searching for the best fill) and to decode"),
    ]
    return (
        "<h1>One pass over the ground station</h1>"
        "<p>A satellite has a few minutes of contact and a fixed number of bytes. Here is what SwathPack "
        "made of "
        "one small pass: the frames below went in on board, one stream came out, and another process turned "
        "that stream back into images.</p>"
        f'<div class="meter">{bars}</div><div class="big">'
        + "".join(f"<div><b>{escape(value)}</b>{escape(text)}</div>" for value, text in facts)
        + "</div>"
    )


def _scene(outcome: Outcome) -> str:
    frame, decoded = outcome.case.frames[0], outcome.decoded[0]
    true = Stretch.of(frame, TRUE_COLOUR)
    false = Stretch.of(frame, FALSE_COLOUR)
    return (
        f"<h2>{escape(outcome.case.title)}</h2>"
        "<p>Move the pointer across the picture: left of the line is what the sensor saw, right of it what "
        "the "
        f"ground received in {outcome.size:,} bytes, {outcome.bppb:.3f} bits for each pixel of each band "
        f"(the sensor uses 12 to 16).</p>"
        '<div class="grid c2"><figure><div class="compare">'
        f'<img src="{data_uri(true.picture(frame))}" alt="original">'
        f'<img src="{data_uri(true.picture(decoded))}" alt="decoded">'
        '<span style="left:10px">original</span><span style="right:10px">decoded</span>'
        '<input type="range" min="0" max="100" value="50" aria-label="original or decoded"></div>'
        f"<figcaption><b>True colour</b>red, green and blue as the eye would see them; "
        f"PSNR {outcome.quality[0]:.1f} dB over all bands</figcaption></figure>"
        + figure(false.picture(decoded), "False colour, decoded", "near infrared shown as red: plants glow")
        + figure(
            true.error(frame, decoded, ERROR_GAIN),
            f"What was lost, {ERROR_GAIN} times amplified",
            "grey is no difference; the same stretch as the true-colour picture",
        )
        + figure(false.picture(frame), "False colour, original", "for comparison with the picture above")
        + "</div>"
    )


def _series(outcome: Outcome) -> str:
    frames, decoded = outcome.case.frames, outcome.decoded
    stretch = Stretch.of(frames[len(frames) // 2], FALSE_COLOUR)
    rows = [
        (
            "What the sensor saw, in false colour (plants are red)",
            [figure(stretch.picture(f), f.time or f"date {i + 1}") for i, f in enumerate(frames)],
        ),
        (
            "What the ground received",
            [figure(stretch.picture(d), f"{value:.1f} dB") for d, value in zip(decoded, outcome.quality)],
        ),
        (
            f"The difference, {ERROR_GAIN} times amplified",
            [figure(stretch.error(f, d, ERROR_GAIN), "") for f, d in zip(frames, decoded)],
        ),
    ]
    text = "".join(
        f'<div class="rows">{escape(title)}</div><div class="grid c6 small">{"".join(figures)}</div>'
        for title, figures in rows
    )
    return (
        f"<h2>{escape(outcome.case.title)}</h2>"
        f"<p>The same place on {len(frames)} dates, in {outcome.size:,} bytes: {outcome.bppb:.3f} bits for "
        "each "
        "pixel of each band. From the second date on, the codec predicts an image from those that the "
        "ground holds already, and sends what is new.</p>" + text
    )


def _gallery(views: Sequence[View], stretch: Stretch, original: Picture) -> str:
    shown = [figure(stretch.picture(v.frame), v.label, f"{v.size:,} bytes, {v.quality:.1f} dB") for v in views]
    return "".join([*shown, figure(original, "The original", "all bits")])


def _layers(views: Views) -> str:
    stretch = Stretch.of(views.original, TRUE_COLOUR)
    original = stretch.picture(views.original)
    return (
        "<h2>Images arrive by layers</h2>"
        "<p>Every tile is coded in 16 layers, the most important first. A stream that stops anywhere still "
        "gives an "
        "image from the layers that arrived whole; the model predicts the missing ones.</p>"
        f'<div class="grid c6 small" style="grid-template-columns:repeat(3,1fr)">'
        f"{_gallery(views.layers, stretch, original)}</div>"
    )


def _budgets(views: Views) -> str:
    stretch = Stretch.of(views.original, TRUE_COLOUR)
    beside = " Below each, JPEG2000 with all bands in one codestream and no more bytes." if views.peer else ""
    ours = [
        figure(stretch.picture(v.frame), f"SwathPack, {v.quality:.1f} dB", f"{v.size:,} bytes") for v in views.budgets
    ]
    theirs = [
        figure(stretch.picture(v.frame), f"JPEG2000, {v.quality:.1f} dB", f"{v.size:,} bytes") for v in views.peer
    ]
    return (
        "<h2>Or by budget</h2><p>The same tile when the whole file may have 0.025, 0.05, 0.1 or 0.2 bits "
        "for each "
        f"pixel of each band. The budget counts every header and is never exceeded.{beside}</p>"
        f'<div class="grid c4 small">{"".join(ours + theirs)}</div>'
    )


def _curve(views: Views) -> str:
    if len(views.curve) < 2:
        return ""
    values = [v for rate, v in views.curve + views.peer_curve if rate <= CHART_BPPB] or [30.0, 40.0]
    x1, y0, y1 = CHART_BPPB, min(values) // 5 * 5, max(values) // 5 * 5 + 5

    def x(rate: float) -> float:
        return LEFT + (CHART_W - LEFT - RIGHT) * min(rate / x1, 1)

    def y(value: float) -> float:
        return TOP + (CHART_H - TOP - BOTTOM) * (y1 - value) / (y1 - y0)

    axis = "".join(
        f'<line class="axis" x1="{LEFT}" x2="{CHART_W - RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text x="{LEFT - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.0f}</text>'
        for v in range(int(y0), int(y1) + 1, 5)
    ) + "".join(
        f'<text x="{x(i * x1 / 6):.1f}" y="{CHART_H - 20}" text-anchor="middle">{i * x1 / 6:.1f}</text>'
        for i in range(7)
    )
    lines = _line(views.curve, "ours", "SwathPack", x1, x, y)
    lines += _line(views.peer_curve, "theirs", "JPEG2000", x1, x, y)
    return (
        "<h2>Quality against size</h2><p>PSNR in dB over all bands of this one tile (peak 10,000) against "
        "bits per pixel and band: a picture of this tile, not a benchmark. "
        "<code>swathpack bench</code> makes one.</p>"
        f'<svg viewBox="0 0 {CHART_W} {CHART_H}" role="img" aria-label="rate and quality">{axis}{lines}'
        f'<text x="{CHART_W - RIGHT}" y="{CHART_H - 4}" text-anchor="end">bits per pixel and band'
        "</text></svg>"
    )


def _line(points: Iterable[tuple[float, float]], kind: str, label: str, most: float, x: Scale, y: Scale) -> str:
    shown = sorted(p for p in points if p[0] <= most)
    if len(shown) < 2:
        return ""
    path = " ".join(f"{x(r):.1f},{y(v):.1f}" for r, v in shown)
    dots = "".join(f'<circle class="{kind}" cx="{x(r):.1f}" cy="{y(v):.1f}" r="3"/>' for r, v in shown)
    below = 18 if kind == "theirs" else -10
    at = shown[len(shown) // 2]
    name = (
        f'<text class="{kind}" x="{x(at[0]) + (8 if below > 0 else -8):.1f}" y="{y(at[1]) + below:.1f}" '
        f'text-anchor="{"start" if below > 0 else "end"}">{label}</text>'
    )
    return f'<polyline class="{kind}" points="{path}"/>{dots}{name}'


def _table(outcomes: Sequence[Outcome]) -> str:
    rows = "".join(
        f"<tr><td>{escape(o.case.name)}</td><td>{o.size:,}</td><td>{o.case.budget:,}</td>"
        f"<td>{o.size / o.case.budget:.1%}</td><td>{o.bppb:.3f}</td>"
        f"<td>{sum(o.quality) / len(o.quality):.2f}</td>"
        f"<td>{o.encode_s:.1f}</td><td>{o.decode_s:.1f}</td></tr>"
        for o in outcomes
    )
    names = (
        "data",
        "bytes",
        "budget",
        "filled",
        "bits per pixel and band",
        "PSNR, dB",
        "encode, CPU s",
        "decode, CPU s",
    )
    head = "".join(f"<th>{n}</th>" for n in names)
    return f"<h2>The numbers</h2><table><tr>{head}</tr>{rows}</table>"


def _footer(outcomes: Sequence[Outcome]) -> str:
    credits = "<br>".join(escape(o.case.credit) for o in outcomes)
    note = "CPU seconds are those of whole processes, start and loading included."
    return f"<footer>Data: {credits}. {note}</footer>"
