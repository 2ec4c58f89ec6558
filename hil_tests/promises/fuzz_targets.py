"""What is fuzzed: every parser that takes bytes from outside, with seeds, structure-aware makers and checksums.

A target's `make` builds a whole, valid or nearly valid message with field values from the ends of their
ranges; `fix` makes the checksums of a mutant right again. Without them most inputs would end at the first
checksum.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from swathpack.edge import events
from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.model import DEFAULT_DIRECTORY
from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.codec.rangecoder import PayloadEnded, RangeCoderError, new_decoder, new_encoder
from swathpack.edge.codec.tables import ProbabilityTables
from swathpack.edge.config import ConfigError, parse_mission
from swathpack.edge.downlink.budget import BudgetError, parse_budget
from swathpack.edge.events import EventError, EventLog, unpack_events
from swathpack.edge.frame import Frame, FrameError
from swathpack.edge.health.telemetry import TelemetryError, pack_sample, unpack_sample
from swathpack.edge.packets.deframer import Deframer
from swathpack.edge.packets.erasure import ErasureDecoder
from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.link_keys import HEADLINE, LinkKeyError, parse_link_keys
from swathpack.edge.packets.pieces import Piece, pack_pieces, unpack_pieces
from swathpack.edge.packets.report import Report, ReportEntry
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.edge.radiometry import Radiometry
from swathpack.edge.sources.acquisition import Acquisition, SourceError
from swathpack.edge.sources.sockets import MessageSplitter, PartAssembler, parts_of
from swathpack.edge.stream import Segment, StreamError, pack_segment, read_segment, read_stream
from swathpack.edge.toml_lite import TomlError, parse
from swathpack.hil_tests.promises.fuzz_makers import (
    BINDING,
    HEADER,
    KEY,
    Make,
    fix_message,
    fix_packet,
    fix_report,
    fix_segment,
    fix_stream,
    make_packets,
    make_pieces,
    make_report,
    make_segment,
    make_stream,
    parity_seeds,
    small_stream,
)
from swathpack.hil_tests.simulation.fake_codec import FakeSegmentDecoder
from swathpack.tools.ground.receiver import GroundReceiver
from swathpack.tools.ground.store import GroundStore

SETTLE_EVERY = 64  # inputs of the receiver between two ends of passes


@dataclass
class Target:
    """A parser: seeds that it accepts, the errors that it may raise, and the files whose lines count."""

    name: str
    call: Callable[[bytes], object]
    errors: tuple[type[BaseException], ...]
    seeds: list[bytes]
    files: tuple[str, ...]
    fix: Callable[[bytes], bytes] = lambda data: data
    make: Make | None = None
    rest: Callable[[], object] = lambda: None  # lets go of what it may hold between inputs, before memory is read
    runs: int = 0
    made: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    lines: set[tuple[str, int]] = field(default_factory=set)
    corpus: list[bytes] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def targets() -> list[Target]:
    """All parsers, in the order in which they are fuzzed."""
    packet = SpacePacket(Apid.IMAGE, 3, 1, 2, pack_pieces([Piece(5, 0, b"abcdefgh"), Piece(6, 900, b"xyz")]))
    return [*_of_the_link(packet), *_of_streams(), *_of_messages(packet), *_of_texts()]


def _of_the_link(packet: SpacePacket) -> list[Target]:
    entry = ReportEntry(7, TileKey(3, 1000), 4, 500, b"12345678", ((3, 9),), True)
    report = Report(1, 1, 5, 6, 0, 100, 1000, (entry, ReportEntry(9, TileKey(4, 1000), 0, 0, headless=True)))
    return [
        Target(
            "deframer",
            _deframe,
            (),
            [packet.pack() * 2, b"noise" + packet.pack()],
            ("deframer.py", "space_packet.py"),
            fix_packet,
            make_packets,
        ),
        Target("pieces", unpack_pieces, (PacketError,), [packet.payload], ("pieces.py", "varint.py"), make=make_pieces),
        Target(
            "report",
            lambda d: Report.unpack(d, dict([KEY])),
            (PacketError,),
            [report.pack(KEY)],
            ("report.py", "varint.py"),
            fix_report,
            make_report,
        ),
        Target(
            "link keys",
            lambda d: parse_link_keys(d, "keys"),
            (LinkKeyError,),
            [f"{HEADLINE}\n0 {bytes(range(32)).hex()}\n# c\n7 {bytes(range(1, 33)).hex()}\n".encode()],
            ("link_keys.py",),
        ),
        Target("parity", _parity, (PacketError,), parity_seeds(packet), ("erasure.py",)),
    ]


def _of_streams() -> list[Target]:
    segment = pack_segment(Segment(3, 1, 20, 0, 16, 4, 4, payload=b"0123456789abcdef"), BINDING)
    return [
        Target(
            "segment",
            lambda d: read_segment(d, BINDING),
            (StreamError,),
            [segment],
            ("segment.py", "scanner.py", "wire.py"),
            fix_segment,
            lambda rng: make_segment(rng, BINDING),
        ),
        Target(
            "stream",
            read_stream,
            (StreamError,),
            [
                small_stream(),
                small_stream(replace(HEADER, radiometry=Radiometry("int16", 2.0, 32768, -9999, 0.5, 32768))),
            ],
            ("reader.py", "scanner.py", "short.py", "header.py", "records.py", "wire.py", "times.py", "samples.py"),
            fix_stream,
            make_stream,
        ),
        Target("range coder", *_range_coder(), ("native.py", "coding.py")),
    ]


def _of_messages(packet: SpacePacket) -> list[Target]:
    frame = Frame(np.arange(2 * 8 * 8, dtype=np.uint16).reshape(2, 8, 8), ("B02", "B03"))
    log = EventLog(ManualClock())
    log.report(events.TILE_FAILED, tile=1, time=2, error="x")
    receiver = _Receiver()
    return [
        Target(
            "receiver",
            receiver,
            (),
            [packet.pack()],
            ("receiver.py", "store.py", "pieces.py", "erasure.py"),
            fix_packet,
            make_packets,
            receiver.begin,
        ),
        Target(
            "frame message",
            lambda d: Acquisition.unpack(d, 1 << 20),
            (FrameError,),
            [Acquisition("a", 5, 1, frame).pack()],
            ("acquisition.py", "frame.py"),
            fix_message,
        ),
        Target("events", lambda d: list(unpack_events(d)), (EventError,), [log.drain(999)], ("events.py",)),
        Target("telemetry", unpack_sample, (TelemetryError,), [pack_sample({"rss_mb": 1.0}, 5)], ("telemetry.py",)),
        Target("datagrams", _datagrams, (), [b"".join(parts_of(3, bytes(3000)))], ("sockets.py",)),
        Target(
            "messages", lambda d: MessageSplitter(4096).feed(d), (SourceError,), [b"\0\0\0\3abc" * 3], ("sockets.py",)
        ),
    ]


def _of_texts() -> list[Target]:
    return [
        Target(
            "toml",
            lambda d: parse(d.decode("utf-8", "replace")),
            (TomlError,),
            [b'a = 1\n[b]\nc = [1, 2.5, "x"]\nd = {e = true}\n[[f]]\ng = "h"\n'],
            ("toml_lite.py",),
        ),
        Target(
            "budget",
            lambda d: parse_budget(d.decode("utf-8", "replace")),
            (BudgetError,),
            [_BUDGET],
            ("budget.py", "toml_lite.py"),
        ),
        Target(
            "mission",
            lambda d: parse_mission(d.decode("utf-8", "replace"), Path("/tmp")),
            (ConfigError,),
            [_MISSION],
            ("config.py", "toml_lite.py"),
        ),
    ]


_BUDGET = b"""version = 1
plan = "p"
created = "2026-12-01T00:00:00Z"
seed = 1
[[pass]]
id = 1
satellite = "a"
station = "b"
start = "2026-12-01T00:00:00Z"
end = "2026-12-01T00:01:00Z"
bytes = 600
rate_at_s = [0.0, 30.0]
rate_byte_s = [10.0, 10.0]
"""
_MISSION = b"""state = "s"
[source]
kind = "folder"
path = "in"
[passes]
bytes = 2000000
every_s = 5400.0
[coding]
q = 28
[link]
erasure = "cauchy"
"""


def _deframe(data: bytes) -> None:
    deframer = Deframer(2048)
    half = len(data) // 2
    deframer.feed(data[:half])
    deframer.feed(data[half:])
    deframer.flush()
    assert deframer.held_bytes <= 2048 + len(data)


def _parity(data: bytes) -> None:
    decoder = ErasureDecoder(Apid.IMAGE)
    for sequence in (3, 4):
        decoder.source(SpacePacket(Apid.IMAGE, sequence, 1, 2, b"abc"))
    decoder.parity(SpacePacket(Apid.PARITY, 0, 1, 2, data))


def _datagrams(data: bytes) -> None:
    assembler = PartAssembler(8192)
    for at in range(0, len(data), 1412):
        assembler.feed(data[at : at + 1412])


class _Receiver:
    """The ground's whole way of a packet, with state: what one input leaves behind, the next one meets."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._count = self._lives = 0
        self.begin()

    def begin(self) -> None:
        """A ground with nothing in it: up to 32 MB of forged segments are let go."""
        self._lives += 1
        store = GroundStore(Path(self._folder.name) / f"ground-{self._lives}")
        self._receiver = GroundReceiver(store, FakeSegmentDecoder(), 2048)

    def __call__(self, data: bytes) -> None:
        self._receiver.feed(data)
        self._count += 1
        if self._count % SETTLE_EVERY == 0:
            self._receiver.settle(self._count // SETTLE_EVERY)
        if self._count % (64 * SETTLE_EVERY) == 0:
            self.begin()


def _range_coder() -> tuple[Callable[[bytes], object], tuple[type[BaseException], ...], list[bytes]]:
    """The C decoder on real tables: payloads of 128 symbols, then on until the payload ends."""
    with np.load(DEFAULT_DIRECTORY / "entropy.npz") as arrays:
        tables = ProbabilityTables.from_arrays(arrays)
    rng = np.random.default_rng(5)
    index = rng.integers(0, tables.n_tables, 128).astype(np.uint16)
    encoder = new_encoder(tables)
    encoder.encode(rng.integers(-3, 4, 128).astype(np.int32), index)

    def call(data: bytes) -> None:
        decoder = new_decoder(tables, data)
        for _ in range(8):
            decoder.decode(index)

    return call, (RangeCoderError, PayloadEnded), [encoder.payload(), encoder.payload()[:40]]
