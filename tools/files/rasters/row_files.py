"""The files of one date, read by rows of the finest grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.pixels import TILE
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.facts import Box, Planes, RasterFacts
from swathpack.tools.files.rasters.files import Dated, level_of_date, linear_of_date
from swathpack.tools.files.rasters.parts import Part
from swathpack.tools.files.rasters.scene import Plane, Scene, validity

ROWS = 3 * TILE  # a row of tiles and of every grid starts there
MAX_ROWS = 1024


class RowFiles:
    """Planes of a date by rows. `places`: its bands, each a file and the number of the band there. keep_going: what cannot be
    read is as if it held no data, and named in `failures`.
    """

    def __init__(self, date: Dated, name_of: dict[int, str], keep_going: bool = False) -> None:
        self.date, self.name_of, self.keep_going = date, name_of, keep_going
        self.shape = date.grid.shape
        offset, linear = linear_of_date(date)
        self.scene = Scene(
            date.where, date.time, [], [], level_of_date(date), offset, linear, georeference=date.grid.georeference
        )
        self.places = [(part, i) for part in date.parts for i in range(len(part.bands))]
        self.alphas: dict[int, set[Any]] = {}  # values seen in alpha bands, by number of the file
        self.nans: set[int] = set()  # places of floats that say nothing of data but hold NaN somewhere
        self._bad: dict[tuple[int, Box], str] = {}

    @property
    def failures(self) -> list[str]:
        """Places that could not be read, a sentence each."""
        return [self._bad[key] for key in sorted(self._bad)]

    @property
    def rows(self) -> int:
        """How many are read at a time: whole blocks and rows of tiles, where that is not too many."""
        blocks = max(p.facts.block_rows for p in self.date.parts)
        coarse = len({p.facts.shape for p in self.date.parts}) > 1
        if not coarse and blocks <= 2 * TILE:
            return max(TILE, -(-blocks // TILE) * TILE)
        return ROWS if blocks <= ROWS or coarse else min(-(-blocks // TILE) * TILE, MAX_ROWS)

    def close(self) -> None:
        """Close what is open; it is opened again when it is read."""
        for part in self.date.parts:
            close = getattr(part.facts.read_part, "close", None)
            if close is not None:
                close()

    def silent(self, place: int) -> bool:
        """Whether nothing but NaN among its values can tell where a band lacks data."""
        facts = self.places[place][0].facts
        masked = facts.alpha is not None or facts.mask in ("internal", "sidecar")
        return np.dtype(facts.dtype).kind == "f" and not masked and facts.nodata is None

    def factor(self, part: Part) -> int:
        """Rows of the finest grid that make one of a file's."""
        return -(-self.shape[0] // part.facts.shape[0])

    def planes(self, wanted: Sequence[int], top: int, stop: int) -> list[Plane]:
        """The planes of some places with rows that cover [top, stop), top a multiple of every grid. Raises UserError."""
        found: dict[int, Plane] = {}
        for number, part in enumerate(self.date.parts):
            own = [i for i in wanted if self.places[i][0] is part]
            if own:
                found |= zip(own, self._planes_of(number, part, own, top, stop))
        return [found[i] for i in wanted]

    def _planes_of(self, number: int, part: Part, own: Sequence[int], top: int, stop: int) -> Iterator[Plane]:
        facts, factor = part.facts, self.factor(part)
        samples = [facts.samples[self.places[i][1]] for i in own]
        box = top // factor, min(-(-stop // factor), facts.shape[0]), 0, facts.shape[1]
        values, mask, lost = self._read(number, facts, samples, box)
        if facts.alpha is not None and mask is not None:
            self.alphas.setdefault(number, set()).update(np.unique(mask).tolist())
        for i, plane in zip(own, values):
            valid = validity(plane, mask, facts.nodata)
            if valid is None and i in self.nans:
                valid = np.ones(plane.shape, np.bool_)
            if valid is not None and lost is not None:
                valid &= ~lost
            yield Plane(part.bands[self.places[i][1]], plane, valid, facts.nodata)

    def _read(
        self, number: int, facts: RasterFacts, samples: Sequence[int], box: Box
    ) -> tuple[Planes, NDArray[Any] | None, NDArray[np.bool_] | None]:
        """Values, mask, and which pixels could not be read (None: all could)."""
        assert facts.read_part is not None
        try:
            return *facts.read_part(samples, box), None
        except UserError:
            if not self.keep_going:
                raise
        top, stop, left, right = box
        values = np.zeros((len(samples), stop - top, right - left), facts.dtype)
        mask: NDArray[Any] | None = None
        lost = np.zeros(values.shape[1:], np.bool_)
        for cell in _cells(facts.shape, box):
            inside = max(cell[0], top), min(cell[1], stop), cell[2], cell[3]
            place = np.s_[inside[0] - top : inside[1] - top, inside[2] - left : inside[3] - left]
            try:
                part, own = facts.read_part(samples, inside)
            except UserError as error:
                lost[place] = True
                self._bad.setdefault((number, cell), f"{error}: coded as without data")
                continue
            values[:, place[0], place[1]] = part
            if own is not None:
                mask = np.zeros(lost.shape, own.dtype) if mask is None else mask
                mask[place] = own
        return values, mask, lost


def _cells(shape: tuple[int, int], box: Box) -> Iterator[Box]:
    """The squares of a file that a part of it touches: what cannot be read is told apart by these."""
    for top in range(box[0] // TILE * TILE, box[1], TILE):
        for left in range(box[2] // TILE * TILE, box[3], TILE):
            yield top, min(top + TILE, shape[0]), left, min(left + TILE, shape[1])
