"""When the ground is in sight, and how many bytes a contact carries.

A schedule answers one question without state: which contact is now. So a clock that jumps, a restart or a
late start need nothing special; a contact that was ended is not run again, because the queue remembers it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from swathpack.edge.clock import Clock
from swathpack.edge.downlink.budget import Budget


@dataclass(frozen=True)
class Contact:
    """A pass that is on now. due_bytes: how much the radio can have taken by now; equal to the budget
    unpaced. The next packet leaves when the radio can be done with those before it.
    """

    number: int
    budget_bytes: int
    due_bytes: int


class Schedule(Protocol):
    """Where contacts come from."""

    def current(self) -> Contact | None:
        """The contact that is on now, or None."""

    def coming_bytes(self) -> int | None:
        """What the contact that is on now carries, else the next one; None where none is known."""


class PlannedSchedule:
    """A `Schedule`: the passes of the planner's budget.toml, by the wall clock.

    paced: packets leave no faster than the radio takes them; otherwise as fast as the port does.
    """

    def __init__(self, budget: Budget, clock: Clock, paced: bool = True) -> None:
        self._budget, self._clock, self._paced = budget, clock, paced

    def current(self) -> Contact | None:
        now = self._clock.wall()
        for one in self._budget.passes:
            if one.start_s <= now < one.end_s:
                due = int(one.capacity(one.start_s, now)) if self._paced else one.bytes
                return Contact(one.id, one.bytes, min(due, one.bytes))
        return None

    def coming_bytes(self) -> int | None:
        now = self._clock.wall()
        return next((one.bytes for one in self._budget.passes if now < one.end_s), None)


class FixedSchedule:
    """A `Schedule`: a pass of `budget_bytes` every `every_s` seconds of monotonic time, the first after one interval.

    first: number of the first pass, so that numbers go on after a restart. A new budget may be set at any
    time.
    """

    def __init__(self, budget_bytes: int, every_s: float, clock: Clock, first: int = 0) -> None:
        self.budget_bytes = budget_bytes
        self._every_s, self._clock, self._first = every_s, clock, first
        self._start = clock.monotonic()

    def current(self) -> Contact | None:
        turn = int((self._clock.monotonic() - self._start) / self._every_s)
        return Contact(self._first + turn - 1, self.budget_bytes, self.budget_bytes) if turn else None

    def coming_bytes(self) -> int | None:
        return self.budget_bytes


class SingleContact:
    """A `Schedule`: one contact that is on or off by hand: for a run of one pass, for tests and simulations."""

    def __init__(self, number: int, budget_bytes: int) -> None:
        self.contact: Contact | None = Contact(number, budget_bytes, budget_bytes)
        self._paused: Contact | None = None

    def current(self) -> Contact | None:
        return self.contact

    def coming_bytes(self) -> int | None:
        contact = self.contact or self._paused
        return None if contact is None else contact.budget_bytes

    def pause(self) -> None:
        """The ground is out of sight."""
        self.contact, self._paused = None, self.contact

    def resume(self) -> None:
        """And in sight again."""
        self.contact, self._paused = self._paused, None
