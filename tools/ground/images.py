"""Images from the ground's store: every tile-frame it holds, synthesised and put together by place and time.

A place may hold one tile that lies far off, by a mistake or by somebody's doing: a frame then takes only what its tiles
take (`swathpack.tools.files.frame_store`), and one that would be too large to write is refused by the tile's name, the
others written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.filters import filtered
from swathpack.codec.restored import Restorer
from swathpack.codec.seams import steps_of_latent
from swathpack.codec.squares import smoothed, synthesised
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.latents import STRIDE
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.codec.protocol import ContextLatent, TileKey
from swathpack.edge.frame import MAX_SIDE, Frame
from swathpack.edge.stream.quality import PREDICTIVE, is_learned, step_of
from swathpack.tools.errors import UserError
from swathpack.tools.files import synthesis
from swathpack.tools.files.decode_report import TileReport
from swathpack.tools.files.frame_store import FrameStore
from swathpack.tools.files.limits import MAX_PIXELS
from swathpack.tools.files.outputs import Output
from swathpack.tools.files.rasters import Series, write_series
from swathpack.tools.files.seams import Grid
from swathpack.tools.files.tile_parts import DecodedTile
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.decoder import DecodeError
from swathpack.tools.ground.guarantees import Kept, date_lines, guarantee_fields
from swathpack.tools.ground.layout import TWELVE, Layout, kinds_of, layout_of, segments_of
from swathpack.tools.ground.names import split_tile, spoken_time
from swathpack.tools.ground.pitch import Pitches, pitches
from swathpack.tools.ground.store import GroundStore, TileFrame

_SEGMENT_GONE = "its segment is not here"
_CONTEXT_GONE = "what it was coded against is not here"


@dataclass(frozen=True)
class Place:
    """The tile-frames of one place that have a latent, by time. pitches: how far apart their tiles lie."""

    number: int
    held: tuple[TileFrame, ...]
    pitches: Pitches

    @property
    def times(self) -> list[int]:
        """Seconds since 1970, rising."""
        return sorted({f.key.time for f in self.held})

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of pixels that its tiles span."""
        windows = [self.window(f) for f in self.held]
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

    def side(self, time: int) -> int:
        """Pixels a side of its tiles at a time."""
        return self.pitches.sides[self.number, time]

    def window(self, held: TileFrame) -> TileWindow:
        """Where a tile-frame lies in the place's frames."""
        _, row, column = split_tile(held.key.tile)
        side = self.pitches.of(held)
        return TileWindow(0, row * side, column * side, held.size[0] * STRIDE, held.size[1] * STRIDE)


def places(store: GroundStore, tile: int | None = None) -> Iterator[Place]:
    """Every place of which a latent is held. tile: the mission's coding.tile in pixels; None for what the tiles tell."""
    found = pitches((f for f in store.contents() if f.layers > 0), tile)
    held = (f for f in store.contents() if f.layers > 0)
    for number, some in groupby(held, key=lambda f: split_tile(f.key.tile)[0]):
        yield Place(number, tuple(sorted(some, key=lambda f: (f.key.time, f.key.tile))), found)


