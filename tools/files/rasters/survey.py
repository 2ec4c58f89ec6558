"""One pass over the files of a date: what must be known of all pixels before the first is coded, in a few numbers of each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.pixels import TileWindow, tile_windows
from swathpack.edge.frame import FrameError, native_factors
from swathpack.edge.radiometry import Radiometry
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import offsets
from swathpack.tools.files.rasters.parts import Part, alpha_value
from swathpack.tools.files.rasters.records import FileRecord
from swathpack.tools.files.rasters.row_files import RowFiles
from swathpack.tools.files.rasters.row_masks import RowMasks
from swathpack.tools.files.rasters.scene import Plane, Scene, masks_of

SQUARE = 64  # pixels a side: whole tiles of every size are made of such squares
HALO = 6  # pixels around a window: every grid starts there, and holes depend on two of them
Bits = NDArray[np.bool_]


@dataclass
class _Seen:
    """What a survey keeps of a band."""

    low: float = np.inf
    high: float = -np.inf
    nan: bool = False
    gaps: bool = False

    def take(self, plane: Plane) -> None:
        values = plane.values if plane.valid is None else plane.values[plane.valid]
        self.gaps |= plane.valid is not None
        if plane.values.dtype.kind == "f":
            self.nan |= bool(np.isnan(plane.values).any())
        if values.size:
            self.low, self.high = min(self.low, values.min().item()), max(self.high, values.max().item())


class Survey:
    """Of a date's files. `wanted`: which of their places are coded. `masks`, `live`: of a frame of `size`, which pixels and
    which squares of SQUARE pixels (row, column) hold data. `factors`: of the grids of the places that are wanted.
    """

    def __init__(self, files: RowFiles) -> None:
        self.files, self.wanted = files, list[int]()
        none = np.zeros((1, 1))
        planes = [Plane(part.bands[i], none, None, part.facts.nodata) for part, i in files.places]
        self.scene = replace(files.scene, planes=planes)
        self.masks, self.live, self.factors = RowMasks(0), set[tuple[int, int]](), tuple[int, ...]()
        self._seen: list[_Seen] = []
        self._thin: list[list[NDArray[Any]]] = []
        self.size = files.shape

    def pick(self, scene: Scene) -> None:
        """Take the bands of `scene`, a choice of these."""
        own = [p.band.frame for p in self.scene.planes]
        self.wanted = [own.index(p.band.frame) for p in scene.planes]
        shapes = {p.band.frame: self.files.places[i][0].facts.shape for p, i in zip(scene.planes, self.wanted)}
        try:
            self.files.shape, self.factors = native_factors(shapes)
        except FrameError as error:
            raise UserError(f"{scene.where}: {error}") from error

    def run(self, size: tuple[int, int], tick: Callable[[], None]) -> None:
        """Read everything once; size: of the frame, which may be larger. tick: called now and then. Raises UserError."""
        self.size, height = size, self.files.shape[0]
        self._seen, self.masks = [_Seen() for _ in self.wanted], RowMasks(len(self.wanted))
        self._thin = [[] for _ in self.wanted]
        self._find_nans(tick)
        for top in range(0, height, self.files.rows):
            stop = min(top + self.files.rows, height)
            planes, first = self.rows(top, stop)
            valid, holes = masks_of(replace(self.files.scene, planes=planes), self.factors)
            inside = slice(top - first, stop - first)
            valid, own = valid[inside], [None if h is None else h[inside] for h in holes]
            for seen, plane, factor in zip(self._seen, planes, self.factors):
                seen.take(_cut(plane, (top - first) // factor, -(-(stop - first) // factor)))
            self._keep_thin(planes, valid, own, (first, top, stop))
            self._take_masks(valid, own, top)
            tick()
        self.files.close()

    def _find_nans(self, tick: Callable[[], None]) -> None:
        """Floats without a nodata value: NaN anywhere means that a file says where it has data, and so everywhere."""
        for top in range(0, self.files.shape[0], self.files.rows):
            silent = [i for i in self.wanted if self.files.silent(i) and i not in self.files.nans]
            if not silent:
                return
            planes = self.files.planes(silent, top, min(top + self.files.rows, self.files.shape[0]))
            self.files.nans |= {i for i, plane in zip(silent, planes) if np.isnan(plane.values).any()}
            tick()

    def _take_masks(self, valid: Bits, holes: Sequence[Bits | None], top: int) -> None:
        """The next rows of the frame, which has data there at most as far as the files go."""
        height, width = self.files.shape
        below = self.size[0] - height if top + len(valid) == height else 0
        more = ((0, below), (0, self.size[1] - width))
        wide = np.pad(valid, more)
        self.masks.take(wide, [None if h is None else np.pad(h, more) for h in holes])
        for square in tile_windows(wide.shape[0], wide.shape[1], SQUARE):
            if square.of(wide).any():
                self.live.add(((top + square.top) // SQUARE, square.left // SQUARE))

    def holds_data(self, window: TileWindow) -> bool:
        """Whether any square that a window touches holds data; windows start where squares do."""
        rows = range(window.top // SQUARE, -(-(window.top + window.height) // SQUARE))
        columns = range(window.left // SQUARE, -(-(window.left + window.width) // SQUARE))
        return any((row, column) in self.live for row in rows for column in columns)

    def rows(self, top: int, stop: int) -> tuple[list[Plane], int]:
        """Planes that cover rows [top, stop) and a few around them, and their first row."""
        first = max(top - HALO, 0) // HALO * HALO
        return self.files.planes(self.wanted, first, min(stop + HALO, self.files.shape[0])), first

    def _keep_thin(
        self, planes: Sequence[Plane], valid: Bits, holes: Sequence[Bits | None], at: tuple[int, int, int]
    ) -> None:
        """Every so many pixels, as `offsets` takes them of a whole frame."""
        first, top, stop = at
        width, step = self.size[1], offsets.step_of(self.size[0] * self.size[1])
        y, x = np.divmod(np.arange(-(top * width) % step, (stop - top) * width, step), width)
        y, x = y[x < self.files.shape[1]], x[x < self.files.shape[1]]
        for kept, plane, factor, hole in zip(self._thin, planes, self.factors, holes):
            held = valid[y, x] if hole is None else valid[y, x] & ~hole[y, x]
            kept.append(plane.values[(y[held] + top - first) // factor, x[held] // factor])

    def darkest(self, radiometry: Radiometry) -> NDArray[np.float64]:
        """See `offsets.darkest_of`."""
        values = [np.concatenate(kept) for kept in self._thin]
        counts = [radiometry.to_counts(v, np.ones(v.shape, np.bool_)) for v in values]
        return offsets.darkest_of(counts, self.size[0] * self.size[1], radiometry)

    def summary(self) -> Scene:
        """The scene with planes of three pixels that have the band's type, range and gaps."""
        planes = []
        for i, seen in zip(self.wanted, self._seen):
            part, number = self.files.places[i]
            there = seen.high >= seen.low
            values = np.array([[seen.low, seen.high, seen.high] if there else [0, 0, 0]]).astype(part.facts.dtype)
            valid = np.array([[there, there, there and not seen.nan]]) if seen.gaps else None
            if seen.nan:
                values[0, 2] = np.nan
            planes.append(Plane(part.bands[number], values, valid, part.facts.nodata))
        return replace(self.files.scene, planes=planes)

    def described(self) -> Scene:
        """The scene of all bands, without a pixel, with the records of its files as `parts.planes_of` makes them."""
        return replace(self.scene, files=[self._record(n, part) for n, part in enumerate(self.files.date.parts)])

    def _record(self, number: int, part: Part) -> FileRecord:
        facts, own = part.facts, [s for i, s in zip(self.wanted, self._seen) if self.files.places[i][0] is part]
        values = np.array(sorted(self.files.alphas.get(number, ())))
        alpha = None if facts.alpha is None else (*facts.alpha, alpha_value(part, values))
        return FileRecord(
            name=self.files.name_of[id(part)],
            bands=part.bands,
            shape=facts.shape,
            dtype=facts.dtype,
            nodata=facts.nodata,
            mask="nan" if facts.mask == "zeros" and any(s.gaps for s in own) else facts.mask,
            georeference=facts.georeference,
            alpha=alpha,
            tags=facts.tags,
            layout=facts.layout,
            datetime=facts.datetime,
            source=facts.source,
            unnamed=part.unnamed,
        )


def _cut(plane: Plane, top: int, stop: int) -> Plane:
    valid = None if plane.valid is None else plane.valid[top:stop]
    return replace(plane, values=plane.values[top:stop], valid=valid)


def inside_of(window: TileWindow, shape: tuple[int, int]) -> TileWindow:
    """The part of a window that lies in a frame of that shape; it may be empty."""
    height, width = max(shape[0] - window.top, 0), max(shape[1] - window.left, 0)
    return replace(window, height=min(window.height, height), width=min(window.width, width))
