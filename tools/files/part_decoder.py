"""One tile decoded from what it was sent: the steps of `swathpack.tools.files.decoder`, by a worker."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.frame import Frame
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.held_dates import HeldDates
from swathpack.tools.files.held_latents import SentLatents
from swathpack.tools.files.tile_parts import DecodedTile, TilePart


class PartDecoder(StreamDecoder):
    """Decodes one tile from what it is sent: the same steps, whoever takes them."""

    def __init__(self, model: EdgeModel, part: TilePart) -> None:
        self.model, self.header, self.coder = model, part.header, part.coder
        place = (part.index, part.window.index)
        self.by_tile = {place: part.segments}
        self.dates = HeldDates({**part.earlier, place: part.segments}, part.header.bands)
        if part.kept:
            self.dates.name(place)
        for earlier, counts in part.dates.items():
            self.dates.keep(earlier, counts)
        self.held = SentLatents(part.held, {place} if part.kept else set())

    def decode(self, part: TilePart, layers: int, outline: Frame, valid: NDArray[np.bool_]) -> DecodedTile:
        """The tile."""
        found = self._counts(part.index, part.window, layers, outline, valid)
        place = (part.index, part.window.index)
        return replace(found, held=self.held.get(place), date=self.dates.get(place)) if part.kept else found


def decode_part(model: EdgeModel, part: TilePart, layers: int, outline: Frame, valid: NDArray[np.bool_]) -> DecodedTile:
    """A job of `swathpack.tools.files.tile_jobs`."""
    return PartDecoder(model, part).decode(part, layers, outline, valid)
