"""Earlier dates that transform tiles were coded against: decoded when one is asked for, kept while there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from swathpack.edge.codec.digest import counts_digest
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.codec.plain import Counts, PlainError, decode_plain
from swathpack.edge.codec.transform_coder import counts_of
from swathpack.edge.stream import ContextRef, Segment
from swathpack.edge.stream.quality import TRANSFORM
from swathpack.edge.stream.segment import MAX_LAYERS
from swathpack.tools.files.held_latents import Place, contexts_named
from swathpack.tools.files.places import LONGEST_CHAIN

HELD_BYTES = 1 << 28


class DateMissing(Exception):  # noqa: N818 - an expected state of a damaged stream
    """Why an earlier date is not here, in words."""


@dataclass(frozen=True, eq=False)
class Joined:
    """The payload of a transform tile as far as it is here, and the date that it names."""

    payload: bytes
    date: ContextRef | None


def joined(segments: Sequence[Segment]) -> tuple[bytes, str]:
    """The payload that the segments of a plain tile, in order of layers, are pieces of, as far as it is here; and what is
    wrong with the rest.
    """
    payload, stop, problem = b"", 0, ""
    for segment in segments:
        first = segments[0]
        if segment.layer_start != stop or (segment.quality_byte, segment.contexts) != (
            first.quality_byte,
            first.contexts,
        ):
            problem = f"layers from {stop} on are missing"
            break
        payload, stop = payload + segment.payload, segment.layer_stop
        if not segment.sound:
            how = "damaged" if segment.damaged else "cut"
            problem = f"{how}: {len(segment.payload)} of {segment.payload_bytes} payload bytes are good"
            break
    return payload, problem


class HeldDates:
    """Dates of a stream by frame and tile. What had to go is decoded again, with at most LONGEST_CHAIN dates before it."""

    def __init__(self, by_tile: Mapping[Place, Sequence[Segment]], bands: Sequence[str]) -> None:
        self._segments, self._bands = by_tile, bands
        self._named, _ = contexts_named(s for segments in by_tile.values() for s in segments)
        self._kept: OrderedDict[Place, Counts] = OrderedDict()
        self._bytes = 0

    def name(self, place: Place) -> None:
        """A frame that is not in the segments was coded against this one."""
        self._named.add(place)

    def named(self, place: Place) -> bool:
        """Whether any frame was coded against this one."""
        return place in self._named

    def keep(self, place: Place, counts: Counts) -> None:
        """Remember a date that is whole, the longest unused ones making room."""
        while self._kept and self._bytes + counts.nbytes > HELD_BYTES:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        if place not in self._kept:
            self._bytes += counts.nbytes
        self._kept[place] = counts

    def get(self, place: Place) -> Counts | None:
        """A date as far as it is kept."""
        return self._kept.get(place)

    def before(self, place: Place) -> tuple[dict[Place, Counts], dict[Place, Sequence[Segment]]]:
        """All that `of` needs for the date that a tile names: one that is kept, and the segments of those that are not."""
        kept: dict[Place, Counts] = {}
        others: dict[Place, Sequence[Segment]] = {}
        while len(others) <= LONGEST_CHAIN:
            first = min(self._segments.get(place, ()), key=lambda s: s.layer_start, default=None)
            if first is None or first.quality_byte != TRANSFORM or not first.contexts:
                break
            place = (first.contexts[0].frame, place[1])
            if place in self._kept:
                self._kept.move_to_end(place)
                kept[place] = self._kept[place]
                break
            if place in others:  # a stream that names dates in a circle
                break
            others[place] = self._segments.get(place, ())
        return kept, others

    def of(self, ref: ContextRef, frame: int, window: TileWindow) -> Counts:
        """The date that a tile of `frame` names. Raises DateMissing."""
        chain = self._chain(ref, frame, window.index)
        counts: Counts | None = None
        for at, tile in reversed(chain):
            place = (at.frame, window.index)
            if tile is not None:
                counts = self._decoded(at, tile, window, counts)
                self.keep(place, counts)
            else:
                counts = self._kept[place]
                self._kept.move_to_end(place)
            if at.digest and counts_digest(counts) != at.digest:
                raise DateMissing(f"its context, frame {at.frame}, has another digest here")
        assert counts is not None
        return counts

    def _chain(self, ref: ContextRef, frame: int, tile: int) -> list[tuple[ContextRef, Joined | None]]:
        """From the date that is wanted back to one that is kept (None) or stands alone."""
        found: list[tuple[ContextRef, Joined | None]] = []
        wanted: ContextRef | None = ref
        while wanted is not None:
            if wanted.frame >= frame:
                raise DateMissing(f"names frame {wanted.frame}, which is not earlier, as context")
            if len(found) == LONGEST_CHAIN:
                raise DateMissing(f"needs more than {LONGEST_CHAIN} earlier dates")
            frame = wanted.frame
            if (frame, tile) in self._kept:
                return [*found, (wanted, None)]
            here = self._joined(frame, tile, whole=not wanted.digest)
            found.append((wanted, here))
            wanted = here.date
        return found

    def _joined(self, frame: int, tile: int, whole: bool) -> Joined:
        segments = sorted(self._segments.get((frame, tile), ()), key=lambda s: s.layer_start)
        if not segments or segments[0].layer_start or segments[0].quality_byte != TRANSFORM:
            raise DateMissing(f"needs frame {frame} as context, which is not here")
        payload, problem = joined(segments)
        if whole and (problem or segments[-1].layer_stop < MAX_LAYERS):
            raise DateMissing(f"its context, frame {frame}, is not whole here")
        contexts = segments[0].contexts
        return Joined(payload, contexts[0] if contexts else None)

    def _decoded(self, at: ContextRef, tile: Joined, window: TileWindow, date: Counts | None) -> Counts:
        shape = (len(self._bands), window.height, window.width)
        try:
            found = decode_plain(TRANSFORM, tile.payload, shape, np.ones(shape[1:], np.bool_), self._bands, date=date)
        except PlainError as error:
            raise DateMissing(f"its context, frame {at.frame}, cannot be decoded: {error}") from error
        return counts_of(found.counts)
