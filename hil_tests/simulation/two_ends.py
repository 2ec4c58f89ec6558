"""A board and a ground station in one process, joined by whatever channel a test puts between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.protocol import ContextLatent, TileKey, TilePixels
from swathpack.edge.context.layout import Geometry
from swathpack.edge.context.store import ContextStore
from swathpack.edge.downlink.confirm import Confirmation
from swathpack.edge.downlink.link_record import LinkRecord
from swathpack.edge.downlink.passrun import LinkSettings, PassRun, packets
from swathpack.edge.downlink.plan import PlanSettings
from swathpack.edge.downlink.queue import DownlinkQueue
from swathpack.edge.downlink.work import Work
from swathpack.edge.events import EventLog
from swathpack.edge.packets.deframer import Deframer
from swathpack.edge.packets.link_keys import LinkKey, link_keys_text
from swathpack.hil_tests.simulation.fake_codec import FakeSegmentDecoder, FakeTileCodec
from swathpack.tools.ground.receiver import GroundReceiver, Update
from swathpack.tools.ground.reports import ReportWriter
from swathpack.tools.ground.store import GroundStore

KEY = LinkKey(0, bytes(range(32)))
KEYS = dict([KEY])
STORE = 7
BANDS = ("B02", "B03", "B04", "B08")
LINK = LinkSettings(packet_bytes=512, reserve_bytes=4096)


def write_key_file(path: Path, mode: int = 0o600) -> None:
    """A file of link keys that holds KEY alone; mode: its permission bits."""
    path.write_text(link_keys_text(KEYS))
    path.chmod(mode)


def scene(tiles: int, seed: int = 1, side: int = 64) -> np.ndarray:
    """(tiles, 4, side, side) float: smooth ground of each tile."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(tiles, len(BANDS), side, side))
    return np.clip(1500 + 12 * np.cumsum(np.cumsum(steps, axis=2), axis=3), 1, 9000)


def acquire(ground: np.ndarray, date: int) -> np.ndarray:
    """(4, side, side) uint16: the ground on a date, with the sensor's noise."""
    noise = np.random.default_rng([date, int(ground[0, 0, 0])]).normal(size=ground.shape)
    seen: np.ndarray = np.clip(ground * (1 + 0.02 * np.sin(date)) + 15 * noise, 1, 9999).astype(np.uint16)
    return seen


class Board:
    """Queue, context store and fake codec in one folder; `reboot` opens them anew."""

    def __init__(self, folder: Path, codec: FakeTileCodec | None = None) -> None:
        self.folder, self.clock = folder, ManualClock()
        self.codec = codec or FakeTileCodec()
        self.truth: dict[TileKey, np.ndarray] = {}
        self.refreshed: list[int] = []
        self.boot = 0
        self.reboot()

    def reboot(self) -> None:
        """Open everything anew from the files, one start later."""
        self.boot += 1
        self.log = EventLog(self.clock)
        self.queue = DownlinkQueue(self.folder / "queue", self.clock, self.boot, STORE)
        geometry = Geometry(slots=1024, slot_bytes=8192, ways=64)
        self.context = ContextStore.open(self.folder / "context", geometry, b"fake", self.log)
        self.link = LinkRecord(self.folder / "link")
        self.confirmation = Confirmation(self.queue, self.context, self.link, self.log, self.refreshed.append)

    def take(self, name: str, time: int, tiles: Iterable[np.ndarray], weight: float = 1.0) -> list[int]:
        """Accept a frame of one row of tiles and code it all; returns the segment numbers."""
        pixels = list(tiles)
        self.queue.work.accept(name, time, 1, [Work(0, 0, i, i, weight) for i in range(len(pixels))])
        return [self.code(work, time, pixels[work.col]) for work in self.queue.work.next_work(len(pixels))]

    def code(self, work: Work, time: int, pixels: np.ndarray) -> int:
        """Code one tile (4, h, w) uint16 against what is confirmed, and queue it; returns the segment's number."""
        key = TileKey(work.tile, time)
        contexts = [] if work.intra else self.context.get(work.tile)
        tile = TilePixels(key, pixels, BANDS, np.ones(pixels.shape[1:], bool))
        coded = self.codec.encode(tile, contexts)
        self.truth[key] = coded.latent
        return self.queue.tiles.add(work, coded, coded.segment(0, LAYERS))

    def run(self, number: int, budget: int, link: LinkSettings = LINK) -> PassRun:
        """The pass of that number, begun; budget: bytes."""
        return PassRun(self.queue, self.log, number, budget, PlanSettings(), link)

    def downlink(self, number: int, budget: int, link: LinkSettings = LINK) -> list[bytes]:
        """All packets of a pass."""
        return list(packets(self.run(number, budget, link)))

    def uplink(self, commands: Iterable[bytes], keys: Mapping[int, bytes] = KEYS) -> None:
        """Commands as they arrive, to the confirmation of the keys."""
        deframer = Deframer()
        for command in commands:
            for packet in deframer.feed(command):
                self.confirmation.receive(packet.payload, keys)


def held_of(store: GroundStore, key: TileKey) -> ContextLatent:
    """What the ground holds of a tile-frame that it has. Raises LookupError when it has none."""
    held = store.latent(key)
    if held is None:
        raise LookupError(f"no layer of {key} at the ground")
    return held


class Ground:
    """Store, receiver and reports of the ground in one folder."""

    def __init__(self, folder: Path, epoch: int = 1) -> None:
        self.store = GroundStore(folder / f"ground{epoch}", epoch)
        self.receiver = GroundReceiver(self.store, FakeSegmentDecoder(), 2048)
        self.reports = ReportWriter(self.store, KEY, STORE)

    def hear(self, number: int, stream: Iterable[bytes], keep: Callable[[int], bool] = lambda i: True) -> list[Update]:
        """Take a pass in, without the packets that `keep` refuses by their place; returns what changed."""
        for i, packet in enumerate(stream):
            if keep(i):
                self.receiver.feed(packet)
        return self.receiver.settle(number)

    def wrong(self, truth: dict[TileKey, np.ndarray]) -> list[TileKey]:
        """Tile-frames whose latent is not the true one to its decoded layers: must be none."""
        return [key for key in self.store.tile_frames() if not self._right(key, truth[key])]

    def _right(self, key: TileKey, true: np.ndarray) -> bool:
        held = held_of(self.store, key)
        known = held.layers * true.shape[0] // LAYERS
        return bool((held.latent[:known] == true[:known]).all() and not held.latent[known:].any())

    def layers(self) -> dict[TileKey, int]:
        """How many layers the store holds of every tile-frame."""
        return {key: self.store.layers(key) for key in self.store.tile_frames()}
