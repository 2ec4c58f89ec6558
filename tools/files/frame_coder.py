"""One frame of a series at any level of quality: for every tile the better of the learned codec and the transform coder.

A *level* is the one scale of quality: at level x a further bit must save at least 0.1155 step^2 of squared error, with
step = 64 * 2^(x/8) DN, the quantiser step of the learned codec at q = x (0.1155 = 2 ln 2 / 12 is what a bit saves a uniform
quantiser at high rate; Gray and Neuhoff, "Quantization", IEEE Trans. IT 44(6), 1998, section IV). Levels below 0 are
finer than the learned codec goes. Equal level in all tiles is equal slope, the least error for the bytes
(swathpack.edge.codec.rate).
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, complete_dn, filled_counts
from swathpack.edge.codec.base_layer import usual_shift
from swathpack.edge.codec.context_choice import Pass
from swathpack.edge.codec.latents import LAYERS, step_dn
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.codec.plain import (
    LEAST_LEARNED_BANDS,
    CodedPlain,
    against,
    decode_plain,
    encode_predictive,
    encode_transform,
)
from swathpack.edge.codec.tile_coder import (
    DEAD_ZONE,
    CodedLatent,
    analyse_tile,
    encode_tile,
    weigh_contexts,
)
from swathpack.edge.codec.transform_coder import weights_for
from swathpack.edge.frame import Frame
from swathpack.edge.stream import ContextRef, StreamWriter, payload_room, segment_overhead_bytes
from swathpack.edge.stream.quality import MAX_SHIFT, STEPS, TRANSFORM, quality_of
from swathpack.tools.files.places import Date, Place

FINEST_LEVEL, COARSEST_LEVEL = -56.0, float(STEPS - 1)  # steps of 0.5 and 15,040 DN
CONTEXT_BYTES = 5  # of a segment, for each context that it names
BIT_SAVES = 2 * np.log(2) / 12
MODES = ("auto", "learned", "transform")
USUAL_LEVEL = 28.0
# The learned codec's 16-pixel squares are seen before they are measured: where a tile is no context for others, its error
# must be 1 dB below the transform coder's, in log2 here.
BLOCKS_COST = 0.332

Coded = CodedLatent | CodedPlain


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
    `swathpack.edge.codec.tile_coder.encode_tile` and `swathpack.edge.codec.base_layer.usual_shift`. weights: of the bands, see
    `swathpack.edge.codec.transform_coder.weights_for`. alone: no other date is predicted from what is coded.
    """

    mode: str = "auto"
    slope: float = 0.0
    shift: int = MAX_SHIFT
    weights: str = "auto"
    alone: bool = False


