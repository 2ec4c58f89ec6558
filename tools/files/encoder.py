"""Series of frames to a `.swp` stream: fixed quality, or filling a byte budget that is never exceeded.

Budgets are met by searching the quantiser step, then the dead zone: the size falls by about 8 % from one step
index to the next, so the dead zone closes what is left. Only when even the coarsest step with a
wide dead zone is too large are layers left out, and below one layer, positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import complete_bands
from swathpack.edge.codec.base_layer import MAX_SHIFT, quality_of, usual_shift
from swathpack.edge.codec.context_choice import Pass, choose_contexts
from swathpack.edge.codec.digest import context_digest
from swathpack.edge.codec.latents import LAYERS, STEPS, quantise
from swathpack.edge.codec.layers import known_context
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import TileWindow, tile_windows
from swathpack.edge.codec.prediction import CodingContext
from swathpack.edge.codec.tile_coder import (
    DEAD_ZONE,
    RDO_SLOPE,
    UNLIKE,
    CodedLatent,
    analyse_tile,
    encode_sparse,
    encode_tile,
    likeness,
)
from swathpack.edge.frame import Frame
from swathpack.edge.stream import (
    ContextRef,
    Extension,
    FrameRecord,
    Header,
    StreamWriter,
    header_bytes,
    pack_mask,
    segment_overhead_bytes,
)
from swathpack.tools.errors import UserError
from swathpack.tools.files.step_search import bisected, closer, finest_fitting

METADATA_TAG = 64
TILE = 256
WIDEST = 12.0  # at the coarsest step, for tiny budgets
HELD_DATES = 6  # earlier dates of a tile that the encoder chooses its two contexts from
CLOSE = 0.97  # of tiny budgets
Tick = Callable[[], None]


Context = tuple[ContextRef, CodingContext]


@dataclass
class Place:
    """The latents of one tile that the decoder will hold, newest first."""

    held: list[Context] = field(default_factory=list)

    def push(self, frame: int, coded: CodedLatent, layers: int) -> None:
        if layers == 0:
            return
        known = known_context(coded.latent, coded.quality, layers)
        ref = ContextRef(frame, layers, context_digest(known.latent, known.layers))
        self.held = [(ref, known), *self.held][:HELD_DATES]

    def nearest(self, coefficients: NDArray[np.float32]) -> list[Context]:
        """The two held latents most like these coefficients, the better one first: a cloudy date explains
        nothing.
        """
        ranked = [(likeness(coefficients, c[1]), c) for c in self.held]
        ranked.sort(key=lambda r: r[0], reverse=True)
        return [c for like, c in ranked[:2] if like > UNLIKE]


@dataclass(frozen=True)
class Trial:
    """One way to code a frame: its tiles, the layers kept of each, and the exact bytes of its segments."""

    tiles: tuple[CodedLatent, ...]
    layers: tuple[int, ...]
    size: int


class FrameCoder:
    """Codes one frame at any step and dead zone; the analysis is done once."""

    def __init__(
        self,
        model: EdgeModel,
        index: int,
        frame: Frame,
        windows: Sequence[TileWindow],
        places: Sequence[Place],
        slope: float,
        shift: int = MAX_SHIFT,
    ) -> None:
        self.model, self.index, self.windows, self.places, self.slope = model, index, windows, places, slope
        self.shift = shift
        self.coefficients = [analyse_tile(model, w.of(frame.data), w.of(frame.valid)) for w in windows]
        self.live = [bool(w.of(frame.valid).any()) for w in windows]
        self.contexts = [p.nearest(c) for p, c in zip(places, self.coefficients)]
        self._seen: dict[tuple[int, float], tuple[CodedLatent, ...]] = {}
        self._settled: int | None = None
        self._done: list[Pass | None] = [None] * len(windows)

    def _tiles(self, q: int, dead_zone: float) -> tuple[CodedLatent, ...]:
        key = (q, dead_zone)
        if self._settled is None:
            self._settle(q)
        if key not in self._seen:
            done = self._done if key == (self._settled, DEAD_ZONE) else [None] * len(self._done)
            self._seen[key] = tuple(
                encode_tile(
                    self.model,
                    c,
                    self._quality(q),
                    [context for _, context in pair],
                    min(dead_zone, 0.5),
                    self.slope * dead_zone / DEAD_ZONE,
                    passes,
                )
                for c, pair, passes in zip(self.coefficients, self.contexts, done)
            )
        return self._seen[key]

    def _quality(self, q: int) -> int:
        return quality_of(q, usual_shift(q, self.shift))

    def _settle(self, q: int) -> None:
        """Keep of every tile's contexts those that pay, tried once at about the right step."""
        self._settled = q
        for tile, (coefficients, pair) in enumerate(zip(self.coefficients, self.contexts)):
            if pair:
                latent = quantise(coefficients, q, DEAD_ZONE)
                given = [context for _, context in pair]
                kept, self._done[tile] = choose_contexts(self.model, latent, self._quality(q), given)
                self.contexts[tile] = [pair[i] for i in kept]

    def _refs(self, tile: int) -> tuple[ContextRef, ...]:
        return tuple(ref for ref, _ in self.contexts[tile])

    def _record_size(self, tile: int, coded: CodedLatent, layers: int) -> int:
        if layers == 0 or not self.live[tile]:
            return 0
        payload = int(coded.payload_sizes[layers])
        empty = coded.empty_segment(self.index, self.windows[tile].index, layers, self._refs(tile))
        return payload + segment_overhead_bytes(empty, payload)

    def trial(self, q: int, dead_zone: float, layers: int = LAYERS) -> Trial:
        """All tiles at one step, each with the first `layers` layers."""
        return self._kept(self._tiles(q, dead_zone), layers)

    def _kept(self, tiles: tuple[CodedLatent, ...], layers: int) -> Trial:
        kept = tuple(layers if live else 0 for live in self.live)
        sizes = [self._record_size(t, c, k) for t, (c, k) in enumerate(zip(tiles, kept))]
        return Trial(tiles, kept, sum(sizes))

    def within(self, budget: int, guess: int) -> tuple[Trial, int]:
        """The trial that fills `budget` bytes best without exceeding it, and its step (a guess for the next
        frame).
        """
        if self._settled is None:
            self._settle(guess)
        if self.trial(STEPS - 1, DEAD_ZONE).size > budget:
            return self._coarsest(budget), STEPS - 1
        q = finest_fitting(lambda q: self.trial(q, DEAD_ZONE).size, budget, guess)
        return closer(self.trial(q, DEAD_ZONE), self.trial, lambda t: t.size, q, budget, 4), q

    def _coarsest(self, budget: int) -> Trial:
        """The coarsest step is still too fine: a wider dead zone, then fewer layers, then fewer symbols of the
        first layer, and only then fewer tiles.
        """
        for layers in range(LAYERS, 0, -1):
            best = self.trial(STEPS - 1, WIDEST, layers)
            if best.size <= budget:
                ends = (math.log2(WIDEST), math.log2(DEAD_ZONE))
                return bisected(best, lambda x, k=layers: self.trial(STEPS - 1, 2.0**x, k), ends, budget)  # type: ignore[misc]
        return self._fewest(budget)

    def _fewest(self, budget: int) -> Trial:
        """The first layer in part. One symbol more can change what all others cost, so that one step may leave a
        gap that another closes.
        """
        best = self._sparse(STEPS - 1, 0.0)
        if best.size > budget:
            return self._partial(budget, best.tiles)
        for q in range(STEPS - 1, STEPS - 9, -1):
            nothing = self._sparse(q, 0.0)
            if nothing.size <= budget:
                found = bisected(nothing, lambda share, q=q: self._sparse(q, share), (0.0, 1.0), budget)  # type: ignore[misc]
                best = max(best, found, key=lambda t: t.size)
            if best.size >= CLOSE * budget:
                break
        return best

    def _sparse(self, q: int, share: float) -> Trial:
        contexts = [[context for _, context in pair] for pair in self.contexts]
        tiles = (encode_sparse(self.model, c, q, given, share) for c, given in zip(self.coefficients, contexts))
        return self._kept(tuple(tiles), 1)

    def _partial(self, budget: int, tiles: tuple[CodedLatent, ...]) -> Trial:
        """As many tiles as fit, their first layer only."""
        kept, size = [0] * len(tiles), 0
        for t, coded in enumerate(tiles):
            more = self._record_size(t, coded, 1)
            if size + more <= budget and self.live[t]:
                kept[t], size = 1, size + more
        return Trial(tiles, tuple(kept), size)

    def write(self, writer: StreamWriter, trial: Trial) -> None:
        """Append the segments and remember what the decoder will then hold."""
        for t, (coded, layers) in enumerate(zip(trial.tiles, trial.layers)):
            if layers:
                writer.add(coded.segment(self.index, self.windows[t].index, layers, self._refs(t)))
                self.places[t].push(self.index, coded, layers)


