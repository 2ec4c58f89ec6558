"""The layers of a segment: what the range coder writes and reads of a tile-frame of any quality.

Without a base, layer j is group j of the latent. With one (`swathpack.edge.codec.base_layer`), layer 0 is the base, coded by the model
at the base's step, and the others refine it: the model's second pass knows the base in the place of the second
context, and symbols are coded inside their bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.base_layer import BASE_GROUPS, base_of, groups_of, known_groups, known_part, refined_groups
from swathpack.edge.codec.latents import GROUP, LATENT_LIMIT, LAYERS, PHASES, Latent, phase_map
from swathpack.edge.codec.prediction import (
    Base,
    CodingContext,
    EntropyEngine,
    Prediction,
    Reconstruction,
    TileDecoder,
    bins_of,
    predict,
)
from swathpack.edge.codec.rangecoder import Decoder, Encoder, RunChecks, new_encoder
from swathpack.edge.codec.rangecoder.adaptive import Adaptation, kind_of, new_adaptation
from swathpack.edge.codec.reading import read_layers
from swathpack.edge.codec.tables import ProbabilityTables
from swathpack.edge.stream.quality import base_step_of, shift_of, step_of


@dataclass(frozen=True, eq=False)
class CodedBase:
    """The base (512, h, w) of a latent, zero beyond its groups, and what the model says of it."""

    base: Base
    prediction: Prediction


def make_base(
    engine: EntropyEngine, latent: Latent, contexts: Sequence[CodingContext], quality: int
) -> CodedBase | None:
    """The base of a latent (512, h, w) of that quality; None when the quality has none."""
    shift = shift_of(quality)
    if shift == 0:
        return None
    values = base_of(latent, shift)
    values[BASE_GROUPS * GROUP :] = 0
    return CodedBase(Base(values, shift), predict(engine, values, contexts, base_step_of(quality), layers=BASE_GROUPS))


@dataclass(frozen=True, eq=False)
class CodedLayers:
    """Range-coded layers [start, stop) of one latent. `sizes[i]`: payload bytes when only i of them are
    kept.
    """

    start: int
    sizes: NDArray[np.int64]
    _payloads: Any

    def payload(self, layers: int) -> bytes:
        """The payload that holds the first `layers` of these layers."""
        return bytes(self._payloads(layers))


def encode_layers(
    tables: ProbabilityTables,
    prediction: Prediction | None,
    latent: Latent,
    start: int = 0,
    stop: int = LAYERS,
    coder: str | None = None,
    base: CodedBase | None = None,
    adaptation: Adaptation | None = None,
) -> CodedLayers:
    """Range-code layers [start, stop); every shorter prefix can be taken from the result afterwards.

    prediction: of the latent, given its base where it has one; None will do for the base alone.
    adaptation: to go on from, in place of what a payload starts with (for learning priors).
    """
    encoder = new_encoder(tables, coder)
    if adaptation is None:
        adaptation = new_adaptation(tables, (latent.shape[1], latent.shape[2]), GROUP)
    known = None if base is None else base.base
    fine = None if prediction is None else _Groups(encoder, adaptation, prediction, latent, known)
    marks, checks = [encoder.checkpoint()], RunChecks()
    for j in range(start, stop):
        checks.write(encoder)
        if base is not None and j == 0:
            checks.cover(_Groups(encoder, adaptation, base.prediction, base.base.values).write(0, BASE_GROUPS))
        else:
            assert fine is not None
            checks.cover(fine.write(*((j, j + 1) if base is None else groups_of(j))))
        marks.append(encoder.checkpoint())
    sizes = np.array([m.size_bytes for m in marks], np.int64)
    return CodedLayers(start, sizes, lambda n: encoder.payload(marks[n]) if n else b"")


class _Groups:
    """Writes groups of one latent; where its base is known, inside the bins that that leaves."""

    def __init__(
        self,
        encoder: Encoder,
        adaptation: Adaptation | None,
        prediction: Prediction,
        latent: Latent,
        base: Base | None = None,
    ) -> None:
        self.encoder, self.adaptation, self.latent = encoder, adaptation, latent
        self.phase = phase_map(*latent.shape[1:]).reshape(-1)
        self.symbols, self.index = prediction.symbols(latent), prediction.table_index
        self.bins = None
        if base is not None:
            floor = prediction.mean8[:BASE_GROUPS] >> 3
            self.bins = tuple(ends - floor for ends in bins_of(base))

    def write(self, first: int, last: int) -> Latent:
        """Groups [first, last); returns their values (n, h, w)."""
        for g in range(first, last):
            bins = self.bins if g < BASE_GROUPS else None
            if self.adaptation is not None:
                self.adaptation.begin(kind_of(g, BASE_GROUPS, bins is not None))
            for here in [self.phase == f for f in range(PHASES)] if g == 0 else [slice(None)]:
                rows = [self.symbols[g][:, here], self.index[g][:, here]]
                self._put(rows, here, [] if bins is None else [ends[g][:, here] for ends in bins])
        return self.latent[first * GROUP : last * GROUP]

    def _put(self, rows: list[NDArray[Any]], here: Any, bins: list[NDArray[Any]]) -> None:
        """Symbols and table indexes (32, n) at the positions `here`, in bins where there are any."""
        symbols, index = rows
        if self.adaptation is not None:
            places = self.adaptation.places[here]
            self.encoder.encode_adaptive(symbols, index, self.adaptation, places, *bins)
        elif bins:
            self.encoder.encode_bounded(symbols.ravel(), index.ravel(), *(ends.ravel() for ends in bins))
        else:
            self.encoder.encode(symbols.ravel(), index.ravel())


def known_context(latent: Latent, quality: int, layers: int) -> CodingContext:
    """A latent (512, h, w) of a quality byte as context when its first `layers` layers are known."""
    return CodingContext(known_part(latent, layers, quality), step_of(quality), known_groups(layers, quality))


class EmbeddedDecoder:
    """`swathpack.edge.codec.prediction.TileDecoder` for latents with a base.

    q: the full step; quality: its byte. latent: (512, h, w) int16 as `known_part` leaves it. layers: decoded so far, and
    confirmed by two checks.
    """

    def __init__(
        self,
        engine: EntropyEngine,
        tables: ProbabilityTables,
        contexts: Sequence[CodingContext],
        quality: int,
        size: tuple[int, int],
    ) -> None:
        self.engine, self.tables, self.quality, self.size = engine, tables, quality, size
        self.q = step_of(quality)
        self.layers = self.confirmed = 0
        self._contexts = contexts
        limit = LATENT_LIMIT >> shift_of(quality)  # so that no base in fine steps leaves int16
        self._base = TileDecoder(engine, tables, contexts, base_step_of(quality), size, limit=limit)
        self._fine: TileDecoder | None = None

    def decode(self, payload: bytes, count: int, coder: str | None = None, checked: bool = True) -> int:
        """As `TileDecoder.decode`."""
        return read_layers(self, payload, count, coder, checked)

    def read_layer(self, decoder: Decoder, adaptation: Adaptation | None = None) -> Latent:
        """The values (n, h, w) that the next layer brings, of the base or refined. Errors as `TileDecoder.read_layer`."""
        latent, last = self._groups()
        first = latent.layers
        while latent.layers < last:
            latent.read_layer(decoder, adaptation)
        self.layers += 1
        return latent.latent[first * GROUP : last * GROUP]

    def forget(self, layers: int) -> None:
        """Go back to the first `layers` layers."""
        self.layers = layers
        if layers == 0:
            self._base.forget(0)
            self._fine = None
        elif self._fine is not None:
            self._fine.forget(refined_groups(layers, self.quality))

    def _groups(self) -> tuple[TileDecoder, int]:
        """Who decodes the next layer, and up to which group."""
        if self.layers == 0:
            return self._base, BASE_GROUPS
        return self._refinement(), groups_of(self.layers)[1]

    def _refinement(self) -> TileDecoder:
        if self._fine is None:
            base = Base(self._base.latent, shift_of(self.quality))
            self._fine = TileDecoder(self.engine, self.tables, self._contexts, self.q, self.size, base)
        return self._fine

    @property
    def latent(self) -> Latent:
        if self.layers == 0:
            return np.zeros_like(self._base.latent)
        if self._fine is None or self.layers == 1:
            return self._base.latent << shift_of(self.quality)
        fine = self._fine.latent.copy()
        start = refined_groups(self.layers, self.quality) * GROUP
        fine[start:] = (self._base.latent << shift_of(self.quality))[start:]
        return fine

    def reconstruction(self, layers: int = LAYERS) -> Reconstruction:
        """As `TileDecoder.reconstruction`. Up to the base alone it is in steps of the base."""
        layers = min(layers, self.layers)
        if layers < 2:
            return self._base.reconstruction(BASE_GROUPS * layers)
        return self._refinement().reconstruction(refined_groups(layers, self.quality))


def tile_decoder(
    engine: EntropyEngine,
    tables: ProbabilityTables,
    contexts: Sequence[CodingContext],
    quality: int,
    size: tuple[int, int],
) -> TileDecoder | EmbeddedDecoder:
    """The decoder of a tile-frame of that quality byte; size (h, w) of its latent."""
    if shift_of(quality):
        return EmbeddedDecoder(engine, tables, contexts, quality, size)
    return TileDecoder(engine, tables, contexts, step_of(quality), size)


__all__ = ["CodedBase", "CodedLayers", "EmbeddedDecoder", "encode_layers", "known_context", "make_base", "tile_decoder"]
