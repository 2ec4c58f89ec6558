"""The plan's budgets flown by the loop itself: `swathpack plan` writes them, `swathpack.edge.loop` sends by them.

A 9.6 kbit/s UHF radio keeps the passes small; time is the injected clock's. Frames come from the synthetic
source all the time, so that there is always more to send than a pass carries.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from swathpack.edge.downlink.budget import Budget, read_budget
from swathpack.edge.outside import make_schedule
from swathpack.edge.sources.synthetic import SyntheticSource
from swathpack.hil_tests.simulation.fake_codec import FakeTileCodec
from swathpack.hil_tests.simulation.flight import Flight, Station
from swathpack.tools.cli import main
from swathpack.tools.plan.model import Outcome

MISSION = """
state = "state"
[uplink]
key_file = "key"
[passes]
budget = "plan/budget.toml"
paced = true
[context]
slots = 1024
slot_bytes = 65536
[coding]
tile = 64
[limits]
min_free_mb = 0
ballast_mb = 1
[link]
packet_bytes = 4096
reserve_bytes = 65536
"""
UHF = (
    ('band = "S"', 'band = "UHF"'),
    ("frequency_ghz = 2.245", "frequency_ghz = 0.437"),
    ("bitrate_mbit_s = 1.0", "bitrate_mbit_s = 0.0096"),
    ("eirp_dbw = 6.0", "eirp_dbw = 3.0"),
)
TICK_S, LAST_TICK_S = 5.0, 0.25
LEAD_S = 2000.0  # the source runs this long before the first pass


@dataclass
class Flown:
    """Bytes that left the radio per pass number, their packets, and the clear-sky plan that was followed."""

    planned: Budget
    packets: dict[int, list[bytes]]
    station: Station

    def sent(self, number: int) -> int:
        return sum(map(len, self.packets.get(number, [])))


def plan_and_fly(write_plan, folder: Path, passes: int, size: int, every_s: float, codec=None, days=0.5) -> Flown:
    """`swathpack plan` on the small UHF plan, then the loop through the first `passes` of its passes."""
    path = write_plan(*UHF, ("days = 2", f"days = {days:g}"), ("cloud_fraction = 0.3", "cloud_fraction = 0.0"))
    assert main(["plan", str(path), "--out", str(folder / "plan")]) == 0
    planned = read_budget(folder / "plan" / "budget.toml")
    planned = Budget(planned.plan, planned.created, planned.seed, planned.passes[:passes])
    flight = Flight(folder, text=MISSION)
    flight.clock.jump_wall(planned.passes[0].start_s - LEAD_S - flight.clock.wall())
    flight.loop.encode.codec = codec or FakeTileCodec(channels=768, q=0)
    flight.loop.intake.source = SyntheticSource(flight.clock, 10_000, 4, size, every_s)
    flight.loop.downlink.schedule = make_schedule(flight.mission, flight.clock, flight.board.queue)
    station = Station(folder, flight)
    for contact in planned.passes:
        fly_until(flight, contact.start_s, 300.0)
        fly_until(flight, contact.end_s - TICK_S, TICK_S)
        fly_until(flight, contact.end_s + 1.0, LAST_TICK_S)
        station.hear(contact.id, flight.radio.passes.get(contact.id, []))
    flight.board.close()
    return Flown(planned, flight.radio.passes, station)


def fly_until(flight: Flight, wall_s: float, tick_s: float) -> None:
    """Let the injected clock run in ticks; in each the loop does all that it can."""
    while flight.clock.wall() < wall_s:
        flight.loop.settle()
        flight.clock.advance(min(tick_s, wall_s - flight.clock.wall()) or tick_s)
    flight.loop.settle()


def check(flown: Flown) -> None:
    """Never a byte more than planned, and within one in a thousand: every pass, and all together."""
    for contact in flown.planned.passes:
        print(f"pass {contact.id}: planned {contact.bytes}, sent {flown.sent(contact.id)} bytes")
        assert 0.999 * contact.bytes <= flown.sent(contact.id) <= contact.bytes
    planned = sum(contact.bytes for contact in flown.planned.passes)
    sent = sum(flown.sent(contact.id) for contact in flown.planned.passes)
    print(f"{len(flown.planned.passes)} passes: planned {planned}, sent {sent} bytes, {100 * sent / planned:.2f} %")
    assert 0.999 * planned <= sent <= planned
    assert set(flown.packets) == {contact.id for contact in flown.planned.passes}
    assert flown.station.receiver.counts["damaged packets"] == 0


@pytest.mark.long
def test_the_loop_sends_what_was_planned(write_plan, tmp_path: Path) -> None:
    flown = plan_and_fly(write_plan, tmp_path, passes=2, size=256, every_s=800.0)
    check(flown)
    assert len(flown.station.store.tile_frames()) > 50, "what was sent is images"


@pytest.mark.slow
def test_a_day_of_passes(write_plan, tmp_path: Path) -> None:
    flown = plan_and_fly(write_plan, tmp_path, passes=100, size=256, every_s=400.0, days=1)
    check(flown)
    assert len(flown.planned.passes) >= 5


@pytest.mark.slow
def test_the_real_codec_sends_what_was_planned(write_plan, tmp_path: Path) -> None:
    """Small tiles and a fine step: many bytes for little work."""
    from swathpack.edge.codec.flight import FlightCodec
    from swathpack.edge.codec.model import EdgeModel

    codec = FlightCodec(EdgeModel(), q=0)
    check(plan_and_fly(write_plan, tmp_path, passes=2, size=256, every_s=300.0, codec=codec))


def test_planned_image_bytes_are_what_the_loop_has_room_for(small_outcome: Outcome) -> None:
    """The planner's own image bytes of a pass leave room for the packets' heads, as the loop counts them."""
    for contact in small_outcome.budget.passes:
        used = small_outcome.flows["one"].pass_bytes[contact.id]
        assert used <= contact.bytes * small_outcome.plan.radio.packet_efficiency
