"""What a decoder will hold of one tile's earlier frames: latents of the learned codec, dates by the transform coder."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.digest import context_digest, counts_digest
from swathpack.edge.codec.latents import LAYERS, Latent
from swathpack.edge.codec.layers import known_context
from swathpack.edge.codec.plain import Counts
from swathpack.edge.codec.prediction import CodingContext
from swathpack.edge.codec.tile_coder import alike
from swathpack.edge.stream import ContextRef
from swathpack.tools.files.shelf import Kept, Shelf

HELD_DATES = 6  # earlier dates of a tile that the encoder chooses its contexts from
LONGEST_CHAIN = 32  # dates that must be decoded before a transform tile: a decoder refuses more

ShelvedContext = tuple[ContextRef, Kept[CodingContext]]


@dataclass(frozen=True, eq=False)
class Date:
    """An earlier date of a tile by the transform coder, as a decoder has it. chain: dates that it takes to decode it."""

    ref: ContextRef
    counts: Kept[Counts]
    chain: int


@dataclass
class Place:
    """What the decoder will hold of one tile, newest first: latents, and dates by the transform coder. Both lie on a shelf."""

    shelf: Shelf
    held: list[ShelvedContext] = field(default_factory=list)
    dates: list[Date] = field(default_factory=list)

    def forget(self) -> None:
        """What comes next stands alone."""
        self.held, self.dates = [], []

    def push_date(self, frame: int, counts: Counts, chain: int) -> None:
        """Remember the image (C, H, W) of a transform tile."""
        date = Date(ContextRef(frame, LAYERS, counts_digest(counts)), self.shelf.put(counts), chain)
        self.dates = [date, *self.dates][:HELD_DATES]

    @property
    def usable(self) -> tuple[Date, ...]:
        """Dates that a further one may be coded against."""
        return tuple(date for date in self.dates if date.chain < LONGEST_CHAIN)

    def push(self, frame: int, latent: Latent, quality: int, layers: int) -> None:
        """Remember what a decoder holds of a tile now."""
        known = known_context(latent, quality, layers)
        ref = ContextRef(frame, layers, context_digest(known.latent, known.layers))
        self.held = [(ref, self.shelf.put(known)), *self.held][:HELD_DATES]

    def nearest(self, coefficients: NDArray[np.float32]) -> list[ShelvedContext]:
        """The two held latents most like these coefficients, the better one first: a cloudy date explains
        nothing.
        """
        found = alike(coefficients, ((number, kept.get()) for number, (_, kept) in enumerate(self.held)))
        return [self.held[number] for number, _ in found]
