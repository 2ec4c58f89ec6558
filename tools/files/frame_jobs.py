"""Jobs of the tiles of one frame (`swathpack.tools.files.tile_jobs`), and what becomes of those that fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from swathpack.edge.codec.pixels import TileWindow
from swathpack.tools.errors import UserError
from swathpack.tools.files.pool import Failure
from swathpack.tools.files.surroundings import Surroundings


@dataclass(frozen=True, eq=False)
class FrameJobs:
    """Asks whoever is in the pool for what a frame needs."""

    around: Surroundings
    frame: int

    def run(
        self,
        job: str,
        windows: Iterable[TileWindow],
        arguments: Callable[[TileWindow], tuple[Any, ...]],
        lost: Callable[[TileWindow], None] = lambda _: None,
    ) -> Iterator[tuple[TileWindow, Any]]:
        """(window, result) of a job of each window, in order. lost: what is to be done where it fails and the rest goes on."""
        for window, found in self.around.pool.run(self._jobs(job, windows, arguments), self.around.keep_going):
            self.around.tick()
            if isinstance(found, Failure):
                self.around.fail(self.frame, window, found.message)
                lost(window)
            else:
                yield window, found

    def _jobs(
        self, job: str, windows: Iterable[TileWindow], arguments: Callable[[TileWindow], tuple[Any, ...]]
    ) -> Iterator[tuple[TileWindow, str, tuple[Any, ...]]]:
        for window in windows:
            try:
                given = arguments(window)
            except UserError as error:
                if not self.around.keep_going:
                    raise
                yield window, "failed", (str(error),)
            else:
                yield window, job, given
