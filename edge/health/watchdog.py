"""Telling systemd that the loop lives (sd_notify(3)): a line of text to a datagram socket, if there is one."""

from __future__ import annotations

import os
import socket

PATIENCE_S = 0.5  # with a reader whose queue is full; waiting for it would hold up the loop and its stop


class Notifier:
    """READY, WATCHDOG and STOPPING messages; does nothing when not started by systemd."""

    def __init__(self, address: str | None = None) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET") if address is None else address

    def ready(self) -> None:
        """Start-up is complete."""
        self._send("READY=1")

    def alive(self) -> None:
        """All stages have made progress lately."""
        self._send("WATCHDOG=1")

    def stopping(self, reason: str) -> None:
        """The loop is on its way out."""
        self._send(f"STOPPING=1\nSTATUS={reason}")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.settimeout(PATIENCE_S)
                notify.connect(address)
                notify.sendall(text.encode())
        except OSError:
            return  # nobody listens, or nobody reads: the watchdog will act, which is what it is for
