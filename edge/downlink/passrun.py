"""One pass: packets within the budget, to the byte, through restarts and changes of the budget.

No input/output but the queue: the caller takes `next_packet`, sends it, and says `sent`. Order of events that
keeps the budget after a loss of power: bytes are reserved in the queue before the first packet that uses them
is handed out, in portions; what was reserved and not sent is lost to this pass, a small price.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from swathpack.edge import events
from swathpack.edge.downlink.plan import PassPlan, PlanSettings
from swathpack.edge.downlink.queue import DownlinkQueue
from swathpack.edge.downlink.schema import QueueCorruptError
from swathpack.edge.events import EventLog
from swathpack.edge.packets.erasure import CODES, ErasureCode, parity_packet_bytes, parity_payloads
from swathpack.edge.packets.pieces import HEAD_BYTES, SMALLEST_PACKET, PiecePacker, Span
from swathpack.edge.packets.security import SECURITY_BYTES, PacketSigner
from swathpack.edge.packets.space_packet import OVERHEAD_BYTES, Apid, SpacePacket
from swathpack.edge.schema import key


@dataclass(frozen=True)
class LinkSettings:
    """packet_bytes: largest packet. reserve_bytes: portion of the budget reserved per commit.

    erasure: "none", "cauchy" or "raptorq"; block_packets and parity_packets: K and R of a block.
    housekeeping_share: of the budget at most goes to events and telemetry.
    """

    packet_bytes: int = key(1024, 192, 65542)
    reserve_bytes: int = key(65536, 1024, (1 << 30) - 1)
    erasure: str = key("none", words=("none", "cauchy", "raptorq"))
    block_packets: int = key(40, 1, 128)
    parity_packets: int = key(4, 0, 127)
    housekeeping_share: float = key(0.02, 0.0, 0.5)


def smallest_pass(signed: bool) -> int:
    """Bytes of the smallest pass that carries anything: one image packet with a piece of a segment in it."""
    return SMALLEST_PACKET + (SECURITY_BYTES if signed else 0)


@dataclass
class _Handed:
    """A packet handed out and not yet confirmed as sent."""

    size: int
    spans: list[Span]


@dataclass
class _Block:
    """Image packets waiting for their parity."""

    first: int = 0
    packets: list[bytes] = field(default_factory=list)


class PassRun:
    """The packets of one pass.

    Args:
        signer: signs every packet; its bytes count as those of the packet.
        housekeeping: (APID, payload of at most n bytes) for the pass's start: called with n until it is
        empty.
    """

    def __init__(
        self,
        queue: DownlinkQueue,
        log: EventLog,
        number: int,
        budget_bytes: int,
        plan: PlanSettings,
        link: LinkSettings,
        housekeeping: Callable[[int], tuple[int, bytes]] | None = None,
        signer: PacketSigner | None = None,
    ) -> None:
        self.number, self.budget = number, budget_bytes
        self._queue, self._log, self._link = queue, log, link
        self._plan_settings, self._signer = plan, signer
        self._overhead = OVERHEAD_BYTES + (SECURITY_BYTES if signer else 0)
        self._smallest = smallest_pass(signed=signer is not None)
        self.used = self._reserved = queue.passes.begin(number, budget_bytes)
        self._sequence = {apid: queue.file.meta(f"sequence {apid:d}") for apid in Apid}
        self._code: ErasureCode | None = CODES[link.erasure]() if link.erasure != "none" else None
        self._block = _Block()
        self._parity: deque[bytes] = deque()
        self._housekeeping = housekeeping
        self._handed: _Handed | None = None
        self._unmarked: list[Span] = []
        self._at_hand = (-1, b"")
        self._load()
        log.report(events.PASS_STARTED, number=number, budget=budget_bytes, tiles=len(self._plan))

    def set_budget(self, budget_bytes: int) -> None:
        """The pass got longer or shorter: what is not yet sent is planned anew."""
        self.budget = budget_bytes
        self._packer = self._new_packer()
        self._log.report(events.PASS_REPLANNED, number=self.number, budget=budget_bytes)

    def next_packet(self) -> bytes | None:
        """The next packet, or None when nothing fits or nothing is left. Raises QueueError."""
        packet, spans = self._next_housekeeping() or self._next_parity() or self._next_image()
        if not packet and self._close_block():
            # Without an open block nothing is kept back for its parity, so a last image packet may fit after
            # all.
            packet, spans = self._next_parity() or self._next_image()
        if not packet:
            return None
        self._reserve(len(packet))
        self._handed = _Handed(len(packet), spans)
        return packet

    def sent(self) -> None:
        """The packet handed out last has left the board."""
        if self._handed is None:
            return
        self.used += self._handed.size
        for span in self._handed.spans:
            self._plan.sent(span)
        self._unmarked += self._handed.spans
        self._handed = None

    def refresh(self) -> None:
        """Take tiles in that were coded since the pass began."""
        if self._queue.tiles.newest() != self._newest:
            self._commit(self._reserved)
            self._load()

    def pause(self) -> None:
        """The loop stops in the middle of the pass: everything sent is marked, the rest may go on later."""
        self._commit(self.used)

    def close(self) -> None:
        """End of the pass: everything sent is marked."""
        self._commit(self.used)
        self._queue.passes.end(self.number, max(self.used, 0))
        self._log.report(events.PASS_ENDED, number=self.number, used=self.used, budget=self.budget)

    def _load(self) -> None:
        self._newest = self._queue.tiles.newest()
        self._plan = PassPlan(self._queue.tiles.table(), self._plan_settings)
        self._packer = self._new_packer()

    @property
    def left(self) -> int:
        """Bytes of the budget not yet used."""
        return self.budget - self.used

    def _room(self) -> int:
        """Bytes that may go into image packets now: what the open block's parity will need is kept back."""
        return self.left - self._parity_due()

    def _parity_due(self) -> int:
        parities = self._parities(len(self._block.packets) + 1)
        return parities * parity_packet_bytes(self._link.packet_bytes, self._overhead)

    def _parities(self, packets: int) -> int:
        """Parity packets for a block of so many: the block's share, none for one or two packets."""
        if self._code is None or packets < 3:
            return 0
        return -(-self._link.parity_packets * packets // self._link.block_packets)

    def _new_packer(self) -> PiecePacker:
        return PiecePacker(self._plan.spans(self._payload_room()), self._read)

    def _payload_room(self) -> int:
        """What the plan may count on: budget less packet heads, one piece cut per packet, and parity."""
        room = self._room()
        if self._code is not None:
            share = self._link.block_packets / (self._link.block_packets + self._link.parity_packets)
            room = int(room * share)
        packets = -(-max(room, 0) // self._link.packet_bytes)
        return room - packets * (self._overhead + 4 + HEAD_BYTES)

    def _read(self, span: Span) -> bytes:
        """The bytes of a span. A segment may be a thousand packets long, so the one read last is at hand."""
        if self._at_hand[0] != span.number:
            self._at_hand = (span.number, self._segment(span))
        return self._at_hand[1][span.start : span.stop]

    def _segment(self, span: Span) -> bytes:
        try:
            return self._queue.tiles.segment(span.number)
        except QueueCorruptError as error:
            # Only this segment is lost; it is coded anew while its frame is still here.
            self._log.report(events.QUEUE_CORRUPT, error=str(error))
            row = self._queue.tiles.row(span.number)
            if row is not None and not self._queue.tiles.again(row):
                self._queue.tiles.drop([row.number])
                time, why = row.key.time, "damaged, its frame is gone"
                self._log.report(events.TILE_DROPPED, tile=row.key.tile, time=time, reason=why)
            return b""

    def _next_housekeeping(self) -> tuple[bytes, list[Span]] | None:
        limit = int(self.budget * self._link.housekeeping_share)
        room = min(self._link.packet_bytes, limit - self.used, self.left) - self._overhead
        if self._housekeeping is None or room < 32:
            return None
        apid, payload = self._housekeeping(room)
        if not payload:
            self._housekeeping = None
            return None
        return self._packet(Apid(apid), payload), []

    def _next_parity(self) -> tuple[bytes, list[Span]] | None:
        while self._parity:
            payload = self._parity.popleft()
            if self._overhead + len(payload) <= self.left:
                return self._packet(Apid.PARITY, payload), []
        return None

    def _next_image(self) -> tuple[bytes, list[Span]]:
        room = self._room()
        size = min(self._link.packet_bytes, room)
        if 0 < room - size < 2 * self._smallest:  # a remainder below this is joined with the packet before it
            size = max(room - 2 * self._smallest, min(room, self._smallest))
        if size < self._smallest:
            return b"", []
        payload, spans = self._packer.payload(size - self._overhead, exact=room - size < self._smallest)
        if not payload:
            return b"", []
        packet = self._packet(Apid.IMAGE, payload)
        self._protect(packet)
        return packet, spans

    def _protect(self, packet: bytes) -> None:
        if self._code is None:
            return
        if not self._block.packets:
            self._block.first = self._sequence[Apid.IMAGE] - 1
        self._block.packets.append(packet)
        if len(self._block.packets) >= self._link.block_packets:
            self._close_block()

    def _close_block(self) -> bool:
        """Make the parity of the open block; False when there is none."""
        if self._code is None or not self._block.packets:
            return False
        parities = self._parities(len(self._block.packets))
        self._parity.extend(parity_payloads(self._block.packets, self._block.first, parities, self._code))
        self._block = _Block()
        return True

    def _packet(self, apid: Apid, payload: bytes) -> bytes:
        sequence, self._sequence[apid] = self._sequence[apid], self._sequence[apid] + 1
        packet = SpacePacket(apid, sequence, self._queue.store, self.number, payload)
        return (self._signer.sign(packet) if self._signer else packet).pack()

    def _reserve(self, size: int) -> None:
        """Before a packet is handed out its bytes must be reserved durably."""
        if self.used + size > self._reserved:
            portion = max(min(self._link.reserve_bytes, self.budget // 32), size)
            self._commit(min(self.used + portion, max(self.budget, self.used + size)))

    def _commit(self, reserve: int) -> None:
        # Sequence counts are stored ahead, so that a restart does not use one twice for other bytes.
        ahead = 2 + self._link.reserve_bytes // SMALLEST_PACKET if reserve > self.used else 0
        remember = {f"sequence {apid:d}": count + ahead for apid, count in self._sequence.items()}
        self._queue.passes.advance(self.number, reserve, self._unmarked, remember)
        self._unmarked = []
        self._reserved = max(self._reserved, reserve)


def packets(run: PassRun) -> Iterator[bytes]:
    """All packets of a pass for a port that cannot fail: tests, files, planning."""
    while (packet := run.next_packet()) is not None:
        yield packet
        run.sent()
    run.close()
