"""Weights of bands: in some an error counts more than in others.

Visible bands are dark, so a squared error that is equal over all bands starves the picture that people look at: with twelve
bands and weights of 2 the true-colour picture of four val scenes gains 0.9 to 1.9 dB at 0.016 to 0.09 bits a sample, and the
mean over all bands loses 0.1 to 0.3 dB (docs/pictures.md). At high rates every band is good, and equal weights are
worth more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder.header import BitReader, BitWriter

VISIBLE = frozenset(("B02", "B03", "B04", "blue", "green", "red"))
LEVEL_BITS = 2
# 2^(k/2) and its inverse, written out so that no library's rounding is in them.
_FACTORS = (1.0, 1.41421356237309505, 2.0, 2.82842712474619010)
_INVERSES = (1.0, 0.70710678118654752, 0.5, 0.35355339059327376)
CHOICES = ("auto", "equal", "visible")
FULL_BPPB, HALF_BPPB = 0.25, 1.0  # below: weights of 2; below: of 1.41


@dataclass(frozen=True)
class Weights:
    """`bands`: which of a tile's bands weigh 2^(level/2) times as much as the others, in amplitude; level 0: all the
    same."""

    level: int
    bands: tuple[bool, ...]

    @classmethod
    def equal(cls, count: int) -> Weights:
        """Of `count` bands, none before the others."""
        return cls(0, (False,) * count)

    @classmethod
    def visible(cls, names: Sequence[str], level: int) -> Weights:
        """Blue, green and red before the others; equal where there are no others."""
        bands = tuple(name in VISIBLE for name in names)
        return cls(level, bands) if any(bands) and not all(bands) and level else cls.equal(len(names))

    @property
    def factors(self) -> NDArray[np.float32]:
        """(C, 1, 1) float32: what samples are multiplied by before they are coded."""
        return self._of(_FACTORS)

    @property
    def inverses(self) -> NDArray[np.float32]:
        """(C, 1, 1) float32: the way back."""
        return self._of(_INVERSES)

    def _of(self, table: tuple[float, ...]) -> NDArray[np.float32]:
        values = np.where(self.bands, np.float32(table[self.level]), np.float32(1))
        return np.asarray(values, np.float32)[:, None, None]


def weights_for(choice: str, names: Sequence[str], bppb: float) -> Weights:
    """What an option says of bands of these names: equal; visible: blue, green and red at 2; auto: at 2 where a payload
    is aimed
    at little, at 1.41 and 1 where at more bits a sample. Raises ValueError.
    """
    if choice not in CHOICES:
        raise ValueError(f"weights: expected one of {', '.join(CHOICES)}, found {choice!r}")
    at_rate = 2 if bppb <= FULL_BPPB else 1 if bppb <= HALF_BPPB else 0
    return Weights.visible(names, {"equal": 0, "visible": 2}.get(choice, at_rate))


def write_weights(weights: Weights, out: BitWriter) -> None:
    """The level and a bit a band, of weights that are not equal."""
    out.put(weights.level, LEVEL_BITS)
    for heavy in weights.bands:
        out.put(heavy, 1)


def read_weights(count: int, bits: BitReader) -> Weights:
    """As write_weights. Raises ValueError for what no encoder writes."""
    level = bits.get(LEVEL_BITS)
    bands = tuple(bool(bits.get(1)) for _ in range(count))
    if not level or not any(bands) or all(bands):
        raise ValueError(f"weights of level {level} for {sum(bands)} of {count} bands")
    return Weights(level, bands)


def weighted_errors(
    errors: NDArray[np.float64], samples: NDArray[np.generic], valid: NDArray[np.bool_], weights: Weights
) -> NDArray[np.float64]:
    """Squared errors over all bands of a tile (C, H, W), coded without weights -> what they are by weights, about:
    every band is
    taken to err by the same, at most its own spread (reverse water-filling; Cover and Thomas, "Elements of Information
    Theory", section 10.3.3).
    """
    if not weights.level:
        return errors
    inside = samples[:, valid]
    spreads = inside.var(axis=1, dtype=np.float64) * inside.shape[1] if inside.size else np.zeros(len(samples))
    levels = np.concatenate([[0.0], np.sort(spreads)])[:, None]
    parts = np.minimum(levels, spreads)
    plain, heavy = parts.sum(axis=1), (parts * weights.factors.ravel().astype(np.float64) ** 2).sum(axis=1)
    beyond = np.maximum(errors - plain[-1], 0) * (heavy[-1] / plain[-1] if plain[-1] else 1.0)
    return np.asarray(np.interp(errors, plain, heavy) + beyond)
