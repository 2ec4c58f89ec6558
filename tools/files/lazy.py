"""A stream of which any part can be read at any time: nothing is decoded before it is asked for.

Stream(data).read(5, bands=["B04"], window=np.s_[0:100, 300:400])    the tiles there, and of earlier frames what they need
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.codec.plain import mode_name
from swathpack.edge.frame import Frame, FrameError
from swathpack.edge.stream import Segment, read_stream
from swathpack.edge.stream import StreamError as FormatError
from swathpack.edge.stream.quality import is_learned
from swathpack.tools.errors import StreamError, UserError
from swathpack.tools.files.api import record_sizes
from swathpack.tools.files.areas import Window, bounds_of, meet, overlap, tiles_of
from swathpack.tools.files.arrays import names_of
from swathpack.tools.files.carried import metadata_of
from swathpack.tools.files.decode_report import FrameReport, promised_by
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.held_latents import RecentLatents
from swathpack.tools.files.limits import check_window
from swathpack.tools.files.models import checked_threads, open_model, open_restorer
from swathpack.tools.files.rasters import stream_output
from swathpack.tools.files.rasters.records import Georeference
from swathpack.tools.files.rasters.series import array_from_json
from swathpack.tools.files.synthesis import reach
from swathpack.tools.options import whole_number
from swathpack.tools.public_errors import public_errors

Problems = tuple[str, ...]


@dataclass(frozen=True)
class FrameInfo:
    """What a stream holds of one frame, without decoding it.

    nbytes: of its records. layers: fewest and most that a tile has. modes: how its tiles are coded. contexts: earlier frames
    that are needed to decode it, those that these need not counted. max_errors: by tile, row by row, the greatest error of any
    value, of tiles of which one is promised.
    """

    index: int
    time: str | None
    nbytes: int
    tiles: int
    layers: tuple[int, int]
    modes: tuple[str, ...]
    contexts: tuple[int, ...]
    max_errors: Mapping[int, int] = field(default_factory=dict)


class LazyDecoder(StreamDecoder):
    """Decodes tiles in any order: first the frames that a tile was coded against, as far as their latents are not here."""

    def __init__(self, model: EdgeModel, data: bytes, coder: str | None = None) -> None:
        super().__init__(model, data, coder)
        self.held = RecentLatents(self.stream.segments)

    def _counts(self, index: int, window: TileWindow, *rest: Any) -> Any:
        for frame in self._needed(index, window.index):
            self.latent(frame, window)
        return super()._counts(index, window, *rest)

    def _needed(self, index: int, tile: int) -> list[int]:
        """Frames before `index` that its tile depends on, at any remove, in rising order."""
        needed: set[int] = set()
        ahead = [index]
        while ahead:
            frame = ahead.pop()
            named = {c.frame for s in self.by_tile.get((frame, tile), ()) for c in s.contexts if c.frame < frame}
            new = {f for f in named - needed if (f, tile) not in self.held and self._learned(f, tile)}
            needed |= new
            ahead += new
        return sorted(needed)

    def _learned(self, index: int, tile: int) -> bool:
        return all(is_learned(s.quality_byte) for s in self.by_tile.get((index, tile), ()))


class Stream:
    """A compressed series. len() is its number of frames, bytes() the file; iterating gives the frames as arrays.

    data: the file's bytes. model: folder of the model that it was made with, the shipped one by default. partial: whether
    parts that are missing or damaged come as 0; else reading them raises StreamError. synthesis: how images are drawn, fast or
    best (`swathpack.tools.files.synthesis`). notes: of a stream just made, what
    was assumed of its input or left out, a sentence each. Raises StreamError.
    """

    def __init__(
        self,
        data: bytes,
        *,
        model: str | Path | EdgeModel | None = None,
        threads: int = 1,
        partial: bool = False,
        synthesis: str = "fast",
    ) -> None:
        self._data = builtins.bytes(data)
        try:
            self._stream = read_stream(self._data)
        except FormatError as error:
            raise StreamError(str(error)) from error
        self._model, self._threads, self.partial = model, checked_threads(threads), partial
        self._synthesis, self.restorer = synthesis, open_restorer(synthesis, threads)
        self.notes: tuple[str, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made anew when it is asked for, which other processes are not sent."""
        return {k: v for k, v in vars(self).items() if k not in ("_decoder", "frames", "carried", "restorer")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.restorer = open_restorer(self._synthesis, self._threads)

    def __len__(self) -> int:
        return self._stream.header.frames

    def __bytes__(self) -> bytes:
        return self._data

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self.read(index) for index in range(len(self)))

    def __repr__(self) -> str:
        t, c, h, w = self.shape
        return f"<swathpack.Stream: {t} frames of {c} bands, {h} x {w} pixels, {self.nbytes} bytes>"

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return len(self._data)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(frames, bands, rows, columns)."""
        header = self._stream.header
        return header.frames, len(header.bands), header.height, header.width

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands."""
        return self._stream.header.bands

    @property
    def times(self) -> tuple[str | None, ...]:
        """Of each frame, as given; None where unknown."""
        return tuple(self._stream.date(index) for index in range(len(self)))

    @property
    def level(self) -> str:
        """L1C, L2A or unknown."""
        return self._stream.header.level

    @cached_property
    def carried(self) -> dict[str, Any]:
        """The metadata as `swathpack.tools.files.rasters.Series` has them."""
        return metadata_of(self._stream)

    @property
    def metadata(self) -> dict[str, Any]:
        """What the input's files said beside the pixels, where the stream carries it; arrays of an .npz under "extra"."""
        extra = self.carried.get("extra")
        return self.carried | ({"extra": {k: array_from_json(v) for k, v in extra.items()}} if extra else {})

    @property
    def georeference(self) -> Georeference:
        """CRS and affine transform (a, b, c, d, e, f) of the first frame, each None where the stream has none."""
        for files in self.metadata.get("files", ()):
            for file in files or ():
                return Georeference.from_json(file.get("georeference", {}))
        return Georeference()

    @cached_property
    def frames(self) -> tuple[FrameInfo, ...]:
        """What is there of each frame."""
        spent, by_frame = [0] * len(self), dict[int, list[Segment]]()
        for (index, _), size in record_sizes(self._stream, self.nbytes).items():
            spent[index] += size
        for s in self._stream.segments:
            by_frame.setdefault(s.frame, []).append(s)
        return tuple(self._info(index, spent[index], by_frame.get(index, [])) for index in range(len(self)))

    def _info(self, index: int, nbytes: int, segments: Sequence[Segment]) -> FrameInfo:
        stops: dict[int, int] = {}
        for s in segments:
            stops[s.tile] = max(stops.get(s.tile, 0), s.layer_stop)
        return FrameInfo(
            index,
            self._stream.date(index),
            nbytes,
            len(stops),
            (min(stops.values(), default=0), max(stops.values(), default=0)),
            tuple(sorted({mode_name(s.quality_byte) for s in segments})),
            tuple(sorted({c.frame for s in segments for c in s.contexts})),
            {s.tile: error for s in segments if (error := promised_by(s)) is not None},
        )

    @cached_property
    def _decoder(self) -> LazyDecoder:
        model = self._model
        if not isinstance(model, EdgeModel):
            model = open_model(DEFAULT_DIRECTORY if model is None else model, self._threads)
        decoder = LazyDecoder(model, self._data)
        decoder.restorer = self.restorer
        return decoder

    @property
    def problems(self) -> Problems:
        """What is damaged or foreign in the file, in words; tiles are only looked at when they are read."""
        return tuple(f"byte {p.offset}: {p.message}" for p in self._stream.problems)

    def read(
        self,
        frame: int,
        bands: Sequence[str] | None = None,
        layers: int = LAYERS,
        window: Window | Sequence[int] | None = None,
    ) -> NDArray[Any]:
        """Values (C, h, w) of one frame in the input's type (uint16 of arrays), its nodata where there are none.

        frame: from 0, or from the end with -1. bands: all by default. layers: from how many of the 16 the image is built; 0
        is what the model expects without any. window: rows and columns, such as np.s_[0:100, 300:400], or (row, column, height,
        width). Raises StreamError for what is not there unless `partial`, UserError.
        """
        return values_of(self.frame(frame, bands, layers, window))

    def frame(
        self,
        frame: int,
        bands: Sequence[str] | None = None,
        layers: int = LAYERS,
        window: Window | Sequence[int] | None = None,
    ) -> Frame:
        """As `read`, with the mask of pixels with data, time and level."""
        names = names_of(bands)
        found, report = self.decode(frame, layers, window)
        missing = tuple(report.missing)
        if missing and not self.partial:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise StreamError(f"{missing[0]}{more}; partial=True gives what is there", missing)
        try:
            return found if names is None else found.select(names)
        except FrameError as error:
            raise UserError(str(error)) from error

    def decode(
        self, frame: int, layers: int = LAYERS, window: Window | Sequence[int] | None = None
    ) -> tuple[Frame, FrameReport]:
        """A frame with all bands, and what became of each of its tiles; never raises for what is missing."""
        frame, layers = whole_number("frame", frame), whole_number("layers", layers)
        if not -len(self) <= frame < len(self):
            raise UserError(f"frame: expected {-len(self)} to {len(self) - 1}, found {frame}")
        if not 0 <= layers <= LAYERS:
            raise UserError(f"layers: expected 0 to {LAYERS}, found {layers}")
        rows, columns = bounds_of(window, self.shape[2:])
        check_window(1, rows.stop - rows.start, columns.stop - columns.start, self.shape[1])
        decoder = self._decoder
        report, outline = decoder.report(frame % len(self)), decoder.outline(frame % len(self))
        parts = {w.index: overlap(w, rows, columns) for w in decoder.windows if meet(w, rows, columns)}
        valid = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.bool_)
        data = np.zeros((len(outline.bands), *valid.shape), np.uint16)
        holes: NDArray[np.bool_] = np.zeros((0, 0, 0), np.bool_)
        around = (rows, columns) if self.restorer is None else tiles_of(rows, columns, decoder.header.tile_size)
        beside = {w.index for w in decoder.windows if meet(w, *around, reach(self.restorer))}
        for tile, found in decoder.tiles(report, layers, parts, beside):
            inner, outer = parts[tile.index]
            data[:, outer[0], outer[1]] = found.data[:, inner[0], inner[1]]
            valid[outer] = found.valid[inner]
            if found.holes.size:
                holes = holes if holes.size else np.zeros(data.shape, np.bool_)
                holes[:, outer[0], outer[1]] = found.holes[:, inner[0], inner[1]]
        return replace(outline, data=data, valid=valid, holes=holes), report

    def read_all(self, bands: Sequence[str] | None = None, layers: int = LAYERS) -> NDArray[Any]:
        """(T, C, H, W) values of all frames."""
        check_window(len(self), *self.shape[2:], self.shape[1])
        return np.stack([self.read(index, bands, layers) for index in range(len(self))])

    def to_xarray(
        self, bands: Sequence[str] | None = None, layers: int = LAYERS, window: Window | Sequence[int] | None = None
    ) -> Any:
        """An xarray.DataArray (time, band, y, x) in the input's type, with its nodata; needs xarray."""
        from swathpack.tools.files.xarrays import to_xarray

        frames = [self.frame(index, bands, layers, window) for index in range(len(self))]
        rows, columns = bounds_of(window, self.shape[2:])
        values = np.stack([values_of(frame) for frame in frames])
        return to_xarray(frames, values, self.georeference, rows.start, columns.start)

    @public_errors()
    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the file, in one step. Raises RefusedError where it exists, without `force`; UserError."""
        with stream_output(Path(path), force=force) as place:
            place.write_bytes(self._data)
        return Path(path)


def values_of(frame: Frame) -> NDArray[Any]:
    """(C, H, W) values of a frame in the type of its file."""
    valid = np.broadcast_to(frame.valid, frame.data.shape)
    return frame.radiometry.to_values(frame.data, valid & ~frame.holes if frame.holes.size else valid)
