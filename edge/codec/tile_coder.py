"""One tile-frame to coded layers: analysis, quantisation, entropy pass, range coder.

pixels -> coefficients -> latent int16 in steps of q -> means and tables, one pass -> segment of any
layers
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.base_layer import BASE_GROUPS, refined_groups
from swathpack.edge.codec.context_choice import Kept, Pass, choose_contexts
from swathpack.edge.codec.latents import GROUP, LAYERS, Latent, finest_step, quantise, rescale
from swathpack.edge.codec.layers import CodedBase, CodedLayers, encode_layers
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import fill_invalid
from swathpack.edge.codec.prediction import CodingContext, Prediction, Reconstruction
from swathpack.edge.codec.rate import remaining_error
from swathpack.edge.codec.tables import COST_UNIT, N_SCALES
from swathpack.edge.stream import ContextRef, Segment
from swathpack.edge.stream.quality import quality_of, shift_of, step_of, usual_shift

DEAD_ZONE = 0.10  # rounding offset towards zero; on val 0.05 costs 0.6 % and 0.15 costs 0.9 % more bits (BD-rate)
RDO_SLOPE = 0.09  # squared steps per bit; 0.06 to 0.10 are alike on val, 3 % fewer bits than the dead zone alone

DETAIL = slice(1, 6)  # layers that tell whether two dates show the same ground
UNLIKE = 0.05  # below this likeness a context is not even tried
Named = TypeVar("Named")


def likeness(coefficients: NDArray[np.float32], context: CodingContext) -> float:
    """Cosine between coefficients (512, h, w) and a context over the detail layers, -1..1.

    A context of one layer has no detail: that layer is compared instead.
    """
    start = min(DETAIL.start, context.layers - 1) * GROUP
    stop = min(context.layers, DETAIL.stop) * GROUP
    a = coefficients[start:stop].ravel().astype(np.float64)
    b = context.latent[start:stop].ravel().astype(np.float64)
    return float(a @ b / (np.sqrt((a @ a) * (b @ b)) + 1e-9))


def alike(
    coefficients: NDArray[np.float32], candidates: Iterable[tuple[Named, CodingContext]]
) -> list[tuple[Named, CodingContext]]:
    """The two candidates most like these coefficients, the better one first: a cloudy date explains nothing."""
    ranked = sorted(((likeness(coefficients, c[1]), c) for c in candidates), key=lambda r: -r[0])
    return [c for like, c in ranked[:2] if like > UNLIKE]


def within_reach(coefficients: NDArray[np.float32], quality: int) -> int:
    """The quality byte, or where its step is too fine for a tile this bright that of the finest step that holds it."""
    q = finest_step(coefficients)
    return quality if q <= step_of(quality) else quality_of(q, usual_shift(q, shift_of(quality)))


def weigh_contexts(
    model: EdgeModel, coefficients: NDArray[np.float32], quality: int, contexts: Sequence[CodingContext]
) -> tuple[Kept, Pass]:
    """Which of at most two contexts, best first, pay for a tile, and the passes that are done by then: see
    `swathpack.edge.codec.context_choice`. Both are what `encode_tile` takes.
    """
    quality = within_reach(coefficients, quality)
    return choose_contexts(model, quantise(coefficients, step_of(quality), DEAD_ZONE), quality, contexts)


@dataclass(frozen=True, eq=False)
class CodedLatent:
    """A latent (512, h, w) of a quality byte with its range-coded layers; `contexts` were used for it. prediction: of
    the latent, given its base where it has one.
    """

    model: EdgeModel
    coefficients: NDArray[np.float32]
    latent: Latent
    quality: int
    prediction: Prediction
    contexts: tuple[CodingContext, ...]
    base: CodedBase | None = None

    @property
    def q(self) -> int:
        """Step index."""
        return step_of(self.quality)

    @cached_property
    def layers(self) -> CodedLayers:
        """The range coder's run, made when it is first asked for."""
        return encode_layers(self.model.tables, self.prediction, self.latent, base=self.base)

    @property
    def payload_sizes(self) -> NDArray[np.int64]:
        """(17,) bytes of the payload that holds layers [0, k)."""
        return self.layers.sizes

    @cached_property
    def distortion(self) -> NDArray[np.float64]:
        """(17,) estimated sum of squared error in DN^2 over the tile when the first k layers are received, which
        never rises with k: see `swathpack.edge.codec.rate.remaining_error`. Every channel's error counts with its synthesis gain.
        """
        scale = 2.0 ** (self.q / 8)
        target = self.coefficients.astype(np.float64) / scale
        gains = self.model.gains * scale**2

        def error(values: NDArray[Any]) -> NDArray[np.float64]:
            squares = ((target - values) ** 2).sum((1, 2)) * gains
            return np.asarray(squares.reshape(LAYERS, GROUP).sum(1), np.float64)

        mean = self.prediction.mean8.reshape(target.shape) / 8
        nothing = mean
        if self.base is not None:
            based, unit = slice(0, BASE_GROUPS * GROUP), 1 << shift_of(self.quality)
            nothing, mean = mean.copy(), mean.copy()
            nothing[based] = self.base.prediction.mean8.reshape(target.shape)[based] * unit / 8
            mean[based] = self.base.base.values[based] * unit
        # With nothing sent the model leans on the best context, but not on one that is nothing like the tile (clouds).
        likely: list[NDArray[Any]] = [np.zeros(1), *(rescale(c.latent, c.q, self.q) for c in self.contexts[:1])]
        return remaining_error(
            kept=error(self.latent),
            missing=error(mean),
            nothing=error(nothing),
            refined=[refined_groups(k, self.quality) for k in range(LAYERS + 1)],
            first_unsent=min(float(error(values)[0]) for values in likely),
            last_energy=float(error(np.zeros(1))[-1]),
        )

    def reconstruction(self) -> Reconstruction:
        """What synthesis gets when all layers are received."""
        shape, index = self.latent.shape, self.prediction.table_index
        mean = (self.prediction.mean8 / 8).astype(np.float32).reshape(shape)
        scale = (index % N_SCALES).astype(np.uint8).reshape(shape)
        return Reconstruction(self.latent.astype(np.float32), mean, scale, self.q)

    def segment(self, frame: int, tile: int, stop: int, refs: tuple[ContextRef, ...], start: int = 0) -> Segment:
        """The segment record with layers [start, stop)."""
        coded = (
            self.layers
            if start == 0
            else encode_layers(self.model.tables, self.prediction, self.latent, start, stop, base=self.base)
        )
        payload = coded.payload(stop - start)
        return replace(self.empty_segment(frame, tile, stop, refs, start), payload=payload, payload_bytes=-1)

    def empty_segment(self, frame: int, tile: int, stop: int, refs: tuple[ContextRef, ...], start: int = 0) -> Segment:
        """The segment record of layers [start, stop) without its payload."""
        h, w = self.latent.shape[1:]
        return Segment.empty((frame, tile), self.quality, (start, stop), (h, w), refs)


