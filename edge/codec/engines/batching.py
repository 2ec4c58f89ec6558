"""Tiles coded side by side, their entropy passes joined into batches: so a GPU computes while the processor codes.

Threads that code one tile each call `heads_of_all` as usual. The first to find a free lane takes everything that waits,
up to a batch of one size, and runs it for all; what arrives meanwhile makes the next batch. Nobody waits for a batch to
fill. Results do not depend on who was joined with whom: the pass is exact.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from swathpack.edge.codec.latents import LAYERS

Item = TypeVar("Item")
Done = TypeVar("Done")


class _Request:
    __slots__ = ("tile", "answer", "error")

    def __init__(self, tile: tuple[Any, ...]) -> None:
        self.tile = tile
        self.answer: Any = None
        self.error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.answer is not None or self.error is not None


class Batching:
    """An engine with `heads_of_batch` behind the calls of single tiles.

    width: most tiles in a batch. lanes: batches under way at a time, two keep a GPU busy while one is copied.
    """

    def __init__(self, engine: Any, width: int, lanes: int = 2) -> None:
        self.engine, self.width = engine, width
        self.batches: list[int] = []  # sizes of the last batches, for measurements
        self._lanes = lanes
        self.waiting: list[_Request] = []
        self._ready = threading.Condition()

    def __getattr__(self, name: str) -> Any:
        # A decoder's side, tables of scales and whatever else an engine has.
        if name == "engine":
            raise AttributeError(name)
        return getattr(self.engine, name)

    def heads_of_all(self, *tile: Any, layers: int = LAYERS) -> Any:
        """As `EntropyEngine.heads_of_all`; raises what the engine raised for the batch."""
        first, rest = self._answer(tile)
        return first, rest[: layers - 1]

    def _answer(self, tile: tuple[Any, ...]) -> Any:
        mine = _Request(tile)
        with self._ready:
            self.waiting.append(mine)
        while True:
            with self._ready:
                while not mine.done and not (self.waiting and self._lanes):
                    self._ready.wait()
                if mine.done:
                    break
                batch = self._take()
            self._work(batch)
        if mine.error is not None:
            raise mine.error
        return mine.answer

    def _take(self) -> list[_Request]:
        """The oldest request and those of its size that fit with it; holds a lane."""
        size = self.waiting[0].tile[5]
        batch = [r for r in self.waiting if r.tile[5] == size][: self.width]
        self.waiting = [r for r in self.waiting if r not in batch]
        self._lanes -= 1
        self.batches = [*self.batches[-255:], len(batch)]
        return batch

    def _work(self, batch: list[_Request]) -> None:
        answers: Sequence[Any] = ()
        error: BaseException | None = None
        try:
            answers = self.engine.heads_of_batch([r.tile for r in batch])
        except BaseException as raised:  # every thread of the batch must hear of it
            error = raised
        with self._ready:
            for n, request in enumerate(batch):
                request.answer, request.error = (answers[n], None) if error is None else (None, error)
            self._lanes += 1
            self._ready.notify_all()


def side_by_side(work: Callable[[Item], Done], items: Sequence[Item], threads: int) -> list[Done]:
    """`work` of every item, in order, in that many threads; raises the first error."""
    if threads <= 1 or len(items) <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads, thread_name_prefix="tile") as pool:
        return list(pool.map(work, items))
