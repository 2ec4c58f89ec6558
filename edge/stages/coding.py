"""Spool to queue: fetch tiles and their contexts, code them, store what came out. Three stages, two bounded
queues.

    Fetch   work row -> pixels from the spool, contexts from the store
    Encode  the codec, guarded: whatever it raises costs one tile one try
    Store   coded tile into the queue on disk, one commit
"""

from __future__ import annotations

import math
import queue
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from swathpack.edge import events
from swathpack.edge.board import Board
from swathpack.edge.clock import Clock
from swathpack.edge.codec.frame_weights import asked_by_frame
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.pixels import tile_windows
from swathpack.edge.codec.protocol import CodecError, CodedTile, ContextLatent, TileCodec, TileKey, TilePixels
from swathpack.edge.codec.transform_coder import follow_pixels
from swathpack.edge.downlink.schedule import Schedule
from swathpack.edge.downlink.work import Work
from swathpack.edge.frame import FrameError
from swathpack.edge.health.scrub import Scrubber
from swathpack.edge.health.throttle import Throttle
from swathpack.edge.packets.pieces import MAX_SEGMENT_BYTES
from swathpack.edge.sources.acquisition import Acquisition
from swathpack.edge.storage.blockfile import StorageError

_FRAMES_IN_MEMORY = 2
_SHED_REMEMBERED = 65536


@dataclass(frozen=True, eq=False)
class Prepared:
    """A tile ready for the codec."""

    work: Work
    tile: TilePixels
    contexts: list[ContextLatent]


@dataclass(frozen=True, eq=False)
class Finished:
    """A tile ready for the queue."""

    work: Work
    coded: CodedTile
    segment: bytes


Place = tuple[int, int, int]  # frame, row, column


class InFlight:
    """Tiles between fetch and store, so that none is fetched twice."""

    def __init__(self) -> None:
        self._places: set[Place] = set()

    def __contains__(self, work: Work) -> bool:
        return (work.frame, work.row, work.col) in self._places

    def __len__(self) -> int:
        return len(self._places)

    def enter(self, work: Work) -> None:
        """The tile is on its way."""
        self._places.add((work.frame, work.row, work.col))

    def leave(self, work: Work) -> None:
        """The tile is stored, or has failed."""
        self._places.discard((work.frame, work.row, work.col))


class Belt:
    """The two bounded queues between the three stages, and what is on its way on them. length: tiles in each queue."""

    def __init__(self, length: int) -> None:
        self.prepared: queue.Queue[Prepared] = queue.Queue(length)
        self.finished: queue.Queue[Finished] = queue.Queue(length)
        self.flight = InFlight()


