"""A connection that can be cut: a TCP relay on this machine before a board's ssh server."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

_BLOCK = 1 << 15


class CuttingRelay:
    """Relays connections to a port of this machine. `cut` ends all of them at once, without a farewell."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.sent_bytes, self.cuts = 0, 0
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, wait_s: float = 120.0) -> bool:
        """End what is connected, or what connects next within `wait_s`; False when nothing did."""
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            with self._lock:
                ends, self._open = self._open, []
            if ends:
                self.cuts += 1
                for end in ends:
                    _reset(end)
                return True
            time.sleep(0.05)
        return False

    def close(self) -> None:
        """Relay nothing any more."""
        self._listener.close()
        self.cut(0.1)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                with self._lock:
                    self._open += [near, far]
                threading.Thread(target=self._relay, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._relay, args=(far, near, False), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_BLOCK):
                self.sent_bytes += len(data) if up else 0  # before it is sent: who hears the answer may count on it
                target.sendall(data)
        with self._lock:
            self._open = [end for end in self._open if end not in (source, target)]
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
        end.close()
