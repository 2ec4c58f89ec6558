"""Large rasters as a series whose pixels stay on the disk: surveyed once, then read by rows of tiles as they are asked for.

    series = read_windowed(paths, options)        None where files are small, or are read whole in any case
    series.frames[0].tile(window)                 a `swathpack.tools.files.sources.FrameSource`

What the files give is the same, pixel by pixel, as `read_files` gives. What needs all pixels at once there (ranges, constant
bands, darkest pixels, masks) is gathered here by a survey that keeps a few numbers of each row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.frame import Frame
from swathpack.edge.radiometry import Radiometry
from swathpack.tools.files.rasters import offsets
from swathpack.tools.files.rasters.assemble import alike, odd_of
from swathpack.tools.files.rasters.files import dates_of, unique_names
from swathpack.tools.files.rasters.options import ReadOptions
from swathpack.tools.files.rasters.row_files import RowFiles
from swathpack.tools.files.rasters.scene import Plane, Scene, build_frame
from swathpack.tools.files.rasters.series import Series
from swathpack.tools.files.rasters.survey import HALO, Survey, inside_of
from swathpack.tools.files.rasters.values import radiometry_of

LEAST_SAMPLES = 1 << 25  # of all dates; less is read whole


def read_windowed(
    paths: Sequence[Path],
    options: ReadOptions,
    least_samples: int = LEAST_SAMPLES,
    keep_going: bool = False,
    tick: Callable[[int, int], None] = lambda *_: None,
) -> Series | None:
    """The series, or None where `read_files` is to read it. keep_going: places that cannot be read are as if they held no
    data. tick: told how many rows of tiles are surveyed, of how many, about. Raises UserError.
    """
    if any(p.suffix.lower() == ".npz" or not p.exists() for p in paths):
        return None
    dates = dates_of(paths, options)
    samples = sum(len(p.bands) * p.facts.shape[0] * p.facts.shape[1] for d in dates.dated for p in d.parts)
    readable = all(p.facts.read_part is not None for d in dates.dated for p in d.parts)
    if not readable or samples < least_samples:
        return None
    names = unique_names(dates.dated)
    surveys = [Survey(RowFiles(d, names, keep_going)) for d in dates.dated]
    for survey, scene in zip(surveys, alike([s.scene for s in surveys], options)):
        survey.pick(scene)
    shapes = [s.files.shape for s in surveys]
    size = max(h for h, _ in shapes), max(w for _, w in shapes)
    total, done = sum(-(-s.files.shape[0] // s.files.rows) for s in surveys), 0

    def step() -> None:
        nonlocal done
        done += 1
        tick(done, total)

    for survey in surveys:
        survey.run(size, step)
    scenes = [s.summary() for s in surveys]
    radiometry, told = radiometry_of(scenes, options.scale)
    carried, more = _offsets(surveys, scenes, radiometry)
    held = RowsHeld()
    frames = [RowFrame(s, radiometry, own, held) for s, own in zip(surveys, carried)]
    return dates.series(frames, [s.described() for s in surveys], scenes[0].bands, [*told, *odd_of(scenes), *more])


def _offsets(
    surveys: Sequence[Survey], scenes: Sequence[Scene], radiometry: Radiometry
) -> tuple[list[bool], list[str]]:
    """See `offsets.absorbed`; scenes: with the bands that were picked."""
    if radiometry.gain != 1:
        return [bool(s.offset) for s in scenes], []
    darkest = [s.darkest(radiometry) for s in surveys]
    return offsets.decide(darkest, [s.offset for s in scenes], [s.time for s in scenes], [s.bands for s in scenes])


class RowsHeld:
    """Rows that were read last, of whichever frame: no two frames have theirs in memory."""

    def __init__(self) -> None:
        self._of: Survey | None = None
        self._top, self._stop, self._first = 0, 0, 0
        self._planes: list[Plane] = []

    def around(self, survey: Survey, window: TileWindow) -> tuple[list[Plane], int]:
        """Planes that cover a window and HALO rows more, and their first row: the rows of tiles from the window's on, as many as
        the files are read by. Raises UserError.
        """
        end = window.top + window.height
        if self._of is not survey or not self._top <= window.top < end <= self._stop:
            if self._of is not None and self._of is not survey:
                self._of.files.close()
            self._of, self._planes = None, []  # let go before more is read
            top, stop = window.top, survey.files.shape[0]
            if end < stop:  # of the last row of tiles there may be less
                stop = min(top + max(survey.files.rows // window.height, 1) * window.height, stop)
            self._planes, self._first = survey.rows(top, stop)
            self._of, self._top, self._stop = survey, top, stop
        return self._planes, self._first


class RowFrame:
    """A frame whose rows are read when they are asked for; see `swathpack.tools.files.sources.FrameSource`."""

    def __init__(self, survey: Survey, radiometry: Radiometry, boa_offset: bool, held: RowsHeld) -> None:
        self._survey, self._held = survey, held
        self.height, self.width = survey.size
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

    @property
    def failures(self) -> list[str]:
        """See FrameSource."""
        return self._survey.files.failures

    def masks(self) -> tuple[bytes | None, bytes | None]:
        """See FrameSource."""
        return self._survey.masks.packed(self.height * self.width)

    def live(self, window: TileWindow) -> bool:
        """See FrameSource."""
        return self._survey.holds_data(window)

    def tile(self, window: TileWindow) -> Frame:
        """See FrameSource. Raises UserError."""
        own = inside_of(window, self._survey.files.shape)
        data = np.zeros((len(self.outline.bands), window.height, window.width), np.uint16)
        valid, holes = np.zeros(data.shape[1:], np.bool_), np.zeros((0, 0, 0), np.bool_)
        if own.height and own.width:
            part = np.s_[: own.height, : own.width]
            inner = self._within(own)
            data[:, part[0], part[1]], valid[part] = inner.data, inner.valid
            if inner.holes.any():
                holes = np.zeros(data.shape, np.bool_)
                holes[:, part[0], part[1]] = inner.holes
        return replace(self.outline, data=data, valid=valid, holes=holes)

    def _within(self, window: TileWindow) -> Frame:
        """The pixels of a window that lies within the files."""
        planes, first = self._held.around(self._survey, window)
        y, x = max(window.top - HALO, 0) // HALO * HALO, max(window.left - HALO, 0) // HALO * HALO
        height, width = self._survey.files.shape
        bottom, right = min(window.top + window.height + HALO, height), min(window.left + window.width + HALO, width)
        cut = [
            _part(plane, (y - first) // f, -(-(bottom - first) // f), x // f, -(-right // f))
            for plane, f in zip(planes, self.outline.grid)
        ]
        scene = replace(self._survey.files.scene, planes=cut)
        found = build_frame(scene, self.outline.radiometry, None, self.outline.grid)
        inside = replace(window, top=window.top - y, left=window.left - x)
        holes = inside.of(found.holes) if found.holes.size else found.holes
        return replace(self.outline, data=inside.of(found.data), valid=inside.of(found.valid), holes=holes)


def _part(plane: Plane, top: int, stop: int, left: int, right: int) -> Plane:
    part = np.s_[top:stop, left:right]
    return replace(plane, values=plane.values[part], valid=None if plane.valid is None else plane.valid[part])