def analyse_tile(model: EdgeModel, pixels: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Twelve bands (12, H, W) DN and validity (H, W) -> coefficients (512, h, w)."""
    return model.analyse(fill_invalid(pixels.astype(np.float32), valid))


def choose_levels(
    model: EdgeModel,
    coefficients: NDArray[np.float32],
    q: int,
    latent: Latent,
    prediction: Prediction,
    slope: float,
) -> Latent:
    """Rate-distortion optimised quantisation: of the two integers around each coefficient, and the one
    nearest the predicted mean, the cheapest in squared error + slope * bits (in squared steps).

    Bits are those of the tables that `prediction` chose, as if earlier symbols stayed what they are (as in
    Sullivan and Wiegand 1998, "Rate-distortion optimization for video compression", for independent
    decisions).
    """
    target = (coefficients * np.float32(2.0 ** (-q / 8))).reshape(prediction.mean8.shape)
    floor = np.floor(target).astype(np.int64)
    nearest = (prediction.mean8 + 4) >> 3
    # The mean is a candidate only on the way from the coefficient: further off never pays.
    inward = np.clip(nearest, floor - 1, floor + 2)
    best = np.full(target.shape, np.inf)
    chosen = latent.reshape(target.shape).astype(np.int64)
    for level in (floor, floor + 1, inward):
        bits = model.tables.cost_units(prediction.table_index, level - (prediction.mean8 >> 3)) * COST_UNIT
        cost = (target - level) ** 2 + slope * bits
        better = cost < best
        best, chosen = np.where(better, cost, best), np.where(better, level, chosen)
    # `finest_step` left room for the level beyond each coefficient.
    return chosen.astype(np.int16).reshape(latent.shape)


def encode_tile(
    model: EdgeModel,
    coefficients: NDArray[np.float32],
    quality: int,
    contexts: Sequence[CodingContext] = (),
    dead_zone: float = DEAD_ZONE,
    slope: float = 0.0,
    done: Pass | None = None,
) -> CodedLatent:
    """Quantise coefficients with the step of a quality byte, or the finest that holds them (`within_reach`), and predict
    every symbol against the contexts, best first.

    done: passes over the latent quantised with that dead zone against these contexts, as far as they are done.
    slope > 0 (squared steps per bit) adds a pass of `choose_levels`: about 3 % fewer bits for twice the time.
    """
    quality = within_reach(coefficients, quality)
    q = step_of(quality)
    latent = quantise(coefficients, q, dead_zone)
    if done is None:
        done = Pass.first(model, latent, contexts, quality)
    prediction = done.whole(model, latent, contexts, quality)
    if slope > 0:
        latent = choose_levels(model, coefficients, q, latent, prediction, slope)
        done = Pass.first(model, latent, contexts, quality)
        prediction = done.whole(model, latent, contexts, quality)
    return CodedLatent(model, coefficients, latent, quality, prediction, tuple(contexts), done.base)
