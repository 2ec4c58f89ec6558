"""Series of frames to a `.swp` stream: at one level of quality, filling a byte budget that is never exceeded, or exact.

Every tile is coded by the better of two: the learned codec, at a quantiser step and with context, or the transform
coder, whose payload is cut where a further byte saves too little (`swathpack.edge.codec.modes`, `swathpack.edge.codec.rate`).
Budgets are met by searching the level: the transform coder's tiles cost one coding for all levels, the learned codec's one
a step. What that leaves is filled to the byte by longer prefixes, which a trellis then shortens a little, or by dead zones where every
tile is the learned codec's.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import IO

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.modes import MODES
from swathpack.edge.codec.pixels import TILE, TileWindow, tile_windows
from swathpack.edge.codec.rate import bytes_about
from swathpack.edge.codec.tile_coder import DEAD_ZONE, RDO_SLOPE
from swathpack.edge.frame import Frame
from swathpack.edge.stream import Header
from swathpack.edge.stream.quality import MAX_SHIFT
from swathpack.edge.stream.records import MAX_EXTENSION_BYTES
from swathpack.tools.errors import UserError
from swathpack.tools.files.candidates import frame_filled, series_filled
from swathpack.tools.files.carried import record_of
from swathpack.tools.files.coders import Coders, Given
from swathpack.tools.files.coding_jobs import room_for
from swathpack.tools.files.file_writer import FileWriter
from swathpack.tools.files.frame_asks import FrameAsks
from swathpack.tools.files.frame_coder import FrameCoder
from swathpack.tools.files.frame_records import FrameRecords
from swathpack.tools.files.kept_tiles import Choice
from swathpack.tools.files.pool import Pool
from swathpack.tools.files.rasters.essential import Carried
from swathpack.tools.files.regions import Region, errors_of
from swathpack.tools.files.series import check_alike
from swathpack.tools.files.sharing import level_fitting
from swathpack.tools.files.shelf import Shelf
from swathpack.tools.files.smallest import Smallest, TooSmallError, smallest_budget
from swathpack.tools.files.sources import FrameSource, source_of
from swathpack.tools.files.surroundings import Surroundings
from swathpack.tools.files.trials import Trial
from swathpack.tools.files.workers import LocalPool

WHOLE_SHARE = 0.02  # of the budget: what files said, free text and all, is worth so much and no more
RECORD_AROUND = 16  # bytes of a record around what it holds, at the most
Tick = Callable[[], None]


class SeriesEncoder:
    """Encodes frames of one place (equal sizes and bands) into one stream.

    intra_every: every Nth frame without context (0: only the first). slope: of rate-distortion optimised quantisation in
    squared steps per bit; 0 leaves it out and halves the time. shift: most octaves from the step to that of the base layer
    (`swathpack.edge.stream.quality.usual_shift`); 0 for none. mode: one of `swathpack.edge.codec.modes.MODES`. weights: one
    of `swathpack.edge.codec.transform_coder.CHOICES`. groups: per frame the number of its grid; frames of different grids
    are no context for each other. metadata: what the files said; its essential part is in every stream. pool: who codes
    tiles, this process by default; the bytes are the same. shelf: where what was made of tiles waits. keep_going: tiles
    that cannot be read or coded are left out and named in `failures`. regions: tiles that they touch keep their greatest
    error, the others share what is left. tile: pixels a side of tiles; of more than 256 all are the transform
    coder's. tries_exact: whether a budget may hold every value as it is. left_out, modes: of the stream made last, what it does not
    carry, and how many tiles are coded how. Methods write to
    `file` where one is given; else they give the bytes.
    """

    def __init__(
        self,
        model: EdgeModel,
        frames: Sequence[Frame | FrameSource],
        metadata: Carried | None = None,
        intra_every: int = 0,
        slope: float = RDO_SLOPE,
        shift: int = MAX_SHIFT,
        mode: str = "auto",
        groups: Sequence[int] = (),
        weights: str = "auto",
        pool: Pool | None = None,
        shelf: Shelf | None = None,
        keep_going: bool = False,
        regions: Sequence[Region] = (),
        tile: int = TILE,
    ) -> None:
        sources = [source_of(frame) for frame in frames]
        check_alike(sources)
        if mode not in MODES:
            raise UserError(f"mode: expected one of {', '.join(MODES)}, found {mode!r}")
        mode = _mode_of(mode, tile)
        self.intra_every, self.keep_going, self._failed = intra_every, keep_going, dict[tuple[int, int], str]()
        self.pool: Pool = LocalPool(model) if pool is None else pool
        self.shelf, self.modes = Shelf() if shelf is None else shelf, Counter[str]()
        self.metadata, self.left_out = metadata or Carried(), tuple[str, ...]()
        self.choice = Choice(mode, slope, shift, weights, alone=len(frames) == 1 or intra_every == 1, refine=slope > 0)
        self.groups = list(groups) or [0] * len(frames)
        self.given, self.header = sources, _header(model, sources, tile)
        self.windows = list(tile_windows(self.header.height, self.header.width, tile))
        self.errors = errors_of(regions, self.windows, (self.header.height, self.header.width))
        self.tries_exact, self._asks = False, FrameAsks()
        self._kept: dict[int, Trial] = {}  # of each frame, the tiles of regions
        self._least: dict[bool, Smallest] = {}  # of each frame, in total
        self.records = FrameRecords(sources, self.header)

    def _start(self, whole: bool, file: IO[bytes] | None = None) -> FileWriter:
        writer, carried = FileWriter(self.header, io.BytesIO() if file is None else file), self.metadata
        self.modes = writer.modes
        record = record_of(carried.whole if whole and carried.whole else carried.essential)
        self.left_out = () if whole else carried.left_out
        if record is not None:
            writer.add(record)
        return writer

    def _whole_fits(self, budget: int | None) -> bool:
        """Whether all that the files said goes into a record and is worth its bytes; regions come before it."""
        if self.metadata.whole is None or budget is None:
            return self.metadata.whole is not None and len(self.metadata.whole) <= MAX_EXTENSION_BYTES
        left = budget - sum(self.promised_bytes())
        if len(self.errors) == len(self.windows):  # nothing else is to be coded
            limit = min(WHOLE_SHARE * budget, left - self.least_header() - self.records_bytes() - RECORD_AROUND)
        else:
            limit = WHOLE_SHARE * left
        return len(self.metadata.whole) <= min(limit, MAX_EXTENSION_BYTES)

    def _coders(
        self,
        aim_bytes: int,
        most_bytes: int | None = None,
        level: float | None = None,
        tick: Tick = lambda: None,
        apart: Container[int] | None = None,
        shared: bool = True,
        last_bytes: int | None = None,
    ) -> Coders:
        """apart: tiles that are left alone, those of regions by default. shared: among frames. most_bytes, last_bytes: see
        `swathpack.tools.files.coding_jobs.rooms_of`.
        """
        around = replace(self._around(tick), apart=self.errors if apart is None else apart)
        given = Given(self.given, self.windows, self.groups, self.choice, self.intra_every, around)
        return Coders(given, aim_bytes, most_bytes, level, shared, last_bytes)

    def _around(self, tick: Tick) -> Surroundings:
        return Surroundings(self.pool, self.shelf, self.header, tick, self.keep_going, self._fail, asks=self._asks)

    def _apart(self, index: int, tick: Tick = lambda: None) -> Trial:
        """The tiles of a frame that regions touch, within their errors."""
        if index not in self._kept:
            own = [w for w in self.windows if w.index in self.errors]
            coder = FrameCoder(index, self.given[index], own, (), self.choice, self._around(tick), 1)
            self._kept[index] = coder.exact(self.errors)
        return self._kept[index]

    def promised_bytes(self, tick: Tick = lambda: None) -> list[int]:
        """Bytes of each frame's tiles that regions touch."""
        return [self._apart(index, tick).size for index in range(len(self.given))]

    @property
    def others(self) -> int:
        """How many tiles of a frame no region touches, at least 1."""
        return max(len(self.windows) - len(self.errors), 1)

    def _fail(self, frame: int, w: TileWindow, message: str) -> None:
        where = f"rows {w.top}-{w.top + w.height - 1}, columns {w.left}-{w.left + w.width - 1}"
        self._failed[frame, w.index] = f"frame {frame}, tile {w.index} ({where}): {message}"

    @property
    def failures(self) -> list[str]:
        """What could not be read or coded, with its place, a sentence each."""
        unread = [said for source in self.given for said in source.failures]
        return [*unread, *(self._failed[key] for key in sorted(self._failed))]

    def _write(
        self,
        writer: FileWriter,
        trials: Iterable[tuple[FrameCoder, Trial]],
        file: IO[bytes] | None,
        last: bool = False,
        apart: bool = True,
    ) -> bytes:
        """The records of frames and their tiles, and the header: the file, or its bytes. last: no frame is coded after these.
        apart: the tiles of regions are not among the trials'.
        """
        for coder, trial in trials:
            self._add_record(writer, coder.index)
            coder.write(writer, trial, self._apart(coder.index) if apart else None)
            self._kept.pop(coder.index, None)
            if not last:
                coder.remember(trial)
        writer.finish()
        return b"" if file is not None else writer.to_bytes()

    def at_quality(
        self,
        q: float,
        layers: int = LAYERS,
        dead_zone: float = DEAD_ZONE,
        tick: Tick = lambda: None,
        file: IO[bytes] | None = None,
    ) -> bytes:
        """All frames at level q with the first `layers` layers."""
        writer, coders = self._start(self._whole_fits(None), file), self._coders(self._aim_at(q), None, q, tick)
        every = (coders.take(index) for index in range(len(self.given)))
        return self._write(writer, ((c, c.refined(c.trial(q, dead_zone, layers))) for c in every), file)

    def exact(self, max_error: int = 0, tick: Tick = lambda: None, file: IO[bytes] | None = None) -> bytes:
        """All frames, every valid count within `max_error`: lossless at 0. Tiles that a region touches are within its own, if that
        is less.
        """
        errors = {w.index: min(max_error, self.errors.get(w.index, max_error)) for w in self.windows}
        writer, coders = self._start(self._whole_fits(None), file), self._coders(1, tick=tick, apart=())
        every = (coders.take(index) for index in range(len(self.given)))
        return self._write(writer, ((coder, coder.exact(errors)) for coder in every), file, apart=False)

    def exact_within(self, budget: int, tick: Tick = lambda: None, file: IO[bytes] | None = None) -> bytes | None:
        """All frames without any error where that takes at most `budget` bytes for the whole file; else None, and nothing is written."""
        start = 0 if file is None else file.tell()
        made = self.exact(0, tick, file)
        if (len(made) if file is None else file.seek(0, io.SEEK_END) - start) <= budget:
            return made
        if file is not None:
            file.seek(start)
            file.truncate()
        return None

    def _aim_at(self, q: float) -> int:
        """Bytes of a tile at a level, about."""
        tile = self.header.tile_size
        samples = len(self.header.bands) * min(tile, self.header.height) * min(tile, self.header.width)
        return bytes_about(q, samples)

    def _add_record(self, writer: FileWriter, index: int) -> None:
        record = self.records.of(index)
        if record is not None:
            writer.add(record)

    def per_frame(self, budget: int, tick: Tick = lambda: None, file: IO[bytes] | None = None) -> bytes:
        """At most `budget` bytes for each frame, the file's header and what the files said shared out among them. Raises
        UserError, which names the least budget, for one that cannot hold these and the mean of every tile.
        """
        whole = self._whole_fits(budget * len(self.given))
        share = -(-self._start(whole).size // len(self.given))
        aim = max(1, (budget - share - max(self.promised_bytes(tick))) // self.others)
        return self._budgeted(True, Smallest(budget, aim, budget), whole, tick, file)

    def _frame_by_frame(self, goal: Smallest, whole: bool, tick: Tick, file: IO[bytes] | None) -> bytes:
        count, promised = len(self.given), self.promised_bytes(tick)
        writer = self._start(whole, file)
        share = -(-writer.size // count)
        coders = self._coders(goal.aim_bytes, goal.most_bytes, tick=tick, shared=False)

        def trials() -> Iterator[tuple[FrameCoder, Trial]]:
            for index in range(count):
                room = goal.budget - share - self.records.bytes_of(index) - promised[index]
                coder = coders.take(index)
                self._check_room(goal.budget, room, coder.least(), each=True)
                yield coder, frame_filled(coder, room)

        return self._write(writer, trials(), file)

    def _budgeted(self, each: bool, goal: Smallest, whole: bool, tick: Tick, file: IO[bytes] | None) -> bytes:
        """A stream within a budget. Near the smallest one tiles that are meant to take more need not fit, nor need free text: then
        they are coded as in the smallest one, without it.
        """
        made = self._frame_by_frame if each else self._at_equal_slope
        start = 0 if file is None else file.tell()
        try:
            return made(goal, whole, tick, file)
        except TooSmallError:
            if file is not None:
                file.seek(start)
                file.truncate()
            return made(replace(self._smallest(each), budget=goal.budget), False, tick, file)

    def _smallest(self, each: bool) -> Smallest:
        if each not in self._least:
            self._least[each] = smallest_budget(self, each)
        return self._least[each]

    def _check_room(self, budget: int, room: int, least: int, each: bool) -> None:
        """Refuse a budget whose room for tiles is below the least of them. What that is depends a little on what tiles are
        meant to take, so that near it the one smallest budget decides. Raises UserError, TooSmallError.
        """
        if room >= 2 * least:
            return
        smallest = self._smallest(each).budget
        if budget < smallest:
            option = "--bytes-per-frame" if each else "--bytes"
            raise UserError(f"{option} {budget}: expected at least {smallest}, {self._spoken()}")
        if room < least:
            raise TooSmallError

    def _spoken(self) -> str:
        """What the least budget holds."""
        said = "headers, georeference and names" if self.metadata.essential else "headers"
        if self.errors:
            return f"for {said}, the tiles of regions within their errors and the mean of every other tile"
        return f"for {said} and the mean of every tile"

    def in_total(self, budget: int, tick: Tick = lambda: None, file: IO[bytes] | None = None) -> bytes:
        """At most `budget` bytes for the whole file: one level for all frames, so that all have equal slope. Raises UserError
        as `per_frame` does.
        """
        whole = self._whole_fits(budget)
        room = budget - self._start(whole).size - self.records_bytes() - sum(self.promised_bytes(tick))
        aim = max(1, room // (len(self.given) * self.others))
        goal = Smallest(budget, aim, max(1, min(room, room_for(aim))), max(1, room))
        return self._budgeted(False, goal, whole, tick, file)

    def _at_equal_slope(self, goal: Smallest, whole: bool, tick: Tick, file: IO[bytes] | None) -> bytes:
        writer, count = self._start(whole, file), len(self.given)
        room = goal.budget - writer.size - self.records_bytes() - sum(self.promised_bytes(tick))
        coders = self._coders(goal.aim_bytes, goal.most_bytes, tick=tick, last_bytes=goal.last_bytes)
        every = [coders.keep(index) for index in range(count)]
        self._check_room(goal.budget, room, sum(coder.least() for coder in every), each=False)
        level = level_fitting(every, room)
        coders.forget_plain()
        return self._write(writer, zip(every, series_filled(coders, level, room, goal.aim_bytes)), file, last=True)

    def records_bytes(self) -> int:
        """Bytes of the records of all frames."""
        return sum(self.records.bytes_of(index) for index in range(len(self.given)))

    def least_header(self) -> int:
        """Bytes of the header with what is essential."""
        return self._start(False).size

    def least_frames(self, tile_bytes: int, most_bytes: int) -> list[int]:
        """Bytes of each frame at the least, its tiles meant to take so many each, without those that regions touch. most_bytes: a
        tile may take; heads tell of what comes behind them.
        """
        coders = self._coders(max(1, tile_bytes), max(1, most_bytes))
        return [self.records.bytes_of(index) + coders.take(index).least() for index in range(len(self.given))]


def _mode_of(mode: str, tile: int) -> str:
    """What codes tiles of a side: large ones the transform coder alone."""
    if tile > TILE and mode == "learned":
        raise UserError(f"mode learned: expected tiles of at most {TILE} pixels a side, found {tile}")
    return "transform" if tile > TILE else mode


def _header(model: EdgeModel, sources: Sequence[FrameSource], tile: int) -> Header:
    first, size = sources[0].outline, (sources[0].height, sources[0].width)
    header = Header(
        model.digest,
        model.tables_digest,
        len(sources),
        *size,
        first.bands,
        first.level,
        first.boa_offset,
        tile,
        first.grid,
        times=tuple(s.outline.time for s in sources),
        radiometry=first.radiometry,
    )
    return header if header.times_in_header else replace(header, times=())
