"""Which of the orbits in a file a plan means: by name without case, by catalogue number, nearest in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swathpack.edge.downlink.budget import format_time

if TYPE_CHECKING:
    from sgp4.api import Satrec

NAMES_SHOWN = 8


@dataclass(frozen=True)
class Candidate:
    """One orbit of a file. number: of the catalogue, 0 for none. epoch_s: since 1970 UTC. load may raise ValueError."""

    name: str
    number: int
    epoch_s: float
    load: Callable[[], Satrec]


def choose(found: list[Candidate], name: str, number: int | None, start_s: float) -> tuple[Candidate, str]:
    """The orbit meant, its epoch the nearest to the plan's start; the text says which, where there were several.

    Raises ValueError when none or several satellites fit.
    """
    fitting = [one for one in found if one.number == number] if number is not None else _named(found, name)
    satellites = {one.number: one for one in fitting}
    if len(satellites) != 1:
        asked = f"catalogue number {number}" if number is not None else f"the name {name!r}"
        raise ValueError(
            f"expected one satellite, or one of {asked}, found {len(satellites) or len(found)}"
            f"{_listed(fitting or found)}; norad_id picks one by its number"
        )
    # Of equal epochs the later in the file: sets are appended.
    chosen = min(reversed(fitting), key=lambda one: abs(one.epoch_s - start_s))
    if len(fitting) == 1:
        return chosen, ""
    return chosen, f"epoch {format_time(chosen.epoch_s)[:19]}Z, the nearest of {len(fitting)} to the plan's start"


def _listed(found: list[Candidate]) -> str:
    labels = list({f"{one.name or 'no name'} ({one.number})": None for one in found})
    more = ", ..." if len(labels) > NAMES_SHOWN else ""
    return f": {', '.join(labels[:NAMES_SHOWN])}{more}" if labels else ""


def _named(found: list[Candidate], name: str) -> list[Candidate]:
    """Those of this name, without regard to case and spaces; all when none is."""

    def plain(text: str) -> str:
        return " ".join(text.casefold().split())

    return [one for one in found if plain(one.name) == plain(name)] or found
