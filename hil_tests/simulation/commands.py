"""An uplink in memory."""

from __future__ import annotations

from collections import deque


class HeldCommands:
    """A `CommandSource` that gives what was put into `waiting`, and keeps it until it has been acted upon."""

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()

    def poll(self) -> bytes | None:
        return self.waiting[0] if self.waiting else None

    def done(self) -> None:
        self.waiting.popleft()

    def close(self) -> None:
        self.waiting.clear()
