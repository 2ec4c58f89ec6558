"""What coding does to one tile, as functions of what they are given alone: any process may do it, and does it alike.

Jobs of `swathpack.tools.files.tile_jobs`; who asks for them is `swathpack.tools.files.frame_coder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.squares import synthesised
from swathpack.edge.bands import BANDS, complete_dn, filled_counts
from swathpack.edge.codec.latents import Latent
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.modes import Weighing, image_error
from swathpack.edge.codec.plain import (
    FINEST_DN,
    CodedPlain,
    Counts,
    against,
    decode_plain,
    encode_predictive,
    encode_transform,
    refined_payloads,
)
from swathpack.edge.codec.prediction import CodingContext
from swathpack.edge.codec.tile_coder import DEAD_ZONE, CodedLatent, analyse_tile, encode_tile, weigh_contexts
from swathpack.edge.codec.transform_coder import OTHERS, WORTH, agreement, counts_of
from swathpack.edge.frame import Frame
from swathpack.edge.stream import ContextRef, Segment
from swathpack.edge.stream.quality import TRANSFORM

ROOM_FACTOR, ROOM_MORE = 6, 4096  # what a payload may take, against what it will probably be cut to
FIRST_FACTOR = 2  # what it takes when it is coded first
ALIKE = 0.05  # log2 of squared errors: so little more is worth a truer water mask
# A trellis was ahead of every payload of so many samples and bits a sample that it filled: of 322 payloads of training tiles (one, four and
# twelve bands, 1 and 2 bits) the least has 0.0008 less error (log2 of squares), the next one 0.026.
MANY_SAMPLES, MANY_BITS, FILLED = 1 << 14, 0.9, 0.99
# Not where pixels are missing, nor of few bright points or of patterns (squared mean of the steps from pixel to pixel over the mean of
# their squares; noise has 0.6): drawn ones had up to 4.5 times the error.
LEAST_EVEN, MOST_EVEN = 0.08, 0.8


def room_for(aim_bytes: int) -> int:
    """Bytes at which a payload that is to be cut at about `aim_bytes` may stop."""
    return ROOM_FACTOR * aim_bytes + ROOM_MORE


def rooms_of(aim_bytes: int, most_bytes: int | None, last_bytes: int | None = None) -> list[int | None]:
    """Bytes at which it stops first, for few tiles are cut far behind what all are aimed at, and then, as long as that was too short:
    at most_bytes, and at six times as many until last_bytes.
    """
    if most_bytes is None:
        return [None]
    found: list[int | None] = [min(FIRST_FACTOR * aim_bytes + ROOM_MORE, most_bytes)]
    while most_bytes > (found[-1] or 0):
        found.append(most_bytes)
        most_bytes = min(ROOM_FACTOR * most_bytes, last_bytes or most_bytes)
    return found


@dataclass(frozen=True, eq=False)
class CodedLearned:
    """A tile by the learned codec: its latent, and the payload of its first `layers` layers (a longer one does not start with
    it: every one ends as its coder does). payload_sizes: (17,) bytes. kept: which of the contexts it was given are used.
    cost: `swathpack.edge.codec.modes.image_error`; None where nobody asked.
    """

    latent: Latent
    quality: int
    payload: bytes
    layers: int
    payload_sizes: NDArray[np.int64]
    kept: tuple[int, ...]
    cost: float | None

    def segment(self, frame: int, tile: int, stop: int, refs: tuple[ContextRef, ...] = ()) -> Segment:
        """The segment record with layers [0, stop). Raises ValueError for other layers than were coded."""
        if stop != self.layers:
            raise ValueError(f"expected the {self.layers} layers that were coded, found {stop}")
        h, w = self.latent.shape[1:]
        empty = Segment.empty((frame, tile), self.quality, (0, stop), (h, w), refs)
        return replace(empty, payload=self.payload, payload_bytes=-1)


@dataclass(frozen=True)
class How:
    """quality: byte of step and base. layers: that are sent. slope: of optimised quantisation. weigh: leave contexts that do
    not pay. weighing: of the bands, for the cost; None where it is not asked for.
    """

    quality: int
    layers: int
    dead_zone: float
    slope: float
    weigh: bool
    weighing: Weighing | None


def transform(
    _: EdgeModel,
    tile: Frame,
    most_bytes: int | None,
    aim_bytes: int,
    weighing: Weighing,
    slope: float | None = None,
    shaped: bool = False,
) -> CodedPlain:
    """A tile by the transform coder without any other date, down to the finest level or most_bytes. slope: where
    its payload will be cut (error saved a byte), if that is known: what lies far beyond is then not coded. shaped: whoever decodes
    it has the mask of its valid pixels.
    """
    tile = filled_tile(tile)
    weights = weighing.of(tile.bands, tile.data, tile.valid)

    def coded(most: int | None) -> CodedPlain:
        how = most, aim_bytes, weights, shaped
        return encode_transform(tile.data, tile.valid, tile.bands, FINEST_DN, *how)

    if slope is not None and most_bytes is None:
        room = room_for(aim_bytes)
        found = coded(room)
        # Near its end a curve is not what it would be with more behind it.
        if len(found.payload) < room or 2 * found.curve.bytes_at(slope) < room:
            return found
    return coded(most_bytes)


def dated(_: EdgeModel, tile: Frame, alone: CodedPlain, aim_bytes: int, dates: Sequence[Counts]) -> CodedPlain | None:
    """The same tile against one of some earlier dates, None where `alone` is better."""
    tile = filled_tile(tile)
    found = against(alone, tile.data, tile.valid, tile.bands, aim_bytes, dates)
    return None if found is alone else found


def refined(_: EdgeModel, tile: Frame, payload: bytes, date: Counts | None, weighing: Weighing) -> bytes | None:
    """Another transform payload of at most as many bytes whose image has less error; None where none was found. Where water masks
    count, more are tried, and of those with about the least error the one with the truest mask is taken.
    """
    tile = filled_tile(tile)
    masks = weighing.masks_count(tile.bands, tile.data, tile.valid)
    worths = (WORTH, *OTHERS) if masks else (WORTH,)
    tried = refined_payloads(payload, tile.data, tile.valid, tile.bands, date, worths)
    if not tried or (not masks and _surely_better(tried[0], payload, tile)):
        return tried[0] if tried else None
    every = [payload, *tried]
    drawn = [counts_of(_drawn(p, tile, date)) for p in every]  # rounded, as whoever decodes it sees it
    costs = [_cost_of(counts, tile, weighing) for counts in drawn]
    best = min(range(len(every)), key=costs.__getitem__)
    if masks:
        alike = [n for n, cost in enumerate(costs) if cost <= costs[best] + ALIKE]
        best = max(alike, key=lambda n: (_mask_of(drawn[n], tile), -costs[n]))
    return every[best] if best else None


def _surely_better(refined: bytes, payload: bytes, tile: Frame) -> bool:
    """Whether a payload with a trellis has less error than one without, so that neither need be drawn."""
    filled = len(refined) >= FILLED * len(payload)
    many = tile.data.size >= MANY_SAMPLES and 8 * len(payload) >= MANY_BITS * tile.data.size
    return filled and many and bool(tile.valid.all()) and _is_even(tile)


def _is_even(tile: Frame) -> bool:
    """Whether what there is to code lies about everywhere."""
    steps = np.abs(np.diff(tile.data.astype(np.float32)))
    squares = float(np.mean(steps**2)) if steps.size else 0.0
    return squares > 0 and LEAST_EVEN <= float(np.mean(steps)) ** 2 / squares <= MOST_EVEN


def image(
    _: EdgeModel, payload: bytes, shape: tuple[int, int, int], bands: tuple[str, ...], date: Counts | None
) -> Counts:
    """What a decoder makes of a transform payload, as it keeps it for later dates."""
    every = np.ones(shape[1:], np.bool_)
    return counts_of(decode_plain(TRANSFORM, payload, shape, every, bands, date=date).counts)


def plain_cost(_: EdgeModel, tile: Frame, payload: bytes, date: Counts | None, weighing: Weighing) -> float:
    """The error of what a decoder makes of a transform payload; see `swathpack.edge.codec.modes.image_error`."""
    return _cost_of(_drawn(payload, tile, date), tile, weighing)


def _drawn(payload: bytes, tile: Frame, date: Counts | None) -> NDArray[np.float32]:
    """What a decoder that has the tile's mask makes of a transform payload."""
    shape = (len(tile.bands), tile.height, tile.width)
    return decode_plain(TRANSFORM, payload, shape, tile.valid, tile.bands, date=date).counts


