"""The sensor's truth, the ground and the judge of a campaign: frames from a seed, passes heard, latents compared."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.edge.clock import SystemClock
from swathpack.edge.codec.base_layer import known_part
from swathpack.edge.codec.flight import FlightCodec, as_contacts_ask
from swathpack.edge.codec.frame_weights import asked_by_frame
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.plain import mode_name
from swathpack.edge.codec.protocol import CodedTile, ContextLatent, TileCodec, TileKey, TilePixels
from swathpack.edge.config import CodingConfig
from swathpack.edge.frame import Frame
from swathpack.edge.packets.deframer import Deframer
from swathpack.edge.packets.space_packet import Apid
from swathpack.edge.sources.acquisition import Acquisition
from swathpack.edge.sources.synthetic import SyntheticSource
from swathpack.edge.stream.quality import PREDICTIVE, TRANSFORM, is_learned
from swathpack.hil_tests.simulation.fake_codec import FakeSegmentDecoder, FakeTileCodec
from swathpack.hil_tests.simulation.two_ends import KEY, held_of
from swathpack.tools.ground.decoder import SegmentDecoder
from swathpack.tools.ground.receiver import GroundReceiver
from swathpack.tools.ground.reports import ReportWriter
from swathpack.tools.ground.store import GroundStore

TILE, SIDE, PLACES = 64, 128, 4
START, REVISIT_S = 1_700_000_000, 5 * 86400
MAX_PACKET = 4096
MAX_ERROR = 8  # of lives that promise one


@functools.cache
def codecs(name: str) -> tuple[TileCodec, SegmentDecoder, Any]:
    """(codec, decoder, model) of `fake` or `edge`, made once a process."""
    if name == "fake":
        return FakeTileCodec(64, 30), FakeSegmentDecoder(), SimpleNamespace(digest=b"fake", engine_events=[])
    from swathpack.edge.codec.model import EdgeModel
    from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder

    model = EdgeModel()
    return FlightCodec(model, 28), EdgeSegmentDecoder(model), model


@functools.cache
def undisturbed(name: str, kind: str) -> TileCodec:
    """What codes as a board with the usual mission does, kept to one of its modes (`mode_name`): a board chooses by the contexts
    that it happens to hold, and the tile says which.
    """
    if name == "fake":
        return codecs(name)[0]
    coding = replace(CodingConfig(), tile=TILE)
    coding = replace(coding, max_error=MAX_ERROR) if kind == "predictive" else replace(coding, mode=kind)
    return FlightCodec.configured(codecs(name)[2], coding)


@dataclass
class Judged:
    """What the ground holds in the end: tile-frames, of them `wrong`, of them without the network, of these within a
    greatest error, and segments that name a context.
    """

    held: int = 0
    wrong: int = 0
    transform: int = 0
    exact: int = 0
    inter: int = 0


class Watcher:
    """Hears the outbox of a folder, sends reports to its uplink folder, and knows what is true."""

    def __init__(self, folder: Path, codec: str, budget: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.budget = folder, budget
        self.name, self.decoder = codec, codecs(codec)[1]
        self.store = GroundStore(folder / "ground")
        self.scenes = SyntheticSource(SystemClock(), 0, PLACES, SIDE)
        self.unknown = self.over_budget = self.packets = 0
        self._heard: dict[int, int] = {}  # pass -> bytes taken in
        self._over: set[int] = set()

    @property
    def passes(self) -> int:
        """Passes of which anything was heard."""
        return len(self._heard)

    def acquisition(self, number: int) -> Acquisition:
        """Frame `number` of the sensor, the places in turn."""
        place, date = number % PLACES, number // PLACES
        return Acquisition(f"f-{place}-{date}", START + date * REVISIT_S, place, Frame(self.scenes.scene(place, date)))

    def hear_finished(self) -> None:
        """Take in passes that have ended."""
        for path in sorted((self.folder / "outbox").glob("pass-*.bin")):
            self._hear(path)

    def hear_all(self) -> int:
        """Take in what a dead process left too; returns the number of the pass it was in, -1 for none."""
        self.hear_finished()
        parts = sorted((self.folder / "outbox").glob("pass-*.part"))
        for path in parts:
            self._hear(path)
        return max((_number(path) for path in parts), default=-1)

    def _hear(self, path: Path) -> None:
        number = _number(path)
        try:
            size = path.stat().st_size
            if size <= self._heard.get(number, 0):
                return
            data = path.read_bytes()
        except FileNotFoundError:
            return  # renamed between the two
        fresh = data[self._heard.get(number, 0) :]
        self._heard[number] = len(data)
        self.over_budget += len(data) > self.budget
        self._take(number, fresh)

    def _take(self, number: int, data: bytes) -> None:
        deframer = Deframer(MAX_PACKET)
        stores = {p.store for p in deframer.feed(data) + deframer.flush() if p.apid == Apid.IMAGE}
        self.packets += deframer.counts.packets
        receiver = GroundReceiver(self.store, self.decoder, MAX_PACKET)
        receiver.feed(data)
        receiver.settle(number)
        self.unknown += waiting(self.store)
        for store in stores:
            self._report(store, number)

    def _report(self, store: int, number: int) -> None:
        part = self.folder / "uplink" / f"{number:06d}-{store}.part"
        part.write_bytes(b"".join(ReportWriter(self.store, KEY, store).packets(number, 0)))
        part.replace(part.with_suffix(".bin"))

    def missing(self, names: set[str]) -> set[tuple[int, int, int, int]]:
        """(place, date, row, column) of tile-frames of these frames that the ground does not hold to all layers."""
        held = {_split(key) for key in self.store.tile_frames() if self.store.layers(key) == LAYERS}
        wanted = {tuple(map(int, name.split("-")[1:])) for name in names}
        cells = [(r, c) for r in range(SIDE // TILE) for c in range(SIDE // TILE)]
        return {(p, d, r, c) for p, d in wanted for r, c in cells} - held

    def judge(self) -> Judged:
        """Wrong: not the latent that the encoder makes of the scene in the tile's mode, to the layers that are held."""
        found = Judged()
        for key in self.store.tile_frames():
            held = held_of(self.store, key)
            found.held += 1
            found.transform += not is_learned(held.q)
            found.exact += held.q == PREDICTIVE
            codings = self.codings(key, held.q, self._contexts(key))
            same = any(
                true.q == held.q and np.array_equal(held.latent, known_part(true.latent, held.layers, held.q))
                for true in codings
            )
            found.wrong += not same
            for segment in self.store.of(key):
                head = self.decoder.head(segment.prefix)
                found.inter += bool(head and head.context_digests)
        return found

    def _contexts(self, key: TileKey) -> list[ContextLatent]:
        """Those that the segment with the most layers was coded against, as the ground holds them."""
        best = max(self.store.of(key), key=lambda segment: segment.layers)
        head = self.decoder.head(best.prefix)
        return list(self.store.contexts(key, head.context_digests) or ()) if head else []

    def code(self, key: TileKey, quality: int, contexts: Sequence[ContextLatent] = ()) -> CodedTile:
        """A tile-frame as an undisturbed board codes it in the mode of a quality byte, if no contact has much for it."""
        return next(iter(self.codings(key, quality, contexts)))

    def codings(self, key: TileKey, quality: int, contexts: Sequence[ContextLatent] = ()) -> Iterator[CodedTile]:
        """The same for all that contacts may have had for it."""
        place, date, row, column = _split(key)
        whole = self.scenes.scene(place, date)
        data = np.ascontiguousarray(whole[:, row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE])
        codec, asked = undisturbed(self.name, mode_name(quality)), None
        if isinstance(codec, FlightCodec):
            asked = asked_by_frame(Frame.from_array(whole, BANDS), TILE)
        tile = TilePixels(key, data, BANDS, data[0] > 0, asked=asked)
        if isinstance(codec, FlightCodec) and quality == TRANSFORM:
            yield from as_contacts_ask(codec, tile, contexts)
        else:
            yield codec.encode(tile, contexts)


def waiting(store: GroundStore) -> int:
    """Segments that the ground cannot decode now for want of context."""
    return store.waiting_count()


def _split(key: TileKey) -> tuple[int, int, int, int]:
    return key.tile >> 16, (key.time - START) // REVISIT_S, key.tile >> 8 & 255, key.tile & 255


def _number(path: Path) -> int:
    return int(path.stem.split("-")[1])
