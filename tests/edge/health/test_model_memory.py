"""Memory under watch: arrays of the model and the range coder's own tables are found changed and repaired."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge import events
from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.rangecoder import TABLES_FRAME, backend, tables_memory
from swathpack.edge.events import EventLog
from swathpack.edge.health.model_memory import watch_model
from swathpack.edge.health.scrub import Scrubber
from tests.codec_models import shipped


@pytest.fixture
def watched() -> tuple[EdgeModel, Scrubber, list[events.EventKind]]:
    model, told = EdgeModel(), []
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
