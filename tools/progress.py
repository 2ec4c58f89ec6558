"""A progress bar on stderr for commands that take more than a moment.

    for item in progress(items, "encode"): ...

On a terminal the line is redrawn; elsewhere (logs) nothing but a last line is written, and only if it took
long.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeVar

Item = TypeVar("Item")
BAR = 24
REDRAW_S = 0.1
QUIET_S = 2.0  # no bar for what is over sooner


class Progress:
    """Counts steps of `total` and draws how far it is; `clock` gives seconds and can be replaced in tests."""

    def __init__(
        self,
        total: int,
        label: str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        unit: str = "",
    ) -> None:
        self.total, self.label, self.done, self.unit = total, label, 0, f" {unit}" if unit else ""
        self.stream = sys.stderr if stream is None else stream
        self.clock = clock
        self.start = self.drawn = clock()

    def step(self, count: int = 1, note: str = "") -> None:
        """Another `count` steps are done."""
        # A search that takes longer than foreseen stays at the end of its bar.
        self.done = min(self.done + count, self.total) if self.total else self.done + count
        now = self.clock()
        if self.stream.isatty() and now - self.start > QUIET_S and now - self.drawn > REDRAW_S:
            self.drawn = now
            self.stream.write(f"\r{self.line(now)} {note}\x1b[K")
            self.stream.flush()

    def line(self, now: float) -> str:
        """`encode  [######........]  12/50  0:03 left 0:09`."""
        share = self.done / self.total if self.total else 1.0
        filled = round(BAR * min(share, 1.0))
        elapsed = now - self.start
        left = f" left {_clock(elapsed * (1 - share) / share)}" if 0 < share < 1 else ""
        bar = "#" * filled + "." * (BAR - filled)
        return f"{self.label} [{bar}] {self.done}/{self.total}{self.unit} {_clock(elapsed)}{left}"

    def close(self) -> None:
        """Leaves a last line where the work took long enough to be worth one."""
        now = self.clock()
        if now - self.start > QUIET_S:
            start, end = ("\r", "\x1b[K\n") if self.stream.isatty() else ("", "\n")
            self.stream.write(f"{start}{self.line(now)}{end}")
            self.stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: object = None, *_: object) -> None:
        if kind is None:  # work that took fewer steps than foreseen is done all the same
            self.done = max(self.done, self.total)
        self.close()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def progress(items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """The items, with a bar. `total` is needed where they have no length."""
    count = total if total is not None else len(items)  # type: ignore[arg-type]
    with Progress(count, label) as bar:
        for item in items:
            yield item
            bar.step()
