"""A `.swp` stream back to frames: exact latents, then synthesis; whatever is missing is named.

Nothing but the stream and the shipped model is needed. A stream that was cut or damaged gives every tile and
layer that arrived whole; tiles without any layer come out as nodata.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.base_layer import TRANSFORM, is_learned
from swathpack.edge.codec.digest import array_digest, bytes_digest, context_digest
from swathpack.edge.codec.latents import LAYERS, Latent
from swathpack.edge.codec.layers import EmbeddedDecoder, known_context, tile_decoder
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import TileWindow, tile_windows
from swathpack.edge.codec.plain import PlainError, decode_plain
from swathpack.edge.codec.prediction import CodingContext, CodingError, TileDecoder
from swathpack.edge.frame import Frame
from swathpack.edge.radiometry import MAX_COUNT
from swathpack.edge.stream import Header, Segment, Stream, StreamError, read_stream
from swathpack.edge.stream.segment import SYNC, unpack_front
from swathpack.tools import errors
from swathpack.tools.errors import UserError


@dataclass
class TileReport:
    """What became of one tile of one frame. `latent_digest`: of the decoded latent, the same on every
    machine.
    """

    tile: int
    layers: int = 0
    q: int = -1
    contexts: list[int] = field(default_factory=list)
    latent_digest: str = ""
    problem: str = ""


@dataclass
class FrameReport:
    """Per frame: its tiles, and what is missing in words."""

    frame: int
    time: Any
    tiles: list[TileReport]
    problem: str = ""

    @property
    def missing(self) -> list[str]:
        own = [f"frame {self.frame}: {self.problem}"] if self.problem else []
        return own + [f"frame {self.frame}, tile {t.tile}: {t.problem}" for t in self.tiles if t.problem]


@dataclass
class Decoded:
    """Frames as they were given (bands, grid, offset), the stream's metadata bytes, and the report."""

    frames: list[Frame]
    header: Header
    stream: Stream
    reports: list[FrameReport]

    @property
    def problems(self) -> list[str]:
        """Everything that is not as it should be, in words; empty for a whole stream."""
        found = [f"byte {p.offset}: {p.message}" for p in self.stream.problems]
        return found + [line for report in self.reports for line in report.missing]


@dataclass(frozen=True, eq=False)
class _Held:
    latent: Latent
    quality: int
    layers: int


_DecodedTile = tuple[TileReport, "NDArray[np.uint16] | None", "NDArray[np.bool_] | bool"]

_Area = tuple[slice, slice]

_DOUBT = "its record may be among what was damaged: nodata and time are uncertain"


def doubtful_frames(stream: Stream, data: bytes) -> set[int]:
    """Frames without a frame record that may have had one: something unreadable lies where it would stand.

    A frame record stands before its frame's segments; most frames have none.
    """
    sound = [(s.offset, s.frame) for s in stream.segments] + [(r.offset, r.index) for r in stream.frames]
    found: set[int] = set()
    for problem in stream.problems:
        if problem.kind not in ("damaged", "hostile") or _is_segment(data, problem.offset, stream.header):
            continue
        before = max((s for s in sound if s[0] < problem.offset), default=(0, -1))[1]
        behind = min((s for s in sound if s[0] > problem.offset), default=(0, stream.header.frames - 1))[1]
        found.update(range(before + 1, behind + 1))
    return found - {r.index for r in stream.frames}


def _is_segment(data: bytes, at: int, header: Header) -> bool:
    try:
        unpack_front(data, at, header.binding)
    except (StreamError, IndexError):
        return False
    return data[at] == SYNC


