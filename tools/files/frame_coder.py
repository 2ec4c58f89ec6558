"""One frame of a series at any level of quality (`swathpack.edge.codec.rate.levels`): for every tile the better of the learned codec
and the transform coder (`swathpack.edge.codec.modes`), both coded once.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.modes import BLOCKS_COST, Measured, Weighing, learned_wins, tries_learned, tries_transform
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.codec.plain import payload_sizes_of
from swathpack.edge.codec.rate import slope_at
from swathpack.edge.codec.tile_coder import DEAD_ZONE
from swathpack.edge.stream import StreamWriter, overhead_in, room_in
from swathpack.edge.stream.quality import TRANSFORM
from swathpack.tools.files.frame_asks import aimed_bppb
from swathpack.tools.files.frame_jobs import FrameJobs
from swathpack.tools.files.inherited import WORTHS, asked_of
from swathpack.tools.files.kept_tiles import Choice, LearnedChoice, LearnedTile, PlainTile
from swathpack.tools.files.places import Date, Place
from swathpack.tools.files.sources import FrameSource
from swathpack.tools.files.step_search import step_near
from swathpack.tools.files.surroundings import Surroundings
from swathpack.tools.files.trials import Coded, Tile, Trial

REFINED = 0.07  # log2 of what a trellis takes off a transform tile's squared error, where the learned codec competes


class FrameCoder:
    """Codes one frame at any level; analysis and transform are done once, the mode of a tile is chosen once. Tiles go to
    whoever is in the pool, and what is made of them is the same whoever makes it; what takes room lies on the shelf.

    aim_bytes: of a tile's segment, about; rooms: where its payload stops, each as long as that before was too short (`rooms_of`).
    keeps_dates: later frames may be coded against this one. level: the one level that will be asked for, None where any may be. later:
    frames that may follow from this one, nearest first, where what they inherit of its error counts.
    """

    def __init__(
        self,
        index: int,
        source: FrameSource,
        windows: Sequence[TileWindow],
        places: Sequence[Place],
        choice: Choice,
        around: Surroundings,
        aim_bytes: int,
        rooms: Sequence[int | None] = (None,),
        keeps_dates: bool = True,
        level: float | None = None,
        later: Sequence[FrameSource] = (),
    ) -> None:
        self.index, self.source, self.choice, self.around = index, source, choice, around
        self.windows, self.places, self.later = windows, places, later if choice.refine else ()
        self.header = around.header
        self.aim_bytes, self.rooms, self.keeps_dates = aim_bytes, rooms, keeps_dates
        self.live = [w for w in windows if w.index not in around.apart and source.live(w)]
        self._run = FrameJobs(around, index).run
        self.bands = source.outline.bands
        self.gain = source.outline.radiometry.gain
        self._grows = WORTHS[-1] if self.later else 1.0  # what a tile's error may be worth
        self._slope = None if level is None else slope_at(level, self.gain) / self._grows
        self._worths: dict[int, float] = {}
        self._plain: dict[int, PlainTile] = {}
        self._alone: dict[int, PlainTile] = {}
        self._dates: dict[int, tuple[Date, ...]] = {}  # what plain tiles were coded against
        self._learned: dict[int, LearnedChoice] = {}
        self._tried: dict[int, LearnedChoice] = {}  # all that were ever among `_learned`
        self._further: dict[int, int] = {}  # by tile: how many of `rooms` were too short
        self._recoded: tuple[Any, ...] = ()  # aims and frames of `recode`
        self._open = self._tries_learned  # not decided yet which tiles are the learned codec's

    @cached_property
    def weighing(self) -> Weighing:
        """Of the bands, of all tiles alike."""
        return self.around.asks.weighing(self.index, self.source, self.windows, self.choice.weights, self.aim_bytes)

    def _leave_out(self, window: TileWindow) -> None:
        """A tile that cannot be coded at all."""
        self.live = [w for w in self.live if w.index != window.index]
        self._learned.pop(window.index, None)

    def _to_plain(self, window: TileWindow) -> None:
        """A tile that the learned codec cannot code."""
        self._learned.pop(window.index, None)
        if not tries_transform(self.choice.mode):
            self._leave_out(window)

    @property
    def free(self) -> bool:
        """Whether every tile can be cut at any byte: none is the learned codec's."""
        return not self._open and not self._learned

    def give_up(self) -> None:
        """Leave the learned codec: even its coarsest step is too large."""
        self._open = False
        self._learned.clear()

    def take_up(self) -> None:
        """The learned codec for every tile that it can code."""
        self._learned = dict(self._tried)

    @property
    def tries_both(self) -> bool:
        """Whether the learned codec and the transform coder are both looked at."""
        return tries_transform(self.choice.mode) and self._tries_learned

    @property
    def _tries_learned(self) -> bool:
        bppb = aimed_bppb(self.bands, self.windows, self.aim_bytes)
        return tries_learned(self.choice.mode, self.bands, bppb, self.choice.weights)

    def forget_contexts(self) -> None:
        """Choose contexts anew, among what the places hold now."""
        for index, learned in self._learned.items():
            learned.renew(self.places[index])

    def remember(self, trial: Trial, dates: Container[int] | None = None) -> None:
        """What the decoder will hold after this trial becomes context of later frames. dates: tiles whose image one may still ask
        for; None: all.
        """
        plain: dict[int, Tile] = {}
        for tile in (t for t in trial.tiles if t.size and self.keeps_dates):
            if isinstance(tile.coded, LearnedTile):
                latent = tile.coded.kept.get().latent
                self.places[tile.index].push(self.index, latent, tile.coded.quality, tile.layers)
            elif tile.coded.quality == TRANSFORM and (dates is None or tile.index in dates):
                plain[tile.index] = tile
        windows = [self.windows[index] for index in plain]
        for w, counts in self._run("image", windows, lambda w: self._as_sent(plain[w.index].coded, w)):
            date = self.date_of(plain[w.index])
            self.places[w.index].push_date(self.index, counts, 1 + (date.chain if date else 0))

    def _as_sent(self, coded: Coded, window: TileWindow) -> tuple[Any, ...]:
        """Arguments of the job that decodes a plain tile."""
        assert isinstance(coded, PlainTile)
        date = None if coded.reference is None else self._dates[window.index][coded.reference].counts.get()
        return coded.payload, (len(self.bands), window.height, window.width), self.bands, date

    def looked(self, window: TileWindow) -> bool:
        """Whether `plain` of a tile is there."""
        return window.index in self._plain

    def plain(self, window: TileWindow) -> PlainTile:
        """A tile by the transform coder, down to the finest level or its room, against the dates that its place holds
        when it is first asked for.
        """
        if window.index not in self._plain:
            self.look([window])
        return self._plain[window.index]

    def look(
        self,
        windows: Sequence[TileWindow] | None = None,
        aims: Mapping[int, int] | None = None,
        frames: Mapping[int, int | None] | None = None,
    ) -> None:
        """Have `plain` ready for some tiles, those of all by default. aims: bytes of a tile, about, where it is known better.
        frames: the one date that is worth trying for each tile, or None; all that its place holds by default.
        """
        wanted = [w for w in (self.live if windows is None else windows) if w.index not in self._plain]
        aim = {w.index: (aims or {}).get(w.index, self.aim_bytes) for w in wanted}
        self._look_alone(wanted, aim)
        for w in wanted:
            if w.index in self._alone:
                usable = self.places[w.index].usable
                own = usable if frames is None else tuple(d for d in usable if d.ref.frame == frames[w.index])
                self._dates[w.index], self._plain[w.index] = own, self._own(w.index)

        def arguments(w: TileWindow) -> tuple[Any, ...]:
            dates = [d.counts.get() for d in self._dates[w.index]]
            return self.source.tile(w), self._alone[w.index].kept.get(), aim[w.index], dates

        for w, found in self._run("dated", [w for w in wanted if self._dates.get(w.index)], arguments):
            if found is not None:
                self._plain[w.index] = PlainTile.of(found, self.around.shelf)

    def _look_alone(self, windows: Sequence[TileWindow], aim: Mapping[int, int]) -> None:
        """Tiles by the transform coder without any other date."""

        # A file's decoder has its masks before its tiles; as a context a tile is drawn without.
        shaped = self.header is not None and not self.keeps_dates

        def arguments(w: TileWindow) -> tuple[Any, ...]:
            most = self.rooms[self._further.get(w.index, 0)]
            return self.source.tile(w), most, aim[w.index], self.weighing, self._slope, shaped

        wanted = [w for w in windows if w.index not in self._alone]
        for w, found in self._run("transform", wanted, arguments, self._leave_out):
            self._alone[w.index] = PlainTile.of(found, self.around.shelf)

    def look_further(self, level: float, again: bool = False) -> bool:
        """Code anew plain tiles whose payloads may be too short at a level; whether any were. again: of those alone that were so before."""
        slope, tiles = slope_at(level, self.gain), [i for i in self._plain if i in self._further or not again]
        weighed = {i for i in tiles if i in self._worths or self._plain[i].reference is not None}
        short = [i for i in tiles if self._is_short(i, slope if i in weighed else slope / self._grows)]
        self._further.update({i: self._further.get(i, 0) + 1 for i in short})
        before = {i: (self._alone.pop(i), self._plain.pop(i), self._dates.pop(i, ())) for i in short}
        self.look([self.windows[index] for index in short], *self._recoded)
        for i in set(short) - set(self._plain):  # it could be read once, and not again
            self._alone[i], self._plain[i], self._dates[i] = before[i]
        return bool(short)

    def _is_short(self, index: int, slope: float) -> bool:
        room, *more = self.rooms[self._further.get(index, 0) :]
        return bool(more) and room is not None and self._plain[index].too_short(slope, room)

    def _own(self, index: int) -> PlainTile:
        """A tile without any date, by what it is worth."""
        return self._alone[index].worth(self._worths.get(index, 1.0))

    def _weigh_inherited(self, windows: Sequence[TileWindow], level: float) -> None:
        """Have `plain` ready for some tiles, and find out, once, what the error is worth of those that stand alone."""
        self.look(windows)
        how = slope_at(level, self.gain), self.aim_bytes, self.weighing.alone

        def arguments(w: TileWindow) -> tuple[Any, ...]:
            return asked_of(self.source.tile(w), self._alone[w.index].kept.get(), self.later, w, *how)

        wanted = [w for w in windows if w.index not in self._worths and self.plain(w).reference is None]
        for w, found in self._run("worth", wanted if self.later else (), arguments):
            self._worths[w.index] = found
            self._plain[w.index] = self._own(w.index)

    def recode(self, trial: Trial) -> None:
        """Code the plain tiles of a trial anew against what the places hold now, for about as many bytes; against the same
        dates, which differ little from what they were in the trial.
        """
        plain = {t.index: max(t.coded.payload_bytes, 1) for t in trial.tiles if isinstance(t.coded, PlainTile)}
        dates = {t.index: self.date_of(t) for t in trial.tiles if t.index in plain}
        self.forget_plain()
        frames = {index: None if date is None else date.ref.frame for index, date in dates.items()}
        self._recoded = plain, frames
        self.look([self.windows[index] for index in plain], plain, frames)

    def stand_alone(self) -> None:
        """Plain tiles without any date: where room is short a date's gains and blocks may not fit, a mean does."""
        self._dates.clear()
        self._look_alone([self.windows[index] for index in self._plain], dict.fromkeys(self._plain, self.aim_bytes))
        self._plain = {index: self._own(index) for index in self._plain}

    def forget_plain(self) -> None:
        """Code the transform coder's tiles anew, against what the places hold then."""
        self._plain.clear()
        self._dates.clear()
        self._recoded = ()

    def date_of(self, tile: Tile) -> Date | None:
        """What a plain tile is coded against."""
        number = tile.coded.reference if isinstance(tile.coded, PlainTile) else None
        return None if number is None else self._dates[tile.index][number]

    def decide(self, q: int, layers: int = LAYERS) -> None:
        """Choose each tile's mode, once: the one with less error at the bytes that the learned codec takes at step q."""
        if not self._open:
            return
        self._open = False
        for w, found in self._run("analyse", self.live, lambda w: (self.source.tile(w),), self._to_plain):
            self._learned[w.index] = LearnedChoice(self.choice, self.places[w.index], found, self.around.shelf)
        self._tried = dict(self._learned)
        if tries_transform(self.choice.mode):
            self._leave_losers(q, layers)

    def reconsider(self, q: int) -> bool:
        """Leave the learned codec where it does not win at step q after all; whether anything changed."""
        return tries_transform(self.choice.mode) and self._leave_losers(q, LAYERS)

    def _leave_losers(self, q: int, layers: int) -> bool:
        """Keep the learned codec where its image at step q has less error than the transform coder's at as many bytes."""
        windows = [w for w in self.live if w.index in self._learned]
        self._code_learned(windows, q, DEAD_ZONE, layers)
        self.look(windows)
        windows = [w for w in windows if w.index in self._learned]
        changed = False
        for w, cost in self._run("plain cost", windows, lambda w: self._rival(w, q)):
            own = self._learned[w.index].seen[q, DEAD_ZONE].cost
            cost -= REFINED * self.choice.refine
            if not learned_wins(Measured(own, cost), self.choice.alone):
                del self._learned[w.index]
                changed = True
        return changed

    def _rival(self, window: TileWindow, q: int) -> tuple[Any, ...]:
        """Arguments of the job that tells the transform coder's error at as many bytes as the learned codec takes."""
        learned, plain = self._learned[window.index], self.plain(window)
        room = int(learned.seen[q, DEAD_ZONE].payload_sizes[LAYERS])
        return self._as_judged(plain.cut(max(room, plain.least)), window)

    def _code_learned(self, windows: Iterable[TileWindow], q: int, dead_zone: float, layers: int) -> None:
        """Have the learned codec's tiles at a step and dead zone ready."""
        weighing = self.weighing if tries_transform(self.choice.mode) else None

        def arguments(w: TileWindow) -> tuple[Any, ...]:
            return self.source.tile(w), *self._learned[w.index].asked(q, dead_zone, layers, weighing)

        own = ((w, self._learned.get(w.index)) for w in windows)
        wanted = [w for w, learned in own if learned is not None and not learned.has(q, dead_zone)]
        for w, found in self._run("learned", wanted, arguments, self._to_plain):
            self._learned[w.index].take(q, dead_zone, found)

    def error(self, trial: Trial) -> float:
        """Of the trial made last, by `swathpack.edge.codec.modes.image_error`; infinite where a tile has no segment."""
        if not all(tile.size for tile in trial.tiles):
            return np.inf
        more = BLOCKS_COST if self.choice.alone else 0.0
        costs = [t.coded.cost for t in trial.tiles if isinstance(t.coded, LearnedTile)]
        total = sum(2.0 ** (cost + more) for cost in costs if cost is not None)
        plain = {t.index: t.coded for t in trial.tiles if isinstance(t.coded, PlainTile)}
        windows = [self.windows[index] for index in plain]
        judged = self._run("plain cost", windows, lambda w: self._as_judged(plain[w.index], w))
        return float(total + sum(2.0**cost for _, cost in judged))

    def trial(self, level: float, dead_zone: float = DEAD_ZONE, layers: int = LAYERS) -> Trial:
        """All tiles at one level, each with the first `layers` layers."""
        q = step_near(level)
        self.decide(q, layers)
        self._code_learned(self.live, q, dead_zone, layers)
        self._weigh_inherited([w for w in self.live if w.index not in self._learned], level)
        return Trial(tuple(self._tile(window, level, q, dead_zone, layers) for window in self.live))

    def _tile(self, window: TileWindow, level: float, q: int, dead_zone: float, layers: int) -> Tile:
        learned = self._learned.get(window.index)
        if learned is None:
            coded = self.plain(window)
            stop = min(coded.curve.bytes_at_level(level, self.gain), int(coded.payload_sizes[layers]))
            return self.cut(Tile(window.index, coded, LAYERS, 0), stop)
        return self._sized(Tile(window.index, learned.seen[q, dead_zone], layers, 0, learned.refs))

    def least(self, only: Container[int] | None = None) -> int:
        """Bytes of all segments, or of those tiles, where each has what tells its mean, and no more."""
        found, windows = 0, [w for w in self.live if only is None or w.index in only]
        self._look_alone(windows, {w.index: self.aim_bytes for w in windows})
        for window in (w for w in windows if w.index in self._alone):
            whole = self._alone[window.index]
            empty = whole.empty_segment(self.index, window.index, LAYERS)
            found += whole.least + overhead_in(self.header, empty, whole.least)
        return found

    def whole(self, tile: Tile) -> PlainTile:
        """All that the transform coder made of a plain tile."""
        return self._plain[tile.index]

    def cut(self, tile: Tile, payload_bytes: int) -> Tile:
        """A plain tile with that much of its payload, from its whole one; at least what tells its mean."""
        whole = self.whole(tile)
        found = Tile(tile.index, whole.cut(max(payload_bytes, whole.least)), LAYERS, 0)
        date = self.date_of(found)
        return self._sized(replace(found, refs=(date.ref,)) if date else found)

    def _sized(self, tile: Tile) -> Tile:
        payload = int(tile.coded.payload_sizes[tile.layers])
        empty = tile.coded.empty_segment(self.index, tile.index, tile.layers, tile.refs)
        return Tile(tile.index, tile.coded, tile.layers, payload + overhead_in(self.header, empty, payload), tile.refs)

    def payload_in(self, tile: Tile, size: int) -> int:
        """The longest payload of a plain tile whose segment takes at most `size` bytes."""
        whole = self.whole(tile)
        empty = whole.empty_segment(self.index, tile.index, LAYERS, tile.refs)
        return min(room_in(self.header, empty, size), whole.payload_bytes)

    def grown(self, tile: Tile, room: int) -> Tile:
        """A plain tile with as much more of its payload as `room` more bytes hold."""
        return self.cut(tile, self.payload_in(tile, tile.size + room))

    def exact(self, errors: Mapping[int, int]) -> Trial:
        """All tiles by the predictive coder: every valid count within the error of its tile's number."""
        fine = self.choice.refine
        found = self._run("exact", self.live, lambda w: (self.source.tile(w), errors[w.index], fine), self._leave_out)
        return Trial(tuple(self._sized(Tile(w.index, PlainTile.of(c, self.around.shelf), LAYERS, 0)) for w, c in found))

    def refined(self, trial: Trial) -> Trial:
        """The same with its transform tiles coded once more in at most as many bytes each, where that draws them better."""
        tiles = {t.index: t for t in trial.tiles if t.size and self.choice.refine}
        plain = {i: t.coded for i, t in tiles.items() if isinstance(t.coded, PlainTile)}
        windows = [self.windows[index] for index, coded in plain.items() if coded.quality == TRANSFORM]
        better: dict[int, PlainTile] = {}
        for w, payload in self._run("refined", windows, lambda w: self._as_judged(plain[w.index], w)):
            if payload is not None:
                sizes = payload_sizes_of(payload, (len(self.bands), w.height, w.width), self.bands)
                better[w.index] = plain[w.index].instead(payload, sizes, self.around.shelf)
        sized = {index: self._sized(replace(tiles[index], coded=found)) for index, found in better.items()}
        return Trial(tuple(sized.get(t.index, t) for t in trial.tiles))

    def _as_judged(self, coded: PlainTile, window: TileWindow) -> tuple[Any, ...]:
        """Arguments of the jobs that set a plain tile's image beside its pixels."""
        payload, _, _, date = self._as_sent(coded, window)
        return self.source.tile(window), payload, date, self.weighing

    def write(self, writer: StreamWriter, trial: Trial, apart: Trial | None = None) -> None:
        """Append the segments, with those of tiles that rate control left alone, in the order of their numbers."""
        more = () if apart is None else apart.tiles
        for tile in sorted((*trial.tiles, *more), key=lambda tile: tile.index):
            if tile.size:
                writer.add(tile.coded.segment(self.index, tile.index, tile.layers, tile.refs))
