"""What the planner writes, the board reads, and a link that follows it carries the planned bytes."""

from __future__ import annotations

import pytest

from swathpack.edge.downlink.budget import format_budget, parse_budget, read_budget
from swathpack.edge.toml_lite import parse
from swathpack.tools.plan.report import write_files

PACKET_BYTES = 1024


def test_the_file_is_the_plan(small_outcome, tmp_path) -> None:
    write_files(small_outcome, tmp_path)
    budget = read_budget(tmp_path / "budget.toml", "one")
    assert budget.passes == small_outcome.budget.passes
    assert len(parse((tmp_path / "budget.toml").read_text())["pass"]) == len(budget.passes)
    for planned, contact in zip(budget.passes, small_outcome.schedule.contacts):
        assert planned.bytes == contact.bytes and planned.station == contact.station.name
        assert planned.start_s == pytest.approx(contact.start_s, abs=0.001)
        assert planned.capacity(planned.start_s, planned.end_s) == pytest.approx(planned.bytes, rel=1e-4)


@pytest.mark.parametrize("tick_s", [0.1, 1.0, 7.3])
def test_a_link_that_follows_the_profile_carries_the_bytes(small_outcome, tick_s: float) -> None:
    """Whole packets from a queue that never runs dry, at whatever the profile lets through in each tick."""
    for contact in parse_budget(format_budget(small_outcome.budget)).passes:
        sent, credit, now = 0, 0.0, contact.start_s
        while now < contact.end_s:
            credit += contact.capacity(now, now + tick_s)
            packets = int(credit // PACKET_BYTES)
            credit -= packets * PACKET_BYTES
            sent += packets * PACKET_BYTES
            now += tick_s
        assert sent <= contact.bytes + PACKET_BYTES
        assert sent == pytest.approx(contact.bytes, rel=0.02)


def test_image_bytes_and_packets_fit_the_budget(small_outcome) -> None:
    """Planned image bytes, cut into packets with their overhead, stay within the pass and fill it."""
    radio, flow = small_outcome.plan.radio, small_outcome.flows["one"]
    payload = radio.packet_bytes - radio.packet_overhead_bytes
    for contact in small_outcome.budget.passes:
        used = flow.pass_bytes[contact.id]
        packets = -(-used // payload)
        assert used + packets * radio.packet_overhead_bytes <= contact.bytes + radio.packet_bytes
