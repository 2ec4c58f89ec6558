"""`swathpack plan --sweep KEY=A:B:STEP`: the plan at every value of one key, as a table, a CSV file and a page of charts."""

from __future__ import annotations

import csv
import io
import math
from decimal import Decimal, InvalidOperation
from pathlib import Path

from swathpack.tools.errors import UsageError
from swathpack.tools.pages.svg import COLOURS, Plot, short, text
from swathpack.tools.plan.model import Outcome
from swathpack.tools.plan.page import STYLE
from swathpack.tools.plan.report import headline, number, scope, title

MOST_POINTS = 100
Values = list[int | float]


def parse_sweep(given: str) -> tuple[str, Values]:
    """`radio.margin_db=1:3:0.5` -> the key and 1, 1.5, 2, 2.5, 3. Raises UsageError."""
    key, equals, span = given.partition("=")
    try:
        low, high, step = (Decimal(part) for part in span.split(":"))
        if not (
            equals and key and step.is_finite() and low.is_finite() and high.is_finite() and step > 0 and high >= low
        ):
            raise ValueError
    except (InvalidOperation, ValueError):
        raise UsageError(
            f"--sweep: expected KEY=FROM:TO:STEP with FROM at most TO and STEP above 0, such as radio.margin_db=1:6:0.5, found {given!r}"
        ) from None
    count = int((high - low) / step) + 1
    if count > MOST_POINTS:
        raise UsageError(f"--sweep: expected at most {MOST_POINTS} values, found {count}")
    values = [low + at * step for at in range(count)]
    return key, [int(v) if all(p == int(p) for p in (low, step)) else float(v) for v in values]


def table(key: str, values: Values, outcomes: list[Outcome]) -> str:
    """One row per value, one column per figure, with a line that says what the columns are."""
    lines = [title(outcomes[0].plan), scope(outcomes[0].plan), ""]
    columns = list(zip(*(headline(outcome) for outcome in outcomes)))
    lines.append(f"  {key:<34}" + "".join(f"{value:>12g}" for value in values))
    for column in columns:
        what, _, unit = column[0]
        lines.append(f"  {what + ', ' + unit:<34}" + "".join(f"{number(value):>12}" for _, value, _ in column))
    return "\n".join(lines)


def to_csv(key: str, values: Values, outcomes: list[Outcome]) -> str:
    """One row per value; empty where a figure does not exist."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([key, *(f"{what} ({unit})" for what, _, unit in headline(outcomes[0]))])
    for value, outcome in zip(values, outcomes):
        writer.writerow([value, *(f"{v:.6g}" if math.isfinite(v) else "" for _, v, _ in headline(outcome))])
    return out.getvalue()


def page(key: str, values: Values, outcomes: list[Outcome]) -> str:
    """A chart of every figure over the key; one file that needs nothing else."""
    charts = "".join(_chart(key, values, column) for column in zip(*(headline(outcome) for outcome in outcomes)))
    plan = outcomes[0].plan
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{text(plan.name)}: {text(key)}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{text(plan.name)} over {text(key)}</h1><p class='sub'>{text(plan.description)}</p>"
        f"<section class='grid2'>{charts}</section></main></body></html>\n"
    )


def _chart(key: str, values: Values, column: tuple[tuple[str, float, str], ...]) -> str:
    what, _, unit = column[0]
    points = [(float(x), y) for x, (_, y, _) in zip(values, column) if math.isfinite(y)]
    if not points:
        return ""
    low, high = min(y for _, y in points), max(y for _, y in points)
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    plot = Plot(560, 220, (float(values[0]), float(values[-1])), (low - room, high + room))
    plot.frame(key, f"{what}, {unit}")
    plot.line(points, COLOURS[0], 2.0)
    for x, y in points:
        plot.dot(x, y, COLOURS[0], 3.5, f"{key} {short(x)}: {number(y)} {unit}")
    return f"<div>{plot.svg(f'{what} over {key}')}</div>"


def write(key: str, values: Values, outcomes: list[Outcome], folder: Path) -> list[Path]:
    """sweep.csv and sweep.html; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"sweep.csv": to_csv(key, values, outcomes), "sweep.html": page(key, values, outcomes)}
    for name, content in texts.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in texts]
