"""The edge codec behind the loop's interface (`swathpack.edge.codec.protocol`): pixels and confirmed contexts to segments.

A segment that flies alone names its tile by the tile id and its frame by the acquisition time in seconds, so its
contexts are named by their times too; it is bound to the model's and the tables' digests.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BandError, complete_bands
from swathpack.edge.codec.digest import context_digest
from swathpack.edge.codec.latents import GROUP, LAYERS, LatentError
from swathpack.edge.codec.layers import known_context
from swathpack.edge.codec.lone import date_in, encode_lone
from swathpack.edge.codec.lone_exact import ExactCoder
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.modes import Expected, Weighing, learned_wins, tries_learned, tries_transform
from swathpack.edge.codec.plain import CodedPlain, Counts, PlainError
from swathpack.edge.codec.prediction import CodingContext, CodingError
from swathpack.edge.codec.protocol import CodecError, ContextLatent, TileKey, TilePixels
from swathpack.edge.codec.rangecoder import RangeCoderError
from swathpack.edge.codec.rate import bytes_about
from swathpack.edge.codec.settings import CodecSettings
from swathpack.edge.codec.tile_coder import (
    CodedLatent,
    alike,
    analyse_tile,
    encode_tile,
    weigh_contexts,
)
from swathpack.edge.codec.transform_coder import Weights, weighted_errors
from swathpack.edge.frame import Frame, FrameError
from swathpack.edge.radiometry import PLAIN
from swathpack.edge.stream import ContextRef, StreamError, lone_binding, pack_segment, segment_overhead_bytes
from swathpack.edge.stream.chunks import payload_within
from swathpack.edge.stream.quality import MAX_SHIFT, TRANSFORM, is_learned, quality_of, usual_shift
from swathpack.edge.stream.segment import MAX_LONE_BYTES

USUAL_AIM = 2  # its place in `aims_at`
_FRONT_ROOM = 64  # bytes of a record around its payload, at most


def coding_context(context: ContextLatent) -> CodingContext:
    """A context as the entropy model takes it."""
    return known_context(context.latent, context.q, context.layers)


@dataclass(frozen=True, eq=False)
class FlightTile:
    """A `swathpack.edge.codec.protocol.CodedTile` by the network or without."""

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

    @property
    def prefixes(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(17,) bytes of payload and (17,) squared error by layers, as `swathpack.edge.codec.modes.Expected` takes them."""
        return self.coded.payload_sizes, self.distortion

    def segment(self, start: int, stop: int) -> bytes:
        """The packed record with layers [start, stop)."""
        return pack_segment(self.coded.segment(self.key.time, self.key.tile, stop, self.refs, start), self.binding)


