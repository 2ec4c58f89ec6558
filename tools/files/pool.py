"""Who does work on tiles: see `swathpack.tools.files.workers` for those that do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

Job = tuple[Any, str, tuple[Any, ...]]  # a tag, the name of a job, its arguments


class Pool(Protocol):
    """Does jobs in order."""

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Any, Any]]:
        """(tag, result) of every job in order."""
