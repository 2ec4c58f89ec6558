"""Which contexts a tile is coded against.

`confirmed` (the default) takes what the ground has confirmed, from the context store: a lost packet never
makes a later image undecodable. `sent` takes what has been sent, hoping for the best: newer contexts, and the
ground waits for repairs when something was lost. Both code without context (intra) when the ground asks for
it, and when the last intra coding of the tile is too many codings ago, so that a ground that lost data
recovers by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from swathpack.edge import events
from swathpack.edge.codec.lone import may_be_context
from swathpack.edge.codec.protocol import ContextLatent, TileKey
from swathpack.edge.context.store import ContextStore
from swathpack.edge.downlink.queue import DownlinkQueue
from swathpack.edge.downlink.schema import QueueCorruptError
from swathpack.edge.events import EventLog
from swathpack.edge.storage.blockfile import StorageError


class Policy(Enum):
    """What counts as known to the ground."""

    CONFIRMED = "confirmed"
    SENT = "sent"


@dataclass(frozen=True)
class ContextSettings:
    """policy: see the module. refresh_every: codings of a tile from one intra to the next, 0 for never.

    max_age_s: a context older than this against the tile's time, either way, is not used.
    """

    policy: Policy = Policy.CONFIRMED
    refresh_every: int = 20
    max_age_s: int = 2 * 365 * 86400


class ContextChooser:
    """Chooses contexts; thread-safe. Requests for an intra coding are remembered in the queue's file."""

    def __init__(self, settings: ContextSettings, store: ContextStore, queue: DownlinkQueue, log: EventLog) -> None:
        self._settings, self._store, self._queue, self._log = settings, store, queue, log

    def refresh(self, tile: int) -> None:
        """Code this tile without context next time."""
        self._queue.tiles.want_refresh(tile)
        self._log.report(events.REFRESH_WANTED, tile=tile)

    def contexts(self, key: TileKey, intra: bool = False) -> list[ContextLatent]:
        """At most two contexts, newest first; none when the tile is to be intra or its context cannot be
        read.
        """
        since, wanted = self._queue.tiles.refresh_state(key.tile)
        every = self._settings.refresh_every
        if intra or wanted or 0 < every <= since + 1:
            return []
        try:
            found = self._candidates(key.tile)
        except (StorageError, QueueCorruptError) as error:
            self._log.report(events.STAGE_FAILED, stage="context", error=str(error))
            return []
        age = self._settings.max_age_s
        return [c for c in found if c.key != key and c.layers and abs(c.key.time - key.time) <= age][:2]

    def _candidates(self, tile: int) -> list[ContextLatent]:
        if self._settings.policy is Policy.CONFIRMED:
            return self._store.get(tile)
        tiles = self._queue.tiles
        sent = [tiles.latent(number, layers) for number, layers in tiles.sent_of(tile, 2)]
        useful = [s for s in sent if s is not None and may_be_context(s.q, s.latent)]
        newest = {c.key: c for c in (*self._store.get(tile), *useful)}
        return sorted(newest.values(), key=lambda c: -c.key.time)
