"""What happened to each engine, as events of the flight."""

from __future__ import annotations

from collections.abc import Sequence

from swathpack.edge import events
from swathpack.edge.codec.engines import EngineEvent
from swathpack.edge.events import EventLog

OPENED, NOTES = "opened", ("dla", "analysis", "built", "rebuilt", "loaded")


def report_engines(log: EventLog, found: Sequence[EngineEvent]) -> None:
    """One event per engine tried, in the order in which they were."""
    for one in found:
        if one.reason == OPENED:
            log.report(events.ENGINE_OPENED, engine=one.engine, detail=one.detail)
        else:
            kind = events.ENGINE_NOTE if one.reason in NOTES else events.ENGINE_REFUSED
            log.report(kind, engine=one.engine, reason=one.reason, detail=one.detail)
