"""Small charts as inline SVG: a plot area with axes, and lines, bars and bands drawn into it."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

# Okabe and Ito's palette: eight colours that stay apart with every kind of colour vision.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a6f00", "#444444")

Points = Sequence[tuple[float, float]]


def text(value: object) -> str:
    """Escaped for HTML."""
    return html.escape(str(value), quote=True)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values inside the range, about `count` of them."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    rough = span / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [at * step for at in range(first, math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A tick label: 1500 -> 1.5k, 2e6 -> 2M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


class Plot:
    """One chart of `width` x `height` pixels over data ranges `x` and `y`."""

    def __init__(
        self,
        width: int,
        height: int,
        x: tuple[float, float],
        y: tuple[float, float],
        margin: tuple[int, int, int, int] = (14, 12, 34, 52),
    ) -> None:
        self.width, self.height = width, height
        self._top, self._right, self._bottom, self._left = margin
        self._x, self._y = _open(x), _open(y)
        self._parts: list[str] = []

    def px(self, x: float) -> float:
        """Pixels from the left."""
        inner = self.width - self._left - self._right
        return self._left + (x - self._x[0]) / (self._x[1] - self._x[0]) * inner

    def py(self, y: float) -> float:
        """Pixels from the top."""
        inner = self.height - self._top - self._bottom
        return self.height - self._bottom - (y - self._y[0]) / (self._y[1] - self._y[0]) * inner

    def add(self, part: str) -> None:
        """Any SVG element."""
        self._parts.append(part)

    def frame(
        self,
        x_label: str = "",
        y_label: str = "",
        x_ticks: Sequence[tuple[float, str]] | None = None,
        y_ticks: Sequence[tuple[float, str]] | None = None,
    ) -> Plot:
        """Grid, tick labels and axis titles; ticks are (value, label)."""
        for value, label in x_ticks if x_ticks is not None else [(v, short(v)) for v in ticks(*self._x)]:
            at = self.px(value)
            self.add(
                f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{self._top}" y2="{self.height - self._bottom}"/>'
            )
            self.add(
                f'<text class="tick" x="{at:.1f}" y="{self.height - self._bottom + 14}" '
                f'text-anchor="middle">{text(label)}</text>'
            )
        for value, label in y_ticks if y_ticks is not None else [(v, short(v)) for v in ticks(*self._y, 4)]:
            at = self.py(value)
            self.add(
                f'<line class="grid" x1="{self._left}" x2="{self.width - self._right}" y1="{at:.1f}" y2="{at:.1f}"/>'
            )
            self.add(
                f'<text class="tick" x="{self._left - 5}" y="{at + 3.5:.1f}" text-anchor="end">{text(label)}</text>'
            )
        if x_label:
            self.add(
                f'<text class="axis" x="{(self._left + self.width - self._right) / 2:.0f}" '
                f'y="{self.height - 4}" text-anchor="middle">{text(x_label)}</text>'
            )
        if y_label:
            middle = (self._top + self.height - self._bottom) / 2
            self.add(
                f'<text class="axis" transform="translate(11 {middle:.0f}) rotate(-90)" '
                f'text-anchor="middle">{text(y_label)}</text>'
            )
        return self

    def line(self, points: Points, colour: str, width: float = 1.5, title: str = "") -> None:
        """A polyline."""
        path = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}" for x, y in points)
        self.add(
            f'<polyline fill="none" stroke="{colour}" stroke-width="{width}" points="{path}">{_title(title)}</polyline>'
        )

    def steps(self, points: Points, colour: str, fill: float = 0.0) -> None:
        """A staircase that holds each value until the next; `fill` is the opacity below it."""
        path, previous = [], None
        for x, y in points:
            if previous is not None:
                path.append((x, previous))
            path.append((x, y))
            previous = y
        if fill and path:
            floor = self._y[0]
            area = [(path[0][0], floor), *path, (path[-1][0], floor)]
            shape = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}" for x, y in area)
            self.add(f'<polygon fill="{colour}" fill-opacity="{fill}" points="{shape}"/>')
        self.line(path, colour)

    def box(
        self, x0: float, x1: float, y0: float, y1: float, colour: str, title: str = "", opacity: float = 1.0
    ) -> None:
        """A filled box between data coordinates, at least a pixel and a half wide."""
        left, wide = self.px(x0), max(self.px(x1) - self.px(x0), 1.5)
        top, tall = self.py(y1), max(self.py(y0) - self.py(y1), 0.5)
        self.add(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{tall:.1f}" fill="{colour}" '
            f'fill-opacity="{opacity}">{_title(title)}</rect>'
        )

    def dot(self, x: float, y: float, colour: str, radius: float = 3.5, title: str = "") -> None:
        """A round mark."""
        self.add(
            f'<circle cx="{self.px(x):.1f}" cy="{self.py(y):.1f}" r="{radius}" fill="{colour}">{_title(title)}</circle>'
        )

    def label(
        self,
        x: float,
        y: float,
        value: object,
        anchor: str = "start",
        dx: float = 0,
        dy: float = 0,
        kind: str = "note",
    ) -> None:
        """Text at data coordinates, moved by pixels."""
        self.add(
            f'<text class="{kind}" x="{self.px(x) + dx:.1f}" y="{self.py(y) + dy:.1f}" '
            f'text-anchor="{anchor}">{text(value)}</text>'
        )

    def svg(self, label: str) -> str:
        """The finished element."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{text(label)}" '
            f'preserveAspectRatio="xMidYMid meet">{"".join(self._parts)}</svg>'
        )


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """(colour, label) pairs as HTML."""
    return (
        '<p class="legend">'
        + "".join(f'<span><i style="background:{colour}"></i>{text(label)}</span>' for colour, label in entries)
        + "</p>"
    )


def _title(value: str) -> str:
    return f"<title>{text(value)}</title>" if value else ""


def _open(ends: tuple[float, float]) -> tuple[float, float]:
    """A range that is not empty."""
    low, high = ends
    return (low, high) if high > low else (low, low + 1.0)
