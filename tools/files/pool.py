"""Who does work on tiles: see `swathpack.tools.files.workers` for those that do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

Job = tuple[Any, str, tuple[Any, ...]]  # a tag, the name of a job, its arguments


@dataclass(frozen=True)
class Failure:
    """What a job raised, where the caller said that the rest goes on."""

    message: str


class Pool(Protocol):
    """Does jobs in order."""

    def run(self, jobs: Iterable[Job], keep_going: bool = False) -> Iterator[tuple[Any, Any]]:
        """(tag, result) of every job in order. keep_going: the result of one that cannot be done is a `Failure`."""
