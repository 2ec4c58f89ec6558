"""Small frames made in the tests: correlated noise that looks like land to a codec, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, SSL4EO_MEAN, SSL4EO_STD
from swathpack.edge.frame import Frame

SOURCES = 4


def field(rng: np.random.Generator, height: int, width: int, power: float = 1.4) -> NDArray[np.float64]:
    """(h, w) noise of unit variance whose spectrum falls with frequency^-power."""
    h, w = max(height, 4), max(width, 4)
    radius = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w)[None])
    spectrum = np.fft.fft2(rng.normal(size=(h, w))) / (radius + 1 / max(h, w)) ** power
    x = np.real(np.fft.ifft2(spectrum))
    out: NDArray[np.float64] = ((x - x.mean()) / x.std())[:height, :width]
    return out


def values(height: int, width: int, dates: int = 1, seed: int = 0) -> NDArray[np.uint16]:
    """(T, 12, h, w) DN: bands mix a few fields, dates share most of them."""
    rng = np.random.default_rng(seed)
    shared = np.stack([field(rng, height, width) for _ in range(SOURCES)])
    mix = rng.normal(size=(len(BANDS), SOURCES)) / SOURCES**0.5
    out = np.empty((dates, len(BANDS), height, width))
    for t in range(dates):
        own = np.stack([field(rng, height, width) for _ in range(SOURCES)])
        scene = np.einsum("bs,shw->bhw", mix, shared + 0.3 * own)
        noise = rng.normal(scale=8, size=scene.shape)
        out[t] = SSL4EO_MEAN[:, None, None] + 0.25 * SSL4EO_STD[:, None, None] * scene + noise
    return np.clip(np.rint(out), 1, 12000).astype(np.uint16)


def series(
    height: int = 64,
    width: int = 64,
    dates: int = 1,
    seed: int = 0,
    bands: Sequence[str] = BANDS,
    **fields: Any,
) -> list[Frame]:
    """Frames of one place, five days apart; `fields` go to every Frame."""
    data = values(height, width, dates, seed)[:, [BANDS.index(b) for b in bands]]
    return [Frame(x, tuple(bands), f"2026-05-{1 + 5 * t:02d}", **fields) for t, x in enumerate(data)]


def psnr(a: Frame, b: Frame) -> float:
    """PSNR in dB with peak 10,000 over pixels valid in both."""
    both = a.valid & b.valid
    error = (a.data.astype(np.float64) - b.data)[:, both]
    return float(10 * np.log10(1e8 / np.mean(error**2)))
