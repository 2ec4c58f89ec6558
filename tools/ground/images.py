"""Images from the ground's store: every tile-frame it holds, synthesised and put together by place and time.

A place may hold one tile that lies far off, by a mistake or by somebody's doing: a frame then takes only what its tiles
take (`swathpack.tools.files.frame_store`), and one that would be too large to write is refused by the tile's name, the
others written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.squares import smoothed, synthesised
from swathpack.edge.bands import BANDS, BandError, complete_bands
from swathpack.edge.codec.latents import STRIDE
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.codec.protocol import ContextLatent, TileKey
from swathpack.edge.frame import MAX_SIDE, Frame, FrameError
from swathpack.edge.packets.report import held_digest
from swathpack.edge.stages.intake import TILE_BITS
from swathpack.edge.stream.quality import is_learned, step_of
from swathpack.tools.errors import UserError
from swathpack.tools.files.decoder import MAX_PIXELS
from swathpack.tools.files.frame_store import FrameStore
from swathpack.tools.files.outputs import Output
from swathpack.tools.files.rasters import Series, write_series
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.decoder import DecodeError
from swathpack.tools.ground.store import GroundStore, TileFrame

TILE = 256
MAX_DN = 65535


def split_tile(tile: int) -> tuple[int, int, int]:
    """(place, row, column) of a tile id."""
    column = tile & ((1 << TILE_BITS) - 1)
    row = tile >> TILE_BITS & ((1 << TILE_BITS) - 1)
    return tile >> 2 * TILE_BITS, row, column


def spoken_time(time: int) -> str:
    """ISO 8601 of seconds since 1970, or the number itself where there is no such date."""
    try:
        return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(time)


@dataclass(frozen=True)
class Place:
    """The tile-frames of one place that have a latent, by time."""

    number: int
    held: tuple[TileFrame, ...]

    @property
    def times(self) -> list[int]:
        """Seconds since 1970, rising."""
        return sorted({f.key.time for f in self.held})

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of pixels that its tiles span."""
        windows = [window_of(f) for f in self.held]
        return max(w.top + w.height for w in windows), max(w.left + w.width for w in windows)

    @property
    def pixels(self) -> int:
        """Of all its frames."""
        height, width = self.size
        return len(self.times) * height * width

    @property
    def farthest(self) -> TileFrame:
        """The tile that makes the frame as large as it is."""
        return max(self.held, key=lambda f: max(split_tile(f.key.tile)[1:]))


def window_of(held: TileFrame) -> TileWindow:
    """Where a tile-frame lies in its place's frames."""
    _, row, column = split_tile(held.key.tile)
    return TileWindow(0, row * TILE, column * TILE, held.size[0] * STRIDE, held.size[1] * STRIDE)


def places(store: GroundStore) -> Iterator[Place]:
    """Every place of which a latent is held."""
    held = (f for f in store.contents() if f.layers > 0)
    for number, some in groupby(held, key=lambda f: split_tile(f.key.tile)[0]):
        yield Place(number, tuple(sorted(some, key=lambda f: (f.key.time, f.key.tile))))


def place_frames(store: GroundStore, model: EdgeModel, place: Place, scratch: Path) -> FrameStore:
    """Frames (12 bands, whole blocks of 16 pixels) of a place, by time; what did not come is nodata.

    Layers that a latent lacks are filled with what the model expects. The ground knows a tile's latent, not the frame's
    size: the last rows and columns may be mirror images of the border. scratch: folder for frames that are large.
    """
    frames = FrameStore(*place.size, scratch)
    for time, some in groupby(place.held, key=lambda f: f.key.time):
        empty, nothing = np.zeros((len(BANDS), 1, 1), np.uint16), np.zeros((1, 1), np.bool_)
        outline = Frame(empty, BANDS, time=spoken_time(time), valid=nothing)
        frames.begin(outline)
        for held in some:
            pixels = tile_image(store, model, held.key)
            if pixels is None:
                continue
            data = np.clip(np.rint(pixels), 1, MAX_DN).astype(np.uint16)
            frames.put(window_of(held), Frame(data, BANDS, valid=np.ones(data.shape[1:], np.bool_)))
    return frames