class FrameCoder:
    """Codes one frame at any level; analysis and transform are done once, the mode of a tile is chosen once.

    aim_bytes: of a tile's segment, about; most_bytes: never more than that. keeps_dates: later frames may be coded against
    this one.
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
    ) -> None:
        self.model, self.index, self.frame, self.choice = model, index, frame, choice
        self.windows, self.places = windows, places
        self.aim_bytes, self.most_bytes, self.keeps_dates = aim_bytes, most_bytes, keeps_dates
        self.live = [w for w in windows if w.of(frame.valid).any()]
        samples = len(frame.bands) * max((w.height * w.width for w in windows), default=1)
        self.weights = weights_for(choice.weights, frame.bands, 8 * aim_bytes / samples)
        self.gain, self.counts = frame.radiometry.gain, filled_counts(frame)
        self._plain: dict[int, CodedPlain] = {}
        self._alone: dict[int, CodedPlain] = {}
        self._dates: dict[int, tuple[Date, ...]] = {}  # what plain tiles were coded against
        self._learned: dict[int, _Learned] = {}
        self._open = self._eligible()

    def _eligible(self) -> bool:
        """Whether tiles may be coded by the learned codec and it has not been decided yet which."""
        least = 1 if self.choice.mode == "learned" else LEAST_LEARNED_BANDS
        known = set(self.frame.bands) <= set(BANDS) and len(self.frame.bands) >= least
        return known and self.choice.mode != "transform"

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
        for tile in trial.tiles:
            if not tile.size:
                continue
            if isinstance(tile.coded, CodedLatent):
                self.places[tile.index].push(self.index, tile.coded, tile.layers)
            elif tile.coded.quality == TRANSFORM and self.keeps_dates:
                date = self.date_of(tile)
                chain = 1 + (date.chain if date else 0)
                self.places[tile.index].push_date(self.index, self._image(tile.coded, self.windows[tile.index]), chain)

    def plain(self, window: TileWindow, aim_bytes: int | None = None) -> CodedPlain:
        """A tile by the transform coder, down to the finest level or most_bytes, against the dates that its place holds
        when it is first asked for.
        """
        index, aim = window.index, aim_bytes or self.aim_bytes
        if index not in self._plain:
            data, valid, bands = window.of(self.counts), window.of(self.frame.valid), self.frame.bands
            dates, alone = self.places[index].usable, self._by_itself(window, aim)
            self._dates[index] = dates
            self._plain[index] = against(alone, data, valid, bands, aim, [d.counts for d in dates])
        return self._plain[index]

    def _by_itself(self, window: TileWindow, aim_bytes: int) -> CodedPlain:
        """A tile by the transform coder without any other date."""
        if window.index not in self._alone:
            self._alone[window.index] = encode_transform(
                window.of(self.counts),
                window.of(self.frame.valid),
                self.frame.bands,
                max_bytes=self.most_bytes,
                aim_bytes=aim_bytes,
                weights=self.weights,
            )
        return self._alone[window.index]

    def recode(self, trial: Trial) -> None:
        """Code the plain tiles of a trial anew against what the places hold now, for about as many bytes."""
        self.forget_plain()
        for tile in trial.tiles:
            if isinstance(tile.coded, CodedPlain):
                self.plain(self.windows[tile.index], max(len(tile.coded.payload), 1))

    def stand_alone(self) -> None:
        """Plain tiles without any date: where room is short a date's gains and blocks may not fit, a mean does."""
        self._dates.clear()
        self._plain = {index: self._by_itself(self.windows[index], self.aim_bytes) for index in self._plain}

    def forget_plain(self) -> None:
        """Code the transform coder's tiles anew, against what the places hold then."""
        self._plain.clear()
        self._dates.clear()

    def date_of(self, tile: Tile) -> Date | None:
        """What a plain tile is coded against."""
        number = tile.coded.reference if isinstance(tile.coded, CodedPlain) else None
        return None if number is None else self._dates[tile.index][number]

    def _image(self, coded: CodedPlain, window: TileWindow, payload_bytes: int | None = None) -> NDArray[np.float32]:
        """What a decoder makes of a plain tile's first bytes."""
        valid = window.of(self.frame.valid)
        shape = (len(self.frame.bands), *valid.shape)
        date = None if coded.reference is None else self._dates[window.index][coded.reference].counts
        payload = coded.payload[:payload_bytes]
        return decode_plain(TRANSFORM, payload, shape, valid, self.frame.bands, date=date).counts

    def decide(self, q: int) -> None:
        """Choose each tile's mode, once: the one with less error at the bytes that the learned codec takes at step q."""
        if not self._open:
            return
        self._open = False
        dn = complete_dn(self.frame)
        for window in self.live:
            learned = _Learned(self, window, analyse_tile(self.model, window.of(dn), window.of(self.frame.valid)))
            if self.choice.mode == "learned" or self._wins(learned, window, q):
                self._learned[window.index] = learned

    def reconsider(self, q: int) -> bool:
        """Leave the learned codec where it does not win at step q after all; whether anything changed."""
        if self.choice.mode == "learned":
            return False
        lost = [w.index for w in self.live if w.index in self._learned and not self._wins(self._learned[w.index], w, q)]
        for index in lost:
            del self._learned[index]
        return bool(lost)

    def _wins(self, learned: _Learned, window: TileWindow, q: int) -> bool:
        """Whether the learned codec's image at step q has less error than the transform coder's at as many bytes."""
        coded = learned.at(q)
        pixels = self.model.synthesise(coded.reconstruction())[:, : window.height, : window.width]
        image = self.frame.counts_of(pixels[[BANDS.index(b) for b in self.frame.bands]])
        room = int(coded.payload_sizes[LAYERS]) + CONTEXT_BYTES * len(learned.contexts)
        plain = self.plain(window)
        other = self._image(plain, window, max(room - CONTEXT_BYTES * (plain.reference is not None), plain.least))
        lead = BLOCKS_COST if self.choice.alone else 0.0
        return self._cost(image, window) + lead < self._cost(other, window)

    def _cost(self, image: NDArray[Any], window: TileWindow) -> float:
        """log2 of the squared error over valid pixels: of all bands by their weights and, as much again, of the heavier
        bands.
        """
        difference = (image.astype(np.float64) - window.of(self.counts)) * self.weights.factors
        errors = (difference[:, window.of(self.frame.valid)] ** 2).sum(axis=1)
        parts = [errors.sum(), errors[list(self.weights.bands)].sum()] if self.weights.level else [errors.sum()]
        return float(np.log2(np.maximum(parts, 1e-9)).mean())

    def trial(self, level: float, dead_zone: float = DEAD_ZONE, layers: int = LAYERS) -> Trial:
        """All tiles at one level, each with the first `layers` layers."""
        q = min(max(round(level), 0), STEPS - 1)
        self.decide(q)
        return Trial(tuple(self._tile(window, level, q, dead_zone, layers) for window in self.live))

    def _tile(self, window: TileWindow, level: float, q: int, dead_zone: float, layers: int) -> Tile:
        learned = self._learned.get(window.index)
        if learned is None:
            coded = self.plain(window)
            stop = min(coded.curve.bytes_at(slope_at(level, self.gain)), int(coded.payload_sizes[layers]))
            return self.cut(Tile(window.index, coded, LAYERS, 0), stop)
        return self._sized(Tile(window.index, learned.at(q, dead_zone), layers, 0, learned.refs))

    def least(self, only: Container[int] | None = None) -> int:
        """Bytes of all segments, or of those tiles, where each has what tells its mean, and no more."""
        found = 0
        for window in (w for w in self.live if only is None or w.index in only):
            whole = self._by_itself(window, self.aim_bytes)
            found += whole.least + segment_overhead_bytes(
                whole.empty_segment(self.index, window.index, LAYERS), whole.least
            )
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
        return Tile(tile.index, tile.coded, tile.layers, payload + segment_overhead_bytes(empty, payload), tile.refs)

    def grown(self, tile: Tile, room: int) -> Tile:
        """A plain tile with as much more of its payload as `room` more bytes hold."""
        whole = self.whole(tile)
        empty = whole.empty_segment(self.index, tile.index, LAYERS, tile.refs)
        return self.cut(tile, min(payload_room(empty, tile.size + room), len(whole.payload)))

    def exact(self, max_error: int) -> Trial:
        """All tiles by the predictive coder: every valid count within `max_error`."""
        tiles = []
        for window in self.live:
            coded = encode_predictive(window.of(self.frame.data), window.of(self.frame.valid), max_error)
            tiles.append(self._sized(Tile(window.index, coded, LAYERS, 0)))
        return Trial(tuple(tiles))

    def write(self, writer: StreamWriter, trial: Trial) -> None:
        """Append the segments and remember what the decoder will then hold."""
        for tile in trial.tiles:
            if tile.size:
                writer.add(tile.coded.segment(self.index, tile.index, tile.layers, tile.refs))
        self.remember(trial)


