"""The before/after page of `swathpack inpaint`: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.frame import Frame
from swathpack.tools.demo.page import STYLE
from swathpack.tools.pages.pictures import FALSE_COLOUR, TRUE_COLOUR, Picture, Stretch, data_uri

OUTLINE = (255, 196, 0)
MAX_SIDE = 1024  # pixels of a picture: larger frames are shown thinned

EXTRA_STYLE = """
.pair { margin: 26px 0 40px; } .pair h2 { margin-top: 36px; }
.c3 { grid-template-columns: repeat(3, 1fr); }
@media (max-width: 720px) { .c3 { grid-template-columns: 1fr; } }
li { margin: 3px 0; }
"""


@dataclass(frozen=True, eq=False)
class Shown:
    """One repaired date: frames before and after, its mask (H, W), and what there is to say about it."""

    label: str
    before: Frame
    after: Frame
    mask: NDArray[np.bool_]
    notes: tuple[str, ...]


def bands_to_show(frame: Frame) -> tuple[str, ...]:
    """True colour where the frame has it, else false colour, else its first band three times."""
    for bands in (TRUE_COLOUR, FALSE_COLOUR):
        if all(b in frame.bands for b in bands):
            return bands
    return (frame.bands[0],) * 3


def page(title: str, summary: str, shown: Sequence[Shown], notes: Sequence[str] = ()) -> str:
    """The page as text; `summary` and `notes` are plain text."""
    listed = "".join(f"<li>{escape(n)}</li>" for n in notes)
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}{EXTRA_STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1><p>{escape(summary)}</p>"
        + (f"<ul>{listed}</ul>" if listed else "")
        + "".join(_pair(s) for s in shown)
        + "<footer><p>Filled pixels are estimates: what the model and the other dates make likely, not what the sensor "
        "saw. Contains what the series contains; for Sentinel-2 that is modified Copernicus Sentinel data.</p></footer>"
        "</main></body></html>\n"
    )


def _pair(shown: Shown) -> str:
    if not shown.after.valid.any():
        said = " ".join(shown.notes)
        return f"<section class='pair'><h2>{escape(shown.label)}</h2><p>Nothing to show. {escape(said)}</p></section>"
    bands = bands_to_show(shown.after)
    stretch = Stretch.of(shown.after, bands)
    before, after = stretch.picture(shown.before), stretch.picture(shown.after)
    cover = shown.mask.mean()
    figures = (
        _figure(before, "Before", f"{cover:.1%} masked"),
        _figure(outlined(before, shown.mask), "Mask", "outline of what was filled"),
        _figure(after, "After", "clear pixels are untouched"),
    )
    notes = "".join(f"<li>{escape(n)}</li>" for n in shown.notes)
    return (
        f"<section class='pair'><h2>{escape(shown.label)}</h2>"
        f"<p class='soft'>Bands {escape(', '.join(bands))}, one stretch, taken from the repaired image.</p>"
        f"<div class='grid c3 small'>{''.join(figures)}</div><ul>{notes}</ul></section>"
    )


def _figure(picture: Picture, title: str, text: str) -> str:
    return (
        f'<figure><img src="{data_uri(thinned(picture))}" alt="{escape(title)}">'
        f"<figcaption><b>{escape(title)}</b>{escape(text)}</figcaption></figure>"
    )


def outlined(picture: Picture, mask: NDArray[np.bool_]) -> Picture:
    """The picture with the border of the mask drawn on its inner side."""
    inner = mask.copy()
    for axis in (0, 1):
        for shift in (-1, 1):
            inner &= np.roll(mask, shift, axis)
    out = picture.copy()
    out[mask & ~inner] = OUTLINE
    return out


def thinned(picture: Picture) -> Picture:
    """Every n-th pixel so that no side exceeds MAX_SIDE."""
    step = -(-max(picture.shape[:2]) // MAX_SIDE)
    return np.ascontiguousarray(picture[::step, ::step])