class StreamDecoder:
    """Decodes frames in order, keeping the latents that later frames were coded against."""

    def __init__(self, model: EdgeModel, data: bytes, coder: str | None = None) -> None:
        try:
            self.stream = read_stream(data)
        except StreamError as error:
            raise errors.StreamError(str(error)) from error
        header = self.stream.header
        if header.model_digest != model.digest or header.tables_digest != model.tables_digest:
            raise errors.StreamError(
                f"the stream was made with model {header.model_digest.hex()} (tables "
                f"{header.tables_digest.hex()}); "
                f"this is model {model.digest.hex()} (tables {model.tables_digest.hex()})"
            )
        self.model, self.header, self.coder = model, header, coder
        self.windows = list(tile_windows(header.height, header.width, header.tile_size))
        self.by_tile: dict[tuple[int, int], list[Segment]] = {}
        for s in self.stream.segments:
            self.by_tile.setdefault((s.frame, s.tile), []).append(s)
        self.held: dict[tuple[int, int], _Held] = {}
        self.masks = {r.index: r for r in self.stream.frames}
        self.doubtful = doubtful_frames(self.stream, data)

    def frames(self, layers: int = LAYERS, tick: Callable[[], None] = lambda: None) -> Decoded:
        """All frames, synthesised from at most `layers` layers."""
        out, reports = [], []
        for index in range(self.header.frames):
            frame, report = self.frame(index, layers)
            out.append(frame)
            reports.append(report)
            tick()
        return Decoded(out, self.header, self.stream, reports)

    def frame(
        self, index: int, layers: int = LAYERS, rows: slice | None = None, columns: slice | None = None
    ) -> tuple[Frame, FrameReport]:
        """Frame `index`, or what lies in these rows and columns of it (start and stop); call in rising order of the index."""
        empty = self.empty(index)
        rows, columns = rows or slice(0, empty.height), columns or slice(0, empty.width)
        valid, tiles = empty.valid[rows, columns].copy(), []
        data = np.zeros((len(empty.bands), *valid.shape), np.uint16)
        for window in self.windows:
            inner, outer = _overlap(window, rows, columns)
            if inner is None:
                continue
            report, counts, known = self.tile(index, window, layers, empty)
            tiles.append(report)
            valid[outer] &= known if isinstance(known, bool) else known[inner]
            if counts is not None:
                data[(slice(None), *outer)] = counts[(slice(None), *inner)]
        holes = empty.holes[:, rows, columns] if empty.holes.size else empty.holes
        held = np.broadcast_to(valid, data.shape)
        data[~(held & ~holes if holes.size else held)] = 0
        report = FrameReport(index, self.stream.time(index), tiles, _DOUBT if index in self.doubtful else "")
        return replace(empty, data=data, valid=valid, holes=holes), report

    def empty(self, index: int) -> Frame:
        """The frame without its pixels: bands, time, what is valid, offset and radiometry."""
        header, record = self.header, self.masks.get(index)
        h, w = header.height, header.width
        holes = self._holes(index)
        return Frame(
            np.zeros((len(header.bands), h, w), np.uint16),
            header.bands,
            self.stream.time(index),  # type: ignore[arg-type]
            self._valid(index),
            header.level,
            header.boa_offset != (record is not None and record.other_offset),
            header.grid or (1,) * len(header.bands),
            header.radiometry,
            holes if holes is not None else np.zeros((0, 0, 0), np.bool_),
        )

    def _holes(self, index: int) -> NDArray[np.bool_] | None:
        header, record = self.header, self.masks.get(index)
        try:
            return record.band_holes(len(header.bands), header.height, header.width) if record else None
        except StreamError as error:
            raise UserError(f"frame {index}: {error}") from error

    def _valid(self, index: int) -> NDArray[np.bool_]:
        h, w = self.header.height, self.header.width
        record = self.masks.get(index)
        try:
            return record.valid(h, w) if record else np.ones((h, w), np.bool_)
        except StreamError as error:
            raise UserError(f"frame {index}: {error}") from error

    def tile(self, index: int, window: TileWindow, layers: int, empty: Frame) -> _DecodedTile:
        """The report, the counts (C, h, w) of the stream's bands, None if nothing came, and which pixels of them are known."""
        mask = window.of(empty.valid)
        if not mask.any():
            return TileReport(window.index), None, False
        first = self._first(index, window)
        if first is not None and not is_learned(first.quality_byte):
            return self._plain_tile(index, window, layers, empty)
        report, decoder = self.latent(index, window)
        if decoder is None:
            return report, None, False
        pixels = self.model.synthesise(decoder.reconstruction(layers))[:, : window.height, : window.width]
        return report, empty.counts_of(pixels[[BANDS.index(b) for b in empty.bands]]), True

    def _first(self, index: int, window: TileWindow) -> Segment | None:
        segments = self.by_tile.get((index, window.index), [])
        return min(segments, key=lambda s: s.layer_start) if segments else None

    def _plain_tile(self, index: int, window: TileWindow, layers: int, empty: Frame) -> _DecodedTile:
        """A tile without the network: its segments' payloads are pieces of one."""
        segments = sorted(self.by_tile[index, window.index], key=lambda s: s.layer_start)
        report, payload, stop = TileReport(window.index, q=segments[0].quality_byte), b"", 0
        for segment in segments:
            if segment.layer_start != stop or segment.quality_byte != report.q or segment.damaged:
                report.problem = f"layers from {stop} on are missing"
                break
            payload, stop = payload + segment.payload, segment.layer_stop
            if segment.truncated:
                report.problem = f"cut: {len(segment.payload)} of {segment.payload_bytes} payload bytes, unchecked"
                break
        shape = (len(empty.bands), window.height, window.width)
        try:
            found = decode_plain(report.q, payload, shape, window.of(empty.valid), empty.bands, layers)
        except PlainError as error:
            report.problem = str(error)
            return report, None, False
        report.layers, report.latent_digest = found.layers, bytes_digest(payload, 8).hex()
        if not found.known.any():
            report.problem = report.problem or "cut before its first layer"
            return report, None, False
        low, high = empty.radiometry.limits if report.q == TRANSFORM else (0, MAX_COUNT)
        return report, np.clip(np.rint(found.counts), low, high).astype(np.uint16), found.known.all(axis=0)

    def latent(self, index: int, window: TileWindow) -> tuple[TileReport, TileDecoder | EmbeddedDecoder | None]:
        """The latent of one tile without its image, None if there is none; call in rising order of frames."""
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
        first = segments[0]
        if (first.grid_h, first.grid_w) != window.size:
            report.problem = f"expected a latent of {window.size}, found {(first.grid_h, first.grid_w)}"
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
        self.held[first.frame, window.index] = _Held(decoder.latent, first.quality_byte, decoder.layers)
        return decoder

    def _take(self, segment: Segment, decoder: TileDecoder | EmbeddedDecoder) -> str:
        """Decode the layers of a segment; returns what is wrong with it. Where no CRC vouches for it, only those layers
        stay that its checks confirm.
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
            return (
                f"cut: {decoder.layers} of {segment.layer_stop} layers" if decoder.layers < segment.layer_stop else ""
            )
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
            if context_digest(known.latent, known.layers) != ref.digest:
                report.problem = f"its context, frame {ref.frame}, has another digest here"
                return None
            contexts.append(known)
        return contexts


def _overlap(window: TileWindow, rows: slice, columns: slice) -> tuple[_Area | None, _Area]:
    """The part of a tile that lies in an area, in pixels of the tile (None: no part) and of the area."""
    top, left = max(window.top, rows.start), max(window.left, columns.start)
    bottom = min(window.top + window.height, rows.stop)
    right = min(window.left + window.width, columns.stop)

    def area(y: int, x: int) -> _Area:
        return slice(top - y, bottom - y), slice(left - x, right - x)

    inner = area(window.top, window.left) if top < bottom and left < right else None
    return inner, area(rows.start, columns.start)
