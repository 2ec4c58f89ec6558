"""Zero-shot prediction with the edge codec: latent values under a cloud are what its entropy model expects.

Positions of the latent that a cloud touches are left open; everywhere else the latent is that of the clear pixels. The
entropy network then goes through its sixteen layers as a decoder does, with one or two other dates as contexts: an
open value takes the mean that the network predicts from the contexts, from the layers before it and from its
neighbours, and is context for what follows. The network was trained to code frames, never to fill them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.squares import synthesised
from swathpack.edge.codec.latents import GROUP, LAYERS, STRIDE, Latent, quantise
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import OVERLAP, fill_invalid
from swathpack.edge.codec.prediction import EXPECTED, CodingContext, Reconstruction, TileDecoder

QUALITY = 16  # step 256 DN: the finest at which snow and clouds (9,000 DN) stay within what a context tells
FOLD = 3  # latent positions along a side of the blocks that are hidden in turns

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Filler(TileDecoder):
    """A decoder that is told some values of a latent and expects the others."""

    def fill(self, latent: Latent, open_: Mask) -> Reconstruction:
        """Latent (512, h, w) with the positions `open_` (h, w) as the model expects them, mean and scale included."""
        given = np.where(open_, EXPECTED, latent.astype(np.int64)).reshape(LAYERS, GROUP, -1)
        for layer in given:
            self._layer(None, layer)
        found = self.reconstruction()
        return replace(found, values=np.where(open_, found.mean, found.values).astype(np.float32))


def touched(mask: Mask) -> Mask:
    """(H, W) pixels -> (h, w) latent positions whose 24 x 24 kernel sees any of them."""
    height, width = mask.shape
    rows, columns = -(-height // STRIDE), -(-width // STRIDE)
    bottom, right = rows * STRIDE - height, columns * STRIDE - width
    padded = np.pad(mask, ((OVERLAP, bottom + OVERLAP), (OVERLAP, right + OVERLAP)), mode="edge")
    blocks = np.lib.stride_tricks.sliding_window_view(padded, (STRIDE + 2 * OVERLAP,) * 2)[::STRIDE, ::STRIDE]
    found: Mask = np.asarray(blocks.any((2, 3)), np.bool_)
    return found


class TileFiller:
    """Predictions for one window: target (12, H, W) DN of which `clear` (H, W) is to be believed, contexts (12, H,
    W) without holes, the most telling first, at most two.
    """

    def __init__(
        self, model: EdgeModel, target: Floats, clear: Mask, contexts: Sequence[Floats], q: int = QUALITY
    ) -> None:
        self.model, self.q, self.shape = model, q, target.shape[1:]
        self.latent = quantise(model.analyse(fill_invalid(target, clear)), q, 0.0)
        self.contexts = [CodingContext(quantise(model.analyse(c), q, 0.0), q) for c in contexts[:2]]
        self.hidden = touched(~clear)

    def predict(self, also: Mask | None = None) -> Floats:
        """(12, H, W) DN: the prediction where positions are hidden, what the codec holds elsewhere. `also` (h, w):
        positions to hide besides those under cloud.
        """
        open_ = self.hidden if also is None else self.hidden | also
        size = (open_.shape[0], open_.shape[1])
        filler = Filler(self.model.engine, self.model.tables, self.contexts, self.q, size)
        image = synthesised(self.model, filler.fill(self.latent, open_))
        return image[:, : self.shape[0], : self.shape[1]]

    def predict_everywhere(self) -> Floats:
        """(12, H, W) DN, every pixel predicted without its own value: what is clear is hidden in two turns, as a
        chequerboard of blocks, so that the prediction can be compared with the truth there.
        """
        rows, columns = np.indices(self.hidden.shape) // FOLD
        even = (rows + columns) % 2 == 0
        pixels = even.repeat(STRIDE, 0).repeat(STRIDE, 1)[: self.shape[0], : self.shape[1]]
        known = ~self.hidden.repeat(STRIDE, 0).repeat(STRIDE, 1)[: self.shape[0], : self.shape[1]]
        out = self.predict()
        for fold, where in ((even, pixels), (~even, ~pixels)):
            if (fold & ~self.hidden).any():
                out = np.where(where & known, self.predict(fold), out)
        return out
