"""Events: everything worth telling the ground, declared in one table, packed to bytes, written as JSON.

An event on the wire (big-endian), several back to back in a packet of the event APID:

    kind      2 bytes   `EventKind.id`
    time      6 bytes   wall clock, milliseconds since 1970
    length    1 byte    of the arguments that follow
    arguments           as declared: u32 and i64 big-endian, f32 IEEE, text cut to 40 bytes with a length byte

Severity, name and wording are not sent: the ground has the table.
"""

from __future__ import annotations

import json
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from swathpack.edge.clock import Clock
from swathpack.edge.spoken import reason

Value = int | float | str
MAX_TEXT = 40
_HEAD = struct.Struct(">HHIB")  # kind, time high, time low, length of arguments


class EventError(ValueError):
    """Bytes that are not an event of the table, or arguments that do not fit the declaration."""


class Severity(IntEnum):
    """How much an event matters; those at WARNING and above go down first."""

    INFO = 1
    NOTICE = 2
    WARNING = 3
    ERROR = 4
    CRITICAL = 5


@dataclass(frozen=True)
class EventKind:
    """One line of the table. `fields` maps argument names to u32, i64, f32 or text."""

    id: int
    name: str
    severity: Severity
    wording: str
    fields: dict[str, str]


@dataclass(frozen=True)
class Event:
    """One occurrence: `time_ms` is the wall clock in milliseconds since 1970."""

    kind: EventKind
    time_ms: int
    values: dict[str, Value]

    def text(self) -> str:
        """The sentence for people."""
        return self.kind.wording.format(**self.values)

    def pack(self) -> bytes:
        """The wire form (module docstring)."""
        body = b"".join(_pack_value(form, self.values[name]) for name, form in self.kind.fields.items())
        time_ms = min(max(self.time_ms, 0), (1 << 48) - 1)
        return _HEAD.pack(self.kind.id, time_ms >> 32, time_ms & 0xFFFFFFFF, len(body)) + body

    def json(self) -> str:
        """One line of JSON without the newline."""
        return json.dumps(
            {"t": self.time_ms / 1000, "event": self.kind.name, "severity": self.kind.severity.name} | self.values
        )


TABLE: dict[int, EventKind] = {}


def _declare(number: int, name: str, severity: Severity, wording: str, arguments: str) -> EventKind:
    fields = dict(argument.split(":") for argument in arguments.split())
    kind = EventKind(number, name, severity, wording, fields)
    if number in TABLE:
        raise EventError(f"event id {number:#x} is declared twice: {TABLE[number].name} and {name}")
    TABLE[number] = kind
    return kind


INFO, NOTICE, WARNING, ERROR, CRITICAL = Severity


