"""Large rasters as a series whose pixels stay on the disk: surveyed once, then read by rows of tiles as they are asked for.

    series = read_windowed(paths, options)        None where a file is small, or is read whole in any case
    series.frames[0].tile(window)                 a `swathpack.tools.files.sources.FrameSource`

What the files give is the same, pixel by pixel, as `read_files` gives. What needs all pixels at once there (ranges, constant
bands, darkest pixels, masks) is gathered here by a survey that keeps a few numbers of each row.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.frame import Frame, FrameError, native_factors
from swathpack.edge.radiometry import Radiometry
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import offsets
from swathpack.tools.files.rasters.assemble import alike, odd_of
from swathpack.tools.files.rasters.files import Dated, dates_of, level_of_date, linear_of_date, unique_names
from swathpack.tools.files.rasters.options import ReadOptions
from swathpack.tools.files.rasters.parts import Part, alpha_value
from swathpack.tools.files.rasters.records import FileRecord
from swathpack.tools.files.rasters.scene import Plane, Scene, build_frame, masks_of, validity
from swathpack.tools.files.rasters.series import Series
from swathpack.tools.files.rasters.values import radiometry_of

LEAST_SAMPLES = 1 << 26  # of a date; smaller ones are read whole
HALO = 6  # pixels around a window: every grid starts there, and holes depend on two of them
TILE = 256
ROWS = 3 * TILE  # a row of tiles and of every grid starts there
MAX_ROWS = 1024
Read = Callable[[], None]


def read_windowed(paths: Sequence[Path], options: ReadOptions, least_samples: int = LEAST_SAMPLES) -> Series | None:
    """The series, or None where `read_files` is to read it. Raises UserError."""
    if any(p.suffix.lower() == ".npz" or not p.exists() for p in paths):
        return None
    dates = dates_of(paths, options)
    shapes = {d.grid.shape for d in dates.dated}
    samples = max(sum(len(p.bands) * p.facts.shape[0] * p.facts.shape[1] for p in d.parts) for d in dates.dated)
    readable = all(p.facts.read_rows is not None for d in dates.dated for p in d.parts)
    if len(shapes) > 1 or not readable or samples < least_samples:
        return None
    names = unique_names(dates.dated)
    files = [_Files(d, names) for d in dates.dated]
    empty = [_Survey(f).whole() for f in files]
    wanted = alike([s.scene for s in empty], options)
    surveys = [s.picked(w) for s, w in zip(empty, wanted)]
    if any(s.finest != d.grid.shape for s, d in zip(surveys, dates.dated)):
        return None  # the bands that are coded are all coarser than the files' finest
    for survey in surveys:
        survey.run()
    scenes = [s.summary() for s in surveys]
    radiometry, told = radiometry_of(scenes, options.scale)
    dark, more = offsets.absorbed([s.dark(radiometry) for s in surveys], [s.offset for s in scenes])
    frames = [RowFrame(s, radiometry, d.boa_offset) for s, d in zip(surveys, dark)]
    full = [replace(s.scene, files=s.records()) for s in empty]
    return dates.series(frames, full, scenes[0].bands, [*told, *odd_of(scenes), *more])


class _Files:
    """The files of a date, and planes of them by rows of the finest grid."""

    def __init__(self, date: Dated, names: dict[int, str]) -> None:
        self.date, self.names = date, names
        self.shape = date.grid.shape
        offset, linear = linear_of_date(date)
        georeference = date.grid.georeference
        self.scene = Scene(
            date.where, date.time, [], [], level_of_date(date), offset, linear, georeference=georeference
        )
        self.places = [(part, i) for part in date.parts for i in range(len(part.bands))]

    @property
    def rows(self) -> int:
        """How many are read at a time: whole blocks and rows of tiles, where that is not too many."""
        blocks = max(p.facts.block_rows for p in self.date.parts)
        coarse = len({p.facts.shape for p in self.date.parts}) > 1
        if not coarse and blocks <= 2 * TILE:
            return max(TILE, -(-blocks // TILE) * TILE)
        return ROWS if blocks <= ROWS or coarse else min(-(-blocks // TILE) * TILE, MAX_ROWS)

    def planes(self, wanted: Sequence[int], top: int, stop: int) -> tuple[list[Plane], dict[int, NDArray[Any]]]:
        """The planes of some bands (indexes of `places`) with rows that cover [top, stop), top a multiple of every grid;
        and the alpha values seen, by part. Raises UserError.
        """
        found: dict[int, Plane] = {}
        alphas: dict[int, NDArray[Any]] = {}
        for number, part in enumerate(self.date.parts):
            own = [i for i in wanted if self.places[i][0] is part]
            if not own:
                continue
            factor = -(-self.shape[0] // part.facts.shape[0])
            samples = [part.facts.samples[self.places[i][1]] for i in own]
            assert part.facts.read_rows is not None
            values, mask = part.facts.read_rows(samples, top // factor, min(-(-stop // factor), part.facts.shape[0]))
            if part.facts.alpha is not None and mask is not None:
                alphas[number] = np.unique(mask)
            for i, plane in zip(own, values):
                band = part.bands[self.places[i][1]]
                found[i] = Plane(band, plane, validity(plane, mask, part.facts.nodata), part.facts.nodata)
        return [found[i] for i in wanted], alphas


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


@dataclass
class _Masks:
    """Masks of a frame, gathered from the top as packed bits of what changes from row to row."""

    bands: int
    missing: list[bytes] = field(default_factory=list)
    holes: list[list[bytes]] = field(default_factory=list)
    any_missing: bool = False
    any_holes: bool = False
    _above: list[NDArray[np.bool_] | None] = field(default_factory=list)

    def take(self, valid: NDArray[np.bool_], holes: Sequence[NDArray[np.bool_] | None]) -> None:
        """The next rows."""
        if not self._above:
            self._above, self.holes = [None] * (self.bands + 1), [[] for _ in range(self.bands)]
        self.any_missing |= not valid.all()
        self.missing.append(self._steps(0, ~valid))
        for i, hole in enumerate(holes):
            self.any_holes |= hole is not None and bool(hole.any())
            self.holes[i].append(self._steps(i + 1, np.zeros_like(valid) if hole is None else hole))

    def _steps(self, which: int, marks: NDArray[np.bool_]) -> bytes:
        above, steps = self._above[which], marks.copy()
        steps[1:] ^= marks[:-1]
        if above is not None:
            steps[0] ^= above
        self._above[which] = marks[-1].copy()
        return zlib.compress(np.packbits(steps).tobytes(), 1)

    def packed(self, bits: int) -> tuple[bytes | None, bytes | None]:
        """As `swathpack.edge.stream.pack_mask` and `pack_holes` pack them; bits: pixels of the frame."""
        mask = _deflated(iter(self.missing)) if self.any_missing else None
        return mask, _deflated(_joined_bits(self.holes, bits)) if self.any_holes else None


def _deflated(parts: Iterator[bytes]) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"".join([*(packer.compress(zlib.decompress(p)) for p in parts), packer.flush()])


def _joined_bits(bands: Sequence[Sequence[bytes]], bits: int) -> Iterator[bytes]:
    """Packed bits of bands one behind another without a gap, in parts."""
    carried = np.zeros(0, np.uint8)
    for band in bands:
        left = bits
        for part in band:
            own = np.unpackbits(np.frombuffer(zlib.decompress(part), np.uint8))[:left]
            left -= len(own)
            every = np.concatenate([carried, own])
            whole = len(every) // 8 * 8
            yield zlib.compress(np.packbits(every[:whole]).tobytes(), 1)
            carried = every[whole:]
    yield zlib.compress(np.packbits(carried).tobytes(), 1)


class _Survey:
    """One pass over a date."""

    def __init__(self, files: _Files) -> None:
        self.files, self.scene = files, files.scene
        self.wanted: list[int] = []
        self._seen: list[_Seen] = []
        self._alphas: dict[int, set[Any]] = {}
        self._thin: list[NDArray[Any]] = []
        self._thin_valid: list[NDArray[np.bool_]] = []

    def whole(self) -> _Survey:
        """With planes of no pixels, which name the bands."""
        none = np.zeros((1, 1))
        planes = [Plane(part.bands[i], none, None, part.facts.nodata) for part, i in self.files.places]
        self.scene = replace(self.scene, planes=planes)
        return self

    def picked(self, scene: Scene) -> _Survey:
        """Of the bands of `scene`, a choice of these."""
        own = [p.band.frame for p in self.scene.planes]
        self.wanted = [own.index(p.band.frame) for p in scene.planes]
        return self

    @property
    def finest(self) -> tuple[int, int]:
        """Rows and columns of the finest band that is picked."""
        return max(self.files.places[i][0].facts.shape for i in self.wanted)

    def run(self) -> None:
        """Read everything once."""
        height, width = self.files.shape
        self._seen, self.masks = [_Seen() for _ in self.wanted], _Masks(len(self.wanted))
        self._step = max(1, height * width // offsets._THINNED)
        for top in range(0, height, self.files.rows):
            stop = min(top + self.files.rows, height)
            planes, first = self.rows(top, stop)
            scene = replace(self.scene, planes=planes)
            try:
                valid, holes = masks_of(scene)
                self.factors = native_factors({p.band.frame: p.values.shape for p in planes})[1]
            except FrameError as error:
                raise UserError(f"{self.scene.where}: {error}") from error
            inside = slice(top - first, stop - first)
            self.masks.take(valid[inside], [None if h is None else h[inside] for h in holes])
            for seen, plane, factor in zip(self._seen, planes, self.factors):
                seen.take(_cut(plane, (top - first) // factor, -(-(stop - first) // factor)))
            self._keep_thin(planes, valid, holes, (first, top, stop))

    def rows(self, top: int, stop: int) -> tuple[list[Plane], int]:
        """Planes that cover rows [top, stop) and a few around them, and their first row."""
        first = max(top - HALO, 0) // HALO * HALO
        planes, alphas = self.files.planes(self.wanted, first, min(stop + HALO, self.files.shape[0]))
        for number, values in alphas.items():
            self._alphas.setdefault(number, set()).update(values.tolist())
        return planes, first

    def _keep_thin(
        self,
        planes: Sequence[Plane],
        valid: NDArray[np.bool_],
        holes: Sequence[NDArray[np.bool_] | None],
        at: tuple[int, int, int],
    ) -> None:
        """Every so many pixels, as `offsets` takes them of a whole frame."""
        first, top, stop = at
        width = self.files.shape[1]
        flat = np.arange(-(top * width) % self._step, (stop - top) * width, self._step)
        y, x = np.divmod(flat, width)
        y += top - first
        values = [p.values[y // f, x // f] for p, f in zip(planes, self.factors)]
        self._thin.append(np.stack(values))
        self._thin_valid.append(np.stack([valid[y, x] & (True if h is None else ~h[y, x]) for h in holes]))

    def summary(self) -> Scene:
        """The scene with planes of three pixels that have the band's type, range and gaps."""
        planes = []
        for i, seen in zip(self.wanted, self._seen):
            part, number = self.files.places[i]
            dtype = np.dtype(part.facts.dtype)
            there = seen.high >= seen.low
            values = np.array([[seen.low, seen.high, seen.high] if there else [0, 0, 0]]).astype(dtype)
            valid = np.array([[there, there, there and not seen.nan]]) if seen.gaps else None
            if seen.nan:
                values[0, 2] = np.nan
            planes.append(Plane(part.bands[number], values, valid, part.facts.nodata))
        return replace(self.scene, planes=planes)

    def dark(self, radiometry: Radiometry) -> Frame:
        """A small frame of pixels from all over, for what `offsets` asks of it."""
        values, valid = np.concatenate(self._thin, 1), np.concatenate(self._thin_valid, 1)
        columns = min(values.shape[1], 4096)
        more = -values.shape[1] % columns
        counts = np.stack([radiometry.to_counts(v, own) for v, own in zip(values, valid)])
        counts, valid = _wrapped(counts, more, columns), _wrapped(valid, more, columns)
        bands = tuple(self.files.places[i][0].bands[self.files.places[i][1]].frame for i in self.wanted)
        any_valid: NDArray[np.bool_] = np.asarray(valid.any(axis=0))
        return Frame(counts, bands, self.scene.time, any_valid, radiometry=radiometry, holes=any_valid & ~valid)

    def records(self) -> list[FileRecord]:
        """Of the files, as `parts.planes_of` makes them."""
        return [self._record(number, part) for number, part in enumerate(self.files.date.parts)]

    def _record(self, number: int, part: Part) -> FileRecord:
        facts, seen = part.facts, [s for i, s in zip(self.wanted, self._seen) if self.files.places[i][0] is part]
        values = np.array(sorted(self._alphas.get(number, ())))
        alpha = None if facts.alpha is None else (*facts.alpha, alpha_value(part, values))
        return FileRecord(
            name=self.files.names[id(part)],
            bands=part.bands,
            shape=facts.shape,
            dtype=facts.dtype,
            nodata=facts.nodata,
            mask="nan" if facts.mask == "zeros" and any(s.gaps for s in seen) else facts.mask,
            georeference=facts.georeference,
            alpha=alpha,
            tags=facts.tags,
            layout=facts.layout,
            datetime=facts.datetime,
            source=facts.source,
        )


