"""Passes over the tiles of a series: every one coded by somebody of the pool, once; what was made of it lies in the store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.codec.plain import CodedPlain, Curve
from swathpack.edge.codec.tile_coder import DEAD_ZONE
from swathpack.edge.frame import Frame
from swathpack.edge.stream import pack_segment
from swathpack.tools.errors import UserError
from swathpack.tools.files.allocation import PlainTile
from swathpack.tools.files.held_latents import Held
from swathpack.tools.files.levels import aim_at
from swathpack.tools.files.pool import Failure, Job, Pool
from swathpack.tools.files.sources import FrameSource
from swathpack.tools.files.tile_jobs import Ask, Choice, LearnedTile, Rival, rival_of, start_step
from swathpack.tools.files.tile_store import TileStore

HELD_DATES = 6  # earlier dates of a tile that the encoder chooses its two contexts from
Tick = Callable[[], None]
Key = tuple[int, int]  # frame and tile


@dataclass(frozen=True)
class Won:
    """A tile that the learned codec has: where its record and latent lie in the store, the record's bytes, how much less its
    error is than the transform coder's, and the frames that it names as context.
    """

    key: str
    size: int
    gain: float
    layers: int
    contexts: tuple[int, ...]


Group = tuple[int, int]  # grid, and which stretch of frames with context
Places = dict[int, list[tuple[int, Won]]]  # by tile: frames whose latent its decoder holds, newest first


class TilePasses:
    """See `SeriesEncoder` for the arguments. `binding`: of the stream's header."""

    def __init__(
        self,
        sources: Sequence[FrameSource],
        windows: Sequence[TileWindow],
        choice: Choice,
        pool: Pool,
        store: TileStore,
        binding: int,
        intra_every: int = 0,
        groups: Sequence[int] = (),
        keep_going: bool = False,
    ) -> None:
        self.sources, self.windows, self.choice, self.pool, self.store = sources, windows, choice, pool, store
        self.binding, self.intra_every, self.groups, self.keep_going = binding, intra_every, groups, keep_going
        self.tries_learned = choice.tries_learned(sources[0].outline.bands)
        self.gain = sources[0].outline.radiometry.gain
        self._failed: dict[Key, str] = {}
        self._held: dict[Group, Places] = {}

    @property
    def failures(self) -> list[str]:
        """See `SeriesEncoder.failures`."""
        return [self._failed[key] for key in sorted(self._failed)]

    # ------------------------------------------------------------------------------------------ single passes

    def at_level(self, index: int, level: float, layers: int, dead_zone: float, tick: Tick) -> Iterator[bytes]:
        """Packed segments of a frame at a level; frames in order."""
        window = self.windows[0]
        aim = aim_at(level, len(self.sources[0].outline.bands) * window.height * window.width)
        held, q = self._contexts_of(index), start_step(level)

        def key(w: TileWindow) -> str:
            return f"level {index} {w.index} {level:g} {layers} {dead_zone:g} {self._contexts_key(held, w.index)}"

        def arguments(w: TileWindow) -> tuple[Any, ...]:
            return (
                Ask(index, w.index, q, self.choice, self._held_of(held, w.index), None, dead_zone, layers),
                level,
                aim,
            )

        for w, found, name in self._results(index, self.windows, "level", key, arguments, tick):
            record, won = self._kept(found, name, index, w)
            if won is not None:
                _push(held, w.index, index, won)
            yield record

    def exact(self, index: int, max_error: int, tick: Tick) -> Iterator[bytes]:
        """Packed segments of a frame by the predictive coder."""

        def key(w: TileWindow) -> str:
            return f"exact {index} {w.index} {max_error}"

        for w, found, name in self._results(index, self.windows, "exact", key, lambda w: (max_error,), tick):
            yield self._kept(found, name, index, w)[0]

    def _kept(self, found: Any, name: str, index: int, w: TileWindow) -> tuple[bytes, Won | None]:
        """The packed record of a result or of what the store has of it, and the latent that its decoder then holds."""
        if found is None:
            fields = self.store.get(name)
            return fields["record"], _won(name, fields) if "held" in fields else None
        if isinstance(found, LearnedTile):
            fields = self._put_learned(name, found)
            return fields["record"], _won(name, fields)
        record = pack_segment(found.segment(index, w.index, LAYERS), self.binding)
        if self.store.kept:
            self.store.put(name, record=record)
        return record, None

    # ------------------------------------------------------------------------------------------ for rate control

    def look(self, index: int, aim: int, most: int, tick: Tick) -> list[PlainTile]:
        """What every tile of a frame takes by the transform coder, at any level."""
        out = []

        def key(w: TileWindow) -> str:
            return self._plain_key(index, w.index)

        for w, found, name in self._results(index, self.windows, "plain", key, lambda w: (most, aim), tick):
            if found is not None:
                self._put_plain(name, found)
            fields = self.store.get(name)
            curve = Curve(fields["curve_sizes"], fields["curve_slopes"])
            grid = (fields["rows"], fields["columns"])
            length = len(fields["payload"])
            out.append(PlainTile(index, w.index, curve, grid, fields["least"], length, self.gain, fields["quality"]))
        return out

    def _put_plain(self, name: str, coded: CodedPlain) -> None:
        rival = rival_of(coded)
        fields = {"sizes": rival.sizes, "errors": rival.errors} if self.tries_learned else {}
        self.store.put(
            name,
            payload=coded.payload,
            least=coded.least,
            quality=coded.quality,
            rows=coded.size[0],
            columns=coded.size[1],
            curve_sizes=coded.curve.sizes,
            curve_slopes=coded.curve.slopes,
            **fields,
        )

    @staticmethod
    def _plain_key(index: int, tile: int) -> str:
        return f"plain {index} {tile}"

    def payload(self, index: int, tile: int) -> bytes:
        """All that the transform coder made of a tile that was looked at."""
        found: bytes = self.store.get(self._plain_key(index, tile))["payload"]
        return found

    def record(self, won: Won) -> bytes:
        """The packed segment of a tile that the learned codec has."""
        found: bytes = self.store.get(won.key)["record"]
        return found

    def learned(
        self,
        frames: Sequence[int],
        q: int,
        against: bool,
        tick: Tick,
        only: Mapping[Key, Any] | None = None,
        dead_zone: float = DEAD_ZONE,
    ) -> dict[Key, Won]:
        """Tiles that the learned codec wins at step q (against: the transform coder's, which were looked at; else all), of
        `only` where that is given. Contexts are those of frames that were remembered and of this pass.
        """
        won: dict[Key, Won] = {}
        local = {group: {tile: list(held) for tile, held in places.items()} for group, places in self._held.items()}
        for index in frames:
            held = self._contexts_of(index, local)
            for w, one in self._learned_of(index, q, against, tick, only, dead_zone, held):
                won[index, w.index] = one
        return won

    def _learned_of(
        self,
        index: int,
        q: int,
        against: bool,
        tick: Tick,
        only: Mapping[Key, Any] | None,
        dead_zone: float,
        held: Places,
    ) -> Iterator[tuple[TileWindow, Won]]:
        def key(w: TileWindow) -> str:
            return f"learned {index} {w.index} {q} {dead_zone:g} {against:d} {self._contexts_key(held, w.index)}"

        def arguments(w: TileWindow) -> tuple[Any, ...]:
            rival = self._rival(index, w.index) if against else None
            return (Ask(index, w.index, q, self.choice, self._held_of(held, w.index), rival, dead_zone),)

        windows = [w for w in self.windows if only is None or (index, w.index) in only]
        for w, found, name in self._results(index, windows, "learned", key, arguments, tick):
            fields = self._put_learned(name, found) if found is not None else self.store.get(name)
            if "held" in fields:
                one = _won(name, fields)
                _push(held, w.index, index, one)
                yield w, one

    def _rival(self, index: int, tile: int) -> Rival:
        fields = self.store.get(self._plain_key(index, tile))
        return Rival(fields["sizes"], fields["errors"])

    def _put_learned(self, name: str, found: LearnedTile | str) -> dict[str, Any]:
        if isinstance(found, str):  # lost
            self.store.put(name, lost=1)
            return {}
        segment, held = found.segment, found.held
        record = pack_segment(segment, self.binding)
        fields = {
            "record": record,
            "gain": float(found.gain),
            "layers": segment.layer_stop,
            "contexts": ",".join(str(c.frame) for c in segment.contexts),
            "held": held.packed,
            "shape": ",".join(map(str, held.shape)),
            "quality": held.quality,
        }
        self.store.put(name, **fields)
        return fields

    # ------------------------------------------------------------------------------------------ contexts

    def remember(self, fitted: Any) -> None:
        """What a decoder holds after frames that are done is context of later ones."""
        for (index, tile), one in sorted(fitted.won.items()):
            _push(self._contexts_of(index), tile, index, one)

    def _contexts_of(self, index: int, of: dict[Group, Places] | None = None) -> Places:
        """What frame `index` may take as context, by tile: frames of its grid since the last one that was to have none."""
        epoch = index // self.intra_every if self.intra_every else 0
        return (self._held if of is None else of).setdefault((self.groups[index], epoch), {})

    def _held_of(self, places: Places, tile: int) -> tuple[tuple[int, int, Held], ...]:
        out = []
        for frame, won in places.get(tile, ()):
            fields = self.store.get(won.key)
            shape = tuple(int(n) for n in fields["shape"].split(","))
            out.append((frame, won.layers, Held(fields["held"], shape, fields["quality"], won.layers)))
        return tuple(out)

    @staticmethod
    def _contexts_key(places: Places, tile: int) -> str:
        """Names what a tile may be coded against: the same key means the same contexts."""
        named = " ".join(f"{frame}:{won.key}" for frame, won in places.get(tile, ()))
        return hashlib.sha1(named.encode()).hexdigest()[:12] if named else "-"

    # ------------------------------------------------------------------------------------------ jobs

    def _results(
        self,
        index: int,
        windows: Sequence[TileWindow],
        job: str,
        key: Callable[[TileWindow], str],
        arguments: Callable[[TileWindow], tuple[Any, ...]],
        tick: Tick,
    ) -> Iterator[tuple[TileWindow, Any, str]]:
        """(window, result, key) of the tiles of a frame that hold anything, in order; the result is None where the store
        has it already.
        """
        names = {w.index: key(w) for w in windows}

        def jobs() -> Iterator[Job]:
            for w in windows:
                if names[w.index] in self.store:
                    yield w, "nothing", ()
                    continue
                tile = self._tile(index, w)
                if tile is not None and tile.valid.any():
                    yield w, job, (tile, *arguments(w))

        for w, found in self.pool.run(jobs(), self.keep_going):
            tick()
            if isinstance(found, Failure):
                self._fail(index, w, found.message)
            else:
                yield w, found, names[w.index]

    def _tile(self, index: int, window: TileWindow) -> Frame | None:
        try:
            return self.sources[index].tile(window)
        except UserError as error:
            if not self.keep_going:
                raise
            self._fail(index, window, str(error))
            return None

    def _fail(self, index: int, w: TileWindow, message: str) -> None:
        where = f"rows {w.top}-{w.top + w.height - 1}, columns {w.left}-{w.left + w.width - 1}"
        self._failed[index, w.index] = f"frame {index}, tile {w.index} ({where}): {message}"


def _won(name: str, fields: dict[str, Any]) -> Won:
    contexts = tuple(int(n) for n in fields["contexts"].split(",") if n)
    return Won(name, len(fields["record"]), fields["gain"], fields["layers"], contexts)


def _push(places: Places, tile: int, frame: int, won: Won) -> None:
    places[tile] = [(frame, won), *places.get(tile, ())][:HELD_DATES]
