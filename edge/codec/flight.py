"""The edge codec behind the loop's interface (`swathpack.edge.codec.protocol`): pixels and confirmed contexts to segments.

A segment that flies alone names its tile by the tile id and its frame by the acquisition time in seconds, so its
contexts are named by their times too; it is bound to the model's and the tables' digests.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BandError, complete_bands
from swathpack.edge.codec.base_layer import MAX_SHIFT, quality_of, usual_shift
from swathpack.edge.codec.context_choice import Pass
from swathpack.edge.codec.digest import context_digest
from swathpack.edge.codec.engines.batching import Batching, side_by_side
from swathpack.edge.codec.latents import GROUP, LAYERS, LatentError
from swathpack.edge.codec.layers import known_context
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.plain import CodedPlain, PlainError, encode_lone, few_missing
from swathpack.edge.codec.prediction import CodingContext, CodingError
from swathpack.edge.codec.protocol import CodecError, ContextLatent, TileKey, TilePixels
from swathpack.edge.codec.rangecoder import RangeCoderError
from swathpack.edge.codec.tile_coder import (
    UNLIKE,
    CodedLatent,
    analyse_tile,
    encode_tile,
    likeness,
    weigh_contexts,
)
from swathpack.edge.codec.transform_coder import Weights, weighted_errors, weights_for
from swathpack.edge.config import CodingConfig
from swathpack.edge.frame import Frame, FrameError
from swathpack.edge.stream import ContextRef, StreamError, lone_binding, pack_segment, segment_overhead_bytes


def coding_context(context: ContextLatent) -> CodingContext:
    """A context as the entropy model takes it."""
    return known_context(context.latent, context.q, context.layers)


@dataclass(frozen=True, eq=False)
class FlightTile:
    """One coded tile; see `swathpack.edge.codec.protocol.CodedTile`."""

    key: TileKey
    coded: CodedLatent | CodedPlain
    refs: tuple[ContextRef, ...]
    binding: int
    distortion: NDArray[np.float64]
    prefix_bytes: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        sizes = self.coded.payload_sizes.copy()
        for k in range(1, LAYERS + 1):
            empty = self.coded.empty_segment(self.key.time, self.key.tile, k, self.refs)
            sizes[k] += segment_overhead_bytes(empty, int(sizes[k]))
        object.__setattr__(self, "prefix_bytes", sizes)

    @property
    def q(self) -> int:
        return self.coded.quality

    @property
    def latent(self) -> NDArray[np.int16]:
        return self.coded.latent

    @property
    def context_digests(self) -> tuple[bytes, ...]:
        return tuple(ref.digest for ref in self.refs)

    def segment(self, start: int, stop: int) -> bytes:
        """The packed record with layers [start, stop)."""
        return pack_segment(self.coded.segment(self.key.time, self.key.tile, stop, self.refs, start), self.binding)


class FlightCodec:
    """TileCodec of the edge preset. q: quantiser step index of every tile, with a base layer at most `shift`
    octaves coarser (0: none; see `swathpack.edge.codec.base_layer`); slope: see `swathpack.edge.codec.tile_coder.encode_tile`.
    mode: learned, transform, or auto: of both the one with less error over its layers. finest_dn: of the transform
    coder's last bit plane; more of a tile than that is never sent. weights: of the bands, see
    `swathpack.edge.codec.transform_coder.weights_for`.
    """

    layers = LAYERS

    def __init__(
        self,
        model: EdgeModel,
        q: int,
        slope: float = 0.0,
        shift: int = MAX_SHIFT,
        mode: str = "learned",
        finest_dn: float = 4.0,
        weights: str = "auto",
    ) -> None:
        self.model, self.q, self.slope, self.shift = model, q, slope, shift
        self.mode, self.finest_dn, self.weights = mode, finest_dn, weights
        self.binding = lone_binding(model.digest, model.tables_digest)
        batch = getattr(model.engine, "batch", 1)  # of engines on a GPU
        if batch > 1:
            self.model = copy(model)
            self.model.engine = Batching(model.engine, batch)
        self._threads = 2 * batch if batch > 1 else 1

    @classmethod
    def configured(cls, model: EdgeModel, coding: CodingConfig) -> FlightCodec:
        """As the mission file says."""
        return cls(model, coding.q, coding.slope, coding.base, coding.mode, coding.finest_dn, coding.weights)

    @property
    def quality(self) -> int:
        """Quality byte of what is coded."""
        return quality_of(self.q, usual_shift(self.q, self.shift))

    def encode(self, tile: TilePixels, contexts: Sequence[ContextLatent]) -> FlightTile:
        """Code a tile against up to two contexts; those that would cost more than they save are left out."""
        try:
            return self._encode(tile, contexts)
        except (FrameError, BandError, LatentError, CodingError, PlainError, RangeCoderError, StreamError) as error:
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
            if context_digest(context.latent, context.groups, GROUP) != context.digest:
                raise CodecError(f"context of {context.key.time} changed in memory")
        if self.mode == "learned":
            return self._learned(tile, contexts)
        plain = self._plain(tile)
        if self.mode == "transform" or not few_missing(tile.bands):
            return plain
        learned = self._learned(tile, contexts)
        return plain if _better(plain.coded, learned.coded, learned.distortion) else learned

    def _aim(self, tile: TilePixels) -> int:
        """Bytes of a tile, about."""
        return max(64, int(0.15 / 8 * 2 ** ((28 - self.q) / 9) * tile.data.size))

    def _weights(self, tile: TilePixels) -> Weights:
        return weights_for(self.weights, tile.bands, 8 * self._aim(tile) / tile.data.size)

    def _plain(self, tile: TilePixels) -> FlightTile:
        room, aim, weights = 2 * tile.data.size + 4096, self._aim(tile), self._weights(tile)
        coded = encode_lone(tile.data, tile.valid, tile.bands, self.finest_dn, room, aim, weights)
        return FlightTile(tile.key, coded, (), self.binding, coded.distortion)

    def _learned(self, tile: TilePixels, contexts: Sequence[ContextLatent]) -> FlightTile:
        frame = complete_bands(Frame(tile.data, tile.bands, valid=tile.valid))
        coefficients = analyse_tile(self.model, frame.data, frame.valid)
        used, done = self._useful(coefficients, contexts)
        coding = [coding_context(c) for c in used]
        refs = tuple(ContextRef(c.key.time, c.layers, c.digest) for c in used)
        coded = encode_tile(self.model, coefficients, self.quality, coding, slope=self.slope, done=done)
        # The planner weighs tiles of both modes against each other.
        errors = weighted_errors(coded.distortion, tile.data, tile.valid, self._weights(tile))
        return FlightTile(tile.key, coded, refs, self.binding, errors)

    def _useful(
        self, coefficients: NDArray[np.float32], contexts: Sequence[ContextLatent]
    ) -> tuple[list[ContextLatent], Pass | None]:
        """The contexts that pay, and the entropy pass with them if that is done by then."""
        shape = coefficients.shape
        fitting = [c for c in contexts if c.latent.shape == shape and c.layers > 0]
        coded = {id(c): coding_context(c) for c in fitting}
        like = {key: likeness(coefficients, c) for key, c in coded.items()}
        fitting = sorted((c for c in fitting if like[id(c)] > UNLIKE), key=lambda c: -like[id(c)])[:2]
        if not fitting:
            return [], None
        kept, done = weigh_contexts(self.model, coefficients, self.quality, [coded[id(c)] for c in fitting])
        return [fitting[i] for i in kept], done


def _better(
    plain: CodedLatent | CodedPlain, learned: CodedLatent | CodedPlain, learned_error: NDArray[np.float64]
) -> bool:
    """Whether the transform coder's prefixes have less error than the learned codec's layers at as many bytes, on the
    mean of the logarithms: which of them is cut later, and where, is not known yet.
    """
    sizes, errors = learned.payload_sizes[1:], np.log2(np.maximum(learned_error[1:], 1e-9))
    at_those = np.interp(sizes, plain.payload_sizes, np.log2(np.maximum(plain.distortion, 1e-9)))
    return bool((at_those - errors).mean() < 0)