def _wrapped(rows: NDArray[Any], more: int, columns: int) -> NDArray[Any]:
    """(C, n) with `more` zeros, as (C, m, columns)."""
    return np.pad(rows, ((0, 0), (0, more))).reshape(len(rows), -1, columns)


def _cut(plane: Plane, top: int, stop: int) -> Plane:
    valid = None if plane.valid is None else plane.valid[top:stop]
    return replace(plane, values=plane.values[top:stop], valid=valid)


class RowFrame:
    """A frame whose rows are read when they are asked for; see `swathpack.tools.files.sources.FrameSource`."""

    def __init__(self, survey: _Survey, radiometry: Radiometry, boa_offset: bool) -> None:
        self._survey, self._radiometry = survey, radiometry
        self.height, self.width = survey.files.shape
        scene, bands = survey.summary(), len(survey.wanted)
        self.outline = Frame(
            np.zeros((bands, 1, 1), np.uint16),
            scene.bands,
            scene.time,
            np.zeros((1, 1), np.bool_),
            scene.level,
            boa_offset,
            survey.factors,
            radiometry,
            wavelengths=tuple(p.band.wavelength_nm for p in scene.planes),
        )
        self._masks: tuple[bytes | None, bytes | None] | None = None
        self._planes: tuple[int, int, list[Plane], int] = (0, 0, [], 0)

    def masks(self) -> tuple[bytes | None, bytes | None]:
        """See FrameSource."""
        if self._masks is None:
            self._masks = self._survey.masks.packed(self.height * self.width)
        return self._masks

    def tile(self, window: TileWindow) -> Frame:
        """See FrameSource. Raises UserError."""
        top, stop, planes, first = self._planes
        if not top <= window.top < stop:
            rows = self._survey.files.rows
            top = window.top // rows * rows
            stop = min(top + rows, self.height)
            self._planes = (0, 0, [], 0)  # let go before more is read
            planes, first = self._survey.rows(top, stop)
            self._planes = top, stop, planes, first
        y, x = max(window.top - HALO, 0) // HALO * HALO, max(window.left - HALO, 0) // HALO * HALO
        cut = [self._part(p, f, y - first, x, window, y) for p, f in zip(planes, self.outline.grid)]
        found = build_frame(replace(self._survey.scene, planes=cut), self._radiometry)
        inside = TileWindow(0, window.top - y, window.left - x, window.height, window.width)
        holes = inside.of(found.holes) if found.holes.size else found.holes
        outline = replace(self.outline, data=inside.of(found.data), valid=inside.of(found.valid))
        return replace(outline, holes=holes if holes.any() else np.zeros((0, 0, 0), np.bool_))

    def _part(self, plane: Plane, factor: int, row: int, x: int, window: TileWindow, y: int) -> Plane:
        bottom = min(window.top + window.height + HALO, self.height) - y + row
        right = min(window.left + window.width + HALO, self.width)
        part = np.s_[row // factor : -(-bottom // factor), x // factor : -(-right // factor)]
        return replace(plane, values=plane.values[part], valid=None if plane.valid is None else plane.valid[part])
