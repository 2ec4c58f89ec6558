"""Which contexts a tile gets: what the ground has, not too old, and none when it is to be intra."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.protocol import ContextLatent, TileKey
from swathpack.edge.downlink.context_policy import ContextChooser, ContextSettings, Policy
from swathpack.edge.events import EventLog
from swathpack.edge.storage.blockfile import StorageError
from swathpack.edge.stream.quality import TRANSFORM

DAY = 86400
NOW = TileKey(7, 100 * DAY)


def held(day: int, q: int = 20, layers: int = 4) -> ContextLatent:
    return ContextLatent.known(TileKey(7, day * DAY), q, layers, np.full((64, 4, 4), 2, np.int16))


class Tiles:
    """The queue's side: since the last intra coding, whether one is wanted, what was sent."""

    def __init__(self, since: int = 0, wanted: bool = False, sent: tuple[ContextLatent, ...] = ()) -> None:
        self.since, self.wanted, self.sent = since, wanted, sent

    def refresh_state(self, tile: int) -> tuple[int, bool]:
        return self.since, self.wanted

    def want_refresh(self, tile: int) -> None:
        self.wanted = True

    def sent_of(self, tile: int, limit: int) -> list[tuple[int, int]]:
        return [(number, one.layers) for number, one in enumerate(self.sent[:limit])]

    def latent(self, number: int, layers: int) -> ContextLatent:
        return self.sent[number]


class Store:
    def __init__(self, *contexts: ContextLatent, error: Exception | None = None) -> None:
        self.contexts, self.error = contexts, error

    def get(self, tile: int) -> list[ContextLatent]:
        if self.error:
            raise self.error
        return list(self.contexts)


def days(store: Store, tiles: Tiles, settings: ContextSettings | None = None, intra: bool = False) -> list[int]:
    log = EventLog(ManualClock())
    chooser = ContextChooser(settings or ContextSettings(), store, SimpleNamespace(tiles=tiles), log)  # type: ignore[arg-type]
    found = [c.key.time // DAY for c in chooser.contexts(NOW, intra)]
    assert log.counts["stage_failed"] == (store.error is not None)
    return found


def test_at_most_two_that_are_confirmed_and_never_the_tile_itself() -> None:
    assert days(Store(held(99), held(98), held(97)), Tiles()) == [99, 98]
    assert days(Store(held(100), held(98), held(97, layers=0)), Tiles()) == [98]


@pytest.mark.parametrize(
    ("since", "every", "expected"), [(0, 3, [99]), (1, 3, [99]), (2, 3, []), (9, 3, []), (999, 0, [99]), (0, 1, [])]
)
def test_every_so_many_codings_one_is_intra(since: int, every: int, expected: list[int]) -> None:
    assert days(Store(held(99)), Tiles(since), ContextSettings(refresh_every=every)) == expected


def test_intra_when_asked_for_by_the_ground_or_the_caller() -> None:
    tiles = Tiles()
    log = EventLog(ManualClock())
    chooser = ContextChooser(ContextSettings(), Store(held(99)), SimpleNamespace(tiles=tiles), log)  # type: ignore[arg-type]
    assert chooser.contexts(NOW) and not chooser.contexts(NOW, intra=True)
    chooser.refresh(7)
    assert not chooser.contexts(NOW) and log.counts["refresh_wanted"] == 1


def test_too_old_ones_either_way_are_left_out() -> None:
    settings = ContextSettings(max_age_s=5 * DAY)
    assert days(Store(held(106), held(105), held(95), held(94)), Tiles(), settings) == [105, 95]


def test_a_store_that_cannot_be_read_costs_the_context_alone() -> None:
    assert days(Store(error=StorageError("gone")), Tiles()) == []


def test_what_was_sent_counts_under_that_policy_and_then_alone_if_a_network_coded_it() -> None:
    sent = (held(99), held(98, q=TRANSFORM))
    assert days(Store(held(97)), Tiles(sent=sent), ContextSettings(Policy.SENT)) == [99, 97]
    assert days(Store(held(97)), Tiles(sent=sent)) == [97]