class SeriesEncoder:
    """Encodes frames of one place (equal sizes and bands) into one stream.

    intra_every: every Nth frame without context (0: only the first). slope: of rate-distortion optimised
    quantisation in squared steps per bit; 0 leaves it out and halves the time. shift: most octaves from the step to
    that of the base layer (`swathpack.edge.codec.base_layer.usual_shift`); 0 for none.
    """

    def __init__(
        self,
        model: EdgeModel,
        frames: Sequence[Frame],
        metadata: bytes = b"",
        intra_every: int = 0,
        slope: float = RDO_SLOPE,
        shift: int = MAX_SHIFT,
    ) -> None:
        _check_alike(frames)
        self.model, self.metadata, self.intra_every, self.slope = model, metadata, intra_every, slope
        self.shift = shift
        self.given = [f.without_offset() for f in frames]
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
        )
        if not header.times_in_header:
            header = replace(header, times=())
        self.header = header

    def _start(self, budget: int | None) -> StreamWriter:
        writer = StreamWriter(self.header)
        if self.metadata:
            record = writer.pack(Extension(METADATA_TAG, self.metadata))
            # Names of sources are worth a little of the budget, not the image.
            if budget is None or len(record) <= 0.02 * budget:
                writer.add_packed(record)
        return writer

    def _frame_record(self, index: int) -> FrameRecord | None:
        frame = self.given[index]
        mask = None if frame.valid.all() else pack_mask(frame.valid)
        time = None if self.header.times else frame.time
        return FrameRecord(index, time, mask) if mask is not None or time is not None else None

    def _record_bytes(self, index: int) -> int:
        record = self._frame_record(index)
        return len(StreamWriter(self.header).pack(record)) if record else 0

    def _places(self) -> list[Place]:
        return [Place() for _ in self.windows]

    def _coder(self, index: int, places: list[Place]) -> FrameCoder:
        if self.intra_every and index % self.intra_every == 0:
            for place in places:
                place.held = []
        return FrameCoder(
            self.model, index, complete_bands(self.given[index]), self.windows, places, self.slope, self.shift
        )

    def at_quality(
        self, q: int, layers: int = LAYERS, dead_zone: float = DEAD_ZONE, tick: Tick = lambda: None
    ) -> bytes:
        """All frames at step q with the first `layers` layers."""
        writer, places = self._start(None), self._places()
        for index in range(len(self.given)):
            self._add_record(writer, index)
            coder = self._coder(index, places)
            coder.write(writer, coder.trial(q, dead_zone, layers))
            tick()
        return writer.to_bytes()

    def _add_record(self, writer: StreamWriter, index: int) -> None:
        record = self._frame_record(index)
        if record is not None:
            writer.add(record)

    def per_frame(self, budget: int, tick: Tick = lambda: None) -> bytes:
        """At most `budget` bytes for each frame, the file's header shared out among them. Raises
        UserError.
        """
        writer, places = self._start(budget * len(self.given)), self._places()
        share = -(-writer.size // len(self.given))
        guess = 28
        for index in range(len(self.given)):
            room = budget - share - self._record_bytes(index)
            if room < 0:
                raise UserError(
                    f"--bytes-per-frame {budget}: the headers alone take {budget - room} bytes of frame {index}"
                )
            guess = self._fit(writer, index, places, room, guess)
            tick()
        return writer.to_bytes()

    def _fit(self, writer: StreamWriter, index: int, places: list[Place], room: int, guess: int) -> int:
        """Append a frame with at most `room` bytes of segments; returns its step."""
        self._add_record(writer, index)
        coder = self._coder(index, places)
        trial, q = coder.within(room, guess)
        coder.write(writer, trial)
        return q

    def _shared_out(self, budget: int, records: list[int], tick: Tick) -> bytes:
        """At most `budget` bytes in all, every frame an equal part of what the earlier ones left."""
        writer, places = self._start(budget - sum(records) - header_bytes(self.header)), self._places()
        guess = STEPS - 1
        for index in range(len(self.given)):
            room = (budget - writer.size - sum(records[index:])) // (len(self.given) - index)
            guess = self._fit(writer, index, places, room, guess)
            tick()
        return writer.to_bytes()

    def in_total(self, budget: int, tick: Tick = lambda: None) -> bytes:
        """At most `budget` bytes for the whole file: one step for all frames, so that all have equal
        slope.
        """
        records = [self._record_bytes(index) for index in range(len(self.given))]
        fixed = header_bytes(self.header) + sum(records)
        if fixed > budget:
            raise UserError(f"--bytes {budget}: the headers alone take {fixed} bytes")
        seen: dict[tuple[int, float], bytes] = {}

        def coded(q: int, dead_zone: float = DEAD_ZONE) -> bytes:
            if (q, dead_zone) not in seen:
                seen[q, dead_zone] = self.at_quality(q, dead_zone=dead_zone, tick=tick)
            return seen[q, dead_zone]

        if len(coded(STEPS - 1)) > budget:
            return self._shared_out(budget, records, tick)
        q = finest_fitting(lambda q: len(coded(q)), budget, 28)
        best = coded(q)
        return closer(best, coded, len, q, budget, 5)


def _check_alike(frames: Sequence[Frame]) -> None:
    if not frames:
        raise UserError("nothing to encode: the series has no frames")
    first = frames[0]
    for i, frame in enumerate(frames):
        if frame.data.shape != first.data.shape or frame.bands != first.bands:
            raise UserError(
                f"frame {i}: expected shape {first.data.shape} and bands {' '.join(first.bands)} as in "
                "frame 0, "
                f"found {frame.data.shape} and {' '.join(frame.bands)}"
            )


def coefficients_of(model: EdgeModel, frame: Frame) -> list[NDArray[np.float32]]:
    """Coefficients of all tiles of a frame (for calibration and tests)."""
    full = complete_bands(frame.without_offset())
    return [analyse_tile(model, w.of(full.data), w.of(full.valid)) for w in tile_windows(full.height, full.width, TILE)]
