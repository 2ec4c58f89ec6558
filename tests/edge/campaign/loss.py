"""Packet loss over a series: every decoded tile is the true one, contexts are only what arrived, nothing
stalls.

    python -m tests.edge.campaign loss

Ten dates, reports delayed by one pass, 10 % of the reports lost, packets lost at random or in bursts.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.downlink.passrun import LinkSettings
from edge.tile_codec import TileKey
from tests.edge.link import Board, Ground, acquire, scene
from tests.fake_codec import synthesise

DATES = 10
PATIENCE = 4
REPORT_LOSS = 0.1


@dataclass
class LossResult:
    loss: float
    bursts: bool
    erasure: str
    packets: int = 0
    lost: int = 0
    wrong: int = 0
    layers: float = 0.0  # mean over all tile-frames, those never seen count 0
    mse: float = 0.0  # DN^2, mean over all tile-frames seen
    seen: int = 0
    frames: int = 0
    inter: int = 0  # tiles coded against context, of those after the second date
    waiting: int = 0  # segments that wait for context at the end


class Channel:
    """Loses packets: independently, or in bursts of mean length 8 (Gilbert's model) at the same rate."""

    def __init__(self, loss: float, bursts: bool, rng: random.Random) -> None:
        self._loss, self._bursts, self._rng = loss, bursts, rng
        self._bad = False

    def keeps(self, _: int) -> bool:
        if not self._bursts:
            return self._rng.random() >= self._loss
        leave, length = self._rng.random(), 8.0
        if self._bad:
            self._bad = leave >= 1 / length
        else:
            self._bad = leave < self._loss / (length * (1 - self._loss))
        return not self._bad


def series(folder: Path, loss: float, bursts: bool, erasure: str, tiles: int, budget: int, seed: int = 1) -> LossResult:
    folder.mkdir(parents=True)
    board, ground = Board(folder), Ground(folder)
    rng = random.Random(seed)
    channel, result = Channel(loss, bursts, rng), LossResult(loss, bursts, erasure)
    link = LinkSettings(256, 8192, erasure, block_packets=20, parity_packets=4)
    pixels: dict[TileKey, np.ndarray] = {}
    uplink: list[bytes] = []
    for date, views in enumerate(_views(tiles)):
        board.confirmation.expire(date - PATIENCE)
        numbers = board.take(f"frame {date}", 1000 * date, views)
        pixels |= {TileKey(i, 1000 * date): view for i, view in enumerate(views)}
        result.inter += sum(date > 1 and board.queue.tiles.refresh_state(i)[0] > 0 for i in range(tiles))
        assert len(numbers) == tiles
        kept = [channel.keeps(i) for i in range(100_000)]
        stream = board.downlink(date, budget, link)
        result.packets += len(stream)
        result.lost += sum(not k for k in kept[: len(stream)])
        ground.hear(date, stream, keep=kept.__getitem__)
        board.uplink(command for command in uplink if rng.random() >= REPORT_LOSS)
        uplink = ground.reports.packets(date, 1000 * date)
    _judge(result, board, ground, pixels)
    board.queue.close()
    return result


def _views(tiles: int):
    ground = scene(tiles)
    return [[acquire(tile, date) for tile in ground] for date in range(DATES)]


def _judge(result: LossResult, board: Board, ground: Ground, pixels: dict[TileKey, np.ndarray]) -> None:
    layers = ground.layers()
    result.wrong = len(ground.wrong(board.truth))
    result.frames, result.seen = len(pixels), len(layers)
    result.layers = sum(layers.values()) / len(pixels)
    errors = []
    for key in layers:
        held = ground.store.latent(key)
        view = pixels[key].astype(np.float64)
        errors.append(((synthesise(held.latent, held.q, view.shape[0]) - view) ** 2).mean())
    result.mse = float(np.mean(errors)) if errors else float("nan")
    result.waiting = sum(len(ground.store.waiting(tile)) for tile in {key.tile for key in pixels})


def campaign(folder: Path, tiles: int, budget: int, losses=(0.0, 0.001, 0.01, 0.05, 0.2)) -> list[LossResult]:
    cases = itertools.product(losses, (False, True), ("none", "cauchy"))
    return [
        series(folder / f"{i}", loss, bursts, erasure, tiles, budget)
        for i, (loss, bursts, erasure) in enumerate(cases)
        if loss or not bursts
    ]


def report(results: list[LossResult]) -> str:
    lines = ["loss    bursts erasure  lost/packets   wrong  seen/frames  layers  RMSE DN  inter  waiting"]
    for r in results:
        lines.append(
            f"{r.loss:6.3f}  {'yes' if r.bursts else 'no ':6} {r.erasure:7}  {r.lost:5}/{r.packets:<6} {r.wrong:5}  "
            f"{r.seen:4}/{r.frames:<4}    {r.layers:5.2f}  {r.mse ** 0.5:7.1f}  {r.inter:5}  {r.waiting:5}"
        )
    return "\n".join(lines)
