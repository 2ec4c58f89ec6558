"""What is done to one tile, as functions of what they are given alone: so any process may do it, and does it alike.

    perform(model, "plain", (tile, most_bytes, aim_bytes))     the transform coder's payload and its curve
    perform(model, "learned", (tile, ask))                      the learned codec's segment, or why it is not wanted
    perform(model, "level", (tile, ask, level, aim_bytes))      the better of both at a level
    perform(model, "exact", (tile, max_error))                  the predictive coder's payload
    perform(model, "decode", (part, layers, outline, valid))    a tile's counts; see `swathpack.tools.files.decoder`

A tile is a `Frame` of its pixels. Results are small: bytes and numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, complete_dn, filled_counts
from swathpack.edge.codec.base_layer import usual_shift
from swathpack.edge.codec.digest import context_digest
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.layers import known_context
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.plain import LEAST_LEARNED_BANDS, CodedPlain, encode_predictive, encode_transform
from swathpack.edge.codec.prediction import CodingContext
from swathpack.edge.codec.tile_coder import (
    DEAD_ZONE,
    UNLIKE,
    CodedLatent,
    analyse_tile,
    encode_tile,
    likeness,
    weigh_contexts,
)
from swathpack.edge.frame import Frame
from swathpack.edge.stream import ContextRef, Segment
from swathpack.edge.stream.quality import MAX_SHIFT, STEPS, quality_of
from swathpack.tools.files.held_latents import Held
from swathpack.tools.files.levels import slope_at
from swathpack.tools.files.part_decoder import decode_part

CONTEXT_BYTES = 5  # of a segment, for each context that it names
LOST = "lost"
CLOSE = 1.02  # squared error that optimised quantisation makes up for: it saves some 3 % of the bytes
HOPELESS = 1.7  # the learned codec's own estimate of its error is seldom off by so much
ROOM_FACTOR, ROOM_MORE = 6, 4096  # what a payload may take, against what it will probably be cut to


@dataclass(frozen=True)
class Choice:
    """mode: auto (the better of both, a tile), learned or transform. slope, shift: of the learned codec, see
    `swathpack.edge.codec.tile_coder.encode_tile` and `swathpack.edge.codec.base_layer.usual_shift`.
    """

    mode: str = "auto"
    slope: float = 0.0
    shift: int = MAX_SHIFT

    def tries_learned(self, bands: tuple[str, ...]) -> bool:
        """Whether tiles of these bands may be the learned codec's."""
        least = 1 if self.mode == "learned" else LEAST_LEARNED_BANDS
        return self.mode != "transform" and set(bands) <= set(BANDS) and len(bands) >= least


@dataclass(frozen=True)
class Rival:
    """What the learned codec is up against: the transform coder's bytes and errors (counts^2), as `CodedPlain.fine` has
    them.
    """

    sizes: NDArray[np.int64]
    errors: NDArray[np.float64]

    def error_at(self, payload_bytes: int) -> float:
        """Squared error of the prefix, interpolated on logarithmic scales."""
        there = (self.sizes > 0) & (self.errors > 0)
        if not there.any() or payload_bytes <= 0:
            return float(self.errors[0])
        sizes, errors = np.log2(self.sizes[there]), np.log2(self.errors[there])
        return float(2 ** np.interp(np.log2(payload_bytes), sizes, errors))


@dataclass(frozen=True)
class Ask:
    """Where a tile lies and how the learned codec is to code it. rival: None where it is to code it in any case."""

    frame: int
    tile: int
    q: int
    choice: Choice
    held: tuple[tuple[int, int, Held], ...] = ()  # frame, layers sent, latent
    rival: Rival | None = None
    dead_zone: float = DEAD_ZONE
    layers: int = LAYERS


@dataclass(frozen=True, eq=False)
class LearnedTile:
    """segment: whole. held: what its decoder has afterwards. gain: how much less its squared error is than the rival's
    at as many bytes, counts^2.
    """

    segment: Segment
    held: Held
    gain: float


def plain(_: EdgeModel, tile: Frame, most_bytes: int | None, aim_bytes: int) -> CodedPlain:
    """A tile by the transform coder, down to the finest level or most_bytes."""
    return encode_transform(filled_counts(tile), tile.valid, tile.bands, max_bytes=most_bytes, aim_bytes=aim_bytes)


def exact(_: EdgeModel, tile: Frame, max_error: int) -> CodedPlain:
    """Every valid count within max_error."""
    return encode_predictive(tile.data, tile.valid, max_error)


