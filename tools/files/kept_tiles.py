"""Coded tiles as rate control knows them: sizes and curves in memory, payloads and latents on a shelf."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.modes import Weighing
from swathpack.edge.codec.plain import CodedPlain
from swathpack.edge.codec.rate import Curve
from swathpack.edge.stream import ContextRef, Segment
from swathpack.edge.stream.quality import MAX_SHIFT, TRANSFORM, quality_of, usual_shift
from swathpack.tools.files.coding_jobs import CodedLearned, How
from swathpack.tools.files.places import Place, ShelvedContext
from swathpack.tools.files.shelf import Kept, Shelf

NEAR_END = 0.7  # of a payload
_NO_CURVE = Curve(np.zeros(1), np.zeros(1), 0.0)


@dataclass(frozen=True)
class Choice:
    """mode: auto (the better of both, a tile), learned or transform. slope, shift: of the learned codec, see
    `swathpack.edge.codec.tile_coder.encode_tile` and `swathpack.edge.stream.quality.usual_shift`. weights: of the bands, see
    `swathpack.edge.codec.transform_coder.weights_for`. alone: no other date is predicted from what is coded. refine: transform
    payloads are coded once more when their length is settled (`swathpack.edge.codec.transform_coder.refine_payload`), and
    predictions of exact tiles are refined (`swathpack.edge.codec.predictive.encode`).
    """

    mode: str = "auto"
    slope: float = 0.0
    shift: int = MAX_SHIFT
    weights: str = "auto"
    alone: bool = False
    refine: bool = False


@dataclass(frozen=True, eq=False)
class PlainTile:
    """A tile without the network; fields as in `CodedPlain`. payload_bytes: of its payload, where it is cut."""

    kept: Kept[CodedPlain]
    quality: int
    payload_sizes: NDArray[np.int64]
    size: tuple[int, int]
    least: int
    curve: Curve
    reference: int | None
    payload_bytes: int

    @classmethod
    def of(cls, coded: CodedPlain, shelf: Shelf) -> PlainTile:
        """Of all that was made of it, which goes to the shelf."""
        curve = coded.curve if coded.quality == TRANSFORM else _NO_CURVE
        facts = coded.quality, coded.payload_sizes, coded.size, coded.least, curve, coded.reference
        return cls(shelf.put(coded), *facts, len(coded.payload))

    @property
    def payload(self) -> bytes:
        """As far as it is cut."""
        return self.kept.get().payload[: self.payload_bytes]

    def worth(self, factor: float) -> PlainTile:
        """The same where its error counts so many times: rate control gives it more."""
        return replace(self, curve=self.curve.times(factor))

    def too_short(self, slope: float, room: int) -> bool:
        """Whether the payload was ended by its room, and too near where a slope (error saved a byte) cuts it: near its end a curve is
        not what it would be with more behind it.
        """
        return self.payload_bytes >= room and self.curve.bytes_at(slope) > NEAR_END * room

    def cut(self, payload_bytes: int) -> PlainTile:
        """The same with at most so many bytes of payload: a prefix may end inside a layer."""
        sizes, most = np.minimum(self.payload_sizes, payload_bytes), min(self.payload_bytes, payload_bytes)
        return replace(self, payload_sizes=sizes, payload_bytes=most)

    def instead(self, payload: bytes, sizes: NDArray[np.int64], shelf: Shelf) -> PlainTile:
        """The same with another payload, whole. sizes: (17,) bytes of its first k layers."""
        kept = shelf.put(replace(self.kept.get(), payload=payload, payload_sizes=sizes))
        return replace(self, kept=kept, payload_sizes=sizes, payload_bytes=len(payload))

    def segment(self, frame: int, tile: int, stop: int, refs: tuple[ContextRef, ...] = ()) -> Segment:
        """The segment record with layers [0, stop)."""
        payload = self.payload[: int(self.payload_sizes[stop])]
        return replace(self.empty_segment(frame, tile, stop, refs), payload=payload, payload_bytes=-1)

    def empty_segment(self, frame: int, tile: int, stop: int, refs: tuple[ContextRef, ...] = ()) -> Segment:
        """The same without its payload."""
        return Segment.empty((frame, tile), self.quality, (0, stop), self.size, refs)


@dataclass(frozen=True, eq=False)
class LearnedTile:
    """A tile by the learned codec; fields as in `CodedLearned`. size: rows and columns of its latent."""

    kept: Kept[CodedLearned]
    quality: int
    payload_sizes: NDArray[np.int64]
    size: tuple[int, int]
    cost: float | None

    @classmethod
    def of(cls, coded: CodedLearned, shelf: Shelf) -> LearnedTile:
        """Of all that was made of it, which goes to the shelf."""
        h, w = coded.latent.shape[1:]
        return cls(shelf.put(coded), coded.quality, coded.payload_sizes, (h, w), coded.cost)

    def segment(self, frame: int, tile: int, stop: int, refs: tuple[ContextRef, ...] = ()) -> Segment:
        """See CodedLearned."""
        return self.kept.get().segment(frame, tile, stop, refs)

    def empty_segment(self, frame: int, tile: int, stop: int, refs: tuple[ContextRef, ...] = ()) -> Segment:
        """The same without its payload."""
        return Segment.empty((frame, tile), self.quality, (0, stop), self.size, refs)


class LearnedChoice:
    """One tile by the learned codec: its coefficients, the contexts that pay, what was coded of it by step and dead zone."""

    def __init__(self, choice: Choice, place: Place, coefficients: NDArray[np.float32], shelf: Shelf) -> None:
        self.choice, self._shelf, self._coefficients = choice, shelf, shelf.put(coefficients)
        self.seen: dict[tuple[int, float], LearnedTile] = {}
        self._made: dict[tuple[Any, ...], tuple[list[ShelvedContext], LearnedTile]] = {}
        self.renew(place)

    def renew(self, place: Place) -> None:
        """Take contexts from what a place holds now."""
        self.contexts: list[ShelvedContext] = place.nearest(self._coefficients.get()) if place.held else []
        self._settled = not self.contexts
        self.seen.clear()

    @property
    def refs(self) -> tuple[ContextRef, ...]:
        """Of the contexts that are used."""
        return tuple(ref for ref, _ in self.contexts)

    def has(self, q: int, dead_zone: float) -> bool:
        """Whether it was coded so, with the contexts that it now has."""
        made = self._made.get(self._key(q, dead_zone))
        if (q, dead_zone) not in self.seen and made is not None:
            self.contexts, self.seen[q, dead_zone] = made
            self._settled = True
        return (q, dead_zone) in self.seen

    def _key(self, q: int, dead_zone: float) -> tuple[Any, ...]:
        """All that decides what comes of it."""
        return self.refs, self._settled, q, dead_zone

    def asked(self, q: int, dead_zone: float, layers: int, weighing: Weighing | None) -> tuple[Any, ...]:
        """Arguments of the job that codes it, behind the tile: optimised in proportion to the dead zone."""
        quality, given = quality_of(q, usual_shift(q, self.choice.shift)), [kept.get() for _, kept in self.contexts]
        how = How(quality, layers, dead_zone, self.choice.slope, not self._settled, weighing)
        return self._coefficients.get(), given, how

    def take(self, q: int, dead_zone: float, found: CodedLearned) -> None:
        """Keep what was coded; contexts that did not pay are left for good."""
        key = self._key(q, dead_zone)
        self.contexts = [self.contexts[i] for i in found.kept]
        self._settled = True
        self.seen[q, dead_zone] = LearnedTile.of(found, self._shelf)
        self._made[key] = self.contexts, self.seen[q, dead_zone]
