"""All that a campaign needs before its first day: passes, faults in their places, ground to look at.

`swathpack hil --check` stops behind it; a campaign goes on from it, so nothing earlier is touched for a scenario that
cannot run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from swathpack.edge.downlink.budget import format_time, parse_time
from swathpack.hil_tests.campaigns.injections import Schedule, make_schedule
from swathpack.hil_tests.scenario.read import Scenario
from swathpack.hil_tests.simulation.orbit import LEAST_BYTES, Orbit, find_passes
from swathpack.hil_tests.simulation.scenes import Place, load_places

# The board's own configuration, filled in with the scenario's.
MISSION = """state = "state"
[source]
kind = "folder"
path = "inbox"
settle_s = 0.0
[uplink]
key_file = "uplink.key"
[downlink]
key_file = "uplink.key"
[passes]
budget = "budget.toml"
paced = true
[context]
slots = 1024
slot_bytes = 32768
[coding]
tile = {tile}
q = {q}
{guarantee}
engine = "{engine}"
canary_s = {canary_s}
[link]
packet_bytes = {packet_bytes}
reserve_bytes = 4096
[limits]
min_free_mb = 0
ballast_mb = 1
[throttle]
max_temperature_c = {max_temperature_c}
"""


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is known before the run; start_s in seconds since 1970 UTC."""

    start_s: float
    orbit: Orbit
    schedule: Schedule
    places: list[Place]


def prepare(scenario: Scenario, data: Path | None) -> Prepared:
    """Passes found, faults placed, scenes loaded. data: folder of cubes, None for the usual one. Raises UserError."""
    start_s = parse_time(scenario.start)
    orbit = find_passes(scenario, start_s)
    schedule = make_schedule(scenario, orbit, start_s)
    return Prepared(start_s, orbit, schedule, load_places(scenario.sensor, data, scenario.seed))


def describe(scenario: Scenario, ready: Prepared) -> str:
    """What would be flown, and when each fault comes."""
    passes, faults = ready.orbit.passes, ready.schedule.injections
    lines = [
        f"{scenario.name}: good; {scenario.days:g} days from {format_time(ready.start_s)[:16]}Z, passes: {len(passes)}, "
        f"frames: {len(ready.schedule.shots)}, places: {len(ready.places)}, faults: {len(faults)}, seed {scenario.seed}",
        f"  scenes: {'; '.join(sorted({place.credit for place in ready.places}))}",
    ]
    small = sum(one.budget.bytes < LEAST_BYTES for one in passes)
    if small:
        lines.append(
            f"  warning: passes.share: {small} of {len(passes)} passes carry nothing: of fewer bytes than the smallest packet, "
            f"{LEAST_BYTES}"
        )
    for kind, count in Counter(fault.kind for fault in faults).items():
        hours = [(fault.time - ready.start_s) / 3600 for fault in faults if fault.kind == kind]
        times = ", ".join(f"{hour:.2f}" for hour in hours[:8]) + (" ..." if count > 8 else "")
        lines.append(f"  {kind:20}{count:4}  at hour {times}")
    return "\n".join(lines)
