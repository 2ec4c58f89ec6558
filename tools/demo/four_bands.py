"""The demo's filled example: blue, green, red and near infrared of one real scene in exactly two bits a sample.

A val scene of the project's data where that lies beside the checkout, which nothing was trained on; else the clearest window
of the demo's own scene, which was, and the text says so. JPEG2000 with no more bytes is there when imagecodecs is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from swathpack.edge.frame import Frame
from swathpack.tools.bench.metrics import mse
from swathpack.tools.bench.peers.base import PeerError
from swathpack.tools.bench.peers.still import Jpeg2000
from swathpack.tools.demo import views
from swathpack.tools.demo.data import DemoSeries
from swathpack.tools.demo.page import figure
from swathpack.tools.files.rasters import read_series
from swathpack.tools.pages.pictures import TRUE_COLOUR, Picture, Stretch

if TYPE_CHECKING:
    from swathpack.tools.demo.__main__ import Outcome

BANDS = ("B02", "B03", "B04", "B08")
BITS, SIDE, LEAST_SIDE = 2, 256, 64
ERROR_GAIN = 20
NAME = "four-bands"
VAL_SCENE = Path("val") / "terramind-l2a__637U_59R_1_3.npz"
VAL_CREDIT = "TerraMind examples, Major TOM cell 637U 59R (IBM, Apache-2.0); contains modified Copernicus Sentinel data"


@dataclass(frozen=True)
class Example:
    """The scene's one frame of four bands, whose it is, and what is to be said of it."""

    frame: Frame
    credit: str
    origin: str

    @property
    def budget(self) -> int:
        """Bytes of two bits a sample."""
        return BITS * self.frame.data.size // 8


def example(shared: Path, sources: list[DemoSeries]) -> Example | None:
    """shared: the project's data. None where no scene has the bands."""
    if (shared / VAL_SCENE).is_file():
        frame = read_series(shared / VAL_SCENE).frames[0]
        return Example(_cut(frame), VAL_CREDIT, "fields, val scene 637U_59R, not trained on")
    for source in sources[::-1]:
        frame = source.series.frames[0]
        if set(BANDS) <= set(frame.bands) and min(frame.height, frame.width) >= LEAST_SIDE:
            kind = "in the training set" if source.real else "synthetic"
            return Example(_cut(frame), source.credit, f"{source.name}, {kind}")
    return None


def _cut(frame: Frame) -> Frame:
    return views.clearest(frame.select(BANDS), SIDE)


@dataclass(frozen=True)
class Filled:
    """What came of it: our file and JPEG2000's, None without imagecodecs. RMSE in DN over all four bands."""

    given: Example
    outcome: Outcome
    peer: views.View | None

    @property
    def rmse(self) -> float:
        """Of ours."""
        return _rmse(self.given.frame, self.outcome.decoded[0])

    @property
    def peer_rmse(self) -> float:
        """Of JPEG2000."""
        assert self.peer is not None
        return _rmse(self.given.frame, self.peer.frame)


def beside_peer(given: Example, outcome: Outcome) -> Filled:
    """With JPEG2000 in no more bytes than ours took: with or without a KLT before it, whichever has less error."""
    try:
        codecs = [Jpeg2000(BANDS), Jpeg2000(BANDS, klt=True)]
        found = [replace(views.jpeg2000_within(c, given.frame, outcome.size), label=c.label) for c in codecs]
    except PeerError:
        found = []
    return Filled(given, outcome, max(found, key=lambda view: view.quality, default=None))


def _rmse(frame: Frame, decoded: Frame) -> float:
    return float(np.sqrt(mse(frame.data, decoded.data, frame.valid)))


def describe(filled: Filled) -> str:
    """The one line that the demo prints."""
    given, frame = filled.given, filled.given.frame
    peer = f"; {filled.peer.label} {filled.peer.size:,} bytes, RMSE {filled.peer_rmse:.1f} DN" if filled.peer else ""
    return (
        f"Four bands at {BITS} bits a sample ({given.origin}, {frame.width} x {frame.height}): {filled.outcome.size:,} of "
        f"{given.budget:,} bytes, RMSE {filled.rmse:.1f} DN{peer}"
    )


def section(filled: Filled) -> str:
    """Of the page: the pictures, and errors twenty times as large."""
    given, ours = filled.given, filled.outcome
    stretch = Stretch.of(given.frame, TRUE_COLOUR)
    shown: list[tuple[Picture, str, str]] = [
        (stretch.picture(given.frame), "The original", f"{given.frame.data.nbytes:,} bytes"),
        (stretch.picture(ours.decoded[0]), "SwathPack", f"{ours.size:,} bytes, RMSE {filled.rmse:.1f} DN"),
    ]
    errors = [(stretch.error(given.frame, ours.decoded[0], ERROR_GAIN), "SwathPack, its error", f"{ERROR_GAIN} times")]
    if filled.peer is not None:
        text = f"{filled.peer.size:,} bytes, RMSE {filled.peer_rmse:.1f} DN"
        shown.append((stretch.picture(filled.peer.frame), filled.peer.label, text))
        wrong = stretch.error(given.frame, filled.peer.frame, ERROR_GAIN)
        errors.append((wrong, f"{filled.peer.label}, its error", f"{ERROR_GAIN} times"))
    figures = "".join(figure(*row) for row in (*shown, *errors))
    return (
        "<h2>Four bands, filled to two bits</h2>"
        f"<p>Blue, green, red and near infrared ({escape(given.origin)}) in at most {BITS} bits for each pixel of each band. "
        "At such rates nothing is seen any more, so the errors are shown below, red, green and blue, "
        f"{ERROR_GAIN} times as large.</p>"
        f'<div class="grid c6 small" style="grid-template-columns:repeat(3,1fr)">{figures}</div>'
        f'<p class="soft">{escape(given.credit)}</p>'
    )
