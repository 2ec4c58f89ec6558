"""Frames over TCP or UDP on a wired instrument network.

TCP: messages (`Acquisition.pack`), each after its length as u32, big-endian; several senders at a time, each with a time
limit, all together with a limit in bytes: whoever stalls or claims much neither blocks the others nor fills the memory.
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
from dataclasses import dataclass, field

from swathpack.edge.clock import Clock, SystemClock
from swathpack.edge.sources.acquisition import Offer, SourceError, offer
from swathpack.edge.spoken import reason

_LENGTH = struct.Struct(">I")
_PART = struct.Struct(">4sIHH")
_MARK = b"SWFU"
MAX_OPEN_MESSAGES = 4
MAX_REFUSALS = 64  # waiting to be told
PART_BYTES = 1400
_READ_BYTES = 1 << 20


class MessageSplitter:
    """Cuts one TCP stream into messages. Memory is taken for bytes that came, not for a length that was claimed."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._head, self.message = bytearray(), bytearray()
        self._length = -1

    @property
    def claimed(self) -> int:
        """Bytes of the message in progress, -1 between messages."""
        return self._length if self._length >= 0 else len(self._head) - (not self._head)

    def feed(self, data: bytes) -> list[bytearray]:
        """Messages completed by these bytes. Raises SourceError when a length is beyond the limit."""
        found, at = [], 0
        while at < len(data) or self._length == len(self.message):
            if self._length < 0:
                at = self._take(self._head, data, at, _LENGTH.size)
                if len(self._head) == _LENGTH.size:
                    self._begin()
            else:
                at = self._take(self.message, data, at, self._length)
                if len(self.message) == self._length:
                    found.append(self.message)
                    self._head, self.message, self._length = bytearray(), bytearray(), -1
        return found

    def _begin(self) -> None:
        self._length = _LENGTH.unpack(self._head)[0]
        if self._length > self._max_bytes:
            raise SourceError(f"expected a message of at most {self._max_bytes} bytes, found {self._length}")

    @staticmethod
    def _take(buffer: bytearray, data: bytes, at: int, size: int) -> int:
        """Fill a buffer up to its size from data[at:]; returns where that ended."""
        end = min(at + size - len(buffer), len(data))
        buffer += memoryview(data)[at:end]
        return end


@dataclass
class _OpenMessage:
    """A message of which datagrams are missing."""

    parts: int
    pieces: dict[int, bytes] = field(default_factory=dict)
    size: int = 0


class PartAssembler:
    """Puts datagrams together; the oldest unfinished message gives way when there are too many or too large."""

    def __init__(self, max_bytes: int) -> None:
        self.lost = 0
        self._max_bytes = max_bytes
        self.open: dict[int, _OpenMessage] = {}
        self.held_bytes = 0

    def feed(self, datagram: bytes) -> bytes | None:
        """The message that this datagram completes, or None."""
        if len(datagram) < _PART.size:
            return None
        mark, number, part, parts = _PART.unpack_from(datagram)
        if mark != _MARK or part >= parts:
            return None
        message = self.open.setdefault(number, _OpenMessage(parts))
        if parts == message.parts:
            self._put(message, part, datagram[_PART.size :])
        while len(self.open) > MAX_OPEN_MESSAGES or self.held_bytes > self._max_bytes:
            self.lost += 1
            self._let_go(next(iter(self.open)))
        if number not in self.open or len(message.pieces) < message.parts:
            return None
        self._let_go(number)
        return b"".join(message.pieces[i] for i in range(message.parts))

    def _put(self, message: _OpenMessage, part: int, data: bytes) -> None:
        more = len(data) - len(message.pieces.get(part, b""))
        message.pieces[part] = data
        message.size += more
        self.held_bytes += more

    def _let_go(self, number: int) -> None:
        self.held_bytes -= self.open.pop(number).size


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
        self._messages: deque[bytes | bytearray] = deque()
        self._refused: deque[str] = deque(maxlen=MAX_REFUSALS)
        self._socket = socket.socket(socket.AF_INET, kind)
        try:
            if kind == socket.SOCK_STREAM:
                # Not for datagrams: a second listener would silently take half of them.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise SourceError(f"{host}:{port}: {reason(error)}") from error
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


