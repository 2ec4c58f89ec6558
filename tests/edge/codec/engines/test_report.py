"""Orders of engines, and what the flight tells about them."""

from __future__ import annotations

import pytest

from swathpack.edge import events
from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.engines import FASTEST, EngineEvent, configured_order
from swathpack.edge.codec.engines.report import report_engines
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.events import Event, EventLog, unpack_events


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", FASTEST),
        ("tensorrt, auto", ("tensorrt", *FASTEST)),
        ("onnxruntime:basic,auto", ("onnxruntime:basic", "onnxruntime:extended")),
        ("auto,auto,", FASTEST),
        ("", ()),
    ],
)
def test_orders(text: str, expected: tuple[str, ...]) -> None:
    assert configured_order(text) == list(expected)


def test_a_flight_falls_back_and_says_why() -> None:
    model = EdgeModel(engine="cuda,auto")
    log, told = EventLog(ManualClock()), list[Event]()
    log.add_sink(told.append)
    report_engines(log, model.engine_events)
    assert [e.kind for e in told[:1]] == [events.ENGINE_REFUSED] and told[-1].kind is events.ENGINE_OPENED
    assert told[0].text().startswith("engine cuda may not code (unknown): expected one of float32")
    assert told[-1].values["engine"] == model.engine_events[-1].engine


def test_the_layer_that_differs_fits_the_downlinked_event() -> None:
    log = EventLog(ManualClock())
    detail = "heads of layer 15 differ first (case real_4x4 (step by step)): 3 of 4 values"
    found = [EngineEvent("onnxruntime:extended", "golden", detail), EngineEvent("tensorrt", "dla", "no DLA core")]
    report_engines(log, found)
    (refused, note) = sorted(unpack_events(log.drain(1000)), key=lambda e: e.kind.id)
    assert "layer 15" in str(refused.values["detail"]) and refused.values["engine"] == "onnxruntime:extended"
    assert note.kind is events.ENGINE_NOTE and note.values["reason"] == "dla"
