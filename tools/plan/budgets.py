"""What the board takes of a plan: bytes and rates of every pass."""

from __future__ import annotations

import numpy as np

from swathpack.edge.downlink.budget import Budget, Pass, format_time
from swathpack.tools.plan.inputs import Plan
from swathpack.tools.plan.passes import Contact
from swathpack.tools.plan.uncertainty import Draws


def spread_of_passes(contacts: tuple[Contact, ...], draws: Draws) -> dict[int, tuple[int, int, int]]:
    """P10, P50, P90 of the bytes of every pass by its number, over all draws."""
    if not contacts:
        return {}
    table = np.percentile(draws.pass_bytes, (10, 50, 90), axis=0, method="nearest").astype(np.int64)
    return {contact.number: (int(a), int(b), int(c)) for contact, a, b, c in zip(contacts, *table)}


def make_budget(plan: Plan, contacts: tuple[Contact, ...], pass_spread: dict[int, tuple[int, int, int]]) -> Budget:
    """What the board takes: Space Packet bytes and the rate profile of every pass, clear sky."""
    passes = tuple(
        sorted(
            (budget_pass(contact, pass_spread[contact.number]) for contact in contacts),
            key=lambda p: (p.start_s, p.id),
        )
    )
    # Dated by the plan and not by the clock, so the same plan and seed give the same file.
    satellites = tuple(satellite.name for satellite in plan.satellites)
    return Budget(plan.name, format_time(plan.start_s), plan.seed, passes, satellites)


def budget_pass(contact: Contact, spread_bytes: tuple[int, int, int]) -> Pass:
    """The profile with equal neighbours joined; its integral is the pass's bytes."""
    at = np.round(contact.edges()[0] - contact.start_s, 3)
    rates = np.round(contact.rate_byte_s, 3)
    first = np.concatenate([[True], rates[1:] != rates[:-1]])
    return Pass(
        contact.number,
        contact.satellite.name,
        contact.station.name,
        contact.start_s,
        contact.end_s,
        contact.bytes,
        tuple(float(moment) for moment in at[first]),
        tuple(float(rate) for rate in rates[first]),
        min(spread_bytes[0], contact.bytes),
        min(spread_bytes[2], contact.bytes),
        round(contact.sighting.max_elevation_deg, 2),
    )
