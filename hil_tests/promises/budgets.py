"""Random passes: never a byte over the budget, and filled while anything is left to send.

    python -m swathpack.hil_tests.promises budgets --size 200 [--codec edge]

With `--codec edge` the queues are filled with segments of the real codec (tiles of 64x64 and 128x128 pixels, four
quantiser steps, with and without context), each in many places; else with random bytes of plausible sizes.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.edge.clock import ManualClock
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.protocol import ContextLatent, TileKey, TilePixels
from swathpack.edge.downlink.passrun import LinkSettings, PassRun
from swathpack.edge.downlink.plan import PlanSettings
from swathpack.edge.downlink.queue import DownlinkQueue
from swathpack.edge.downlink.work import Work
from swathpack.edge.events import EventLog
from swathpack.edge.sources.synthetic import SyntheticSource
from swathpack.hil_tests.promises.watcher import codecs

PASSES_PER_QUEUE = 10


@dataclass(frozen=True, eq=False)
class BulkTile:
    """A `CodedTile` of any size without a codec: random bytes with plausible prefixes and distortions."""

    key: TileKey
    q: int
    latent: np.ndarray
    prefix_bytes: np.ndarray
    distortion: np.ndarray
    context_digests: tuple[bytes, ...]
    data: bytes

    def segment(self, start: int, stop: int) -> bytes:
        return self.data


def bulk_tile(rng: np.random.Generator, number: int, median_bytes: float) -> BulkTile:
    """A tile of layers of lognormal sizes, `median_bytes` / 16 in the median, whose distortion falls with each of them."""
    steps = rng.lognormal(np.log(median_bytes / LAYERS), 0.8, LAYERS).astype(np.int64) + 1
    prefix = np.concatenate([[20], 40 + np.cumsum(steps)])
    gain = rng.lognormal(12, 1, LAYERS) * np.exp(-0.35 * np.arange(LAYERS))
    distortion = np.concatenate([np.cumsum(gain[::-1])[::-1], [0.0]]) + 1e4
    latent = np.zeros((16, 1, 1), np.int16)
    return BulkTile(TileKey(number, 1000), 10, latent, prefix, distortion, (), rng.bytes(int(prefix[-1])))


def real_tiles() -> list[BulkTile]:
    """Tiles of the real codec: two sides, four steps, without context and against one."""
    codec, found = codecs("edge")[0], []
    assert isinstance(codec, FlightCodec)
    source = SyntheticSource(ManualClock(), 0, 1, 128)
    for side in (64, 128):
        for codec.q in (8, 18, 28, 38):
            contexts: list[ContextLatent] = []
            for date in range(3):
                data = np.ascontiguousarray(source.scene(0, date)[:, :side, :side])
                key = TileKey(1, 1000 + date)
                coded = codec.encode(TilePixels(key, data, BANDS, data[0] > 0), contexts)
                contexts = [ContextLatent.known(key, codec.q, LAYERS, coded.latent)]
                latent = np.zeros((16, 1, 1), np.int16)  # of no use here, and large
                found.append(
                    BulkTile(key, codec.q, latent, coded.prefix_bytes, coded.distortion, (), coded.segment(0, LAYERS))
                )
    return found


@dataclass
class PassResult:
    """One pass. tiles: in the queue. budget, used: bytes. changed: the budget did, midway. replan_ms: of CPU, largest.

    fill: share of the budget that was used.
    """

    tiles: int
    budget: int
    used: int
    left: int  # bytes still unsent in the queue
    changed: bool
    replan_ms: float = 0.0

    @property
    def fill(self) -> float:
        return self.used / self.budget if self.budget else 1.0

    @property
    def good(self) -> bool:
        """Not over budget, and filled to 98 % unless all went."""
        return self.used <= self.budget and (self.fill >= 0.98 or self.left == 0)


def unsent(queue: DownlinkQueue) -> int:
    """Bytes of whole segments that have not gone down yet."""
    table = queue.tiles.table()
    return sum(int(p[-1]) - have.covered(1 << 40) for p, have in zip(table.prefix, table.have))


def one_pass(queue: DownlinkQueue, rng: random.Random, number: int, tiles: int) -> PassResult:
    """A pass of a random budget; in half of them the budget changes midway."""
    budget = int(2000 * 10 ** rng.uniform(0, 4))
    link = LinkSettings(
        packet_bytes=rng.choice((512, 1024, 4096)),
        erasure=rng.choice(("none", "none", "cauchy")),
        block_packets=20,
        parity_packets=2,
    )
    run = PassRun(queue, EventLog(ManualClock()), number, budget, PlanSettings(rng.choice((0, 1))), link)
    changed = rng.random() < 0.5
    change_at = rng.uniform(0.1, 0.9) * budget if changed else float("inf")
    used, replan = 0, 0.0
    while (packet := run.next_packet()) is not None:
        used += len(packet)
        run.sent()
        if used > change_at:
            change_at = float("inf")
            budget = max(used, int(budget * rng.uniform(0.3, 2.0)))
            start = time.process_time()
            run.set_budget(budget)
            packet = run.next_packet()  # planning is done when the first packet is asked for
            replan = (time.process_time() - start) * 1000
            if packet is None:
                break
            used += len(packet)
            run.sent()
    run.close()
    return PassResult(tiles, budget, used, unsent(queue), changed, replan)


def campaign(folder: Path, passes: int, seed: int = 1, real: bool = False) -> list[PassResult]:
    """Passes over queues of 10 to 2000 tiles, some with a budget that changes midway; real: tiles of the real codec."""
    rng = random.Random(seed)
    results: list[PassResult] = []
    pool = real_tiles() if real else []
    while len(results) < passes:
        index = len(results) // PASSES_PER_QUEUE
        tiles = int(10 * 200 ** rng.random())
        queue = DownlinkQueue(folder / f"queue{index}", ManualClock(), 1, 7)
        numbers = np.random.default_rng([seed, index])
        median = float(numbers.choice([800, 4000, 20000]))
        queue.work.accept("f", 0, 1, [Work(0, 0, i, i) for i in range(tiles)])
        for work in queue.work.next_work(tiles):
            coded = (
                replace(rng.choice(pool), key=TileKey(work.tile, 1000))
                if pool
                else bulk_tile(numbers, work.tile, median)
            )
            queue.tiles.add(work, coded, coded.data)
        for number in range(min(PASSES_PER_QUEUE, passes - len(results))):
            results.append(one_pass(queue, rng, number, tiles))
            if results[-1].left == 0 or rng.random() < 0.3:
                queue.tiles.lose_everything()
        queue.close()
        for part in folder.glob(f"queue{index}*"):
            part.unlink()
    return results


def report(results: list[PassResult]) -> str:
    """Counts of passes that were over budget or badly filled, and how full the others were."""
    limited = [r for r in results if r.left]
    fills = sorted(r.fill for r in limited) or [1.0]
    replans = [r.replan_ms for r in results if r.replan_ms]
    return (
        f"{len(results)} passes, {sum(r.changed for r in results)} with a budget that changed midway, "
        f"tiles {min(r.tiles for r in results)} to {max(r.tiles for r in results)}, "
        f"budgets {min(r.budget for r in results)} to {max(r.budget for r in results)} bytes\n"
        f"over budget: {sum(r.used > r.budget for r in results)}\n"
        f"filled below 98 % with something left: {sum(not r.good for r in results)} of {len(limited)}; "
        f"fill of those: lowest {fills[0]:.4f}, mean {sum(fills) / len(fills):.5f}, median {fills[len(fills) // 2]:.5f}\n"
        f"largest re-plan {max(replans, default=0):.0f} ms CPU"
    )


def main(folder: Path, size: int | None, codec: str) -> tuple[str, bool]:
    results = campaign(folder, size or 200, real=codec == "edge")
    bites = any(r.left for r in results) and any(r.changed for r in results)
    return f"{codec} codec: " + report(results), bites and all(r.good for r in results)
