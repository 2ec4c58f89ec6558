"""Series of frames to a `.swp` stream: at one level of quality, filling a byte budget that is never exceeded, or exact.

Every tile is coded by the better of two: the learned codec, at a quantiser step and with context, or the transform
coder, whose payload is cut where a further byte saves too little (swathpack.tools.files.levels). A budget costs little more
than a level does: one coding of every tile by the transform coder tells what it would take at any level, the learned
codec then codes those that it wins at the step of the level that fits, and what that leaves is filled to the byte by cuts.
Tiles go to a pool of workers and what was made of them to the disk, so neither frames nor payloads wait in memory.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import complete_dn
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import tile_windows
from swathpack.edge.codec.tile_coder import DEAD_ZONE, RDO_SLOPE, analyse_tile
from swathpack.edge.frame import Frame
from swathpack.edge.stream import Extension, FrameRecord, Header, StreamWriter
from swathpack.edge.stream.quality import MAX_SHIFT
from swathpack.tools.errors import UserError
from swathpack.tools.files.file_writer import FileWriter
from swathpack.tools.files.levels import MODES
from swathpack.tools.files.pool import Pool
from swathpack.tools.files.rate import Fitted, Fitter
from swathpack.tools.files.sources import FrameSource, source_of
from swathpack.tools.files.tile_jobs import Choice
from swathpack.tools.files.tile_passes import TilePasses
from swathpack.tools.files.tile_store import TileStore
from swathpack.tools.files.workers import LocalPool

METADATA_TAG = 64
TILE = 256
Tick = Callable[[], None]


class SeriesEncoder:
    """Encodes frames of one place (equal sizes and bands) into one stream.

    intra_every: every Nth frame without context (0: only the first). slope: of rate-distortion optimised
    quantisation in squared steps per bit; 0 leaves it out and halves the time. shift: most octaves from the step to
    that of the base layer (`swathpack.edge.codec.base_layer.usual_shift`); 0 for none. mode: one of `levels.MODES`.
    groups: per frame the number of its grid; frames of different grids are no context for each other. pool: who codes
    tiles, this process by default; the bytes are the same. store: where what was made of tiles waits. keep_going: tiles that
    cannot be coded are left out and named in `failures`. Methods take a file to write to, else they give the bytes.
    """

    def __init__(
        self,
        model: EdgeModel,
        frames: Sequence[Frame | FrameSource],
        metadata: bytes = b"",
        intra_every: int = 0,
        slope: float = RDO_SLOPE,
        shift: int = MAX_SHIFT,
        mode: str = "auto",
        groups: Sequence[int] = (),
        pool: Pool | None = None,
        store: TileStore | None = None,
        keep_going: bool = False,
    ) -> None:
        sources = [source_of(frame) for frame in frames]
        _check_alike(sources)
        if mode not in MODES:
            raise UserError(f"mode: expected one of {', '.join(MODES)}, found {mode!r}")
        self.model, self.metadata = model, metadata
        self.given = sources
        self.header = _header(model, sources)
        self.modes: Counter[str] = Counter()  # of the stream made last: how many tiles are coded how
        self.windows = list(tile_windows(self.header.height, self.header.width, TILE))
        self.passes = TilePasses(
            sources,
            self.windows,
            Choice(mode, slope, shift),
            LocalPool(model) if pool is None else pool,
            TileStore() if store is None else store,
            self.header.binding,
            intra_every,
            list(groups) or [0] * len(sources),
            keep_going,
        )

    @property
    def failures(self) -> list[str]:
        """Tiles that could not be coded, in words, with their place."""
        return self.passes.failures

    def ticks(self, budget: bool = False) -> int:
        """About how often `tick` is called: once a tile and pass."""
        return len(self.windows) * len(self.given) * (2 if budget and self.passes.tries_learned else 1)

    def _start(self, budget: int | None, file: IO[bytes]) -> FileWriter:
        writer = FileWriter(self.header, file)
        self.modes = writer.modes
        if self.metadata:
            record = writer.pack(Extension(METADATA_TAG, self.metadata))
            # Names of sources are worth a little of the budget, not the image.
            if budget is None or len(record) <= 0.02 * budget:
                writer.add_packed(record)
        return writer

    def _frame_record(self, index: int) -> FrameRecord | None:
        frame = self.given[index].outline
        mask, holes = self.given[index].masks()
        time = None if self.header.times else frame.time
        other = frame.boa_offset != self.header.boa_offset
        wanted = other or any(part is not None for part in (mask, time, holes))
        return FrameRecord(index, time, mask, holes=holes, other_offset=other) if wanted else None

    def _record_bytes(self, index: int) -> int:
        record = self._frame_record(index)
        return len(StreamWriter(self.header).pack(record)) if record else 0

    def _add_record(self, writer: StreamWriter, index: int) -> None:
        record = self._frame_record(index)
        if record is not None:
            writer.add(record)

    def _add_tiles(self, writer: StreamWriter, fitted: Fitted) -> None:
        for index in fitted.frames:
            self._add_record(writer, index)
            for packed in fitted.records(index, self.passes, self.header.binding):
                writer.add_packed(packed)

    def at_quality(
        self,
        q: float,
        layers: int = LAYERS,
        dead_zone: float = DEAD_ZONE,
        tick: Tick = lambda: None,
        file: IO[bytes] | None = None,
    ) -> bytes:
        """All frames at level q with the first `layers` layers."""
        return self._one_pass(lambda index: self.passes.at_level(index, q, layers, dead_zone, tick), file)

    def exact(self, max_error: int = 0, tick: Tick = lambda: None, file: IO[bytes] | None = None) -> bytes:
        """All frames, every valid count within `max_error`: lossless at 0."""
        return self._one_pass(lambda index: self.passes.exact(index, max_error, tick), file)

    def _one_pass(self, packed: Callable[[int], Iterable[bytes]], file: IO[bytes] | None) -> bytes:
        out = file or io.BytesIO()
        writer = self._start(None, out)
        for index in range(len(self.given)):
            self._add_record(writer, index)
            for record in packed(index):
                writer.add_packed(record)
        return _finished(writer, file)

    def per_frame(self, budget: int, tick: Tick = lambda: None, file: IO[bytes] | None = None) -> bytes:
        """At most `budget` bytes for each frame, the file's header shared out among them. Raises
        UserError.
        """
        writer = self._start(budget * len(self.given), file or io.BytesIO())
        share = -(-writer.size // len(self.given))
        for index in range(len(self.given)):
            room = budget - share - self._record_bytes(index)
            if room < 0:
                raise UserError(
                    f"--bytes-per-frame {budget}: the headers alone take {budget - room} bytes of frame {index}"
                )
            aim = max(1, (budget - share) // len(self.windows))
            fitted = Fitter(self.passes, [index], room, aim, budget, tick).fit()
            self._add_tiles(writer, fitted)
            self.passes.remember(fitted)
        return _finished(writer, file)

    def in_total(self, budget: int, tick: Tick = lambda: None, file: IO[bytes] | None = None) -> bytes:
        """At most `budget` bytes for the whole file: one level for all frames, so that all have equal slope."""
        count = len(self.given)
        records = sum(self._record_bytes(index) for index in range(count))
        writer = self._start(budget, file or io.BytesIO())
        room = budget - writer.size - records
        if room < 0:
            raise UserError(f"--bytes {budget}: the headers alone take {writer.size + records} bytes")
        share = max(1, room // (count * len(self.windows)))
        most = min(room, 6 * share + 4096)
        self._add_tiles(writer, Fitter(self.passes, range(count), room, share, most, tick).fit())
        return _finished(writer, file)


def _finished(writer: FileWriter, file: IO[bytes] | None) -> bytes:
    writer.finish()
    return b"" if file is not None else writer.to_bytes()


def _header(model: EdgeModel, sources: Sequence[FrameSource]) -> Header:
    first, size = sources[0].outline, (sources[0].height, sources[0].width)
    header = Header(
        model.digest,
        model.tables_digest,
        len(sources),
        *size,
        first.bands,
        first.level,
        first.boa_offset,
        TILE,
        first.grid,
        times=tuple(s.outline.time for s in sources),
        radiometry=first.radiometry,
    )
    return header if header.times_in_header else replace(header, times=())


def _check_alike(sources: Sequence[FrameSource]) -> None:
    if not sources:
        raise UserError("nothing to encode: the series has no frames")
    first = sources[0]
    shape = (len(first.outline.bands), first.height, first.width)
    for i, source in enumerate(sources):
        own, found = source.outline, (len(source.outline.bands), source.height, source.width)
        if found != shape or own.bands != first.outline.bands:
            raise UserError(
                f"frame {i}: expected shape {shape} and bands {' '.join(first.outline.bands)} as in frame 0, "
                f"found {found} and {' '.join(own.bands)}"
            )
        if own.radiometry != first.outline.radiometry:
            raise UserError(f"frame {i}: expected {first.outline.radiometry} as in frame 0, found {own.radiometry}")


def coefficients_of(model: EdgeModel, frame: Frame) -> list[NDArray[np.float32]]:
    """Coefficients of all tiles of a frame (for calibration and tests)."""
    dn: Any = complete_dn(frame)
    return [analyse_tile(model, w.of(dn), w.of(frame.valid)) for w in tile_windows(frame.height, frame.width, TILE)]
