"""Events: declared once, packed and unpacked alike, bounded in memory, never a reason to stop."""

import pytest

from swathpack.edge import events
from swathpack.edge.clock import ManualClock
from swathpack.edge.events import EventError, EventLog, Severity, unpack_events


@pytest.fixture
def clock():
    return ManualClock(wall=1_700_000_000.25)


def example(form: str):
    return {"u32": 7, "i64": -(2**40), "f32": 0.5, "text": "übergroß"}[form]


def test_every_declared_event_survives_the_wire_and_reads_well(clock):
    log = EventLog(clock)
    for kind in events.TABLE.values():
        log.report(kind, **{name: example(form) for name, form in kind.fields.items()})
    found = list(unpack_events(log.drain(1 << 20)))
    assert {e.kind.id for e in found} == set(events.TABLE)
    assert [e.kind.severity for e in found] == sorted((e.kind.severity for e in found), reverse=True)
    for event in found:
        assert event.values == {n: example(f) for n, f in event.kind.fields.items()}
        assert "{" not in event.text() and event.time_ms == 1_700_000_000_250


def test_golden_bytes(clock):
    log = EventLog(clock)
    log.report(events.TILE_SHED, tile=5, time=-1, reason="hot")
    assert log.drain(100).hex() == ("0213018bcfe568fa140000000000000005ffffffffffffffff03686f74")


def test_wrong_arguments_are_refused_where_they_are_made(clock):
    with pytest.raises(EventError, match="expected arguments"):
        EventLog(clock).report(events.STOPPED, cause="x")


def test_the_most_severe_go_down_first_and_only_whole_ones(clock):
    log = EventLog(clock)
    log.report(events.STOPPED, reason="a")
    log.report(events.CODING_STOPPED, reason="b")
    packed = log.drain(len(log.drain(0)) + 20)
    assert [e.kind for e in unpack_events(packed)] == [events.CODING_STOPPED]
    assert log.waiting() == 1


def test_memory_is_bounded_and_a_flood_is_counted(clock):
    log = EventLog(clock, capacity=50, burst=10)
    for i in range(1000):
        log.report(events.TILE_EMPTY, tile=i, time=0)
    assert log.waiting() == 10 and log.counts["tile_empty"] == 1000
    clock.advance(61)
    log.report(events.TILE_EMPTY, tile=0, time=0)
    told = [e for e in unpack_events(log.drain(1 << 16)) if e.kind is events.SUPPRESSED]
    assert [e.values["count"] for e in told] == [990]
    many = EventLog(clock, capacity=50, burst=10**6)
    for i in range(1000):
        many.report(events.TILE_EMPTY, tile=i, time=0)
    assert many.waiting() == 50


def test_a_sink_on_a_full_disk_is_dropped_and_told_of(clock):
    def full(event):
        raise OSError(28, "No space left on device")

    log, seen = EventLog(clock), []
    log.add_sink(full)
    log.add_sink(seen.append)
    log.report(events.STOPPED, reason="x")
    log.report(events.STOPPED, reason="y")
    assert [e.kind.name for e in seen].count("stopped") == 2
    assert log.counts["sink_failed"] == 1


def test_cut_or_unknown_bytes_raise_one_kind_of_error(clock):
    log = EventLog(clock)
    log.report(events.TILE_FAILED, tile=1, time=2, error="engine")
    packed = log.drain(1000)
    for cut in range(1, len(packed)):
        with pytest.raises(EventError):
            list(unpack_events(packed[:cut]))
    with pytest.raises(EventError, match="known event"):
        list(unpack_events(b"\xff\xff" + packed[2:]))


def test_severities_are_ordered():
    assert Severity.INFO < Severity.WARNING < Severity.CRITICAL