class _Learned:
    """One tile by the learned codec: its coefficients, the contexts that pay, what was coded of it."""

    def __init__(self, frame: FrameCoder, window: TileWindow, coefficients: NDArray[np.float32]) -> None:
        self.model, self.choice, self.coefficients = frame.model, frame.choice, coefficients
        self._seen: dict[tuple[int, float], CodedLatent] = {}
        self.renew(frame.places[window.index])

    def renew(self, place: Place) -> None:
        """Take contexts from what a place holds now."""
        self.contexts = place.nearest(self.coefficients)
        self._settled = not self.contexts
        self._done: tuple[int, Pass] | None = None
        self._seen.clear()

    @property
    def refs(self) -> tuple[ContextRef, ...]:
        """Of the contexts that are used."""
        return tuple(ref for ref, _ in self.contexts)

    def at(self, q: int, dead_zone: float = DEAD_ZONE) -> CodedLatent:
        """Coded at a step, optimised in proportion to the dead zone."""
        quality, given = quality_of(q, usual_shift(q, self.choice.shift)), [context for _, context in self.contexts]
        if not self._settled:
            self._settled = True
            kept, done = weigh_contexts(self.model, self.coefficients, quality, given)
            self.contexts, given = [self.contexts[i] for i in kept], [given[i] for i in kept]
            self._done = q, done
        if (q, dead_zone) not in self._seen:
            slope = self.choice.slope * dead_zone / DEAD_ZONE
            passed = self._done[1] if self._done and (q, dead_zone) == (self._done[0], DEAD_ZONE) else None
            self._seen[q, dead_zone] = encode_tile(
                self.model, self.coefficients, quality, given, min(dead_zone, 0.5), slope, passed
            )
        return self._seen[q, dead_zone]