def analyse(model: EdgeModel, tile: Frame) -> NDArray[np.float32]:
    """Coefficients of a tile."""
    return analyse_tile(model, complete_dn(tile), tile.valid)


def learned(
    model: EdgeModel, tile: Frame, coefficients: NDArray[np.float32], contexts: Sequence[CodingContext], how: How
) -> CodedLearned:
    """A tile by the learned codec; contexts: best first."""
    kept, done = tuple(range(len(contexts))), None
    if how.weigh and contexts:
        chosen, done = weigh_contexts(model, coefficients, how.quality, contexts)
        kept, contexts = tuple(chosen), [contexts[i] for i in chosen]
    first = done if how.dead_zone == DEAD_ZONE else None
    slope = how.slope * how.dead_zone / DEAD_ZONE
    coded = encode_tile(model, coefficients, how.quality, contexts, min(how.dead_zone, 0.5), slope, first)
    cost = None if how.weighing is None else _cost_of(_synthesised(model, tile, coded), tile, how.weighing)
    payload = coded.layers.payload(how.layers)
    return CodedLearned(coded.latent, coded.quality, payload, how.layers, coded.payload_sizes, kept, cost)


def _synthesised(model: EdgeModel, tile: Frame, coded: CodedLatent) -> NDArray[np.uint16]:
    pixels = synthesised(model, coded.reconstruction())[:, : tile.height, : tile.width]
    return tile.counts_of(pixels[[BANDS.index(b) for b in tile.bands]])


def filled_tile(tile: Frame) -> Frame:
    """The tile without holes: single bands that lack data there get what costs little."""
    return replace(tile, data=filled_counts(tile), holes=np.zeros((0, 0, 0), np.bool_)) if tile.holes.any() else tile


def _mask_of(image: NDArray[np.generic], tile: Frame) -> float:
    """Share of valid pixels whose water mask the image keeps."""
    return agreement(tile.bands, tile.data, image, tile.valid)


def _cost_of(image: NDArray[np.generic], tile: Frame, weighing: Weighing) -> float:
    filled = filled_tile(tile)
    weights = weighing.of(filled.bands, filled.data, filled.valid)
    return image_error(image, filled.data, filled.valid, weights)


def exact(_: EdgeModel, tile: Frame, max_error: int, refined: bool) -> CodedPlain:
    """Every valid count within max_error; refined: see `swathpack.edge.codec.predictive.encode`."""
    return encode_predictive(tile.data, tile.valid, max_error, refined)
