"""The frame coders of a series, one after another: each codes against what a decoder has of the frames before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.codec.rate import HALF_AS_MANY, LEVELS
from swathpack.edge.codec.tile_coder import DEAD_ZONE
from swathpack.tools.files.coding_jobs import rooms_of
from swathpack.tools.files.frame_coder import FrameCoder
from swathpack.tools.files.kept_tiles import Choice, LearnedTile, PlainTile
from swathpack.tools.files.places import Place
from swathpack.tools.files.sharing import fill, first_of, least_of, sizes_of
from swathpack.tools.files.sources import FrameSource
from swathpack.tools.files.surroundings import Surroundings
from swathpack.tools.files.trials import Tile, Trial

REST = 0.01  # of a tile's bytes


def regrown(coder: FrameCoder, cut: Tile, tile: Tile, room: int) -> Tile:
    """A tile that was refined from its `cut`, with as much more of its payload as `room` more bytes hold, refined again; as it was
    where only the first time gave something and that still draws it better.
    """
    more = coder.grown(cut, tile.size - cut.size + room)
    (again,) = coder.refined(Trial((more,))).tiles
    lost = tile.coded is not cut.coded and again.coded is more.coded
    return tile if lost and coder.error(Trial((tile,))) <= coder.error(Trial((again,))) else again


@dataclass(frozen=True)
class Given:
    """What is coded: frames in tiles; see `swathpack.tools.files.encoder.SeriesEncoder`."""

    sources: Sequence[FrameSource]
    windows: Sequence[TileWindow]
    groups: Sequence[int]
    choice: Choice
    intra_every: int
    around: Surroundings


class Coders:
    """The frame coders of a series, each knowing the contexts that the frames before it leave. shared: bytes are shared out among
    frames, so that what later ones inherit counts. most_bytes, last_bytes: see `rooms_of`.
    """

    def __init__(
        self,
        given: Given,
        aim_bytes: int,
        most_bytes: int | None,
        level: float | None = None,
        shared: bool = True,
        last_bytes: int | None = None,
    ) -> None:
        self._shared = shared
        self._given, self._aim, self._level = given, aim_bytes, level
        self._rooms = rooms_of(aim_bytes, most_bytes, last_bytes)
        self._places = {group: [Place(given.around.shelf) for _ in given.windows] for group in given.groups}
        self._kept: list[FrameCoder] = []
        self._seen: dict[tuple[float, float], list[Trial]] = {}

    def take(self, index: int) -> FrameCoder:
        """The coder of the next frame."""
        self._refresh(index)
        g = self._given
        own = self._places[g.groups[index]]
        later = g.groups[index] in g.groups[index + 1 :]
        aims = self._aim, self._rooms, later, self._level, self._followers(index) if self._shared else ()
        return FrameCoder(index, g.sources[index], g.windows, own, g.choice, g.around, *aims)

    def _followers(self, index: int) -> list[FrameSource]:
        """Frames that may be coded against this one, or against what was."""
        g = self._given
        end = len(g.sources) if not g.intra_every else (index // g.intra_every + 1) * g.intra_every
        return [g.sources[n] for n in range(index + 1, min(end, len(g.sources))) if g.groups[n] == g.groups[index]]

    def keep(self, index: int) -> FrameCoder:
        """The same, kept for `sequence`."""
        self._kept.append(self.take(index))
        return self._kept[-1]

    def sequence(self, level: float, dead_zone: float = DEAD_ZONE) -> list[Trial]:
        """All kept frames at a level, one after another."""
        key = level, dead_zone
        if key not in self._seen:
            found = []
            self._forget()
            for index, coder in enumerate(self._kept):
                self._refresh(index)
                coder.forget_contexts()
                found.append(coder.trial(level, dead_zone))
                coder.remember(found[-1], self._asked_later(index))
            self._seen[key] = found
        return self._seen[key]

    def least(self, trials: Sequence[Trial]) -> int:
        """Bytes of such trials where plain tiles have what tells their means, and the learned codec's are as they are."""
        return sum(least_of(coder, trial) for coder, trial in zip(self._kept, trials))

    def level_beside(self, trials: Sequence[Trial], q: int, room: int) -> float | None:
        """The level at which all plain tiles fit `room` bytes beside the learned codec's, which take half as many bytes every
        HALF_AS_MANY levels on from step q; None where these leave them nothing.
        """
        own = sum(t.size for trial in trials for t in trial.tiles if isinstance(t.coded, LearnedTile))
        sizes = np.sum([sizes_of(coder, trial) for coder, trial in zip(self._kept, trials)], axis=0)
        fits = np.flatnonzero(sizes + own * (2.0 ** ((q - LEVELS) / HALF_AS_MANY) - 1) <= room)
        return float(LEVELS[fits[0]]) if len(fits) and self.least(trials) <= room else None

    def _asked_later(self, index: int) -> set[int]:
        """Tiles that a later kept frame of the same grid may still code against what a decoder has of this one."""
        groups = self._given.groups
        later = [c for c in self._kept[index + 1 :] if groups[c.index] == groups[index]]
        return {w.index for coder in later for w in coder.live if not coder.looked(w)}

    @property
    def free(self) -> bool:
        """Whether no kept frame has a tile of the learned codec."""
        return all(coder.free for coder in self._kept)

    def reconsider(self, q: int) -> bool:
        """See `FrameCoder.reconsider`; of all frames, as they are after `sequence(q)`."""
        self.sequence(q)
        changed = [coder.reconsider(q) for coder in self._kept]
        if any(changed):
            self._seen.clear()
        return any(changed)

    def forget_plain(self) -> None:
        """Code the transform coder's tiles anew, against what the frames before leave."""
        for coder in self._kept:
            coder.forget_plain()

    def settled(self, trials: Sequence[Trial], room: int) -> list[Trial]:
        """The same trials with their plain tiles coded against what a decoder will really have, frame by frame, and `room`
        filled: each frame at the level at which it and those after it, as they were in `trials`, take what is left.
        """
        self._forget()
        later = [sizes_of(coder, trial) for coder, trial in zip(self._kept, trials)]
        least = [least_of(coder, trial) for coder, trial in zip(self._kept, trials)]
        cuts, found = list[Trial](), list[Trial]()
        for index, (coder, trial) in enumerate(zip(self._kept, trials)):
            self._refresh(index)
            coder.recode(trial)
            cuts.append(first_of(coder, trial, later[index + 1 :], room, least[index + 1 :]))
            found.append(coder.refined(cuts[-1]))
            room -= found[-1].size
            coder.remember(found[-1])
        return self._topped_up(cuts, found, room)

    def _topped_up(self, cuts: Sequence[Trial], trials: Sequence[Trial], room: int) -> list[Trial]:
        """What is left goes to plain tiles that no later frame names: the last frame may have none. cuts: the same trials before
        they were refined; what that leaves of each tile's bytes is not worth refining it again.
        """
        named = {(ref.frame, tile.index) for trial in trials for tile in trial.tiles for ref in tile.refs}
        least = REST if self._given.choice.refine else 0.0
        found = []
        for coder, cut, trial in zip(reversed(self._kept), reversed(cuts), reversed(trials)):
            tiles = list(trial.tiles)
            for n, tile in enumerate(tiles):
                free = tile.size and isinstance(tile.coded, PlainTile) and (coder.index, tile.index) not in named
                if free and room > least * tile.size:
                    tiles[n] = regrown(coder, cut.tiles[n], tile, room)
                    room -= tiles[n].size - tile.size
            found.append(Trial(tuple(tiles)))
        return found[::-1]

    def give_up(self) -> None:
        """Leave the learned codec in all frames."""
        self._seen.clear()
        for coder in self._kept:
            coder.give_up()

    def take_up(self) -> None:
        """The learned codec in all frames, for every tile that it can code."""
        self._seen.clear()
        for coder in self._kept:
            coder.take_up()

    @property
    def tries_both(self) -> bool:
        """Whether modes are chosen at all."""
        return all(coder.tries_both for coder in self._kept)

    def filled(self, trials: Sequence[Trial], room: int) -> list[Trial]:
        """The same trials with `room` filled by their plain tiles."""
        if not any(trial.plain for trial in trials):
            return list(trials)
        if len(trials) > 1:
            return self.settled(trials, room)
        return [self._kept[0].refined(trial) for trial in fill([(self._kept[0], trials[0])], room)]

    def error(self, trials: Sequence[Trial]) -> float:
        """Squared error of trials that were made last; see `FrameCoder.error`."""
        return sum(coder.error(trial) for coder, trial in zip(self._kept, trials))

    def _refresh(self, index: int) -> None:
        every = self._given.intra_every
        if every and index % every == 0:
            self._forget()

    def _forget(self) -> None:
        for place in (p for of_grid in self._places.values() for p in of_grid):
            place.forget()
