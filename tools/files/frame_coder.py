"""One frame of a series at any level of quality: for every tile the better of the learned codec and the transform coder.

A *level* is the one scale of quality: at level x a further bit must save at least 0.1155 step^2 of squared error, with
step = 64 * 2^(x/8) DN, the quantiser step of the learned codec at q = x (0.1155 = 2 ln 2 / 12 is what a bit saves a uniform
quantiser at high rate; Gray and Neuhoff, "Quantization", IEEE Trans. IT 44(6), 1998, section IV). Levels below 0 are
finer than the learned codec goes. Equal level in all tiles is equal slope, the least error for the bytes
(swathpack.edge.codec.rate).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, complete_dn, filled_counts
from swathpack.edge.codec.latents import LAYERS, step_dn
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.codec.plain import LEAST_LEARNED_BANDS, CodedPlain
from swathpack.edge.codec.tile_coder import DEAD_ZONE
from swathpack.edge.codec.transform_coder import Weights, weights_for
from swathpack.edge.frame import Frame
from swathpack.edge.stream import ContextRef, Header, StreamWriter, overhead_in, room_in
from swathpack.edge.stream.quality import MAX_SHIFT, STEPS, TRANSFORM, quality_of, usual_shift
from swathpack.tools.files.coding_jobs import CodedLearned, How
from swathpack.tools.files.places import Date, Place
from swathpack.tools.files.pool import Pool
from swathpack.tools.files.workers import LocalPool

FINEST_LEVEL, COARSEST_LEVEL = -56.0, float(STEPS - 1)  # steps of 0.5 and 15,040 DN
BIT_SAVES = 2 * np.log(2) / 12
MODES = ("auto", "learned", "transform")
USUAL_LEVEL = 28.0
# The learned codec's 16-pixel squares are seen before they are measured: where a tile is no context for others, its error
# must be 1 dB below the transform coder's, in log2 here.
BLOCKS_COST = 0.332

Coded = CodedLearned | CodedPlain


def tries_learned(mode: str, bands: Sequence[str]) -> bool:
    """Whether tiles of these bands may be coded by the learned codec."""
    least = 1 if mode == "learned" else LEAST_LEARNED_BANDS
    return mode != "transform" and set(bands) <= set(BANDS) and len(bands) >= least


def slope_at(level: float, gain: float = 1.0) -> float:
    """Squared error (counts^2) that a byte must save at a level; gain: DN of a count."""
    return float(8 * BIT_SAVES * (step_dn(0) / gain) ** 2 * 2.0 ** (level / 4))


@dataclass(frozen=True, eq=False)
class Tile:
    """One tile of a trial: how it is coded, the layers kept of it and the exact bytes of its segment, 0 without one."""

    index: int
    coded: Coded
    layers: int
    size: int
    refs: tuple[ContextRef, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One way to code a frame; tiles without any valid pixel are not among `tiles`."""

    tiles: tuple[Tile, ...]

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(tile.size for tile in self.tiles)

    @property
    def plain(self) -> bool:
        """Whether any tile can be cut at any byte."""
        return any(isinstance(tile.coded, CodedPlain) for tile in self.tiles)


@dataclass(frozen=True)
class Choice:
    """mode: auto (the better of both, a tile), learned or transform. slope, shift: of the learned codec, see
    `swathpack.edge.codec.tile_coder.encode_tile` and `swathpack.edge.stream.quality.usual_shift`. weights: of the bands, see
    `swathpack.edge.codec.transform_coder.weights_for`. alone: no other date is predicted from what is coded.
    """

    mode: str = "auto"
    slope: float = 0.0
    shift: int = MAX_SHIFT
    weights: str = "auto"
    alone: bool = False


