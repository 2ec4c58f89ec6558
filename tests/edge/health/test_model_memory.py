"""Memory under watch: arrays of the model and the range coder's own tables are found changed and repaired."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge import events
from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.rangecoder import TABLES_FRAME, backend, tables_memory
from swathpack.edge.codec.transform_coder import bitplane
from swathpack.edge.events import EventLog
from swathpack.edge.health.model_memory import Canary, watch_model
from swathpack.edge.health.scrub import Scrubber
from tests.codec_models import shipped


@pytest.fixture(scope="module")
def model() -> EdgeModel:
    """One of these tests' own: all that they change is repaired."""
    return EdgeModel()


@pytest.fixture
def watched(model: EdgeModel) -> tuple[EdgeModel, Scrubber, list[events.EventKind]]:
    told: list[events.EventKind] = []
    log = EventLog(ManualClock())
    log.report = lambda kind, **_: told.append(kind)  # type: ignore[assignment,method-assign]
    scrubber = Scrubber(log)
    watch_model(scrubber, model, shipped)
    return model, scrubber, told


def test_weights_are_repaired(watched) -> None:
    model, scrubber, told = watched
    name = next(iter(model.parameters))
    array = model.parameters[name].reshape(-1).view(np.uint8)
    before = array[0]
    array[0] ^= 4
    assert scrubber.check_all()
    assert array[0] == before and events.MEMORY_FLIPPED in told and events.MEMORY_REPAIRED in told


@pytest.mark.skipif(backend() != "native", reason="the C range coder is not built")
@pytest.mark.parametrize("part", ["cum", "start", "half", "shift", "order", "lut"])
def test_the_coders_own_tables_are_repaired(watched, part: str) -> None:
    model, scrubber, told = watched
    memory = tables_memory(model.tables)[part]
    whole = memory.copy()
    memory[memory.size // 2] ^= 16
    assert scrubber.check_all(), "repaired, so coding goes on"
    np.testing.assert_array_equal(memory, whole)
    assert told == [events.MEMORY_FLIPPED, events.MEMORY_REPAIRED]


@pytest.mark.skipif(backend() != "native", reason="the C range coder is not built")
def test_changed_addresses_stop_coding(watched) -> None:
    model, scrubber, told = watched
    frame = tables_memory(model.tables)[TABLES_FRAME]
    frame[4] ^= 1  # behind the number of tables: padding, so that nothing here follows a wrong address
    assert not scrubber.check_all()
    assert events.CODING_STOPPED in told
    frame[4] ^= 1


@pytest.mark.parametrize("part", [0, 1, 2])
def test_the_transform_coders_model_is_repaired(watched, part: int) -> None:
    _, scrubber, told = watched
    memory = bitplane.model()[part].reshape(-1).view(np.uint8)
    whole = memory.copy()
    memory[memory.size // 2] ^= 8
    try:
        assert scrubber.check_all() and told == [events.MEMORY_FLIPPED, events.MEMORY_REPAIRED]
        np.testing.assert_array_equal(memory, whole)
    finally:
        memory[:] = whole


@pytest.mark.parametrize("mode", ["learned", "transform", "auto"])
def test_the_canary_sings_in_every_mode_that_a_mission_may_name(mode: str) -> None:
    canary = Canary(FlightCodec(shipped(), 28, mode=mode), EventLog(ManualClock()))
    assert canary.check()
    states = bitplane.model()[0]
    states.setflags(write=True)
    whole = states.copy()
    states[:, 0] ^= 0x4000
    try:
        assert canary.check() == (mode == "learned"), "a tile coded with other states is another tile on the ground"
    finally:
        states[:] = whole
    assert canary.check()
