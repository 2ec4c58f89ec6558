"""A whole flight loop in one process for tests: synthetic frames, fake codec, a radio in memory, a ground."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from swathpack.edge.board import Board, open_board
from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.protocol import TileCodec
from swathpack.edge.config import Mission, parse_mission
from swathpack.edge.downlink.ports import PortError
from swathpack.edge.downlink.schedule import Contact, SingleContact
from swathpack.edge.health.scrub import Scrubber
from swathpack.edge.health.throttle import Readings
from swathpack.edge.health.watchdog import Notifier
from swathpack.edge.loop import FlightLoop, Guards
from swathpack.edge.outside import Outside
from swathpack.edge.sources.acquisition import FrameSource
from swathpack.edge.sources.synthetic import SyntheticSource
from swathpack.hil_tests.simulation.commands import HeldCommands
from swathpack.hil_tests.simulation.fake_codec import FakeSegmentDecoder, FakeTileCodec
from swathpack.hil_tests.simulation.two_ends import KEY, KEYS
from swathpack.tools.ground.receiver import GroundReceiver
from swathpack.tools.ground.reports import ReportWriter
from swathpack.tools.ground.store import GroundStore

MODEL = b"fake"
MISSION = """
state = "state"
[uplink]
key_file = "key"
[passes]
bytes = 100000
every_s = 1000.0
[context]
slots = 1024
slot_bytes = 16384
[coding]
tile = 64
[limits]
min_free_mb = 0
ballast_mb = 1
[link]
packet_bytes = 512
reserve_bytes = 8192
"""


class MemoryRadio:
    """A `Port` that remembers; `broken` makes it refuse."""

    def __init__(self) -> None:
        self.passes: dict[int, list[bytes]] = {}
        self.broken = False
        self._number = -1

    def open(self, pass_number: int) -> None:
        self._number = pass_number

    def send(self, packet: bytes) -> None:
        if self.broken:
            raise PortError("the amplifier is off")
        self.passes.setdefault(self._number, []).append(packet)

    def close(self) -> None:
        pass


class Flight:
    """The loop with its outside world; `restart` is a power cycle."""

    def __init__(
        self,
        folder: Path,
        frames: int = 4,
        places: int = 1,
        size: int = 128,
        text: str = MISSION,
        downlink_keys: Mapping[int, bytes] | None = None,
    ) -> None:
        self.folder, self.downlink_keys = folder, downlink_keys
        self.clock = ManualClock()
        self.mission: Mission = parse_mission(text, folder)
        self.radio, self.uplink = MemoryRadio(), HeldCommands()
        self.schedule = SingleContact(0, 0)
        self.schedule.contact = None
        self.source: FrameSource = SyntheticSource(self.clock, frames, places, size)
        self.readings = Readings()
        self.codec: TileCodec = FakeTileCodec(channels=64, q=30)
        self.start()

    def start(self) -> None:
        """Open the board from its files and put the loop together."""
        self.board: Board = open_board(self.mission, self.clock, MODEL)
        self.scrubber = Scrubber(self.board.log)
        outside = Outside(self.source, self.radio, self.uplink, self.schedule, KEYS, self.downlink_keys)
        guards = Guards(self.scrubber, readings=lambda: self.readings, notifier=Notifier(""))
        self.loop = FlightLoop(self.board, self.codec, outside, guards)
        self.loop.intake.adopt()

    def restart(self) -> None:
        """Off and on again: nothing but files is left of what was there."""
        self.board.close()
        self.start()

    def contact(self, number: int, budget: int) -> list[bytes]:
        """A whole pass; returns its packets."""
        self.schedule.contact = Contact(number, budget, budget)
        self.loop.settle()
        self.schedule.contact = None
        self.loop.settle()
        return self.radio.passes.get(number, [])


class Station:
    """The ground for a `Flight`."""

    def __init__(self, folder: Path, flight: Flight) -> None:
        self.store = GroundStore(folder / "ground")
        self.receiver = GroundReceiver(self.store, FakeSegmentDecoder(), 4096)
        self.reports = ReportWriter(self.store, KEY, flight.board.boot.store)

    def hear(self, number: int, packets: list[bytes]) -> list[bytes]:
        """Take a pass in; returns the commands to send up."""
        for packet in packets:
            self.receiver.feed(packet)
        self.receiver.settle(number)
        return self.reports.packets(number, 0)