class FrameCoder:
    """Codes one frame at any level; analysis and transform are done once, the mode of a tile is chosen once. Tiles go to
    whoever is in the pool, and what is made of them is the same whoever makes it.

    aim_bytes: of a tile's segment, about; most_bytes: never more than that. keeps_dates: later frames may be coded against
    this one. level: the one level that will be asked for, None where any may be. header: of the file, which decides what its
    records take; None for those of segments that fly alone.
    """

    def __init__(
        self,
        model: EdgeModel,
        index: int,
        frame: Frame,
        windows: Sequence[TileWindow],
        places: Sequence[Place],
        choice: Choice,
        aim_bytes: int,
        most_bytes: int | None = None,
        keeps_dates: bool = True,
        pool: Pool | None = None,
        level: float | None = None,
        header: Header | None = None,
    ) -> None:
        self.header = header
        self.model, self.index, self.frame, self.choice = model, index, frame, choice
        self.windows, self.places, self.pool = windows, places, LocalPool(model) if pool is None else pool
        self.aim_bytes, self.most_bytes, self.keeps_dates = aim_bytes, most_bytes, keeps_dates
        self.live = [w for w in windows if w.of(frame.valid).any()]
        samples = len(frame.bands) * max((w.height * w.width for w in windows), default=1)
        self.weights = weights_for(choice.weights, frame.bands, 8 * aim_bytes / samples)
        self.gain, self.counts = frame.radiometry.gain, filled_counts(frame)
        self._slope = None if level is None else slope_at(level, self.gain)
        self._plain: dict[int, CodedPlain] = {}
        self._alone: dict[int, CodedPlain] = {}
        self._dates: dict[int, tuple[Date, ...]] = {}  # what plain tiles were coded against
        self._learned: dict[int, _Learned] = {}
        self._open = tries_learned(choice.mode, frame.bands)  # not decided yet which tiles are the learned codec's

    def _run(self, job: str, given: Iterable[tuple[Any, tuple[Any, ...]]]) -> Iterator[tuple[Any, Any]]:
        """(tag, result) of a job for each (tag, arguments), in order."""
        return self.pool.run((tag, job, arguments) for tag, arguments in given)

    def _cut_out(self, window: TileWindow, counts: NDArray[np.uint16] | None = None) -> Frame:
        """The tile as a frame of its own, without holes: those of `counts` are filled."""
        data, none = window.of(self.counts if counts is None else counts), np.zeros((0, 0, 0), np.bool_)
        return replace(self.frame, data=data, valid=window.of(self.frame.valid), holes=none)

    @property
    def free(self) -> bool:
        """Whether every tile can be cut at any byte: none is the learned codec's."""
        return not self._open and not self._learned

    def give_up(self) -> None:
        """Leave the learned codec: even its coarsest step is too large."""
        self._open = False
        self._learned.clear()

    def forget_contexts(self) -> None:
        """Choose contexts anew, among what the places hold now."""
        for index, learned in self._learned.items():
            learned.renew(self.places[index])

    def remember(self, trial: Trial) -> None:
        """What the decoder will hold after this trial becomes context of later frames."""
        plain: list[tuple[Tile, tuple[Any, ...]]] = []
        for tile in (t for t in trial.tiles if t.size):
            if isinstance(tile.coded, CodedLearned):
                self.places[tile.index].push(self.index, tile.coded.latent, tile.coded.quality, tile.layers)
            elif tile.coded.quality == TRANSFORM and self.keeps_dates:
                plain.append((tile, self._as_sent(tile.coded, self.windows[tile.index])))
        for tile, counts in self._run("image", plain):
            date = self.date_of(tile)
            self.places[tile.index].push_date(self.index, counts, 1 + (date.chain if date else 0))

    def _as_sent(self, coded: CodedPlain, window: TileWindow) -> tuple[Any, ...]:
        """Arguments of the job that decodes a plain tile."""
        date = None if coded.reference is None else self._dates[window.index][coded.reference].counts
        return coded.payload, (len(self.frame.bands), window.height, window.width), self.frame.bands, date

    def plain(self, window: TileWindow) -> CodedPlain:
        """A tile by the transform coder, down to the finest level or most_bytes, against the dates that its place holds
        when it is first asked for.
        """
        if window.index not in self._plain:
            self.look([window])
        return self._plain[window.index]

    def look(self, windows: Sequence[TileWindow] | None = None, aims: Mapping[int, int] | None = None) -> None:
        """Have `plain` ready for some tiles, those of all by default. aims: bytes of a tile, about, where it is known better."""
        wanted = [w for w in (self.live if windows is None else windows) if w.index not in self._plain]
        aim = {w.index: (aims or {}).get(w.index, self.aim_bytes) for w in wanted}
        self._look_alone(wanted, aim)
        given: list[tuple[TileWindow, tuple[Any, ...]]] = []
        for w in wanted:
            dates = self._dates[w.index] = self.places[w.index].usable
            self._plain[w.index] = alone = self._alone[w.index]
            if dates:
                given.append((w, (self._cut_out(w), alone, aim[w.index], [d.counts for d in dates])))
        for w, found in self._run("dated", given):
            self._plain[w.index] = found or self._alone[w.index]

    def _look_alone(self, windows: Sequence[TileWindow], aim: Mapping[int, int]) -> None:
        """Tiles by the transform coder without any other date."""
        given = (
            (w, (self._cut_out(w), self.most_bytes, aim[w.index], self.weights, self._slope))
            for w in windows
            if w.index not in self._alone
        )
        for w, found in self._run("transform", given):
            self._alone[w.index] = found

    def recode(self, trial: Trial) -> None:
        """Code the plain tiles of a trial anew against what the places hold now, for about as many bytes."""
        self.forget_plain()
        plain = {t.index: max(len(t.coded.payload), 1) for t in trial.tiles if isinstance(t.coded, CodedPlain)}
        self.look([self.windows[index] for index in plain], plain)

    def stand_alone(self) -> None:
        """Plain tiles without any date: where room is short a date's gains and blocks may not fit, a mean does."""
        self._dates.clear()
        self._look_alone([self.windows[index] for index in self._plain], dict.fromkeys(self._plain, self.aim_bytes))
        self._plain = {index: self._alone[index] for index in self._plain}

    def forget_plain(self) -> None:
        """Code the transform coder's tiles anew, against what the places hold then."""
        self._plain.clear()
        self._dates.clear()

    def date_of(self, tile: Tile) -> Date | None:
        """What a plain tile is coded against."""
        number = tile.coded.reference if isinstance(tile.coded, CodedPlain) else None
        return None if number is None else self._dates[tile.index][number]

    def decide(self, q: int, layers: int = LAYERS) -> None:
        """Choose each tile's mode, once: the one with less error at the bytes that the learned codec takes at step q."""
        if not self._open:
            return
        self._open = False
        dn = complete_dn(self.frame)
        given = ((w, (w.of(dn), w.of(self.frame.valid))) for w in self.live)
        for w, coefficients in self._run("analyse", given):
            self._learned[w.index] = _Learned(self.choice, self.places[w.index], coefficients)
        if self.choice.mode != "learned":
            self._leave_losers(q, layers)

    def reconsider(self, q: int) -> bool:
        """Leave the learned codec where it does not win at step q after all; whether anything changed."""
        return self.choice.mode != "learned" and self._leave_losers(q, LAYERS)

    def _leave_losers(self, q: int, layers: int) -> bool:
        """Keep the learned codec where its image at step q has less error than the transform coder's at as many bytes."""
        windows = [w for w in self.live if w.index in self._learned]
        self._code_learned(windows, q, DEAD_ZONE, layers)
        self.look(windows)
        lead = BLOCKS_COST if self.choice.alone else 0.0
        changed = False
        for w, cost in self._run("plain cost", ((w, self._rival(w, q)) for w in windows)):
            own = self._learned[w.index].seen[q, DEAD_ZONE].cost
            if own is None or own + lead >= cost:
                del self._learned[w.index]
                changed = True
        return changed

    def _rival(self, window: TileWindow, q: int) -> tuple[Any, ...]:
        """Arguments of the job that tells the transform coder's error at as many bytes as the learned codec takes."""
        learned, plain = self._learned[window.index], self.plain(window)
        room = int(learned.seen[q, DEAD_ZONE].payload_sizes[LAYERS])
        payload, _, _, date = self._as_sent(plain, window)
        return self._cut_out(window), payload[: max(room, plain.least)], date, self.weights

    def _code_learned(self, windows: Iterable[TileWindow], q: int, dead_zone: float, layers: int) -> None:
        """Have the learned codec's tiles at a step and dead zone ready."""
        weights = self.weights if self.choice.mode != "learned" and dead_zone == DEAD_ZONE else None
        given = (
            (w, (self._cut_out(w), *self._learned[w.index].asked(q, dead_zone, layers, weights)))
            for w in windows
            if w.index in self._learned and (q, dead_zone) not in self._learned[w.index].seen
        )
        for w, found in self._run("learned", given):
            self._learned[w.index].take(q, dead_zone, found)

    def trial(self, level: float, dead_zone: float = DEAD_ZONE, layers: int = LAYERS) -> Trial:
        """All tiles at one level, each with the first `layers` layers."""
        q = min(max(round(level), 0), STEPS - 1)
        self.decide(q, layers)
        self._code_learned(self.live, q, dead_zone, layers)
        self.look([w for w in self.live if w.index not in self._learned])
        return Trial(tuple(self._tile(window, level, q, dead_zone, layers) for window in self.live))

    def _tile(self, window: TileWindow, level: float, q: int, dead_zone: float, layers: int) -> Tile:
        learned = self._learned.get(window.index)
        if learned is None:
            coded = self.plain(window)
            stop = min(coded.curve.bytes_at(slope_at(level, self.gain)), int(coded.payload_sizes[layers]))
            return self.cut(Tile(window.index, coded, LAYERS, 0), stop)
        return self._sized(Tile(window.index, learned.seen[q, dead_zone], layers, 0, learned.refs))

    def least(self, only: Container[int] | None = None) -> int:
        """Bytes of all segments, or of those tiles, where each has what tells its mean, and no more."""
        found = 0
        windows = [w for w in self.live if only is None or w.index in only]
        self._look_alone(windows, {w.index: self.aim_bytes for w in windows})
        for window in windows:
            whole = self._alone[window.index]
            empty = whole.empty_segment(self.index, window.index, LAYERS)
            found += whole.least + overhead_in(self.header, empty, whole.least)
        return found

    def whole(self, tile: Tile) -> CodedPlain:
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

    def grown(self, tile: Tile, room: int) -> Tile:
        """A plain tile with as much more of its payload as `room` more bytes hold."""
        whole = self.whole(tile)
        empty = whole.empty_segment(self.index, tile.index, LAYERS, tile.refs)
        return self.cut(tile, min(room_in(self.header, empty, tile.size + room), len(whole.payload)))

    def exact(self, max_error: int) -> Trial:
        """All tiles by the predictive coder: every valid count within `max_error`."""
        given = ((w.index, (self._cut_out(w, self.frame.data), max_error)) for w in self.live)
        return Trial(tuple(self._sized(Tile(n, coded, LAYERS, 0)) for n, coded in self._run("exact", given)))

    def write(self, writer: StreamWriter, trial: Trial) -> None:
        """Append the segments and remember what the decoder will then hold."""
        for tile in trial.tiles:
            if tile.size:
                writer.add(tile.coded.segment(self.index, tile.index, tile.layers, tile.refs))
        self.remember(trial)


