"""Scenes to a series: one order, one grid, one radiometry; everything that was assumed is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swathpack.edge.frame import Frame
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.bandnames import picked
from swathpack.tools.files.rasters.dates import in_order
from swathpack.tools.files.rasters.offsets import absorbed
from swathpack.tools.files.rasters.options import ReadOptions
from swathpack.tools.files.rasters.records import Georeference
from swathpack.tools.files.rasters.scene import Scene, build_frame
from swathpack.tools.files.rasters.values import plain_notes, radiometry_of

MAX_NOTES = 8


def ordered(scenes: Sequence[Scene]) -> tuple[list[int], list[str]]:
    """Indexes of the scenes in order of date where all are known, and a note where that changes anything."""
    order = in_order([s.time for s in scenes])
    if order is None:
        return list(range(len(scenes))), []
    return order, ["dates are out of order: coded in order of date"]


@dataclass(frozen=True)
class Grid:
    """Where a date lies: its name for messages, rows and columns, georeference."""

    where: str
    shape: tuple[int, int]
    georeference: Georeference = Georeference()

    def difference(self, other: Grid) -> str:
        """How another date's grid differs, in words; empty where it does not."""
        said = self.georeference.difference(other.georeference)
        if said or self.shape == other.shape:
            return said
        return f"it has {other.shape[0]} x {other.shape[1]} pixels, not {self.shape[0]} x {self.shape[1]}"


def grouped(grids: Sequence[Grid], each_grid: bool) -> tuple[list[int], list[str]]:
    """The number of the grid of every date, and notes. Raises UserError where there are several and one was expected."""
    firsts: list[Grid] = []
    groups = []
    for grid in grids:
        at = next((i for i, f in enumerate(firsts) if not f.difference(grid)), None)
        if at is None and firsts and not each_grid:
            raise UserError(
                f"{grid.where} is on another grid than {firsts[0].where}: {firsts[0].difference(grid)}. One series is of one "
                "grid: put the dates on it, or (compress) give --each-its-own-grid to code each without context from the others"
            )
        if at is None:
            firsts.append(grid)
            at = len(firsts) - 1
        groups.append(at)
    notes = []
    if len(firsts) > 1:
        notes.append(f"{len(firsts)} grids: dates of different grids are coded without context from each other")
    bare = [g.where for g in grids if not g.georeference.known]
    if bare and len(bare) < len(grids):
        others = " and others" if len(bare) > 1 else ""
        notes.append(f"{bare[0]}{others}: no georeference; taken to be on the grid of the other dates")
    return groups, notes


def frames_of(scenes: Sequence[Scene], options: ReadOptions) -> tuple[list[Frame], list[str]]:
    """Frames of scenes, and notes. Raises UserError."""
    scenes = alike(scenes, options)
    radiometry, notes = radiometry_of(scenes, options.scale)
    odd = odd_of(scenes)
    size = tuple(max(_shape(s)[axis] for s in scenes) for axis in (0, 1))
    frames = [build_frame(s, radiometry, (size[0], size[1])) for s in scenes]
    frames, told = absorbed(frames, [s.offset for s in scenes])
    return frames, [*notes, *odd, *told]


def alike(scenes: Sequence[Scene], options: ReadOptions) -> list[Scene]:
    """The scenes with the bands that are coded, in the first one's order. Raises UserError."""
    scenes = [_picked(s, options) for s in scenes]
    return [_reordered(s, scenes[0]) for s in scenes]


def odd_of(scenes: Sequence[Scene]) -> list[str]:
    """What is odd about the values, the first few."""
    odd = plain_notes(scenes)
    if len(odd) > MAX_NOTES:
        odd = [*odd[:MAX_NOTES], f"and {len(odd) - MAX_NOTES} more bands that are constant"]
    return odd


def _picked(scene: Scene, options: ReadOptions) -> Scene:
    """The scene with the bands that the caller picks; all spectral ones otherwise."""
    records = [p.band for p in scene.planes]
    if options.bands:
        scene = scene.picked(picked(records, options.bands, scene.where))
        if not all(p.band.spectral for p in scene.planes):
            odd = ", ".join(p.band.name for p in scene.planes if not p.band.spectral)
            raise UserError(f"{scene.where}: --bands: {odd} holds no reflectances and cannot be coded")
        return scene
    spectral = [i for i, band in enumerate(records) if band.spectral]
    if not spectral:
        raise UserError(f"{scene.where}: expected a band of reflectances, found {', '.join(b.name for b in records)}")
    return scene.picked(spectral)


def _reordered(scene: Scene, first: Scene) -> Scene:
    """The scene with its bands in the first one's order, where it has the same."""
    wanted = [b for b in first.bands if b in scene.bands]
    if sorted(wanted) != sorted(scene.bands):
        return scene
    return scene.picked([scene.bands.index(b) for b in wanted])


def _shape(scene: Scene) -> tuple[int, int]:
    return max(p.values.shape[0] for p in scene.planes), max(p.values.shape[1] for p in scene.planes)
