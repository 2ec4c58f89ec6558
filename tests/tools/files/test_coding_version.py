"""The version of the coding changes with what a run asks of its tiles: journals tell jobs apart by their number alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.frame import Frame
from swathpack.tools.files.api import CODING_VERSION
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.pool import Job
from swathpack.tools.files.workers import LocalPool
from tests.codec_models import shipped

# Of `lively_corner` in 12,000 bytes, up to the first job on an earlier date: whoever changes them gives a new version.
JOBS = {13: [*8 * ["transform"], *2 * ["transform"], *4 * ["worth"], *4 * ["image"], *4 * ["dated"]]}


class Noting(LocalPool):
    """A pool that keeps the names of its jobs."""

    def __init__(self, model: EdgeModel) -> None:
        super().__init__(model)
        self.names = list[str]()

    def run(self, jobs: Iterable[Job], keep_going: bool = False) -> Iterator[tuple[Any, Any]]:
        def noted() -> Iterator[Job]:
            for tag, name, arguments in jobs:
                self.names.append(name)
                yield tag, name, arguments

        return super().run(noted(), keep_going)


def lively_corner(date: int) -> Frame:
    """Four tiles of 64 pixels: three of next to nothing, and noise that stays."""
    noise = np.random.default_rng(1).integers(0, 3000, (4, 64, 64)).astype(np.uint16)
    data = np.full((4, 128, 128), 1000 + date, np.uint16)
    data[:, 64:, 64:] += noise
    return Frame(data, BANDS[1:4] + ("B08",), f"2026-05-0{date}")


def test_other_jobs_are_another_version() -> None:
    pool = Noting(shipped())
    encoder = SeriesEncoder(shipped(), [lively_corner(1), lively_corner(2)], mode="transform", tile=64, pool=pool)
    encoder.in_total(12000)
    assert pool.names[: len(JOBS[CODING_VERSION])] == JOBS[CODING_VERSION]