class Fetch:
    """A `Stage`: work rows to prepared tiles, most important first; under throttling the least important wait."""

    name = "fetch"

    def __init__(self, board: Board, throttle: Throttle, belt: Belt, schedule: Schedule) -> None:
        self._spool, self._queue, self._chooser, self._throttle = board.spool, board.queue, board.chooser, throttle
        self._schedule = schedule
        self._log, self._telemetry, self._coding = board.log, board.telemetry, board.mission.coding
        self._out, self._flight = belt.prepared, belt.flight
        self._frames: OrderedDict[int, tuple[Acquisition, float | None]] = OrderedDict()
        self._shed: OrderedDict[Place, None] = OrderedDict()

    def step(self) -> bool:
        room = self._coding.prefetch - len(self._flight)
        if room <= 0:
            return False
        rows = self._queue.work.next_work(room + len(self._flight), self._coding.max_tries)
        rows = [work for work in rows if work not in self._flight][:room]
        carried = math.ceil(len(rows) * self._throttle.share) if self._throttle.share else 0
        for work in rows[carried:]:
            self._note_shed(work)
        share = self._share() if carried else None
        return any([self._prepare(work, share) for work in rows[:carried]])

    def _share(self) -> int | None:
        """Bytes that the next contact has for each tile that waits."""
        room = self._schedule.coming_bytes()
        waiting = self._queue.work.work_count(self._coding.max_tries) + self._queue.tiles.count()
        return None if room is None else room // max(waiting, 1)

    def _prepare(self, work: Work, share: int | None) -> bool:
        try:
            tile = self._pixels(work, share)
        except (StorageError, FrameError, IndexError) as error:
            self._log.report(events.TILE_FAILED, tile=work.tile, time=0, error=str(error))
            self._queue.work.failed(work)
            return False
        exact = tile.goal.max_error is not None  # such tiles stand alone
        contexts = [] if exact else self._chooser.contexts(tile.key, work.intra)
        self._flight.enter(work)
        self._out.put(Prepared(work, tile, contexts))
        return True

    def _pixels(self, work: Work, share: int | None) -> TilePixels:
        acquisition, asked = self._acquisition(work.frame)
        frame, side = acquisition.frame, self._coding.tile
        across = -(-frame.width // side)
        window = list(tile_windows(frame.height, frame.width, side))[work.row * across + work.col]
        key = TileKey(work.tile, acquisition.time)
        data, valid = (
            np.ascontiguousarray(window.of(frame.data), np.uint16),
            np.asarray(window.of(frame.valid), np.bool_),
        )
        goal = replace(self._coding.goal(acquisition.place, work.row, work.col), room_bytes=share)
        return TilePixels(key, data, frame.bands, valid, frame.radiometry, goal, asked)

    def _acquisition(self, frame: int) -> tuple[Acquisition, float | None]:
        """A frame, and what it asks of weights."""
        if frame not in self._frames:
            name = self._queue.work.frame_names().get(frame)
            if name is None:
                raise StorageError(f"frame {frame} is not in the queue")
            found = self._spool.get(name)
            asks = self._coding.max_error is None and follow_pixels(self._coding.weights, found.frame.bands, 0.0)
            self._frames[frame] = found, asked_by_frame(found.frame, self._coding.tile) if asks else None
            while len(self._frames) > _FRAMES_IN_MEMORY:
                self._frames.popitem(last=False)
        return self._frames[frame]

    def _note_shed(self, work: Work) -> None:
        """Tell of every tile that waits, once."""
        place = (work.frame, work.row, work.col)
        if place in self._shed:
            return
        self._shed[place] = None
        while len(self._shed) > _SHED_REMEMBERED:
            self._shed.popitem(last=False)
        self._telemetry.count("tiles_shed")
        time = self._queue.work.frame_time(work.frame)
        self._log.report(events.TILE_SHED, tile=work.tile, time=time, reason=self._throttle.reason)


class Canary(Protocol):
    """A tile whose coded bytes are known."""

    def check(self) -> bool:
        """False when the codec no longer codes it as it did."""


class CanaryWatch:
    """Checks the canary every `every_s` seconds; when it fails, the process must start anew (`fatal`)."""

    def __init__(self, canary: Canary, clock: Clock, every_s: float, fatal: Callable[[str], None]) -> None:
        self._canary, self._clock, self._every_s, self._fatal = canary, clock, every_s, fatal
        self._next = clock.monotonic() + every_s
        self._good = True

    def sound(self, now: bool = False) -> bool:
        """Whether the codec may be trusted; checks when it is time, or now."""
        if self._good and (now or self._clock.monotonic() >= self._next):
            self._next = self._clock.monotonic() + self._every_s
            self._good = self._canary.check()
            if not self._good:
                self._fatal("the codec's memory is damaged")
        return self._good


class Encode:
    """A `Stage`: prepared tiles through the codec. Stops when weights or tables in memory are not sound.

    What is coded goes on only after a full look at the memory and a good canary: a bit may have changed while it was
    coded, and nobody else would notice before the ground does. One look serves as many tiles as are on their way.
    """

    name = "encode"

    def __init__(
        self,
        board: Board,
        codec: TileCodec,
        scrubber: Scrubber,
        canary: CanaryWatch | None,
        belt: Belt,
    ) -> None:
        self.codec, self._scrubber, self._canary = codec, scrubber, canary
        self._queue, self._log, self._telemetry = board.queue, board.log, board.telemetry
        self._inbox, self._out, self._flight = belt.prepared, belt.finished, belt.flight
        self._held: list[Finished] = []
        self._found = scrubber.found

    def step(self) -> bool:
        if not self._scrubber.sound or (self._canary is not None and not self._canary.sound()):
            return False
        try:
            prepared = self._inbox.get_nowait()
        except queue.Empty:
            return self._release()
        try:
            with self._telemetry.timed("encode"):
                self._held.append(self._encode(prepared))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # engines and Rust panics raise kinds of their own
            self._fail(prepared, error)
        if len(self._held) >= self._inbox.maxsize:
            self._release()
        return True

    def _release(self) -> bool:
        """Pass on what is held if the codec's memory is as it was; else its work is still there and is done again."""
        held, self._held = self._held, []
        if not held:
            return False
        good = self._memory_was_good()
        self._found = self._scrubber.found
        for finished in held:
            if good and finished.coded.segment(0, LAYERS) == finished.segment:
                self._out.put(finished)
            else:
                self._log.report(
                    events.TILE_FAILED,
                    tile=finished.coded.key.tile,
                    time=finished.coded.key.time,
                    error="memory changed while it was coded",
                )
                self._flight.leave(finished.work)
        return True

    def _memory_was_good(self) -> bool:
        """Since the last look: whether nothing that codes has changed, repaired or not."""
        return self._scrubber.untouched(self._found) and (self._canary is None or self._canary.sound(now=True))

    def _encode(self, prepared: Prepared) -> Finished:
        coded = self.codec.encode(prepared.tile, prepared.contexts)
        segment = coded.segment(0, LAYERS)
        check_coded(coded, segment)
        return Finished(prepared.work, coded, segment)

    def _fail(self, prepared: Prepared, error: BaseException) -> None:
        key = prepared.tile.key
        self._telemetry.count("tiles_failed")
        message = f"{type(error).__name__}: {error}"
        self._log.report(events.TILE_FAILED, tile=key.tile, time=key.time, error=message)
        if self._memory_was_good():
            self._queue.work.failed(prepared.work)
        else:  # not the tile's fault: no try of its few is lost, and what is held goes the same way
            self._release()
            self._found = self._scrubber.found
        self._flight.leave(prepared.work)


class Store:
    """A `Stage`: coded tiles into the queue on disk."""

    name = "store"

    def __init__(self, board: Board, belt: Belt) -> None:
        self._queue, self._ballast, self._log, self._telemetry = board.queue, board.ballast, board.log, board.telemetry
        self._inbox, self._flight = belt.finished, belt.flight

    def step(self) -> bool:
        if not self._ballast.intact:
            return False  # what is finished waits; the bounded queues hold the codec back
        try:
            finished = self._inbox.get_nowait()
        except queue.Empty:
            return False
        try:
            with self._telemetry.timed("store"):
                self._queue.tiles.add(finished.work, finished.coded, finished.segment)
        finally:
            # A full disk leaves the work row: the tile is fetched and coded again later.
            self._flight.leave(finished.work)
        coded = finished.coded
        self._telemetry.count("tiles_coded")
        self._log.report(
            events.TILE_CODED,
            tile=coded.key.tile,
            time=coded.key.time,
            bytes=len(finished.segment),
            contexts=len(coded.context_digests),
        )
        return True


def check_coded(coded: CodedTile, segment: bytes) -> None:
    """The codec's contract, tested for every tile. Raises CodecError."""
    prefix, distortion = coded.prefix_bytes, coded.distortion
    if prefix.shape != (LAYERS + 1,) or distortion.shape != (LAYERS + 1,):
        raise CodecError(f"expected {LAYERS + 1} prefixes, found {prefix.shape} and {distortion.shape}")
    if prefix[0] < 0 or (np.diff(prefix) < 0).any() or prefix[-1] != len(segment):
        raise CodecError(f"expected prefixes rising to {len(segment)} bytes, found {prefix.tolist()}")
    if not np.isfinite(distortion).all():
        raise CodecError("expected finite distortions")
    if len(segment) > MAX_SEGMENT_BYTES:
        raise CodecError(f"expected segments of at most {MAX_SEGMENT_BYTES} bytes, found {len(segment)}")
