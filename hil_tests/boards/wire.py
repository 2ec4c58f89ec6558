"""Messages between a campaign and its board: a JSON head and bytes, over the board process's standard input and output.

head length   4 bytes, big-endian
body length   4 bytes
head          JSON object with "do" (to the board) or "say" (from it)
body          bytes: a frame, a packet, a command
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass, field
from typing import Any

_SIZES = struct.Struct(">II")


class WireError(Exception):
    """The other side ended, or sent what is no message."""


@dataclass(frozen=True)
class Message:
    """head: what it says. body: bytes that belong to it."""

    head: dict[str, Any]
    body: bytes = b""


@dataclass
class Wire:
    """Both directions by file descriptor. Nothing is kept back: what was sent is out, even if the process is killed."""

    read_fd: int
    write_fd: int
    _buffer: bytearray = field(default_factory=bytearray)

    def send(self, head: dict[str, Any], body: bytes = b"") -> None:
        """Send one message. Raises WireError when nobody listens."""
        text = json.dumps(head, separators=(",", ":")).encode()
        data = memoryview(_SIZES.pack(len(text), len(body)) + text + body)
        try:
            while data:
                data = data[os.write(self.write_fd, data) :]
        except OSError as error:
            raise WireError(f"the other side is gone: {error.strerror}") from error

    def receive(self) -> Message:
        """The next message. Raises WireError at the end of the stream."""
        sizes = _SIZES.unpack(self._take(_SIZES.size))
        head, body = self._take(sizes[0]), self._take(sizes[1])
        try:
            return Message(json.loads(head), body)
        except ValueError as error:
            raise WireError(f"expected a JSON head, found {head[:40]!r}") from error

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            try:  # never more than asked for: what follows may be for another process at this end
                data = os.read(self.read_fd, size - len(self._buffer))
            except OSError as error:
                raise WireError(f"the other side is gone: {error.strerror}") from error
            if not data:
                raise WireError("the other side has ended")
            self._buffer += data
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken
