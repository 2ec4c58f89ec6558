"""The edge codec behind the loop's interface (`edge.tile_codec`): pixels and confirmed contexts to segments.

A segment that flies alone names its tile by the tile id and its frame by the acquisition time in seconds, so its
contexts are named by their times too; it is bound to the model's and the tables' digests.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bands import BandError, complete_bands
from edge.codec import UNLIKE, CodedLatent, analyse_tile, encode_tile, likeness, weigh_contexts
from edge.coding import CodingContext, CodingError, Prediction
from edge.digest import context_digest
from edge.engines.batching import Batching, side_by_side
from edge.frame import Frame, FrameError
from edge.latents import GROUP, LAYERS, rescale
from edge.model import EdgeModel
from edge.rangecoder import RangeCoderError
from edge.rate import remaining_error
from edge.stream import ContextRef, StreamError, lone_binding, pack_segment, segment_overhead_bytes
from edge.tile_codec import CodecError, ContextLatent, TileKey, TilePixels


@dataclass(frozen=True, eq=False)
class FlightTile:
    """One coded tile; see `edge.tile_codec.CodedTile`."""

    key: TileKey
    coded: CodedLatent
    refs: tuple[ContextRef, ...]
    binding: int
    prefix_bytes: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        sizes = self.coded.payload_sizes.copy()
        for k in range(1, LAYERS + 1):
            empty = self.coded.segment(self.key.time, self.key.tile, k, self.refs)
            sizes[k] += segment_overhead_bytes(empty, int(sizes[k]))
        object.__setattr__(self, "prefix_bytes", sizes)

    @property
    def q(self) -> int:
        return self.coded.q

    @property
    def latent(self) -> NDArray[np.int16]:
        return self.coded.latent

    @cached_property
    def distortion(self) -> NDArray[np.float64]:
        """See `edge.rate.remaining_error`; every channel's error counts with its synthesis gain."""
        coded, scale = self.coded, 2.0 ** (self.q / 8)
        target = coded.coefficients.astype(np.float64) / scale
        gains = coded.model.gains * scale**2

        def error(values: NDArray[Any]) -> NDArray[np.float64]:
            squares = ((target - values) ** 2).sum((1, 2)) * gains
            return np.asarray(squares.reshape(LAYERS, GROUP).sum(1), np.float64)

        context = [rescale(c.latent, c.q, self.q) for c in coded.contexts[:1]]
        return remaining_error(
            kept=error(self.latent),
            missing=error(coded.prediction.mean8.reshape(target.shape) / 8),
            first_unsent=float(error(context[0] if context else np.zeros(1))[0]),
            last_energy=float(error(np.zeros(1))[-1]),
        )

    @property
    def context_digests(self) -> tuple[bytes, ...]:
        return tuple(ref.digest for ref in self.refs)

    def segment(self, start: int, stop: int) -> bytes:
        """The packed record with layers [start, stop)."""
        return pack_segment(
            self.coded.segment(self.key.time, self.key.tile, stop, self.refs, start), self.binding
        )


class FlightCodec:
    """TileCodec of the edge preset. q: quantiser step index of every tile; slope: see `edge.codec.encode_tile`."""

    layers = LAYERS

    def __init__(self, model: EdgeModel, q: int, slope: float = 0.0) -> None:
        self.model, self.q, self.slope = model, q, slope
        self.binding = lone_binding(model.digest, model.tables_digest)
        batch = getattr(model.engine, "batch", 1)  # of engines on a GPU
        if batch > 1:
            self.model = copy(model)
            self.model.engine = Batching(model.engine, batch)
        self._threads = 2 * batch if batch > 1 else 1

    def encode(self, tile: TilePixels, contexts: Sequence[ContextLatent]) -> FlightTile:
        """Code a tile against up to two contexts; those that would cost more than they save are left out."""
        try:
            return self._encode(tile, contexts)
        except (FrameError, BandError, CodingError, RangeCoderError, StreamError) as error:
            raise CodecError(f"tile {tile.key.tile}: {error}") from error

    def encode_many(self, tiles: Sequence[tuple[TilePixels, Sequence[ContextLatent]]]) -> list[FlightTile | CodecError]:
        """`encode` of several tiles, side by side where the engine takes batches: copies, analysis, entropy pass and
        range coding of different tiles overlap. A tile that fails gives its error, the others their result.
        """

        def one(given: tuple[TilePixels, Sequence[ContextLatent]]) -> FlightTile | CodecError:
            try:
                return self.encode(*given)
            except CodecError as error:
                return error

        return side_by_side(one, tiles, self._threads)

    def _encode(self, tile: TilePixels, contexts: Sequence[ContextLatent]) -> FlightTile:
        for context in contexts:
            if context_digest(context.latent, context.layers, GROUP) != context.digest:
                raise CodecError(f"context of {context.key.time} changed in memory")
        frame = complete_bands(Frame(tile.data, tile.bands, valid=tile.valid))
        coefficients = analyse_tile(self.model, frame.data, frame.valid)
        used, prediction = self._useful(coefficients, contexts)
        coding = [CodingContext(c.latent, c.q, c.layers) for c in used]
        refs = tuple(ContextRef(c.key.time, c.layers, c.digest) for c in used)
        return FlightTile(
            tile.key,
            encode_tile(self.model, coefficients, self.q, coding, slope=self.slope, prediction=prediction),
            refs,
            self.binding,
        )

    def _useful(
        self, coefficients: NDArray[np.float32], contexts: Sequence[ContextLatent]
    ) -> tuple[list[ContextLatent], Prediction | None]:
        """The contexts that pay, and what the model says with them if that is known by then."""
        shape = coefficients.shape
        fitting = [c for c in contexts if c.latent.shape == shape and c.layers > 0]
        coded = {id(c): CodingContext(c.latent, c.q, c.layers) for c in fitting}
        like = {key: likeness(coefficients, c) for key, c in coded.items()}
        fitting = sorted((c for c in fitting if like[id(c)] > UNLIKE), key=lambda c: -like[id(c)])[:2]
        if not fitting:
            return [], None
        pays, prediction = weigh_contexts(self.model, coefficients, self.q, [coded[id(c)] for c in fitting])
        return fitting if pays else [], prediction