def place_frames(
    store: GroundStore,
    model: EdgeModel,
    place: Place,
    scratch: Path,
    kept: Callable[[Kept], None] = lambda _: None,
    restorer: Restorer | None = None,
) -> FrameStore:
    """Frames of a place that are one series, by time; what did not come is nodata. Where the tiles say what they are, and no latents
    may come beside them, they have the sensor's own bands, counts and size (`swathpack.tools.ground.layout`).

    Elsewhere they have twelve bands of DN and whole blocks of 16 pixels: layers that a latent lacks are filled with what the
    model expects, and the last rows and columns may be mirror images of the border, for the ground knows a latent and not
    the frame's size. kept: told of every tile, and why of one that cannot be drawn. scratch: folder for frames that are large.
    restorer: see `swathpack.tools.files.synthesis`.
    """
    layout = layout_of(store, EdgeSegmentDecoder(model), place.held)
    windows = {f.key: layout.window(f.key, place.window(f)) for f in place.held}
    known = [
        w for key, w in windows.items() if not layout.tiles or key in layout.tiles
    ]  # pixels of the others are not known
    size = max(w.top + w.height for w in known), max(w.left + w.width for w in known)
    frames, across = FrameStore(*size, scratch), 1 + max(split_tile(f.key.tile)[2] for f in place.held)
    for time, some in groupby(place.held, key=lambda f: f.key.time):
        empty, nothing = np.zeros((len(layout.bands), 1, 1), np.uint16), np.zeros((1, 1), np.bool_)
        frames.begin(Frame(empty, layout.bands, spoken_time(time), nothing, radiometry=layout.radiometry))

        def tiles(some: Iterable[TileFrame] = some) -> Iterator[tuple[TileWindow, DecodedTile]]:
            for held in sorted(some, key=lambda f: split_tile(f.key.tile)):
                try:
                    found = tile_frame(store, model, held.key, layout)
                except DecodeError as error:
                    kept(Kept(held.key, 0, problem=str(error)))
                    continue
                kept(found.kept)
                _, row, column = split_tile(held.key.tile)
                window = replace(windows[held.key], index=row * across + column)
                yield window, DecodedTile(found.report, found.frame.data, found.frame.valid, found.steps)

        for window, tile in synthesis.drawn(tiles(), Grid(across, layout.bands, layout.radiometry), restorer):
            assert tile.counts is not None
            frames.put(window, Frame(tile.counts, layout.bands, valid=tile.known, radiometry=layout.radiometry))
    return frames


@dataclass(frozen=True, eq=False)
class TileImage:
    """A tile as it goes into its frame, and what holds for it. steps: see `swathpack.codec.seams`, none where counts are exact
    or within an error. q: its quality byte.
    """

    frame: Frame
    kept: Kept
    steps: tuple[int, ...] = ()
    q: int = PREDICTIVE

    @property
    def report(self) -> TileReport:
        """As files have it."""
        return TileReport(0, self.kept.layers, self.q)


def tile_frame(store: GroundStore, model: EdgeModel, key: TileKey, layout: Layout) -> TileImage:
    """A tile-frame in a layout, from the segment that brought what is held of it. Raises DecodeError with what is in the way: the
    segment or what it was coded against is gone, or this version does not read it.
    """
    held = _latent(store, key)
    if held.q == PREDICTIVE:
        return _exact_tile(store, model, held, layout)
    pixels, steps = _drawn(store, model, held, layout)
    data = layout.radiometry.nearest(pixels)
    frame = Frame(data, layout.bands, valid=np.ones(data.shape[1:], np.bool_), radiometry=layout.radiometry)
    return TileImage(frame, Kept(key, held.layers), steps, held.q)


def _latent(store: GroundStore, key: TileKey) -> ContextLatent:
    held = store.latent(key)
    if held is None:
        raise DecodeError(_SEGMENT_GONE)
    return held


def _exact_tile(store: GroundStore, model: EdgeModel, held: ContextLatent, layout: Layout) -> TileImage:
    decoder, problem = EdgeSegmentDecoder(model), _SEGMENT_GONE
    for segment in segments_of(store, held):
        try:
            tile = decoder.exact(segment.prefix)
            if tile is not None:
                frame, promised = layout.exact(tile)
                error = tile.front.max_error if promised else None
                return TileImage(frame, Kept(held.key, tile.layers, error))
        except DecodeError as error:
            problem = str(error)
    raise DecodeError(problem)


def tile_image(
    store: GroundStore, model: EdgeModel, key: TileKey, layout: Layout = TWELVE
) -> NDArray[np.float32] | None:
    """The pixels of a tile-frame in a layout, (12, 16h, 16w) DN by default, from the segment that brought what is held of it;
    None if they cannot be drawn.
    """
    try:
        held = _latent(store, key)
        if held.q == PREDICTIVE:
            return _exact_tile(store, model, held, layout).frame.data.astype(np.float32)
        return _drawn(store, model, held, layout)[0]
    except DecodeError:
        return None


