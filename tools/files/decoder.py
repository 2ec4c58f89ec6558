"""A `.swp` stream back to frames: exact latents, then synthesis; whatever is missing is named.

Nothing but the stream and the shipped model is needed. A stream that was cut or damaged gives every tile and
layer that arrived whole; tiles without any layer come out as nodata.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.filters import filtered
from swathpack.codec.restored import Restorer
from swathpack.codec.seams import steps_of_latent
from swathpack.codec.squares import synthesised
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.digest import array_digest, context_digest
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.layers import EmbeddedDecoder, known_context, tile_decoder
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import TileWindow, tile_windows
from swathpack.edge.codec.plain import PlainError, decode_plain
from swathpack.edge.codec.prediction import CodingContext, CodingError, TileDecoder
from swathpack.edge.codec.transform_coder import counts_of
from swathpack.edge.digests import bytes_digest
from swathpack.edge.frame import Frame
from swathpack.edge.radiometry import MAX_COUNT
from swathpack.edge.stream import Segment, Stream, StreamError, read_stream
from swathpack.edge.stream.quality import PREDICTIVE, TRANSFORM, is_learned
from swathpack.tools import errors
from swathpack.tools.files.decode_report import Decoded, FrameReport, Report, TileReport, ranges_of, tell_strips
from swathpack.tools.files.doubt import doubtful_frames
from swathpack.tools.files.frame_rows import HoleRows, ValidRows
from swathpack.tools.files.held_dates import DateMissing, HeldDates, joined
from swathpack.tools.files.held_latents import HeldLatents, Place, misfit
from swathpack.tools.files.limits import MAX_PIXELS, check_pixels
from swathpack.tools.files.pool import Job, Pool
from swathpack.tools.files.seams import Grid
from swathpack.tools.files.synthesis import drawn
from swathpack.tools.files.tile_parts import DecodedTile, TilePart
from swathpack.tools.files.tile_store import TileStore

_DOUBT = "its record may be among what was damaged: nodata and time are uncertain"


class StreamDecoder:
    """Decodes frames in order, keeping the latents that later frames were coded against.

    Memory follows what the stream holds, not what its header claims; `frame` and `frames`, which return whole arrays,
    refuse more than `max_pixels`. data: the file, or what was read of it. pool: who decodes tiles, this process by
    default. store: a journal of what is decoded. restorer: see `swathpack.tools.files.synthesis`, nobody by default. most: layers
    that tiles are decoded to, but for exact ones, whose layers are strips of rows.
    """

    def __init__(
        self,
        model: EdgeModel,
        data: bytes | Stream,
        coder: str | None = None,
        max_pixels: int = MAX_PIXELS,
        pool: Pool | None = None,
        store: TileStore | None = None,
    ) -> None:
        try:
            self.stream = data if isinstance(data, Stream) else read_stream(data)
        except StreamError as error:
            raise errors.StreamError(str(error)) from error
        header = self.stream.header
        if header.model_digest != model.digest or header.tables_digest != model.tables_digest:
            raise errors.StreamError(
                f"the stream was made with model {header.model_digest.hex()} (tables "
                f"{header.tables_digest.hex()}); "
                f"this is model {model.digest.hex()} (tables {model.tables_digest.hex()}): "
                "give the folder of the one that made it (--model FOLDER, in Python model=)"
            )
        self.model, self.header, self.coder, self.max_pixels, self.most = model, header, coder, max_pixels, LAYERS
        self.pool, self.store = pool, TileStore() if store is None else store
        self.restorer: Restorer | None = None
        self.windows = list(tile_windows(header.height, header.width, header.tile_size))
        self.by_tile: dict[Place, list[Segment]] = {}
        for s in self.stream.segments:
            self.by_tile.setdefault((s.frame, s.tile), []).append(s)
        self.tiles_of: dict[int, list[int]] = {}
        for frame, tile in sorted(self.by_tile):
            self.tiles_of.setdefault(frame, []).append(tile)
        self.held = HeldLatents(self.stream.segments)
        self.dates = HeldDates(self.by_tile, header.bands)
        self.masks = {r.index: r for r in self.stream.frames}
        self._like: Frame | None = None  # the outline made last
        # Of a stream that was read in part nothing is doubtful: it was found whole, or read whole.
        self.doubtful = doubtful_frames(self.stream, b"" if isinstance(data, Stream) else data)

    def frames(self, layers: int = LAYERS, tick: Callable[[], None] = lambda: None) -> Decoded:
        """All frames, synthesised from at most `layers` layers."""
        check_pixels(self.header, self.max_pixels)
        out, reports = [], []
        for index in range(self.header.frames):
            frame, report = self.frame(index, layers)
            out.append(frame)
            reports.append(report)
            tick()
        return Decoded(out, Report(self.stream, reports))

    def frame(self, index: int, layers: int = LAYERS) -> tuple[Frame, FrameReport]:
        """Frame `index` as a whole; call in rising order of the index."""
        check_pixels(replace(self.header, frames=1, times=()), self.max_pixels)
        report, outline = self.report(index), self.outline(index)
        size = (self.header.height, self.header.width)
        data, valid = np.zeros((len(outline.bands), *size), np.uint16), np.zeros(size, np.bool_)
        holes = np.zeros((0, 0, 0), np.bool_)
        for window, tile in self.tiles(report, layers):
            window.of(data)[:] = tile.data
            window.of(valid)[:] = tile.valid
            if tile.holes.size:
                holes = holes if holes.size else np.zeros(data.shape, np.bool_)
                window.of(holes)[:] = tile.holes
        return replace(outline, data=data, valid=valid, holes=holes), report

    def report(self, index: int) -> FrameReport:
        """An empty report of a frame, for `tiles` to fill."""
        return FrameReport(index, self.stream.date(index), problem=_DOUBT if self.doubtful[index] else "")

    def outline(self, index: int) -> Frame:
        """A frame of one pixel without data that has all else of frame `index`."""
        record, like = self.masks.get(index), self._like
        time, offset = self.stream.date(index), self.header.boa_offset != (record is not None and record.other_offset)
        if like is None or (like.time, like.boa_offset) != (time, offset):
            like = self._like = self._outline(time, offset)
        return like

    def _outline(self, time: str | None, offset: bool) -> Frame:
        header = self.header
        return Frame(
            np.zeros((len(header.bands), 1, 1), np.uint16),
            header.bands,
            time,
            np.zeros((1, 1), np.bool_),
            header.level,
            offset,
            header.grid or (1,) * len(header.bands),
            header.radiometry,
        )

    def tiles(
        self,
        report: FrameReport,
        layers: int = LAYERS,
        only: Container[int] | None = None,
        beside: Container[int] = (),
    ) -> Iterator[tuple[TileWindow, Frame]]:
        """The tiles of frame `report.frame` that come out, row by row, or those of them whose numbers are in `only`;
        `report` is filled on the way. beside: tiles that are decoded, where they are there, for what their edges change in
        those. Call in rising order of frames.
        """
        index, outline = report.frame, self.outline(report.frame)
        holes = HoleRows(self.stream.validity(index), self.header)
        found = self.decoded(report, layers, only, beside)
        across = -(-self.header.width // self.header.tile_size)
        for window, tile in drawn(found, Grid(across, outline.bands, outline.radiometry), self.restorer, only):
            if tile.counts is None or not (only is None or window.index in only):
                continue
            lacking = self._lacking(report, holes, window)
            empty = ~tile.known | lacking if lacking.size else np.broadcast_to(~tile.known, tile.counts.shape)
            data = np.where(empty, 0, tile.counts).astype(np.uint16)
            yield window, replace(outline, data=data, valid=tile.known, holes=lacking)
        report.tiles.sort(key=lambda t: t.tile)

    def decoded(
        self,
        report: FrameReport,
        layers: int = LAYERS,
        only: Container[int] | None = None,
        beside: Container[int] = (),
    ) -> Iterator[tuple[TileWindow, DecodedTile]]:
        """The same tile by tile as decoding leaves them, with seams; the pool's workers are a few tiles ahead."""
        valid = ValidRows(self.stream.validity(report.frame), self.header)
        wanted = self._wanted(report, valid, only)

        def windows() -> Iterator[TileWindow]:
            for tile in self.tiles_of.get(report.frame, []):
                if only is None or tile in only or tile in beside:
                    if wanted is None or wanted[tile]:
                        yield self.windows[tile]
                    elif only is None or tile in only:
                        report.tiles.append(TileReport(tile))

        for window, tile in self._in_turn(report.frame, layers, valid, windows()):
            if only is None or window.index in only:
                report.tiles.append(tile.report)
            yield window, tile

    def _in_turn(
        self, index: int, layers: int, valid: ValidRows, windows: Iterator[TileWindow]
    ) -> Iterator[tuple[TileWindow, DecodedTile]]:
        outline = self.outline(index)
        if self.pool is None:
            for w in windows:
                yield w, self._counts(index, w, self._most(index, w, layers), outline, valid.of(w))
            return
        self.held.advance(index)

        def jobs() -> Iterator[Job]:
            for w in windows:
                if f"{index} {w.index} {layers}" in self.store:
                    yield w, "nothing", ()
                else:
                    yield w, "decode", (self._part(index, w), self._most(index, w, layers), outline, valid.of(w))

        for w, found in self.pool.run(jobs()):
            done = self._journalled(f"{index} {w.index} {layers}", found)
            if done.held is not None:
                self.held.put((index, w.index), done.held)
            if done.date is not None:
                self.dates.keep((index, w.index), done.date)
            yield w, done

    def _most(self, index: int, window: TileWindow, layers: int) -> int:
        return layers if self.by_tile[index, window.index][0].quality_byte == PREDICTIVE else min(layers, self.most)

    def _part(self, index: int, window: TileWindow) -> TilePart:
        """All that a tile is decoded from."""
        place = (index, window.index)
        segments = self.by_tile[place]
        places = {(c.frame, window.index) for s in segments for c in s.contexts}
        held = {p: h for p in places if (h := self.held.get(p)) is not None}
        named, dates = self.held.names(place), self.dates.before(place)
        return TilePart(self.header, index, window, segments, held, self.coder, named, *dates)

    def _journalled(self, key: str, found: DecodedTile | None) -> DecodedTile:
        """A result, kept where there is a journal; None: the journal's."""
        if found is None:
            return DecodedTile.from_fields(self.store.get(key))
        if self.store.kept:
            self.store.put(key, **found.fields())
        return found

    def _counts(
        self, index: int, window: TileWindow, layers: int, outline: Frame, valid: NDArray[np.bool_]
    ) -> DecodedTile:
        """A tile; counts of the stream's bands."""
        first = min(self.by_tile[index, window.index], key=lambda s: s.layer_start)
        if not is_learned(first.quality_byte):
            return self._plain(index, window, layers, outline, valid)
        foreign = [b for b in outline.bands if b not in BANDS]
        if foreign:
            problem = f"expected a tile of the learned codec to have its bands, found {' '.join(foreign)}"
            return DecodedTile(TileReport(window.index, problem=problem), None, valid)
        report, decoder = self.latent(index, window)
        if decoder is None:
            return DecodedTile(report, None, valid)
        pixels = synthesised(self.model, decoder.reconstruction(layers))[:, : window.height, : window.width]
        counts = outline.counts_of(pixels[[BANDS.index(b) for b in outline.bands]])
        steps = steps_of_latent(decoder.q, len(outline.bands), outline.radiometry.gain)
        return DecodedTile(report, counts, valid, steps)

    def _plain(
        self, index: int, window: TileWindow, layers: int, outline: Frame, valid: NDArray[np.bool_]
    ) -> DecodedTile:
        """A tile without the network: its segments' payloads are pieces of one."""
        self.held.advance(index)
        segments = sorted(self.by_tile[index, window.index], key=lambda s: s.layer_start)
        report = TileReport(window.index, q=segments[0].quality_byte)
        payload, report.problem = joined(segments)
        report.contexts = [c.frame for c in segments[0].contexts]
        shape = (len(outline.bands), window.height, window.width)
        try:
            date = self.dates.of(segments[0].contexts[0], index, window) if segments[0].contexts else None
            found = decode_plain(report.q, payload, shape, valid, outline.bands, layers, date)
        except (PlainError, DateMissing) as error:
            report.problem = str(error)
            return DecodedTile(report, None, valid)
        whole = not report.problem and segments[-1].layer_stop == layers == LAYERS
        if report.q == TRANSFORM and whole and self.dates.named((index, window.index)):
            self.dates.keep((index, window.index), counts_of(found.counts))
        report.layers, report.latent_digest = found.layers, bytes_digest(payload, 8).hex()
        known = valid & found.known.all(axis=0)
        if report.q == PREDICTIVE:
            tell_strips(report, valid, known)
        if not found.known.any():
            report.problem = report.problem or "cut before its first layer"
            return DecodedTile(report, None, valid)
        if report.q == TRANSFORM:
            counts = outline.radiometry.nearest(filtered(found.counts, valid, found.steps))
            return DecodedTile(report, counts, known, found.steps)
        report.max_error = found.max_error
        counts = np.clip(np.rint(found.counts), 0, MAX_COUNT).astype(np.uint16)
        if found.max_error != 0:
            counts = outline.radiometry.off_nodata(counts)
        return DecodedTile(report, counts, known)

    def _lacking(self, report: FrameReport, holes: HoleRows, window: TileWindow) -> NDArray[np.bool_]:
        """(C, h, w) bool, where single bands lack data, or nothing where none do or it cannot be told."""
        try:
            return holes.of(window)
        except StreamError as error:
            holes.forget()
            report.problem = f"its holes cannot be used: {error}"
            return holes.of(window)

    def _wanted(self, report: FrameReport, valid: ValidRows, only: Container[int] | None) -> NDArray[np.bool_] | None:
        """(n,) bool, tiles in which anything is valid, None for all; tells the report which are not in the stream."""
        absent = np.ones(len(self.windows), np.bool_)
        absent[self.tiles_of.get(report.frame, [])] = False
        if only is not None:
            absent &= [window.index in only for window in self.windows]
        try:
            wanted = valid.tiles()
        except StreamError as error:
            valid.forget()
            wanted, report.problem = None, f"its mask cannot be used: {error}"
        report.absent = ranges_of(absent if wanted is None else absent & wanted)
        return wanted

    def latent(self, index: int, window: TileWindow) -> tuple[TileReport, TileDecoder | EmbeddedDecoder | None]:
        """The latent of one tile without its image, None if there is none; call in rising order of frames."""
        self.held.advance(index)
        report = TileReport(window.index)
        segments = sorted(self.by_tile.get((index, window.index), []), key=lambda s: s.layer_start)
        if not segments or segments[0].layer_start != 0:
            report.problem = "not in the stream"
            return report, None
        decoder = self._decode(segments, window, report)
        if decoder is None or decoder.layers == 0:
            report.problem = report.problem or "cut before its first layer"
            return report, None
        return report, decoder

    def _decode(
        self, segments: list[Segment], window: TileWindow, report: TileReport
    ) -> TileDecoder | EmbeddedDecoder | None:
        first, report.problem = segments[0], misfit(segments[0], window)
        if report.problem:
            return None
        contexts = self._contexts(first, report)
        if contexts is None:
            return None
        decoder = tile_decoder(self.model.engine, self.model.tables, contexts, first.quality_byte, window.size)
        for segment in segments:
            if (
                segment.layer_start != decoder.layers
                or segment.quality_byte != first.quality_byte
                or segment.contexts != first.contexts
            ):
                report.problem = f"layers from {decoder.layers} on are missing"
                break
            report.problem = self._take(segment, decoder)
            if report.problem:
                break
        report.layers, report.q = decoder.layers, decoder.q
        report.contexts = [c.frame for c in first.contexts]
        report.latent_digest = array_digest(decoder.latent, 8).hex()
        self.held.keep((first.frame, window.index), decoder.latent, first.quality_byte, decoder.layers)
        return decoder

    def _take(self, segment: Segment, decoder: TileDecoder | EmbeddedDecoder) -> str:
        """Decode the layers of a segment; returns what is wrong with it. Where no CRC vouches for it, only those layers
        stay that two of its checks confirm.
        """
        checked = self.header.checked
        if segment.damaged and not checked:
            return f"damaged: layers from {decoder.layers} on are missing"
        try:
            decoder.decode(segment.payload, segment.layer_count, self.coder, checked)
        except CodingError as error:
            return f"damaged: {decoder.layers} of {segment.layer_stop} layers are good ({error})"
        how = "damaged" if segment.damaged else "cut"
        if segment.sound:
            short = decoder.layers < segment.layer_stop
            return f"cut: {decoder.layers} of {segment.layer_stop} layers" if short else ""
        if not checked:
            return f"cut: {decoder.layers} of {segment.layer_stop} layers, unchecked (stream version 1)"
        decoder.forget(decoder.confirmed)
        return f"{how}: {decoder.layers} of {segment.layer_stop} layers are good"

    def _contexts(self, segment: Segment, report: TileReport) -> list[CodingContext] | None:
        contexts = []
        for ref in segment.contexts:
            held = self.held.get((ref.frame, segment.tile))
            if held is None or held.layers < ref.layers:
                have = 0 if held is None else held.layers
                report.problem = f"needs {ref.layers} layers of frame {ref.frame} as context, {have} are here"
                return None
            known = known_context(held.latent, held.quality, ref.layers)
            if ref.digest and context_digest(known.latent, known.layers) != ref.digest:
                report.problem = f"its context, frame {ref.frame}, has another digest here"
                return None
            contexts.append(known)
        return contexts
