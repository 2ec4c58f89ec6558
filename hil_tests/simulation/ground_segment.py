"""The ground of a campaign: the real receiver, decoder, store and report writer, pass by pass."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.latents import STRIDE
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.protocol import ContextLatent, TileKey
from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.link_keys import LinkKey
from swathpack.edge.packets.pieces import unpack_pieces
from swathpack.edge.packets.security import without_security
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.images import tile_image
from swathpack.tools.ground.receiver import GroundReceiver
from swathpack.tools.ground.reports import ReportWriter
from swathpack.tools.ground.store import GroundStore

MAX_PACKET = 8192
Lost = tuple[int, int, int, int]  # store, segment, first byte, byte behind the last


class GroundSegment:
    """Takes what arrives and is signed, decodes it, writes reports. key: shared with the board."""

    def __init__(self, folder: Path, model: EdgeModel, key: LinkKey) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.store, self.model = GroundStore(folder / "ground.db"), model
        self.key, self.counts = key, Counter[str]()
        self._decoder = EdgeSegmentDecoder(model)

    def hear(self, number: int, packets: list[bytes]) -> tuple[list[TileKey], Counter[str]]:
        """One pass as it arrived; the tile-frames that grew, and what became of the packets."""
        receiver = GroundReceiver(self.store, self._decoder, MAX_PACKET, dict([self.key]), signed=True)
        for packet in packets:
            receiver.feed(packet)
        updates = receiver.settle(number)
        self.counts += receiver.counts
        return [update.key for update in updates], receiver.counts

    def contexts(self, key: TileKey) -> list[ContextLatent]:
        """Those that the segment with the most layers of a tile-frame was coded against, as they are held."""
        best = max(self.store.of(key), key=lambda segment: segment.layers)
        head = self._decoder.head(best.prefix)
        return list(self.store.contexts(key, head.context_digests) or ()) if head else []

    def image(self, key: TileKey) -> NDArray[np.uint16]:
        """(12, 16h, 16w) DN of a tile-frame as `swathpack receive --images` makes it; 1 where nothing came."""
        pixels = tile_image(self.store, self.model, key)
        held = self.store.latent(key)
        assert held is not None
        if pixels is None:
            pixels = np.zeros((len(BANDS), held.latent.shape[1] * STRIDE, held.latent.shape[2] * STRIDE), np.float32)
        return np.clip(np.rint(pixels), 1, 65535).astype(np.uint16)

    def reports(self, number: int, store_id: int, now: float) -> list[bytes]:
        """Command packets about this pass and the two before it."""
        return ReportWriter(self.store, self.key, store_id).packets(number, int(now))

    def forged(self, number: int, store_id: int, now: float, count: int) -> list[bytes]:
        """Reports as an attacker without the key would make them: of another key, and a true one changed."""
        wrong = LinkKey(self.key.slot, bytes(reversed(self.key.secret)))
        other = ReportWriter(self.store, wrong, store_id).packets(number, int(now), repeat=0)
        made = []
        for i in range(count):
            packet = SpacePacket.unpack(other[i % len(other)])
            payload = bytearray(packet.payload)
            payload[-1 - i % 4] ^= 0x5A * (i % 2)
            made.append(SpacePacket(Apid.REPORT, i, store_id, number, bytes(payload), command=True).pack())
        return made

    def missing(self, lost: list[Lost]) -> list[Lost]:
        """Of these byte ranges, those that the ground still lacks while their tile-frame is not complete."""
        found = []
        for store, number, start, stop in lost:
            segment = self.store.segment(store, number)
            if segment is None or segment.ranges.missing(start, stop):
                found.append((store, number, start, stop))
        return found


def pieces_of(packet: bytes) -> list[Lost]:
    """The byte ranges that an image packet carries; none for other packets."""
    try:
        unpacked = SpacePacket.unpack(packet)
        if unpacked.apid != Apid.IMAGE:
            return []
        pieces = unpack_pieces(without_security(unpacked).payload)
        return [(unpacked.store, p.number, p.offset, p.offset + len(p.data)) for p in pieces]
    except PacketError:
        return []
