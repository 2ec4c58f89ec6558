"""The radio link: which packets arrive, and with which bits wrong, by elevation and by what a scenario does to it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from swathpack.hil_tests.scenario.read import Link
from swathpack.hil_tests.simulation.orbit import SimPass

LOW_DEG, SCALE_DEG = 10.0, 12.0


@dataclass
class Trouble:
    """What is wrong with one pass: loss and bit error rate besides the link's own, and a span without anything."""

    loss: float = 0.0
    bit_errors: float = 0.0
    dead_from_s: float = 0.0
    dead_to_s: float = 0.0


def by_elevation(low: float, high: float, elevation_deg: float) -> float:
    """A rate that falls from `low` at 10 degrees towards `high`, by a factor of e every 12 degrees."""
    return high + (low - high) * float(np.exp(-max(elevation_deg - LOW_DEG, 0.0) / SCALE_DEG))


@dataclass
class RadioLink:
    """Packets in, packets as they arrive out. `counts`: packets and bytes sent, lost, damaged, and at no pass."""

    settings: Link
    rng: np.random.Generator
    counts: Counter[str] = field(default_factory=Counter)

    def carry(self, packet: bytes, time_s: float, one: SimPass | None, trouble: Trouble) -> bytes | None:
        """What arrives of a packet that left the board at a time, None when nothing does."""
        self.counts["packets sent"] += 1
        self.counts["bytes sent"] += len(packet)
        elevation = one.elevation_at(time_s) if one is not None else -90.0
        if elevation < 0:
            self._lost(packet, "packets at no pass")
            return None
        loss = by_elevation(self.settings.loss_low, self.settings.loss_high, elevation)
        # Drawn whether needed or not: what happens to one packet does not shift the luck of the next.
        chance, errors = self.rng.random(), self._flips(packet, elevation, trouble)
        if trouble.dead_from_s <= time_s < trouble.dead_to_s or chance < 1 - (1 - loss) * (1 - trouble.loss):
            self._lost(packet, "packets lost")
            return None
        self.counts["bytes arrived"] += len(packet)
        if len(errors):
            self.counts["packets damaged"] += 1
            raw = np.frombuffer(packet, np.uint8).copy()
            np.bitwise_xor.at(raw, errors // 8, (1 << (errors % 8)).astype(np.uint8))
            return raw.tobytes()
        self.counts["packets whole"] += 1
        return packet

    def _flips(self, packet: bytes, elevation: float, trouble: Trouble) -> np.ndarray:
        rate = by_elevation(self.settings.bit_errors_low, self.settings.bit_errors_high, elevation)
        bits = 8 * len(packet)
        number = int(self.rng.binomial(bits, min(rate + trouble.bit_errors, 0.5)))
        return self.rng.integers(0, bits, number)

    def _lost(self, packet: bytes, why: str) -> None:
        self.counts[why] += 1
        self.counts["bytes lost"] += len(packet)
