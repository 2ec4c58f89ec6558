"""Frames over TCP or UDP on a wired instrument network.

TCP: messages (`Acquisition.pack`), each after its length as u32, big-endian; several senders at a time.
UDP: a message cut into datagrams: mark "SWFU", message u32, part u16, parts u16, then data; any order, losses
cost the message they are in.

`MessageSplitter` and `PartAssembler` hold no sockets and bound their memory for any input.
"""

from __future__ import annotations

import selectors
import socket
import struct
from collections import deque
from collections.abc import Iterator

from swathpack.edge.sources.acquisition import Offer, SourceError, offer

_LENGTH = struct.Struct(">I")
_PART = struct.Struct(">4sIHH")
_MARK = b"SWFU"
MAX_OPEN_MESSAGES = 4
PART_BYTES = 1400
_READ_BYTES = 1 << 20


class MessageSplitter:
    """Cuts one TCP stream into messages."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Messages completed by these bytes. Raises SourceError when a length is beyond the limit."""
        self._buffer += data
        found = []
        while len(self._buffer) >= _LENGTH.size:
            length = _LENGTH.unpack_from(self._buffer)[0]
            if length > self._max_bytes:
                raise SourceError(f"expected a message of at most {self._max_bytes} bytes, found {length}")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            found.append(bytes(self._buffer[_LENGTH.size : end]))
            del self._buffer[:end]
        return found


class PartAssembler:
    """Puts datagrams together; the oldest unfinished message gives way when there are too many or too large."""

    def __init__(self, max_bytes: int) -> None:
        self.lost = 0
        self._max_bytes = max_bytes
        self._open: dict[int, tuple[int, dict[int, bytes]]] = {}

    def feed(self, datagram: bytes) -> bytes | None:
        """The message that this datagram completes, or None."""
        if len(datagram) < _PART.size:
            return None
        mark, message, part, parts = _PART.unpack_from(datagram)
        if mark != _MARK or part >= parts:
            return None
        expected, pieces = self._open.setdefault(message, (parts, {}))
        if parts == expected:
            pieces[part] = datagram[_PART.size :]
        self._bound(message)
        if message not in self._open or len(pieces) < expected:
            return None
        del self._open[message]
        return b"".join(pieces[i] for i in range(expected))

    def _bound(self, newest: int) -> None:
        def total() -> int:
            return sum(len(p) for _, pieces in self._open.values() for p in pieces.values())

        while len(self._open) > MAX_OPEN_MESSAGES or total() > self._max_bytes:
            self.lost += 1
            del self._open[next(iter(self._open))]


def parts_of(message: int, data: bytes) -> Iterator[bytes]:
    """The datagrams of a message: the sender's side."""
    parts = -(-len(data) // PART_BYTES)
    for i in range(parts):
        head = _PART.pack(_MARK, message, i, parts)
        yield head + data[i * PART_BYTES : (i + 1) * PART_BYTES]


class _SocketSource:
    """What both kinds share: a non-blocking socket, messages waiting, offers from them."""

    def __init__(self, kind: socket.SocketKind, host: str, port: int, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._messages: deque[bytes] = deque()
        self._refused: deque[str] = deque()
        self._socket = socket.socket(socket.AF_INET, kind)
        try:
            if kind == socket.SOCK_STREAM:
                # Not for datagrams: a second listener would silently take half of them.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise SourceError(f"{host}:{port}: {error}") from error
        self._socket.setblocking(False)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are really bound (port 0 picks one)."""
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    def poll(self) -> Offer | None:
        if not self._messages:
            self._receive()
        if self._refused:
            return Offer("socket", None, self._refused.popleft())
        if not self._messages:
            return None
        return offer("socket", self._messages.popleft(), self._max_bytes)

    def done(self, offer: Offer) -> None:
        """Nothing to do: a socket cannot offer again."""

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> None:
        raise NotImplementedError


class TcpSource(_SocketSource):
    """Listens on host:port; at most `max_senders` at a time."""

    def __init__(self, host: str, port: int, max_bytes: int = 1 << 28, max_senders: int = 4) -> None:
        super().__init__(socket.SOCK_STREAM, host, port, max_bytes)
        self._max_senders = max_senders
        self._senders: dict[socket.socket, MessageSplitter] = {}
        self._socket.listen(max_senders)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)

    def close(self) -> None:
        for sender in list(self._senders):
            self._drop(sender)
        self._selector.close()
        super().close()

    def _receive(self) -> None:
        for key, _ in self._selector.select(timeout=0):
            if key.fileobj is self._socket:
                self._admit()
            elif isinstance(key.fileobj, socket.socket):
                self._read(key.fileobj)

    def _admit(self) -> None:
        try:
            sender, _ = self._socket.accept()
        except OSError:
            return  # it went away before we answered
        if len(self._senders) >= self._max_senders:
            sender.close()
            self._refused.append(f"more than {self._max_senders} senders")
            return
        sender.setblocking(False)
        self._senders[sender] = MessageSplitter(self._max_bytes)
        self._selector.register(sender, selectors.EVENT_READ)

    def _read(self, sender: socket.socket) -> None:
        try:
            data = sender.recv(_READ_BYTES)
            self._messages.extend(self._senders[sender].feed(data))
        except BlockingIOError:
            return
        except (OSError, SourceError) as error:
            self._refused.append(str(error))
            data = b""
        if not data:
            self._drop(sender)

    def _drop(self, sender: socket.socket) -> None:
        self._selector.unregister(sender)
        self._senders.pop(sender, None)
        sender.close()


class UdpSource(_SocketSource):
    """Listens on host:port for datagrams of `parts_of`."""

    def __init__(self, host: str, port: int, max_bytes: int = 1 << 28) -> None:
        super().__init__(socket.SOCK_DGRAM, host, port, max_bytes)
        self._assembler = PartAssembler(max_bytes)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)

    def _receive(self) -> None:
        for _ in range(4096):
            try:
                datagram = self._socket.recv(65535)
            except BlockingIOError:
                return
            except OSError as error:
                self._refused.append(str(error))
                return
            message = self._assembler.feed(datagram)
            if message is not None:
                self._messages.append(message)
                return
