"""Work on tiles in several processes: jobs go out in order, results come back in order, what waits is bounded.

    with open_pool(threads, model) as pool:
        for tag, result in pool.run(jobs): ...        a job is (tag, name, arguments); see `swathpack.tools.files.tile_jobs`

Tiles are coded by numpy, which holds Python's lock half of the time: two threads save a third, two processes a half. A worker is an
interpreter of its own (`python -m swathpack.tools.files.worker`) that reads jobs from its standard input and ends with it,
so nothing of the caller is imported or forked, and none outlives its parent. One thread is no process at all: jobs then run here.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import IO, Any

from swathpack.edge.codec.model import EdgeModel
from swathpack.tools.errors import UserError
from swathpack.tools.files.pool import Failure, Job
from swathpack.tools.files.tile_jobs import perform

AHEAD = 3  # jobs that wait, for each worker
LEAST_WORK = 32  # tiles of the transform coder for each worker: its start costs as much as some of them
BAD_INPUT = (UserError, ValueError)  # what a job raises for a tile that cannot be coded or decoded
LEARNED_WORK = 4  # of those that a tile takes for which the networks run


class LocalPool:
    """Jobs one after another in this process."""

    workers = 1

    def __init__(self, model: EdgeModel) -> None:
        self.model = model

    def run(self, jobs: Iterable[Job], keep_going: bool = False) -> Iterator[tuple[Any, Any]]:
        """(tag, result) of every job in order. keep_going: the result of one that cannot be done is a `Failure`."""
        for tag, name, arguments in jobs:
            yield tag, self._done(name, arguments, keep_going)

    def _done(self, name: str, arguments: tuple[Any, ...], keep_going: bool) -> Any:
        try:
            return perform(self.model, name, arguments)
        except BAD_INPUT as error:
            if not keep_going:
                raise
            return Failure(str(error))

    def __enter__(self) -> LocalPool:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class WorkerPool:
    """Jobs in `workers` processes with the model of a folder and engine. Raises UserError when one of them dies."""

    def __init__(self, workers: int, model: EdgeModel, engine: str = "auto") -> None:
        self.workers, self.model = workers, model
        self._jobs: _Jobs = queue.SimpleQueue()
        self._all = [_Worker(model, engine, self._jobs) for _ in range(workers)]

    def run(self, jobs: Iterable[Job], keep_going: bool = False) -> Iterator[tuple[Any, Any]]:
        """As `LocalPool.run`."""
        waiting: deque[tuple[Any, _Ticket]] = deque()
        try:
            for tag, name, arguments in jobs:
                waiting.append((tag, self._give(name, arguments)))
                if len(waiting) >= AHEAD * self.workers:
                    yield _done(*waiting.popleft(), keep_going)
            while waiting:
                yield _done(*waiting.popleft(), keep_going)
        finally:
            for _, ticket in waiting:
                ticket.done.wait()

    def _give(self, name: str, arguments: tuple[Any, ...]) -> _Ticket:
        """To the worker that is free first."""
        ticket = _Ticket()
        self._jobs.put((ticket, pickle.dumps((name, arguments), protocol=5)))
        return ticket

    def close(self) -> None:
        """End the workers at once: whoever still wants results does not close."""
        for worker in self._all:
            worker.stop()
            self._jobs.put(None)
        for worker in self._all:
            worker.join()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Ticket:
    """A job that was given away."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.result: Any = None
        self.error: Exception | None = None


_Jobs = queue.SimpleQueue["tuple[_Ticket, bytes] | None"]


def _done(tag: Any, ticket: _Ticket, keep_going: bool) -> tuple[Any, Any]:
    ticket.done.wait()
    if ticket.error is not None:
        if keep_going and isinstance(ticket.error, BAD_INPUT) and not isinstance(ticket.error, WorkerEndedError):
            return tag, Failure(str(ticket.error))
        raise ticket.error
    return tag, ticket.result


class WorkerEndedError(UserError):
    """A worker process that ended before its work was done."""


class _Worker:
    """One process and the thread that talks to it."""

    def __init__(self, model: EdgeModel, engine: str, jobs: _Jobs) -> None:
        command = [sys.executable, "-m", "swathpack.tools.files.worker", str(model.directory), engine]
        paths = os.pathsep.join(p or os.getcwd() for p in sys.path)
        # A worker is one thread: libraries that would take all cores take one.
        single = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths, **single},
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        self._jobs = jobs
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()

    def _talk(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        while (item := self._jobs.get()) is not None:
            ticket, packed = item
            try:
                send(self._process.stdin, packed)
                good, found = pickle.loads(receive(self._process.stdout))
                ticket.result, ticket.error = (found, None) if good else (None, found)
            except (OSError, EOFError, pickle.UnpicklingError) as error:
                ticket.error = WorkerEndedError(f"a worker process ended early ({error or 'end of its output'})")
            ticket.done.set()

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                stream.close()  # type: ignore[union-attr]


def send(stream: IO[bytes], packed: bytes) -> None:
    """A message: eight bytes of length, and that many."""
    stream.write(len(packed).to_bytes(8, "little"))
    stream.write(packed)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes:
    """The next message. Raises EOFError."""
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    packed = stream.read(int.from_bytes(head, "little"))
    return packed


def all_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def open_pool(threads: int, model: EdgeModel, work: int, engine: str = "auto") -> LocalPool | WorkerPool:
    """As many workers as threads, but none that would have next to nothing to do. work: tiles, those for which the networks
    run LEARNED_WORK times.
    """
    workers = min(threads, work // LEAST_WORK)
    return WorkerPool(workers, model, engine) if workers > 1 else LocalPool(model)