@dataclass
class _Sender:
    """A connection. heard: when its last bytes came. began: when its message in progress did."""

    splitter: MessageSplitter
    heard: float
    began: float
    waits: bool = False  # for room: it is not read

    @property
    def claimed(self) -> int:
        """Bytes that its message in progress will take."""
        return max(self.splitter.claimed, 0)


class TcpSource(_SocketSource):
    """A `FrameSource` that listens on host:port.

    max_senders: at a time. idle_s: a sender that says nothing for so long in the middle of a message is dropped; one
    between messages makes room for another then. message_s: most time for one message. The messages in progress of all
    senders together take at most `max_bytes`: who would need more waits.
    """

    def __init__(
        self,
        host: str,
        port: int,
        max_bytes: int = 1 << 28,
        max_senders: int = 4,
        clock: Clock | None = None,
        idle_s: float = 30.0,
        message_s: float = 600.0,
    ) -> None:
        super().__init__(socket.SOCK_STREAM, host, port, max_bytes)
        self._max_senders, self._idle_s, self._message_s = max_senders, idle_s, message_s
        self._clock = clock or SystemClock()
        self.senders: dict[socket.socket, _Sender] = {}
        self._socket.listen(max_senders)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)

    def close(self) -> None:
        for sender in list(self.senders):
            self._drop(sender)
        self._selector.close()
        super().close()

    def _receive(self) -> None:
        now = self._clock.monotonic()
        self._expire(now)
        for key, _ in self._selector.select(timeout=0):
            if key.fileobj is self._socket:
                self._admit(now)
            elif isinstance(key.fileobj, socket.socket):
                self._read(key.fileobj, now)

    def _expire(self, now: float) -> None:
        """Drop who stalls in the middle of a message, and read again from who waited for room that there is now."""
        for link, sender in list(self.senders.items()):
            if sender.waits:
                self._resume(link, sender, now)
            elif sender.splitter.claimed >= 0 and now - sender.heard > self._idle_s:
                self._refused.append(f"a sender said nothing for {self._idle_s:g} s in the middle of a message")
                self._drop(link)
            elif sender.splitter.claimed >= 0 and now - sender.began > self._message_s:
                self._refused.append(f"expected a message within {self._message_s:g} s, found it unfinished")
                self._drop(link)

    def _admit(self, now: float) -> None:
        try:
            link, _ = self._socket.accept()
        except OSError:
            return  # it went away before we answered
        if len(self.senders) >= self._max_senders:
            self._make_room(now)
        if len(self.senders) >= self._max_senders:
            link.close()
            self._refused.append(f"more than {self._max_senders} senders")
            return
        link.setblocking(False)
        self.senders[link] = _Sender(MessageSplitter(self._max_bytes), now, now)
        self._selector.register(link, selectors.EVENT_READ)

    def _make_room(self, now: float) -> None:
        """Drop the sender that has been silent longest between messages."""
        silent = [(s.heard, link) for link, s in self.senders.items() if s.splitter.claimed < 0]
        heard, link = min(silent, key=lambda found: found[0], default=(now, None))
        if link is not None and now - heard > self._idle_s:
            self._drop(link)

    def _read(self, link: socket.socket, now: float) -> None:
        sender = self.senders[link]
        idle = sender.splitter.claimed < 0
        try:
            data = link.recv(_READ_BYTES)
            done = sender.splitter.feed(data)
        except BlockingIOError:
            return
        except (OSError, SourceError) as error:
            self._refused.append(reason(error))
            self._drop(link)
            return
        self._messages.extend(done)
        sender.heard = now
        if idle or done:
            sender.began = now
        if not data:
            self._drop(link)
        elif self._in_progress() > self._max_bytes:
            self._selector.unregister(link)
            sender.waits = True

    def _in_progress(self) -> int:
        """Bytes that the messages of all senders that are read will take."""
        return sum(s.claimed for s in self.senders.values() if not s.waits)

    def _resume(self, link: socket.socket, sender: _Sender, now: float) -> None:
        if self._in_progress() + sender.claimed <= self._max_bytes:
            sender.waits, sender.heard, sender.began = False, now, now
            self._selector.register(link, selectors.EVENT_READ)

    def _drop(self, link: socket.socket) -> None:
        sender = self.senders.pop(link)
        if not sender.waits:
            self._selector.unregister(link)
        link.close()


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
                self._refused.append(reason(error))
                return
            message = self._assembler.feed(datagram)
            if message is not None:
                self._messages.append(message)
                return
