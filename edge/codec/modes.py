"""Which mode codes a tile: the one place where files and flight decide it.

What was asked for and a tile's bands say which modes it may take. Where both the learned codec and the transform coder may,
the one with less squared error at as many bytes codes it. Who makes images weighs them (`Measured`): files, which are
coded once. The board makes none, and what is sent of a tile is decided long after; it weighs what its coders expect of
every prefix (`Expected`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder import Weights, follow_pixels, masks_count, weights_for
from swathpack.edge.codec.transform_coder.weights import EQUAL

MODES = ("auto", "learned", "transform")  # auto: the better of both, a tile
LEAST_LEARNED_BANDS = 9  # with fewer, the learned codec spends bits on bands that nobody gave
# Bits a sample of files beyond which the transform coder was ahead in every tile: where bands weigh alike, and where they do not, which
# the learned codec knows nothing of (docs/codec.md).
MOST_LEARNED_BPPB, MOST_WEIGHED_BPPB = 0.35, 0.06
# What smoothing leaves of the learned codec's 16-pixel squares, over clouds most, is seen before it is measured: where a tile
# is no context for others, its error must be 0.3 dB below the transform coder's, in log2 here.
BLOCKS_COST = 0.1
LEAST_ERROR = 1e-9  # counts^2: its logarithm stands for none


def tries_learned(mode: str, bands: Sequence[str], bppb: float = 0.0, weights: str = EQUAL) -> bool:
    """Whether tiles of these bands may be coded by the learned codec. bppb: bits a sample of them, about, where that is known; weights: of
    their bands, an option's word.
    """
    if mode == "transform" or not set(bands) <= set(BANDS):
        return False
    most = MOST_LEARNED_BPPB if weights == EQUAL else MOST_WEIGHED_BPPB
    return mode == "learned" or (len(bands) >= LEAST_LEARNED_BANDS and bppb <= most)


def tries_transform(mode: str) -> bool:
    """Whether tiles may be coded by the transform coder where the learned codec may too."""
    return mode != "learned"


@dataclass(frozen=True)
class Weighing:
    """How bands are to be weighed in both modes: an option's word, the bits a sample that a tile is aimed at, and what the tile's
    frame asks for (`swathpack.edge.codec.frame_weights`), None: each tile for itself; see
    `swathpack.edge.codec.transform_coder.weights_for`.
    """

    choice: str
    bppb: float
    frame: float | None = None

    @classmethod
    def aimed(cls, choice: str, aim_bytes: int, samples: int) -> Weighing:
        """For tiles of so many samples that are to take so many bytes."""
        return cls(choice, 8 * aim_bytes / samples)

    def of(self, bands: Sequence[str], counts: NDArray[np.generic], valid: NDArray[np.bool_]) -> Weights:
        """The weights of a tile's bands: counts (C, H, W), valid (H, W)."""
        return weights_for(self.choice, bands, self.bppb, counts, valid, self.frame)

    @property
    def alone(self) -> Weighing:
        """The same for tiles of other frames."""
        return replace(self, frame=None)

    def follows(self, bands: Sequence[str]) -> bool:
        """Whether weights of these bands follow the pixels, so that what the frame asks for matters."""
        return follow_pixels(self.choice, bands, self.bppb)

    def masks_count(self, bands: Sequence[str], counts: NDArray[np.generic], valid: NDArray[np.bool_]) -> bool:
        """Whether the water mask decides between payloads of about the same error; see `transform_coder.masks_count`."""
        return masks_count(self.choice, bands, self.bppb, counts, valid)


class Rivals(Protocol):
    """A tile by both codecs, as far as the caller knows them."""

    @property
    def lead(self) -> float:
        """By how much the learned codec's error is below the transform coder's at as many bytes, in log2."""


@dataclass(frozen=True)
class Measured:
    """A `Rivals` of two images, by `image_error`. learned: None where there is no image."""

    learned: float | None
    transform: float

    @property
    def lead(self) -> float:
        return -np.inf if self.learned is None else self.transform - self.learned


@dataclass(frozen=True, eq=False)
class Expected:
    """A `Rivals` of bytes and squared errors of prefixes, 0 bytes first, compared at the learned codec's sizes on the mean of the
    logarithms: which prefix is cut, and where, is not known yet. room: bytes that will be spent on the tile, about, where that
    is known: if that is more than the learned codec has to say, it must be ahead there too, for its image gets no better.
    """

    learned: tuple[NDArray[np.int64], NDArray[np.float64]]
    transform: tuple[NDArray[np.int64], NDArray[np.float64]]
    room: int | None = None

    @property
    def lead(self) -> float:
        sizes = self.learned[0][1:]
        usual = float(self._leads(sizes).mean())
        if self.room is None or self.room <= sizes[-1]:
            return usual
        return min(usual, float(self._leads(np.array([self.room]))[0]))

    def _leads(self, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
        """At some lengths."""
        own, other = (
            np.interp(sizes, lengths, np.log2(np.maximum(errors, LEAST_ERROR)))
            for lengths, errors in (self.learned, self.transform)
        )
        return np.asarray(other - own, np.float64)


def learned_wins(rivals: Rivals, alone: bool = False) -> bool:
    """Whether the learned codec codes a tile. alone: nothing is predicted from it, so that it is only looked at; never on the
    board, where each tile is context for the next date.
    """
    return rivals.lead > (BLOCKS_COST if alone else 0.0)


def image_error(
    image: NDArray[np.generic], counts: NDArray[np.uint16], valid: NDArray[np.bool_], weights: Weights
) -> float:
    """log2 of the squared error of an image (C, H, W) over valid pixels: of all bands by their weights and, as much again, of the
    heaviest bands.
    """
    difference = (image.astype(np.float64) - counts) * weights.factors
    known = difference.reshape(len(image), -1) if valid.all() else difference[:, valid]
    errors = np.square(known, out=known).sum(axis=1)
    parts = [errors.sum(), errors[list(weights.heaviest)].sum()] if weights.level else [errors.sum()]
    return float(np.log2(np.maximum(parts, LEAST_ERROR)).mean())
