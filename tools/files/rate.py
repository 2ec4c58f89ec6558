"""Rate control of files: which tiles are the learned codec's, at which step, and where all others are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from swathpack.edge.stream import pack_segment
from swathpack.tools.files.allocation import PlainTile, fill, level_of, sizes_at
from swathpack.tools.files.levels import COARSEST_LEVEL, HALF_AS_MANY, USUAL_LEVEL
from swathpack.tools.files.step_search import FILLED, closer, finest_fitting
from swathpack.tools.files.tile_jobs import start_step
from swathpack.tools.files.tile_passes import Key, TilePasses, Won

NEAR = 1.5  # levels by which the learned codec's step may miss the level of all others
SAMPLE = 6  # tiles of every date that tell how much contexts save
FEW = 4  # tiles; so many may be coded again and again
Tick = Callable[[], None]


@dataclass(frozen=True)
class Fitted:
    """What is sent of some frames: the learned codec's tiles, and payload bytes of the others (-1: nothing)."""

    frames: Sequence[int]
    won: Mapping[Key, Won]
    cuts: Mapping[Key, tuple[PlainTile, int]]

    def records(self, index: int, passes: TilePasses, binding: int) -> Iterator[bytes]:
        """Packed segments of a frame, tile by tile."""
        for window in passes.windows:
            key = index, window.index
            if key in self.won:
                yield passes.record(self.won[key])
            elif key in self.cuts and self.cuts[key][1] >= 0:
                tile, payload_bytes = self.cuts[key]
                yield pack_segment(tile.segment(passes.payload(*key)[:payload_bytes]), binding)


class Fitter:
    """Fills `room` bytes with the tiles of frames, headers of frames not counted. aim_bytes: of a tile's segment, about;
    most_bytes: never more than that.
    """

    def __init__(
        self, passes: TilePasses, frames: Sequence[int], room: int, aim_bytes: int, most_bytes: int, tick: Tick
    ) -> None:
        self.passes, self.frames, self.room, self.tick = passes, frames, room, tick
        self._aim, self._most = aim_bytes, most_bytes
        self._looked: list[PlainTile] | None = None

    def fit(self) -> Fitted:
        """The best that fits."""
        if not self.passes.tries_learned:
            return self._with({})
        if self.passes.choice.mode == "learned":
            return self._search({}, USUAL_LEVEL, False)
        level = level_of(self._looks(), self.room)
        q = start_step(self._foreseen(level))
        won = self._winners(q)
        if not won:
            return self._with({})
        return self._with(won) if len(won) < len(self._looks()) else self._all_won(won, q)

    def _looks(self) -> list[PlainTile]:
        if self._looked is None:
            self._looked = [
                t for index in self.frames for t in self.passes.look(index, self._aim, self._most, self.tick)
            ]
        return self._looked

    def _rest(self, won: Mapping[Key, Won]) -> list[PlainTile]:
        return [t for t in self._looks() if (t.frame, t.tile) not in won]

    def _with(self, won: Mapping[Key, Won]) -> Fitted:
        """These tiles as they are, the others cut to fill what they leave."""
        rest = self._rest(won)
        cuts = fill(rest, self.room - _size(won))
        return Fitted(self.frames, won, {(t.frame, t.tile): (t, n) for t, n in zip(rest, cuts)})

    def _foreseen(self, level: float) -> float:
        """The level that fits once the learned codec has its tiles: among several dates it saves much, which some tiles tell."""
        tiles = [w.index for w in self.passes.windows]
        if len(self.frames) < 2 or len(tiles) <= 2 * SAMPLE:
            return level
        chosen = {tiles[(2 * i + 1) * len(tiles) // (2 * SAMPLE)] for i in range(SAMPLE)}
        looked = [t for t in self._looks() if t.tile in chosen]
        q = start_step(level)
        won = self.passes.learned(self.frames, q, True, lambda: None, {(t.frame, t.tile): None for t in looked})
        plain = sizes_at(looked, q)
        mixed = _size(won) + sizes_at([t for t in looked if (t.frame, t.tile) not in won], q)
        return level_of(self._looks(), self.room * plain / max(mixed, 1))

    def _winners(self, q: int) -> dict[Key, Won]:
        """The learned codec's tiles, at a step that goes with the level of all others."""
        won = self.passes.learned(self.frames, q, True, self.tick)
        for _ in range(3):
            rest, own = self._rest(won), _size(won)
            level = level_of(rest, self.room, own, q, HALF_AS_MANY)
            fits = own + sizes_at(rest, COARSEST_LEVEL) <= self.room
            if not won or fits and abs(level - q) <= NEAR or start_step(level) == q and fits:
                return won
            if q == start_step(COARSEST_LEVEL):
                break
            q = start_step(max(level, q + 1) if not fits else level)
            won = self.passes.learned(self.frames, q, False, self.tick, won)
        return won if _size(won) + sizes_at(self._rest(won), COARSEST_LEVEL) <= self.room else {}

    def _all_won(self, won: dict[Key, Won], q: int) -> Fitted:
        """Where no tile can be cut: a few are given to the transform coder, those that lose least by it and that no other
        names as context; or steps and dead zones are searched where all tiles are few.
        """
        named = {(frame, tile) for (_, tile), one in won.items() for frame in one.contexts}
        free = sorted((k for k in won if k not in named), key=lambda k: won[k].gain)
        kept = dict(won)
        for key in free[: len(won) // FEW]:
            del kept[key]
            rest, left = self._rest(kept), self.room - _size(kept)
            most = sum(t.size(t.length) for t in rest)
            if sizes_at(rest, COARSEST_LEVEL) <= left and FILLED * self.room <= self.room - left + most:
                return self._with(kept)
        return self._search(won, q, True)

    def _search(self, only: Mapping[Key, Won], level: float, against: bool) -> Fitted:
        """All tiles by the learned codec, at the step and dead zone that fill best."""
        some = dict(only) if against else None
        seen: dict[tuple[int, float], dict[Key, Won]] = {}

        def at(q: int, dead_zone: float = 0.1) -> dict[Key, Won]:
            if (q, dead_zone) not in seen:
                seen[q, dead_zone] = self.passes.learned(self.frames, q, False, self.tick, some, dead_zone)
            return seen[q, dead_zone]

        q = finest_fitting(lambda q: _size(at(q)), self.room, start_step(level))
        if _size(at(q)) > self.room:
            return self._with({})  # even the coarsest step is too large
        best = closer(at(q), lambda q, zone: at(q, zone), _size, q, self.room, 5 if len(self.frames) > 1 else 4)
        return Fitted(self.frames, best, {})


def _size(won: Mapping[Key, Won]) -> int:
    return sum(one.size for one in won.values())
