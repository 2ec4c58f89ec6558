"""What the frames of a place are made of: the twelve bands as DN, or what its tiles themselves say they are.

A latent does not say which bands the sensor gave, nor the size of its tile. A tile without the network does, and its frames are
the sensor's own counts; dates that say something else are a series of their own (`kinds_of`). Only where latents may come beside
them, that is of nine of Sentinel-2's bands or more in DN with no tile that keeps a greatest error, are they twelve bands,
whichever codec had which tile.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, BandError, complete_bands
from swathpack.edge.codec.latents import STRIDE
from swathpack.edge.codec.lone import LoneTile
from swathpack.edge.codec.lone_exact import ExactTile
from swathpack.edge.codec.modes import tries_learned
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.codec.plain import DecodedPlain
from swathpack.edge.codec.protocol import ContextLatent, TileKey
from swathpack.edge.frame import Frame, FrameError
from swathpack.edge.packets.report import held_digest
from swathpack.edge.radiometry import PLAIN, Radiometry
from swathpack.edge.stream.quality import PREDICTIVE, is_learned
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.decoder import DecodeError
from swathpack.tools.ground.held import HeldSegment
from swathpack.tools.ground.store import GroundStore, TileFrame


@dataclass(frozen=True)
class Layout:
    """`bands` and `radiometry` of the frames of a place; `tiles`: what each says of itself, empty for twelve bands of DN."""

    bands: tuple[str, ...] = BANDS
    radiometry: Radiometry = PLAIN
    tiles: Mapping[TileKey, LoneTile] = field(default_factory=dict)

    def window(self, key: TileKey, blocks: TileWindow) -> TileWindow:
        """Where a tile lies; blocks: the same in whole blocks of 16 pixels."""
        tile = self.tiles.get(key)
        return blocks if tile is None else TileWindow(0, blocks.top, blocks.left, tile.height, tile.width)

    def drawn(self, lone: LoneTile, found: DecodedPlain) -> NDArray[np.float32]:
        """Pixels (C, h, w) of a transform tile. Of twelve bands those that it lacks are filled by regression, rows and columns
        beyond it repeated. Raises DecodeError.
        """
        if self.tiles:
            return found.counts
        counts = lone.radiometry.nearest(found.counts)
        full = _completed(lone, counts, np.ones(counts.shape[1:], np.bool_))
        return np.pad(full.data.astype(np.float32), ((0, 0), *_beyond(lone)), mode="edge")

    def steps(self, lone: LoneTile, found: DecodedPlain) -> tuple[int, ...]:
        """How finely each band of `drawn` was coded (`swathpack.codec.seams`): bands that were filled as the others on the mean."""
        if self.tiles or not found.steps:
            return found.steps
        given = dict(zip(lone.names, [step + round(8 * math.log2(lone.radiometry.gain)) for step in found.steps]))
        mean = round(sum(given.values()) / len(given))
        return tuple(given.get(name, mean) for name in BANDS)

    def exact(self, tile: ExactTile) -> tuple[Frame, bool]:
        """A predictive tile: pixels that did not come, or had no data, are not valid; whether its greatest error still holds,
        which it does not where counts had to be made DN. Raises DecodeError.
        """
        lone, valid = tile.front.lone, tile.front.valid & tile.known.all(axis=0)
        counts = tile.counts if tile.front.max_error == 0 else lone.radiometry.off_nodata(tile.counts)
        if self.tiles:
            return Frame(counts, lone.names, valid=valid, radiometry=lone.radiometry), True
        frame, pad = _completed(lone, counts, valid), ((0, 0), *_beyond(lone))
        data, there = np.pad(frame.data, pad), np.pad(valid, pad[1:])
        return Frame(data, BANDS, valid=there), lone.radiometry == PLAIN


TWELVE = Layout()


Kind = tuple[tuple[str, ...], Radiometry]
_LATENTS: Kind = BANDS, PLAIN


def kinds_of(store: GroundStore, decoder: EdgeSegmentDecoder, held: Sequence[TileFrame]) -> list[tuple[TileFrame, ...]]:
    """The tile-frames of a place, apart where a sensor's bands or type changed from one date to the next: those that are one series
    together, in the order of their first dates. All dates that may have latents are one; a date that cannot be read joins the first.
    """
    found: dict[Kind, list[TileFrame]] = {}
    unread = list[TileFrame]()
    for _, some in groupby(sorted(held, key=lambda f: f.key.time), key=lambda f: f.key.time):
        date = list(some)
        kind = _kind(store, decoder, date)
        (unread if kind is None else found.setdefault(kind, [])).extend(date)
    series = list(found.values()) or [[]]
    series[0] += unread
    return [tuple(sorted(tiles, key=lambda f: (f.key.time, f.key.tile))) for tiles in series]


def _kind(store: GroundStore, decoder: EdgeSegmentDecoder, date: Sequence[TileFrame]) -> Kind | None:
    """Bands and type of the frame of a date, one word for all where latents may be; None where nothing of it can be read."""
    if any(is_learned(f.q) for f in date):
        return _LATENTS
    lone = next((lone for f in date if (lone := _lone(store, decoder, f.key)) is not None), None)
    if lone is None:
        return None
    return _LATENTS if _as_latents(lone) else (lone.names, lone.radiometry)


def layout_of(store: GroundStore, decoder: EdgeSegmentDecoder, held: Sequence[TileFrame]) -> Layout:
    """The layout of tile-frames that are one series (`kinds_of`). Tiles that cannot be read change nothing for the others."""
    if any(is_learned(f.q) for f in held) or _latents_may_come(store, decoder, held):
        return TWELVE
    tiles = {f.key: lone for f in held if (lone := _lone(store, decoder, f.key)) is not None}
    kinds = {(lone.names, lone.radiometry) for lone in tiles.values()}
    return Layout(*kinds.pop(), tiles) if len(kinds) == 1 else TWELVE


def _latents_may_come(store: GroundStore, decoder: EdgeSegmentDecoder, held: Sequence[TileFrame]) -> bool:
    """Beside these tiles without the network. The first that can be read tells: the others say the same."""
    if any(f.q == PREDICTIVE for f in held):
        return False
    first = next((lone for f in held if (lone := _lone(store, decoder, f.key)) is not None), None)
    return first is None or _as_latents(first)


def _as_latents(lone: LoneTile) -> bool:
    """Whether the learned codec may take what this tile says it is."""
    return lone.radiometry == PLAIN and tries_learned("auto", lone.names)


def _lone(store: GroundStore, decoder: EdgeSegmentDecoder, key: TileKey) -> LoneTile | None:
    held = store.latent(key)
    for segment in segments_of(store, held) if held is not None else ():
        try:
            return decoder.lone(segment.prefix)
        except DecodeError:
            continue
    return None


def segments_of(store: GroundStore, held: ContextLatent) -> Iterator[HeldSegment]:
    """The segments of a tile-frame that brought what is held of it."""
    digest = held_digest(held.key, held.q, held.layers, held.latent)
    return (segment for segment in store.of(held.key) if segment.digest == digest)


def _completed(lone: LoneTile, counts: NDArray[np.uint16], valid: NDArray[np.bool_]) -> Frame:
    """The twelve bands as DN of some; those given keep their counts where these are DN. Raises DecodeError."""
    frame = Frame(counts, lone.names, valid=valid, radiometry=lone.radiometry)
    try:
        full = complete_bands(frame.without_offset())
    except (BandError, FrameError) as error:
        raise DecodeError(str(error)) from error
    for i, name in enumerate(lone.names):
        if lone.radiometry == PLAIN and name in BANDS:
            full.data[BANDS.index(name)] = counts[i]
    return full


def _beyond(lone: LoneTile) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns to whole blocks."""
    return (0, -lone.height % STRIDE), (0, -lone.width % STRIDE)


__all__ = ["TWELVE", "Layout", "kinds_of", "layout_of", "segments_of"]
