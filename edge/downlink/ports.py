"""Where packets go: a file per pass, a TCP connection, or UDP datagrams."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import BinaryIO, Protocol


class PortError(Exception):
    """The port does not take packets now; the message says why. The packet has not been sent."""


class Port(Protocol):
    """A way off the board. A packet is sent when `send` returns; every method raises PortError."""

    def open(self, pass_number: int) -> None:
        """A pass begins."""

    def send(self, packet: bytes) -> None:
        """Hand over one packet."""

    def close(self) -> None:
        """The pass is over; what was sent is delivered as far as the port can tell."""


class FilePort:
    """`pass-000042.bin` per pass in an outbox. While the pass runs its name ends in `.part`.

    A pass that goes on after a restart appends to its `.part`; a torn last packet is the deframer's business.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._number = -1

    def open(self, pass_number: int) -> None:
        self._number = pass_number
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = open(self._path(".part"), "ab")  # noqa: SIM115 - closed in close()
        except OSError as error:
            raise PortError(f"outbox {self._folder}: {error.strerror}") from error

    def send(self, packet: bytes) -> None:
        if self._file is None:
            raise PortError("outbox: no pass is open")
        try:
            self._file.write(packet)
            self._file.flush()
        except OSError as error:
            raise PortError(f"outbox: {error.strerror}") from error

    def close(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            with file:
                os.fsync(file.fileno())
            self._path(".part").replace(self._path(".bin"))
        except OSError as error:
            raise PortError(f"outbox: {error.strerror}") from error

    def _path(self, suffix: str) -> Path:
        return self._folder / f"pass-{self._number:06d}{suffix}"


class TcpPort:
    """Packets back to back on one connection to host:port, opened for every pass."""

    def __init__(self, host: str, port: int, timeout_s: float = 5.0) -> None:
        self._address, self._timeout_s = (host, port), timeout_s
        self._socket: socket.socket | None = None

    def open(self, pass_number: int) -> None:
        self.close()
        try:
            self._socket = socket.create_connection(self._address, self._timeout_s)
        except OSError as error:
            raise PortError(f"{self._address[0]}:{self._address[1]}: {error}") from error

    def send(self, packet: bytes) -> None:
        if self._socket is None:
            raise PortError("no connection")
        try:
            self._socket.sendall(packet)
        except OSError as error:
            raise PortError(str(error)) from error

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class UdpPort:
    """One datagram per packet to host:port."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def open(self, pass_number: int) -> None:
        """Nothing to do: datagrams need no connection."""

    def send(self, packet: bytes) -> None:
        try:
            self._socket.sendto(packet, self._address)
        except OSError as error:
            raise PortError(f"{self._address[0]}:{self._address[1]}: {error}") from error

    def close(self) -> None:
        """Nothing to do: the socket serves the next pass too."""
