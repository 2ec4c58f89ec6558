"""The commands are tested with what the tools themselves are tested with."""

from tests.tools.plan.conftest import small_outcome, write_plan

__all__ = ["small_outcome", "write_plan"]
