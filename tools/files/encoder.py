"""Series of frames to a `.swp` stream: at one level of quality, filling a byte budget that is never exceeded, or exact.

Every tile is coded by the better of two: the learned codec, at a quantiser step and with context, or the transform
coder, whose payload is cut where a further byte saves too little (swathpack.tools.files.frame_coder). Budgets are met by
searching the level: the transform coder's tiles cost one coding for all levels, the learned codec's one a step. What
that leaves is filled to the byte by longer prefixes, or by dead zones where every tile is the learned codec's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import complete_dn
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import tile_windows
from swathpack.edge.codec.plain import CodedPlain, bytes_about
from swathpack.edge.codec.tile_coder import DEAD_ZONE, RDO_SLOPE, analyse_tile
from swathpack.edge.frame import Frame
from swathpack.edge.stream import Header, StreamWriter
from swathpack.edge.stream.quality import MAX_SHIFT, STEPS
from swathpack.edge.stream.records import MAX_EXTENSION_BYTES
from swathpack.tools.errors import UserError
from swathpack.tools.files.carried import record_of
from swathpack.tools.files.frame_coder import (
    COARSEST_LEVEL,
    MODES,
    Choice,
    FrameCoder,
    Trial,
)
from swathpack.tools.files.frame_records import FrameRecords
from swathpack.tools.files.places import Place
from swathpack.tools.files.pool import Pool
from swathpack.tools.files.rasters.essential import Carried
from swathpack.tools.files.series import check_alike
from swathpack.tools.files.sharing import fill, first_of, least_of, level_fitting, sizes_of
from swathpack.tools.files.step_search import closer, finest_fitting
from swathpack.tools.files.workers import LocalPool

WHOLE_SHARE = 0.02  # of the budget: what files said, free text and all, is worth so much and no more
TILE = 256
Tick = Callable[[], None]


class SeriesEncoder:
    """Encodes frames of one place (equal sizes and bands) into one stream.

    intra_every: every Nth frame without context (0: only the first). slope: of rate-distortion optimised
    quantisation in squared steps per bit; 0 leaves it out and halves the time. shift: most octaves from the step to
    that of the base layer (`swathpack.edge.stream.quality.usual_shift`); 0 for none. mode: one of `frame_coder.MODES`.
    weights: one of `swathpack.edge.codec.transform_coder.CHOICES`. groups: per frame the number of its grid; frames of
    different grids are no context for each other. metadata: what the files said; its essential part is in every
    stream. pool: who codes tiles, this process by default; the bytes are the same. left_out: of the stream made last, what it
    does not carry.
    """

    def __init__(
        self,
        model: EdgeModel,
        frames: Sequence[Frame],
        metadata: Carried | None = None,
        intra_every: int = 0,
        slope: float = RDO_SLOPE,
        shift: int = MAX_SHIFT,
        mode: str = "auto",
        groups: Sequence[int] = (),
        weights: str = "auto",
        pool: Pool | None = None,
    ) -> None:
        check_alike(frames)
        if mode not in MODES:
            raise UserError(f"mode: expected one of {', '.join(MODES)}, found {mode!r}")
        self.model, self.intra_every = model, intra_every
        self.pool: Pool = LocalPool(model) if pool is None else pool
        self.metadata, self.left_out = metadata or Carried(), tuple[str, ...]()
        self.choice = Choice(mode, slope, shift, weights, alone=len(frames) == 1 or intra_every == 1)
        self.groups = list(groups) or [0] * len(frames)
        self.given = list(frames)
        first = frames[0]
        self.windows = list(tile_windows(first.height, first.width, TILE))
        header = Header(
            model.digest,
            model.tables_digest,
            len(frames),
            first.height,
            first.width,
            first.bands,
            first.level,
            first.boa_offset,
            TILE,
            first.grid,
            times=tuple(f.time for f in frames),
            radiometry=first.radiometry,
        )
        if not header.times_in_header:
            header = replace(header, times=())
        self.header, self.records = header, FrameRecords(self.given, header)

    def _start(self, whole: bool) -> StreamWriter:
        writer, carried = StreamWriter(self.header), self.metadata
        record = record_of(carried.whole if whole and carried.whole else carried.essential)
        self.left_out = () if whole else carried.left_out
        if record is not None:
            writer.add(record)
        return writer

    def _whole_fits(self, budget: int | None) -> bool:
        """Whether all that the files said goes into a record and is worth its bytes."""
        limit = MAX_EXTENSION_BYTES if budget is None else min(WHOLE_SHARE * budget, MAX_EXTENSION_BYTES)
        return self.metadata.whole is not None and len(self.metadata.whole) <= limit

    def _coders(self, aim_bytes: int, most_bytes: int | None = None, level: float | None = None) -> Coders:
        return Coders(self, aim_bytes, most_bytes, level)

    def _write(self, writer: StreamWriter, trials: Sequence[tuple[FrameCoder, Trial]]) -> bytes:
        for coder, trial in trials:
            self._add_record(writer, coder.index)
            coder.write(writer, trial)
        return writer.to_bytes()

    def at_quality(
        self, q: float, layers: int = LAYERS, dead_zone: float = DEAD_ZONE, tick: Tick = lambda: None
    ) -> bytes:
        """All frames at level q with the first `layers` layers."""
        writer, coders = self._start(self._whole_fits(None)), self._coders(self._aim_at(q), None, q)
        for index in range(len(self.given)):
            coder = coders.take(index)
            self._add_record(writer, index)
            coder.write(writer, coder.trial(q, dead_zone, layers))
            tick()
        return writer.to_bytes()

    def exact(self, max_error: int = 0, tick: Tick = lambda: None) -> bytes:
        """All frames, every valid count within `max_error`: lossless at 0."""
        writer, coders = self._start(self._whole_fits(None)), self._coders(1)
        for index in range(len(self.given)):
            coder = coders.take(index)
            self._add_record(writer, index)
            coder.write(writer, coder.exact(max_error))
            tick()
        return writer.to_bytes()

    def _aim_at(self, q: float) -> int:
        """Bytes of a tile at a level, about."""
        samples = len(self.given[0].bands) * min(TILE, self.given[0].height) * min(TILE, self.given[0].width)
        return bytes_about(q, samples)

    def _alike(self, coders: Coders, level: float, room: int, tick: Tick) -> list[Trial]:
        """All frames at one level that fits `room` bytes; plain tiles are filled up later."""
        coders.sequence(level, tick)  # decides which tiles are the learned codec's
        q = round(level)
        while not coders.free:
            q = finest_fitting(lambda q: _size(coders.sequence(q, tick)), room, q)
            if coders.reconsider(q):
                continue
            trials = coders.sequence(q, tick)
            if _size(trials) > room:
                coders.give_up()
                return coders.sequence(COARSEST_LEVEL, tick)
            if any(trial.plain for trial in trials):
                return trials
            return closer(trials, lambda q, zone: coders.sequence(q, tick, zone), _size, q, room, 5)
        return coders.sequence(level, tick)

    def _add_record(self, writer: StreamWriter, index: int) -> None:
        record = self.records.of(index)
        if record is not None:
            writer.add(record)

    def per_frame(self, budget: int, tick: Tick = lambda: None) -> bytes:
        """At most `budget` bytes for each frame, the file's header and what the files said shared out among them. Raises
        UserError, which names the least budget, for one that cannot hold these and the mean of every tile.
        """
        count = len(self.given)
        writer = self._start(self._whole_fits(budget * count))
        share = -(-writer.size // count)
        coders = self._coders(max(1, (budget - share) // len(self.windows)), budget)
        for index in range(count):
            room = budget - share - self.records.bytes_of(index)
            coder = coders.take(index)
            self._check_room(budget, room, coder.least(), each=True)
            self._write(writer, [(coder, self._within(coder, room))])
            tick()
        return writer.to_bytes()

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
        return f"for {said} and the mean of every tile"

    def _within(self, coder: FrameCoder, room: int) -> Trial:
        """The trial of a frame that fills `room` bytes best."""
        level = level_fitting([coder], room)
        coder.decide(round(min(max(level, 0), STEPS - 1)))
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

    def in_total(self, budget: int, tick: Tick = lambda: None) -> bytes:
        """At most `budget` bytes for the whole file: one level for all frames, so that all have equal slope. Raises UserError
        as `per_frame` does.
        """
        writer, count = self._start(self._whole_fits(budget)), len(self.given)
        room = budget - writer.size - sum(self.records.bytes_of(index) for index in range(count))
        share = max(1, room // (count * len(self.windows)))
        coders = self._coders(share, max(1, min(room, 6 * share + 4096)))
        every = [coders.keep(index) for index in range(count)]
        self._check_room(budget, room, sum(coder.least() for coder in every), each=False)
        level = level_fitting(every, room, tick)
        coders.forget_plain()
        trials = self._alike(coders, level, room, tick)
        pairs = list(zip(every, trials))
        if any(trial.plain for trial in trials):
            pairs = list(zip(every, fill(pairs, room) if count == 1 else coders.settled(trials, room, tick)))
        return self._write(writer, pairs)

    def least_header(self) -> int:
        """Bytes of the header with what is essential."""
        return self._start(False).size

    def least_frames(self, tile_bytes: int) -> list[int]:
        """Bytes of each frame at the least, its tiles meant to take so many each."""
        coders = self._coders(max(1, tile_bytes), 1)
        return [self.records.bytes_of(index) + coders.take(index).least() for index in range(len(self.given))]


def least_budget(encoder: SeriesEncoder, each: bool) -> int:
    """The smallest budget in total, or of each frame, that `encoder` accepts: how long a tile's head is depends on what the
    tile may take, so the budget rises until it holds what it asks for.
    """
    budget, frames = 0, len(encoder.given)
    tiles = len(encoder.windows) * (1 if each else frames)
    used = -(-encoder.least_header() // frames) if each else encoder.least_header()
    while True:
        parts = encoder.least_frames((budget - used) // tiles)
        needed = used + (max(parts) if each else sum(parts))
        if needed <= budget:
            return budget
        budget = needed


def _closer(best: Trial, code: Callable[[int, float], Trial], q: int, room: int) -> Trial:
    return closer(best, code, lambda t: t.size, q, room, 4)


class Coders:
    """The frame coders of a series, each knowing the contexts that the frames before it leave."""

    def __init__(
        self, encoder: SeriesEncoder, aim_bytes: int, most_bytes: int | None, level: float | None = None
    ) -> None:
        self._encoder, self._aim, self._most, self._level = encoder, aim_bytes, most_bytes, level
        self._places = {group: [Place() for _ in encoder.windows] for group in encoder.groups}
        self._kept: list[FrameCoder] = []
        self._seen: dict[tuple[float, float], list[Trial]] = {}

    def take(self, index: int) -> FrameCoder:
        """The coder of the next frame."""
        self._refresh(index)
        e = self._encoder
        own = self._places[e.groups[index]]
        later = e.groups[index] in e.groups[index + 1 :]
        aims = self._aim, self._most, later, e.pool, self._level, e.header
        return FrameCoder(e.model, index, e.given[index], e.windows, own, e.choice, *aims)

    def keep(self, index: int) -> FrameCoder:
        """The same, kept for `sequence`."""
        self._kept.append(self.take(index))
        return self._kept[-1]

    def sequence(self, level: float, tick: Tick, dead_zone: float = DEAD_ZONE) -> list[Trial]:
        """All kept frames at a level, one after another."""
        key = level, dead_zone
        if key not in self._seen:
            found = []
            self._forget()
            for index, coder in enumerate(self._kept):
                self._refresh(index)
                coder.forget_contexts()
                found.append(coder.trial(level, dead_zone))
                coder.remember(found[-1])
                tick()
            self._seen[key] = found
        return self._seen[key]

    @property
    def free(self) -> bool:
        """Whether no kept frame has a tile of the learned codec."""
        return all(coder.free for coder in self._kept)

    def reconsider(self, q: int) -> bool:
        """See `FrameCoder.reconsider`; of all frames, as they are after `sequence(q)`."""
        self.sequence(q, lambda: None)
        changed = [coder.reconsider(q) for coder in self._kept]
        if any(changed):
            self._seen.clear()
        return any(changed)

    def forget_plain(self) -> None:
        """Code the transform coder's tiles anew, against what the frames before leave."""
        for coder in self._kept:
            coder.forget_plain()

    def settled(self, trials: Sequence[Trial], room: int, tick: Tick) -> list[Trial]:
        """The same trials with their plain tiles coded against what a decoder will really have, frame by frame, and `room`
        filled: each frame at the level at which it and those after it, as they were in `trials`, take what is left.
        """
        self._forget()
        later = [sizes_of(coder, trial) for coder, trial in zip(self._kept, trials)]
        least = [least_of(coder, trial) for coder, trial in zip(self._kept, trials)]
        found: list[Trial] = []
        for index, (coder, trial) in enumerate(zip(self._kept, trials)):
            self._refresh(index)
            coder.recode(trial)
            found.append(first_of(coder, trial, later[index + 1 :], room, least[index + 1 :]))
            room -= found[-1].size
            coder.remember(found[-1])
            tick()
        return self._topped_up(found, room)

    def _topped_up(self, trials: Sequence[Trial], room: int) -> list[Trial]:
        """What is left goes to plain tiles that no later frame names: the last frame may have none."""
        named = {(ref.frame, tile.index) for trial in trials for tile in trial.tiles for ref in tile.refs}
        found = []
        for coder, trial in zip(reversed(self._kept), reversed(trials)):
            tiles = list(trial.tiles)
            for n, tile in enumerate(tiles):
                free = tile.size and isinstance(tile.coded, CodedPlain) and (coder.index, tile.index) not in named
                if free and room > 0:
                    tiles[n] = coder.grown(tile, room)
                    room -= tiles[n].size - tile.size
            found.append(Trial(tuple(tiles)))
        return found[::-1]

    def give_up(self) -> None:
        """Leave the learned codec in all frames."""
        self._seen.clear()
        for coder in self._kept:
            coder.give_up()

    def _refresh(self, index: int) -> None:
        every = self._encoder.intra_every
        if every and index % every == 0:
            self._forget()

    def _forget(self) -> None:
        for place in (p for of_grid in self._places.values() for p in of_grid):
            place.forget()


def _size(trials: Sequence[Trial]) -> int:
    return sum(trial.size for trial in trials)


def coefficients_of(model: EdgeModel, frame: Frame) -> list[NDArray[np.float32]]:
    """Coefficients of all tiles of a frame (for calibration and tests)."""
    dn = complete_dn(frame)
    return [analyse_tile(model, w.of(dn), w.of(frame.valid)) for w in tile_windows(frame.height, frame.width, TILE)]
