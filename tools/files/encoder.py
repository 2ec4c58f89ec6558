"""Series of frames to a `.swp` stream: at one level of quality, filling a byte budget that is never exceeded, or exact.

Every tile is coded by the better of two: the learned codec, at a quantiser step and with context, or the transform
coder, whose payload is cut where a further byte saves too little (`swathpack.edge.codec.modes`, `swathpack.edge.codec.rate`).
Budgets are met by searching the level: the transform coder's tiles cost one coding for all levels, the learned codec's one
a step. What that leaves is filled to the byte by longer prefixes, or by dead zones where every tile is the learned codec's.
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
from swathpack.edge.codec.rate import COARSEST_LEVEL, bytes_about
from swathpack.edge.codec.tile_coder import DEAD_ZONE, RDO_SLOPE
from swathpack.edge.frame import Frame
from swathpack.edge.stream import Header
from swathpack.edge.stream.quality import MAX_SHIFT, STEPS
from swathpack.edge.stream.records import MAX_EXTENSION_BYTES
from swathpack.tools.errors import UserError
from swathpack.tools.files.carried import record_of
from swathpack.tools.files.coders import Coders, Given
from swathpack.tools.files.coding_jobs import room_for
from swathpack.tools.files.file_writer import FileWriter
from swathpack.tools.files.frame_coder import FrameCoder, Surroundings, Trial
from swathpack.tools.files.frame_records import FrameRecords
from swathpack.tools.files.kept_tiles import Choice
from swathpack.tools.files.pool import Pool
from swathpack.tools.files.rasters.essential import Carried
from swathpack.tools.files.regions import Region, errors_of
from swathpack.tools.files.series import check_alike
from swathpack.tools.files.sharing import fill, level_fitting
from swathpack.tools.files.shelf import Shelf
from swathpack.tools.files.sources import FrameSource, source_of
from swathpack.tools.files.step_search import closer, finest_fitting
from swathpack.tools.files.workers import LocalPool

WHOLE_SHARE = 0.02  # of the budget: what files said, free text and all, is worth so much and no more
RECORD_AROUND = 16  # bytes of a record around what it holds, at the most
NEAR = 1.5  # levels by which the learned codec's step may miss the level of all others
ROUNDS = 4  # in which that is found, mostly in one or two
LEAP = 8  # levels, where the learned codec's tiles alone take more than there is
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
    error, the others share what is left. tile: pixels a side of tiles. left_out, modes: of the stream made last, what it does
    not carry, and how many tiles are coded how. Methods write to `file` where one is given; else they give the bytes.
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
        self.intra_every, self.keep_going, self._failed = intra_every, keep_going, dict[tuple[int, int], str]()
        self.pool: Pool = LocalPool(model) if pool is None else pool
        self.shelf, self.modes = Shelf() if shelf is None else shelf, Counter[str]()
        self.metadata, self.left_out = metadata or Carried(), tuple[str, ...]()
        self.choice = Choice(mode, slope, shift, weights, alone=len(frames) == 1 or intra_every == 1)
        self.groups = list(groups) or [0] * len(frames)
        self.given, self.header = sources, _header(model, sources, tile)
        self.windows = list(tile_windows(self.header.height, self.header.width, tile))
        self.errors = errors_of(regions, self.windows, (self.header.height, self.header.width))
        self._kept: dict[int, Trial] = {}  # of each frame, the tiles of regions
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
    ) -> Coders:
        """apart: tiles that are left alone, those of regions by default."""
        around = replace(self._around(tick), apart=self.errors if apart is None else apart)
        given = Given(self.given, self.windows, self.groups, self.choice, self.intra_every, around)
        return Coders(given, aim_bytes, most_bytes, level)

    def _around(self, tick: Tick) -> Surroundings:
        return Surroundings(self.pool, self.shelf, self.header, tick, self.keep_going, self._fail)

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
        return self._write(writer, ((coder, coder.trial(q, dead_zone, layers)) for coder in every), file)

    def exact(self, max_error: int = 0, tick: Tick = lambda: None, file: IO[bytes] | None = None) -> bytes:
        """All frames, every valid count within `max_error`: lossless at 0. Tiles that a region touches are within its own, if that
        is less.
        """
        errors = {w.index: min(max_error, self.errors.get(w.index, max_error)) for w in self.windows}
        writer, coders = self._start(self._whole_fits(None), file), self._coders(1, tick=tick, apart=())
        every = (coders.take(index) for index in range(len(self.given)))
        return self._write(writer, ((coder, coder.exact(errors)) for coder in every), file, apart=False)

    def _aim_at(self, q: float) -> int:
        """Bytes of a tile at a level, about."""
        tile = self.header.tile_size
        samples = len(self.header.bands) * min(tile, self.header.height) * min(tile, self.header.width)
        return bytes_about(q, samples)

    def _alike(self, coders: Coders, level: float, room: int) -> list[Trial]:
        """All frames at one level that fits `room` bytes, about; plain tiles are cut to what the learned codec's leave later."""
        coders.sequence(level)  # decides which tiles are the learned codec's
        q = _step_near(level)
        while not coders.free:
            q = self._step_fitting(coders, q, room)
            if coders.reconsider(q):
                continue
            trials = coders.sequence(q)
            if any(trial.plain for trial in trials):
                if coders.least(trials) <= room:
                    return trials
            elif _size(trials) <= room:
                return closer(trials, coders.sequence, _size, q, room, 5)
            coders.give_up()
            return coders.sequence(COARSEST_LEVEL)
        return coders.sequence(level)

    def _step_fitting(self, coders: Coders, q: int, room: int) -> int:
        """A step of the learned codec at which its tiles leave the others room for about the same level; the finest that fits
        where there are no others.
        """
        for _ in range(ROUNDS):
            trials = coders.sequence(q)
            if not any(trial.plain for trial in trials):
                break
            level = coders.level_beside(trials, q, room)
            if level is not None and abs(level - q) <= NEAR:
                return q
            q = _step_near(level) if level is not None else min(q + LEAP, STEPS - 1)
        return finest_fitting(lambda q: _size(coders.sequence(q)), room, q)

    def _add_record(self, writer: FileWriter, index: int) -> None:
        record = self.records.of(index)
        if record is not None:
            writer.add(record)

    def per_frame(self, budget: int, tick: Tick = lambda: None, file: IO[bytes] | None = None) -> bytes:
        """At most `budget` bytes for each frame, the file's header and what the files said shared out among them. Raises
        UserError, which names the least budget, for one that cannot hold these and the mean of every tile.
        """
        count, promised = len(self.given), self.promised_bytes(tick)
        writer = self._start(self._whole_fits(budget * count), file)
        share = -(-writer.size // count)
        coders = self._coders(max(1, (budget - share - max(promised)) // self.others), budget, tick=tick)

        def trials() -> Iterator[tuple[FrameCoder, Trial]]:
            for index in range(count):
                room = budget - share - self.records.bytes_of(index) - promised[index]
                coder = coders.take(index)
                self._check_room(budget, room, coder.least(), each=True)
                yield coder, self._within(coder, room)

        return self._write(writer, trials(), file)

    def _check_room(self, budget: int, room: int, least: int, each: bool) -> None:
        """Refuse a budget whose room for tiles is below the least of them. What that is depends a little on what tiles are
        meant to take, so that near it the one smallest budget decides. Raises UserError.
        """
        if room >= 2 * least:
            return
        smallest = least_budget(self, each)
        if budget < smallest or room < least:
            option, named = (
                "--bytes-per-frame" if each else "--bytes",
                smallest if budget < smallest else budget + least - room,
            )
            raise UserError(f"{option} {budget}: expected at least {named}, {self._spoken()}")

    def _spoken(self) -> str:
        """What the least budget holds."""
        said = "headers, georeference and names" if self.metadata.essential else "headers"
        if self.errors:
            return f"for {said}, the tiles of regions within their errors and the mean of every other tile"
        return f"for {said} and the mean of every tile"

    def _within(self, coder: FrameCoder, room: int) -> Trial:
        """The trial of a frame that fills `room` bytes best."""
        level = level_fitting([coder], room)
        coder.decide(_step_near(level))
        q = round(level)
        while not coder.free:
            q = finest_fitting(lambda q: coder.trial(q).size, room, q)
            if coder.reconsider(q):
                continue
            best = coder.trial(q)
            if best.size <= room:
                return fill([(coder, best)], room)[0] if best.plain else _closer(best, coder.trial, q, room)
            coder.give_up()  # even the coarsest step is too large
        return fill([(coder, coder.trial(COARSEST_LEVEL))], room)[0]

    def in_total(self, budget: int, tick: Tick = lambda: None, file: IO[bytes] | None = None) -> bytes:
        """At most `budget` bytes for the whole file: one level for all frames, so that all have equal slope. Raises UserError
        as `per_frame` does.
        """
        writer, count = self._start(self._whole_fits(budget), file), len(self.given)
        room = budget - writer.size - self.records_bytes() - sum(self.promised_bytes(tick))
        share = max(1, room // (count * self.others))
        coders = self._coders(share, max(1, min(room, room_for(share))), tick=tick)
        every = [coders.keep(index) for index in range(count)]
        self._check_room(budget, room, sum(coder.least() for coder in every), each=False)
        level = level_fitting(every, room)
        coders.forget_plain()
        trials = self._alike(coders, level, room)
        pairs = list(zip(every, trials))
        if any(trial.plain for trial in trials):
            pairs = list(zip(every, fill(pairs, room) if count == 1 else coders.settled(trials, room)))
        return self._write(writer, pairs, file, last=True)

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


def least_budget(encoder: SeriesEncoder, each: bool) -> int:
    """The smallest budget in total, or of each frame, that `encoder` accepts: how long a tile's head is depends on what the
    tile may take, so the budget rises until it holds what it asks for.
    """
    budget, frames, promised = 0, len(encoder.given), encoder.promised_bytes()
    tiles = encoder.others * (1 if each else frames)
    used = -(-encoder.least_header() // frames) if each else encoder.least_header()
    while True:
        # What tiles may take is counted as `per_frame` and `in_total` do, or another budget would be the smallest.
        room = budget - used - (max(promised) if each else sum(promised) + encoder.records_bytes())
        aim = max(1, room // tiles)
        most = budget if each else min(room, room_for(aim))
        parts = [own + more for own, more in zip(promised, encoder.least_frames(aim, most))]
        needed = used + (max(parts) if each else sum(parts))
        if needed <= budget:
            return budget
        budget = needed


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


def _step_near(level: float) -> int:
    """The learned codec's step at a level: levels of the transform coder go on at both ends."""
    return min(max(round(level), 0), STEPS - 1)


def _closer(best: Trial, code: Callable[[int, float], Trial], q: int, room: int) -> Trial:
    return closer(best, code, lambda t: t.size, q, room, 4)


def _size(trials: Sequence[Trial]) -> int:
    return sum(trial.size for trial in trials)