class FlightCodec:
    """TileCodec of the edge preset. q: quantiser step index of every tile, with a base layer at most `shift`
    octaves coarser (0: none; see `swathpack.edge.codec.base_layer`); slope: see `swathpack.edge.codec.tile_coder.encode_tile`.
    mode: learned, transform, or auto: of both the one with less error over its layers, and at what the next contact has for the
    tile. finest_dn: of the transform coder's last bit plane; more of a tile than that is never sent. weights: of the bands, see
    `swathpack.edge.codec.transform_coder.weights_for`. Contexts of either codec are used by that codec.

    max_error: every count comes back within it (`swathpack.edge.codec.lone_exact`), None: none is promised. A tile's own goal
    comes first. promises: of all the tiles that may come, for `modes`.
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
        max_error: int | None = None,
        promises: tuple[int, ...] = (),
    ) -> None:
        self.model, self.q, self.slope, self.shift = model, q, slope, shift
        self.mode, self.finest_dn, self.weights = mode, finest_dn, weights
        self.max_error, self.promises, self._exact_coder = max_error, promises, ExactCoder()
        self.binding = lone_binding(model.digest, model.tables_digest)

    @classmethod
    def configured(cls, model: EdgeModel, coding: CodecSettings) -> FlightCodec:
        """As the mission file says."""
        how = coding.q, coding.slope, coding.base, coding.mode, coding.finest_dn, coding.weights
        return cls(model, *how, coding.max_error, coding.promises)

    def modes(self) -> list[FlightCodec]:
        """This codec kept to each of the modes that it chooses from: what one of them does, whatever the choice."""
        lossy = () if self.max_error is not None else ("learned", "transform") if self.mode == "auto" else (self.mode,)
        found = [self._with(mode=mode) for mode in lossy]
        errors = [error for error in (self.max_error, *self.promises) if error is not None]
        return [*found, *([self._with(max_error=min(errors))] if errors else [])]

    def _with(self, **changed: object) -> FlightCodec:
        """This codec with some of its settings changed."""
        codec = copy(self)
        for name, value in changed.items():
            setattr(codec, name, value)
        return codec

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

    def _encode(self, tile: TilePixels, contexts: Sequence[ContextLatent]) -> FlightTile:
        goal = tile.goal
        max_error = self.max_error if goal.max_error is None else goal.max_error
        if max_error is not None:
            coded = self._exact_coder.encode(tile.data, tile.valid, tile.bands, max_error, tile.radiometry)
            return FlightTile(tile.key, coded, (), self.binding, coded.distortion)
        if goal.q is not None or goal.finest_dn is not None:
            finest = self.finest_dn if goal.finest_dn is None else goal.finest_dn
            finer = self._with(q=self.q if goal.q is None else goal.q, finest_dn=finest)
            return finer._lossy(tile, contexts)
        return self._lossy(tile, contexts)

    def _lossy(self, tile: TilePixels, contexts: Sequence[ContextLatent]) -> FlightTile:
        for context in contexts:
            if context_digest(context.latent, context.groups, GROUP) != context.digest:
                raise CodecError(f"context of {context.key.time} changed in memory")
        plain = self._plain(tile, contexts) if tries_transform(self.mode) else None
        if plain is not None and (not tries_learned(self.mode, tile.bands) or tile.radiometry != PLAIN):
            return plain
        if tile.radiometry != PLAIN:
            raise CodecError(f"the learned codec takes uint16 DN only, found {tile.radiometry.dtype}")
        learned = self._learned(tile, [c for c in contexts if is_learned(c.q)])
        room = None if tile.goal.room_bytes is None else min(tile.goal.room_bytes, _most_bytes(tile.data.size))
        return learned if plain is None or learned_wins(Expected(learned.prefixes, plain.prefixes, room)) else plain

    def aims(self, samples: int) -> list[int]:
        """See `aims_at`."""
        return aims_at(self.q, samples)

    def _aim(self, tile: TilePixels) -> int:
        """The length that a payload is aimed at, and bands are weighed for."""
        return aim_of(self.aims(tile.data.size), tile.goal.room_bytes)

    def _weights(self, tile: TilePixels) -> Weights:
        weighing = Weighing.aimed(self.weights, self._aim(tile), tile.data.size)
        return replace(weighing, frame=tile.asked).of(tile.bands, tile.data, tile.valid)

    def _plain(self, tile: TilePixels, contexts: Sequence[ContextLatent]) -> FlightTile:
        room, aim, weights = _most_bytes(tile.data.size), self._aim(tile), self._weights(tile)
        dates = _dates(tile, contexts)
        given = [counts for _, counts in dates]
        how = self.finest_dn, room, aim, given, weights, tile.radiometry
        coded = encode_lone(tile.data, tile.valid, tile.bands, *how)
        used = [] if coded.reference is None else [dates[coded.reference][0]]
        refs = tuple(ContextRef(c.key.time, c.layers, c.digest) for c in used)
        return FlightTile(tile.key, coded, refs, self.binding, coded.distortion)

    def _learned(self, tile: TilePixels, contexts: Sequence[ContextLatent]) -> FlightTile:
        frame = complete_bands(Frame(tile.data, tile.bands, valid=tile.valid))
        coefficients = analyse_tile(self.model, frame.data, frame.valid)
        fitting = [c for c in contexts if c.latent.shape == coefficients.shape and c.layers > 0]
        used, done = alike(coefficients, [(c, coding_context(c)) for c in fitting]), None
        if used:
            kept, done = weigh_contexts(self.model, coefficients, self.quality, [coding for _, coding in used])
            used = [used[i] for i in kept]
        coded = encode_tile(
            self.model, coefficients, self.quality, [coding for _, coding in used], slope=self.slope, done=done
        )
        refs = tuple(ContextRef(c.key.time, c.layers, c.digest) for c, _ in used)
        # The planner weighs tiles of both modes against each other.
        errors = weighted_errors(coded.distortion, tile.data, tile.valid, self._weights(tile))
        return FlightTile(tile.key, coded, refs, self.binding, errors)


def aims_at(q: int, samples: int) -> list[int]:
    """The lengths, ascending, that payloads of tiles of so many samples may be aimed at: about what a step q asks for, its half and
    quarter, and every quarter octave of bits a sample beyond. So few, that who judges a board can try them all.
    """
    usual, most = min(bytes_about(q, samples), _most_bytes(samples)), _most_bytes(samples)
    beyond = (math.ceil(2 ** (quarter / 4) * samples / 8) for quarter in range(-16, 17))
    return [usual // 4, usual // 2, usual, *(length for length in beyond if usual < length <= most)]


def aim_of(aims: Sequence[int], room_bytes: int | None) -> int:
    """The one of `aims_at` for a tile: the greatest that the next contact has room for; the usual one where nobody knows."""
    if room_bytes is None:
        return aims[USUAL_AIM]
    return max((length for length in aims if length <= room_bytes), default=aims[0])


def as_contacts_ask(codec: FlightCodec, tile: TilePixels, contexts: Sequence[ContextLatent]) -> Iterator[FlightTile]:
    """A tile as a board may have coded it, whatever the next contact had for it: for every one of `aims`."""
    for aim in codec.aims(tile.data.size):
        yield codec.encode(replace(tile, goal=replace(tile.goal, room_bytes=aim)), contexts)


def _most_bytes(samples: int) -> int:
    """Where a payload of the transform coder ends, whatever is in it: it may be cut anywhere, and a segment has an end."""
    return min(2 * samples + 4096, payload_within(MAX_LONE_BYTES - _FRONT_ROOM))


def _dates(tile: TilePixels, contexts: Sequence[ContextLatent]) -> list[tuple[ContextLatent, Counts]]:
    """The contexts that are transform tiles of the same bands and size, drawn again as the ground draws them."""
    found, alike = [], (tile.bands, tile.radiometry, tile.data.shape)
    for context in contexts:
        date = date_in(context.latent) if context.q == TRANSFORM else None
        if date is not None and (date[0].names, date[0].radiometry, date[1].shape) == alike:
            found.append((context, date[1]))
    return found