def level(model: EdgeModel, tile: Frame, ask: Ask, at: float, aim_bytes: int) -> CodedPlain | LearnedTile:
    """The better of both at a level, the transform coder's cut to it."""
    if ask.choice.mode == "learned" and ask.choice.tries_learned(tile.bands):
        return _must(learned(model, tile, ask))
    slope, most = slope_at(at, tile.radiometry.gain), ROOM_FACTOR * aim_bytes + ROOM_MORE
    coded = plain(model, tile, most, aim_bytes)
    if len(coded.payload) >= most and coded.curve.slopes[-1] > slope:  # it ended for want of room
        coded = plain(model, tile, None, aim_bytes)
    if ask.choice.tries_learned(tile.bands):
        found = learned(model, tile, _against(ask, coded))
        if found is not None:
            return found
    stop = min(coded.curve.bytes_at(slope), int(coded.payload_sizes[ask.layers]))
    return coded.cut(max(stop, coded.least))


def _against(ask: Ask, coded: CodedPlain) -> Ask:
    return replace(ask, rival=rival_of(coded))


def rival_of(coded: CodedPlain) -> Rival:
    """What the learned codec has to beat."""
    return Rival(*(coded.fine or (coded.payload_sizes, coded.distortion)))


def _must(found: LearnedTile | None) -> LearnedTile:
    if found is None:
        raise ValueError("the learned codec was to code this tile in any case")
    return found


def learned(model: EdgeModel, tile: Frame, ask: Ask) -> LearnedTile | None:
    """A tile by the learned codec; None where its rival's image has less error at as many bytes.

    Quantisation is optimised only where the codec wins or nearly does without.
    """
    coefficients = analyse_tile(model, complete_dn(tile), tile.valid)
    refs, contexts = _nearest(coefficients, ask)
    quality = quality_of(ask.q, usual_shift(ask.q, ask.choice.shift))
    done = None
    if contexts:
        kept, done = weigh_contexts(model, coefficients, quality, contexts)
        refs, contexts = [refs[i] for i in kept], [contexts[i] for i in kept]
    zone = min(ask.dead_zone, 0.5)
    first = done if ask.dead_zone == DEAD_ZONE else None
    slope = ask.choice.slope * ask.dead_zone / DEAD_ZONE
    gain = 0.0
    if ask.rival is not None:
        coded = encode_tile(model, coefficients, quality, contexts, zone, 0.0, first)
        gain = _gain(model, tile, coded, ask.rival, CLOSE if slope > 0 else 1.0)
        if gain <= 0:
            return None
    if ask.rival is None or slope > 0:
        coded = encode_tile(model, coefficients, quality, contexts, zone, slope, first)
    segment = coded.segment(ask.frame, ask.tile, ask.layers, tuple(refs))
    return LearnedTile(segment, Held.of(coded.latent, coded.quality, ask.layers), gain)


def _nearest(coefficients: NDArray[np.float32], ask: Ask) -> tuple[list[ContextRef], list[CodingContext]]:
    """The two held latents most like these coefficients, the better one first: a cloudy date explains nothing."""
    every = [(frame, layers, known_context(held.latent, held.quality, layers)) for frame, layers, held in ask.held]
    ranked = [(likeness(coefficients, known), frame, layers, known) for frame, layers, known in every]
    ranked.sort(key=lambda r: r[0], reverse=True)
    best = [r for r in ranked[:2] if r[0] > UNLIKE]
    refs = [ContextRef(frame, layers, context_digest(known.latent, known.layers)) for _, frame, layers, known in best]
    return refs, [known for *_, known in best]


def _gain(model: EdgeModel, tile: Frame, coded: CodedLatent, rival: Rival, allowed: float) -> float:
    """How far the rival's error lies above the learned codec's at as many bytes."""
    room = int(coded.payload_sizes[LAYERS]) + CONTEXT_BYTES * len(coded.contexts)
    other = rival.error_at(room) * allowed
    share = len(tile.bands) / len(BANDS)
    if coded.distortion[LAYERS] * share > HOPELESS * other * tile.radiometry.gain**2:
        return -1.0
    pixels = model.synthesise(coded.reconstruction())[:, : tile.height, : tile.width]
    image = tile.counts_of(pixels[[BANDS.index(b) for b in tile.bands]])
    difference = image.astype(np.float64) - filled_counts(tile)
    return other - float((difference[:, tile.valid] ** 2).sum())


def _learned_or_word(model: EdgeModel, tile: Frame, ask: Ask) -> LearnedTile | str:
    return learned(model, tile, ask) or LOST


def _nothing(_: EdgeModel) -> None:
    """What there is to do of a tile that is done."""


def _decode(model: EdgeModel, *arguments: Any) -> Any:
    return decode_part(model, *arguments)


_JOBS: dict[str, Callable[..., Any]] = {
    "plain": plain,
    "exact": exact,
    "level": level,
    "learned": _learned_or_word,
    "nothing": _nothing,
    "decode": _decode,
}


def perform(model: EdgeModel, name: str, arguments: tuple[Any, ...]) -> Any:
    """The result of a job."""
    return _JOBS[name](model, *arguments)


def start_step(at: float) -> int:
    """The learned codec's step at a level."""
    return min(max(round(at), 0), STEPS - 1)
