"""Where the bytes of the uplink come from: a folder of files, or datagrams."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import NoReturn, Protocol

from swathpack.edge.sources.acquisition import SourceError
from swathpack.edge.spoken import reason
from swathpack.edge.storage.durable import make_folder, sync_folder

MAX_COMMAND_BYTES = 65542
MAX_FILE_BYTES = 1 << 24
MAX_BAD_FILES = 4096


class CommandSource(Protocol):
    """Where the bytes of the uplink come from; never blocks."""

    def poll(self) -> bytes | None:
        """Bytes that arrived, or None. Raises SourceError."""

    def done(self) -> None:
        """What the last poll gave has been acted upon durably."""

    def close(self) -> None:
        """Give resources back."""


class CommandFolder:
    """A `CommandSource`: files `*.bin` in a folder, whole when they appear (moved in); removed when acted upon."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: Path | None = None
        self._bad: set[str] = set()
        try:
            make_folder(folder)
        except OSError as error:
            raise SourceError(f"uplink {folder}: {error.strerror}") from error

    def poll(self) -> bytes | None:
        try:
            names = sorted(entry.name for entry in os.scandir(self._folder) if entry.name.endswith(".bin"))
        except OSError as error:
            raise SourceError(f"uplink {self._folder}: {error.strerror}") from error
        name = next((name for name in names if name not in self._bad), None)
        if name is None:
            return None
        try:
            with open(self._folder / name, "rb") as file:
                data = file.read(MAX_FILE_BYTES)
        except OSError as error:
            self._give_up(name, error)
        self._open = self._folder / name
        return data

    def done(self) -> None:
        path, self._open = self._open, None
        try:
            if path is not None:
                path.unlink(missing_ok=True)
                sync_folder(self._folder)
        except OSError as error:
            self._give_up(path.name if path else "", error)

    def _give_up(self, name: str, error: OSError) -> NoReturn:
        """A file that cannot be read or removed is told of once and must not hold up those behind it."""
        if len(self._bad) < MAX_BAD_FILES:
            self._bad.add(name)
        raise SourceError(f"uplink {self._folder / name}: {error.strerror}") from error

    def close(self) -> None:
        self._open = None


class CommandSocket:
    """A `CommandSource`: UDP datagrams on host:port, one or more whole packets each."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((host, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise SourceError(f"uplink {host}:{port}: {reason(error)}") from error
        self._socket.setblocking(False)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are really bound."""
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    def poll(self) -> bytes | None:
        try:
            return self._socket.recv(MAX_COMMAND_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            raise SourceError(f"uplink: {reason(error)}") from error

    def done(self) -> None:
        """Nothing to do: the ground repeats its reports."""

    def close(self) -> None:
        self._socket.close()
