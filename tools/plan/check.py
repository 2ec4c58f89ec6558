"""`swathpack plan --check`: everything read, passes found and scheduled, and the budget taken as the board takes it."""

from __future__ import annotations

from swathpack.edge.downlink.budget import BudgetError, format_budget, parse_budget
from swathpack.tools.errors import UserError
from swathpack.tools.plan.budgets import make_budget
from swathpack.tools.plan.imaging import find_captures
from swathpack.tools.plan.inputs import Plan
from swathpack.tools.plan.model import plan_warnings, rates_of
from swathpack.tools.plan.passes import all_contacts
from swathpack.tools.plan.report import scope
from swathpack.tools.plan.schedule import make_schedule


def check(plan: Plan) -> list[str]:
    """Lines to print. Raises UserError where the plan, or the board's reading of its budget, fails."""
    _, warnings = rates_of(plan)
    try:
        contacts = all_contacts(plan.satellites, plan.stations, plan.radio, plan.start_s, plan.end_s)
        captures = find_captures(plan)
    except ArithmeticError as error:
        raise UserError(f"propagation failed: {error}") from None
    schedule = make_schedule(contacts, plan.radio.min_pass_s, plan.gbyte_value, plan.cost_limit_per_day)
    spread = {contact.number: (0, contact.bytes, contact.bytes) for contact in schedule.contacts}
    budget = make_budget(plan, schedule.contacts, spread)
    try:
        taken = parse_budget(format_budget(budget))
        counts = [(name, len(taken.for_satellite(name).passes)) for name in taken.satellites()]
    except BudgetError as error:
        raise UserError(f"{plan.name}: the board would refuse budget.toml: {error}") from error
    if taken != budget:
        raise UserError(f"{plan.name}: the board would read other passes from budget.toml than were planned")
    return [
        f"{plan.name}: good; {scope(plan)}; {len(schedule.contacts)} of {schedule.possible} passes, "
        f"{schedule.optimal_bytes / 1e9:.3f} GB; {', '.join(f'{name} {count}' for name, count in counts)}",
        *(f"  orbit of {s.name}: {s.note}" for s in plan.satellites if s.note),
        *(f"  warning: {text}" for text in warnings + plan_warnings(plan, schedule, captures)),
    ]
