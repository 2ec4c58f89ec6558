"""Erasure coding: how much overhead buys how much protection against which loss.

    python -m swathpack.hil_tests.promises erasure

Per code, block and overhead: the share of image packets that are missing after repair, for losses at random
and in bursts of mean length 8. No code at equal bytes is the line to beat: what it loses, it loses.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from swathpack.edge.packets.erasure import CODES, ErasureCode, ErasureDecoder, parity_payloads
from swathpack.edge.packets.space_packet import Apid, SpacePacket

LOSSES = (0.001, 0.01, 0.05, 0.2)
SHAPES = ((40, 2), (40, 4), (40, 8), (100, 10), (100, 25))  # packets and parity packets of a block
PAYLOAD_BYTES = 200
BURST = 8  # mean packets of a burst


class Channel:
    """Loses packets: independently, or in bursts of mean length 8 (Gilbert's two states) at the same rate."""

    def __init__(self, loss: float, bursts: bool, rng: random.Random) -> None:
        self._stay = 1 - 1 / BURST if bursts else loss
        self._enter = loss / (BURST * (1 - loss)) if bursts else loss
        self._rng, self._bad = rng, False

    def keeps(self) -> bool:
        """Whether the next packet arrives."""
        self._bad = self._rng.random() < (self._stay if self._bad else self._enter)
        return not self._bad


@dataclass
class ErasureRow:
    """One code at one block and loss. missing_before, missing_after: image packets without, with repair.

    block, parities: packets of a block. wrong: rebuilt to something else. cpu_s: of the decoder.
    """

    code: str
    block: int
    parities: int
    bursts: bool
    loss: float
    sent: int = 0
    missing_before: int = 0
    missing_after: int = 0
    wrong: int = 0
    cpu_s: float = 0.0


def blocks(shape: tuple[int, int], code: ErasureCode, count: int, rng: random.Random) -> Iterator[list[SpacePacket]]:
    """Blocks of image packets followed by their parity packets."""
    for block in range(count):
        first = block * shape[0]
        sources = [
            SpacePacket(Apid.IMAGE, (first + i) % 16384, 1, 1, rng.randbytes(PAYLOAD_BYTES)) for i in range(shape[0])
        ]
        payloads = parity_payloads([p.pack() for p in sources], first, shape[1], code)
        yield sources + [SpacePacket(Apid.PARITY, i, 1, 1, p) for i, p in enumerate(payloads)]


def one_row(row: ErasureRow, packets: int, seed: int) -> ErasureRow:
    """Fill in what becomes of about so many image packets."""
    rng = random.Random(seed)
    channel, decoder = Channel(row.loss, row.bursts, rng), ErasureDecoder(Apid.IMAGE, keep=1024)
    shape, code = (row.block, row.parities), CODES[row.code]()
    for block in blocks(shape, code, packets // row.block, rng):
        sources = block[: row.block]
        have: dict[int, SpacePacket] = {}
        start = time.process_time()
        for packet in block:
            if not channel.keeps():
                row.missing_before += packet.apid == Apid.IMAGE
                continue
            if packet.apid == Apid.IMAGE:
                have[packet.sequence] = packet
                found = decoder.source(packet)
            else:
                found = decoder.parity(packet)
            have |= {p.sequence: p for p in found}
        row.cpu_s += time.process_time() - start
        true = {p.sequence: p for p in sources}
        row.sent += len(sources)
        row.missing_after += len(true.keys() - have.keys())
        row.wrong += sum(have[s] != true[s] for s in true.keys() & have.keys())
    return row


def campaign(
    packets: int, codes: tuple[str, ...], losses: Sequence[float] = LOSSES, shapes: Sequence[tuple[int, int]] = SHAPES
) -> list[ErasureRow]:
    """Every code, shape (image and parity packets of a block), way of losing and loss."""
    return [
        one_row(ErasureRow(code, *shape, bursts, loss), packets, seed)
        for code in codes
        for shape in shapes
        for bursts in (False, True)
        for seed, loss in enumerate(losses)
    ]


def available() -> tuple[str, ...]:
    """The codes that this machine has: `raptorq` needs its package."""
    try:
        CODES["raptorq"]()
    except Exception:
        return ("cauchy",)
    return ("cauchy", "raptorq")


def report(rows: list[ErasureRow]) -> str:
    """Per cent missing by code, block and loss, and the decoder's MB/s."""
    losses = sorted({r.loss for r in rows})
    lines = [
        "image packets missing after repair (in brackets: lost on the way), per cent",
        "code     block overhead bursts " + "".join(f"{100 * loss:>18.1f} %" for loss in losses) + "   MB/s",
    ]
    groups: dict[tuple[str, int, int, bool], list[ErasureRow]] = {}
    for r in rows:
        groups.setdefault((r.code, r.block, r.parities, r.bursts), []).append(r)
    empty = [r for r in rows if not r.sent]
    for (code, block, parities, bursts), group in groups.items():
        cells = "".join(
            f"{100 * r.missing_after / max(r.sent, 1):10.3f} ({100 * r.missing_before / max(r.sent, 1):6.3f})"
            for r in sorted(group, key=lambda r: r.loss)
        )
        speed = sum(r.sent for r in group) * PAYLOAD_BYTES / 1e6 / max(sum(r.cpu_s for r in group), 1e-9)
        head = f"{code:8} {block:5} {100 * parities / block:6.0f} % {'yes' if bursts else 'no ':6}"
        lines.append(f"{head} {cells} {speed:6.1f}")
    lines.append(f"wrong packets after repair: {sum(r.wrong for r in rows)}")
    if empty:
        lines.append(f"no packet was sent in {len(empty)} of {len(rows)} cases: too small a --size shows nothing")
    return "\n".join(lines)


def main(folder: Path, size: int | None, codec: str) -> tuple[str, bool]:
    rows = campaign(size or 8000, available())
    return report(rows), not any(r.wrong or not r.sent for r in rows)
