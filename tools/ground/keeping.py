"""Keeping a store in order by hand: what it holds, and taking out what does not belong there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.stream.quality import PREDICTIVE, is_learned, step_of
from swathpack.tools.errors import UsageError, UserError
from swathpack.tools.ground.guarantees import Promised
from swathpack.tools.ground.names import split_tile, spoken_tile, spoken_time
from swathpack.tools.ground.store import GroundStore, TileFrame

UNREAD = "unread"
DROP_FORMS = f"PLACE, PLACE/ROW/COLUMN or PLACE/ROW/COLUMN/TIME as --list shows them, or {UNREAD}"


def listing(store: GroundStore, promised: Promised = lambda _: None) -> Iterator[str]:
    """A line for every tile-frame, by place and time, and one for what could not be read. promised: the greatest error that a
    predictive tile-frame says it keeps.
    """
    yield "place/row/column  time                  layers  step  <= pixels  segments  bytes"
    frames = segments = size = 0
    for held in store.contents():
        frames, segments, size = frames + 1, segments + held.segments, size + held.bytes_held
        yield _line(held, promised)
    count, lost = store.unread()
    yield f"{frames} tile-frames, {segments} segments, {size} bytes; {count} segments without a head, {lost} bytes"


def _line(held: TileFrame, promised: Promised) -> str:
    where = spoken_tile(held.key.tile)
    pixels = f"{held.size[0] * 16} x {held.size[1] * 16}" if held.layers else "-"
    step = _step(held, promised) if held.layers else "-"
    return (
        f"{where:16s}  {spoken_time(held.key.time):20s}  {held.layers:2d}/{LAYERS}  {step:>5}  {pixels:9s}  "
        f"{held.segments:7d}  {held.bytes_held}"
    )


def _step(held: TileFrame, promised: Promised) -> str:
    """The quantiser's step index, the greatest error, or that a tile is cut where its bytes end."""
    if is_learned(held.q):
        return str(step_of(held.q))
    error = promised(held.key) if held.q == PREDICTIVE else None
    return "cut" if error is None else f"+-{error}"


def drop(store: GroundStore, what: str) -> int:
    """Take out what one of DROP_FORMS names; returns how many segments went. Raises UserError when there is none."""
    if what == UNREAD:
        return store.drop_unread()
    wanted = _parsed(what)
    keys = [held.key for held in store.contents() if _fits(held.key, wanted)]
    if not keys:
        raise UserError(f"--drop {what}: the store holds nothing of it (--list shows what it holds)")
    return store.drop(keys)


def _parsed(what: str) -> tuple[int, ...]:
    parts = what.split("/")
    try:
        if len(parts) == 4:
            return (*map(int, parts[:3]), _seconds(parts[3]))
        if len(parts) in (1, 3):
            return tuple(map(int, parts))
    except ValueError:
        pass
    raise UsageError(f"--drop: expected {DROP_FORMS}, found {what!r}")


def _seconds(text: str) -> int:
    if text.lstrip("-").isdigit():
        return int(text)
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())


def _fits(key: TileKey, wanted: tuple[int, ...]) -> bool:
    return (*split_tile(key.tile), key.time)[: len(wanted)] == wanted
