"""How tile-frames are named to people: place, row and column, and the time."""

from __future__ import annotations

from datetime import datetime, timezone

from swathpack.edge.events import Event
from swathpack.edge.stages.intake import TILE_BITS


def split_tile(tile: int) -> tuple[int, int, int]:
    """(place, row, column) of a tile id."""
    column = tile & ((1 << TILE_BITS) - 1)
    row = tile >> TILE_BITS & ((1 << TILE_BITS) - 1)
    return tile >> 2 * TILE_BITS, row, column


def spoken_tile(tile: int) -> str:
    """PLACE/ROW/COLUMN."""
    return "/".join(map(str, split_tile(tile)))


def spoken_time(time: int) -> str:
    """ISO 8601 of seconds since 1970, or the number itself where there is no such date."""
    try:
        return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(time)


def spoken_event(event: Event) -> str:
    """An event's sentence with its tile and acquisition as `receive --list` names them."""
    values = dict(event.values)
    for name, spoken in (("tile", spoken_tile), ("time", spoken_time)):
        value = values.get(name)
        if isinstance(value, int):
            values[name] = spoken(value)
    return event.kind.wording.format(**values)
