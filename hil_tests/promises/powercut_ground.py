"""The ground's store, for the power-cut campaign."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swathpack.edge.codec.protocol import TileKey
from swathpack.hil_tests.simulation.fake_codec import FakeSegmentDecoder
from swathpack.hil_tests.simulation.two_ends import Board, Ground, acquire, scene
from swathpack.tools.ground.receiver import GroundReceiver
from swathpack.tools.ground.store import GroundStore


class GroundPasses:
    """A `Part`: the ground's store: what a pass brought and was told of stays, and the pass can be taken in again."""

    name = "ground store"

    def __init__(self) -> None:
        self.passes: list[list[bytes]] = []
        self.truth: dict[TileKey, Any] = {}
        self.layers: list[dict[TileKey, int]] = []

    def prepare(self, folder: Path) -> None:
        peace = folder.with_name("peace")
        peace.mkdir()
        board, ground = Board(peace), Ground(peace)
        tiles = scene(3)
        for number in (1, 2, 3):
            board.take(f"frame {number}", 1000 * number, [acquire(tile, number) for tile in tiles])
            self.passes.append(board.downlink(number, 3000))
            ground.hear(number, self.passes[-1])
            board.uplink(ground.reports.packets(number, 0))
            self.layers.append(ground.layers())
        self.truth = board.truth
        ground.store.close()

    def work(self, folder: Path) -> Iterator[None]:
        store = GroundStore(folder / "ground1")
        for number, packets in enumerate(self.passes, 1):
            self._take(store, number, packets)
            yield

    @staticmethod
    def _take(store: GroundStore, number: int, packets: list[bytes]) -> None:
        receiver = GroundReceiver(store, FakeSegmentDecoder(), 2048)
        for packet in packets:
            receiver.feed(packet)
        receiver.settle(number)

    def judge(self, folder: Path, steps: int) -> str:
        ground = Ground(folder)
        told = [{}, *self.layers]
        found = ground.layers()
        lost = {key for key, layers in told[steps].items() if found.get(key, 0) < layers}
        wrong = ground.wrong(self.truth)
        for number, packets in enumerate(self.passes[steps:], steps + 1):
            self._take(ground.store, number, packets)
        last = ground.layers()
        ground.store.close()
        if lost or wrong or last != self.layers[-1]:
            return f"lost {lost}, wrong {wrong}, in the end {last}"
        return "old" if found == told[steps] and steps < len(self.passes) else "new"