class _Learned:
    """One tile by the learned codec: its coefficients, the contexts that pay, what was coded of it by step and dead zone."""

    def __init__(self, choice: Choice, place: Place, coefficients: NDArray[np.float32]) -> None:
        self.choice, self.coefficients = choice, coefficients
        self.seen: dict[tuple[int, float], CodedLearned] = {}
        self.renew(place)

    def renew(self, place: Place) -> None:
        """Take contexts from what a place holds now."""
        self.contexts = place.nearest(self.coefficients)
        self._settled = not self.contexts
        self.seen.clear()

    @property
    def refs(self) -> tuple[ContextRef, ...]:
        """Of the contexts that are used."""
        return tuple(ref for ref, _ in self.contexts)

    def asked(self, q: int, dead_zone: float, layers: int, weights: Weights | None) -> tuple[Any, ...]:
        """Arguments of the job that codes it, behind the tile: optimised in proportion to the dead zone."""
        quality, given = quality_of(q, usual_shift(q, self.choice.shift)), [context for _, context in self.contexts]
        return self.coefficients, given, How(quality, layers, dead_zone, self.choice.slope, not self._settled, weights)

    def take(self, q: int, dead_zone: float, found: CodedLearned) -> None:
        """Keep what was coded; contexts that did not pay are left for good."""
        self.contexts = [self.contexts[i] for i in found.kept]
        self._settled = True
        self.seen[q, dead_zone] = found
