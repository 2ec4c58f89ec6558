"""Tiles side by side: the same bytes as one after the other, batches that form by themselves, errors for whom they hit."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.engines.batching import Batching, side_by_side
from swathpack.edge.codec.flight import FlightCodec, FlightTile
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.protocol import CodecError, ContextLatent, TileKey, TilePixels

SIZE = (4, 4)


class Slow:
    """An engine whose batches wait until they are let go; answers are the tiles' own first values."""

    def __init__(self) -> None:
        self.gate, self.seen = threading.Semaphore(0), list[list[Any]]()
        self.base_index = "the engine's own"

    def heads_of_batch(self, tiles: list[Any]) -> list[Any]:
        self.seen.append([t[0] for t in tiles])
        self.gate.acquire()
        if "bad" in self.seen[-1]:
            raise RuntimeError("the batch failed")
        return [(t[0], t[0]) for t in tiles]


def called(batching: Batching, values: list[Any], sizes: dict[Any, tuple[int, int]]) -> tuple[list[Any], list[Any]]:
    """One thread per value, started one after the other has queued; threads, and answers by place."""
    answers: list[Any] = [None] * len(values)

    def call(n: int) -> None:
        try:
            answers[n] = batching.heads_of_all(values[n], 0, 0, 0, 0, sizes.get(values[n], SIZE))
        except RuntimeError as error:
            answers[n] = str(error)

    threads = [threading.Thread(target=call, args=(n,)) for n in range(len(values))]
    for n, thread in enumerate(threads):
        thread.start()
        while sum(map(len, batching.engine.seen)) + len(batching.waiting) <= n:
            threading.Event().wait(0.001)
    return threads, answers


def test_what_arrives_meanwhile_is_the_next_batch() -> None:
    engine = Slow()
    threads, answers = called(batching := Batching(engine, 3, lanes=1), list("abcdef"), {})
    for _ in range(3):
        engine.gate.release()
    for thread in threads:
        thread.join(10)
    assert engine.seen == [["a"], ["b", "c", "d"], ["e", "f"]] and batching.batches == [1, 3, 2]
    assert answers == [(x, x) for x in "abcdef"]


def test_sizes_are_not_mixed_and_lanes_run_together() -> None:
    engine = Slow()
    threads, answers = called(Batching(engine, 4), list("abcde"), {"c": (8, 4), "e": (8, 4)})
    for _ in range(4):
        engine.gate.release()
    for thread in threads:
        thread.join(10)
    assert engine.seen == [["a"], ["b"], ["c", "e"], ["d"]] and answers == [(x, x) for x in "abcde"]


def test_an_error_reaches_every_tile_of_its_batch_and_no_other() -> None:
    engine = Slow()
    threads, answers = called(Batching(engine, 2, lanes=1), ["a", "bad", "c", "d"], {})
    for _ in range(3):
        engine.gate.release()
    for thread in threads:
        thread.join(10)
    assert answers == [("a", "a"), "the batch failed", "the batch failed", ("d", "d")]


def test_everything_else_is_the_engines() -> None:
    assert Batching(Slow(), 2).base_index == "the engine's own"
    with pytest.raises(AttributeError):
        _ = Batching(Slow(), 2).no_such_thing
    assert side_by_side(lambda n: n * n, range(5), 3) == [0, 1, 4, 9, 16]


def test_tiles_side_by_side_give_the_same_bytes() -> None:
    model = EdgeModel(engine="onnxruntime:basic")
    plain = FlightCodec(model, 24)
    model.engine.batch = 3  # type: ignore[attr-defined]
    together = FlightCodec(model, 24)
    assert type(together.model.engine) is Batching and model.engine is together.model.engine.engine
    rng = np.random.default_rng(4)
    tiles: list[tuple[TilePixels, list[ContextLatent]]] = []
    for n in range(7):
        side = 64 if n % 3 else 128
        data = rng.integers(500, 3000, (12, side, side)).astype(np.uint16)
        pixels = TilePixels(TileKey(n, n), data, BANDS, np.ones((side, side), np.bool_))
        tiles.append((pixels, []))
    tiles[4] = (TilePixels(TileKey(4, 4), tiles[4][0].data, ("B99",) * 12, tiles[4][0].valid), [])
    found = together.encode_many(tiles)
    assert isinstance(found[4], CodecError)
    for n in (0, 1, 2, 3, 5, 6):
        one = found[n]
        assert isinstance(one, FlightTile)
        assert one.segment(0, LAYERS) == plain.encode(*tiles[n]).segment(0, LAYERS)
    assert sum(together.model.engine.batches) == 6 * 2, "base and refinement of every good tile"