# 0x01..: life of the process
STARTED = _declare(0x0101, "started", NOTICE, "started in {seconds:.2f} s, {tiles} tiles wait", "seconds:f32 tiles:u32")
STOPPED = _declare(0x0102, "stopped", NOTICE, "stopped: {reason}", "reason:text")
CLOCK_JUMP = _declare(0x0103, "clock_jump", WARNING, "wall clock jumped by {seconds:.1f} s", "seconds:f32")
STAGE_FAILED = _declare(0x0104, "stage_failed", ERROR, "{stage}: {error}", "stage:text error:text")
DISK_FULL = _declare(0x0105, "disk_full", ERROR, "no space for {what}: {free} bytes free", "what:text free:i64")
SINK_FAILED = _declare(0x0106, "sink_failed", WARNING, "log sink failed: {error}", "error:text")
SUPPRESSED = _declare(0x0107, "suppressed", WARNING, "{count} more of {name}", "count:u32 name:text")
# 0x02..: frames and tiles
FRAME_ACCEPTED = _declare(0x0201, "frame_accepted", INFO, "frame {frame}: {tiles} tiles", "frame:text tiles:u32")
FRAME_REJECTED = _declare(0x0202, "frame_rejected", WARNING, "frame {frame}: {reason}", "frame:text reason:text")
FRAME_DEFECT = _declare(
    0x0203, "frame_defect", WARNING, "frame {frame}: {defect} in {count} places", "frame:text defect:text count:u32"
)
FRAME_DUPLICATE = _declare(0x0204, "frame_duplicate", NOTICE, "frame {frame} is here already", "frame:text")
FRAME_UNDATED = _declare(
    0x0205, "frame_undated", WARNING, "frame {frame} has no date: taken to be of {time}", "frame:text time:text"
)
TILE_CODED = _declare(
    0x0211,
    "tile_coded",
    INFO,
    "tile {tile} at {time}: {bytes} bytes, {contexts} contexts",
    "tile:i64 time:i64 bytes:u32 contexts:u32",
)
TILE_FAILED = _declare(0x0212, "tile_failed", ERROR, "tile {tile} at {time}: {error}", "tile:i64 time:i64 error:text")
TILE_SHED = _declare(
    0x0213, "tile_shed", WARNING, "tile {tile} at {time} waits: {reason}", "tile:i64 time:i64 reason:text"
)
TILE_EMPTY = _declare(0x0214, "tile_empty", INFO, "tile {tile} at {time} has no valid pixel", "tile:i64 time:i64")
# 0x03..: context and reports
CONTEXT_CORRUPT = _declare(
    0x0301, "context_corrupt", ERROR, "slot {slot} of tile {tile} fails its check", "slot:u32 tile:i64"
)
CONTEXT_EVICTED = _declare(
    0x0302, "context_evicted", NOTICE, "context of tile {tile} at {time} made room", "tile:i64 time:i64"
)
CONTEXT_RESET = _declare(0x0303, "context_reset", WARNING, "all context dropped: {reason}", "reason:text")
REPORT_APPLIED = _declare(
    0x0311,
    "report_applied",
    INFO,
    "report {number}: {confirmed} held, {lost} lost",
    "number:u32 confirmed:u32 lost:u32",
)
REPORT_REJECTED = _declare(0x0312, "report_rejected", WARNING, "report refused: {reason}", "reason:text")
REPORT_MISMATCH = _declare(
    0x0313, "report_mismatch", ERROR, "ground holds another tile {tile} at {time}", "tile:i64 time:i64"
)
UPLINK_OPEN = _declare(
    0x0315, "uplink_open", WARNING, "uplink.insecure: reports can be forged by {sender}", "sender:text"
)
REPORT_REPEATED = _declare(0x0316, "report_repeated", INFO, "report {number} was here before", "number:u32")
REFRESH_WANTED = _declare(0x0314, "refresh_wanted", NOTICE, "tile {tile} will be coded without context", "tile:i64")
# 0x04..: downlink
PASS_STARTED = _declare(
    0x0401, "pass_started", NOTICE, "pass {number}: {budget} bytes, {tiles} tiles", "number:u32 budget:i64 tiles:u32"
)
PASS_REPLANNED = _declare(
    0x0402, "pass_replanned", NOTICE, "pass {number}: now {budget} bytes", "number:u32 budget:i64"
)
PASS_ENDED = _declare(
    0x0403, "pass_ended", NOTICE, "pass {number}: {used} of {budget} bytes", "number:u32 used:i64 budget:i64"
)
PORT_FAILED = _declare(0x0404, "port_failed", ERROR, "port: {error}", "error:text")
TILE_DROPPED = _declare(
    0x0411, "tile_dropped", WARNING, "tile {tile} at {time} leaves the queue: {reason}", "tile:i64 time:i64 reason:text"
)
QUEUE_CORRUPT = _declare(0x0412, "queue_corrupt", CRITICAL, "queue: {error}", "error:text")
TILE_CUT = _declare(
    0x0413,
    "tile_cut",
    WARNING,
    "tile {tile} at {time} keeps {layers} layers: {reason}",
    "tile:i64 time:i64 layers:u32 reason:text",
)
# 0x05..: health
MEMORY_FLIPPED = _declare(
    0x0501, "memory_flipped", ERROR, "{region} changed in memory at block {block}", "region:text block:u32"
)
MEMORY_REPAIRED = _declare(0x0502, "memory_repaired", NOTICE, "{region} reloaded", "region:text")
CODING_STOPPED = _declare(0x0503, "coding_stopped", CRITICAL, "coding stopped: {reason}", "reason:text")
THROTTLED = _declare(0x0511, "throttled", WARNING, "load held to {share:.2f}: {reason}", "share:f32 reason:text")
MEMORY_HIGH = _declare(
    0x0512, "memory_high", ERROR, "{found} MB resident, {allowed} MB allowed: restart", "found:u32 allowed:u32"
)
# 0x06..: engines (docs/engines.md says what each reason means)
ENGINE_OPENED = _declare(0x0601, "engine_opened", NOTICE, "engine {engine} codes: {detail}", "engine:text detail:text")
ENGINE_REFUSED = _declare(
    0x0602,
    "engine_refused",
    WARNING,
    "engine {engine} may not code ({reason}): {detail}",
    "engine:text reason:text detail:text",
)
ENGINE_NOTE = _declare(
    0x0603, "engine_note", NOTICE, "engine {engine}, {reason}: {detail}", "engine:text reason:text detail:text"
)


