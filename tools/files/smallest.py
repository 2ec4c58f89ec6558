"""The smallest budget that holds headers, what travels at every budget, tiles within an error, and the mean of every other tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from swathpack.tools.files.coding_jobs import room_for


@dataclass(frozen=True)
class Smallest:
    """In total, or of each frame; aim_bytes, most_bytes: what its tiles are coded for (`swathpack.tools.files.coders.Coders`), so
    that they fit into it and into any larger one. last_bytes: to which a tile is coded that needs more than most_bytes; None: none is.
    """

    budget: int
    aim_bytes: int
    most_bytes: int
    last_bytes: int | None = None


class TooSmallError(Exception):
    """The least that tiles of some aim take is beyond the room for them; coded for less they may fit."""


class Needs(Protocol):
    """What a `SeriesEncoder` tells of its frames."""

    @property
    def given(self) -> Sequence[Any]:
        """The frames."""

    @property
    def others(self) -> int:
        """Tiles of a frame within no error of their own."""

    def promised_bytes(self) -> list[int]:
        """Of each frame, its tiles within an error."""

    def records_bytes(self) -> int:
        """Of the records of all frames."""

    def least_header(self) -> int:
        """With what travels at every budget."""

    def least_frames(self, tile_bytes: int, most_bytes: int) -> list[int]:
        """Of each frame, tiles meant to take so many bytes."""


def smallest_budget(encoder: Needs, each: bool) -> Smallest:
    """How long a tile's head is depends on what the tile may take, so the budget rises until it holds what it asks for."""
    budget, frames, promised = 0, len(encoder.given), encoder.promised_bytes()
    tiles = encoder.others * (1 if each else frames)
    used = -(-encoder.least_header() // frames) if each else encoder.least_header()
    while True:
        # What tiles may take is counted as the encoder does, so that it rarely has to code anew.
        room = budget - used - (max(promised) if each else sum(promised) + encoder.records_bytes())
        aim = max(1, room // tiles)
        most = max(1, budget if each else min(room, room_for(aim)))
        parts = [own + more for own, more in zip(promised, encoder.least_frames(aim, most))]
        needed = used + (max(parts) if each else sum(parts))
        if needed <= budget:
            return Smallest(budget, aim, most)
        budget = needed
