"""What the demo's page shows beside the pass itself: images by layers and by budget, and a rate curve.

All of it is measured on one tile of the demo's data when the page is made; JPEG2000 is there when imagecodecs
is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import TILE
from swathpack.edge.frame import Frame
from swathpack.tools.bench.metrics import bppb, psnr
from swathpack.tools.bench.peers.base import Encoded, PeerError
from swathpack.tools.bench.peers.still import Jpeg2000
from swathpack.tools.demo import page as demo_page
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.progress import Progress

if TYPE_CHECKING:
    from swathpack.tools.demo.__main__ import Outcome

LAYER_COUNTS = (1, 2, 4, 8, 16)
LAYER_QUALITY = 20
BUDGETS_BPPB = (0.025, 0.05, 0.1, 0.2)
CURVE_STEPS = (52, 44, 36, 28, 20, 12)
HALVINGS = 12  # of the range of JPEG2000's quality, on the way to a budget
CURVE_KNOBS = (42.0, 44.0, 46.0, 48.0, 50.0, 52.0, 54.0, 56.0)


@dataclass(frozen=True)
class View:
    """One way to code the tile: its bytes, what came out, PSNR in dB."""

    label: str
    size: int
    frame: Frame
    quality: float


@dataclass(frozen=True)
class Views:
    """Everything shown of the tile. `peer` is empty without JPEG2000; curves are (bppb, dB)."""

    original: Frame
    layers: list[View]
    budgets: list[View]
    peer: list[View]
    curve: list[tuple[float, float]]
    peer_curve: list[tuple[float, float]]


def page(outcomes: Sequence[Outcome], pass_bytes: int, more: str = "") -> str:
    """The page as HTML; measures the views of the largest case first. more: sections to stand behind the pictures."""
    largest = max(outcomes, key=lambda o: o.case.frames[0].data.size)
    views = measure(busiest_tile(largest.case.frames[0]), EdgeModel())
    return demo_page.render(outcomes, pass_bytes, views, more)


def busiest_tile(frame: Frame) -> Frame:
    """The tile of a frame with the most detail for its brightness, which is where it is not cloudy."""
    red = frame.data[frame.bands.index("B04")].astype(np.float64)
    step = np.abs(np.diff(red, axis=1, append=red[:, -1:]))

    def score(window: tuple[slice, slice]) -> float:
        blue = frame.data[frame.bands.index("B02")][window].astype(np.float64)
        return float(np.median(step[window]) * frame.valid[window].mean() / (blue.mean() ** 2 + 1))

    return cropped(frame, max(windows(frame, TILE), key=score))


def clearest(frame: Frame, side: int) -> Frame:
    """The window of a frame with the least blue light on average: cloud and haze are blue and white."""
    blue = frame.data[frame.bands.index("B02")].astype(np.float64)
    return cropped(frame, min(windows(frame, side), key=lambda w: float(blue[w].mean())))


def windows(frame: Frame, side: int) -> list[tuple[slice, slice]]:
    """Windows of at most `side` pixels each way, 64 apart."""
    tops = range(0, max(frame.height - side, 0) + 1, 64)
    lefts = range(0, max(frame.width - side, 0) + 1, 64)
    return [(slice(t, t + side), slice(x, x + side)) for t in tops for x in lefts]


def cropped(frame: Frame, window: tuple[slice, slice]) -> Frame:
    """The part of a frame in a window."""
    data = np.ascontiguousarray(frame.data[(slice(None), *window)])
    return replace(frame, data=data, valid=frame.valid[window])


def measure(tile: Frame, model: EdgeModel) -> Views:
    """All views of one tile."""
    encoder = SeriesEncoder(model, [tile])

    def decoded(label: str, stream: bytes) -> View:
        frame = StreamDecoder(model, stream).frames().frames[0]
        return View(label, len(stream), frame, psnr(tile.data, frame.data, tile.valid))

    budgets = [int(rate * tile.data.size / 8) for rate in BUDGETS_BPPB]
    with Progress(len(LAYER_COUNTS) + 2 * len(budgets) + len(CURVE_STEPS) + 1, "page") as bar:
        layers, sized, curve, peer = [], [], [], []
        for count in LAYER_COUNTS:
            label = f"{count} of 16 layers" if count > 1 else "1 layer"
            layers.append(decoded(label, encoder.at_quality(LAYER_QUALITY, count)))
            bar.step()
        for budget in budgets:
            sized.append(decoded(f"{budget:,} bytes", encoder.in_total(budget)))
            bar.step()
        for q in CURVE_STEPS:
            curve.append(decoded(f"step {q}", encoder.at_quality(q)))
            bar.step()
        try:
            codec = Jpeg2000(tile.bands)
            for budget in budgets:
                peer.append(jpeg2000_within(codec, tile, budget))
                bar.step()
            peer_curve = [_point(_jpeg2000(codec, tile, knob), tile) for knob in CURVE_KNOBS]
            bar.step()
        except PeerError:
            peer, peer_curve = [], []
    return Views(tile, layers, sized, peer, [_point(v, tile) for v in curve], peer_curve)


def _point(view: View, tile: Frame) -> tuple[float, float]:
    return bppb(view.size, tile.data.shape), view.quality


def _jpeg2000(codec: Jpeg2000, tile: Frame, knob: float) -> View:
    stream = codec.encode(tile.data[None], knob).frames[0]
    data = codec.decode(Encoded([stream]))[0]
    return View("JPEG2000", len(stream), replace(tile, data=data), psnr(tile.data, data, tile.valid))


def jpeg2000_within(codec: Jpeg2000, tile: Frame, budget: int) -> View:
    """The best image of at most `budget` bytes; the coarsest one when even that is larger."""
    low, high = 20.0, 90.0
    best = _jpeg2000(codec, tile, low)
    for _ in range(HALVINGS):
        knob = (low + high) / 2
        found = _jpeg2000(codec, tile, knob)
        if found.size <= budget:
            best, low = found, knob
        else:
            high = knob
    return best
