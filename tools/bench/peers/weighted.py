"""A peer that is given the visible bands at twice their amplitude: what band weights do for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder.weights import VISIBLE
from swathpack.tools.bench.peers.base import Encoded, Series
from swathpack.tools.bench.peers.klt import Klt

FACTOR = 2


class Visible:
    """`inner`, a peer with a KLT, on samples whose visible bands are doubled (and kept within 16 bits)."""

    def __init__(self, inner: Any, bands: tuple[str, ...] = BANDS) -> None:
        self.inner = inner
        self.weights = np.array([FACTOR if band in VISIBLE else 1 for band in bands], np.uint32)[:, None, None]
        inner.klt = Klt.trained(bands, self.weights.ravel().astype(np.float64))
        self.name, self.label = f"{inner.name}-visible", f"{inner.label}, visible x {FACTOR}"
        self.version = f"{inner.version} visible {FACTOR}"
        self.knobs = inner.knobs

    def encode(self, series: Series, knob: float) -> Encoded:
        """As the peer does."""
        found: Encoded = self.inner.encode(np.minimum(series * self.weights, 65535).astype(np.uint16), knob)
        return found

    def decode(self, encoded: Encoded) -> Series:
        """Back to the given amplitude, rounded."""
        series: Series = np.rint(self.inner.decode(encoded) / self.weights).astype(np.uint16)
        return series