class EventLog:
    """Where parts of the runtime report to. Thread-safe; memory is bounded by `capacity` events.

    Args:
        clock: the injected clock.
        capacity: events kept for downlink; when full, the least severe and oldest go first and are counted.
        burst: events of one kind let through per minute; the rest is counted and told as one `suppressed`.
    """

    def __init__(self, clock: Clock, capacity: int = 4096, burst: int = 600) -> None:
        self.counts: Counter[str] = Counter()
        self._clock, self._burst = clock, burst
        self._rings = {severity: deque[Event](maxlen=capacity) for severity in Severity}
        self._sinks: list[Callable[[Event], None]] = []
        self._window = clock.monotonic()
        self._in_window: Counter[int] = Counter()
        self._lock = threading.RLock()

    def add_sink(self, sink: Callable[[Event], None]) -> None:
        """Call `sink` with every event let through; one that raises OSError is dropped, as an event."""
        self._sinks.append(sink)

    def report(self, kind: EventKind, **values: Value) -> None:
        """Note one occurrence. Raises EventError when the arguments are not those declared."""
        if values.keys() != kind.fields.keys():
            raise EventError(f"{kind.name}: expected arguments {list(kind.fields)}, found {list(values)}")
        with self._lock:
            self.counts[kind.name] += 1
            self._roll_window()
            self._in_window[kind.id] += 1
            if self._in_window[kind.id] <= self._burst:
                self._emit(kind, values)

    def drain(self, room_bytes: int) -> bytes:
        """Packed events for one packet, most severe first, oldest first within a severity; removes them."""
        packed = bytearray()
        with self._lock:
            for severity in sorted(Severity, reverse=True):
                ring = self._rings[severity]
                while ring and len(packed) + len(form := ring[0].pack()) <= room_bytes:
                    packed += form
                    ring.popleft()
        return bytes(packed)

    def waiting(self) -> int:
        """Events not yet drained."""
        return sum(len(ring) for ring in self._rings.values())

    def _roll_window(self) -> None:
        now = self._clock.monotonic()
        if now - self._window < 60.0:
            return
        held_back = {i: n - self._burst for i, n in self._in_window.items() if n > self._burst}
        self._window = now
        self._in_window.clear()
        for number, count in held_back.items():
            self._emit(SUPPRESSED, {"count": count, "name": TABLE[number].name})

    def _emit(self, kind: EventKind, values: dict[str, Value]) -> None:
        event = Event(kind, int(self._clock.wall() * 1000), values)
        self._rings[kind.severity].append(event)
        for sink in list(self._sinks):
            try:
                sink(event)
            except OSError as error:
                # The disk may be full: the log on disk is given up, the ring for downlink goes on.
                self._sinks.remove(sink)
                self.counts[SINK_FAILED.name] += 1
                self._emit(SINK_FAILED, {"error": reason(error)})


def unpack_events(data: bytes) -> Iterator[Event]:
    """Events of one packet. Raises EventError at the first byte that is not part of one."""
    at = 0
    while at < len(data):
        if len(data) - at < _HEAD.size:
            raise EventError(f"expected an event head of {_HEAD.size} bytes, found {len(data) - at}")
        number, high, low, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        kind = TABLE.get(number)
        if kind is None or at + length > len(data):
            raise EventError(f"expected a known event of at most {len(data) - at} bytes, found {number:#x}")
        yield Event(kind, high << 32 | low, _unpack_values(kind, data[at : at + length]))
        at += length


def _pack_value(form: str, value: Value) -> bytes:
    try:
        if form == "text":
            encoded = str(value).encode("utf-8", "replace")[:MAX_TEXT]
            return bytes([len(encoded)]) + encoded
        if form == "u32":
            return struct.pack(">I", min(max(int(value), 0), 0xFFFFFFFF))
        return struct.pack(">q", int(value)) if form == "i64" else struct.pack(">f", float(value))
    except (struct.error, ValueError, OverflowError) as error:
        raise EventError(f"expected a {form}, found {value!r}") from error


def _unpack_values(kind: EventKind, body: bytes) -> dict[str, Value]:
    values: dict[str, Value] = {}
    at = 0
    for name, form in kind.fields.items():
        size = {"u32": 4, "i64": 8, "f32": 4}.get(form) or (1 + body[at] if at < len(body) else 1)
        piece = body[at : at + size]
        if len(piece) < size:
            raise EventError(f"{kind.name}: expected {size} bytes of {name}, found {len(piece)}")
        at += size
        if form == "text":
            values[name] = piece[1:].decode("utf-8", "replace")
        else:
            values[name] = struct.unpack({"u32": ">I", "i64": ">q", "f32": ">f"}[form], piece)[0]
    if at != len(body):
        raise EventError(f"{kind.name}: expected {at} bytes of arguments, found {len(body)}")
    return values
