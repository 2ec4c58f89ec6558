"""A planned pass at the radio's rate: filled as one that is not paced, and never more than a packet ahead of the radio."""

import pytest

from swathpack.edge.downlink.budget import Budget, Pass
from swathpack.edge.downlink.passrun import smallest_pass
from swathpack.edge.downlink.schedule import PlannedSchedule
from swathpack.hil_tests.simulation.flight import Flight

SECONDS, TICK_S, PACKET_BYTES = 100.0, 0.5, 512


@pytest.mark.parametrize("budget", [smallest_pass(signed=False), 100, 700, 3000, 10_000])
def test_a_paced_pass_is_filled_to_its_last_packet(tmp_path, budget):
    flight = Flight(tmp_path)
    flight.loop.settle()
    start = flight.clock.wall() + 10.0
    contact = Pass(1, "sat", "gs", start, start + SECONDS, budget, (0.0,), (budget / SECONDS,))
    flight.loop.downlink.schedule = PlannedSchedule(Budget("plan", "now", 1, (contact,)), flight.clock)
    while flight.clock.wall() < contact.end_s + 5.0:
        flight.loop.settle()
        sent = sum(map(len, flight.radio.passes.get(1, [])))
        assert sent <= contact.capacity(start, flight.clock.wall()) + PACKET_BYTES
        flight.clock.advance(TICK_S)
    assert budget - 4 <= sent <= budget
    assert len(flight.radio.passes[1]) >= budget / PACKET_BYTES