def _drawn(
    store: GroundStore, model: EdgeModel, held: ContextLatent, layout: Layout
) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """The pixels of a tile-frame that is not exact, and how finely it was coded. Raises DecodeError."""
    decoder, steps = EdgeSegmentDecoder(model), steps_of_latent(step_of(held.q), len(BANDS))
    problem = _SEGMENT_GONE
    for segment in segments_of(store, held):
        try:
            head = decoder.head(segment.prefix)
            contexts = store.contexts(held.key, head.context_digests) if head is not None else None
            if contexts is None:
                problem = _CONTEXT_GONE
            elif not is_learned(held.q):
                lone, plain = decoder.image(segment.prefix, contexts)
                drawn = replace(plain, counts=filtered(plain.counts, np.ones(lone.shape[1:], np.bool_), plain.steps))
                return layout.drawn(lone, drawn), layout.steps(lone, drawn)
            else:
                return synthesised(model, decoder.reconstruction(segment.prefix, contexts)), steps
        except DecodeError as error:
            problem = str(error)  # of another model, if it is a latent; that is as good
    if not is_learned(held.q):
        raise DecodeError(problem)
    q = step_of(held.q)
    return smoothed(model.synthesise(held.latent.astype(np.float32), q), q), steps


def write_images(
    store: GroundStore,
    model: EdgeModel,
    folder: Path,
    max_pixels: int = MAX_PIXELS,
    told: Callable[[str], None] = lambda line: None,
    tile: int | None = None,
    restorer: Restorer | None = None,
) -> tuple[list[Path], list[str], int]:
    """One `place-ID.npz` for every place, `place-ID-2.npz` and so on where some of its dates have other bands or another type;
    returns them, a line for each place that is too large to be written, and of how many dates pixels lack, which `told` hears.
    tile: see `places`; restorer: see `place_frames`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written, refused, partial = list[Path](), list[str](), 0
    for place in list(places(store, tile)):
        problem = _too_large(place, max_pixels)
        if problem:
            refused.append(problem)
            continue
        for number, part in enumerate(_series(store, model, place), 1):
            target = folder / f"place-{place.number}{f'-{number}' if number > 1 else ''}.npz"
            try:
                partial += _write(store, model, part, target, told, restorer)
            except UserError as error:
                refused.append(f"place {place.number}: {error}")
                continue
            written.append(target)
            if number > 1:
                told(f"  its dates have other bands than those of place-{place.number}.npz, or another type")
    return written, refused, partial


def _series(store: GroundStore, model: EdgeModel, place: Place) -> Iterator[Place]:
    """The place, or parts of it where its dates have different bands or types."""
    for held in kinds_of(store, EdgeSegmentDecoder(model), place.held):
        yield replace(place, held=held)


def _write(
    store: GroundStore,
    model: EdgeModel,
    place: Place,
    target: Path,
    told: Callable[[str], None],
    restorer: Restorer | None,
) -> int:
    """One series into one file; of how many dates pixels lack. Raises UserError."""
    kept, partial = list[Kept](), 0
    with Output(target, force=True) as part:
        frames = place_frames(store, model, place, part.parent, kept.append, restorer)
        write_series(Series(frames, synthesis.told(guarantee_fields(kept, place.times), restorer)), part)
        frames.close()
    told(f"images: {target}")
    if place.number in place.pitches.guessed:
        sides = " and ".join(map(str, sorted({place.pitches.of(held) for held in place.held})))
        told(f"  where its tiles lie is not known from what came: taken to be {sides} pixels apart (--tile)")
    for line in date_lines(kept, place.side):
        told(f"  {line.text}")
        partial += not line.whole
    return partial


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


__all__ = ["Place", "place_frames", "places", "write_images"]