def tile_image(store: GroundStore, model: EdgeModel, key: TileKey) -> NDArray[np.float32] | None:
    """The pixels (12, 16h, 16w) DN of a tile-frame, from the segment that brought what is held of it; None if that is gone."""
    held = store.latent(key)
    assert held is not None
    decoder = EdgeSegmentDecoder(model)
    digest = held_digest(key, held.q, held.layers, held.latent)
    for segment in store.of(key):
        if segment.digest != digest:
            continue
        try:
            head = decoder.head(segment.prefix)
            contexts = store.contexts(key, head.context_digests) if head is not None else None
            if contexts is not None and not is_learned(held.q):
                return _transform_tile(decoder, segment.prefix, held.latent.shape, contexts)
            if contexts is not None:
                return synthesised(model, decoder.reconstruction(segment.prefix, contexts))
        except DecodeError:
            continue  # of another model; the latent is as good
    if not is_learned(held.q):
        return None
    q = step_of(held.q)
    return smoothed(model.synthesise(held.latent.astype(np.float32), q), q)


def _transform_tile(
    decoder: EdgeSegmentDecoder, prefix: bytes, shape: tuple[int, ...], contexts: Sequence[ContextLatent]
) -> NDArray[np.float32]:
    """The same of a transform-coded tile; bands that it lacks are filled by regression, rows and columns repeated."""
    lone, found = decoder.image(prefix, contexts)
    counts = np.clip(np.rint(found.counts), 1, MAX_DN).astype(np.uint16)
    try:
        full = complete_bands(Frame(counts, lone.names)).data.astype(np.float32)
    except (BandError, FrameError) as error:
        raise DecodeError(str(error)) from error
    beyond = (shape[1] * STRIDE - lone.height, shape[2] * STRIDE - lone.width)
    return np.pad(full, ((0, 0), (0, beyond[0]), (0, beyond[1])), mode="edge")


def write_images(
    store: GroundStore,
    model: EdgeModel,
    folder: Path,
    max_pixels: int = MAX_PIXELS,
    told: Callable[[str], None] = lambda line: None,
) -> tuple[list[Path], list[str]]:
    """One `place-ID.npz` for every place; returns them, and a line for each place that is too large to be written."""
    folder.mkdir(parents=True, exist_ok=True)
    written, refused = [], []
    for place in list(places(store)):
        target = folder / f"place-{place.number}.npz"
        problem = _too_large(place, max_pixels)
        if problem:
            refused.append(problem)
            continue
        try:
            with Output(target, force=True) as part:
                frames = place_frames(store, model, place, part.parent)
                write_series(Series(frames), part)
                frames.close()
        except UserError as error:
            refused.append(f"place {place.number}: {error}")
            continue
        written.append(target)
        told(f"images: {target}")
    return written, refused


def _too_large(place: Place, limit: int) -> str:
    """Why a place is not written; nothing where it is."""
    height, width = place.size
    if place.pixels > limit:
        bound = f"{place.pixels:,} pixels; the limit is {limit:,} (--max-pixels)"
    elif max(height, width) > MAX_SIDE:
        bound = f"frames have at most {MAX_SIDE} a side"
    else:
        return ""
    _, row, column = split_tile(place.farthest.key.tile)
    return (
        f"place {place.number} spans {height} x {width} pixels on {len(place.times)} dates, {bound}; its farthest tile is "
        f"{place.number}/{row}/{column} of {spoken_time(place.farthest.key.time)} (--list shows all, --drop takes one out)"
    )


__all__ = ["Place", "place_frames", "places", "split_tile", "spoken_time", "write_images"]
