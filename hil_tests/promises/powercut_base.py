"""A part of the power-cut campaign: its steps, and what it says of a state: old, new, or what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol


class Part(Protocol):
    """One thing that writes to disk."""

    name: str

    def prepare(self, folder: Path) -> None:
        """The state before, in an empty folder."""

    def work(self, folder: Path) -> Iterator[None]:
        """The steps; yields when one is done, which from then on must be there."""

    def judge(self, folder: Path, steps: int) -> str:
        """`old`: what was there behind so many steps; `new`: what the next one makes; else what is wrong."""


class Sequence:
    """A `Part` whose state can be told in full: the states behind every step are known from a run in peace."""

    name = ""

    def __init__(self) -> None:
        self.states: list[Any] = []

    def prepare(self, folder: Path) -> None:
        self.begin(folder)
        peace = folder.with_name("peace")
        peace.mkdir()
        self.begin(peace)
        self.states = [self.dump(peace), *(self.dump(peace) for _ in self.work(peace))]

    def begin(self, folder: Path) -> None:
        """What is there before the first step."""

    def work(self, folder: Path) -> Iterator[None]:
        raise NotImplementedError

    def dump(self, folder: Path) -> Any:
        """All that is in the folder, in a form that compares equal when nothing has changed."""
        raise NotImplementedError

    def judge(self, folder: Path, steps: int) -> str:
        found, last = self.dump(folder), len(self.states) - 1
        if found == self.states[min(steps + 1, last)]:
            return "new"
        return "old" if found == self.states[steps] else f"{found!r:.120} behind {self.states[steps]!r:.120}"
