"""From bytes of the radio to latents: deframe, restore, reassemble, decode.

    radio bytes -> Deframer -> ErasureDecoder -> pieces -> segments -> (all contexts here?) -> latents

A segment whose context is not here waits and is decoded when the missing part arrives. A piece that
contradicts bytes already held is dropped: two checksums make that a sign of mixed-up segment numbers, never
of noise.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.events import Event, EventError, unpack_events
from swathpack.edge.packets.deframer import Deframer, SequenceCheck
from swathpack.edge.packets.erasure import ErasureDecoder
from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.pieces import unpack_pieces
from swathpack.edge.packets.report import held_digest
from swathpack.edge.packets.security import ForgedPacketError, opened
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.tools.ground.decoder import DecodeError, SegmentDecoder, SegmentHead
from swathpack.tools.ground.replays import Heard, ReplayWatch
from swathpack.tools.ground.store import DAMAGED, OPEN, WAITING, GroundStore, HeldSegment

HELD_IN_MEMORY = 4096
BYTES_IN_MEMORY = 1 << 25  # of pages: every piece may have one of its own
_TOUCHED_IN_MEMORY = 1 << 18
_BATCH = 256
_EVENTS_KEPT = 1 << 14  # the newest; a board sends some hundred a pass


@dataclass(frozen=True)
class Update:
    """A tile-frame of which more layers are known now."""

    key: TileKey
    layers: int


class GroundReceiver:
    """Takes the bytes of one board's downlink. `counts` says what became of them.

    keys: secrets by slot; a packet that is signed, but by none of them, is refused and counted. signed: one that nobody
    signed, too. Of signed packets that are sent once more see `swathpack.tools.ground.replays`.
    """

    def __init__(
        self,
        store: GroundStore,
        decoder: SegmentDecoder,
        max_packet_bytes: int = 65542,
        keys: Mapping[int, bytes] | None = None,
        signed: bool = False,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.sequence = SequenceCheck()
        self.events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self.telemetry: deque[bytes] = deque(maxlen=_EVENTS_KEPT)
        self._store, self._decoder, self._keys, self._signed = store, decoder, keys, signed
        self._deframer = Deframer(max_packet_bytes)
        self._erasure = ErasureDecoder(Apid.IMAGE)
        self._replays = ReplayWatch()
        self._first: SpacePacket | None = None
        self.open: dict[tuple[int, int], HeldSegment] = {}
        self._open_bytes = 0
        self._touched: set[tuple[int, int]] = set()
        self._grown: list[Update] = []

    @property
    def identity(self) -> tuple[int, int] | None:
        """(pass, life of the board's queue) of the newest pass that was signed, else of the first packet; None before it."""
        packet = self._replays.newest or self._first
        return None if packet is None else (packet.pass_number, packet.store)

    def feed(self, data: bytes) -> None:
        """Bytes as they come, in any portions."""
        for packet in self._deframer.feed(data):
            self._packet(packet)

    def settle(self, pass_number: int) -> list[Update]:
        """End of a pass: decode what can be decoded, write everything; returns the tile-frames that grew."""
        for packet in self._deframer.flush():
            self._packet(packet)
        self.counts["damaged packets"] = self._deframer.counts.damaged
        self.counts["stray bytes"] = self._deframer.counts.garbage_bytes
        self.counts["lost image packets"] = self.sequence.lost[Apid.IMAGE]
        self._settle_touched(pass_number)
        updates, self._grown = self._grown, []
        self._wake(updates, pass_number)
        return updates

    def _settle_touched(self, pass_number: int) -> None:
        """Decode every segment that was touched, once, in the order of their numbers: contexts before what needs them."""
        batch, batch_bytes = list[HeldSegment](), 0
        for place in sorted(self._touched, key=lambda p: (p[1], p[0])):
            segment = self.open.pop(place, None) or self._store.segment(*place)
            if segment is None:
                continue
            self._decode(segment, self._grown)
            batch.append(segment)
            batch_bytes += len(segment.data)
            if len(batch) >= _BATCH or batch_bytes > BYTES_IN_MEMORY:
                self._store.save(batch, pass_number)
                batch, batch_bytes = [], 0
        self._store.save(batch, pass_number)
        self.open.clear()
        self._touched.clear()
        self._open_bytes = 0

    def _packet(self, packet: SpacePacket) -> None:
        try:
            content = self._open_packet(packet)
        except ForgedPacketError:
            return  # not even its count is believed
        self._first = self._first or packet
        heard = self._replays.take(packet) if packet.secured and self._keys is not None else Heard.NEW
        try:
            if heard in (Heard.REPEATED, Heard.OLDER):
                self._replayed(content, heard)
                return
            if heard is Heard.NEWER:
                self.sequence.next_pass()
                self._erasure = ErasureDecoder(Apid.IMAGE)
            self.sequence.note(packet)
            self.counts["packets"] += 1
            self._sort(packet, content)
        except (PacketError, EventError):
            self.counts["malformed packets"] += 1

    def _replayed(self, content: SpacePacket, heard: Heard) -> None:
        self.counts["replayed packets"] += 1
        if heard is Heard.OLDER and content.apid == Apid.IMAGE:
            self._image(content)

    def _open_packet(self, packet: SpacePacket) -> SpacePacket:
        """The packet without its signature. Raises ForgedPacketError, counted."""
        try:
            return opened(packet, self._keys, self._signed)
        except ForgedPacketError:
            self.counts["forged packets"] += 1
            raise

    def _sort(self, packet: SpacePacket, content: SpacePacket) -> None:
        """packet: as it came, which is what parity protects; content: without its signature."""
        if packet.apid == Apid.IMAGE:
            self._image(content)
            for restored in self._erasure.source(packet):
                self._restored(restored)
        elif packet.apid == Apid.PARITY:
            for restored in self._erasure.parity(content):
                self.counts["restored packets"] += 1
                self._restored(restored)
        elif packet.apid == Apid.EVENT:
            self.events.extend(unpack_events(content.payload))
        elif packet.apid == Apid.TELEMETRY:
            self.telemetry.append(content.payload)

    def _restored(self, packet: SpacePacket) -> None:
        with contextlib.suppress(ForgedPacketError):
            self._image(self._open_packet(packet))

    def _image(self, packet: SpacePacket) -> None:
        for piece in unpack_pieces(packet.payload):
            segment = self._segment(packet, piece.number)
            before = len(segment.data)
            if not segment.put(piece.offset, piece.data):
                self.counts["contradicting pieces"] += 1
            self._open_bytes += len(segment.data) - before

    def _segment(self, packet: SpacePacket, number: int) -> HeldSegment:
        place = (packet.store, number)
        if place not in self.open:
            if len(self._touched) >= _TOUCHED_IN_MEMORY:
                self._settle_touched(packet.pass_number)
            if len(self.open) >= HELD_IN_MEMORY or self._open_bytes > BYTES_IN_MEMORY:
                self._spill(packet.pass_number)
            found = self._store.segment(*place)
            self.open[place] = found or HeldSegment(*place, packet.pass_number)
            self._open_bytes += len(self.open[place].data)
            self._touched.add(place)
        return self.open[place]

    def _spill(self, pass_number: int) -> None:
        """Bound the memory: write the older half; a segment comes back when another piece of it does, and is decoded at
        the end of the pass in any case: not once for every piece.
        """
        places = list(self.open)[: (len(self.open) + 1) // 2]
        spilled = [self.open.pop(place) for place in places]
        self._open_bytes = sum(len(segment.data) for segment in self.open.values())
        self._store.save(spilled, pass_number)

    def _decode(self, segment: HeldSegment, updates: list[Update]) -> None:
        """Decode the prefix that is here, if its contexts are; note the state either way."""
        head = None
        try:
            head = self._decoder.head(segment.prefix)
            if head is None:
                return
            segment.key, segment.state = head.key, OPEN
            contexts = self._store.contexts(head.key, head.context_digests)
            if contexts is None:
                segment.state = WAITING
                return
            latent, layers = self._decoder.decode(segment.prefix, contexts)
        except DecodeError as error:
            segment.state = DAMAGED
            self.counts["damaged segments"] += 1
            if head is None or error.latent is None:
                return
            latent, layers = error.latent, error.layers
        self._keep(segment, head, latent, layers, updates)

    def _keep(
        self, segment: HeldSegment, head: SegmentHead, latent: NDArray[np.int16], layers: int, updates: list[Update]
    ) -> None:
        """Take the layers in that a segment brought, if they are more than before."""
        if layers <= segment.layers:
            return
        segment.layers = layers
        segment.digest = held_digest(head.key, head.q, layers, latent)
        if not self._store.put_latent(head.key, head.q, latent, layers):
            self.counts["contradicting latents"] += 1
            if not self._newest(segment):
                return
            self._store.put_latent(head.key, head.q, latent, layers, replace=True)
        updates.append(Update(head.key, layers))

    def _newest(self, segment: HeldSegment) -> bool:
        """Whether a segment is the last coding of its tile-frame: the board codes again what came out wrong."""
        others = self._store.of(segment.key) if segment.key else []
        mine = (segment.since_pass, segment.number)
        return all((s.since_pass, s.number) <= mine for s in others)

    def _wake(self, updates: list[Update], pass_number: int) -> None:
        """Segments that waited for what has just come; each of them may wake others."""
        tiles = {update.key.tile for update in updates}
        while tiles:
            tile, more = tiles.pop(), list[Update]()
            for segment in self._store.waiting(tile):
                self._decode(segment, more)
                if segment.state != WAITING:
                    self._store.save([segment], pass_number)
            updates += more
            if more:
                tiles.add(tile)  # what came may be what an earlier one waits for
