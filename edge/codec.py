"""One tile-frame to coded layers: analysis, quantisation, entropy pass, range coder.

    pixels -> coefficients -> latent int16 in steps of q -> means and tables, one pass -> segment of any
    layers
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edge.coding import CodedLayers, CodingContext, Prediction, encode_layers, predict
from edge.latents import GROUP, LAYERS, Latent, quantise
from edge.model import EdgeModel
from edge.pixels import fill_invalid
from edge.stream import ContextRef, Segment

DEAD_ZONE = 0.10  # rounding offset towards zero; measured best for rate-distortion between 0.05 and 0.15


@dataclass(frozen=True, eq=False)
class CodedLatent:
    """A latent with its range-coded layers; `contexts` were used for it, `size` is (h, w)."""

    model: EdgeModel
    coefficients: NDArray[np.float32]
    latent: Latent
    q: int
    prediction: Prediction
    contexts: tuple[CodingContext, ...]

    @cached_property
    def layers(self) -> CodedLayers:
        return encode_layers(self.model.tables, self.prediction, self.latent)

    @property
    def payload_sizes(self) -> NDArray[np.int64]:
        """(17,) bytes of the payload that holds layers [0, k)."""
        return self.layers.sizes

    @cached_property
    def distortion(self) -> NDArray[np.float64]:
        """(17,) estimated sum of squared error in DN^2 over the tile when the first k layers are received.

        Coefficient error times the synthesis gain of its channel; missing layers count with their error
        against the predicted mean.
        """
        scale = 2.0 ** (self.q / 8)
        target = self.coefficients.astype(np.float64) / scale
        gains = self.model.gains * scale**2
        kept = ((target - self.latent) ** 2).sum((1, 2)) * gains
        mean = self.prediction.mean8.reshape(target.shape) / 8
        lost = ((target - mean) ** 2).sum((1, 2)) * gains
        kept, lost = kept.reshape(LAYERS, GROUP).sum(1), lost.reshape(LAYERS, GROUP).sum(1)
        out = np.concatenate([[0.0], np.cumsum(kept)]) + np.concatenate([np.cumsum(lost[::-1])[::-1], [0.0]])
        # More layers never count as worse: rate control relies on it.
        return np.minimum.accumulate(out)

    def segment(self, frame: int, tile: int, stop: int, refs: tuple[ContextRef, ...], start: int = 0) -> Segment:
        """The segment record with layers [start, stop)."""
        coded = self.layers if start == 0 else encode_layers(self.model.tables, self.prediction, self.latent, start, stop)
        h, w = self.latent.shape[1:]
        return Segment(frame, tile, self.q, start, stop - start, h, w, refs, payload=coded.payload(stop - start))


def analyse_tile(model: EdgeModel, pixels: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Twelve bands (12, H, W) DN and validity (H, W) -> coefficients (512, h, w)."""
    return model.analyse(fill_invalid(pixels.astype(np.float32), valid))


def encode_tile(
    model: EdgeModel, coefficients: NDArray[np.float32], q: int, contexts: Sequence[CodingContext] = (),
    dead_zone: float = DEAD_ZONE,
) -> CodedLatent:
    """Quantise coefficients with step q and predict every symbol against the contexts, newest first."""
    latent = quantise(coefficients, q, dead_zone)
    prediction = predict(model.engine, latent, contexts, q)
    return CodedLatent(model, coefficients, latent, q, prediction, tuple(contexts))


