"""Where packets go: a file per pass, a TCP connection, or UDP datagrams."""

from __future__ import annotations

import errno
import io
import os
import socket
from pathlib import Path
from typing import Protocol

from swathpack.edge.spoken import reason
from swathpack.edge.storage.durable import make_folder, replace_durably


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
    """A `Port`: `pass-000042.bin` per pass in an outbox. While the pass runs its name ends in `.part`.

    A pass that goes on after a restart appends to its `.part`; a torn last packet is the deframer's business. A
    `.part` of another pass is what a process left that was killed: that pass is over, and gets its name. One of which
    nothing was sent leaves no file: the ground takes none without packets, and would take none beside it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: io.FileIO | None = None
        self._number = -1

    def open(self, pass_number: int) -> None:
        self._number = pass_number
        try:
            make_folder(self._folder)
            for left in self._folder.glob("pass-*.part"):
                if left != self._path(".part"):
                    _finish(left)
            self._file = io.FileIO(self._path(".part"), "ab")
        except OSError as error:
            raise PortError(f"outbox {self._folder}: {error.strerror}") from error

    def send(self, packet: bytes) -> None:
        if self._file is None:
            raise PortError("outbox: no pass is open")
        start = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(packet) != len(packet):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            # What is there of the packet would count against the budget of the pass without being of use.
            os.ftruncate(self._file.fileno(), start)
            raise PortError(f"outbox: {error.strerror}") from error

    def close(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        file.close()
        try:
            _finish(self._path(".part"))
        except OSError as error:
            raise PortError(f"outbox: {error.strerror}") from error

    def _path(self, suffix: str) -> Path:
        return self._folder / f"pass-{self._number:06d}{suffix}"


def _finish(part: Path) -> None:
    """Give a pass file its final name, durably; one that is there already is never overwritten, and an empty one goes."""
    if not part.stat().st_size:
        part.unlink()
        return
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    target, turn = part.with_suffix(".bin"), 1
    while target.exists():
        turn += 1
        target = part.with_name(f"{part.stem}-{turn}.bin")
    replace_durably(part, target)


class TcpPort:
    """A `Port`: packets back to back on one connection to host:port, opened for every pass, and again when it breaks."""

    def __init__(self, host: str, port: int, timeout_s: float = 5.0) -> None:
        self._address, self._timeout_s = (host, port), timeout_s
        self._socket: socket.socket | None = None

    def open(self, pass_number: int) -> None:
        self.close()
        try:
            self._socket = socket.create_connection(self._address, self._timeout_s)
        except OSError as error:
            raise PortError(f"{self._address[0]}:{self._address[1]}: {reason(error)}") from error

    def send(self, packet: bytes) -> None:
        if self._socket is None:
            self.open(0)
        try:
            if self._socket is not None:
                self._socket.sendall(packet)
        except OSError as error:
            self.close()  # part of the packet may have gone: only a new connection begins with a whole one
            raise PortError(reason(error)) from error

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class UdpPort:
    """A `Port`: one datagram per packet to host:port."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def open(self, pass_number: int) -> None:
        """Nothing to do: datagrams need no connection."""

    def send(self, packet: bytes) -> None:
        try:
            self._socket.sendto(packet, self._address)
        except OSError as error:
            raise PortError(f"{self._address[0]}:{self._address[1]}: {reason(error)}") from error

    def close(self) -> None:
        """Nothing to do: the socket serves the next pass too."""
